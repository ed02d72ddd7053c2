"""Train a donor: an AlexNet on Tiny ImageNet, whose signs others start from.

``python -m polarity.donors.training --architecture alexnet_64 --out FOLDER``. A donor may be
trained by any recipe; this one starts from He's draw (from Glorot's, Adam sits on a plateau for
epochs), uses AdamW with one cycle of the learning rate, and shifts and mirrors its images. The
state is saved after every epoch: the same command continues where it was killed.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from .._checks import below, keep, one_of, positive, whole_number
from .._files import replacing
from .._machine import chosen_device
from ..datasets.folder import folders
from ..datasets.images import ImageSet
from ..datasets.tiny_imagenet import tiny_imagenet
from ..networks import ARCHITECTURES, LAST, alexnet, initialise_
from .donor import ACCURACY, donor_from_weights, weights_digest

__all__ = ["Recipe", "accuracy", "export", "train_donor"]

PAD = 4  # pixels, of 64, by which a training image is shifted at most


@dataclass(frozen=True)
class Recipe:
    """How a donor is trained.

    Attributes
    ----------
    architecture
        A name of :data:`polarity.networks.ARCHITECTURES`.
    epochs, batch_size
        Passes over the 100,000 training images, and images a step.
    lr, weight_decay
        AdamW's; the rate is the highest of a one-cycle schedule.
    smoothing
        Label smoothing of the cross-entropy.
    dropout
        Share of the units of ``fc6`` and ``fc7`` that a training step leaves out.
    seed
        Of the start, the batches, the augmentation and dropout.
    """

    architecture: str = "alexnet_64"
    epochs: int = 16
    batch_size: int = 128
    lr: float = 3e-4
    weight_decay: float = 0.05
    smoothing: float = 0.1
    dropout: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises
        ------
        TypeError, ValueError
            Naming the field, its value and what is allowed.
        """
        one_of("architecture", self.architecture, ARCHITECTURES)
        keep(self, partial(whole_number, at_least=1), "epochs", "batch_size")
        keep(self, partial(whole_number, at_least=0), "seed")
        keep(self, positive, "lr")
        keep(self, partial(below, limit=math.inf), "weight_decay")
        keep(self, partial(below, limit=1.0), "smoothing", "dropout")


def train_donor(
    recipe: Recipe,
    train: ImageSet,
    val: ImageSet,
    folder: Path,
    *,
    device: str = "auto",
    stop_after: float = float("inf"),
) -> dict[str, Any] | None:
    """Train a donor, or continue one.

    Parameters
    ----------
    recipe
        How.
    train, val
        Tiny ImageNet, or a made-up set in tests.
    folder
        Where ``state.pt`` is saved after every epoch, and ``weights_EPOCH.pt`` after epochs 1, 2,
        4, 8, ... and the last: donors of other quality, from one training.
    device
        ``"cuda"``, ``"cpu"``, or ``"auto"``: the first of them that is there.
    stop_after
        Seconds after which to stop, at the end of an epoch.

    Returns
    -------
    dict or None
        The record of the finished training: recipe, accuracy after every epoch, seconds, device.
        None if it stopped before its end.

    Raises
    ------
    ValueError
        If ``folder`` holds a training by another recipe or on other images, if there are fewer
        images than a batch has, or if the device is not there.
    """
    began = time.monotonic()
    place = chosen_device(device)
    if len(train) < recipe.batch_size:
        raise ValueError(
            f"batch_size must be at most {len(train)}, the number of images; "
            f"got {recipe.batch_size}"
        )
    size = ARCHITECTURES[recipe.architecture].image_size
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(recipe.seed)
    model = alexnet(recipe.architecture, classes=len(train.classes))
    initialise_(model, generator, start="he")
    with torch.no_grad():  # begin at nearly equal odds, not at He's large logits
        model.get_parameter(f"{LAST}.weight").mul_(0.1)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = recipe.dropout
    model.to(place)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = len(train) // recipe.batch_size
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.epochs * steps, pct_start=0.2
    )
    record: dict[str, Any] = {
        "recipe": asdict(recipe),
        "data": {
            "name": train.name,
            "source": train.source,
            "train": len(train),
            "val": len(val),
            "sha256": [train.digest(), val.digest()],
        },
        "epochs": [],
    }
    state_file = folder / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, map_location=place, weights_only=True)
        if state["record"]["recipe"] != record["recipe"]:
            raise ValueError(
                f"{folder} holds the training of another donor, {state['record']['recipe']}; "
                f"this is {record['recipe']}"
            )
        theirs = state["record"]["data"].get("sha256", "not recorded")  # by older versions
        ours = record["data"]["sha256"]
        if theirs != ours:
            raise ValueError(
                f"{folder} holds a training on other images or labels: the SHA-256 of its training "
                f"and validation images is {theirs}, that of these is {ours}"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"].cpu())
        record = state["record"]

    train, val = train.to(place), val.to(place)
    for epoch in range(len(record["epochs"]), recipe.epochs):
        started = time.monotonic()
        # Dropout draws from torch's own stream: seed it by the epoch, so that resuming is exact.
        torch.manual_seed(recipe.seed * 10_000 + epoch)
        model.train()
        order = torch.randperm(len(train), generator=generator).to(place)
        total = torch.zeros((), device=place)
        for step in tqdm(range(steps), desc=f"epoch {epoch + 1}/{recipe.epochs}", leave=False):
            index = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            inputs = _augmented(train.inputs(index, train.images.shape[-1]), size, generator)
            with torch.autocast(place.type, torch.bfloat16):
                logits = model(inputs)
            loss = functional.cross_entropy(
                logits.float(), train.labels[index], label_smoothing=recipe.smoothing
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.detach()
        top1, top5 = accuracy(model, val, size)
        row = {
            "train_loss": float(total) / steps,
            "val_top1": top1,
            "val_top5": top5,
            "seconds": time.monotonic() - started,
        }
        record["epochs"].append(row)
        print(json.dumps({"epoch": epoch + 1, **row}), flush=True)
        last = epoch + 1 == recipe.epochs
        if last or (epoch + 1).bit_count() == 1:
            _save(model.state_dict(), folder / f"weights_{epoch + 1}.pt")
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "generator": generator.get_state(),
            "record": record,
        }
        _save(state, state_file)
        if not last and time.monotonic() - began > stop_after:
            return None
    (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def export(folder: Path, name: str, *, epoch: int | None = None) -> tuple[Path, Path]:
    """Write the template of a trained donor, with its model card, and its weights.

    Parameters
    ----------
    folder
        Where :func:`train_donor` left its work.
    name
        The donor's name: ``NAME.safetensors`` in ``folder/template`` goes into the package's
        ``donors/templates``, that in ``folder/donors`` into a data folder.
    epoch
        After which epoch, of those that were kept; the last by default.

    Returns
    -------
    tuple of Path
        The files of the template and of the weights.

    Raises
    ------
    FileNotFoundError
        If there are no weights of that epoch.
    """
    from safetensors.torch import save_file

    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    record = state["record"]
    epoch = len(record["epochs"]) if epoch is None else epoch
    held = torch.load(folder / f"weights_{epoch}.pt", map_location="cpu", weights_only=True)
    weights = {k: v.contiguous() for k, v in held.items() if not k.startswith(f"{LAST}.")}
    reached, recipe = record["epochs"][epoch - 1], record["recipe"]
    card = {
        "donor": name,
        "architecture": recipe["architecture"],
        "trained on": f"Tiny ImageNet, {record['data']['train']} images of 64 px, 200 classes",
        "recipe": json.dumps(recipe),
        "epochs": str(epoch),
        ACCURACY: f"{reached['val_top1']:.4f}",
        "top-5 accuracy, validation": f"{reached['val_top5']:.4f}",
        "validation images": str(record["data"]["val"]),
        "hours of training": f"{sum(e['seconds'] for e in record['epochs'][:epoch]) / 3600:.2f}",
        "weights_sha256": weights_digest(weights),
        "licence": "Apache-2.0; Tiny ImageNet's images are for research",
    }
    donor = donor_from_weights(name, recipe["architecture"], weights, card)
    template_file = folder / "template" / f"{name}.safetensors"
    weights_file = folder / "donors" / f"{name}.safetensors"
    for path in (template_file, weights_file):
        path.parent.mkdir(exist_ok=True)
    donor.template.save(template_file, metadata=card)
    save_file(weights, weights_file)
    return template_file, weights_file


def _augmented(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Shift a batch by up to PAD pixels, mirror half of it, and resize it.

    Parameters
    ----------
    x
        float ``(b, 3, h, w)``.
    """
    b, _, h, w = x.shape
    dy, dx = torch.randint(0, 2 * PAD + 1, (2, b, 1), generator=generator).to(x.device)
    mirrored = (torch.rand((b, 1), generator=generator) < 0.5).to(x.device)
    rows = torch.arange(h, device=x.device) + dy
    columns = torch.arange(w, device=x.device)
    columns = torch.where(mirrored, columns.flip(0), columns) + dx
    padded = functional.pad(x, (PAD, PAD, PAD, PAD), mode="reflect")
    images = torch.arange(b, device=x.device)[:, None, None]
    # Channels last: one gather moves whole pixels.
    moved = padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]]
    x = moved.permute(0, 3, 1, 2)
    if h != size:
        x = functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    return x


@torch.no_grad()
def accuracy(
    model: nn.Module, images: ImageSet, size: int, batch_size: int = 1000
) -> tuple[float, float]:
    """Return the shares of images whose class is the first, and among the first five."""
    model.eval()
    hits = torch.zeros(2, device=images.images.device, dtype=torch.int64)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        with torch.autocast(images.images.device.type, torch.bfloat16):
            logits = model(images.inputs(part, size)).float()
        best = logits.topk(min(5, logits.shape[1])).indices == images.labels[part, None]
        hits += torch.stack([best[:, 0].sum(), best.sum()])
    first, five = (hits / len(images)).tolist()
    return first, five


def _save(what: object, path: Path) -> None:
    with replacing(path) as file:
        torch.save(what, file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    Returns
    -------
    int
        0; 1 if an input is wrong; 3 if there is more to train; 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m polarity.donors.training",
        description="Train an AlexNet on Tiny ImageNet. The same command continues it.",
    )
    add, usual = parser.add_argument, Recipe()
    add("--architecture", choices=tuple(ARCHITECTURES), default=usual.architecture,
        help="default: %(default)s")  # fmt: skip
    add("--name", help="the donor's, which results carry; default: tiny_imagenet_SIZE_own")
    add("--epochs", type=int, default=usual.epochs, help="default: %(default)s")
    add("--lr", type=float, default=usual.lr, help="highest learning rate; default: %(default)s")
    add("--seed", type=int, default=usual.seed, help="default: %(default)s")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    add("--data", type=Path, help="data folder; default: $POLARITY_DATA, then the user's cache")
    add("--out", type=Path,
        help="folder of the training's state and the template; default: donors/NAME in the "
        "data folder")  # fmt: skip
    add("--minutes", type=float, default=float("inf"), help="stop after these")
    options = parser.parse_args(arguments)
    size = ARCHITECTURES[options.architecture].image_size
    name = options.name or f"tiny_imagenet_{size}_own"
    donors = folders(options.data)[0] / "donors"
    out = options.out or donors / name
    try:
        chosen_device(options.device)  # before 110,000 images are decoded
        recipe = Recipe(
            options.architecture, epochs=options.epochs, lr=options.lr, seed=options.seed
        )
        donors.mkdir(parents=True, exist_ok=True)  # now: not after hours of training
        train, val = (tiny_imagenet(split, folder=options.data) for split in ("train", "val"))
        record = train_donor(
            recipe,
            train,
            val,
            out,
            device=options.device,
            stop_after=60 * options.minutes,
        )
        if record is None:
            print("The minutes are over. Finished epochs are saved: run it again to go on.")
            return 3
        template, weights = export(out, name)
        weights = Path(shutil.move(weights, donors / weights.name))  # where they are looked for
    except (ValueError, TypeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Finished epochs are saved: run it again to go on.", file=sys.stderr)
        return 130
    print(f"template: {template}\nweights: {weights}")
    tier = "reduced" if size == 64 else "paper"
    command = ["python", "-m", "polarity.sweep", "images", "--tier", tier, "--donor", str(template)]
    command += ["--data", str(options.data)] if options.data else []
    print(f"To transfer them: {shlex.join(command)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
