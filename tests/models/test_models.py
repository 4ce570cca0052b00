import io
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow.parquet import ParquetFile
from safetensors.torch import load_file
from torch import nn

from infoscope.models import MLP, MODELS, CifarResNet, LeNet5, PreActResNet, SmallCNN, model
from infoscope.run import key

ANY_SIZE = ["mlp", "lenet5", "cnn", "preact-resnet11", "preact-resnet20", "resnet20", "resnet18"]
DEEP = ["preact-resnet56", "preact-resnet101", "resnet56"]
SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (3, 9, 13), (2, 31, 33), (3, 64, 64), (3, 96, 96)]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ANY_SIZE)
def test_every_network_maps_a_batch_to_logits_and_learns_in_every_parameter(name, shape):
    torch.manual_seed(0)
    network = MODELS[name](shape, 7)
    logits = network(torch.randn(3, *shape))
    assert logits.shape == (3, 7)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_factories_are_values():
    assert pickle.loads(pickle.dumps(MODELS)) == MODELS
    assert len({key(factory) for factory in MODELS.values()}) == len(MODELS)
    assert key(PreActResNet()) == key(MODELS["preact-resnet20"])
    for name in ANY_SIZE + DEEP:
        pickle.dumps(MODELS[name]((3, 32, 32), 10))


@pytest.mark.parametrize("name", ANY_SIZE + DEEP)
def test_networks_are_made_by_the_seed(name):
    def make(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in MODELS[name]((1, 8, 8), 3).parameters()])

    assert torch.equal(make(1), make(1))
    assert not torch.equal(make(1), make(2))


def test_lenet5_has_the_classic_size():
    assert count(LeNet5()((1, 28, 28), 10)) == count(LeNet5()((1, 32, 32), 10)) == 61_706
    names = dict(LeNet5()((1, 28, 28), 10).named_children())
    assert [count(names[name]) for name in ("conv1", "conv2", "fc1", "fc2", "fc3")] == [156, 2416, 48120, 10164, 850]


def test_mlp_takes_any_shape_and_no_hidden_layer():
    assert count(MLP(())((64,), 10)) == 65 * 10
    assert count(MLP((10, 7, 5, 4, 3), "tanh")((12,), 2)) == 13 * 10 + 11 * 7 + 8 * 5 + 6 * 4 + 5 * 3 + 4 * 2
    network = MLP((5,), "tanh")((2, 3), 2)
    x = torch.randn(4, 2, 3)
    hidden = torch.tanh(x.flatten(1) @ network.fc1.weight.T + network.fc1.bias)
    torch.testing.assert_close(network(x), hidden @ network.fc2.weight.T + network.fc2.bias)


def test_preact_resnet20_has_the_papers_parts():
    """Tables 8 and 9 of "Model information as an analysis tool in deep learning"."""
    network = PreActResNet(20)((3, 32, 32), 10)
    assert count(network) == 219_482
    assert count(network.stem) == 432
    assert [count(block) for block in network.blocks] == [4704, 4544, 23808, 17792, 94720, 70400]
    assert count(network.fc) == 2570
    kinds = dict.fromkeys(("before", "bottleneck", "after", "residue"), 0)
    for name, module in network.blocks.named_modules():
        if (kind := name.split(".")[-1]) in kinds:
            kinds[kind] += count(module)
    assert kinds == {"before": 32_000, "bottleneck": 96_768, "after": 43_008, "residue": 41_984}


def test_preact_resnet11_has_the_papers_sizes():
    """Table 7, whose counts fit a head of one output."""
    sizes = {(16, 48, 96): 264_657, (16, 32, 64): 124_433, (16, 24, 32): 49_905, (16, 16, 24): 29_457}
    assert {widths: count(PreActResNet(11, widths)((3, 64, 64), 1)) for widths in sizes} == sizes
    assert count(PreActResNet(11)((3, 64, 64), 200)) == 175_576


@pytest.mark.parametrize("depth", [11, 20, 56, 101])
def test_depth_counts_the_layers_on_the_longest_way(depth):
    network = PreActResNet(depth)((3, 32, 32), 10)
    layers = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sum("residue" not in name for name in layers) == depth
    assert sum("residue" in name for name in layers) == 3


@pytest.mark.parametrize("name", ["preact-resnet11", "resnet20"])
def test_resolution_is_halved_twice(name):
    network, sizes = MODELS[name]((3, 32, 32), 10), set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, y: sizes.add(tuple(y.shape[2:])))
    network(torch.zeros(2, 3, 32, 32))
    assert sizes == {(32, 32), (16, 16), (8, 8)}


def test_shortcuts_of_the_cifar_resnet_take_every_second_pixel_and_pad_maps():
    block = CifarResNet(20)((3, 32, 32), 10).layer2[0].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(1, 16, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_cifar_resnets_have_the_papers_sizes():
    """Table 6 of He et al. (2015), in millions: 0.27, 0.46, 0.66, 0.85, 1.7."""
    sizes = [count(CifarResNet(depth)((3, 32, 32), 10)) for depth in (20, 32, 44, 56, 110)]
    assert [round(size / 1e6, 2) for size in sizes] == [0.27, 0.46, 0.66, 0.85, 1.73]


def cifar10_test(folder, count):
    """The first test images, normalised as the weights expect, and their labels."""
    file = ParquetFile(folder / "test-00000-of-00001.parquet")
    rows = next(file.iter_batches(batch_size=count)).to_pydict()
    images = [np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows["image"]]
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    return (x - mean) / std, torch.tensor(rows["label"])


@pytest.mark.parametrize(("depth", "right"), [(20, 915), (56, 926)])
def test_trained_weights_load_and_classify(shared_data, depth, right):
    """On all 10,000 test images they are right on 9173 (depth 20) and 9339 (56); here, the first 1000."""
    x, labels = cifar10_test(shared_data("cifar10"), 1000)
    network = CifarResNet(depth)((3, 32, 32), 10).eval()
    network.load_state_dict(load_file(shared_data("weights") / f"cifar10_resnet{depth}.safetensors"), strict=True)
    with torch.no_grad():
        found = (network(x).argmax(1) == labels).sum().item()
    assert abs(found - right) <= 1  # one near tie may fall the other way on another processor


def test_what_cannot_be_built_is_refused():
    for factory, depth in ((PreActResNet, 18), (PreActResNet, 2), (CifarResNet, 18), (CifarResNet, 2)):
        with pytest.raises(ValueError, match=rf"depth is {depth}; .* has depth \dn \+ 2"):
            factory(depth)
    with pytest.raises(ValueError, match=r"widths are .* one width for each of the three stages"):
        PreActResNet(20, (16, 32))
    with pytest.raises(ValueError, match="activation is 'gelu'; it is one of relu, tanh"):
        MLP(activation="gelu")
    with pytest.raises(ValueError, match=r"widths are \(3, 0\)"):
        MLP((3, 0))
    for name in set(MODELS) - {"mlp"}:
        with pytest.raises(ValueError, match=r"takes images of shape \(channels, height, width\), not \(64,\)"):
            MODELS[name]((64,), 10)
    for factory in MODELS.values():
        with pytest.raises(ValueError, match="asked for 0 outputs"):
            factory((1, 8, 8), 0)
    with pytest.raises(ValueError, match="4×4 pixels or more, not 3×8"):
        LeNet5()((1, 3, 8), 10)
    assert SmallCNN()((1, 1, 1), 2)(torch.zeros(2, 1, 1, 1)).shape == (2, 2)


def test_models_are_found_by_name():
    assert model("resnet56") == CifarResNet(56)
    with pytest.raises(ValueError, match=r"no model is called 'resnet-20'; did you mean resnet20 or"):
        model("resnet-20")
    with pytest.raises(ValueError, match=r"'transformer'; there are mlp, lenet5, .*module:factory"):
        model("transformer")


def test_own_factories_are_imported(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "from torch import nn\nWIDTH = 3\n"
        "def linear(shape, classes):\n    return nn.Linear(shape[0], classes)\n"
        "class Zoo:\n    linear = staticmethod(linear)\n"
    )
    (tmp_path / "my_broken.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert count(model("my_networks:linear")((4,), 2)) == count(model("my_networks:Zoo.linear")((4,), 2)) == 10
    for name, error, message in [
        ("my_networks:missing", ValueError, "'my_networks:missing' is not there: .*'missing'; check the name"),
        ("my_networks:", ValueError, "module:factory"),
        ("my_networks:WIDTH", TypeError, "is a int; it must be callable"),
        ("my_netwrks:linear", ValueError, "needs the module 'my_netwrks', which is not found"),
        ("my_broken:linear", ValueError, "needs the module 'a_module_that_is_not_there'"),
        (":linear", ValueError, "module:factory"),
    ]:
        with pytest.raises(error, match=message):
            model(name)


def test_own_factories_are_found_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_network_here.py").write_text("def factory(shape, classes): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    assert model("my_network_here:factory").__module__ == "my_network_here"
