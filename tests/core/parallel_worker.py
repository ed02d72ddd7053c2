"""One process of a data-parallel training: ``python parallel_worker.py RANK WORLD FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from polarity import FreezeSGD, PolarityTemplate


def network(seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return layers


def train(rank: int, world: int, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=world
    )
    torch.manual_seed(rank)  # the global streams differ, Freeze-SGD's own must not
    template = PolarityTemplate.from_model(network(1))
    model = DistributedDataParallel(template.match_(network(0)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    freeze = FreezeSGD(model, optimizer, template)
    data = torch.Generator().manual_seed(10 + rank)  # each rank has other data
    for _ in range(20):
        x, y = torch.randn(8, 6, generator=data), torch.randint(3, (8,), generator=data)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    torch.save(
        {
            "weights": model.module.state_dict(),
            "resets": freeze.resets,
            "violations": template.violations(model),
        },
        folder / f"rank{rank}.pt",
    )
    distributed.destroy_process_group()


if __name__ == "__main__":
    train(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
