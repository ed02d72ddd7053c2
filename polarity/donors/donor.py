"""A donor: a trained network whose signs, or weights, others start from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from .._checks import one_of
from ..core import PolarityTemplate
from ..networks import LAST, alexnet

__all__ = ["ACCURACY", "Donor", "donor_from_weights", "weights_digest"]

ACCURACY = "top-1 accuracy, validation"
"""Where a donor's card says how good it is."""
VARIANTS = ("conv", "fc", "shuffled")


@dataclass(frozen=True, eq=False)
class Donor:
    """A trained network whose signs, or weights, others start from.

    Attributes
    ----------
    name
        Short name, which results carry.
    architecture
        The one of :data:`polarity.networks.ARCHITECTURES` that it fits.
    template
        The sign of each of its weights, under the names of :func:`polarity.networks.alexnet`.
        Layers that it does not have, the last among them, have no entry.
    weights
        Its weights and biases, float32, if they are at hand: for fine-tuning. None otherwise.
    card
        What is known of it: training data, recipe, accuracy, licence, source; plain text.
    """

    name: str
    architecture: str
    template: PolarityTemplate
    weights: Mapping[str, Tensor] | None = None
    card: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that signs and weights fit the architecture, layer by layer.

        Raises
        ------
        ValueError
            Naming every layer that does not fit, its shape here and there.
        """
        with torch.device("meta"):
            model = alexnet(self.architecture)
        shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
        given = [("signs", self.template), ("weights", self.weights or {})]
        faults = []
        for what, tensors in given:
            for name, tensor in tensors.items():
                if name not in shapes:
                    faults.append(f"{what} {name!r}: {self.architecture} has no such layer")
                elif tuple(tensor.shape) != shapes[name]:
                    faults.append(
                        f"{what} {name!r}: {tuple(tensor.shape)} in the donor, {shapes[name]} in "
                        f"{self.architecture}"
                    )
        if faults:
            raise ValueError(f"donor {self.name} does not fit:\n  " + "\n  ".join(faults))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its weights if they are at hand, otherwise of its signs, in hexadecimal."""
        return self.template.digest() if self.weights is None else weights_digest(self.weights)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that have a sign from the donor."""
        return tuple(name.removesuffix(".weight") for name in self.template)

    def variant(self, how: str) -> Donor:
        """Return a donor of some of these signs, or of as many: to see which of them matter.

        Parameters
        ----------
        how
            ``"conv"`` or ``"fc"``: the signs of these layers alone. ``"shuffled"``: the signs of
            each layer dealt out anew, so that only the share of negative ones is the donor's.

        Returns
        -------
        Donor
            Named ``NAME:HOW``; without weights.

        Raises
        ------
        ValueError
            If there is no such variant, or the donor has no such layer.
        """
        one_of("variant of a donor", how, VARIANTS)
        signs = dict(self.template)
        if how == "shuffled":
            generator = torch.Generator().manual_seed(0)
            signs = {
                name: sign.flatten()[torch.randperm(sign.numel(), generator=generator)].view_as(
                    sign
                )
                for name, sign in signs.items()
            }
        else:
            signs = {name: sign for name, sign in signs.items() if name.startswith(how)}
        if not signs:
            raise ValueError(f"donor {self.name} has no {how} layer, only {', '.join(self.layers)}")
        template = PolarityTemplate(signs)
        return Donor(f"{self.name}:{how}", self.architecture, template, None, self.card)


def donor_from_weights(
    name: str,
    architecture: str,
    weights: Mapping[str, Tensor],
    card: Mapping[str, str] | None = None,
) -> Donor:
    """Return the donor that has these weights and biases, without its last layer.

    Weights of exactly 0 are left unconstrained: the blocks that a grouped convolution lacks.

    Parameters
    ----------
    name
        What to call it; results carry this name.
    architecture
        One of :data:`polarity.networks.ARCHITECTURES`.
    weights
        Its weights and biases, under the names of :func:`polarity.networks.alexnet`.
    card
        What is known of it.

    Raises
    ------
    ValueError
        If layers do not fit the architecture; all are listed.
    """
    kept = {
        key: value.detach().to(torch.float32).cpu()
        for key, value in weights.items()
        if not key.startswith(f"{LAST}.")
    }
    signs = {key: value.sign() for key, value in kept.items() if key.endswith(".weight")}
    return Donor(name, architecture, PolarityTemplate(signs), kept, dict(card or {}))


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + b"\0")
        digest.update(weights[name].detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def complete_template(donor: Donor, model: nn.Module) -> PolarityTemplate:
    """Return the donor's template, completed for ``model`` by the model's own signs.

    Layers without a donor keep their own random signs as the template (section 3 of the paper:
    the last layer).
    """
    own = PolarityTemplate.from_model(model)
    return PolarityTemplate({**own, **donor.template})
