"""The first convolution, folded for a GPU: the same function, and the same gradients."""

import pytest
import torch
from torch.nn import functional

from polarity.networks import FoldedConv2d, alexnet, folded


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(227, 11, 4, 0), (224, 11, 4, 2), (64, 11, 4, 2), (21, 5, 2, 1), (20, 4, 4, 0), (9, 3, 1, 1)],
)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_folding_changes_nothing(size, kernel, stride, padding, memory):
    generator = torch.Generator().manual_seed(size)
    kind = {"dtype": torch.float64, "generator": generator}
    x = torch.randn(2, 3, size, size, **kind).to(memory_format=memory).requires_grad_()
    weight = torch.randn(7, 3, kernel, kernel, **kind).requires_grad_()
    bias = torch.randn(7, **kind).requires_grad_()
    expected = functional.conv2d(x, weight, bias, stride, padding)
    found = folded(x, weight, bias, stride, padding)
    torch.testing.assert_close(found, expected)
    direction = torch.randn(expected.shape, **kind)
    for a, b in zip(
        torch.autograd.grad(found, (x, weight, bias), direction),
        torch.autograd.grad(expected, (x, weight, bias), direction),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_alexnets_first_layer_is_folded_and_keeps_the_shape_of_its_weights():
    layer = alexnet("alexnet_64").conv1
    assert isinstance(layer, FoldedConv2d) and isinstance(layer, torch.nn.Conv2d)
    assert layer.weight.shape == (96, 3, 11, 11)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("architecture", ["alexnet", "alexnet_torchvision", "alexnet_64"])
def test_on_a_gpu_it_is_the_layer_that_it_is_on_a_processor(architecture):
    layer = alexnet(architecture).conv1.double()
    x = torch.randn(2, 3, 227, 227, dtype=torch.float64)
    torch.testing.assert_close(layer.cuda()(x.cuda()).cpu(), layer.cpu()(x))
