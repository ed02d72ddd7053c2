"""Labelled images that stay bytes until a batch is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from .._checks import whole_number

__all__ = ["ImageSet"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split of an image data set, as uint8, on one device.

    Attributes
    ----------
    name
        Which data set.
    split
        ``"train"`` or ``"test"``.
    images
        uint8 ``(n, channels, height, width)`` with 1 or 3 channels.
    labels
        int64 ``(n,)``, each below ``len(classes)``.
    classes
        Names of the classes.
    mean
        What the standardisation subtracts: one number per channel, in units of 0 to 255.
    std
        What it divides by, likewise.
    source
        Where the images were found, and what they are if not the original bytes.
    original
        Whether they are the original bytes.

    Raises
    ------
    ValueError
        If a shape, dtype, count or label does not fit.

    Examples
    --------
    >>> grey = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    >>> labels = torch.tensor([0, 1, 1])
    >>> scale = {"mean": (72.9,), "std": (90.0,)}
    >>> images = ImageSet(
    ...     "made up", "train", grey, labels, ("a", "b"), source="", **scale
    ... )
    >>> images.inputs(slice(0, 2), 64).shape
    torch.Size([2, 3, 64, 64])
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    original: bool = True

    def __post_init__(self) -> None:
        """Check that images and labels fit together."""
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"{self.name}: images must be uint8 (n, channels, height, width), got "
                f"{self.images.dtype} {tuple(self.images.shape)}"
            )
        channels = self.images.shape[1]
        if channels not in (1, 3) or len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(
                f"{self.name}: images must have 1 or 3 channels, with as many means and standard "
                f"deviations; got {channels}, {len(self.mean)}, {len(self.std)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"{self.name}: labels must be int64 ({len(self.images)},), one for each image, got "
                f"{self.labels.dtype} {tuple(self.labels.shape)}"
            )
        if len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise ValueError(
                    f"{self.name}: labels must lie in 0 to {len(self.classes) - 1}, got {low} to "
                    f"{high}"
                )

    def __len__(self) -> int:
        return len(self.images)

    def first(self, n: int) -> ImageSet:
        """Return the first ``n`` images (section 4 of the paper trains on these).

        Parameters
        ----------
        n
            How many, at least 1.

        Raises
        ------
        TypeError, ValueError
            If ``n`` is not a whole number from 1 to the number of images.
        """
        if whole_number("n", n, at_least=1) > len(self):
            raise ValueError(
                f"n must be at most {len(self)}, all of {self.name}'s {self.split} images; got {n}"
            )
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def to(self, device: torch.device | str) -> ImageSet:
        """Return the same images on ``device``, still as bytes."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def inputs(
        self, index: Tensor | slice, size: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return network inputs: standardised, resized bilinearly, grey repeated to 3 channels.

        Parameters
        ----------
        index
            Which images: int64 ``(b,)`` on the images' device, or a slice.
        size
            Height and width, in pixels.
        dtype
            Dtype of the result; the arithmetic is float32.

        Returns
        -------
        Tensor
            ``(b, 3, size, size)``, in the memory order that convolutions are fastest with.
        """
        mean, std = self._scale
        x = (self.images[index].float() - mean) / std
        if x.shape[-2:] != (size, size):
            x = functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)
        x = x.to(dtype).expand(-1, 3, -1, -1)
        return x.contiguous(memory_format=torch.channels_last)

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation where the images are: copied there once, not every batch."""
        device = self.images.device
        mean, std = (torch.tensor(v, device=device) for v in (self.mean, self.std))
        return mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)

    def digest(self) -> str:
        """Return the SHA-256 of labels and images, in hexadecimal digits."""
        digest = hashlib.sha256(self.labels.cpu().numpy().tobytes())
        digest.update(self.images.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
