"""PyTorch DDP over gloo, two processes: `python -m benchmarks.peers.torch_ddp IMAGES CLASSES N`.

The same network, loss, images, initial parameters and update as `tapeworks train`, as PyTorch's
users write it: each process has half of the images on the device, takes the gradient of their mean
loss in one backward pass, and DDP averages it. Each has one thread and a core of its own. Prints
the seconds of N iterations and the loss of the first one as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.nn import Module, Parameter, functional
from torch.nn.parallel import DistributedDataParallel

from benchmarks.cores import pin
from benchmarks.train_data import load_images
from tapeworks.model.config import DEFAULT_SEED
from tapeworks.model.images import normalise, one_hot
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, initial

#: Processes, as workers in the runs beside it.
PROCESSES = 2

LEARNING_RATE = 1e-3


class Network(Module):  # type: ignore[misc]
    """The built-in network."""

    def __init__(self, parameters: Arrays) -> None:
        super().__init__()
        for name, array in parameters.items():
            self.register_parameter(name, Parameter(torch.from_numpy(array.copy())))

    def forward(self, pixels: Any) -> Any:  # (images, side, side)
        *convolutions, dense = self.parameters()
        maps = pixels[:, None]
        for filters in convolutions:
            activation = functional.relu(functional.conv2d(maps, filters[:, None]))
            maps = activation.sum(1, keepdim=True)
        return activation.flatten(1) @ dense.flatten(1).T  # (images, classes)


def loss(logits: Any, truth: Any) -> Any:
    """The summed binary cross-entropy of each image's classes, its mean over the images."""
    p = torch.softmax(logits, 1)
    return -(truth * torch.log(p) + (1 - truth) * torch.log(1 - p)).sum(1).mean()


def main(images: str, classes: str, iterations: str) -> None:
    """Time so many iterations."""
    data, count = load_images(int(images), classes), len(classes.split(","))
    pixels, truth = normalise(data.images), one_hot(data.labels, count)
    parameters = initial(BuiltinNetwork(class_count=count), DEFAULT_SEED)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as place:
        meeting = f"file://{Path(place) / 'meeting'}"
        halves = (np.array_split(array, PROCESSES) for array in (pixels, truth))
        processes = [
            context.Process(
                target=_train,
                args=(theirs, rank, meeting, parameters, *part, int(iterations)),
            )
            for rank, part in enumerate(zip(*halves, strict=True))
        ]
        for process in processes:
            process.start()
        seconds, first_loss = ours.recv()
        for process in processes:
            process.join()
    print(json.dumps({"seconds": seconds, "first_loss": first_loss * len(data.labels)}))


def _train(
    pipe: Connection,
    rank: int,
    meeting: str,
    parameters: Arrays,
    pixels: NDArray[np.float32],
    truth: NDArray[np.float32],
    iterations: int,
) -> None:
    pin(multiprocessing.current_process().pid or 0, rank)
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=PROCESSES)
    network: Any = DistributedDataParallel(Network(parameters))
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    images, wanted = torch.from_numpy(pixels), torch.from_numpy(truth)
    seconds, losses = [], []
    for _ in range(iterations):
        began = time.perf_counter()
        optimizer.zero_grad()
        found = loss(network(images), wanted)
        found.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
        losses.append(found.detach())
    mean = losses[0]
    distributed.all_reduce(mean)
    if rank == 0:
        pipe.send((seconds, float(mean) / PROCESSES))
    distributed.barrier()  # so that none leaves while the other still talks to it
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
