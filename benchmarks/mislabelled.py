"""Wrong labels that are planted, found by `infoscope mislabelled` and by cleanlab in the same run.

    python benchmarks/mislabelled.py --data DIR --cleanlab VENV/bin/python --out benchmarks/results/mislabelled.md

cleanlab (2.9.0, in an environment of its own) has the probabilities of 5-fold logistic regression on pixels, columns or
tf-idf, as its documentation does; `same probabilities` is ours on these very ones (`--probs`). Of cleanlab's five ways
to rank the best is shown, chosen on the reported labels, which favours it.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import infoscope
from infoscope import Task
from infoscope.data.texts import Texts
from infoscope.model_information.mislabelled.label_noise import of_probabilities
from infoscope.model_information.mislabelled.question import Mislabelled
from planted import NOISES, planted

SETS = {
    "digits": ("digits", None),
    "mnist": ("mnist:test", 1200),
    "notmnist": ("notmnist", 1200),
    "trec": ("trec:train", 1200),
    "banknote": ("tables/banknote.csv", None),
    "german_credit": ("tables/german_credit.csv", None),
    "ionosphere": ("tables/ionosphere.csv", None),
    "pima": ("tables/pima_diabetes.csv", None),
}
"""Constants were chosen on usps, fashion_mnist, phoneme, sst2 and digits, so all but the first are unseen."""

HEAD = (
    "set", "noise", "n", "wrong", "AP", "AP, same probabilities", "AP, cleanlab", "expected (90 %)", "covers",
    "P > .9: right of", "cleanlab: right of", "CPU s",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A set with labels of which some are wrong."""

    name: str
    noise: str
    task: Task
    wrong: np.ndarray
    p: np.ndarray


def cases(data: Path, only: list[str]) -> list[Case]:
    found = []
    for name, (source, most) in SETS.items():
        if only and name not in only:
            continue
        whole = Task.from_dataset(source if source == name else str(data / source))
        task = whole[np.random.default_rng(5).permutation(len(whole))[: most or len(whole)]]
        y, x = task.labels.numpy(), inputs(task)
        for kind, rate in NOISES:
            z = planted(kind, rate, y, task.classes, dense(task), zlib.crc32(f"{name}{kind}{rate}".encode()))
            noisy = Task.from_arrays(task.x, z, alphabet=task.alphabet, name=f"{name}, {kind}")
            found.append(Case(name, f"{kind} {rate:g}" if rate else kind, noisy, z != y, folds(x, z, task.classes)))
    return found


def dense(task: Task) -> np.ndarray:
    return task.x[:].flatten(1).float().numpy()


def inputs(task: Task):
    return (
        TfidfVectorizer(sublinear_tf=True).fit_transform(task.x.words()) if isinstance(task.x, Texts) else dense(task)
    )


def folds(x, y: np.ndarray, classes: int) -> np.ndarray:
    """Out-of-sample probabilities of logistic regression."""
    scaled = make_pipeline(StandardScaler(with_mean=isinstance(x, np.ndarray)), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = cross_val_predict(scaled, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=0), method="predict_proba")
    full = np.zeros((len(y), classes))
    full[:, np.unique(y)] = p
    return full


def by_cleanlab(python: Path | None, given: list[Case]) -> dict[str, np.ndarray]:
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        arrays, scores = Path(folder) / "arrays.npz", Path(folder) / "scores.npz"
        parts = {
            f"{i}:{k}": v for i, one in enumerate(given) for k, v in (("p", one.p), ("y", one.task.labels.numpy()))
        }
        np.savez(arrays, **parts)
        subprocess.run([python, Path(__file__).parent / "peers" / "cleanlab_code.py", arrays, scores], check=True)
        return dict(np.load(scores))


def row(i: int, case: Case, theirs: dict[str, np.ndarray]) -> list[str]:
    start = time.process_time()
    (part,) = infoscope.ask(Mislabelled(case.task)).parts
    seconds = time.process_time() - start
    found, same = part.found, of_probabilities(case.p, case.task.labels.numpy())
    scores = {k: v for k, v in theirs.items() if k.startswith(f"{i}:") and not k.endswith("issues")}
    best = max((precision(case.wrong, score) for score in scores.values()), default=float("nan"))
    n = int(case.wrong.sum())
    return [
        case.name, case.noise, str(len(case.wrong)), str(n), number(precision(case.wrong, found.wrong)),
        number(precision(case.wrong, same.wrong)), number(best),
        f"{found.count:.0f} ({found.lower:.0f} to {found.upper:.0f})",
        "yes" if found.lower <= n <= found.upper else "no", hits(case.wrong, found.wrong > 0.9),
        hits(case.wrong, theirs[f"{i}:issues"]) if theirs else "", f"{seconds:.1f}",
    ]  # fmt: skip


def precision(wrong: np.ndarray, score: np.ndarray) -> float:
    return float(average_precision_score(wrong, score)) if wrong.any() else float("nan")


def number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"


def hits(wrong: np.ndarray, flagged: np.ndarray) -> str:
    return f"{int((wrong & flagged).sum())} of {int(flagged.sum())}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cleanlab", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    given = cases(asked.data, asked.only)
    theirs = by_cleanlab(asked.cleanlab, given)
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    print(*lines, sep="\n")
    for i, case in enumerate(given):
        lines.append(f"| {' | '.join(row(i, case, theirs))} |")
        print(lines[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
