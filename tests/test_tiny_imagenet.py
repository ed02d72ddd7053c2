"""Tiny ImageNet's two forms: images, labels and names in their order, or a refusal."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from two_colours import BLUE, RED, jpeg

from polarity.datasets import ImageSet, tiny_imagenet

tiny = sys.modules["polarity.datasets.tiny_imagenet"]  # the package's name of it is the function
LABELS = {"train": [2, 0, 1, 1, 0, 2, 2, 1], "val": [1, 2]}


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "COUNTS", {"train": 8, "val": 2})


def picture(number: int) -> bytes:
    return jpeg(64, RED, BLUE) if number == 0 else jpeg(64, (30 * number,) * 3)


def part(path: Path, files: list[bytes], labels: list[int], missing: int = 0) -> None:
    """One of the files that hold JPEG files end to end; its end may be ``missing``."""
    content = b"".join(files)
    np.savez(
        path,
        jpeg=np.frombuffer(content[: len(content) - missing], np.uint8),
        offsets=np.cumsum([0, *map(len, files)]),
        labels=np.array(labels),
        names=np.array(["a", "b", "c"]),
    )


def check_pictures(images: ImageSet) -> None:
    """Each is where it was, the right way round, and red is the first channel."""
    means = images.images[1:].double().mean((1, 2, 3))
    assert means.tolist() == pytest.approx([30 * i for i in range(1, len(images))], abs=2)
    left, right = images.images[0, :, :, :28], images.images[0, :, :, 36:]
    assert int(left[0].min()) > 240 and int(left[1:].max()) < 15
    assert int(right[2].min()) > 240 and int(right[:2].max()) < 15


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_parts_are_read_in_their_order(tmp_path: Path, split: str) -> None:
    labels = LABELS[split]
    for number, name in enumerate(tiny.PARTS[split]):
        files = [picture(2 * number + i) for i in range(2)]
        part(tmp_path / name, files, labels[2 * number : 2 * number + 2])
    images = tiny_imagenet(split, folder=tmp_path)
    check_pictures(images)
    assert images.labels.tolist() == labels and images.classes == ("a", "b", "c")
    assert (images.split, images.name) == (split, "tiny_imagenet")
    assert images.source == f"{tmp_path / tiny.PARTS[split][0]} and its parts"


def test_the_unpacked_folder_is_read_class_by_class(tmp_path: Path) -> None:
    place = tmp_path / "tiny-imagenet-200"
    paths = [place / "train" / f"n{n}" / "images" / f"n{n}_{i}.JPEG" for n in "31" for i in "0123"]
    paths += [place / "val" / "images" / f"val_{i}.JPEG" for i in "01"]
    for number, path in reversed(list(enumerate(paths))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number % 8))
    (place / "wnids.txt").write_text("n3\nn1\n")
    (place / "words.txt").write_text("n2\tcat\nn1\tgoldfish, Carassius auratus\n")
    rows = "val_0.JPEG\tn1\t0\t0\t62\t62\nval_1.JPEG\tn3\t9\t9\t50\t50\n"
    (place / "val" / "val_annotations.txt").write_text(rows)
    for split, labels in (("train", [0] * 4 + [1] * 4), ("val", [1, 0])):
        images = tiny_imagenet(split, folder=tmp_path)
        check_pictures(images)
        assert images.labels.tolist() == labels and images.source == str(place)
        assert images.classes == ("n3", "goldfish, Carassius auratus")


@pytest.mark.parametrize(
    ("files", "missing", "message"),
    [
        ([picture(0)] * 2, 1, r"val\.npz ends at byte \d+ of \d+"),
        ([picture(0), picture(0)[:-200]], 0, "image 1 is no readable JPEG"),
        ([b"none", picture(0)], 0, "image 0 is no readable JPEG"),
        ([picture(0), jpeg(32)], 0, r"image 1 must be 64 x 64 pixels, got \(32, 32\)"),
        ([picture(0)] * 3, 0, "must hold 2 images, got 3"),
    ],
)
def test_a_part_with_other_images_is_refused(
    tmp_path: Path, files: list[bytes], missing: int, message: str
) -> None:
    part(tmp_path / "tiny_imagenet_val.npz", files, [0] * len(files), missing)
    with pytest.raises(ValueError, match=message) as error:
        tiny_imagenet("val", folder=tmp_path)
    assert str(tmp_path / "tiny_imagenet_val.npz") in str(error.value)
