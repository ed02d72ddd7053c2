"""The processor's back end: one network a thread, compiled, everything in cache.

A network of this size is a few kilobytes. Batched products move it through memory again and again;
here one compiled function trains it from the first epoch to the last without leaving the cache. The
arithmetic is that of the literal network (forward, binary cross-entropy on the logit, backward,
Adam, reset), float32 throughout, and reads like it; what is special is only that the innermost loop
always runs over units or samples side by side, so that the compiler makes vectors of it.

Each network is computed by itself, so it is bit for bit the same whatever runs beside it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from ..datasets.xor5d import N_INPUTS
from .adam import BETA1, BETA2, EPS
from .cell import Cell, Training
from .start import Weights

# Rows of the parameter matrix: five input weights, bias and output weight of every unit.
ROWS = N_INPUTS + 2
BIAS, OUT = N_INPUTS, N_INPUTS + 1

POS_CON, POS_RAND, ZERO, FLIP = range(4)
_RULES = {"posCon": POS_CON, "posRand": POS_RAND, "zero": ZERO, "flip": FLIP}

_LANES = 8  # units that are computed side by side; rows are padded to a multiple with zero weights
_SAMPLES = 4  # samples of a batch in one pass over the units

# Fused multiply-adds and reordered sums are allowed; NaN and infinity keep their meaning.
_OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",  # no exception on division by zero, which would forbid vectors
}


@njit(inline="always", **_OPTIONS)
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) in float32 for x <= 0, in a form that vectorises; relative error below 4e-7.

    x = k ln 2 + r with |r| <= ln 2 / 2; exp(r) by the minimax polynomial of Cephes' expf; 2**k by
    writing k into the exponent's bits. For x > -20 it is right to 2 units in the last place; below,
    to 5, because the compiler may join the two halves of ln 2.
    """
    x = max(x, np.float32(-87.0))
    k = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - k * np.float32(0.693359375) - k * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    bits = (np.int32(k) + np.int32(127)) << np.int32(23)
    return p * np.int32(bits).view(np.float32)


@njit(inline="always")
def _uniform(key, step, index):  # type: ignore[no-untyped-def]
    """Draw (step, index) of the stream ``key``: uniform on (0, 1], float32.

    A counter hashed by SplitMix64's finaliser: any draw can be had without those before it, so only
    violators need one, and both back ends and the literal network agree on it.
    """
    counter = (np.uint64(step) << np.uint64(32)) | np.uint64(index)
    z = key + np.uint64(0x9E3779B97F4A7C15) * counter
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float32((np.float64(z >> np.uint64(40)) + 0.5) * 2.0**-24)


@njit(inline="always")
def _reset(w, template, width, rule, epsilon, key, step):  # type: ignore[no-untyped-def]
    """Algorithm 1's reset, in place: every constrained weight of the wrong sign."""
    for row in range(ROWS):
        if row == BIAS:
            continue
        for h in range(width):
            sign = template[row, h]
            if sign * w[row, h] < 0:
                if rule == POS_CON:
                    w[row, h] = sign * epsilon
                elif rule == POS_RAND:
                    w[row, h] = sign * epsilon * _uniform(key, step, row * width + h)
                elif rule == ZERO:
                    w[row, h] = 0
                else:
                    w[row, h] = -w[row, h]


@njit(inline="always", **_OPTIONS)
def _unit(w, h, x0, x1, x2, x3, x4):  # type: ignore[no-untyped-def]
    """Activation of hidden unit ``h``."""
    a = w[BIAS, h] + w[0, h] * x0 + w[1, h] * x1 + w[2, h] * x2 + w[3, h] * x3 + w[4, h] * x4
    return np.float32(0) if a < 0 else a  # so that NaN stays NaN


@njit(inline="always", **_OPTIONS)
def _evaluate(w, output_bias, width, x, y, z):  # type: ignore[no-untyped-def]
    """Mean binary cross-entropy and accuracy (output > 1/2) on ``x`` (5, samples)."""
    n = x.shape[1]
    z[:] = output_bias
    x0, x1, x2, x3, x4 = x[0], x[1], x[2], x[3], x[4]
    for h in range(0, width, 4):  # four units a pass (rows are padded): each sample is loaded once
        for i in range(n):
            u0, u1, u2, u3, u4 = x0[i], x1[i], x2[i], x3[i], x4[i]
            z[i] += (
                w[OUT, h] * _unit(w, h, u0, u1, u2, u3, u4)
                + w[OUT, h + 1] * _unit(w, h + 1, u0, u1, u2, u3, u4)
                + w[OUT, h + 2] * _unit(w, h + 2, u0, u1, u2, u3, u4)
                + w[OUT, h + 3] * _unit(w, h + 3, u0, u1, u2, u3, u4)
            )
    # log(1 + exp(t)) = max(t, 0) + log(1 + exp(-|t|)) with t = +-z. Each factor 1 + exp(-|t|) is at
    # most 2, so the logarithms of 512 samples are taken together, as that of one product.
    linear = np.float32(0)
    logarithms = 0.0
    correct = 0
    for start in range(0, n, 512):
        product = np.float64(1)
        for i in range(start, min(start + 512, n)):
            t = z[i] * (1 - 2 * y[i])
            linear += t if t > 0 else np.float32(0)
            product *= np.float64(1 + _exp(-abs(t)))
            correct += (z[i] > 0) == (y[i] > np.float32(0.5))
        logarithms += math.log(product)
    return (linear + logarithms) / n, correct / n


def _compiled(function: Callable[..., float]) -> Callable[..., float]:
    """Compile, and keep the machine code for the next process where there is a place for it."""
    try:
        compiled = njit(nogil=True, cache=True, **_OPTIONS)(function)
    except RuntimeError as error:
        warnings.warn(
            f"{error}. It is compiled anew in every process; to keep it, set NUMBA_CACHE_DIR to a "
            "folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
        compiled = njit(nogil=True, **_OPTIONS)(function)
    return compiled  # type: ignore[no-any-return]  # numba is untyped


@lru_cache
def _build(stride: int, rows: int) -> Callable[..., float]:
    """Compile the trainer for at most ``stride`` units and batches of at most ``rows`` samples.

    Both are constants of the compiled function: knowing how far apart two rows lie, the compiler
    can prove that they do not overlap and uses vectors without checking.
    """
    # As variables of this function they are part of what Numba's cache goes by. It does not notice
    # that another file has changed.
    beta1, beta2, eps = BETA1, BETA2, EPS

    @_compiled
    def train(  # type: ignore[no-untyped-def]
        x, y, x_val, y_val, start_weights, start_bias, signs,
        order, key, rule, match_rule, epsilon, lr, batch_size, loss, accuracy,
    ):  # fmt: skip
        epochs, n = order.shape
        width = start_weights.shape[1]
        padded = (width + _LANES - 1) // _LANES * _LANES
        epsilon = np.float32(epsilon)
        zero = np.float32(0)

        w = np.zeros((ROWS, stride), np.float32)
        template = np.zeros((ROWS, stride), np.float32)
        w[:, :width] = start_weights
        template[:, :width] = signs
        frozen = np.any(template != 0)
        c = np.float32(start_bias)  # the output's bias
        _reset(w, template, width, match_rule, epsilon, key, 0)

        g = np.zeros((ROWS, stride), np.float32)
        m = np.zeros((ROWS, stride), np.float32)
        v = np.zeros((ROWS, stride), np.float32)
        gc = mc = vc = zero
        batch = np.zeros((rows, N_INPUTS), np.float32)
        hidden = np.empty((rows, stride), np.float32)
        delta = np.zeros(rows, np.float32)
        z_val = np.empty(x_val.shape[1], np.float32)

        step = 0
        power1, power2 = 1.0, 1.0
        for epoch in range(epochs):
            for start in range(0, n, batch_size):
                size = min(batch_size, n - start)
                for s in range(size):
                    i = order[epoch, start + s]
                    for k in range(N_INPUTS):
                        batch[s, k] = x[i, k]

                # Forward: delta holds the logits first, then the loss's derivatives by them.
                for s in range(0, size, _SAMPLES):
                    p, q, r, t = batch[s], batch[s + 1], batch[s + 2], batch[s + 3]
                    zp = zq = zr = zt = c
                    for h in range(padded):
                        ap = _unit(w, h, p[0], p[1], p[2], p[3], p[4])
                        aq = _unit(w, h, q[0], q[1], q[2], q[3], q[4])
                        ar = _unit(w, h, r[0], r[1], r[2], r[3], r[4])
                        at = _unit(w, h, t[0], t[1], t[2], t[3], t[4])
                        hidden[s, h], hidden[s + 1, h] = ap, aq
                        hidden[s + 2, h], hidden[s + 3, h] = ar, at
                        zp += w[OUT, h] * ap
                        zq += w[OUT, h] * aq
                        zr += w[OUT, h] * ar
                        zt += w[OUT, h] * at
                    delta[s], delta[s + 1], delta[s + 2], delta[s + 3] = zp, zq, zr, zt
                scale = np.float32(1) / np.float32(size)
                gc = zero
                for s in range(size):
                    e = _exp(-abs(delta[s]))
                    sigmoid = (np.float32(1) if delta[s] >= 0 else e) / (1 + e)
                    delta[s] = (sigmoid - y[order[epoch, start + s]]) * scale
                    gc += delta[s]
                delta[size:] = 0

                # Backward. The factor w[OUT] of the first layer's gradient is applied at the end.
                g[:] = 0
                for s in range(0, size, _SAMPLES):
                    p, q, r, t = batch[s], batch[s + 1], batch[s + 2], batch[s + 3]
                    dp, dq, dr, dt = delta[s], delta[s + 1], delta[s + 2], delta[s + 3]
                    for h in range(padded):
                        ap, aq = hidden[s, h], hidden[s + 1, h]
                        ar, at = hidden[s + 2, h], hidden[s + 3, h]
                        g[OUT, h] += dp * ap + dq * aq + dr * ar + dt * at
                        ep = dp if ap > 0 else zero
                        eq = dq if aq > 0 else zero
                        er = dr if ar > 0 else zero
                        et = dt if at > 0 else zero
                        g[BIAS, h] += ep + eq + er + et
                        g[0, h] += ep * p[0] + eq * q[0] + er * r[0] + et * t[0]
                        g[1, h] += ep * p[1] + eq * q[1] + er * r[1] + et * t[1]
                        g[2, h] += ep * p[2] + eq * q[2] + er * r[2] + et * t[2]
                        g[3, h] += ep * p[3] + eq * q[3] + er * r[3] + et * t[3]
                        g[4, h] += ep * p[4] + eq * q[4] + er * r[4] + et * t[4]

                # Adam, then Algorithm 1's reset.
                step += 1
                power1 *= beta1
                power2 *= beta2
                rate = np.float32(lr / (1 - power1))
                root = np.float32(1 / math.sqrt(1 - power2))
                b1, a1 = np.float32(beta1), np.float32(1 - beta1)
                b2, a2 = np.float32(beta2), np.float32(1 - beta2)
                for row in range(ROWS):
                    for h in range(padded):
                        d = g[row, h] if row == OUT else g[row, h] * w[OUT, h]
                        m[row, h] = b1 * m[row, h] + a1 * d
                        v[row, h] = b2 * v[row, h] + a2 * d * d
                        w[row, h] -= (
                            rate * m[row, h] / (np.sqrt(v[row, h]) * root + np.float32(eps))
                        )
                mc = b1 * mc + a1 * gc
                vc = b2 * vc + a2 * gc * gc
                c -= rate * mc / (np.sqrt(vc) * root + np.float32(eps))
                if frozen:
                    _reset(w, template, width, rule, epsilon, key, step)

            loss[epoch], accuracy[epoch] = _evaluate(w, c, width, x_val, y_val, z_val)

        start_weights[:] = w[:, :width]
        return c

    return train


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def trainer(width: int, n: int, batch_size: int) -> Callable[..., float]:
    """The compiled trainer for these sizes; the paper's share one, larger ones get their own."""
    return _build(_round_up(width, 64), _round_up(min(batch_size, n), 32))


def train(
    cell: Cell, training: Training, members: slice = slice(None)
) -> tuple[np.ndarray, np.ndarray, Weights]:
    """Train the networks ``members`` of ``cell``, one after the other, in the calling thread.

    The compiled code releases the interpreter's lock: several threads train side by side.

    Returns
    -------
    loss, accuracy : float32 (members, epochs), on the validation set
    weights : Weights
        After the last epoch.
    """
    networks = range(cell.networks)[members]
    loss = np.empty((len(networks), training.epochs), np.float32)
    accuracy = np.empty_like(loss)
    width = cell.weights.width
    final = np.empty((len(networks), ROWS, width), np.float32)
    output_bias = np.empty(len(networks), np.float32)
    train_one = trainer(width, len(cell.x), training.batch_size)
    x_val = np.ascontiguousarray(cell.x_val.T)
    signs = np.zeros((ROWS, width), np.float32)
    for row, network in enumerate(networks):
        w1, b1, w2, b2 = (part[network] for part in cell.weights)
        final[row, :N_INPUTS], final[row, BIAS], final[row, OUT] = w1, b1, w2
        signs[:N_INPUTS], signs[OUT] = cell.templates.t1[network], cell.templates.t2[network]
        trial = cell.trial[network]
        output_bias[row] = train_one(
            cell.x, cell.y, x_val, cell.y_val, final[row], np.float32(b2), signs,
            cell.order[trial], cell.keys[trial],
            _RULES[training.reset], _RULES[training.match_rule], training.epsilon, training.lr,
            training.batch_size, loss[row], accuracy[row],
        )  # fmt: skip
    weights = Weights(final[:, :N_INPUTS], final[:, BIAS], final[:, OUT], output_bias)
    return loss, accuracy, weights
