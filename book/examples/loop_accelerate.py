"""Freeze-SGD in an Accelerate loop: built on what ``prepare`` returns, registered to be saved."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from polarity import FreezeSGD, PolarityTemplate


def train(
    accelerator: Accelerator,
    network: nn.Module,
    template: PolarityTemplate,
    batches: Iterable[tuple[Tensor, Tensor]],
) -> FreezeSGD:
    """Train one pass over the batches, and keep the signs."""
    template.match_(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    model, prepared = accelerator.prepare(network, optimizer)
    # Accelerate wraps the optimizer; steps that it skips, it skips with our hook.
    freeze = FreezeSGD(model, prepared.optimizer, template)
    accelerator.register_for_checkpointing(freeze)  # save_state() and load_state() include it
    for x, y in batches:
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(x), y)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            prepared.step()
            prepared.zero_grad()
    return freeze
