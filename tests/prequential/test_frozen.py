"""Frozen features: what they are, how they are named, and that codes and label files are given the same ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infoscope import Codelength, Kernel, Mixed, Replay, Task, difficulty
from infoscope.cli.decode import Seen, decode
from infoscope.data.targets import Real, Tokens
from infoscope.data.texts import Texts
from infoscope.models import MLP
from infoscope.prequential.encode import encode
from infoscope.prequential.frozen import EXCLUDED, frozen, with_features
from infoscope.prequential.label_file import read_header, read_labels, write_labels
from infoscope.run.question import ask

DRAWS = torch.Generator().manual_seed(0)
X = torch.rand(90, 1, 8, 8, generator=DRAWS)
Y = torch.randint(3, (90,), generator=DRAWS)
TASK = Task.from_arrays(X, Y, name="noise")
KNOWN = (torch.eye(3)[Y] + 0.1 * torch.randn(90, 3, generator=DRAWS)).numpy()
RANDOM = torch.randn(90, 3, generator=DRAWS).numpy()


def cost(coder, task=TASK):
    return encode(task, coder, None, 5).total / math.log(2)


def test_kernel_features_stand_beside_the_inputs_and_bad_ones_cost_their_number_of_experts():
    """As many experts again come with the features: at worst log2 of how many more there are."""
    plain, good, bad = (cost(Kernel(features=each)) for each in (None, KNOWN, RANDOM))
    experts = [len(next(Kernel(features=each).experts(X, TASK.target))) + 4 for each in (None, RANDOM)]
    assert experts == [13, 22]
    assert good < 30 < plain
    assert bad < plain + math.log2(experts[1] / experts[0]) + 1


def test_features_are_told_with_their_hash_and_as_excluded():
    curve = encode(TASK, Kernel(features=KNOWN), None, 0, 20)
    assert curve.receipt.notes == (EXCLUDED,)
    assert frozen(KNOWN).digest in curve.receipt.coder
    answer = ask(Codelength(TASK, Kernel(), replicates=1, examples=20, features=KNOWN))
    assert answer.choices()["Features"] == "an array of 90 × 3; what these know of the labels is not counted"
    assert answer.choices()["Coder"] == "kernel"


def test_features_that_fit_neither_the_coder_nor_the_task_are_refused():
    for other in (KNOWN[:80], np.concatenate([KNOWN, KNOWN])):
        with pytest.raises(ValueError, match=f"features have {len(other)} rows, and 90 examples"):
            encode(TASK, Kernel(features=other), None, 0, 20)
    with pytest.raises(ValueError, match="Replay takes no features"):
        Codelength(TASK, Replay(), features=KNOWN)
    with pytest.raises(ValueError, match="given twice"):
        with_features(Kernel(features=KNOWN), KNOWN)
    with pytest.raises(ValueError, match="give its weights, too: squeezenet=FILE"):
        Codelength(TASK, features="squeezenet")
    with pytest.raises(ValueError, match="features have 90 rows, and 150 examples"):
        ask(Codelength(("digits:rows=0..90", "iris"), replicates=1, features=KNOWN))
    with pytest.raises(ValueError, match="features have 90 rows, and 150 examples"):
        difficulty("digits:rows=0..90", "iris", features=KNOWN)
    tokens = Task.from_arrays(torch.randint(5, (4, 6)), torch.randint(5, (4, 6)), target=Tokens(5))
    with pytest.raises(ValueError, match="not predicted from features"):
        encode(tokens, Mixed(features=np.zeros((4, 2))), None, 0)


def test_a_label_file_is_decoded_with_the_features_it_was_written_with_alone(tmp_path):
    coder = Mixed(features=KNOWN)
    curve = encode(TASK, coder, None, 3, keep=True)
    file = write_labels(tmp_path / "labels", TASK, curve, coder="mixed", features=coder.features)
    assert file.payload_bits <= file.header.codelength_bits + 32
    assert np.array_equal(read_labels(file.path, X, coder).labels, Y.numpy())
    with pytest.raises(ValueError, match="was written with features, an array of 90 × 3; give the same again"):
        read_labels(file.path, X, Mixed())
    with pytest.raises(ValueError, match="was written with other features, an array of 90 × 3"):
        read_labels(file.path, X, Mixed(features=RANDOM))
    plain = write_labels(tmp_path / "plain", TASK, encode(TASK, Kernel(), None, 3, 20, keep=True), coder="kernel")
    with pytest.raises(ValueError, match="was written without features"):
        read_labels(plain.path, X, Kernel(features=KNOWN))


def test_weights_go_through_the_command_line_and_back(tmp_path, monkeypatch):
    """`codelength --features NAME=FILE --write` and `decode --features NAME=FILE`, wherever the weights lie."""
    from infoscope.cli import run

    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=X.numpy(), y=Y.numpy())
    save_file(MLP((7,))((1, 8, 8), 4).state_dict(), "net.safetensors")
    words = ["codelength", "data.npz", "--coder", "kernel", "--replicates", "1", "--examples", "30", "--quiet"]
    assert run([*words, "--features", "mlp(widths=(7,))=net.safetensors", "--write", "a.bits"]) == 0
    header, _ = read_header("a.bits")
    assert (header.coder, header.features) == ("kernel", "mlp(widths=(7,)) of net.safetensors")
    (tmp_path / "net.safetensors").rename(tmp_path / "other.safetensors")
    seen = Seen(features="mlp(widths=(7,))=other.safetensors")
    decode(tmp_path / "a.bits", "data.npz", tmp_path / "out.npz", None, seen, False, True)
    found = np.load(tmp_path / "out.npz")
    assert np.array_equal(found["y"], Y.numpy()[found["index"]])
    with pytest.raises(ValueError, match="give the same again"):
        decode(tmp_path / "a.bits", "data.npz", tmp_path / "out.npz", None, Seen(), False, True)


def test_difficulty_takes_features_for_the_labels():
    small = {"k": 20, "replicates": 1, "epochs": 1, "examples": 40, "features": KNOWN}
    (length, *_) = difficulty(TASK, model=MLP((4,)), coder=Replay(replays=1, start=8), **small)
    assert length.measurement.bits < 40


def test_a_grey_network_takes_grey_images_as_they_are(tmp_path):
    """Units of colours are for networks of three channels; what is done first may stand behind the name."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3))
    save_file(network.state_dict(), tmp_path / "grey.safetensors")
    name = f"{__name__}:grey"
    found = frozen(f"{name}={tmp_path / 'grey.safetensors'}")(X)
    assert torch.allclose(found, network[:2](X).detach(), atol=1e-6)
    scaled = frozen(f"{name}[mean=0.5, deviation=0.25]={tmp_path / 'grey.safetensors'}")(X)
    assert torch.allclose(scaled, network[:2]((X - 0.5) / 0.25).detach(), atol=1e-5)
    with pytest.raises(ValueError, match="takes images of 1 channels, and these have 2"):
        frozen(f"{name}={tmp_path / 'grey.safetensors'}")(torch.rand(2, 2, 8, 8))
    with pytest.raises(ValueError, match="are no weights of mlp"):
        frozen(f"mlp={tmp_path / 'grey.safetensors'}")(X)


def grey(shape, classes):
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, classes))


def test_a_network_of_one_s_own_is_left_as_it_is():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(64, 5)).train()
    features = frozen(network)
    assert torch.equal(features(X), torch.nn.functional.linear(X.flatten(1), network[2].weight, network[2].bias))
    assert network.training
    assert features == frozen(network)
    digest = features.digest
    with torch.no_grad():
        network[2].bias += 1
    assert frozen(network).digest != digest


def test_arrays_come_from_files(tmp_path):
    np.save(tmp_path / "features.npy", KNOWN)
    assert frozen(str(tmp_path / "features.npy")) == frozen(KNOWN)
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ValueError, match="is no array"):
        frozen(tmp_path / "text.npy")
    with pytest.raises(ValueError, match="no such file"):
        frozen("nowhere.npy")


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "not", "very", "film", "a"]


def test_networks_of_transformers_give_features_of_texts_and_images(tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizer(str(tmp_path / "text" / "vocab.txt")).save_pretrained(tmp_path / "text")
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=12, **sizes)
    transformers.BertModel(config).save_pretrained(tmp_path / "text")
    features = frozen(f"hf:{tmp_path / 'text'}")
    texts = Texts.of(["good film", "a very very bad film", "bad"])
    found = features(texts)
    assert found.shape == (3, 8)
    assert torch.allclose(features(texts.select([2, 0])), found[[2, 0]], atol=1e-6)
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[6], depths=[1], layer_type="basic")
    network = transformers.ResNetModel(config).eval()
    network.save_pretrained(tmp_path / "image")
    units = '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "size": {"shortest_edge": 16}}'
    (tmp_path / "image" / "preprocessor_config.json").write_text(units)
    image = frozen(f"hf:{tmp_path / 'image'}")
    larger = torch.nn.functional.interpolate(X[:4], (16, 16), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
    states = network(pixel_values=(larger - 0.5) / 0.25).last_hidden_state
    assert torch.allclose(image(X[:4]), states.mean((2, 3)), atol=1e-5)
    assert image.digest != features.digest
    with pytest.raises(ValueError, match="takes texts, or images"):
        image(torch.zeros(3, 4))
    task = Task.from_arrays(texts, np.array([1, 0, 0]), target=Real(1.0, 0.0, 1.0))
    curve = encode(task, Mixed(features=features), None, 0, keep=True)
    file = write_labels(tmp_path / "a", task, curve, coder="mixed", features=features)
    assert "transformers" in file.header.versions
    assert read_labels(file.path, texts, Mixed(features=features)).labels.ravel().tolist() == [1, 0, 0]
