"""Which layer of a small transformer holds most about the label, beside the controls of probing."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from infoscope.data.task import Task, coding_order
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement
from infoscope.model_information.probing.answer import NONE, RANDOM, WORDS, ProbingAnswer
from infoscope.model_information.probing.probed import of_network
from infoscope.model_information.probing.question import Probing
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.look import Looks
from infoscope.run.question import Request, Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe
from small_transformer import SmallTransformer, tokens, vocabulary_of

LAYERS = ("embeddings", "blocks.?")
UNTRAINED = "untrained "
NOTES = (
    "No encoder could be fetched: the layers are those of a transformer of three blocks and width 48, trained on the "
    "spot on the sentences of the training part; what is probed are others.",
    "The paper probes parts of speech in ELMo by networks that are trained anew on each block; here the label is of "
    "the whole sentence and the code is in closed form. Its numbers are of other data, and none is repeated.",
    "One label a word type: the type of a sentence is its first word.",
)


@dataclass(frozen=True)
class ProbingStudy:
    """Codelength given the layers of a small transformer, beside controls: Voita & Titov (2020) on sentences.

    A transformer is trained on SST-2 and on TREC. The labels of other sentences are sent to one who has what a layer
    says of them, averaged over words; the same for the layers of an untrained one, for random labels, for one label a
    word type, and given a bag of words.

    What to expect: training saves bits in every block, control labels cost what they cost alone.

    Attributes
    ----------
    data
        A folder with `sst2` and `trec` in Hub layout.
    tasks
        Which of them.
    examples
        Sentences to probe with.
    train
        Sentences to train on.
    epochs
        Of the training, at most.
    replicates
        Coding orders.
    seed
        Of the training, the parts and the first order.
    """

    data: Path
    tasks: tuple[str, ...] = ("sst2", "trec")
    examples: Annotated[int, AtLeast(20)] = 500
    train: Annotated[int, AtLeast(20)] = 4000
    epochs: Annotated[int, AtLeast(1)] = 10
    replicates: Annotated[int, AtLeast(1)] = 2
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"train": 60_000, "examples": 800, "epochs": 30, "replicates": 5}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """Of one task after another: a training, two passes, the codes."""
        rows: list[Row] = []
        tables, claims, drawn = [], [], []
        for name in self.tasks:
            answer = yield from self._probed(Task.from_dataset(str(self.data / name)), device)
            rows += [Row({"task": name, **row.coordinates}, row.measurement) for row in answer.record()]
            tables.append(_table(name, answer))
            claims += _claims(name, answer)
            drawn += answer.figures()
        return StudyAnswer("Probing the layers of a small transformer", rows, tables, claims, NOTES, drawn)

    def _probed(self, task: Task, device: str) -> Generator[Request, Any, ProbingAnswer]:
        whole, held_out = task["train"], task["validation" if "validation" in task.splits else "test"]
        known = whole[coding_order(len(whole), self.seed)[: self.train]]
        coded = held_out[coding_order(len(held_out), self.seed)[: self.examples]]
        vocabulary = vocabulary_of(known.x.words(), 4000)  # type: ignore[union-attr]
        numbered, probed = (tokens(each, vocabulary, 32) for each in (known, coded))
        cut = len(numbered) * 9 // 10
        recipe = Recipe(Adam(1e-3), batch=32, epochs=self.epochs, patience=2)
        learner = Learner(SmallTransformer(len(vocabulary) + 2), recipe)
        population: Population = yield Train((Member(learner, numbered[:cut], self.seed, numbered[cut:]),))
        trained = learner.starting_from(population.trained(0).weights)
        source = of_network(probed, trained, LAYERS, "mean", self.seed, (self.seed,))
        first, untrained = yield Looks(source.looks)
        layers = dict(first.layers) | {f"{UNTRAINED}{layer}": rows for layer, rows in untrained.layers.items()}
        question = Probing(layers, coded, examples=len(coded), replicates=self.replicates, seed=self.seed)
        return (yield from question.stages(device))


def _table(name: str, answer: ProbingAnswer) -> Table:
    by_name = {layer.name: layer for layer in answer.layers}
    rows = []
    for layer in answer.layers:
        if not layer.name.startswith(UNTRAINED):
            bare = by_name[f"{UNTRAINED}{layer.name}"]
            lengths = [layer.length(), layer.length(RANDOM), layer.length(WORDS), bare.length()]
            rows.append((layer.name, *lengths, answer.shares[layer.name]))
    rows.append(
        (answer.alone.name, answer.alone.length(), answer.alone.length(RANDOM), answer.alone.length(WORDS), None, None)
    )
    if answer.plain is not None:
        rows.append((answer.plain.name, answer.plain.length(), None, None, None, None))
    n, bits = len(answer.labels), answer.layers[0].curves[NONE][0].uniform
    columns = ("layer", "the labels", "random labels", "one label a word type", "the labels, untrained", "P(best)")
    return Table(f"{name}: bits of {n} labels ({Measurement('n log C', bits).bits:.0f} uniformly)", columns, rows)


def _claims(name: str, answer: ProbingAnswer) -> list[Claim]:
    trained = [layer for layer in answer.layers if not layer.name.startswith(UNTRAINED)]
    bare = [layer for layer in answer.layers if layer.name.startswith(UNTRAINED)]
    best, other = (min(each, key=lambda layer: layer.length().value) for each in (trained, bare))
    gain, selective = other.length() - best.length(), best.selectivity(WORDS, answer.alone)
    later = trained[0].length() - best.length()
    held = Verdict.DIFFERENT_DATA
    return [
        Claim(f"{name}: labels cost less given a trained network's layer than an untrained one's",
              judged(gain.bits, gain.stderr_bits, held), f"{gain.bits:.0f} ± {gain.stderr_bits:.0f} bits"),
        Claim(f"{name}: more is saved on labels than on one label a word type",
              judged(selective.bits, selective.stderr_bits, held),
              f"{selective.bits:.0f} ± {selective.stderr_bits:.0f} bits at {best.name}"),
        Claim(f"{name}: a later layer holds more than the embeddings",
              judged(later.bits, later.stderr_bits, held),
              f"{later.bits:.0f} ± {later.stderr_bits:.0f} bits: {best.name}"),
    ]  # fmt: skip
