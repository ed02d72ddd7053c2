"""The contestants: each prepares itself for a task once, then trains it as often as asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from polarity import FreezeSGD, PolarityTemplate
from polarity.ensemble import CONDITIONS, train_xor5d

from .measure import cores
from .task import Curves, Task


@dataclass(frozen=True)
class Contestant:
    """One way to train a task's networks.

    Attributes
    ----------
    name, remark
        How the table calls it, and what a reader of the table must know.
    prepare
        ``prepare(task)`` compiles, or sets up whatever need not be repeated, and returns the
        function to be timed. That returns the curves of the task's networks.
    sample
        If not 0, only so many trials of each condition are trained, and seconds are scaled up.
    processes
        How many of it could run side by side. Seconds are divided by that, as if they did not
        disturb each other.
    """

    name: str
    remark: str
    prepare: Callable[[Task], Callable[[], Curves]]
    sample: int = 0
    processes: int = 1


def prepare_ensemble(task: Task, backend: str) -> Callable[[], Curves]:
    """:func:`polarity.ensemble.train_xor5d`, all it does included."""
    cell = task.cell

    def run(task: Task = task) -> Curves:
        curves = train_xor5d(
            *(cell.x, cell.y, cell.x_val, cell.y_val),
            width=task.width,
            trials=task.trials,
            epochs=task.epochs,
            seed=task.seed,
            reset=task.reset,
            backend=backend,
            device="cpu",
        )
        shape = (len(CONDITIONS) * task.trials, task.epochs)
        return curves.val_loss.values.reshape(shape), curves.val_accuracy.values.reshape(shape)

    run(task.smaller(trials=1, epochs=1))  # compiles
    return run


def train_alone(task: Task, network: int) -> Curves:
    """Train one network as one would in PyTorch, with ``FreezeSGD`` where it is frozen."""
    cell, training = task.cell, task.training
    x, y, x_val, y_val = map(torch.from_numpy, (cell.x, cell.y, cell.x_val, cell.y_val))
    w1, b1, w2, b2 = (torch.tensor(part[network]) for part in cell.weights)
    t1, t2 = (torch.tensor(part[network]) for part in cell.templates)
    model = nn.Sequential(nn.Linear(5, task.width), nn.ReLU(), nn.Linear(task.width, 1))
    model.load_state_dict(
        {"0.weight": w1.T, "0.bias": b1, "2.weight": w2[None], "2.bias": b2[None]}
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=training.lr, eps=1e-7)
    if t1.any():
        template = PolarityTemplate({"0.weight": t1.T.contiguous(), "2.weight": t2[None]})
        template.match_(model)
        FreezeSGD(model, optimizer, template, training.reset, training.epsilon, seed=network)
    order = torch.from_numpy(np.array(cell.order[cell.trial[network]])).long()
    loss, accuracy = np.empty((2, 1, task.epochs), np.float32)
    for epoch in range(task.epochs):
        for batch in torch.split(order[epoch], training.batch_size):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(x[batch]).squeeze(-1), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            z = model(x_val).squeeze(-1)
            loss[0, epoch] = binary_cross_entropy_with_logits(z, y_val).item()
            accuracy[0, epoch] = ((z > 0) == (y_val > 0.5)).float().mean().item()
    return loss, accuracy


def prepare_loop(task: Task) -> Callable[[], Curves]:
    """One network after the other, on one thread: more only make operations this small slower."""
    train_alone(task.smaller(trials=1, epochs=1), 0)  # torch's own first-time costs

    def run() -> Curves:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            curves = [train_alone(task, network) for network in range(task.cell.networks)]
        finally:
            torch.set_num_threads(threads)
        loss, accuracy = (np.concatenate(part) for part in zip(*curves, strict=True))
        return loss, accuracy

    return run


def prepare_jax(task: Task, chunk: int | None = None) -> Callable[[], Curves]:
    """JAX, imported only here."""
    from . import jax_vmap

    return jax_vmap.prepare(task, chunk)


def contestants(sample: int) -> list[Contestant]:
    """All that can run here, ours first; ``sample`` is the loop's."""
    found = [
        Contestant(
            "polarity, compiled",
            "train_xor5d as it is on a processor, all cores",
            partial(prepare_ensemble, backend="compiled"),
        ),
        Contestant(
            "polarity, batched",
            "the accelerator's form, here on the processor, all cores",
            partial(prepare_ensemble, backend="batched"),
        ),
        Contestant(
            "PyTorch, one by one",
            f"FreezeSGD, a process of one thread a core; {len(CONDITIONS) * sample} networks "
            "are timed in one of them, and scaled up",
            prepare_loop,
            sample,
            cores(),
        ),
    ]
    if importlib.util.find_spec("jax"):
        found += [
            Contestant("JAX, jit(vmap)", "the whole training one XLA program", prepare_jax),
            Contestant(
                "JAX, vmap of 30",
                "the same, 30 networks at a time, to stay in cache",
                partial(prepare_jax, chunk=30),
            ),
        ]
    return found
