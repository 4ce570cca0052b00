PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
PEERS = benchmarks/peers/.venv
PEERS_PIP = $(PEERS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO = difficulty digits
DATA ?=
FULL ?=

.PHONY: demo test test-all lint wheel benchmarks clean

demo: $(VENV)/installed  ## environment, install, the main job on scikit-learn's digits
	$(BIN)/infoscope $(DEMO)

test: $(VENV)/installed-test lint  ## environment, install, every check
	$(BIN)/python -m pytest -n 2 -m "not long"

test-all: $(VENV)/installed-test lint  ## and what takes minutes
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

wheel: $(VENV)/installed-test  ## what a user installs has every file, and works elsewhere than here
	rm -rf build
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build .
	$(BIN)/python -m zipfile --extract build/infoscope-*.whl build/unpacked
	diff --recursive --exclude=__pycache__ src/infoscope build/unpacked/infoscope
	cd build/unpacked && PYTHONPATH=. $(abspath $(BIN))/python -c "import infoscope as i; [getattr(i, name) for name in i.__all__]"
	diff --recursive --exclude=__pycache__ studies build/unpacked/infoscope_studies
	cd build/unpacked && PYTHONPATH=. $(abspath $(BIN))/python -m infoscope list >/dev/null
	cd build/unpacked && for study in $$(PYTHONPATH=. $(abspath $(BIN))/python -c "from infoscope.studies import STUDIES; print(*STUDIES)"); do \
		PYTHONPATH=. $(abspath $(BIN))/python -m infoscope study $$study --help >/dev/null || exit 1; done

benchmarks: $(VENV)/installed $(PEERS)/installed  ## every published number; MNIST's too with DATA=folder
	$(BIN)/python benchmarks/codelength.py $(FULL) $(if $(DATA),--data $(DATA))
	$(BIN)/python benchmarks/fit.py
	$(BIN)/python benchmarks/mutual_information.py --only default --only ksg --n 5000 --seeds 3
	$(BIN)/python benchmarks/ensemble.py --population
	$(BIN)/python benchmarks/weight_distance.py
	$(BIN)/python benchmarks/peer.py

clean:
	rm -rf $(VENV) $(PEERS) build .pytest_cache .ruff_cache .hypothesis

# torch comes first and alone, so that no later requirement brings another build of it.
$(VENV)/torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) numpy torch
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(PIP) -e '.[data]'
	touch $@

$(VENV)/installed-test: $(VENV)/torch pyproject.toml
	$(PIP) -e '.[test]'
	touch $@

$(PEERS)/installed: benchmarks/peers/requirements.txt constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS_PIP) numpy torch
	$(PEERS_PIP) -r benchmarks/peers/requirements.txt
	touch $@
