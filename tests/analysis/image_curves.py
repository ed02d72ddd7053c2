"""Made-up curves in the shape of the image experiments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from polarity.protocols import IMAGE_CONDITIONS

LAYERS = ("conv1", "conv2", "fc6", "last")
FINAL = dict(zip(IMAGE_CONDITIONS, (0.70, 0.68, 0.62, 0.61, 0.71, 0.66), strict=True))
START = dict(zip(IMAGE_CONDITIONS, (6, 8, 12, 14, 9, 12), strict=True))


def image_curves(
    sizes: Sequence[int] = (100, 250),
    trials: int = 3,
    every: int = 1,
    epochs: int = 40,
    stuck: Sequence[str] = (),
    seed: int = 0,
) -> xr.Dataset:
    """Curves that sit at chance, rise and level out; ``stuck`` conditions never leave chance."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(every - 1, epochs, every)
    lead = (len(IMAGE_CONDITIONS), len(sizes), trials)
    accuracy = np.empty((*lead, len(epoch)), np.float32)
    loss = np.empty_like(accuracy)
    flipped = rng.uniform(0, 0.02, (*lead, epochs - 1, len(LAYERS))).astype(np.float32)
    dead = rng.uniform(0, 1, (*lead, 2, len(LAYERS) - 1)).astype(np.float32)
    for i, condition in enumerate(IMAGE_CONDITIONS):
        if condition.startswith("frozen"):
            flipped[i] = 0
        for j, n in enumerate(sizes):
            for t in range(trials):
                final = FINAL[condition] + 0.03 * np.log(n / 100) + rng.normal(0, 0.005)
                late = np.maximum(epoch - START[condition] - rng.uniform(0, 3), 0)
                rise = (final - 0.1) * (1 - np.exp(-late / 6))
                if condition in stuck:
                    rise = np.zeros(len(epoch))
                accuracy[i, j, t] = np.round(2000 * (0.1 + rise)) / 2000
                loss[i, j, t] = 2.3026 - 2 * rise + 1e-4 * rng.random(len(epoch))
    dims = ("condition", "n_train", "trial")
    return xr.Dataset(
        {
            "val_loss": ((*dims, "epoch"), loss),
            "val_accuracy": ((*dims, "epoch"), accuracy),
            "flipped": ((*dims, "step", "layer"), flipped),
            "dead": ((*dims, "moment", "hidden"), dead),
        },
        {
            "condition": list(IMAGE_CONDITIONS),
            "n_train": list(sizes),
            "trial": range(trials),
            "epoch": epoch,
            "step": range(1, epochs),
            "layer": list(LAYERS),
            "moment": ["start", "end"],
            "hidden": list(LAYERS[:-1]),
        },
    )


def without(curves: xr.Dataset, condition: str, n: int, trial: int) -> xr.Dataset:
    """The curves as if that network had not been trained."""
    where = (curves.condition == condition) & (curves.n_train == n) & (curves.trial == trial)
    return curves.where(~where)
