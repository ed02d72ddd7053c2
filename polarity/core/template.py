"""The polarity template: which sign every weight of a network must have (paper: section 2)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from polarity.core import files
from polarity.core.parameters import (
    Include,
    Slot,
    canonical,
    chosen,
    default_weights,
    fault,
    listing,
    quoted,
    select,
    shapeless,
    slots,
    valueless,
)
from polarity.core.reset import check_epsilon, check_generator, check_rule, reset_, violators

__all__ = ["Pair", "PolarityTemplate"]


class Pair(NamedTuple):
    """One template entry laid beside the parameter that it constrains.

    Attributes
    ----------
    name : str
        In the template.
    slot : Slot
        Where the model keeps the parameter.
    signs : Tensor
        int8, of the parameter's shape, on the CPU.
    """

    name: str
    slot: Slot
    signs: Tensor


class PolarityTemplate(Mapping[str, Tensor]):
    """A sign for every weight: a read-only mapping, parameter name -> int8 tensor of -1, 0, +1.

    0 means unconstrained. The entries lie on the CPU, apart from any model, and are handed out as
    copies, so that nobody turns a sign that is being held. They are named as in the unwrapped
    model: prefixes of DDP, ``DataParallel`` and ``torch.compile`` are removed here and overlooked
    in every model that the template meets.

    Parameters
    ----------
    signs : mapping of str to Tensor or ndarray
        Entries -1, 0, +1 of any integer or floating dtype; copied. A mapping without any entry is
        the template of a network that is free everywhere.

    Raises
    ------
    TypeError
        If a name is no string.
    ValueError
        If an entry is NaN, infinite or otherwise not among -1, 0, +1, or if a tensor is boolean,
        complex, sparse, quantised or on the meta device. All faults are listed in one message.

    Notes
    -----
    Every method that takes a model raises a ValueError that lists *all* of:

    - entries whose parameter the model lacks, or has in another shape;
    - weights of the model (:func:`~polarity.core.weight_names`) without an entry, unless
      ``strict=False`` or the template is empty: an entry of zeros says that a weight is free,
      a missing one is more often a mistake;
    - parameters that are no floating point tensors with values (integer, complex, sparse, meta);
    - entries of one tied parameter that contradict each other. A tied parameter needs only one
      entry, under any of its names.

    ``requires_grad`` plays no part here: a donor's or model's weight may be fixed.

    Templates are compared by value: names and entries, in any order. Source: section 2 of the
    paper, where a template is the set of signs :math:`T^{(l)}`, one array a layer.

    Examples
    --------
    >>> signs = np.array([[1, -1, 0], [1, 1, -1]])
    >>> template = PolarityTemplate({"weight": signs})
    >>> template
    PolarityTemplate(1 parameters, 5 bits, 60.0% positive, 1 unconstrained)
    >>> template["weight"]
    tensor([[ 1, -1,  0],
            [ 1,  1, -1]], dtype=torch.int8)
    >>> PolarityTemplate({"weight": np.array([0.3])})
    Traceback (most recent call last):
    ...
    ValueError: entries of a template must be -1, 0 or +1:
      'weight' holds 1 other values of 1
    """

    def __init__(self, signs: Mapping[str, Tensor | np.ndarray[Any, Any]]) -> None:
        for name in signs:
            if not isinstance(name, str):
                raise TypeError(f"names of a template must be strings, got {name!r}")
        # Every place below is named: torch.set_default_device must not choose it.
        tensors = {
            name: entry if isinstance(entry, Tensor) else torch.as_tensor(entry, device="cpu")
            for name, entry in signs.items()
        }
        faults = {name: what for name, t in tensors.items() if (what := _entry_fault(t))}
        if faults:
            raise ValueError("entries of a template must be -1, 0 or +1:" + listing(faults))
        plain = canonical(tensors)
        self._signs = {
            plain[name]: torch.empty(entry.shape, dtype=torch.int8, device="cpu").copy_(
                entry.detach()
            )
            for name, entry in tensors.items()
        }
        self._metadata: dict[str, str] = {}

    @classmethod
    def from_model(cls, donor: nn.Module, include: Include = None) -> Self:
        """Read the polarity of a donor: the sign of each of its weights.

        Parameters
        ----------
        donor : nn.Module
            Any model, on any device.
        include : iterable of str, or callable, or None
            The parameters to constrain: their names, or ``include(name, parameter) -> bool``. By
            default :func:`~polarity.core.weight_names`: the weights of linear, convolutional,
            recurrent and attention layers, never biases, norms or embeddings. Default weights that
            ``include`` leaves out get zeros, hence the template fits the donor's like completely.

        Raises
        ------
        ValueError
            If an included parameter holds NaN or infinite values, is all zero (it has no polarity:
            as a rule the donor was not loaded; leave it out if it is meant), or is integer,
            complex, sparse, quantised, on the meta device or not initialised; all are listed. If
            ``include`` names parameters that the donor lacks, or finds none by default.

        Notes
        -----
        A weight that is exactly 0 (or -0) has no sign and is left unconstrained, e.g. the
        off-diagonal blocks of a grouped convolution written as one tower.

        Examples
        --------
        >>> donor = nn.Sequential(nn.Linear(5, 64), nn.Linear(64, 1))
        >>> template = PolarityTemplate.from_model(donor)
        >>> {name: tuple(signs.shape) for name, signs in template.items()}
        {'0.weight': (64, 5), '1.weight': (1, 64)}

        The first layer alone; the second is free, and says so by an entry of zeros:

        >>> first = PolarityTemplate.from_model(donor, include=["0.weight"])
        >>> first.num_bits, int(first["1.weight"].count_nonzero())
        (320, 0)
        """
        weights = select(donor, include)
        return cls({**_read(weights), **_left_out(donor, weights)})

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Any], include: Include) -> Self:
        """Read the polarity of a donor from its state dict.

        A state dict does not tell weights from embeddings or norms, so ``include`` must choose.
        Otherwise as :meth:`from_model`, but without zeros for what is left out.

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            As ``model.state_dict()`` gives it or a checkpoint holds it; what is no tensor is
            passed over.
        include : iterable of str, or callable
            Names, e.g. ``weight_names(model)``, or ``include(name, tensor) -> bool``.

        Raises
        ------
        TypeError
            If ``include`` is None, or one string; if ``state_dict`` is no mapping.
        ValueError
            As :meth:`from_model`, or if ``state_dict`` holds no tensor.

        Examples
        --------
        >>> donor = nn.Linear(5, 3)
        >>> state = donor.state_dict()
        >>> template = PolarityTemplate.from_state_dict(state, ["weight"])
        >>> template == PolarityTemplate.from_model(donor)
        True
        """
        if include is None:
            raise TypeError(
                "include must choose the weights in a state dict, e.g. weight_names(model)"
            )
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"state_dict must be a mapping, got {type(state_dict).__name__}: from_model reads "
                "the network itself"
            )
        held = {name: value for name, value in state_dict.items() if isinstance(value, Tensor)}
        if not held:
            inner = [name for name, value in state_dict.items() if isinstance(value, Mapping)]
            hint = f": the state dict may be one of {quoted(inner)} in it" if inner else ""
            raise ValueError(f"state_dict holds no tensor{hint}")
        plain = canonical(held)
        tensors = {plain[name]: value for name, value in held.items()}
        return cls(_read({name: tensors[name] for name in chosen(include, tensors)}))

    @classmethod
    def random(
        cls,
        model: nn.Module,
        include: Include = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Draw a template for ``model``: independent signs, + and - equally likely.

        Parameters
        ----------
        model : nn.Module
            Only names and shapes are read, so that it may be on the meta device.
        include : iterable of str, or callable, or None
            The parameters to constrain, as in :meth:`from_model`.
        generator : torch.Generator, optional
            Source of the signs, drawn in the model's order; torch's global one by default.

        Raises
        ------
        ValueError
            If a parameter is not initialised yet and so has no shape, or ``include`` names
            parameters that the model lacks, or finds none by default.

        Examples
        --------
        >>> draw = torch.Generator().manual_seed(0)
        >>> PolarityTemplate.random(nn.Linear(5, 64), generator=draw)
        PolarityTemplate(1 parameters, 320 bits, ...% positive, 0 unconstrained)
        """
        check_generator(generator)
        weights = select(model, include)
        faults = {name: what for name, w in weights.items() if (what := shapeless(w))}
        if faults:
            raise ValueError("no polarity can be drawn for the model:" + listing(faults))
        device = generator.device if generator else torch.device("cpu")
        drawn = {
            name: 2 * torch.randint(2, weight.shape, generator=generator, device=device) - 1
            for name, weight in weights.items()
        }
        return cls({**drawn, **_left_out(model, weights)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a template from a file that :meth:`save` has written.

        Nothing in the file is executed, and no more memory is taken than its size justifies: one
        byte for a weight, some fixed multiple of the header. What was said when the template was
        saved is in :attr:`metadata`.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        OSError
            If the file cannot be read.
        polarity.core.files.TemplateFileError
            A ValueError; if the file is no template, or was written by a later version
            (``FileVersionError``), or is damaged (``DamagedFileError``): every byte is under a
            checksum. The message says what is wrong and where.

        Examples
        --------
        >>> template = PolarityTemplate.random(nn.Linear(5, 3))
        >>> template.save("signs.safetensors")
        >>> PolarityTemplate.load("signs.safetensors") == template
        True
        """
        signs, metadata = files.read(path)
        try:
            plain = canonical(signs)
        except ValueError as error:
            raise files.TemplateFileError(f"{os.fspath(path)}: {error}") from None
        template = cls.__new__(cls)  # past __init__: copied and checked they are already
        template._signs = {plain[name]: entry for name, entry in signs.items()}
        template._metadata = metadata
        return template

    def save(
        self, path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the template to a file: one bit for a weight, 1.6 bits in entries with zeros.

        The file is a safetensors file (``polarity.core.files`` describes it). It appears under
        its name only when it is complete; a file of that name is replaced. Equal templates with
        equal metadata, in the same order, are equal files.

        Parameters
        ----------
        path : str or path
            Where to; by custom ``*.safetensors``. Its folder must exist.
        metadata : mapping of str to str, optional
            What to say of the template: donor, hash of the donor's weights, licence, ... Any
            names that do not begin with ``polarity.``. By default what is in :attr:`metadata`;
            ``{}`` says nothing.

        Raises
        ------
        TypeError
            If metadata are no strings.
        ValueError
            If a name in metadata is reserved, a text cannot be encoded, or an entry was changed
            since the template was made and holds other values than -1, 0, +1.
        OSError
            If the file cannot be written; there is then the old file or none.

        Examples
        --------
        >>> template = PolarityTemplate.random(nn.Linear(5, 3))
        >>> card = {"donor": "nobody: a draw"}
        >>> template.save("signs.safetensors", metadata=card)
        >>> dict(PolarityTemplate.load("signs.safetensors").metadata)
        {'donor': 'nobody: a draw'}
        """
        files.write(path, self._signs, self._metadata if metadata is None else metadata)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its file says of the template, read-only; empty for one that was not loaded.

        Templates are compared without it.
        """
        return MappingProxyType(self._metadata)

    def match_(
        self,
        model: nn.Module,
        rule: str = "flip",
        epsilon: float = 1e-3,
        generator: torch.Generator | None = None,
        *,
        strict: bool = True,
    ) -> nn.Module:
        """Give every weight of ``model`` its sign, in place: the initialisation of Algorithm 1.

        By default a sign flip, which keeps every magnitude, so that models matched to different
        templates start from the same magnitudes. A weight of 0 stays 0: it violates nothing.

        Parameters
        ----------
        model : nn.Module
            Any model with the template's parameters.
        rule : {"flip", "posRand", "posCon", "zero"}
            What becomes of a weight of the wrong sign. The paper's text and the image experiments
            of its released code flip; the released XOR experiments use the reset rule itself,
            which leaves every weight that was wrong below ``epsilon``.
        epsilon : float
            Magnitude scale of ``posRand`` and ``posCon``, as in :func:`~polarity.reset_`.
        generator : torch.Generator, optional
            Source of the ``posRand`` draws, as in :func:`~polarity.reset_`.
        strict : bool
            Whether every weight of the model must have an entry.

        Returns
        -------
        nn.Module
            The model itself.

        Raises
        ------
        ValueError
            If the template does not fit the model (see the notes of the class) or a constrained
            parameter holds NaN or infinite values; if the rule is unknown or ``epsilon`` is not
            allowed. Nothing has been changed then.

        Examples
        --------
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(model.weight, 0.5)
        >>> template = PolarityTemplate({"weight": np.array([[1, -1]])})
        >>> template.match_(model).weight.tolist()
        [[0.5, -0.5]]
        """
        check_rule(rule)
        check_generator(generator)
        pairs = self.pair(model, strict=strict)
        faults = {name: what for name, slot, _ in pairs if (what := fault(slot.parameter))}
        if faults:
            raise ValueError("the model cannot be matched to the template:" + listing(faults))
        for name, slot, _ in pairs:
            check_epsilon(epsilon, slot.parameter.dtype, repr(name))
        for _, (_, _, weight), signs in pairs:
            reset_(weight, signs.to(weight.device), rule, epsilon, generator)
        return model

    @torch.no_grad()
    def violations(self, model: nn.Module, *, strict: bool = True) -> dict[str, int]:
        """Count the weights of ``model`` that lack their sign, by parameter name.

        Parameters
        ----------
        model : nn.Module
            Any model with the template's parameters, on any device.
        strict : bool
            Whether every weight of the model must have an entry.

        Returns
        -------
        dict of str to int
            Only parameters with violations: ``{}`` when every constrained weight has its sign or
            is 0. NaN has no sign, so a constrained NaN counts; an infinite weight has one.

        Raises
        ------
        ValueError
            If the template does not fit the model (see the notes of the class).

        Examples
        --------
        >>> model = nn.Linear(2, 1, bias=False)
        >>> template = PolarityTemplate.from_model(model)
        >>> template.violations(model)
        {}
        >>> _ = model.weight.data.neg_()
        >>> template.violations(model)
        {'weight': 2}
        """
        counts = {}
        for name, (_, _, weight), signs in self.pair(model, strict=strict):
            signs = signs.to(weight.device)
            lost = violators(weight, signs) | (weight.isnan() & (signs != 0))
            counts[name] = int(lost.sum())
        return {name: count for name, count in counts.items() if count}

    def pair(self, model: nn.Module, *, strict: bool = True) -> list[Pair]:
        """Lay each entry beside the model's parameter, one pair for each that has signs to keep.

        What :meth:`match_`, :meth:`violations` and :class:`~polarity.FreezeSGD` go through: for a
        loop of your own over weights and their signs.

        Parameters
        ----------
        model : nn.Module
            Any model with the template's parameters, on any device.
        strict : bool
            Whether every weight of the model must have an entry.

        Returns
        -------
        list of Pair
            Named tuples: ``name``, in the template; ``slot``, whose ``parameter`` is the model's
            own; ``signs``, int8, of the parameter's shape, on the CPU: the template's own, which
            must not be changed.

        Raises
        ------
        TypeError
            If the model is no ``nn.Module``.
        ValueError
            If the template does not fit the model (see the notes of the class).

        Examples
        --------
        >>> model = nn.Linear(5, 3)
        >>> template = PolarityTemplate.random(model)
        >>> for name, slot, signs in template.pair(model):
        ...     print(name, slot.parameter is model.weight, signs.dtype)
        weight True torch.int8
        """
        table = slots(model)
        pairs: dict[int, Pair] = {}
        faults: dict[str, str] = {}
        for name, signs in self._signs.items():
            slot = table.get(name) or table.get(f"module.{name}")
            if slot is None:
                faults[name] = "is not a parameter of the model"
                continue
            first = pairs.setdefault(id(slot.parameter), Pair(name, slot, signs))
            # What is left free may be of a kind that has no sign: packed bits, complex numbers.
            what = fault(slot.parameter, finite=False) if signs.any() else shapeless(slot.parameter)
            if what:
                faults[name] = what
            elif slot.parameter.shape != signs.shape:
                here, there = tuple(slot.parameter.shape), tuple(signs.shape)
                faults[name] = f"has shape {here} in the model, {there} in the template"
            elif not torch.equal(first.signs, signs):
                faults[name] = f"is tied to {first.name!r}, but their entries differ"
        if strict and self._signs:
            for name in default_weights(model)[0]:
                if id(table[name].parameter) not in pairs:
                    faults[name] = "has no entry: give it zeros if it is free, or strict=False"
        if faults:
            raise ValueError("the template does not fit the model:" + listing(faults))
        return [pair for pair in pairs.values() if pair.signs.any()]

    @property
    def num_bits(self) -> int:
        """Number of constrained weights, each of which takes one bit to write down."""
        return sum(int(signs.count_nonzero()) for signs in self._signs.values())

    @property
    def fraction_positive(self) -> float:
        """Share of + among the constrained weights; NaN where none is constrained."""
        positive = sum(int((signs > 0).sum()) for signs in self._signs.values())
        return positive / self.num_bits if self.num_bits else float("nan")

    def digest(self) -> str:
        """Return a SHA-256 of names, shapes and entries: equal templates have equal digests.

        Returns
        -------
        str
            64 hexadecimal digits. Neither the order of the entries nor the metadata count.

        Examples
        --------
        >>> PolarityTemplate({"weight": np.array([1, -1])}).digest()[:16]
        '6b7a47091b5b98e1'
        """
        sha = hashlib.sha256()
        for name, signs in sorted(self._signs.items()):
            sha.update(f"{name!r}{tuple(signs.shape)}".encode())
            sha.update(signs.numpy().tobytes())
        return sha.hexdigest()

    def __getitem__(self, name: str) -> Tensor:
        return self._signs[name].clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._signs)

    def __len__(self) -> int:
        return len(self._signs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PolarityTemplate):
            return NotImplemented
        return self.keys() == other.keys() and all(
            torch.equal(signs, other._signs[name]) for name, signs in self._signs.items()
        )

    __hash__ = None  # type: ignore[assignment]  # compared by value: mappings have no hash

    def __repr__(self) -> str:
        free = sum(signs.numel() for signs in self._signs.values()) - self.num_bits
        share = f"{self.fraction_positive:.1%} positive, " if self.num_bits else ""
        return (
            f"PolarityTemplate({len(self)} parameters, {self.num_bits:,} bits, "
            f"{share}{free:,} unconstrained)"
        )


def _entry_fault(entry: Tensor) -> str | None:
    """Say why a tensor is no template entry; None: it is one."""
    if what := valueless(entry):
        return what
    if entry.is_complex() or entry.dtype == torch.bool:
        return f"has dtype {entry.dtype}, in which -1, 0 and +1 cannot be told apart"
    allowed = (-1, 0, 1) if entry.dtype.is_signed else (0, 1)  # in uint8, 255 == -1
    if wrong := entry.numel() - sum(int((entry == sign).sum()) for sign in allowed):
        return f"holds {wrong} other values of {entry.numel()}"
    return None


def _read(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sign of every weight, or raise ValueError with a list of all faults."""
    faults = {}
    for name, weight in weights.items():
        if what := fault(weight):
            faults[name] = what
        elif weight.numel() and not weight.detach().any():
            faults[name] = f"is all zero ({weight.numel()} values), has no polarity: leave it out"
    if faults:
        raise ValueError("no polarity can be read from the donor:" + listing(faults))
    return {name: weight.detach().sign() for name, weight in weights.items()}


def _left_out(model: nn.Module, included: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return entries of zeros for the default weights that are not included."""
    table = slots(model)
    held = {id(weight) for weight in included.values()}
    return {
        name: torch.zeros(weight.shape, dtype=torch.int8, device="cpu")
        for name in default_weights(model)[0]
        if id(weight := table[name].parameter) not in held and not shapeless(weight)
    }
