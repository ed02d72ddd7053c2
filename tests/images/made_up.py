"""A small made-up task: bright squares, whose corner is the class."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch

from polarity.datasets import ImageSet
from polarity.donors import Donor, donor_from_weights
from polarity.networks import alexnet, initialise_
from polarity.protocols import ImagesProtocol

PROTOCOL = ImagesProtocol.reduced(
    sizes=(24,), trials=1, epochs=4, batch_size=12, n_val=16, donor="made_up"
)


def images(n: int = 40, split: str = "train") -> ImageSet:
    generator = torch.Generator().manual_seed(n)
    labels = torch.arange(n) % 4
    pixels = torch.randint(60, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[0, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14] += 150
    return ImageSet("made_up", split, pixels, labels, tuple("abcd"), (72.94,), (90.02,), "made up")


@lru_cache
def donor(protocol: ImagesProtocol = PROTOCOL, seed: int = 7, weights: bool = True) -> Donor:
    model = alexnet(protocol.architecture, 4)
    initialise_(model, torch.Generator().manual_seed(seed), start="he")
    made = donor_from_weights("made_up", protocol.architecture, model.state_dict())
    return made if weights else replace(made, weights=None)
