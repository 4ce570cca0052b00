from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from infoscope import Labels, Massart, Mislabelled, Real, Task, ask, mislabelled
from infoscope.cli import run
from infoscope.data.texts import Texts
from infoscope.figure import Gallery
from infoscope.model_information.mislabelled.label_noise import of_probabilities
from infoscope.model_information.mislabelled.tiles import png
from infoscope.model_information.mislabelled.wrong_numbers import suspicion
from infoscope.prequential.leave_one_out import leave_one_out


def teacher(n: int, classes: int, rate: float, seed: int, slope: float = 4.0):
    """True posteriors, and labels drawn from them of which a share is replaced by another class."""
    rng = np.random.default_rng(seed)
    z = slope * rng.normal(size=(n, classes))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    wrong = rng.random(n) < rate
    return p, np.where(wrong, (y + rng.integers(1, classes, n)) % classes, y), wrong


def test_the_posterior_under_a_known_channel_is_found():
    """With the true π and the true rate s, P(wrong) = s (1 − π) / (C − 1) / q(given)."""
    p, y, _ = teacher(4000, 5, 0.1, seed=0)
    found = of_probabilities(p, y)
    own = p[np.arange(4000), y]
    noise = 0.1 * (1 - own) / 4
    truth = noise / (0.9 * own + noise)
    assert abs(found.wrong - truth).mean() < 0.01
    assert np.allclose(found.bits, -np.log2(own), atol=0.3 + 0.1 * abs(np.log2(own)))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_the_count_covers_the_truth_and_nine_in_ten_of_the_sure_are_wrong(rate):
    inside, sure, hits = 0, 0, 0
    for seed in range(10):
        p, y, wrong = teacher(600, 4, rate, seed)
        found = of_probabilities(p, y)
        inside += found.lower <= wrong.sum() <= found.upper
        flagged = found.wrong > 0.9
        sure, hits = sure + flagged.sum(), hits + (flagged & wrong).sum()
    assert inside >= 8
    assert hits / sure > 0.9


def test_clean_labels_raise_hardly_an_alarm():
    alarms = 0
    for seed in range(5):
        p, y, _ = teacher(600, 4, 0.0, seed)
        found = of_probabilities(p, y)
        assert not (found.wrong > 0.9).any()
        alarms += int((found.wrong > 0.5).sum())
        assert found.lower == 0.0
    assert alarms <= 6  # of 3,000


def test_a_noise_of_one_class_is_told_from_that_of_all():
    """A third of class 0 is given as class 1: class 1's labels are suspect, the others are not."""
    p, y, _ = teacher(3000, 4, 0.0, seed=0, slope=8.0)
    moved = (y == 0) & (np.arange(3000) % 3 == 0)
    found = of_probabilities(p, np.where(moved, 1, y))
    assert found.accounts == ("every class has a noise of its own",)
    assert average_precision_score(moved, found.wrong) > 0.97
    assert (found.suggested[moved] == 0).mean() > 0.97


@pytest.mark.parametrize("cuts", [(4, 5, 6, 7, 8, 9, 10, 11, 12, 14), tuple(range(1, 29))])
def test_grades_that_the_inputs_leave_open_are_no_errors(shared_data, cuts):
    """Rings of abalones are foretold to two or three: a neighbour's number is no wrong label."""
    whole = Task.from_dataset(str(shared_data("tables") / "abalone.csv"))
    task = Task.from_arrays(whole.array[::5], np.digitize(whole.y[::5].numpy(), cuts))
    (part,) = ask(Mislabelled(task)).parts
    assert part.found.undecided
    assert part.found.lower == 0
    assert part.found.count < 0.05 * len(task)


LONG = [pytest.param(rate, marks=pytest.mark.long) for rate in (0.05, 0.1)]


@pytest.mark.parametrize("rate", [0.02, 0.2, *LONG])
def test_planted_errors_on_digits_come_first(rate):
    whole = Task.from_dataset("digits")
    rng = np.random.default_rng(int(1000 * rate))
    wrong = rng.random(len(whole)) < rate
    y = np.where(wrong, (whole.y.numpy() + rng.integers(1, 10, len(whole))) % 10, whole.y.numpy())
    answer = ask(Mislabelled(Task.from_arrays(whole.array.numpy(), y)))
    (part,) = answer.parts
    assert average_precision_score(wrong, part.found.wrong) > 0.995
    assert (part.found.suggested == whole.y.numpy())[wrong & (part.found.wrong > 0.5)].mean() > 0.99


def test_numbers_that_are_not_what_the_others_say():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = (x @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=300)).round(2)
    y[[7, 100]] += [6, -6]
    answer = ask(Mislabelled(Task.from_arrays(x, y, target=Real(0.01, -15.0, 15.0))))
    (part,) = answer.parts
    assert np.flatnonzero(part.found.wrong > 0.9).tolist() == [7, 100]
    row = next(row for row in answer.record() if row.coordinates.get("index") == 7)
    assert abs(float(row.coordinates["suggested"]) - (y[7] - 6)) < 0.5


def test_the_units_of_numbers_do_not_matter():
    rng = np.random.default_rng(1)
    means, y = rng.normal(size=(2, 200)), rng.normal(size=200)
    y[:150] = means[0, :150] + 0.1 * y[:150]
    first, second = (suspicion(k * means, np.ones((2, 200)), k * y, k * 0.01) for k in (1.0, 1000.0))
    assert np.allclose(first.wrong, second.wrong, atol=0.02)


def test_several_labels_at_once_are_told_by_name():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 2))
    y = (x > 0).astype(int)
    far = np.flatnonzero(x[:, 1] > 0.6)[::10][:4]
    y[far, 1] = 0
    y[np.argmax(abs(x[:, 0])), 0] = -1
    record = mislabelled(Task.from_arrays(x, y, target=Labels(("warm", "wet"))))
    found = [row.coordinates for row in record if "index" in row.coordinates]
    assert sorted(at["index"] for at in found) == sorted(far)
    assert {(at["of"], at["label"], at["suggested"]) for at in found} == {("wet", 0, 1)}
    counts = [row for row in record if row.measurement.quantity == "wrong labels"]
    assert [row.measurement.receipt.n for row in counts] == [199, 200]


def test_texts_show_their_words():
    texts = [f"the {a} {b} cat purrs" if i % 2 else f"a {a} {b} dog barks" for i, (a, b) in enumerate(WORDS)]
    y = np.arange(len(texts)) % 2
    y[[11, 30, 41]] = 0, 1, 0
    answer = ask(Mislabelled(Task.from_arrays(Texts.of(texts), y)))
    (gallery,) = answer.figures()
    assert isinstance(gallery, Gallery)
    assert {tile.text for tile in gallery.tiles} <= {texts[11], texts[30], texts[41]}
    assert any(tile.words.startswith("#11: 0 → 1") for tile in gallery.tiles)


FIRST, SECOND = "big old sad red wet shy", "calm loud tame wild odd slow fat thin"
WORDS = [(a, b) for a in FIRST.split() for b in SECOND.split()]


def test_probabilities_of_the_caller(tmp_path):
    p, y, wrong = teacher(300, 3, 0.1, seed=3, slope=8.0)
    task = Task.from_arrays(np.zeros((300, 1)), y)
    np.save(tmp_path / "p.npy", p)
    np.savez(tmp_path / "p.npz", probs=p)
    np.savetxt(tmp_path / "p.csv", p, delimiter=",", header="a,b,c", comments="", fmt="%.17g")
    records = [ask(Mislabelled(task, probs=tmp_path / f"p.{end}")).record() for end in ("npy", "npz", "csv")]
    values = [[row.measurement.value for row in record] for record in records]
    assert values[0] == values[1]
    assert np.allclose(values[0], values[2], rtol=1e-9)
    assert len(values[0]) > 5 + 0.5 * wrong.sum()


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (np.full((9, 3), 1 / 3), r"has shape \(9, 3\).*has 20 examples and 3 classes"),
        (np.full((20, 2), 0.5), r"has shape \(20, 2\)"),
        (np.full((20, 3), 0.5), "20 of 20 rows are no probabilities, the first is row 0"),
        (np.full((20, 3), np.nan), "20 of 20 rows are no probabilities"),
    ],
)
def test_what_are_no_probabilities_is_refused(tmp_path, p, said):
    np.save(tmp_path / "p.npy", p)
    task = Task.from_arrays(np.zeros((20, 1)), np.arange(20) % 3)
    with pytest.raises(ValueError, match=said):
        ask(Mislabelled(task, probs=tmp_path / "p.npy"))


def test_what_it_can_say_nothing_of_is_refused(tmp_path):
    few = Task.from_arrays(np.zeros((4, 1)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="has 4 examples of 2 classes"):
        ask(Mislabelled(few))
    numbers = Task.from_arrays(np.zeros((20, 1)), np.arange(20.0), target=Real(1.0, 0.0, 19.0))
    with pytest.raises(ValueError, match="probs are of one class an example"):
        ask(Mislabelled(numbers, probs=tmp_path / "p.npy"))
    with pytest.raises(ValueError, match="no such file"):
        ask(Mislabelled(Task.from_dataset("iris"), probs=tmp_path / "p.npy"))
    with pytest.raises(ValueError, match="leave out the other"):
        Mislabelled(few, probs=tmp_path / "p.npy", features=lambda x: x)


def test_the_command_line(tmp_path, capsys):
    out = tmp_path / "run"
    assert run(["mislabelled", "iris", "--corrupt", "massart=0.1", "--show", "3", "--json", "--out", str(out)]) == 0
    rows = json.loads(capsys.readouterr().out)["measurements"]
    suspects = [row for row in rows if row["quantity"] == "P(wrong)"]
    assert 0 < len(suspects) <= 3
    assert set(suspects[0]) >= {"index", "label", "suggested", "value"}
    with (out / "mislabelled.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 150
    assert table[0]["index"] == str(suspects[0]["index"])
    assert set(table[0]) == {"index", "label", "suggested", "P(wrong)", "bits"}
    assert '<figure class="gallery">' in (out / "report.html").read_text(encoding="utf-8")


def test_a_png_is_read_back():
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(image.open(io.BytesIO(png(pixels)))), pixels)


def test_regressions_see_no_label_of_the_example_itself():
    """A label that is changed changes no number that is said of it."""
    task = Task.from_dataset("iris")
    other = Task.from_arrays(task.array.numpy(), np.where(np.arange(150) == 4, 2, task.y.numpy()))
    before, after = leave_one_out(task), leave_one_out(other)
    assert np.allclose(before.means[:, 4], after.means[:, 4], atol=1e-4)


def test_massart_noise_on_a_table_is_counted():
    task = Task.from_dataset("breast_cancer").corrupted(Massart(0.2), seed=1)
    clean = Task.from_dataset("breast_cancer")
    truth = int((task.y != clean.y).sum())
    (part,) = ask(Mislabelled(task)).parts
    assert part.found.lower <= truth <= part.found.upper


def test_grades_are_no_wrong_numbers():
    """Whole numbers about what can be foretold of them: that they lie on a lattice says nothing of wrong ones."""
    rng = np.random.default_rng(0)
    mean = rng.normal(scale=0.5, size=800)
    grades = np.round(mean + 0.7 * rng.normal(size=800))
    found = suspicion(mean[None], np.ones((1, 800)), grades, 1.0)
    assert found.count < 20
    assert not (found.wrong > 0.9).any()
    grades[:40] = rng.permutation(grades[:40]) + 6
    again = suspicion(mean[None], np.ones((1, 800)), grades, 1.0)
    assert (again.wrong[:40] > 0.9).all()
    assert (again.wrong[40:] > 0.9).sum() <= 1


def test_noise_that_saturated_evidence_could_explain_by_nature_is_found_all_the_same():
    """Where the others always say 4 to 1, either a fifth is wrong or all is unclear: the interval holds both."""
    rng = np.random.default_rng(1)
    true = np.arange(1000) % 2
    wrong = rng.random(1000) < 0.2
    margin = (2 * true - 1)[:, None] * 0.3 + 0.03 * rng.normal(size=(1000, 1))
    p = 1 / (1 + np.exp(-4.6 * np.hstack([-margin, margin])))
    found = of_probabilities(p / p.sum(1, keepdims=True), np.where(wrong, 1 - true, true))
    assert found.undecided
    assert found.lower == 0 < wrong.sum() <= found.upper
    assert not (found.wrong > 0.5)[~wrong].any()
    assert (found.wrong > 0.5)[wrong].mean() > 0.8


def test_errors_where_the_inputs_are_unclear_lie_within_the_interval():
    """An annotator who errs as he is unsure makes labels that nature might have made: both ends are left open."""
    for seed in range(3):
        p, y, _ = teacher(800, 3, 0.0, seed, slope=3.0)
        true = p.argmax(1)  # the inputs decide the class, and the annotator is unsure
        found = of_probabilities(p, y)
        assert found.undecided
        assert found.lower <= (y != true).sum() <= found.upper
