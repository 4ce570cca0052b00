"""A file that holds a data set's targets at their code length, and gives them back from the inputs alone.

One line of text names the format, one line of JSON is the header, the rest is the payload of the range coder. The
header says what both sides must share: the inputs' fingerprint, the target, what of it is sent, the coding order, the
coder, versions, device and number of threads; of frozen features a hash. Of the targets it holds nothing but a 32-bit
check of the decoded ones.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import platform
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped

from infoscope import __version__
from infoscope.data.content import digest_of_inputs
from infoscope.data.inputs import Inputs, count, select
from infoscope.data.targets import Boxes, Classes, Labels, Real, Target, Tokens
from infoscope.data.task import Task, coding_order, split
from infoscope.prequential.devices import versions_of
from infoscope.prequential.encode import Coder, code, features_of, network_for
from infoscope.prequential.frozen import Features, HubModel, check_features
from infoscope.prequential.language import known
from infoscope.prequential.loss_curve import Code, LossCurve
from infoscope.prequential.range_coder import Decompressor
from infoscope.run import key
from infoscope.run.free_memory import available, mebibytes
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, check_device
from infoscope.unreadable import listed, unreadable

MAGIC = b"infoscope labels 2\n"
FIRST = b"infoscope labels 1\n"
"""The first form, for one class an example: its header has the alphabet in place of a target."""

MOST_THREADS = 1024

KINDS: dict[str, type[Target]] = {kind.__name__: kind for kind in (Classes, Labels, Real, Tokens, Boxes)}


@dataclass(frozen=True)
class Header:
    """What the decoder must share with the encoder, and the size of what follows.

    `mask` says which entries of the target are sent: its shape, and where not all are, its bits. Of frozen features,
    which the decoder must have too, `features` is what they are in words, `features_key` a hash.
    """

    inputs: str
    part: str | None
    n: int
    examples: int
    target: Target
    shape: tuple[int, ...]
    mask: str | None
    order: int
    coder: str
    model: str
    versions: dict[str, str]
    device: str
    threads: int
    check: int
    codelength_bits: float
    payload_bytes: int
    features: str | None = None
    features_key: str | None = None

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Names of the classes or labels; none of other targets."""
        return getattr(self.target, "alphabet", getattr(self.target, "names", ()))

    def to_json(self) -> bytes:
        """As one line."""
        target = {"kind": type(self.target).__name__, **dataclasses.asdict(self.target)}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps(fields | {"target": target}).encode()

    @classmethod
    def from_json(cls, line: bytes) -> Header:
        """The header that `to_json` wrote, or that of the first form; a ValueError says why it is none.

        What a later version has added beside what is here is passed over: the check of the decoded labels tells whether
        it mattered.
        """
        fields: Any = json.loads(line)
        if isinstance(fields, dict) and "alphabet" in fields:
            alphabet, shape = {"kind": "Classes", "alphabet": fields["alphabet"]}, [fields.get("examples")]
            fields |= {"target": alphabet, "shape": shape, "mask": None}
        if isinstance(fields, dict):  # what was written before there were features has none
            fields = {"features": None, "features_key": None} | fields
        held = {field.name: field for field in dataclasses.fields(cls)}
        _check_fields(fields, {name: _KINDS_OF_FIELDS[str(field.type)] for name, field in held.items()}, "header")
        fields = {name: fields[name] for name in held} | {"target": _target(fields["target"])}
        header = cls(**fields | {"shape": tuple(fields["shape"])})
        header._check()
        return header

    def _check(self) -> None:
        """ValueError unless numbers are such as a file can have, and fit each other."""
        counts = {"n": self.n, "examples": self.examples, "order": self.order, "payload_bytes": self.payload_bytes}
        if odd := [name for name, value in counts.items() if value < 0]:
            raise ValueError(f"{listed(odd)} is negative")
        if not (0 < len(self.shape) <= 3 and self.shape[0] == self.examples <= self.n and min(self.shape) >= 0):
            raise ValueError(f"{self.examples} examples of {self.n} do not have targets {listed(self.shape)}")
        if not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"{self.threads} threads are none that a machine has")
        if not all(isinstance(name, str) and isinstance(one, str) for name, one in self.versions.items()):
            raise ValueError("its versions are no words")
        asked, left = 16 * math.prod(self.shape) + 8 * self.n, available() // 2
        if asked > left:
            raise ValueError(f"its targets take {mebibytes(asked)} in memory, and {mebibytes(left)} may be had")

    def sent(self) -> Bool[np.ndarray, "n ..."]:
        """Which entries are sent."""
        if self.mask is None:
            return np.ones(self.shape, dtype=bool)
        entries = math.prod(self.shape)
        size = (entries + 7) // 8
        packed = zlib.decompressobj().decompress(base64.b64decode(self.mask, validate=True), size + 1)
        if len(packed) != size:
            raise ValueError(f"its mask does not have the {entries} bits of targets {self.shape}")
        return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=entries).astype(bool).reshape(self.shape)


_KINDS_OF_FIELDS: dict[str, Any] = {
    "str": str, "str | None": (str, NoneType), "int": int, "float": (float, int), "Target": dict,
    "tuple[int, ...]": list, "tuple[str, ...]": list, "dict[str, str]": dict,
}  # fmt: skip
"""What JSON has for a field of a header or of a target, by its annotation."""


def _check_fields(held: Any, kinds: Mapping[str, Any], what: str) -> None:
    """ValueError unless this is an object with these fields, of these kinds; it may have others."""
    if not isinstance(held, dict):
        raise ValueError(f"its {what} is a {type(held).__name__}")
    kinds_of_items = {"shape": int, "alphabet": str, "names": str}
    wrong = [
        name
        for name, kind in kinds.items()
        if not isinstance(held.get(name, kinds), kind)
        or isinstance(held[name], bool)
        or (name in kinds_of_items and not all(type(one) is kinds_of_items[name] for one in held[name]))
    ]
    if wrong:
        raise ValueError(f"its {what} lacks {listed(wrong, 3)}, or has another kind of it")


def _target(held: Mapping[str, Any]) -> Target:
    """A target by the fields that its header has."""
    kind = KINDS.get(str(held.get("kind")))
    if kind is None:
        raise ValueError(f"its target is of no kind among {', '.join(KINDS)}")
    fields = {field.name: _KINDS_OF_FIELDS[str(field.type)] for field in dataclasses.fields(kind)}
    _check_fields(held, fields, "target")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v := held[name], list) else v for name in fields}
    return kind(**values)


@dataclass(frozen=True)
class Written:
    """A label file that was written: where, its header, and the sizes of header and payload in bits."""

    path: Path
    header: Header
    header_bits: int
    payload_bits: int


@dataclass(frozen=True)
class Decoded:
    """Targets read back: `labels[i]` belongs to row `index[i]` of the inputs, in the order of the rows.

    Numbers and boxes come back at their resolution, masked entries as what masks them.
    """

    index: Int[np.ndarray, " n"]
    labels: Shaped[np.ndarray, "n ..."]
    header: Header


def write_labels(
    path: str | Path,
    task: Task,
    curve: LossCurve,
    *,
    coder: str,
    model: str = "",
    features: Features | None = None,
) -> Written:
    """Write the targets of a curve that kept what was sent; the file appears whole or not.

    `coder` and `model` are the names from which `read_labels` is given the same coder and learner; `features` are those
    of the coder, if it has any, of which the file holds a hash.
    """
    if curve.payload is None:
        raise ValueError("this curve did not keep what was sent; make it with keep_first=True")
    y = task.y[torch.from_numpy(curve.index)]
    mask = task.target.mask(y)
    header = Header(
        _fingerprint(task.x, task.target, curve.index, mask),
        _part(task),
        len(task),
        len(y),
        task.target,
        mask.shape,
        None if mask.all() else base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode(),
        curve.seed,
        coder,
        model,
        versions(features, curve.receipt.device),
        curve.receipt.device,
        curve.receipt.threads,
        _check(task.target.cut(y)[0]),
        curve.total / np.log(2),
        len(curve.payload),
        None if features is None else features.told,
        None if features is None else key(features),
    )
    head = MAGIC + header.to_json() + b"\n"
    path = Path(path)
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(head + curve.payload)
    draft.replace(path)
    return Written(path, header, 8 * len(head), 8 * len(curve.payload))


def read_header(path: str | Path) -> tuple[Header, bytes]:
    """Header and payload of a label file; a ValueError says what is wrong with it."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    form, _, rest = data.partition(b"\n")
    line, _, payload = rest.partition(b"\n")
    if form + b"\n" not in (MAGIC, FIRST):
        if form.startswith(MAGIC[:-2]):
            raise ValueError(f"{path}: is a label file of a later version{_written_by(line)}; take a newer infoscope")
        raise ValueError(f"{path}: is not a label file of infoscope (its first line differs)")
    with unreadable(path, "label file: its header is damaged", "write it again"):
        header = Header.from_json(line)
        header.sent()
    if len(payload) != header.payload_bytes:
        raise ValueError(f"{path}: holds {len(payload)} of {header.payload_bytes} bytes of payload; it was cut short")
    return header, payload


def _written_by(line: bytes) -> str:
    """The version that wrote a header of another form, if it can be told."""
    try:
        return f", written by infoscope {json.loads(line)['versions']['infoscope']!r}"[:60]
    except Exception:  # another form may be anything
        return ""


def read_labels(
    path: str | Path,
    inputs: Inputs,
    coder: Coder,
    learner: Learner | None = None,
    *,
    on_label: Callable[[int, int], None] | None = None,
) -> Decoded:
    """The targets of a file, by replaying the sender on the inputs alone. No label is an argument, and none is read.

    Of the inputs of `Tokens`, which hold what was sent, only what the file does not is looked at.
    """
    header, payload = read_header(path)
    if count(inputs) != header.n:
        raise ValueError(f"{path}: was written for {header.n} inputs; these are {count(inputs)}")
    index = coding_order(header.n, header.order)[: header.examples]
    mask = header.sent()
    check_file_features(path, header, coder)
    _check_same(path, header, inputs, index, mask, features_of(coder))
    x = select(inputs, torch.from_numpy(index))
    x = known(x, mask) if isinstance(header.target, Tokens) else x
    with isolated(header.order, threads=header.threads):
        network = network_for(coder, learner, x, header.target, header.order, check_device(header.device))
        sender = code(x, header.target, mask, coder, header.order, network, header.device)
        symbols = _decoded(payload, sender, int(mask.sum()) * getattr(header.target, "digits", 1), on_label)
    if _check(symbols) != header.check:
        raise ValueError(
            f"{path}: the decoded labels fail the check: this machine computes in another way than {path}'s"
        )
    rows = np.argsort(index)
    return Decoded(index[rows], header.target.join(symbols, mask).numpy()[rows], header)


def _decoded(
    payload: bytes, code: Code, about: int, on_label: Callable[[int, int], None] | None
) -> Int[np.ndarray, " symbols"]:
    """All symbols, by running the sender's own code on those that were decoded so far, to its end."""
    symbols: list[int] = []
    decompressor = Decompressor(payload)
    try:
        p = next(code)
        while True:
            symbols.append(decompressor.get(p))
            if on_label is not None:
                on_label(len(symbols), max(about, len(symbols)))
            p = code.send(symbols[-1])
    except StopIteration:
        return np.array(symbols, dtype=np.int64)


def _check(symbols: Int[np.ndarray, " symbols"]) -> int:
    return zlib.crc32(symbols.astype("<i8").tobytes())


def _fingerprint(
    x: Inputs, target: Target, index: Int[np.ndarray, " coded"], mask: Bool[np.ndarray, "coded ..."]
) -> str:
    """Hash of what both sides know: of sequences those that are coded, without their tokens."""
    return digest_of_inputs(known(select(x, torch.from_numpy(index)), mask) if isinstance(target, Tokens) else x)


def _part(task: Task) -> str | None:
    """The split that the task is, so that the decoder finds it in the data's name alone."""
    arguments = dict(task.origin.arguments)
    return arguments["which"] if task.origin.step is split else None


def versions(features: Features | None = None, device: str = "cpu") -> dict[str, str]:
    """What the last bit of a prediction depends on."""
    found = {
        "infoscope": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": _version_of("scikit-learn"),
        "constriction": _version_of("constriction"),
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        **versions_of(device),
    }
    return found | ({"transformers": _version_of("transformers")} if isinstance(features, HubModel) else {})


def _version_of(package: str) -> str:
    """What is installed; a leftover of another installation may stand before it, and have no version."""
    found = (one.version for one in distributions(name=package))
    return next((one for one in found if one), "unknown")


def check_file_features(path: str | Path, header: Header, coder: Coder) -> None:
    """ValueError unless the coder has the features that the file was written with."""
    features = features_of(coder)
    check_features(features, header.n, header.target)
    if features is None and header.features_key is not None:
        raise ValueError(f"{path}: was written with features, {header.features}; give the same again as features")
    if features is not None and header.features_key is None:
        raise ValueError(f"{path}: was written without features; leave out {features.told}")
    if features is not None and key(features) != header.features_key:
        raise ValueError(
            f"{path}: was written with other features, {header.features}; {features.told} hash to another value"
        )


def _check_same(
    path: str | Path,
    header: Header,
    inputs: Inputs,
    index: np.ndarray,
    mask: np.ndarray,
    features: Features | None,
) -> None:
    if _fingerprint(inputs, header.target, index, mask) != header.inputs:
        raise ValueError(
            f"{path}: was written for other inputs (their fingerprint differs); give the same data, "
            "of a table with --label the column that was predicted"
        )
    here = versions(features, check_device(header.device))
    unlike = [f"{k} {v} (here {here.get(k)})" for k, v in header.versions.items() if v and here.get(k) != v]
    if unlike:
        told = " ".join(", ".join(unlike).split())
        raise ValueError(f"{path}: was written with {told}; the last bits may differ: use the same")
