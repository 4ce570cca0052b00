"""The commands: one for each question of the table, and those that ask none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.config import Dict, Env
from cyclopts.validators import Number

from infoscope.cli.listing import studies
from infoscope.cli.options import DATA_OF_FILES
from infoscope.cli.source import summary_of
from infoscope.questions import QUESTIONS

COMPLETION = "Let the shell complete commands and options: bash, zsh, fish, PowerShell."

app = App(
    name="infoscope",
    help="How many bits of information a data set's labels hold, and how much of it a network has learned.\n\n"
    "DATA is `digits` (or iris, wine, breast_cancer), a Hugging Face Hub name, a local folder in Hub layout, or an "
    "`.npz` with `x` and `y`; `DATA:split` is one of its splits.",
    help_epilogue="Options are also read from --config FILE (TOML, a table for each command) and from variables "
    "such as INFOSCOPE_CODELENGTH_REPLICATES; the command line wins, then the environment, then the file.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
    help_format="markdown",
)

for _name, _place in QUESTIONS.items():
    # Only named here, and imported when it is called.
    app.command(f"infoscope.cli.command:{_name}", name=_name, help=summary_of(_place))

study = App(name="study", help="Make a table or figure of a paper again: the study's name, then its options.")
app.command(study)
for _name, _summary in studies().items():
    study.command(f"infoscope.cli.study:{_name}", name=_name, help=_summary)


@study.default
def list_studies(name: str | None = None, *, json: bool = False) -> None:
    """Make a table or figure of a paper again. Without a name: what there is.

    Parameters
    ----------
    name
        The study; `infoscope study NAME --help` tells its options.
    json
        Print one JSON object.
    """
    if name is not None:
        from infoscope.studies import STUDIES

        raise ValueError(f"no study {name!r}; there are {', '.join(STUDIES)}")
    from infoscope.cli import listing

    listing.show("studies", json)


def _version() -> str:
    from infoscope import __version__

    return __version__


app.version = _version


def configured(argv: list[str]) -> list[str]:
    """The arguments without `--config FILE`, which is put behind the environment as a source of options."""
    rest, files = [], []
    words = iter(argv)
    for word in words:
        if word == "--config":
            files.append(next(words, ""))
        elif word.startswith("--config="):
            files.append(word.removeprefix("--config="))
        else:
            rest.append(word)
    tables = [_table(file) for file in files]
    DATA_OF_FILES.clear()
    for table in tables:
        for command, options in table.items():
            if isinstance(options, dict) and isinstance(options.get("data"), list):
                DATA_OF_FILES.setdefault(command, options.pop("data"))
    sources = (Dict(table, source=file) for table, file in zip(tables, files, strict=True))
    app.config = (Env("INFOSCOPE_", show=False), *sources)
    return rest


def _table(file: str) -> dict[str, Any]:
    import tomllib

    if not Path(file).is_file():
        raise ValueError(f"--config {file or '(nothing)'}: no such file; give one as --print-config prints it")
    try:
        return tomllib.loads(Path(file).read_text())
    except ValueError as error:
        raise ValueError(f"--config {file}: is not TOML ({error}); --print-config shows the form") from error


@app.command
def decode(
    file: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    model: str | None = None,
    size: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    label: str | None = None,
    features: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Give the labels in FILE back from the inputs alone. No label of DATA is read; an .npz needs no `y`.

    Parameters
    ----------
    file
        What `infoscope codelength --write` wrote.
    data
        The data set whose labels they are; text needs none.
    out
        Where to write them: an .npz with `y` and `index`, the rows of DATA they belong to. Default: FILE.decoded.npz.
        Text goes to a .txt beside it.
    model
        Your own module:factory, if the labels were sent by its code.
    size
        Scale images to squares of this many pixels, as they were when the file was written.
    label
        The column of a table that was predicted, if it was named when the file was written.
    features
        The frozen features that the file was written with, if it was: NAME=FILE, hf:NAME, or a file .npy.
    json
        Print one JSON object and nothing else on standard output.
    quiet
        No progress bar.
    """
    from infoscope.cli import decode as command

    command.decode(file, data, out, model, command.Seen(size, label, features), json, quiet)


@app.command(name="list")
def list_(what: str | None = None, *, json: bool = False) -> None:
    """What there is: questions, data, models, coders, estimators, corruptions, terms.

    Parameters
    ----------
    what
        One of these, to see it alone.
    json
        Print one JSON object.
    """
    from infoscope.cli import listing

    listing.show(what, json)


@app.command
def explain(term: str, *, json: bool = False) -> None:
    """What a term, quantity or warning means.

    Parameters
    ----------
    term
        Such as codelength, "L(M,D)", SATURATED, replay or massart.
    json
        Print one JSON object.
    """
    from json import dumps

    from infoscope.cli import listing

    text = listing.explain(term)
    print(dumps({"term": term, "text": text}, ensure_ascii=False) if json else text)


@app.command
def export(run: Path, *, out: Path, json: bool = False) -> None:
    """Write the table of a run to a CSV or Parquet file, values in bits.

    Parameters
    ----------
    run
        A run directory, or a table in it: RUN/plane.jsonl holds every epoch of a plane.
    out
        Where to write it: a .csv or a .parquet.
    json
        Print one JSON object.
    """
    from infoscope.cli import export as command

    command.export(run, out, json)


# Only named here, so that nothing of it is imported before it is called.
app.command("infoscope.cli.completion:install", name="--install-completion", help=COMPLETION)
