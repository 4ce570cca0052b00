"""PAC-Bayes with backprop as its paper describes it, restated: mean-field, bounded cross-entropy, quadratic or λ bound.

    python benchmarks/peers/pbb_code.py --objective quadratic --epochs 100 --width 32

Pérez-Ortiz, Rivasplata, Shawe-Taylor & Szepesvári 2021, §5-6: q = N(μ, σ²) a weight, σ = log(1 + e^ρ), p = N(w0, σ0²)
around the random start; a draw of the weights a batch; the cross-entropy with probabilities from p_min = 1e-5 on,
divided by log 1/p_min; SGD with momentum 0.95; f_quad their eq. (15), f_λ their eq. (16), λ trained too. The
certificate is kl⁻¹ of kl⁻¹(mean of m draws | log(2/δ')/m), with δ = 0.025 and δ' = 0.01. On scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import json
import math
from itertools import pairwise
from time import process_time

import torch
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.task import Task
from infoscope.weight_information.confidence import mean_upper_by_kl
from infoscope.weight_information.pac_bayes import kl_bound

P_MIN, DELTA, DELTA_DRAWS = 1e-5, 0.025, 0.01


def main() -> None:
    """One training at each σ0 and learning rate; all are told, none is paid for."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--objective", choices=("quadratic", "lambda"), default="quadratic")
    asked.add_argument("--width", type=int, default=32, help="hidden units, ReLU; 0 for softmax regression")
    asked.add_argument("--epochs", type=int, default=100)
    asked.add_argument("--batch", type=int, default=250)
    asked.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.1])
    asked.add_argument("--scales", type=float, nargs="+", default=[0.03, 0.1, 0.3])
    asked.add_argument("--draws", type=int, default=2000)
    told = asked.parse_args()
    torch.set_num_threads(1)
    digits = Task.from_dataset("digits")
    x, y = digits.array.flatten(1).float(), digits.labels
    for scale in told.scales:
        for rate in told.rates:
            print(json.dumps({"scale": scale, "rate": rate, **train(x, y, scale, rate, told)}), flush=True)


def train(x: Tensor, y: Tensor, scale: float, rate: float, told: argparse.Namespace) -> dict[str, float]:
    """Bring the objective down; the certificate, and the CPU seconds of training."""
    torch.manual_seed(0)
    n, sizes = len(y), [64, *([told.width] if told.width else []), 10]
    start: list[Tensor] = []
    for a, b in pairwise(sizes):
        start += [torch.nn.init.trunc_normal_(torch.empty(b, a), 0, 1 / math.sqrt(a), -2, 2), torch.zeros(b)]
    means = [t.clone().requires_grad_() for t in start]
    rhos = [torch.full_like(t, math.log(math.expm1(scale))).requires_grad_() for t in start]
    lam = torch.tensor(0.5).requires_grad_()
    optimizer = torch.optim.SGD([*means, *rhos], rate, momentum=0.95)
    of_lambda = torch.optim.SGD([lam], rate, momentum=0.95)
    begin = process_time()
    for _ in range(told.epochs):
        for rows in torch.randperm(n).split(told.batch):
            loss = bounded(outputs(x[rows], drawn(means, rhos)), y[rows])
            c = (divergence(means, rhos, start, scale) + math.log(2 * math.sqrt(n) / DELTA)) / n
            if told.objective == "quadratic":
                whole = ((loss + c / 2).sqrt() + (c / 2).sqrt()) ** 2
            else:
                whole = loss / (1 - lam / 2) + c / (lam * (1 - lam / 2))
            optimizer.zero_grad()
            of_lambda.zero_grad()
            whole.backward()
            optimizer.step()
            if told.objective == "lambda":
                of_lambda.step()
                lam.data.clamp_(0.05, 1.95)
    seconds = process_time() - begin
    with torch.no_grad():
        kl = float(divergence(means, rhos, start, scale))
        wrong = [(outputs(x, drawn(means, rhos)).argmax(1) != y).double().mean() for _ in range(told.draws)]
    risk = float(torch.stack(wrong).mean())
    bound = kl_bound(mean_upper_by_kl(risk, told.draws, DELTA_DRAWS), kl, n, DELTA)
    return {"certificate": bound, "risk": risk, "kl": kl, "cpu_s": seconds}


def drawn(means: list[Tensor], rhos: list[Tensor]) -> list[Tensor]:
    """One draw of all weights."""
    return [m + F.softplus(r) * torch.randn_like(m) for m, r in zip(means, rhos, strict=True)]


def outputs(x: Tensor, w: list[Tensor]) -> Tensor:
    """Logits of a network of one hidden layer, or none."""
    if len(w) > 2:
        x = torch.relu(x @ w[0].T + w[1])
    return x @ w[-2].T + w[-1]


def bounded(z: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy in [0, 1]."""
    return F.nll_loss(F.log_softmax(z, 1).clamp(min=math.log(P_MIN)), y) / math.log(1 / P_MIN)


def divergence(means: list[Tensor], rhos: list[Tensor], start: list[Tensor], scale: float) -> Tensor:
    """KL(q‖p), nats."""
    total = torch.zeros(())
    for m, r, at in zip(means, rhos, start, strict=True):
        v = F.softplus(r).square() / scale**2
        total = total + 0.5 * ((m - at).square() / scale**2 + v - 1 - v.log()).sum()
    return total


if __name__ == "__main__":
    main()
