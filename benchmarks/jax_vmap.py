"""The same training in JAX: one network as a function, ``vmap`` over networks, ``jit`` of it all.

Epochs and batches are scans, so XLA sees one program without a call back to Python. The draws are
those of :mod:`polarity.ensemble`, from the same counter, so the curves can be compared; they cost
next to nothing here (leaving them out was not faster). Everything else is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from polarity.datasets.xor5d import N_INPUTS
from polarity.ensemble.adam import BETA1, BETA2, EPS

from .task import Curves, Task

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # for the counter

Tree: TypeAlias = tuple[Array, ...]


def f32(value: Any) -> Array:
    """A float32 array."""
    return jnp.asarray(value, jnp.float32)


def _uniform(key: Array, step: Array, index: Array) -> Array:
    """SplitMix64 of the counter, as in ``polarity.ensemble.compiled._uniform``."""
    z = key + jnp.uint64(0x9E3779B97F4A7C15) * ((step.astype(jnp.uint64) << 32) | index)
    z = (z ^ (z >> 30)) * jnp.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> 27)) * jnp.uint64(0x94D049BB133111EB)
    z = z ^ (z >> 31)
    return f32(((z >> 40).astype(jnp.float64) + 0.5) * 2.0**-24)


def _forward(parameters: Tree, x: Array) -> Array:
    w1, b1, w2, b2 = parameters
    return jax.nn.relu(x @ w1 + b1) @ w2 + b2


def _loss(parameters: Tree, x: Array, y: Array) -> Array:
    z = _forward(parameters, x)
    return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))


def _train_one(task: Task) -> Callable[..., tuple[Array, Array]]:
    """Return the function ``(start, signs, order, key) -> loss, accuracy`` of one network."""
    cell, training = task.cell, task.training
    x, y, x_val, y_val = (f32(part) for part in (cell.x, cell.y, cell.x_val, cell.y_val))
    width, size, n = task.width, training.batch_size, task.n
    full = n // size * size  # samples in batches of full size; the rest is one more batch
    first = jnp.arange(N_INPUTS * width, dtype=jnp.uint64).reshape(N_INPUTS, width)
    second = jnp.arange(width, dtype=jnp.uint64) + jnp.uint64((N_INPUTS + 1) * width)

    def reset(w: Array, signs: Array, key: Array, step: Array, index: Array) -> Array:
        new = signs * f32(training.epsilon)
        if training.reset == "posRand":
            new = new * _uniform(key, step, index)
        elif training.reset != "posCon":
            raise ValueError(f"reset must be posCon or posRand here, got {training.reset!r}")
        return jnp.where(signs * w < 0, new, w)

    def train(start: Tree, signs: Tree, order: Array, key: Array) -> tuple[Array, Array]:
        t1, t2 = signs
        w1, b1, w2, b2 = start
        w1, w2 = jnp.where(t1 * w1 < 0, -w1, w1), jnp.where(t2 * w2 < 0, -w2, w2)
        weights = (w1, b1, w2, b2)
        zeros = jax.tree.map(jnp.zeros_like, weights)

        def step(state: Any, batch: Array) -> tuple[Any, None]:
            weights, m, v, count = state
            count = count + 1
            gradient = jax.grad(_loss)(weights, x[batch], y[batch])
            m = jax.tree.map(lambda m, g: f32(BETA1) * m + f32(1 - BETA1) * g, m, gradient)
            v = jax.tree.map(lambda v, g: f32(BETA2) * v + f32(1 - BETA2) * g * g, v, gradient)
            rate = f32(training.lr / (1 - BETA1**count))
            root = f32(1 / jnp.sqrt(1 - BETA2**count))
            w1, b1, w2, b2 = jax.tree.map(
                lambda w, m, v: w - rate * m / (jnp.sqrt(v) * root + f32(EPS)), weights, m, v
            )
            w1, w2 = reset(w1, t1, key, count, first), reset(w2, t2, key, count, second)
            return ((w1, b1, w2, b2), m, v, count), None

        def epoch(state: Any, shuffled: Array) -> tuple[Any, tuple[Array, Array]]:
            state, _ = lax.scan(step, state, shuffled[:full].reshape(-1, size))
            if full < n:
                state, _ = step(state, shuffled[full:])
            right = (_forward(state[0], x_val) > 0) == (y_val > 0.5)
            return state, (_loss(state[0], x_val, y_val), f32(right.mean()))

        curves: tuple[Array, Array] = lax.scan(epoch, (weights, zeros, zeros, jnp.int32(0)), order)[
            1
        ]
        return curves

    return train


def prepare(task: Task, chunk: int | None = None) -> Callable[[], Curves]:
    """Compile the training of all networks of ``task``; return the function that runs it.

    With ``chunk``, networks are trained so many at a time, one chunk after the other: less memory
    is touched, so more of it stays in cache.
    """
    cell = task.cell
    one = _train_one(task)
    arguments = (
        tuple(f32(part) for part in cell.weights),
        tuple(f32(part) for part in cell.templates),
        jnp.asarray(cell.order[cell.trial]),
        jnp.asarray(cell.keys[cell.trial]),
    )
    if chunk is None:
        program = jax.jit(jax.vmap(one))
    else:
        program = jax.jit(lambda *all_: lax.map(lambda each: one(*each), all_, batch_size=chunk))
    compiled = program.lower(*arguments).compile()

    def run() -> Curves:
        loss, accuracy = jax.block_until_ready(compiled(*arguments))  # type: ignore[no-untyped-call]
        return np.asarray(loss), np.asarray(accuracy)

    return run
