"""Which parameters of a model are weights, and what they are called.

Three questions every template asks of a model, answered once:

- *Which parameters have a polarity?* :func:`weight_names`, the default, and :func:`select`.
- *What is a parameter called?* :func:`canonical` removes the prefixes that wrappers
  (``DataParallel``, DDP, ``torch.compile``, ...) put before names.
- *Can a sign be read from it?* :func:`fault` says why not.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from polarity.core.reset import DTYPES, dtypes

__all__ = ["Include", "Slot", "canonical", "fault", "select", "slots", "weight_names"]

Include: TypeAlias = Iterable[str] | Callable[[str, Tensor], bool] | None
"""Names of parameters, or ``include(name, parameter) -> bool``, or None for the default.

The default is :func:`~polarity.core.weight_names`.
"""

# The layers that multiply their input by weights, and what they call these. A trailing part marks
# a parameter from which weight_norm, spectral_norm or prune (torch.nn.utils) compute the weight.
_WEIGHTED = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)
_WEIGHT = re.compile(
    r"(?P<weight>weight|weight_(ih|hh|hr)(_l\d+)?(_reverse)?|(in|q|k|v)_proj_weight)"
    r"(?P<part>_orig|_g|_v)?"
)
_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})


class Slot(NamedTuple):
    """Where a model keeps one parameter: ``module._parameters[leaf] is parameter``.

    Attributes
    ----------
    module : nn.Module
        The layer that holds it.
    leaf : str
        Its name there, e.g. ``"weight"``.
    parameter : nn.Parameter
        The parameter itself.
    """

    module: nn.Module
    leaf: str
    parameter: nn.Parameter

    @property
    def vacated(self) -> bool:
        """Whether the model has replaced or dropped the parameter since."""
        return self.module._parameters.get(self.leaf) is not self.parameter


def canonical(names: Iterable[str]) -> dict[str, str]:
    """Map each name to the one it has in the unwrapped model.

    ``torch.compile``, FSDP and activation checkpointing put a name of their own somewhere inside;
    ``DataParallel``, DDP and ``AveragedModel`` put ``module.`` before *every* name but those of
    tensors of their own, so it is removed only where all names with a dot have it.

    Parameters
    ----------
    names : iterable of str
        All names of a model or of a state dict.

    Raises
    ------
    ValueError
        If two names become one.

    Examples
    --------
    >>> canonical(["_orig_mod.fc.weight", "_orig_mod.fc.bias"])
    {'_orig_mod.fc.weight': 'fc.weight', '_orig_mod.fc.bias': 'fc.bias'}
    """
    plain = {n: ".".join(part for part in n.split(".") if part not in _WRAPPERS) for n in names}
    while plain:
        inner = [name for name in plain.values() if "." in name]
        bare = {n: name.removeprefix("module.") for n, name in plain.items()}
        wrapped = inner and all(name.startswith("module.") for name in inner)
        if not wrapped or len(set(bare.values())) < len(bare):
            break
        plain = bare
    if len(set(plain.values())) < len(plain):
        times = Counter(plain.values())
        twice = [name for name, short in plain.items() if times[short] > 1]
        raise ValueError(f"names differ by a wrapper's prefix alone: {', '.join(twice)}")
    return plain


def slots(model: nn.Module) -> dict[str, Slot]:
    """Return every parameter of the model under its canonical name; a tied one under each name.

    Raises
    ------
    TypeError
        If the model is none: its state dict, say.
    ValueError
        As :func:`canonical`.

    Examples
    --------
    >>> model = nn.Linear(5, 3)
    >>> {name: slot.leaf for name, slot in slots(nn.Sequential(model)).items()}
    {'0.weight': 'weight', '0.bias': 'bias'}
    """
    check_model(model)
    found = {
        f"{prefix}.{leaf}" if prefix else leaf: Slot(module, leaf, parameter)
        for prefix, module in model.named_modules(remove_duplicate=False)
        for leaf, parameter in module._parameters.items()
        if parameter is not None
    }
    plain = canonical(found)
    return {plain[name]: slot for name, slot in found.items()}


def check_model(model: object) -> None:
    """Raise TypeError unless ``model`` is one; a state dict is taken for it at times."""
    if not isinstance(model, nn.Module):
        hint = (
            ": PolarityTemplate.from_state_dict reads those" if isinstance(model, Mapping) else ""
        )
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}{hint}")


def weight_names(model: nn.Module) -> list[str]:
    """Return the names of the parameters that have a polarity by default.

    These are the weights of the layers that multiply their input by weights: linear, bilinear and
    convolutional layers (``weight``), recurrent ones (``weight_ih*``, ``weight_hh*``,
    ``weight_hr*``) and multi-head attention (``in_proj_weight``, ``q_proj_weight``, ...,
    ``out_proj.weight``), with their subclasses. Never biases (the paper: biases are never
    constrained), normalisation scales or embeddings, and never a parameter of a layer unknown to
    torch, of which nobody can say whether it is a weight, a scale or a position code: name it with
    ``include``. A parameter that several layers share is returned once, under its first name.

    Parameters
    ----------
    model : nn.Module
        Any model, on any device; the meta device too.

    Returns
    -------
    list of str
        In the model's order; without the prefixes of wrappers (DDP, ``torch.compile``, ...).

    Raises
    ------
    ValueError
        If the default is unclear: a weight computed from other parameters (a parametrization,
        weight normalisation, pruning) or shared with an embedding. All cases are listed.

    Examples
    --------
    >>> layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.LSTM(8, 4)
    >>> weight_names(nn.Sequential(*layers))
    ['0.weight', '2.weight_ih_l0', '2.weight_hh_l0']
    """
    names, unclear = default_weights(model)
    if unclear:
        raise ValueError(
            "which parameters are weights is unclear, name them with include=[...]:"
            + listing(unclear)
        )
    return names


def default_weights(model: nn.Module) -> tuple[list[str], dict[str, str]]:
    """Return the names of :func:`weight_names`, and beside them what is unclear about others."""
    check_model(model)
    layers = [module for module in model.modules() if isinstance(module, _WEIGHTED)]
    parametrized = {
        id(parametrization)
        for layer in layers
        if isinstance(held := getattr(layer, "parametrizations", None), nn.ModuleDict)
        for leaf, parametrization in held.items()
        if _WEIGHT.fullmatch(leaf)
    }
    embedded = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for parameter in module.parameters(recurse=False)
    }
    names: dict[int, str] = {}
    unclear: dict[str, str] = {}
    for name, (module, leaf, parameter) in slots(model).items():
        match = _WEIGHT.fullmatch(leaf) if isinstance(module, _WEIGHTED) else None
        computed = match and match["part"] and match["weight"] in vars(module)
        if id(module) in parametrized or computed:
            unclear[name] = "is a parameter from which a layer computes its weight"
        elif match and not match["part"]:
            if id(parameter) in embedded:
                unclear[name] = "is tied to an embedding, which has no polarity by default"
            else:
                names.setdefault(id(parameter), name)
    return list(names.values()), unclear


def select(model: nn.Module, include: Include = None) -> dict[str, nn.Parameter]:
    """Return the parameters that ``include`` chooses, a tied one once, under its first name.

    Parameters
    ----------
    model : nn.Module
        Any model.
    include : iterable of str, or callable, or None
        Names of parameters, or ``include(name, parameter) -> bool``. By default
        :func:`~polarity.core.weight_names`.

    Raises
    ------
    TypeError
        If ``include`` is one string: a list of names was meant.
    ValueError
        If nothing is found by default, or if the model lacks names of ``include``.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(5, 64), nn.Linear(64, 1))
    >>> list(select(model, lambda name, parameter: parameter.dim() == 1))
    ['0.bias', '1.bias']
    """
    table = slots(model)
    if include is None:
        names = weight_names(model)
        if not names:
            raise ValueError(
                "no weights found: the model has no linear, convolutional, recurrent or attention "
                "layer with parameters of its own, name its weights with include=[...]"
            )
    else:
        names = chosen(include, {name: slot.parameter for name, slot in table.items()})
    first: dict[int, str] = {}
    for name in names:
        first.setdefault(id(table[name].parameter), name)
    return {name: table[name].parameter for name in first.values()}


def chosen(include: Include, tensors: dict[str, Tensor]) -> list[str]:
    """Return the canonical names that ``include`` (not None) chooses among the tensors."""
    if isinstance(include, str):
        raise TypeError(f"include must be names or a function, got one string, {include!r}")
    if callable(include):
        if names := [name for name, tensor in tensors.items() if include(name, tensor)]:
            return names
        raise ValueError(
            f"include chooses none of the parameters {quoted(tensors)}; for a template without "
            "weights, give it an empty list"
        )
    try:
        asked = list(() if include is None else include)
    except TypeError:
        raise TypeError(f"include must be names or a function, got {include!r}") from None
    for name in asked:
        if not isinstance(name, str):
            raise TypeError(f"include must be names or a function; among the names is {name!r}")
    plain = canonical(asked)
    names = [name if name in tensors else plain[name] for name in asked]
    unknown = [a for a, name in zip(asked, names, strict=True) if name not in tensors]
    if unknown:
        raise ValueError(
            f"include names {quoted(unknown)}, not found among the parameters {quoted(tensors)}"
        )
    return names


def fault(tensor: Tensor, *, finite: bool = True) -> str | None:
    """Say why no sign can be read from or given to a tensor of weights; None: it can.

    Parameters
    ----------
    tensor : Tensor
        Any tensor.
    finite : bool
        Whether NaN and infinite values are a fault.

    Examples
    --------
    >>> fault(torch.tensor([0.5, float("nan")]))
    'holds 1 NaN or infinite of 2 values'
    >>> fault(torch.tensor([1, 2]))
    'has dtype torch.int64, not one of float16, bfloat16, float32, float64'
    """
    if what := valueless(tensor):
        return what
    if tensor.dtype not in DTYPES:
        return f"has dtype {tensor.dtype}, not one of {dtypes()}"
    if finite and (wrong := int((~tensor.detach().isfinite()).sum())):
        return f"holds {wrong} NaN or infinite of {tensor.numel()} values"
    return None


def valueless(tensor: Tensor) -> str | None:
    """Say why a tensor is no plain array of numbers; None: it is."""
    if what := shapeless(tensor):
        return what
    # Who has one has imported its module, which takes long.
    spread = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", ())
    if isinstance(tensor, spread):
        return "is spread over several processes (DTensor): hold it whole, as DDP does"
    if tensor.is_meta:
        return "is on the meta device and has no values: load or initialise it"
    if tensor.layout != torch.strided:
        return f"is sparse ({tensor.layout}): make it dense"
    if tensor.is_quantized:
        return f"is quantised ({tensor.dtype}): dequantise it"
    return None


def shapeless(tensor: Tensor) -> str | None:
    """Say why a tensor has no shape yet; None: it has one."""
    if isinstance(tensor, UninitializedParameter):
        return "is not initialised yet: run one batch through the model"
    return None


def listing(faults: dict[str, str]) -> str:
    """Return the faults as lines of an error message."""
    return "".join(f"\n  {name!r} {what}" for name, what in faults.items())


def quoted(names: Iterable[str]) -> str:
    """Return the names, quoted, as part of an error message."""
    return ", ".join(map(repr, names)) or "(none)"
