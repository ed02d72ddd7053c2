"""The small networks: what they are made of, and what has a polarity in them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polarity import PolarityTemplate
from polarity.core import weight_names
from polarity.small.networks import NETWORKS, DigitGRU, DigitViT, ResNet18

IMAGES = torch.rand(7, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_maps_images_to_logits_and_trains_all_its_parameters(name: str) -> None:
    model = NETWORKS[name](5)
    logits = model(IMAGES)
    assert logits.shape == (7, 5)
    # A weighted sum: the plain one has no gradient behind a softmax or a norm.
    (logits * torch.arange(35.0).reshape(7, 5).cos()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "model", [ResNet18(5, 4, zero_residual=False), DigitViT(5), DigitGRU(5)], ids=[*NETWORKS]
)
def test_no_weight_of_a_network_is_idle(model: nn.Module) -> None:
    """A weight that never sees anything but padding would be a sign that says nothing."""
    images = torch.rand(60, 8, 8, generator=torch.Generator().manual_seed(1))
    logits = model(images)
    (logits * torch.arange(300.0).reshape(60, 5).cos()).sum().backward()
    for name in weight_names(model):
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        # A dead unit is silent; a kernel with idle corners would be so by eight ninths.
        assert (gradient != 0).float().mean() > 0.8, name


def test_resnet18_has_its_eighteen_layers_and_three_shortcuts() -> None:
    convolutions = [m for m in ResNet18().modules() if isinstance(m, nn.Conv2d)]
    assert sum(c.kernel_size == (3, 3) for c in convolutions) + 1 == 18
    assert sum(c.kernel_size == (1, 1) for c in convolutions) == 3
    # 64 channels, 10 classes, one input channel: 11,181,642 with three (He and others: 11.17 M).
    full = ResNet18(10, 64)
    assert sum(p.numel() for p in full.parameters()) == 11_173_962 - 2 * 64 * 9


def test_every_block_begins_as_the_identity_unless_it_is_told_otherwise() -> None:
    def last_gains(model: ResNet18) -> torch.Tensor:
        return torch.cat([block.get_parameter("norm2.weight") for block in model.stages])

    assert not last_gains(ResNet18()).any()
    assert (last_gains(ResNet18(zero_residual=False)) == 1).all()
    x = torch.rand(2, 8, 4, 4)
    torch.testing.assert_close(ResNet18().stages[0](x), x)


def test_the_layers_of_the_transformer_begin_with_weights_of_their_own() -> None:
    first, second = DigitViT().encoder.layers
    for name, weight in first.named_parameters():
        if name.endswith("weight") and weight.dim() == 2:
            assert not torch.equal(weight, second.get_parameter(name)), name


def test_the_transformer_sees_every_pixel_and_where_it_is() -> None:
    model = DigitViT(5).eval()
    image = IMAGES[:1].clone().requires_grad_()
    model(image)[0, 0].backward()
    assert image.grad is not None
    assert (image.grad != 0).all()
    moved = torch.roll(IMAGES[:1], 2, 2)  # the same patches, elsewhere
    assert not torch.allclose(model(IMAGES[:1]), model(moved), atol=1e-6)


def test_the_gru_reads_rows_in_order() -> None:
    model = DigitGRU(5)
    assert not torch.allclose(model(IMAGES), model(IMAGES.flip(1)), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_by_default_matrices_and_kernels_have_a_polarity_and_nothing_else(name: str) -> None:
    model = NETWORKS[name](5)
    expected = [n for n, p in model.named_parameters() if p.dim() > 1 and n != "position"]
    assert weight_names(model) == expected
    assert list(PolarityTemplate.random(model)) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet18(0), "classes must be at least 1, got 0"),
        (lambda: ResNet18(width=0), "width must be at least 1, got 0"),
        (lambda: DigitViT(width=30, heads=4), "heads must divide width = 30, got 4"),
        (lambda: DigitViT(patch=3), "patch must divide size = 8, got 3"),
        (lambda: DigitViT(depth=0), "depth must be at least 1, got 0"),
        (lambda: DigitGRU(hidden=0), "hidden must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_built_says_why(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
