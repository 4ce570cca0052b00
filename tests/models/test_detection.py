from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from infoscope.data.targets import Boxes
from infoscope.data.task import Task
from infoscope.models import MODELS, YOLOv3, loss_of
from infoscope.models.detection import ANCHORS, DetectionLoss, decode, overlap
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import SGD, Recipe

SMALL = YOLOv3(width=4, blocks=(1, 1, 1, 1, 1))
GRIDS = ((3, 3), (6, 6), (12, 12))
NOTHING = [-1.0, 0.0, 0.0, 0.0, 0.0]


def blank(n=1, classes=2, grids=GRIDS, value=0.0):
    return [torch.full((n, 3, *grid, 5 + classes), value) for grid in grids]


def some_outputs(n=2, classes=2):
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(o.shape, generator=draws) for o in blank(n, classes)]


SOME_BOXES = torch.tensor(
    [
        [[0, 0.41, 0.62, 0.30, 0.22], [1, 0.95, 0.99, 0.08, 0.02], [1, 0.42, 0.60, 0.9, 0.7]],
        [[1, 0.10, 0.20, 0.15, 0.30], NOTHING, NOTHING],
    ]
)


def test_it_has_its_published_size():
    with torch.device("meta"):
        network = YOLOv3()((3, 416, 416), 80)
        grids = network.eval()(torch.empty(1, 3, 416, 416))
    assert sum(p.numel() for p in network.parameters()) == 61_949_149
    # The authors' weights file: 62,001,757 floats behind a header of 20 bytes.
    statistics = sum(b.numel() for b in network.buffers() if b.is_floating_point())
    assert 61_949_149 + statistics == (248_007_048 - 20) // 4 == 62_001_757
    convolutions = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 75
    assert sum(name.startswith(("stem", "stages")) for name in convolutions) == 52  # Darknet-53 but for its last layer
    assert [tuple(grid.shape) for grid in grids] == [(1, 3, s, s, 85) for s in (13, 26, 52)]


@pytest.mark.parametrize(("height", "width"), [(96, 96), (70, 45), (33, 64), (8, 8)])
def test_images_of_any_size_give_three_grids(height, width):
    network = SMALL((3, height, width), 2).eval()
    sides = [tuple(grid.shape[2:4]) for grid in network(torch.zeros(1, 3, height, width))]
    assert sides == [(math.ceil(height / s), math.ceil(width / s)) for s in (32, 16, 8)]


def iou(a, b):
    wide = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    tall = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    shared = max(wide, 0) * max(tall, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def softplus(z):
    return max(z, 0) + math.log1p(math.exp(-abs(z)))


def plain_loss(outputs, boxes, ignore):
    """The same, box by box and prediction by prediction."""
    total = 0.0
    for image, objects in enumerate(boxes.tolist()):
        objects = [o for o in objects if o[0] >= 0]
        owned = set()
        for kind, x, y, w, h in objects:
            shapes = [
                (iou((0, 0, w, h), (0, 0, *a)), -g, -i) for g, grid in enumerate(ANCHORS) for i, a in enumerate(grid)
            ]
            _, g, i = (abs(v) for v in max(shapes))
            rows, columns = outputs[g].shape[2:4]
            row, column = int(y * rows), int(x * columns)
            owned.add((g, i, row, column))
            t = outputs[g][image, i, row, column].tolist()
            sigmoid = [1 / (1 + math.exp(-v)) for v in t[:2]]
            total += (sigmoid[0] - (x * columns - column)) ** 2 + (sigmoid[1] - (y * rows - row)) ** 2
            total += (t[2] - math.log(w / ANCHORS[g][i][0])) ** 2 + (t[3] - math.log(h / ANCHORS[g][i][1])) ** 2
            total += sum(softplus(-v) if c == kind else softplus(v) for c, v in enumerate(t[5:]))
        for g, output in enumerate(outputs):
            rows, columns = output.shape[2:4]
            for i, anchor in enumerate(ANCHORS[g]):
                for row in range(rows):
                    for column in range(columns):
                        z = float(output[image, i, row, column, 4])
                        prior = ((column + 0.5) / columns, (row + 0.5) / rows, *anchor)
                        if (g, i, row, column) in owned:
                            total += softplus(-z)
                        elif not any(iou(prior, o[1:]) > ignore for o in objects):
                            total += softplus(z)
    return total / len(boxes)


@pytest.mark.parametrize("ignore", [0.1, 0.5, 1.0])
def test_the_loss_is_what_a_plain_loop_finds(ignore):
    outputs = [o.double() for o in some_outputs()]
    found = DetectionLoss(ignore=ignore)(outputs, SOME_BOXES.double())
    assert float(found) == pytest.approx(plain_loss(outputs, SOME_BOXES.double(), ignore), rel=1e-12)


def test_padding_and_order_change_nothing():
    loss, outputs = DetectionLoss(), some_outputs()
    value = loss(outputs, SOME_BOXES)
    padded = torch.cat([SOME_BOXES, torch.tensor(NOTHING).expand(2, 4, 5)], dim=1)
    torch.testing.assert_close(loss(outputs, padded), value)
    torch.testing.assert_close(loss(outputs, SOME_BOXES.flip(1)), value)


def test_images_without_objects_have_finite_gradients():
    outputs = [o.requires_grad_() for o in some_outputs(1)]
    DetectionLoss()(outputs, torch.tensor([[NOTHING]])).backward()
    assert all(o.grad.isfinite().all() for o in outputs)
    assert all(not o.grad[..., [0, 1, 2, 3, 5, 6]].any() for o in outputs)
    assert all((o.grad[..., 4] > 0).all() for o in outputs)


def perfect(boxes, classes=2):
    """Outputs that say just these boxes, at the cells and anchors they belong to."""
    outputs = blank(len(boxes), classes, value=-20.0)
    for image, objects in enumerate(boxes.tolist()):
        for kind, x, y, w, h in (o for o in objects if o[0] >= 0):
            g, i = max(
                ((g, i) for g in range(3) for i in range(3)),
                key=lambda at: iou((0, 0, w, h), (0, 0, *ANCHORS[at[0]][at[1]])),
            )
            rows, columns = GRIDS[g]
            fx, fy = x * columns % 1, y * rows % 1
            sizes = [math.log(w / ANCHORS[g][i][0]), math.log(h / ANCHORS[g][i][1])]
            kinds = [20.0 if c == kind else -20.0 for c in range(classes)]
            places = [math.log(f / (1 - f)) for f in (fx, fy)]
            outputs[g][image, i, int(y * rows), int(x * columns)] = torch.tensor([*places, *sizes, 20.0, *kinds])
    return outputs


def test_perfect_predictions_cost_nothing_and_decode_to_the_boxes():
    outputs = perfect(SOME_BOXES)
    assert DetectionLoss()(outputs, SOME_BOXES) < 1e-4
    for found, wanted in zip(decode(outputs), SOME_BOXES, strict=True):
        wanted = wanted[wanted[:, 0] >= 0]
        assert len(found) == len(wanted)
        in_order = found[found[:, 3].argsort()]
        torch.testing.assert_close(in_order[:, :5], wanted[wanted[:, 3].argsort()], atol=1e-4, rtol=0)
        assert (found[:, 5] > 0.999).all()


def test_of_boxes_that_overlap_the_best_of_each_class_remains():
    outputs = blank(1, value=-20.0)
    for i, (score, kind) in enumerate([(2.0, 0), (1.0, 0), (1.5, 1)]):  # three shapes in one cell of the coarse grid
        outputs[0][0, i, 1, 1, :5] = torch.tensor([0.0, 0.0, *(-math.log(a) - 1 for a in ANCHORS[0][i]), score])
        outputs[0][0, i, 1, 1, 5 + kind] = 20.0
    (found,) = decode(outputs)
    assert found[:, 0].tolist() == [0, 1]
    assert found[:, 5].tolist() == pytest.approx([1 / (1 + math.exp(-s)) for s in (2, 1.5)], abs=1e-6)
    assert len(decode(outputs, most=1.0)[0]) == 3
    assert decode(outputs, threshold=0.99)[0].shape == (0, 6)


def test_overlap():
    box = torch.tensor([0.5, 0.5, 0.2, 0.4])
    assert overlap(box, box) == 1
    assert overlap(box, torch.tensor([0.8, 0.5, 0.2, 0.4])) == 0
    assert overlap(torch.zeros(4), torch.zeros(4)) == 0
    torch.testing.assert_close(overlap(box, torch.tensor([0.6, 0.5, 0.2, 0.4])), torch.tensor(1 / 3))


def test_many_networks_have_their_losses_side_by_side():
    torch.manual_seed(0)
    networks = [SMALL((3, 64, 64), 2).eval() for _ in range(3)]
    parameters, buffers = stack_module_state(networks)
    x, y = torch.rand(2, 3, 64, 64), torch.stack([SOME_BOXES, SOME_BOXES.flip(0), SOME_BOXES.flip(1)])

    def loss(parameters, buffers, y):
        return SMALL.loss(functional_call(networks[0], (parameters, buffers), (x,)), y)

    alone = torch.stack([SMALL.loss(network(x), own) for network, own in zip(networks, y, strict=True)])
    torch.testing.assert_close(vmap(loss)(parameters, buffers, y), alone)
    gradients = vmap(grad(loss))(parameters, buffers, y)
    assert all(g.isfinite().all() and g.flatten(1).any(1).all() for g in gradients.values())


def test_a_prediction_depends_on_the_state_alone():
    network, x = SMALL((3, 64, 64), 2).eval(), torch.rand(1, 3, 64, 64)
    again = functional_call(network, dict(network.state_dict()), (x,))
    for first, *others in zip(network(x), network(x), again, strict=True):
        assert all(torch.equal(first, other) for other in others)


@pytest.mark.usefixtures("any_shape")
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"boxes have shape \(2,\); give \(n, k, 5\)"):
        DetectionLoss()(some_outputs(), torch.zeros(2))
    with pytest.raises(ValueError, match=r"grids of \[3, 3, 3\] anchors, the loss of \[1, 1, 1\]"):
        DetectionLoss((((0.1, 0.1),),) * 3)(some_outputs(), SOME_BOXES)
    for wrong in ({"width": 1}, {"blocks": (1, 1)}, {"blocks": (1, 1, 1, 1, -1)}):
        with pytest.raises(ValueError, match="cannot be built; width is 2 or more"):
            YOLOv3(**wrong)


def synthetic(count):
    draws = torch.Generator().manual_seed(0)
    x, boxes = torch.rand(count, 3, 96, 96, generator=draws) / 4, []
    for i in range(count):
        left, top, wide, tall = (8 + torch.rand(4, generator=draws) * 36).int().tolist()
        x[i, i % 3, top : top + tall, left : left + wide] = 1
        boxes.append([(i % 2, (left + wide / 2) / 96, (top + tall / 2) / 96, wide / 96, tall / 96)])
    return Task.from_arrays(x, boxes, target=Boxes(("a", "b")))


@pytest.fixture
def animals(shared_data):
    try:
        return Task.from_dataset(str(shared_data("voc_animals")), size=96).shuffled(0)
    except pytest.skip.Exception:
        return synthetic(16)


def losses_of(factory, task):
    recipe = Recipe(SGD(0.001), batch=len(task), epochs=20, patience=None, loss=loss_of(factory))
    return fit(Learner(factory, recipe), task).losses


def test_a_small_one_learns_boxes(animals):
    losses = losses_of(SMALL, animals[:8])
    print(*(f"{loss:.1f}" for loss in losses))
    assert losses[-1] < 0.1 * losses[0]
    assert losses[-1] < min(losses[:10])


def test_what_it_learned_it_finds(animals):
    recipe = Recipe(SGD(0.003), batch=4, epochs=100, patience=None, loss=SMALL.loss)
    learner, task = Learner(SMALL, recipe), animals[:4]
    network = learner.starting_from(fit(learner, task).weights).network(task.shape, task.classes, 0)
    with torch.no_grad():
        found = decode(network.train()(task.x))
    for boxes, wanted in zip(found, task.y, strict=True):
        for kind, *box in wanted[wanted[:, 0] >= 0]:
            near = overlap(boxes[:, 1:5], torch.stack(box))
            assert near.max() > 0.7
            assert boxes[near.argmax(), 0] == kind


@pytest.mark.long
def test_the_whole_one_learns_boxes(animals):
    losses = losses_of(MODELS["yolov3"], animals[:8])
    print("yolov3", *(f"{loss:.1f}" for loss in losses))
    assert losses[-1] < 0.1 * losses[0]
    assert losses[-1] < min(losses[:10])
