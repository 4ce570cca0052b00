import functools
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoscope.run import key


class Colour(Enum):
    RED = 1
    CRIMSON = 2


class Number(IntEnum):
    ONE = 1


@dataclass(frozen=True)
class Recipe:
    rate: float = 0.1
    widths: tuple = (16, 32)
    note: str = field(default="", compare=False)


@dataclass(frozen=True)
class Learner:
    factory: object = None
    recipe: Recipe = Recipe()


@dataclass(frozen=True)
class Rotated:
    degrees: int

    def __describe__(self):
        return ("rotated", self.degrees)


Point = namedtuple("Point", "x y")

IN_ANOTHER_PROCESS = """
from fractions import Fraction
from pathlib import PurePath
import numpy
from infoscope.run import key
scalars = [1, True, 1.5, None, b"x", "\u00e9"]
print(key({"set": frozenset("abcdefgh"), "a": scalars, "p": PurePath("a/b"), "x": numpy.arange(6.0), "f": Fraction}))
"""


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_a_key_is_the_same_in_every_process_and_for_ever(hash_seed):
    run = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "188b425774e19fa5f09506e9790b6e3b"


def test_different_descriptions_have_different_keys():
    x = np.arange(4, dtype=np.int32)
    different = [
        *(None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, float("nan"), float("inf"), 2**70),
        *("", "1", "a", "True", b"", b"1", b"a", "\ud800"),
        *((), [], {}, set(), ("a", "b"), ("ab",), ["a", "b"], {"a": "b"}, {"a", "b"}, (("a",), "b"), ("a", ("b",))),
        *({1: "a"}, {"1": "a"}, {True: "a"}, range(2), (0, 2, 1), range(0, 2, 2)),
        *(Colour.RED, Colour.CRIMSON, Number.ONE, Path("a"), Path("a/b"), Point(1, 2), (1, 2)),
        *(x, x.astype(np.int64), x.astype(np.uint32), x.reshape(2, 2), x.reshape(4, 1), x[::-1], x + 1, list(x)),
        *(torch.arange(4, dtype=torch.int32), torch.arange(4), torch.arange(4.0), torch.zeros(0), torch.zeros(0, 2)),
        *(torch.arange(4.0, dtype=torch.bfloat16), torch.arange(4.0) * 1j, torch.float32, torch.device("cpu")),
        *(np.zeros(0), np.array("a"), np.zeros(2, "f4,i4"), np.zeros(2, [("a", "f4"), ("b", "i4")])),
        *(Recipe(), Recipe(0.2), Recipe(widths=[16, 32]), Learner(), Learner(Recipe), Learner(Recipe()), Recipe),
        *(len, max, np.linalg.norm, Fraction, functools.partial(max, 1), functools.partial(max, key=1), [].__class__),
    ]
    assert len({key(value) for value in different}) == len(different)


def test_equal_descriptions_have_equal_keys():
    x = np.arange(6.0).reshape(2, 3)
    for left, right in [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a", "b", "c"}, frozenset(("c", "b", "a"))),
        (Recipe(note="fast"), Recipe(note="slow")),
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (x, np.asfortranarray(x)),
        (x, x.astype(">f8")),
        (x[:, ::2], x[:, ::2].copy()),
        (torch.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T.contiguous()),
        (torch.ones(2), torch.nn.Parameter(torch.ones(2))),
        (torch.full((2,), 1j).conj(), torch.full((2,), 1j).conj().resolve_conj()),
        (Path("a") / "b", PurePosixPath("a/b")),
        (Rotated(30), ("rotated", 30)),
        (Fraction.from_float, Fraction.from_float),
    ]:
        assert key(left) == key(right), (left, right)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda children: st.lists(children, max_size=3) | st.lists(children, max_size=3).map(tuple),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_keys_agree_exactly_when_the_descriptions_do(left, right):
    assert (key(left) == key(right)) == (repr(left) == repr(right))


def test_a_refusal_names_the_place_and_the_remedy():
    def local():
        pass

    with pytest.raises(TypeError, match=r"`Learner.factory` is a lambda.*top of a module"):
        key(Learner(lambda: 0))
    with pytest.raises(TypeError, match=r"`Learner.factory.args\[1\]` is .*local`, defined inside a function"):
        key(Learner(functools.partial(max, 1, local)))
    with pytest.raises(TypeError, match=r"`Learner.factory\['a'\]\[1\]` is a Fraction.*__describe__"):
        key(Learner({"a": [0, Fraction(1, 2)]}))
    with pytest.raises(TypeError, match=r"`ndarray` is an array of Python objects"):
        key(np.array([None]))
    with pytest.raises(TypeError, match="sparse"):
        key(torch.eye(2).to_sparse())
    with pytest.raises(TypeError, match="names no module"):
        key([].append)


def test_a_function_of_the_main_script_has_the_key_it_has_when_imported(tmp_path):
    script = tmp_path / "experiment.py"
    script.write_text(
        "from infoscope.run import key\ndef train(): pass\nif __name__ == '__main__': print(key(train))\n"
    )
    env = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    run = functools.partial(subprocess.run, env=env, capture_output=True, text=True, check=True)
    as_main = run([sys.executable, str(script)]).stdout
    as_module = run([sys.executable, "-m", "experiment"]).stdout
    imported = run([sys.executable, "-c", "import experiment; print(experiment.key(experiment.train))"]).stdout
    assert as_main == as_module == imported != ""


def test_hashing_does_not_import_torch():
    code = "import sys; from infoscope.run import key; key((1, 'a')); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)
