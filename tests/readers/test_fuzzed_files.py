"""Whatever stands in a file, reading it gives an answer or a ValueError of one line."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as as_safetensors
from scipy.io import savemat

from infoscope.cli.decode import Seen, decode
from infoscope.data import tishby
from infoscope.data.readers import inputs
from infoscope.data.task import Task
from infoscope.dynamics.plane.saved_activations import plane_of_activations
from infoscope.measurement import Measurement
from infoscope.mi.estimators.binning import Uniform
from infoscope.prequential.encode import encode
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import write_labels
from infoscope.record import Record, load
from infoscope.training.weights_file import weights_from

COUNTS = [150, pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]

X, Y = np.arange(24, dtype=np.float32).reshape(8, 3) / 7, np.arange(8) % 2


@dataclass(frozen=True)
class Reader:
    """A kind of file: what it is called, a sound one, and how it is read; `also` are files beside it."""

    name: str
    sound: Callable[[Path], bytes]
    read: Callable[[Path], object]


def written(write: Callable[[Any], object]) -> Callable[[Path], bytes]:
    def sound(folder: Path) -> bytes:
        file = io.BytesIO()
        write(file)
        return file.getvalue()

    return sound


def labels(folder: Path) -> bytes:
    np.savez(folder / "data.npz", x=X, y=Y)
    task = Task.from_dataset(folder / "data.npz")
    curve = encode(task, Kernel(), None, 0, keep=True)
    return write_labels(folder / "sound.bits", task, curve, coder="kernel").path.read_bytes()


def record(folder: Path) -> bytes:
    table = Record(folder / "sound.jsonl")
    table.append(Measurement.from_replicates("L(y|x)", {0: 3.0, 1: math.nan}), task="a", epoch=1)
    table.append(Measurement("accuracy", 0.5, unit="1"), task="b", epoch=None)
    return (folder / "sound.jsonl").read_bytes()


def npy(folder: Path) -> bytes:
    np.save(folder / "file.y.npy", Y)
    return written(lambda file: np.save(file, X))(folder)


VOC = """<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
</object></annotation>"""


def annotation(folder: Path) -> bytes:
    from PIL import Image

    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "JPEGImages" / "file.png")
    return VOC.encode()


def read_annotation(path: Path) -> object:
    (path.parent / "Annotations" / "file.xml").write_bytes(path.read_bytes())
    return Task.from_dataset(path.parent)


def task_and_inputs(path: Path) -> object:
    with contextlib.suppress(ValueError):
        Task.from_dataset(path)
    return inputs(str(path))


def decoded(path: Path) -> object:
    return decode(path, str(path.with_name("data.npz")), path.with_name("out.npz"), None, Seen(), False, True)


WEIGHTS = {"a.weight": torch.ones(2, 3), "module.b": torch.zeros(4, dtype=torch.float16)}
TABLE = "a,b,kind,label\n1,2.5,x,yes\n2,?,y,no\n,3.5,x,yes\n4,4.5,y,no\n"
READERS = {
    "npz": Reader("file.npz", written(lambda file: np.savez(file, x=X, y=Y, classes=["a", "b"])), task_and_inputs),
    "packed npz": Reader("file.npz", written(lambda file: np.savez_compressed(file, x=X, y=Y)), task_and_inputs),
    "npy": Reader("file.npy", npy, task_and_inputs),
    "safetensors": Reader(
        "file.safetensors",
        lambda folder: as_safetensors({"x": torch.from_numpy(X), "y": torch.from_numpy(Y)}),
        task_and_inputs,
    ),
    "csv": Reader("file.csv", lambda folder: TABLE.encode(), task_and_inputs),
    "json": Reader("file.json", lambda folder: b'[{"a": 1, "y": 0}, {"a": 2, "y": 1}]', task_and_inputs),
    "text": Reader("file.txt", lambda folder: "the quick brown fox, é\n".encode() * 3, Task.from_dataset),
    "voc": Reader("file.xml", annotation, read_annotation),
    "labels": Reader("file.bits", labels, decoded),
    "record": Reader("record.jsonl", record, load),
    "activations": Reader(
        "file.npz",
        written(lambda file: np.savez(file, y=Y, X=X, **{"1/T1": X, "2/T1": X})),
        lambda path: plane_of_activations(path, method=Uniform(4, (0.0, 1.0))),
    ),
    "weights": Reader("file.safetensors", lambda folder: as_safetensors(WEIGHTS), weights_from),
    "checkpoint": Reader("file.pt", written(lambda file: torch.save({"state_dict": WEIGHTS}, file)), weights_from),
    "mat": Reader("file.mat", written(lambda file: savemat(file, {"F": X, "y": Y})), lambda p: tishby.from_file(p)),
    "bits": Reader(
        "file.npz",
        written(lambda file: np.savez(file, X_train=X, y_train=Y, X_test=X, y_test=Y)),
        lambda path: tishby.from_file(path),
    ),
}


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """What a ValueError says; None where there is an answer."""
    try:
        read(path)
    except ValueError as error:
        return str(error)
    return None


def check(read: Callable[[Path], object], path: Path) -> None:
    """An answer, or a ValueError of one line; nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = refusal(read, path)
    assert told is None or (told and "\n" not in told and len(told) < 1500), told


def fuzz(count: int, test: Callable[..., None], *strategies: Any) -> None:
    """Run a test on so many drawn inputs."""
    quiet = settings(
        max_examples=count, deadline=None, database=None, derandomize=count < 1000,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    quiet(given(*strategies)(test))()


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "overwrite", "repeat"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=9) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"nan"]),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, what in edits:
        at = int(where * len(data))
        match kind:
            case "flip":
                data = data[:at] + bytes([data[at] ^ (what[0] or 1)]) + data[at + 1 :] if at < len(data) else data
            case "cut":
                data = data[:at]
            case "insert":
                data = data[:at] + what + data[at:]
            case "overwrite":
                data = data[:at] + what + data[at + len(what) :]
            case "repeat":
                data = data[:at] + data[max(0, at - 8 * len(what)) :]
    return data


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", READERS)
def test_damaged_bytes(kind, count, tmp_path):
    reader = READERS[kind]
    sound, path = reader.sound(tmp_path), tmp_path / reader.name
    path.write_bytes(sound)
    reader.read(path)

    def damaged(edits):
        path.write_bytes(edited(sound, edits))
        check(reader.read, path)

    fuzz(count, damaged, EDITS)


def test_a_checkpoint_whose_end_says_that_it_goes_on_elsewhere(tmp_path):
    """Found by the 20,000: the standard library's test of whether this is a zip raises."""
    path = tmp_path / "file.pt"
    path.write_bytes(edited(READERS["checkpoint"].sound(tmp_path), [("flip", 0.98828125, b"\x00")]))
    check(READERS["checkpoint"].read, path)


ODD: list[Any] = [
    None, True, -1, 0, 1, 3, 2**31, 2**63, 10**400, 0.5, -1e308, 1e308, 1e-308, math.nan, math.inf, "", "x", "a\nb",
    "0", [], [[]], [1, "a"], [0, 2**40], {}, {"kind": "Real"}, "é" * 40, [None], ["a", "a"], [[1]],
]  # fmt: skip
WORDS = [
    "x",
    "kernel(landmarks=-3)",
    "mixed",
    "replay(batch=0)",
    "mlp",
    "no:where",
    "Tokens",
    "Labels",
    "cuda",
    "eJwDAAAAAAE=",
]
ANY = st.sampled_from([*ODD, *WORDS]) | st.integers() | st.floats() | st.text(max_size=5)
CHANGES = st.lists(st.tuples(st.integers(0, 200), ANY, st.booleans()), min_size=1, max_size=3)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value with every key in it."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in items] + [place for _, inner in items for place in places(inner)]


def changed(line: bytes, changes: list[tuple[int, Any, bool]]) -> bytes:
    value = json.loads(line)
    for number, odd, gone in changes:
        found = places(value)
        if not found:
            break
        holder, key = found[number % len(found)]
        if gone:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(odd)  # what is drawn twice would else come to hold itself
    return json.dumps(value).encode()


@pytest.mark.parametrize("count", COUNTS)
def test_headers_of_label_files_with_other_fields(count, tmp_path):
    form, line, payload = labels(tmp_path).split(b"\n", 2)
    path = tmp_path / "file.bits"

    def other(changes):
        path.write_bytes(b"\n".join([form, changed(line, changes), payload]))
        check(decoded, path)

    fuzz(count, other, CHANGES)


@pytest.mark.parametrize("count", COUNTS)
def test_rows_of_records_with_other_fields(count, tmp_path):
    first, second = record(tmp_path).splitlines()
    path = tmp_path / "record.jsonl"

    def other(changes):
        path.write_bytes(first + b"\n" + changed(second, changes) + b"\n")
        check(load, path)

    fuzz(count, other, CHANGES)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["safetensors", "weights"])
def test_headers_of_safetensors_with_other_fields(kind, count, tmp_path):
    reader = READERS[kind]
    sound, path = reader.sound(tmp_path), tmp_path / "file.safetensors"
    size = int.from_bytes(sound[:8], "little")

    def other(changes):
        header = changed(sound[8 : 8 + size], changes)
        path.write_bytes(len(header).to_bytes(8, "little") + header + sound[8 + size :])
        check(reader.read, path)

    fuzz(count, other, CHANGES)


NUMBERS = [-1e308, -3.5, -1.0, 0.0, 0.5, 1.0, 2.0, 7.0, 255.0, 1e9, 1e30, 1e308, math.nan, math.inf]
DTYPES = [
    "f4",
    "f8",
    ">f4",
    "f2",
    "g",
    "i1",
    "u1",
    "i8",
    ">i8",
    "u2",
    "u8",
    "?",
    "c8",
    "U3",
    "S2",
    "M8[s]",
    "O",
    "i4,f4",
]


@st.composite
def arrays(draw) -> np.ndarray:
    """An array of any type and a small shape."""
    shape = draw(
        st.lists(st.integers(0, 5), max_size=4).map(tuple) | st.sampled_from([(8,), (8, 3), (8, 1), (8, 2, 2)])
    )
    dtype = draw(st.sampled_from(DTYPES))
    values = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = np.resize(np.array(values), shape)
        if dtype in ("i4,f4", "M8[s]"):
            return np.zeros(shape, dtype)
        if dtype[-2:] in ("U3", "S2"):
            return np.resize(np.array(["a", "bc", ""]), shape).astype(dtype)
        return held.astype(dtype)


NAMES = [
    "x",
    "y",
    "classes",
    "X",
    "Y",
    "T1",
    "T2",
    "x/a",
    "x/b",
    "3/T1",
    "-1/T1",
    "99999999999999999999/a",
    "F",
    "a\nb",
]
NAMES += ["X_train", "y_train", "X_test", "y_test"]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["npz", "activations", "bits"])
def test_archives_of_any_arrays(kind, count, tmp_path):
    path, sound = tmp_path / "file.npz", {"x": X, "y": Y, "T1": X, "X_train": X, "y_train": Y, "X_test": X, "y_test": Y}

    def any_arrays(found, left_out):
        np.savez(path, **{k: v for k, v in {**sound, **found}.items() if k not in left_out})
        check(READERS[kind].read, path)

    some = st.dictionaries(st.sampled_from(NAMES), arrays(), max_size=3)
    fuzz(count, any_arrays, some, st.lists(st.sampled_from(list(sound)), max_size=3))


@pytest.mark.parametrize("count", COUNTS)
def test_weights_of_any_kind(count, tmp_path):
    path = tmp_path / "file.pt"
    tensors = st.sampled_from(
        [
            torch.ones(2), torch.ones(2).to_sparse(), torch.ones(1).expand(10**9), torch.empty(2, device="meta"),
            torch.ones(2, dtype=torch.complex64),
            torch.nn.Parameter(torch.ones(2)), torch.tensor(1), torch.empty(0), 3, "a", None, [torch.ones(1)],
        ]
    )  # fmt: skip
    keys = st.sampled_from(["a", "module.a", "_orig_mod.module.a", "state_dict", "model", "", 3, None, ("a",)])
    nested = st.dictionaries(keys, tensors | st.dictionaries(keys, tensors, max_size=3), max_size=3)

    def any_weights(held):
        torch.save(held, path)
        check(weights_from, path)

    fuzz(count, any_weights, nested | st.lists(tensors, max_size=2))


CELLS = [
    "1",
    "2.5",
    "",
    "?",
    " ?",
    "NA",
    "yes",
    "no",
    "inf",
    "-inf",
    "nan",
    "1e400",
    '"a,b"',
    '"',
    "2020-01-01",
    "1_000",
    "é",
    "\t",
]


@pytest.mark.parametrize("count", COUNTS)
def test_tables_of_any_cells(count, tmp_path):
    path = tmp_path / "file.csv"
    rows = st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4), max_size=6)
    heads = st.lists(st.sampled_from(["a", "b", "label", "y", "", "a"]), min_size=1, max_size=4)

    def any_cells(head, body):
        path.write_text("\n".join(",".join(row) for row in [head, *body]) + "\n")
        check(task_and_inputs, path)

    fuzz(count, any_cells, heads, rows)
