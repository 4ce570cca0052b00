"""The diagonal of the Fisher information beside a plain forward and backward pass and beside other libraries.

Every row runs in a process of its own, so that its peak of memory is its own, in turns with the plain pass; the least
of several times of each counts. Rows that would take hours are run on fewer examples, as the last column says, and a
row that failed says why. Other libraries (`curvlinops-for-pytorch backpack-for-pytorch nngeometry laplace-torch`) are
looked for in the Python of `--peers`. On an idle machine: `python benchmarks/fisher.py --images 2000 --repeats 3`.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope import Task
from infoscope.models import CifarResNet
from infoscope.observation.estimators import Estimator, Exact, MonteCarlo, Sketch
from infoscope.observation.fisher_diagonal import fisher_diagonal
from infoscope.observation.likelihoods import Categorical
from ledger import RESULTS, circumstances, merge, table, told

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
SETTINGS = ("initial", "trained", "sure", "gpt")

Diagonal = dict[str, Tensor]


class TiedGPT(nn.Module):
    """Two blocks of causal attention on 65 characters, its head the table of words."""

    def __init__(self, vocabulary: int = 65, width: int = 64, heads: int = 4, blocks: int = 2, length: int = 32):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character."""
        h = self.words(x) + self.places(torch.arange(x.shape[1])[None])
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.before, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.between, self.wide, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )
        self.heads = heads

    def forward(self, h: Tensor) -> Tensor:
        """The stream with what attention and the hidden layer add."""
        q, k, v = self.qkv(self.before(h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = h + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return h + self.narrow(F.gelu(self.wide(self.between(h))))


def setting(name: str, data: Path, n: int) -> tuple[nn.Module, Tensor]:
    """A network in eval mode and its inputs; `sure` has its logits multiplied by 10."""
    torch.manual_seed(0)
    if name == "gpt":
        text = (data / "tinyshakespeare" / "train.txt").read_text()
        letters = {c: i for i, c in enumerate(sorted(set(text)))}
        codes = torch.tensor([letters[c] for c in text[: n * 32]])
        return TiedGPT(len(letters)).eval(), codes.view(n, 32)
    network = CifarResNet(20)((3, 32, 32), 10)
    if name != "initial":
        network.load_state_dict(load_file(data / "weights" / "cifar10_resnet20.safetensors"), strict=False)
    if name == "sure":
        network.linear.weight.data *= 10
        network.linear.bias.data *= 10
    images = Task.from_dataset(f"{data / 'cifar10'}:test")[:n].array
    return network.eval(), (images - MEAN[:, None, None]) / DEVIATION[:, None, None]


def plain(network: nn.Module, x: Tensor, batch: int = 64) -> None:
    """One forward and one backward pass with all gradients."""
    for part in x.split(batch):
        logits = network(part)
        F.cross_entropy(logits.flatten(0, -2), torch.zeros(logits.shape[:-1], dtype=torch.long).flatten()).backward()


def ours(estimator: Estimator) -> Callable[[nn.Module, Tensor], Diagonal]:
    return lambda network, x: dict(fisher_diagonal(network, x, Categorical(), estimator=estimator, batch=32).mean)


def by_vmap(network: nn.Module, x: Tensor, sketch: bool = False, batch: int = 16) -> Diagonal:
    """torch.func: Jacobians of single examples, or the gradient of a sketch."""
    values = {k: p.detach() for k, p in network.named_parameters()}
    total: Diagonal = {k: torch.zeros_like(p) for k, p in values.items()}
    draws = torch.Generator().manual_seed(0)

    def logits(these: Mapping[str, Tensor], one: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(these), (one[None],))[0]

    def sketched(these: Mapping[str, Tensor], one: Tensor, column: Tensor) -> Tensor:
        return (logits(these, one) * column).sum()

    for part in x.split(batch):
        with torch.no_grad():
            z = network(part)
        if sketch:
            column = Categorical().sketch(z, None, draws)
            rows = torch.func.vmap(torch.func.grad(sketched), (None, 0, 0))(values, part, column)
            each = {k: r.square().sum(0) for k, r in rows.items()}
        else:
            root = torch.stack(list(Categorical().columns(z, None)), 1)
            jacobian = torch.func.vmap(torch.func.jacrev(logits), (None, 0))(values, part)
            each = {k: (root @ j.flatten(2)).square().sum((0, 1)).view_as(values[k]) for k, j in jacobian.items()}
        for k, t in each.items():
            total[k] += t
    return {k: t / len(x) for k, t in total.items()}


def backpack(network: nn.Module, x: Tensor, sampled: bool = False, batch: int = 16) -> Diagonal:
    """BackPACK's DiagGGNExact, or DiagGGNMC of one sample."""
    from backpack import backpack as context
    from backpack import extend
    from backpack.extensions import DiagGGNExact, DiagGGNMC

    from peers.backpack_code import in_modules

    layers = in_modules(network) if hasattr(network, "layer1") else network
    extended, loss = extend(layers).eval(), extend(nn.CrossEntropyLoss(reduction="sum"))
    if not torch.allclose(extended(x[:2]), network(x[:2]), atol=1e-4):
        raise ValueError("the network in modules is another function")
    total: Diagonal = {}
    for part in x.split(batch):
        with context(DiagGGNMC(1) if sampled else DiagGGNExact()):
            loss(extended(part), torch.zeros(len(part), dtype=torch.long)).backward()
        for k, p in extended.named_parameters():
            if not p.requires_grad:
                continue
            found = p.diag_ggn_mc if sampled else p.diag_ggn_exact
            total[k] = total.get(k, torch.zeros_like(found)) + found
    return {k: t / len(x) for k, t in total.items()}


def curvlinops(network: nn.Module, x: Tensor, batch: int = 16, products: int = 10) -> Diagonal:
    """Curvlinops has no exact diagonal: Hutchinson's estimate from products with its Gauss-Newton operator."""
    from curvlinops import GGNLinearOperator, hutchinson_diag

    y = torch.zeros(len(x), dtype=torch.long)
    data = list(zip(x.split(batch), y.split(batch), strict=True))
    loss = nn.CrossEntropyLoss()
    found = GGNLinearOperator(network, loss, list(network.parameters()), data, check_deterministic=False)
    return {"all": torch.as_tensor(hutchinson_diag(found, products))}


def nngeometry(network: nn.Module, x: Tensor, batch: int = 16) -> Diagonal:
    """The diagonal FIM of nngeometry, of FIM of classification logits."""
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatDiag
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch)
    found = FIM(model=network, loader=loader, representation=PMatDiag, variant="classif_logits", device="cpu")
    return {"all": found.get_diag()}


def laplace(network: nn.Module, x: Tensor, batch: int = 16) -> Diagonal:
    """DiagLaplace of laplace-torch, with its own choice of backend."""
    from laplace import Laplace
    from torch.utils.data import DataLoader, TensorDataset

    found = Laplace(network, "classification", "all", "diag")
    found.fit(DataLoader(TensorDataset(x, torch.zeros(len(x), dtype=torch.long)), batch))
    return {"all": found.H / len(x)}


_QUICK = ("infoscope sketch", "infoscope label sampling", "vmap sketch")
ROWS: dict[str, Callable[[nn.Module, Tensor], Diagonal]] = {
    "infoscope exact": ours(Exact()),
    "infoscope sketch": ours(Sketch()),
    "infoscope label sampling": ours(MonteCarlo()),
    "vmap exact": by_vmap,
    "vmap sketch": lambda network, x: by_vmap(network, x, sketch=True),
    "BackPACK exact": backpack,
    "BackPACK label sampling": lambda network, x: backpack(network, x, sampled=True),
    "curvlinops, 10 products": curvlinops,
    "nngeometry exact": nngeometry,
    "laplace-torch exact": laplace,
}
FEW = {"laplace-torch exact": 16} | {f"gpt: {row}": 8 for row in ROWS if row not in _QUICK}
"""Examples that a row which would take hours is run on; its ratio and its error are of as many."""


def run(name: str, where: str, n: int, repeats: int) -> dict[str, Any]:
    """One row: processor seconds beside the plain pass's in turns, peak of memory, and the error."""
    torch.set_num_threads(1)
    network, x = torch.load(_kept("setting", where, n), weights_only=False)
    x = x[: FEW.get(f"{where}: {name}", FEW.get(name, n))]
    times: list[tuple[float, float]] = []
    ROWS[name](network, x[:4])
    for _ in range(repeats):
        start = time.process_time()
        plain(network, x)
        middle = time.process_time()
        found = ROWS[name](network, x)
        times.append((middle - start, time.process_time() - middle))
    flat = torch.cat([t.detach().flatten().double() for t in found.values()])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    truth = _truth(network, x, where, flat if name == "infoscope exact" else None)
    return {
        "seconds": min(t for _, t in times),
        "times forward and backward": min(t for _, t in times) / min(p for p, _ in times),
        "peak MiB": peak,
        "relative error": math.nan if truth is None else float((flat - truth).norm() / truth.norm()),
        "images": len(x),
    }


def _truth(network: nn.Module, x: Tensor, where: str, found: Tensor | None) -> Tensor | None:
    """The exact diagonal on these examples, kept for other rows; none where it takes too long."""
    kept = _kept("truth", where, len(x))
    if found is None and not kept.exists():
        if len(x) > FEW.get(f"{where}: infoscope exact", len(x)):
            return None
        found = torch.cat([t.flatten() for t in ours(Exact())(network, x).values()])
    if found is not None:
        torch.save(found, kept)
    return torch.load(kept)


def _kept(what: str, where: str, n: int) -> Path:
    return Path(tempfile.gettempdir()) / f"fisher-{what}-{where}-{n}.pt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10, tinyshakespeare and weights")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the other libraries")
    parser.add_argument("--only", action="append", help="names of rows, or of settings")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        torch.save(setting(given.make, given.data, given.images), _kept("setting", given.make, given.images))
        for of in Path(tempfile.gettempdir()).glob(f"fisher-truth-{given.make}-*.pt"):
            of.unlink()
        return
    if given.row:
        print(json.dumps(run(*given.row, given.images, given.repeats)))
        return
    names = [f"{where}: {row}" for where in SETTINGS for row in ROWS]
    found, made = dict[str, Any](), set[str]()
    only = "".join(f' --only "{name}"' for name in given.only or ())
    size = f"--images {given.images} --repeats {given.repeats}"
    told_of = circumstances(f"python benchmarks/fisher.py --data DATA {size} --peers PYTHON{only}")
    again = [given.peers, __file__, "--data", str(given.data), "--images", str(given.images), "--repeats",
             str(given.repeats)]  # fmt: skip
    for name in names:
        where, row = name.split(": ")
        if given.only and not {where, row, name} & set(given.only):
            continue
        if where not in made:
            # A process's peak begins with that of its parent, which so loads no data itself.
            subprocess.run([*again, "--make", where], check=True)
            made.add(where)
        done = subprocess.run([*again, "--row", row, where], capture_output=True, text=True, check=False)
        lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
        last = lines[-1] if lines else "it died"
        result = json.loads(last) if done.returncode == 0 else {"failed": last[:100]}
        found[name] = result | {"circumstances": told_of}
        print(name, result, flush=True)
        kept = merge(RESULTS / "fisher.json", found, names)
        (RESULTS / "fisher.md").write_text(_page(kept))


def _page(rows: Mapping[str, Any]) -> str:
    header = ("network: method", "× forward and backward", "CPU s", "peak MiB", "relative error", "examples")
    cells = [
        (name, row["failed"], "", "", "", "") if "failed" in row else (
            name, f"{row['times forward and backward']:.2f}", f"{row['seconds']:.2f}", f"{row['peak MiB']:.0f}",
            f"{row['relative error']:.2g}", str(row["images"]))
        for name, row in rows.items()
    ]  # fmt: skip
    return f"# Diagonal of the Fisher information\n\n{__doc__}\n{table(header, cells)}\n\n{told(rows)}\n"


if __name__ == "__main__":
    main()
