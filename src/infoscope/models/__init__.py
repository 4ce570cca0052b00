"""The papers' networks as factory values: call one with an example's shape and the number of classes."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable
from functools import reduce

from torch import nn

from infoscope.hugging_face import HUB
from infoscope.method_text import method_of
from infoscope.models.alexnet import AlexNet
from infoscope.models.cifar_resnet import CifarResNet
from infoscope.models.cnn import SmallCNN
from infoscope.models.googlenet import GoogLeNet
from infoscope.models.hugging_face_model import HuggingFaceModel
from infoscope.models.lenet import LeNet5
from infoscope.models.mlp import MLP
from infoscope.models.preact_resnet import PreActResNet
from infoscope.models.preparation import Preparation, Prepared
from infoscope.models.resnet import ResNet
from infoscope.models.squeezenet import SqueezeNet
from infoscope.models.tensorflow_demos import TFCnnDemo, TFMnistDemo
from infoscope.models.vgg import VGG
from infoscope.models.yolov3 import YOLOv3
from infoscope.training.recipe import Loss

__all__ = [
    "MLP",
    "MODELS",
    "VGG",
    "AlexNet",
    "CifarResNet",
    "Factory",
    "GoogLeNet",
    "HuggingFaceModel",
    "LeNet5",
    "PreActResNet",
    "Preparation",
    "Prepared",
    "ResNet",
    "SmallCNN",
    "SqueezeNet",
    "TFCnnDemo",
    "TFMnistDemo",
    "YOLOv3",
    "loss_of",
    "model",
    "name_and_file",
]

Factory = Callable[[tuple[int, ...], int], nn.Module]

MODELS: dict[str, Factory] = {
    "mlp": MLP((512,)),
    "lenet5": LeNet5(),
    "cnn": SmallCNN(),
    "preact-resnet11": PreActResNet(11),
    "preact-resnet20": PreActResNet(20),
    "preact-resnet56": PreActResNet(56),
    "preact-resnet101": PreActResNet(101),
    "resnet20": CifarResNet(20),
    "resnet56": CifarResNet(56),
    "tf-mnist": TFMnistDemo(),
    "tf-cnn": TFCnnDemo(),
    "alexnet": AlexNet(),
    "vgg11": VGG(11),
    "vgg16": VGG(16),
    "googlenet": GoogLeNet(),
    "squeezenet": SqueezeNet(),
    "resnet18": ResNet(18),
    "resnet101": ResNet(101),
    "yolov3": YOLOv3(),
}


def model(name: str) -> Factory:
    """The factory of this name, its options in brackets, or your own as `module:factory`, found in this folder too;
    or `hf:NAME`, a folder or a name on the Hub that transformers reads.

    A factory takes one example's shape and the number of classes, and gives a module from float batches to logits.
    What a network does to images first stands behind its name in square brackets, see `Preparation`.

    >>> model("preact-resnet20(depth=11)")
    PreActResNet(depth=11, widths=(16, 32, 64))
    >>> model("resnet20[size=32, mean=0.5]").preparation
    Preparation(mean=(0.5,), deviation=(), size=32, channels=None)
    """
    if name.endswith("]"):
        plain, _, options = name.partition("[")
        return Prepared(model(plain), method_of(f"preparation({options[:-1]})", {"preparation": Preparation()}))
    if name.startswith(HUB):
        return HuggingFaceModel.of(name)
    named, bracket, _ = name.partition("(")
    if bracket and named in MODELS:
        return method_of(name, MODELS)
    if ":" in name:
        return _imported(name)
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name.lower(), MODELS, n=3, cutoff=0.5)
    choice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(MODELS)}."
    raise ValueError(
        f"no model is called {name!r}; {choice} Your own goes as module:factory, one of transformers as hf:NAME"
    )


def name_and_file(text: str) -> tuple[str, str | None]:
    """A network's name with its options and its preparation, and the file of its weights.

    >>> name_and_file("squeezenet[size=227]=a.pt"), name_and_file("cnn")
    (('squeezenet[size=227]', 'a.pt'), ('cnn', None))
    """
    found = re.fullmatch(r"([^=(\[]+(?:\(.*\))?(?:\[.*\])?)(?:=(.+))?", text)
    if found is None:
        raise ValueError(f"{text!r}: write a network as NAME=FILE, such as resnet20[mean=0.5]=weights.safetensors")
    return found[1], found[2]


def loss_of(factory: Callable[..., nn.Module]) -> Loss | None:
    """The loss that a factory brings for its networks as its `loss`; without one it is the target's likelihood.

    >>> loss_of(GoogLeNet())
    AuxiliaryHeads(weight=0.3)
    """
    return getattr(factory, "loss", None)


def _imported(name: str) -> Factory:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise ValueError(f"the model {name!r} lacks a part; write module:factory")
    if not {os.getcwd(), ""} & set(sys.path):
        sys.path.append(os.getcwd())
    try:
        found = reduce(getattr, path.split("."), importlib.import_module(module_name))
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the model {name!r} needs the module {error.name!r}, which is not found; install it, or run where it lies"
        ) from error
    except AttributeError as error:
        raise ValueError(f"the model {name!r} is not there: {error}; check the name after the colon") from error
    if not callable(found):
        raise TypeError(f"the model {name!r} is a {type(found).__name__}; it must be callable with (shape, classes)")
    return found
