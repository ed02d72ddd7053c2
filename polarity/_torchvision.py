"""torchvision, also where its compiled operators do not load."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

__all__ = ["torchvision"]

# As torchvision's C++ code declares them.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a library that is collected takes its operators along


def torchvision() -> ModuleType:
    """Return the module ``torchvision``, imported.

    Beside a torch that it was not built for (a processor-only torch from one index, torchvision
    from another) its compiled operators do not load, and ``import torchvision`` fails with
    "operator torchvision::nms does not exist". Its models and data sets need none of them. Here the
    two operators that its import asks for are then declared, without code, and it is imported
    again; calling one of them remains an error. Where torchvision is sound nothing is declared.

    Raises
    ------
    ImportError
        If torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or _declared:
            raise
    # What the failed import left behind would not become part of the next one.
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
    return importlib.import_module("torchvision")
