"""Template files: how fast AlexNet's signs are written and read, beside its weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from polarity import PolarityTemplate
from polarity.networks import alexnet, initialise_

from .measure import Spread, seconds


@dataclass(frozen=True)
class Files:
    """One network as a template and as weights.

    Attributes
    ----------
    weights
        Number of weights that have a sign.
    density
        ``"1 bit"``, every sign +-1, or ``"1.6 bits"``, every seventh entry 0.
    template_bytes, weights_bytes
        Sizes of the two files.
    save, load, torch_save, torch_load
        Seconds of writing and reading the two, in turns, through the page cache.
    copy
        Seconds of a copy of the float32 weights in memory, the speed of this memory.
    """

    weights: int
    density: str
    template_bytes: int
    weights_bytes: int
    save: Spread
    load: Spread
    torch_save: Spread
    torch_load: Spread
    copy: Spread

    @property
    def lines(self) -> list[str]:
        """The result in words; GB/s count the float32 weights that the signs belong to."""
        of = 4 * self.weights / 1e9
        rows = [
            ("template.save", self.save, self.torch_save, "torch.save"),
            ("template.load", self.load, self.torch_load, "torch.load"),
        ]
        return [
            f"AlexNet's {self.weights / 1e6:.1f} M signs at {self.density}: "
            f"{self.template_bytes / 1e6:.2f} MB; its weights {self.weights_bytes / 1e6:.0f} MB, "
            f"{self.weights_bytes / self.template_bytes:.1f} times as many",
            *(
                f"  {name} {1e3 * ours.median:7.0f} ms, {of / ours.median:5.2f} GB/s of weights; "
                f"{other} {1e3 * theirs.median:7.0f} ms, {of / theirs.median:5.2f} GB/s; "
                f"{theirs.median / ours.median:.1f} times ours"
                for name, ours, theirs, other in rows
            ),
            f"  a copy in memory {1e3 * self.copy.median:4.0f} ms, "
            f"{of / self.copy.median:.2f} GB/s",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def measure_files(architecture: str, density: str, rounds: int) -> Files:
    """Write and read both files, taking turns."""
    generator = torch.Generator().manual_seed(0)
    model = initialise_(alexnet(architecture), generator)
    random = PolarityTemplate.random(model, generator=generator)
    signs = {name: sign.clone() for name, sign in random.items()}
    if density == "1.6 bits":
        for sign in signs.values():
            sign.view(-1)[::7] = 0
    template = PolarityTemplate(signs)
    weights = {name: model.get_parameter(name).detach() for name in signs}
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "signs.safetensors", Path(folder) / "weights.pt"
        runs: dict[str, Callable[[], object]] = {
            "save": lambda: template.save(ours),
            "torch_save": lambda: torch.save(weights, theirs),
            "load": lambda: PolarityTemplate.load(ours),
            "torch_load": lambda: torch.load(theirs, weights_only=True),
            "copy": lambda: [weight.clone() for weight in weights.values()],
        }
        took: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(rounds + 1):
            for name, run in runs.items():
                value = seconds(run)
                if number:  # the first round warms up
                    took[name].append(value)
        return Files(
            sum(sign.numel() for sign in signs.values()), density,
            ours.stat().st_size, theirs.stat().st_size,
            **{name: Spread.of(values) for name, values in took.items()},
        )  # fmt: skip


def template_files(rounds: int, quick: bool) -> list[Files]:
    """Measure both densities, of the paper's network or, quickly, of the small one."""
    architecture = "alexnet_64" if quick else "alexnet"
    return [measure_files(architecture, density, rounds) for density in ("1 bit", "1.6 bits")]
