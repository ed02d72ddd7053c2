"""Train one network on images, as sections 3 and 4 of the paper do, and say what happened."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._machine import chosen_device, processor, whole_float32
from ..core import FreezeSGD
from ..datasets.images import ImageSet
from ..donors.donor import ACCURACY, Donor
from ..networks import ARCHITECTURES
from ..protocols import ImagesProtocol
from ..results import Run, code_digest
from .conditions import Condition, donor_of, seeds, start
from .data import dataset

__all__ = ["Epoch", "Training", "identity", "train"]

EVALUATION_BATCH = 1000  # images
LOOKED_AT = 1000  # test images on which units are called dead or alive
CODE = code_digest()  # of the code that runs: its files may change while it does


@dataclass(frozen=True)
class Epoch:
    """One epoch, as soon as it is over.

    Attributes
    ----------
    number
        Counted from 0.
    train_loss
        Mean cross-entropy of the training images, each in its step.
    val_loss
        Mean cross-entropy on the test images; None where the protocol does not evaluate.
    val_accuracy
        Share of the test images that are classified rightly; None likewise.
    """

    number: int
    train_loss: float
    val_loss: float | None
    val_accuracy: float | None


class Training:
    """The training of one network; iterate over it, epoch by epoch.

    Parameters
    ----------
    protocol
        Which experiment.
    n
        Number of training images, the first ones of the data set.
    trial
        Which of the networks; its seeds follow from (data set, n, trial).
    condition
        One of :data:`~polarity.protocols.IMAGE_CONDITIONS`.
    data
        Training images; the first ``n`` are used.
    test
        Test images; the first ``protocol.n_val`` are used.
    donor
        Whose signs or weights; not needed by RAND conditions.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Notes
    -----
    Within a (data set, n, trial) all conditions share images, batches and dropout masks. Inside an
    epoch nothing waits for the device: losses, hits and flipped signs are summed where they arise.
    """

    def __init__(
        self,
        protocol: ImagesProtocol,
        n: int,
        trial: int,
        condition: str,
        data: ImageSet,
        test: ImageSet,
        *,
        donor: Donor | None = None,
        device: str = "auto",
    ) -> None:
        self.protocol = protocol
        self.device = chosen_device(device)
        self.seeds = seeds(protocol, n, trial)
        self.data = data.first(n).to(self.device)
        self.test = test.first(protocol.n_val).to(self.device)
        self.size = ARCHITECTURES[protocol.architecture].image_size
        begun = start(protocol, n, trial, condition, donor=donor, classes=len(data.classes))
        self.model = begun.model.to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=protocol.lr, eps=1e-7, fused=True
        )
        self.freeze: FreezeSGD | None = None
        if Condition.named(condition).frozen:
            self.freeze = FreezeSGD(
                self.model,
                self.optimizer,
                begun.template,
                protocol.reset,
                protocol.epsilon,
                seed=self.seeds.reset,
            )
        self._layers = [
            (name, layer)
            for name, layer in self.model.named_children()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]
        self._order = torch.Generator().manual_seed(self.seeds.batches)
        self._flipped: list[Tensor] = []
        self.epochs: list[Epoch] = []

    @property
    def layers(self) -> list[str]:
        """Names of the layers that have weights, in order."""
        return [name for name, _ in self._layers]

    def __iter__(self) -> Iterator[Epoch]:
        protocol = self.protocol
        evaluated = set(protocol.evaluated())
        signs = self._signs()
        for number in range(len(self.epochs), protocol.epochs):
            with whole_float32():
                loss = self._train(number)
                result = self._evaluate() if number in evaluated else None
            now = self._signs()
            if number:
                changed = [(a != b).float().mean() for a, b in zip(signs, now, strict=True)]
                self._flipped.append(torch.stack(changed))
            signs = now
            # The epoch is over: here, and nowhere before, the host waits for the device.
            val_loss, accuracy = (None, None) if result is None else result.tolist()
            epoch = Epoch(number, float(loss), val_loss, accuracy)
            self.epochs.append(epoch)
            yield epoch

    def flipped(self) -> list[list[float]]:
        """Share of weights whose sign differs from the epoch before, by epoch and layer (C.5).

        There is one row less than there are epochs: the first compares epochs 0 and 1.
        """
        return torch.stack(self._flipped).tolist() if self._flipped else []

    @torch.no_grad()
    def dead(self) -> list[float]:
        """Share of units, by hidden layer, that are 0 on every one of the first test images.

        A unit of a convolution is a channel; it is dead if it is 0 at every position.
        """
        images = self.test.first(min(LOOKED_AT, len(self.test)))
        self.model.eval()
        shares = []
        with whole_float32(), self._autocast():
            x = self._inputs(images, slice(None))
            for layer in self.model:
                x = layer(x)
                if isinstance(layer, nn.ReLU):
                    alive = (x > 0).flatten(2).any(2) if x.dim() == 4 else x > 0
                    shares.append(1 - alive.any(0).float().mean())
        return torch.stack(shares).tolist()

    def _train(self, number: int) -> Tensor:
        """Train for one epoch; return the mean loss of its images, on the device."""
        n, batch = len(self.data), self.protocol.batch_size
        order = torch.randperm(n, generator=self._order).to(self.device)
        self.model.train()
        total = torch.zeros((), device=self.device)
        with _dropout_stream(self.seeds.dropout + number, self.device):
            for begin in range(0, n, batch):
                index = order[begin : begin + batch]
                with self._autocast():
                    logits = self.model(self._inputs(self.data, index))
                loss = functional.cross_entropy(logits.float(), self.data.labels[index])
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.optimizer.step()
                total += loss.detach() * len(index)
        return total / n

    @torch.no_grad()
    def _evaluate(self) -> Tensor:
        """Return mean loss and accuracy on the test images, on the device."""
        self.model.eval()
        sums = torch.zeros(2, device=self.device)
        for begin in range(0, len(self.test), EVALUATION_BATCH):
            part = slice(begin, begin + EVALUATION_BATCH)
            labels = self.test.labels[part]
            with self._autocast():
                logits = self.model(self._inputs(self.test, part))
            loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
            sums += torch.stack([loss, (logits.argmax(1) == labels).sum()])
        return sums / len(self.test)

    def _signs(self) -> list[Tensor]:
        return [layer.weight.detach() > 0 for _, layer in self._layers]

    def _inputs(self, images: ImageSet, index: Tensor | slice) -> Tensor:
        # Autocast would round them to bfloat16 anyway, after writing them out in float32.
        bf16 = self.protocol.precision == "bf16"
        return images.inputs(index, self.size, torch.bfloat16 if bf16 else torch.float32)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.protocol.precision == "bf16"
        )


def identity(
    protocol: ImagesProtocol,
    n: int,
    trial: int,
    condition: str,
    *,
    folder: str | Path | None = None,
) -> dict[str, Any]:
    """Return what identifies a run: the protocol's cell, the images and the donor. Trains nothing.

    RAND conditions have the donor ``"none"``: their runs serve beside every donor.

    Parameters
    ----------
    protocol
        Which experiment.
    n
        Number of training images.
    trial
        Which of the networks.
    condition
        One of :data:`~polarity.protocols.IMAGE_CONDITIONS`.
    folder
        Data folder (default: $POLARITY_DATA, then the user's cache).

    Returns
    -------
    dict
        Plain JSON values; :meth:`polarity.results.Run.key_of` makes the run's key of them.

    Raises
    ------
    ValueError, DataNotFound
        If n or n_val exceed the data set, the donor does not fit the architecture, or images or
        donor are not to be had.
    """
    data, test = (dataset(protocol.dataset, split, folder) for split in ("train", "test"))
    data.first(n)
    if protocol.n_val > len(test):
        raise ValueError(
            f"n_val must be at most {len(test)}, all of {test.name}'s test images; got "
            f"{protocol.n_val}"
        )
    cell = protocol.cell(n, trial, condition)
    donor = donor_of(protocol, condition, folder=folder)
    if donor is None:
        cell |= {"donor": "none", "donor_digest": ""}
    else:
        cell |= {"donor": donor.name, "donor_digest": donor.digest}
    original = data.original and test.original
    cell["data"] = "original" if original else "jpeg copy"
    return cell


def train(
    protocol: ImagesProtocol,
    n: int,
    trial: int,
    condition: str,
    *,
    device: str = "auto",
    folder: str | Path | None = None,
    progress: bool = False,
) -> Run:
    """Train one network and return its run.

    Parameters
    ----------
    protocol
        Which experiment.
    n
        Number of training images, the first ones of the data set.
    trial
        Which of the networks; its seeds follow from (data set, n, trial).
    condition
        One of :data:`~polarity.protocols.IMAGE_CONDITIONS`.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    folder
        Data folder (default: $POLARITY_DATA, then the user's cache).
    progress
        Show a progress bar.

    Returns
    -------
    Run
        Identity, curves, flipped signs and dead units; :meth:`polarity.results.Store.add` keeps it.

    Raises
    ------
    ValueError
        If n exceeds the data set, or the device is not there.
    DataNotFound
        If images or donor are not to be had.
    """
    from tqdm import tqdm

    began = time.monotonic()
    who = identity(protocol, n, trial, condition, folder=folder)
    donor = donor_of(protocol, condition, folder=folder)
    training = Training(
        protocol,
        n,
        trial,
        condition,
        dataset(protocol.dataset, "train", folder),
        dataset(protocol.dataset, "test", folder),
        donor=donor,
        device=device,
    )
    dead = {"start": training.dead()}
    title = f"{protocol.dataset} n={n} trial {trial} {condition}"
    epochs = tqdm(
        training, total=protocol.epochs, desc=title, unit="epoch", disable=not progress, leave=False
    )
    rows = list(epochs)
    dead["end"] = training.dead()
    evaluated = [row for row in rows if row.val_loss is not None]
    return Run(
        identity=who,
        epoch=[row.number for row in evaluated],
        val_loss=[row.val_loss for row in evaluated],
        val_accuracy=[row.val_accuracy for row in evaluated],
        train_loss=[row.train_loss for row in rows],
        layers=training.layers,
        flipped=training.flipped(),
        dead=dead,
        info={
            "seconds": round(time.monotonic() - began, 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **({"donor accuracy": donor.card.get(ACCURACY, "unknown")} if donor else {}),
            "device": device_name(training.device),
            "code": CODE,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    )


def device_name(device: str | torch.device, jobs: int = 1) -> str:
    """Return what runs on a device are said to be trained on: the card, or processor and threads.

    Parameters
    ----------
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, or torch's.
    jobs
        Runs at a time, between which joblib divides the processor's threads.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if chosen_device(str(device)).type == "cuda":
        return torch.cuda.get_device_name()
    return f"{processor()}, {max(1, torch.get_num_threads() // jobs)} threads"


@contextmanager
def _dropout_stream(seed: int, device: torch.device) -> Iterator[None]:
    """Draw dropout masks from a stream of their own: dropout knows no generator but torch's."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        # torch.manual_seed would seed all devices, also those whose state is not put back.
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)  # of the current one, on which everything is
        yield
