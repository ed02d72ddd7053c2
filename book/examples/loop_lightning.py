"""Freeze-SGD in a Lightning loop: built with the optimizer, saved with the checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from polarity import FreezeSGD, PolarityTemplate


class Frozen(LightningModule):
    """A classifier whose weights keep the signs of a template."""

    def __init__(self, network: nn.Module, template: PolarityTemplate) -> None:
        super().__init__()
        self.network = template.match_(network)
        self.template = template

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.network(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # The model is on its device by now, and gradient scaling, clipping and accumulation, which
        # Lightning does around optimizer.step(), need nothing more.
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.01)
        self.freeze_sgd = FreezeSGD(self.network, optimizer, self.template)
        return optimizer

    # Lightning loads the optimizer's state after this hook, which FreezeSGD does not mind.
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["freeze_sgd"] = self.freeze_sgd.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resumed = checkpoint["freeze_sgd"]

    def on_train_start(self) -> None:
        if state := vars(self).pop("resumed", None):
            self.freeze_sgd.load_state_dict(state)
