"""The glossary as data: every quantity the library reports, and the words around it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from infoscope.measurement import Bound, Status


@dataclass(frozen=True)
class Quantity:
    """A term: symbol, unit, side, meaning in plain words, equation and source; `aliases` are its other names."""

    symbol: str
    name: str
    unit: str
    bound: Bound
    meaning: str
    equation: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "L(y|x)",
        "prequential codelength",
        "bit",
        Bound.UPPER,
        "Bits needed to send the labels to somebody who has the inputs, by a predictor that learns as it sends. "
        "Small: the labels follow from the inputs by a rule that is quickly learned. As long as the uniform code: "
        "nothing was learned.",
        "L(y_1:n | x_1:n) = −Σ_i log2 p(y_i | x_≤n, y_<i)",
        "Dawid 1984; Blier & Ollivier 2018",
        ("codelength", "description length", "prequential", "mdl"),
    ),
    Quantity(
        "n log C",
        "uniform code",
        "bit",
        Bound.EXACT,
        "Bits for n labels when only the alphabet of C classes is known: the cost of knowing nothing. For other "
        "targets what all cost one who knows only what may occur: a bit a label, log2 of the bins a number, log2 V a "
        "token.",
        "n log2 C",
        "",
        ("uniform",),
    ),
    Quantity(
        "n H(Y)",
        "label entropy",
        "bit",
        Bound.EXACT,
        "Bits for n labels when their frequencies are known and the inputs are not seen. A codelength far below it "
        "means that the inputs tell the labels.",
        "n H(Y) = −n Σ_c p_c log2 p_c",
        "Shannon 1948",
        ("entropy", "h(y)"),
    ),
    Quantity(
        "L(M,D)",
        "model information",
        "bit",
        Bound.NONE,
        "Bits that a trained network saves when it sends labels it has not been trained on, against the same network "
        "untrained: the generalisable information that training put into it. A difference of two upper bounds, so it "
        "may err on either side and may be negative.",
        "L(M,D) = L_init(y_1:k | x_1:k) − L_trained(y_1:k | x_1:k)",
        "Zhang et al. 2020, eq. (2)",
        ("model information", "information", "l_it", "information transfer"),
    ),
    Quantity(
        "L_init(y|x)",
        "codelength from the initial weights",
        "bit",
        Bound.UPPER,
        "First term of the model information: the held-out labels sent by a network that starts untrained.",
        "",
        "Zhang et al. 2020, eq. (2)",
    ),
    Quantity(
        "L_trained(y|x)",
        "codelength from the trained weights",
        "bit",
        Bound.UPPER,
        "Second term of the model information: the same labels in the same order, sent by the trained network.",
        "",
        "Zhang et al. 2020, eq. (2)",
    ),
    Quantity(
        "L(y|x) − L_final, memorisation included",
        "codelength minus final loss",
        "bit",
        Bound.NONE,
        "What was learned along the way, memorised noise included: it is large on random labels, where model "
        "information is zero.",
        "L(y_1:N | x_1:N) + Σ_i log2 p_θN(y_i)",
        "Voita & Titov 2020; eq. (1) of 'Model Information as an Analysis Tool'",
        ("memorisation",),
    ),
    Quantity(
        "I(X;T)",
        "information about the input",
        "bit",
        Bound.NONE,
        "Bits that a layer's activations tell about which input was shown. For a deterministic layer and continuous "
        "inputs it is infinite; binned or with noise it depends on the bins or the noise, which the method names.",
        "I(X;T) = H(T) − H(T|X)",
        "Shwartz-Ziv & Tishby 2017; Saxe et al. 2018",
        ("input information", "information plane"),
    ),
    Quantity(
        "I(T;Y)",
        "information about the label",
        "bit",
        Bound.NONE,
        "Bits that a layer's activations tell about the label; at most H(Y), and it cannot grow along the layers.",
        "I(T;Y) = H(T) − Σ_y p(y) H(T|Y=y)",
        "Shwartz-Ziv & Tishby 2017",
        ("label information",),
    ),
    Quantity(
        "I(X;Y)",
        "mutual information",
        "bit",
        Bound.NONE,
        "Bits that one variable tells about another: 0 if they are independent. An estimate may be negative.",
        "I(X;Y) = E[log2 p(x,y) / p(x) p(y)]",
        "Shannon 1948",
        ("mutual information", "mi"),
    ),
    Quantity(
        "null",
        "shuffled baseline",
        "1",
        Bound.NONE,
        "The same estimate after the labels were shuffled, when there is nothing to find; a value not more than two "
        "deviations above it is INSIGNIFICANT.",
        "",
        "",
        ("shuffled labels", "baseline", "permutation"),
    ),
    Quantity(
        "accuracy",
        "accuracy",
        "1",
        Bound.NONE,
        "Fraction of held-out examples whose most probable class is the true one.",
    ),
    Quantity(
        "micro-accuracy",
        "micro-accuracy",
        "1",
        Bound.NONE,
        "Fraction of all yes-or-no labels of held-out examples whose probability lies on the right side of one half.",
    ),
    Quantity(
        "R²",
        "explained variance",
        "1",
        Bound.NONE,
        "Share of the variance of held-out numbers that a network's predictions explain; below 0: worse than the mean.",
        "1 − Σ(y − f)² / Σ(y − ȳ)²",
        "",
        ("r2", "coefficient of determination"),
    ),
    Quantity(
        "loss a token",
        "loss a token",
        "bit",
        Bound.NONE,
        "Mean bits that a frozen network needs for the next token of held-out text; two to this power is the "
        "perplexity.",
        "−1/n Σ_t log2 p(y_t | y_<t)",
        "",
        ("perplexity",),
    ),
    Quantity(
        "confidence",
        "confidence",
        "1",
        Bound.NONE,
        "Mean lead of the most probable class over the second, on held-out examples.",
        "E_x[p_c1(x) − p_c2(x)]",
        "'Model Information as an Analysis Tool', eq. (9)-(11)",
        ("margin",),
    ),
    Quantity(
        "surplus",
        "surplus description length",
        "bit",
        Bound.NONE,
        "Bits paid above a tolerated loss until the predictor has learned to keep it.",
        "Σ_i (loss_i − ε)₊",
        "Whitney et al. 2020",
        ("surplus description length", "sdl"),
    ),
    Quantity(
        "sample complexity",
        "ε-sample complexity",
        "1",
        Bound.NONE,
        "Number of labels after which the next one costs at most a given loss.",
        "min {n : loss_n ≤ ε}",
        "Whitney et al. 2020",
    ),
    Quantity(
        "d(w0,w)",
        "weight distance",
        "1",
        Bound.NONE,
        "How far training carried the weights, mean over networks. It grows with the learning rate and the number of "
        "steps as with what is learned: compare at matched loss too, and only networks of one architecture. It orders; "
        "it counts no bits.",
        "|w − w0| = √Σ_k (w_k − w0_k)²",
        "Yang et al. 2021, Table 2",
        ("distance", "weight distance mean", "distance between weights"),
    ),
    Quantity(
        "d(w0,w) at matched loss",
        "weight distance at equal fit",
        "1",
        Bound.NONE,
        "How far training carried the weights when the mean training loss of an epoch first came down to one value: "
        "networks that learn at different speeds are compared at equal fit, not at equal steps.",
        "|w_t − w0|, t = min {t : loss_t ≤ l}",
    ),
    Quantity(
        "d(w0,w) aligned",
        "weight distance, aligned",
        "1",
        Bound.NONE,
        "The weight distance after the hidden units of the final network changed places to lie near the initial one's: "
        "what remains is no mere change of places.",
        "min_π |π(w) − w0|, as far as weight matching finds it",
        "Ainsworth et al. 2023",
        ("aligned",),
    ),
    Quantity(
        "d(w0,w) balanced",
        "weight distance at canonical scales",
        "1",
        Bound.NONE,
        "The weight distance after the scales that the function does not feel were made canonical before and after "
        "training: ReLU units with equal norms in and out, what batch normalisation follows at norm 1.",
        "",
        "Stock et al. 2019",
        ("balanced",),
    ),
    Quantity(
        "own start nearest",
        "share of ends nearest to their own start",
        "1",
        Bound.NONE,
        "Of all initial networks, the own one is nearest to the final network.",
        "",
        "Yang et al. 2021, Table 2",
        ("nearest",),
    ),
    Quantity(
        "own end nearest",
        "share of starts nearest to their own end",
        "1",
        Bound.NONE,
        "The condition under which the paper lets the distance stand for information. In many dimensions it is weak: "
        "independent starts are far apart.",
        "",
        "Yang et al. 2021, eq. (4)",
    ),
    Quantity(
        "training loss",
        "training loss",
        "bit",
        Bound.NONE,
        "Mean cross-entropy over the last epoch, while its steps were taken.",
    ),
    Quantity(
        "MDS explained",
        "share that a picture holds",
        "1",
        Bound.NONE,
        "The sum of the picture's eigenvalues by the sum of all absolute ones.",
        "Σ_{k≤m} λ_k / Σ_k |λ_k|",
        "Torgerson 1952",
    ),
    Quantity(
        "sd d(w0,w)",
        "deviation of the weight distance",
        "1",
        Bound.NONE,
        "Standard deviation of the weight distance over networks (n − 1).",
    ),
    Quantity(
        "c_v d(w0,w)",
        "coefficient of variation",
        "1",
        Bound.NONE,
        "Deviation of the weight distance by its mean: a ratio, 0.02 is the 2 % of the paper's table.",
        "c_v = s / mean",
        "Yang et al. 2021, Table 2",
        ("c_v", "variation"),
    ),
    Quantity(
        "d(w_t,w)",
        "distance to the final weights",
        "1",
        Bound.NONE,
        "How far a network on its way still is from where it ends; at epoch 0 it is the weight distance.",
        "|w_t − w|",
        "Yang et al. 2021, Figures 6 and 7",
    ),
    Quantity(
        "d_F(w0,w)",
        "Fisher distance",
        "1",
        Bound.NONE,
        "Weight distance in the metric of a diagonal Fisher information: directions that no prediction depends on "
        "don't count. Half its square is the divergence of the predictions to second order, in nats.",
        "√Σ_k F_k (w_k − w0_k)²",
    ),
    Quantity(
        "|p−q|",
        "distance of predictions",
        "1",
        Bound.NONE,
        "Mean over inputs of the Euclidean distance of two networks' predicted probabilities: no symmetry of the "
        "weights changes it.",
    ),
    Quantity(
        "JS(p,q)",
        "Jensen-Shannon divergence of predictions",
        "bit",
        Bound.NONE,
        "Mean over inputs of the divergence of two networks' predicted probabilities, at most 1 bit.",
        "H((p+q)/2) − H(p)/2 − H(q)/2",
        "Lin 1991",
        ("jensen-shannon", "function space"),
    ),
    Quantity(
        "|w−w0|²/2λ²",
        "distance as a codelength",
        "bit",
        Bound.NONE,
        "Bits that a Gaussian prior of deviation λ about the initial weights charges for moving the centre to the "
        "final ones. One term of the price of the weights; the widths cost extra.",
        "|w − w0|² / 2λ²",
        "Hinton & van Camp 1993",
        ("gaussian codelength",),
    ),
    Quantity(
        "QMCM",
        "QMCM distance",
        "1",
        Bound.NONE,
        "Mean distance after distances far from the mean were replaced until c_v ≤ t. Where anything was replaced it "
        "is biased to where distances are dense (Exp(1), of mean 1, comes out as 0.01 to 0.28): read the plain mean.",
        "",
        "Yang et al. 2021, Algorithm 2",
        ("quasi monte carlo",),
    ),
    Quantity(
        "log |supp p0|/|supp p|",
        "support information",
        "bit",
        Bound.EXACT,
        "Bits learned when weights that were uniform on one set become uniform on a smaller one.",
        "I = log2(|supp p0| / |supp p|)",
        "Yang et al. 2021, Theorem 2, its ratio turned over",
        ("support",),
    ),
    Quantity(
        "MDS radius",
        "radius of the MDS picture",
        "1",
        Bound.NONE,
        "Mean distance of the points of a classical-scaling picture from their centre. It shrinks as fewer dimensions "
        "explain less: read the explained share beside it.",
        "",
        "Torgerson 1952; Yang et al. 2021, Figure 1",
        ("mds", "multidimensional scaling"),
    ),
    Quantity(
        "sd MDS radius",
        "deviation of the MDS radius",
        "1",
        Bound.NONE,
        "Standard deviation of the points' distances from their centre (n − 1).",
    ),
    Quantity(
        "bit",
        "bit and nat",
        "bit",
        Bound.NONE,
        "A bit is the information of one fair coin flip; a nat is 1/ln 2 = 1.4427 bits. The library computes in nats "
        "and prints bits. A kbit is 1000 bits.",
        "",
        "",
        ("nat", "kbit", "unit"),
    ),
    Quantity(
        "order",
        "coding order",
        "1",
        Bound.NONE,
        "The random order in which labels are sent, drawn from a seed. A codelength depends on it a little.",
        "",
        "",
        ("orders", "seed", "replicate"),
    ),
    Quantity(
        "±",
        "standard error",
        "1",
        Bound.NONE,
        "How far the mean over replicates may be from the mean over all: the deviation over coding orders and seeds, "
        "divided by the root of their number. Unknown (null in JSON) for a single replicate. It says nothing about "
        "other data.",
        "s / √r",
        "",
        ("stderr", "error"),
    ),
    Quantity(
        "bound",
        "side of a measurement",
        "1",
        Bound.NONE,
        "Upper: the true value is at most this. Lower: at least this. Exact: neither. None: it may err on both "
        "sides, as a difference of two upper bounds does.",
        "",
        "",
        ("upper", "lower", "side"),
    ),
)


def explain(term: str) -> str:
    """What a term means, in a few lines; a ValueError names the nearest terms if it is unknown.

    >>> print(explain("SATURATED"))
    SATURATED (a warning): within 5 % of the most this estimator can report: take more samples or a larger batch.
    """
    wanted = term.strip().casefold()
    for status in Status:
        if wanted == status.name.casefold():
            return f"{status.name} (a warning): {status.value}."
    by_name = {name.casefold(): q for q in QUANTITIES for name in (q.symbol, q.name, *q.aliases)}
    if wanted not in by_name:
        near = difflib.get_close_matches(wanted, [*by_name, *(s.name.casefold() for s in Status)], 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "infoscope list terms shows them all"
        raise ValueError(f"no term {term!r}; {hint}")
    return _entry(by_name[wanted])


def terms() -> dict[str, str]:
    """Every term with its one-line name."""
    return {q.symbol: q.name for q in QUANTITIES} | {s.name: s.value for s in Status}


def _entry(q: Quantity) -> str:
    side = {Bound.UPPER: ", an upper bound", Bound.LOWER: ", a lower bound", Bound.EXACT: ", exact"}.get(q.bound, "")
    unit = "bits" if q.unit == "bit" else "no unit"
    lines = [f"{q.symbol}: {q.name} ({unit}{side})", q.meaning]
    lines += [f"    {q.equation}"] if q.equation else []
    lines += [f"Source: {q.source}."] if q.source else []
    return "\n".join(lines)
