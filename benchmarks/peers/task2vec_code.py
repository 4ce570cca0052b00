"""The estimate of the authors' Task2Vec code, restated from what it does: method "montecarlo", its default.

(github.com/awslabs/aws-cv-task2vec at 0f05c39.) The network is put in training mode, so that batch normalisation takes
the statistics of each batch; labels are drawn from what it predicts, one an example; the gradient of the *mean* loss
of a batch is squared, and squares are averaged over batches; then over the weights of each filter. The head is left
out, and so are weights of one axis.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def squared_batch_means(network: nn.Module, x: Tensor, names: tuple[str, ...], *, batch: int, training: bool) -> Tensor:
    """The embedding; `training` False keeps batch normalisation in eval mode, to tell what each departure costs.

    Times `batch`: the mean of b independent gradients has a b-th of their mean square.
    """
    network = copy.deepcopy(network).train(training)
    own = dict(network.named_parameters())
    sums = {name: torch.zeros_like(own[name]) for name in names}
    parts = [part for part in x.split(batch) if len(part) == batch]
    for part in parts:
        outputs = network(part)
        drawn = torch.multinomial(outputs.softmax(-1), 1).detach().view(-1)
        network.zero_grad()
        F.cross_entropy(outputs, drawn).backward()
        for name in names:
            grad = own[name].grad
            assert grad is not None
            sums[name] += grad.square()
    return batch * torch.cat([(t / len(parts)).flatten(1).mean(1).double() for t in sums.values()])
