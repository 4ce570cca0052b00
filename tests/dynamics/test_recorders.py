"""The recorder inside other people's training loops; each test needs its package and is skipped without it."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.information_plane import InformationPlane
from infoscope.models import MLP
from infoscope.training.learner import copy_weights

TASK = tishby()[::32]
EPOCHS = 3


class Rows(Dataset):
    def __len__(self):
        return len(TASK)

    def __getitem__(self, i):
        return {"x": TASK.x[i], "labels": TASK.y[i]}


def test_lightning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning", reason="lightning is not installed")
    plane = InformationPlane(TASK, layers="network.act*")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = MLP((4, 3), "tanh")((12,), 2)

        def forward(self, x):
            return self.network(x)

        def training_step(self, batch, _):
            return F.cross_entropy(self(batch["x"]), batch["labels"])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.01)

    class Recorder(lightning.Callback):
        def on_train_epoch_end(self, trainer, module):
            plane.step(module, trainer.current_epoch + 1)

    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[Recorder()],
        )  # fmt: skip
        trainer.fit(module, DataLoader(Rows(), batch_size=32))
    _check(plane.record(), ["network.act1", "network.act2"], module.network)


def test_hugging_face_trainer(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("accelerate", reason="accelerate is not installed")
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    plane = InformationPlane(TASK, layers="network.act*")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = MLP((4, 3), "tanh")((12,), 2)

        def forward(self, x, labels=None):
            logits = self.network(x)
            return {"loss": None if labels is None else F.cross_entropy(logits, labels), "logits": logits}

    class Recorder(transformers.TrainerCallback):
        def on_epoch_end(self, args, state, control, model=None, **_):
            plane.step(model, round(state.epoch))

    model = Model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = transformers.TrainingArguments(
            str(tmp_path), num_train_epochs=EPOCHS, per_device_train_batch_size=32, report_to=[], save_strategy="no",
            logging_strategy="no", disable_tqdm=True, use_cpu=True, learning_rate=0.01,
        )  # fmt: skip
        transformers.Trainer(model, settings, train_dataset=Rows(), callbacks=[Recorder()]).train()
    _check(plane.record(), ["network.act1", "network.act2"], model.network)


def _check(record, layers, network):
    assert [row.coordinates["epoch"] for row in record][:: 2 * len(layers)] == list(range(1, EPOCHS + 1))
    assert list(dict.fromkeys(row.coordinates["layer"] for row in record)) == layers
    # The last rows are those of the network that training gave.
    last = InformationPlane(TASK, layers="act*")
    last.step(network, EPOCHS)
    assert [m.value for m in record.where(epoch=EPOCHS)] == [m.value for m in last.record().where()]
    assert all(torch.isfinite(w).all() for w in copy_weights(network).values())
