"""Freeze-SGD: any optimizer, with its weights held to their polarity (paper: Algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from polarity._checks import whole_number
from polarity.core.parameters import check_model, listing
from polarity.core.reset import check_epsilon, check_rule, reset_
from polarity.core.template import Pair, PolarityTemplate

__all__ = ["FreezeSGD"]


class FreezeSGD:
    """Freeze the polarity of a model: from now on, after every ``optimizer.step()``, reset.

    Algorithm 1 of the paper, as a hook on the user's own torch optimizer. Schedulers,
    gradient scaling, fused and foreach steps and the optimizer's state dict work as without it.

    Parameters
    ----------
    model : nn.Module
        The network, matched to the template (``template.match_(model)``) and on its device.
    optimizer : torch.optim.Optimizer
        Any but LBFGS, which evaluates the loss several times inside one step, and those whose
        ``eval()`` puts weights in place that no step of theirs has left there (schedule-free ones).
    template : PolarityTemplate
        The sign of every weight; weights with entry 0 stay free.
    reset : {"posRand", "posCon", "zero", "flip"}
        What becomes of a weight that left its polarity (:data:`~polarity.RESET_RULES`).
    epsilon : float
        Magnitude scale of ``posRand`` and ``posCon``; 0.001 in the paper.
    seed : int
        Seed of the ``posRand`` draws, which have a generator of their own on each device. It is
        the same on every process by default, as data-parallel training needs, and touches no
        other random stream.
    strict : bool
        Whether every weight of the model must have a template entry.

    Raises
    ------
    TypeError
        If ``optimizer`` is no torch optimizer, wraps or keeps another one (of SAM, pass the
        ``base_optimizer``), keeps a second copy of the weights, or is LBFGS; if an argument has a
        wrong type.
    ValueError
        If the rule is unknown; if ``epsilon`` is not a finite number > 0 or underflows a weight's
        dtype; if the template does not fit the model (:class:`~polarity.PolarityTemplate`); if a
        constrained parameter is not held by the optimizer or has ``requires_grad=False``; if a
        weight lacks its sign already (Algorithm 1 starts from a matched network, and weights are
        never changed behind the user's back); if another FreezeSGD of this optimizer holds one of
        the parameters; if the optimizer is ``differentiable``.
    RuntimeError
        By a later ``optimizer.step()``, before it changes anything: if a constrained parameter
        was meanwhile replaced, cast, moved, reshaped or dropped by the optimizer, or if the
        optimizer was given a weight that has no template entry (with ``strict``).

    Notes
    -----
    - The hook outlives this object's name and ``optimizer.load_state_dict``. **A copy or pickle of
      the optimizer alone has no hook and trains freely.** Copying or pickling this object (or
      what contains it, the optimizer and the model) freezes the copy as well. To be sure, look at
      ``template.violations(model)`` when evaluating.
    - Weights that are loaded into the model later on, by ``load_state_dict``, must have the
      template's signs, as a checkpoint of this training has: at the next step all others are reset.
      Weights of another network belong into the model, and are matched, before this object is made.
    - The optimizer's own state is not touched, as in the paper: momentum keeps pushing a reset
      weight against the wall.
    - Hooks run in the order in which they were made: one of your own that reads weights after a
      step, for an average of them, say, belongs behind this one.
    - NaN weights stay NaN. Zero violates nothing, so with ``reset="zero"`` a weight can rest at 0.
    - To resume bit for bit, save ``state_dict()`` beside those of model and optimizer, and load
      it last.
    - Inside a CUDA graph, ``posRand`` needs its generators registered with the graph.

    Examples
    --------
    >>> model, donor = nn.Linear(5, 3), nn.Linear(5, 3)
    >>> template = PolarityTemplate.from_model(donor)
    >>> template.match_(model)
    Linear(in_features=5, out_features=3, bias=True)
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    >>> with FreezeSGD(model, optimizer, template):
    ...     for _ in range(10):
    ...         optimizer.zero_grad()
    ...         model(torch.ones(1, 5)).sum().backward()
    ...         _ = optimizer.step()
    >>> template.violations(model)
    {}
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        template: PolarityTemplate,
        reset: str = "posRand",
        epsilon: float = 1e-3,
        *,
        seed: int = 0,
        strict: bool = True,
    ) -> None:
        check_rule(reset)
        check_epsilon(epsilon)
        seed = whole_number("seed", seed, at_least=0, at_most=2**64 - 1)  # torch's
        if not isinstance(template, PolarityTemplate):
            raise TypeError(
                f"template must be a PolarityTemplate, got {type(template).__name__}: "
                "PolarityTemplate(signs) makes one of a mapping"
            )
        if not isinstance(strict, bool):
            raise TypeError(f"strict must be True or False, got {strict!r}")
        check_model(model)
        _check_optimizer(optimizer)
        self.model = model
        self.optimizer = optimizer
        self.template = template
        self.reset = reset
        self.epsilon = float(epsilon)
        self.strict = strict
        self._handles: tuple[RemovableHandle, ...] = ()

        self._layers = self._constrained()
        self._check_start()
        self._dtypes = {name: slot.parameter.dtype for name, slot, _ in self._layers}
        self._held = _held(optimizer)
        self._resets = {
            name: torch.zeros((), dtype=torch.int64, device=signs.device)
            for name, _, signs in self._layers
        }
        devices = {signs.device for _, _, signs in self._layers}
        self._generators = {d: torch.Generator(d).manual_seed(seed) for d in devices}
        self._register()

    def _reset_layers(self, *_step: object) -> None:
        """Algorithm 1, after the optimizer's own step: per layer, reset what left its polarity."""
        for name, slot, template in self._layers:
            weight = slot.parameter
            generator = self._generators[weight.device]
            self._resets[name] += reset_(weight, template, self.reset, self.epsilon, generator)

    @property
    def active(self) -> bool:
        """Whether the polarity is being held, until :meth:`remove`."""
        return bool(self._handles)

    @property
    def resets(self) -> dict[str, int]:
        """Number of resets so far, by parameter name (reading it waits for the device)."""
        return {name: int(count) for name, count in self._resets.items()}

    def remove(self) -> None:
        """Let the polarity go: the optimizer is as it was before. Calling it again does nothing.

        Examples
        --------
        >>> model = nn.Linear(5, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> template = PolarityTemplate.from_model(model)
        >>> freeze = FreezeSGD(model, optimizer, template)
        >>> freeze.remove()
        >>> freeze.active
        False
        """
        for handle in self._handles:
            handle.remove()
        self._handles = ()

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming bit for bit needs: the generators, beside rule, epsilon and counts.

        Plain numbers, strings and tensors, hence ``torch.load(..., weights_only=True)`` reads it.
        The template is not in it, only its digest.

        Returns
        -------
        dict
            ``template``, its digest; ``reset`` and ``epsilon``; ``resets``, as :attr:`resets`;
            ``generators``, the state of each device's generator (uint8, on the CPU).

        Examples
        --------
        >>> model = nn.Linear(5, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> template = PolarityTemplate.from_model(model)
        >>> freeze = FreezeSGD(model, optimizer, template)
        >>> list(freeze.state_dict())
        ['template', 'reset', 'epsilon', 'resets', 'generators']
        """
        return {
            "template": self.template.digest(),
            "reset": self.reset,
            "epsilon": self.epsilon,
            "resets": self.resets,
            "generators": {str(d): g.get_state() for d, g in self._generators.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned; load it after the optimizer's.

        Parameters
        ----------
        state : mapping
            The state. Tensors may lie on any device, wherever ``map_location`` has sent them. The
            weights may lie on another GPU than they did, as in every process but the one that saved
            the checkpoint; not on a processor instead of a GPU, which draw differently.

        Raises
        ------
        TypeError
            If the state is no mapping.
        ValueError
            If the state is not one of FreezeSGD, or belongs to another template, rule, epsilon, set
            of parameters or kinds of device. All differences are listed; nothing has changed then.

        Examples
        --------
        >>> model = nn.Linear(5, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> template = PolarityTemplate.from_model(model)
        >>> freeze = FreezeSGD(model, optimizer, template)
        >>> checkpoint = [p.state_dict() for p in (model, optimizer, freeze)]

        After the same four lines in another process:

        >>> for part, state in zip((model, optimizer, freeze), checkpoint):
        ...     _ = part.load_state_dict(state)
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping, got {type(state).__name__}")
        own = self.state_dict()
        if missing := sorted(own.keys() - state.keys()):
            raise ValueError(f"this is no state of FreezeSGD, it lacks {', '.join(missing)}")
        faults = {
            key: f"is {state[key]!r} in the state, {own[key]!r} here"
            for key in ("template", "reset", "epsilon")
            if state[key] != own[key]
        }
        there, here = (sorted(each["generators"], key=_device_order) for each in (state, own))
        alike = {
            "resets": state["resets"].keys() == own["resets"].keys(),
            "generators": [_device_order(device)[0] for device in there]
            == [_device_order(device)[0] for device in here],
        }
        for key, fits in alike.items():
            if not fits:
                both = sorted(state[key]), sorted(own[key])
                faults[key] = "are of {} in the state, of {} here".format(*both)
        if faults:
            raise ValueError("the state belongs to another FreezeSGD:" + listing(faults))
        for name, count in self._resets.items():
            count.fill_(state["resets"][name])
        stored = dict(zip(here, there, strict=True))
        for device, generator in self._generators.items():
            # A generator's state is kept on the CPU, wherever map_location has sent it.
            generator.set_state(state["generators"][stored[str(device)]].cpu())

    def __enter__(self) -> Self:
        if not self.active:
            raise RuntimeError("this FreezeSGD was removed: build a new one")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        bits = sum(int(signs.count_nonzero()) for _, _, signs in self._layers)
        return (
            f"FreezeSGD({type(self.optimizer).__name__}, reset={self.reset!r}, "
            f"epsilon={self.epsilon}, {len(self._layers)} parameters, {bits:,} weights, "
            f"{'active' if self.active else 'removed'})"
        )

    def _register(self) -> None:
        self._handles = (
            self.optimizer.register_step_pre_hook(self._check_layers),
            self.optimizer.register_step_post_hook(self._reset_layers),
        )

    def _constrained(self) -> list[Pair]:
        """Pair every constrained parameter with its signs, on its device."""
        return [
            # A processor reads them in row order, a GPU in the order of the weights beside them.
            Pair(name, slot, signs if slot.parameter.is_cpu else _beside(slot.parameter, signs))
            for name, slot, signs in self.template.pair(self.model, strict=self.strict)
        ]

    def _check_start(self) -> None:
        """Raise ValueError unless the optimizer trains a matched network in a fitting dtype."""
        held, taken = _held(self.optimizer), _taken(self.optimizer)
        faults = {}
        for name, (_, _, weight), _ in self._layers:
            check_epsilon(self.epsilon, weight.dtype, repr(name))
            if not weight.requires_grad:
                faults[name] = "has requires_grad=False, so that no optimizer trains it"
            elif id(weight) not in held:
                faults[name] = "is not held by the optimizer"
            elif id(weight) in taken:
                faults[name] = (
                    "is held to its signs by another FreezeSGD of this optimizer: remove() that "
                    "one, or make the optimizer anew"
                )
        if faults:
            raise ValueError(
                "polarity can be frozen only where the optimizer trains, and once (elsewhere give "
                "the template entries of zeros):" + listing(faults)
            )
        if wrong := self.template.violations(self.model, strict=self.strict):
            lost = {name: f"has {n} weights without their sign" for name, n in wrong.items()}
            raise ValueError(
                "Algorithm 1 starts from a matched network: call template.match_(model), or load "
                "the checkpoint, before FreezeSGD:" + listing(lost)
            )

    def _check_layers(self, *_step: object) -> None:
        """Raise RuntimeError, before the optimizer's step, if what it will move has changed."""
        held = _held(self.optimizer)
        faults = {}
        for name, slot, signs in self._layers:
            weight = slot.parameter
            if slot.vacated:
                faults[name] = "was replaced in the model"
            elif id(weight) not in held:
                faults[name] = "is no longer held by the optimizer"
            elif (weight.dtype, weight.device) != (self._dtypes[name], signs.device):
                now = f"{weight.dtype} on {weight.device}"
                then = f"{self._dtypes[name]} on {signs.device}"
                faults[name] = f"was cast or moved: it is {now}, and was {then}"
            elif weight.shape != signs.shape:
                faults[name] = f"was reshaped from {tuple(signs.shape)} to {tuple(weight.shape)}"
        if not faults and held != self._held:
            try:
                self.template.pair(self.model, strict=self.strict)
            except ValueError as error:
                raise RuntimeError(f"the optimizer was given other parameters: {error}") from error
            self._held = held
        if faults:
            raise RuntimeError(
                "the model changed after FreezeSGD was built (remove() it, and build it again):"
                + listing(faults)
            )

    def __getstate__(self) -> dict[str, Any]:
        # A copied parameter has another identity: the first step looks again at what is held.
        state = vars(self) | {"_handles": self.active, "_held": set()}
        state["_generators"] = {d: g.get_state() for d, g in self._generators.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._generators = {d: torch.Generator(d) for d in state["_generators"]}
        for device, generator in self._generators.items():
            generator.set_state(state["_generators"][device])
        self._handles = ()
        if state["_handles"]:
            self._register()


def _beside(weight: Tensor, signs: Tensor) -> Tensor:
    """Return the signs as bytes on the weight's device, in its memory order."""
    return torch.empty_like(weight, dtype=torch.int8, requires_grad=False).copy_(signs)


def _device_order(device: str) -> tuple[str, int]:
    """Kind and number, to sort by: ``("cuda", 1)`` of ``"cuda:1"``."""
    kind, _, index = device.partition(":")
    return kind, int(index or 0)


def _held(optimizer: torch.optim.Optimizer) -> set[int]:
    """Return the identities of the parameters that the optimizer holds."""
    return {id(weight) for group in optimizer.param_groups for weight in group["params"]}


def _taken(optimizer: torch.optim.Optimizer) -> set[int]:
    """Return the identities of the parameters whose signs some FreezeSGD of it holds already."""
    owners = (
        getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_post_hooks.values()
    )
    return {
        id(slot.parameter)
        for owner in owners
        if isinstance(owner, FreezeSGD)
        for _, slot, _ in owner._layers
    }


def _check_optimizer(optimizer: object) -> None:
    """Raise unless one step of the optimizer is one update of the weights in place."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {optimizer!r}")
    # Torch marks the step that runs the hooks; a wrapper may have hooks, and never run them.
    hooked = getattr(type(optimizer).step, "hooked", False)
    if not (hooked and hasattr(optimizer, "_optimizer_step_post_hooks")):
        raise TypeError(
            f"optimizer must be the torch.optim.Optimizer itself; this {type(optimizer).__name__} "
            "wraps one and runs no hooks of its own: pass the one inside, often called .optimizer"
        )
    inner = [
        name
        for name, part in vars(optimizer).items()
        if isinstance(part, torch.optim.Optimizer) and part.param_groups is optimizer.param_groups
    ]
    if inner:
        raise TypeError(
            f"optimizer must be the one that moves the weights; this {type(optimizer).__name__} "
            f"leaves that to another, whose steps its hooks need not see: pass its .{inner[0]}"
        )
    if callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None)):
        raise TypeError(
            f"optimizer must not be a {type(optimizer).__name__}: its eval() puts weights in place "
            "that were computed from a second copy, which no reset reaches"
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise TypeError(
            "optimizer must not be LBFGS: it evaluates the loss several times inside one step, "
            "where no reset can reach, so signs would flip"
        )
    if any(group.get("differentiable") for group in optimizer.param_groups):
        raise ValueError("optimizer must not be differentiable: a reset has no gradient")
