"""Which parameters are weights, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils import parametrizations, prune

from polarity import FreezeSGD, PolarityTemplate
from polarity.core.parameters import canonical, weight_names


class Odd(nn.Module):
    """Parameters of two or more dimensions in a layer unknown to torch."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 8))
        self.project = nn.Linear(8, 8)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (nn.Linear(2, 3), ["weight"]),
        (nn.Bilinear(2, 3, 4), ["weight"]),
        (nn.Sequential(nn.Conv1d(1, 2, 3), nn.Conv3d(1, 2, 3)), ["0.weight", "1.weight"]),
        (nn.ConvTranspose2d(1, 2, 3), ["weight"]),
        (nn.GRUCell(2, 3), ["weight_ih", "weight_hh"]),
        (
            nn.LSTM(2, 4, bidirectional=True, proj_size=3),
            [f"weight_{w}_l0{d}" for d in ("", "_reverse") for w in ("ih", "hh", "hr")],
        ),
        (nn.MultiheadAttention(8, 2, add_bias_kv=True), ["in_proj_weight", "out_proj.weight"]),
        (
            nn.MultiheadAttention(8, 2, kdim=4, vdim=6),
            [f"{w}_proj_weight" for w in "qkv"] + ["out_proj.weight"],
        ),
        (nn.Sequential(nn.BatchNorm2d(3), nn.LayerNorm((2, 3)), nn.Embedding(3, 2)), []),
        (nn.Sequential(nn.PReLU(3), nn.GroupNorm(1, 2), nn.EmbeddingBag(3, 2)), []),
        (Odd(), ["project.weight"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_default_weights(model: nn.Module, names: list[str]) -> None:
    assert weight_names(model) == names


def test_a_shared_layer_is_named_once() -> None:
    shared = nn.Linear(3, 3)
    assert weight_names(nn.Sequential(shared, nn.ReLU(), shared)) == ["0.weight"]


def tied_to_embedding() -> nn.Module:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5)})
    model["head"].weight = model["embed"].weight
    return model


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (tied_to_embedding(), "head.weight"),
        (parametrizations.weight_norm(nn.Linear(2, 3)), "parametrizations.weight.original0"),
        (parametrizations.spectral_norm(nn.Conv2d(2, 3, 1)), "parametrizations.weight.original"),
        (parametrizations.orthogonal(nn.LSTM(2, 3), "weight_hh_l0"), "weight_hh_l0.original"),
        (prune.l1_unstructured(nn.Linear(2, 3), "weight", 0.5), "weight_orig"),
        (lambda: nn.utils.weight_norm(nn.Linear(2, 3)), "weight_v"),
        (lambda: nn.utils.spectral_norm(nn.Linear(2, 3)), "weight_orig"),
    ],
    ids=["tied", "weight_norm", "spectral_norm", "orthogonal", "prune", "old_wn", "old_sn"],
)
def test_unclear_weights_are_asked_about(model: nn.Module, name: str) -> None:
    model = model if isinstance(model, nn.Module) else model()
    with pytest.raises(ValueError, match="unclear, name them with include=") as caught:
        weight_names(model)
    assert name in str(caught.value)


def test_only_a_weight_s_parametrization_is_unclear() -> None:
    model = nn.Sequential(nn.Linear(2, 3), parametrizations.weight_norm(nn.Embedding(2, 3)))
    torch.nn.utils.parametrize.register_parametrization(model[0], "bias", nn.ReLU())
    assert weight_names(model) == ["0.weight"]


@pytest.mark.parametrize(
    ("names", "plain"),
    [
        (["module.a.weight", "module.b.bias"], ["a.weight", "b.bias"]),
        (["module.module.a.weight"], ["a.weight"]),
        (["module.a.weight", "b.bias"], ["module.a.weight", "b.bias"]),
        (["_orig_mod.a.weight"], ["a.weight"]),
        (["module.a.weight", "n_averaged"], ["a.weight", "n_averaged"]),
        (["module.weight", "weight"], ["module.weight", "weight"]),
        (["module._orig_mod.a.weight"], ["a.weight"]),
        (["a._orig_mod.b.weight", "c"], ["a.b.weight", "c"]),
        (["a.module.weight", "modules.weight"], ["a.module.weight", "modules.weight"]),
        ([], []),
    ],
)
def test_canonical_names(names: list[str], plain: list[str]) -> None:
    assert list(canonical(names).items()) == list(zip(names, plain, strict=True))


def test_names_that_would_become_one() -> None:
    with pytest.raises(ValueError, match=r"prefix alone: a\.weight, _orig_mod\.a\.weight"):
        canonical(["a.weight", "_orig_mod.a.weight", "b"])


@pytest.mark.skipif(not dist.is_available(), reason="torch without its distributed part")
def test_weights_spread_over_processes_are_named(tmp_path: Path) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Linear(5, 3))
    template = PolarityTemplate.random(model)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'met'}", rank=0, world_size=1)
    try:
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for refused in (
            lambda: PolarityTemplate.from_model(model),
            lambda: template.match_(model),
            lambda: template.violations(model),
            lambda: FreezeSGD(model, optimizer, template),
        ):
            with pytest.raises(ValueError, match=r"'0.weight' is spread over several processes"):
                refused()
    finally:
        dist.destroy_process_group()
