"""Clipping and optimizer steps on flat vectors, in PyTorch's definitions.

    norm     |g| = sqrt(sum g^2);  g <- g min(1, limit / (|g| + 1e-6))     (Pascanu, Mikolov & Bengio 2013)
    SGD      m <- mu m + g;  theta <- theta - eta m                        (momentum: Polyak 1964)
    RMSprop  v <- alpha v + (1 - alpha) g^2;  u = g / (sqrt v + eps)       (Tieleman & Hinton 2012)
             m <- mu m + u;  theta <- theta - eta m
    Adam     m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2             (Kingma & Ba 2015)
             theta <- theta - eta / (1 - b1^k) m / (sqrt(v / (1 - b2^k)) + eps)
    AdamW    theta <- theta (1 - eta lambda), then Adam                    (Loshchilov & Hutter 2019)

Elsewhere weight decay lambda adds lambda theta to g. Every function is run by all members of a team, each on
its share of the vectors; the norm is summed in float64 over fixed blocks, block after block, so no number of
threads changes a bit.
"""

import math
from typing import NamedTuple

import numpy as np

from bptt.numerics.jit import kernel, outlined
from bptt.numerics.team import barrier, share

__all__ = [
    "ADAM",
    "ADAMW",
    "RMSPROP",
    "SGD",
    "Optimizer",
    "average",
    "blocks",
    "clip",
    "clip_norm",
    "clip_value",
    "norm",
    "update",
]

SGD = 0
RMSPROP = 1
ADAM = 2
ADAMW = 3
BLOCK = 4096


class Optimizer(NamedTuple):
    """A rule, its numbers and its state for compiled code."""

    rule: int
    coefficients: np.ndarray  # float64 (4,): momentum or b1, alpha or b2, eps, weight decay
    m: np.ndarray  # like theta, or empty where the rule has no use of it
    v: np.ndarray
    partial: np.ndarray  # float64 (blocks(theta.size),) scratch
    limit_norm: float  # of the gradient's norm, none if not positive
    limit_value: float  # of each element, before the norm; none if not positive


def blocks(size: int) -> int:
    """How many partial sums `norm` needs for a vector of this size."""
    return -(-size // BLOCK)


@kernel
def elements(size, team):
    """First and last (exclusive) of this member's elements: whole blocks, never a part of one.

    The last elements of a loop leave the vector code for scalar code, which rounds differently; a share that
    ended anywhere would send other elements there for another number of threads.
    """
    first, last = share((size + BLOCK - 1) // BLOCK, team)
    return first * BLOCK, min(size, last * BLOCK)


@outlined()
def norm(team, g, partial):
    """Euclidean norm in float64; partial (blocks(g.size)) is scratch."""
    first, last = share(partial.size, team)
    for block in range(first, last):
        part = g[block * BLOCK : min(g.size, (block + 1) * BLOCK)]
        total = 0.0
        for j in range(part.size):
            total += np.float64(part[j]) * np.float64(part[j])
        partial[block] = total
    barrier(team)
    total = 0.0
    for block in range(partial.size):
        total += partial[block]
    return math.sqrt(total)


@outlined()
def clip_norm(team, g, limit, partial):
    """Scale g down to a norm of `limit` where it is above; limit <= 0 leaves it. Returns the norm before."""
    length = norm(team, g, partial)
    if limit > 0 and limit / (length + 1e-6) < 1:
        factor = g.dtype.type(limit / (length + 1e-6))
        first, last = elements(g.size, team)
        part = g[first:last]
        for j in range(part.size):
            part[j] *= factor
    barrier(team)
    return length


@outlined()
def clip_value(team, g, limit):
    """Cut every element to [-limit, limit]; limit <= 0 leaves them. NaN stays NaN."""
    if limit > 0:
        high = g.dtype.type(limit)
        first, last = elements(g.size, team)
        part = g[first:last]
        for j in range(part.size):
            part[j] = high if part[j] > high else -high if part[j] < -high else part[j]
        barrier(team)


@kernel(internal=True, low_opt=True)
def clip(team, optimizer, g):
    """Clip by value, then by norm, as the optimizer says; returns the norm before."""
    if optimizer.limit_value > 0:
        # Measured first: clipping by value would make an infinite gradient finite.
        length = norm(team, g, optimizer.partial)
        clip_value(team, g, optimizer.limit_value)
        clip_norm(team, g, optimizer.limit_norm, optimizer.partial)
        return length
    return clip_norm(team, g, optimizer.limit_norm, optimizer.partial)


@outlined(strict=True)
def update(team, optimizer, theta, g, step, learning_rate):
    """One optimizer step; `step` counts from 1. g is used up: RMSprop and weight decay write into it."""
    rule, coefficients, m, v = optimizer.rule, optimizer.coefficients, optimizer.m, optimizer.v
    number = theta.dtype.type
    first, last = elements(theta.size, team)
    eta, decay, eps = number(learning_rate), number(coefficients[3]), number(coefficients[2])
    theta, g = theta[first:last], g[first:last]
    if rule == ADAMW:
        shrink = number(1.0 - learning_rate * coefficients[3])
        for j in range(theta.size):
            theta[j] *= shrink
    elif coefficients[3] > 0:
        for j in range(theta.size):
            g[j] += decay * theta[j]
    if rule == ADAM or rule == ADAMW:
        m, v = m[first:last], v[first:last]
        b1, b2 = number(coefficients[0]), number(coefficients[1])
        new1, new2 = number(1.0 - coefficients[0]), number(1.0 - coefficients[1])
        eta = number(learning_rate / (1.0 - coefficients[0] ** step))
        unbias = number(1.0 / math.sqrt(1.0 - coefficients[1] ** step))
        for j in range(theta.size):
            m[j] = b1 * m[j] + new1 * g[j]
            v[j] = b2 * v[j] + new2 * g[j] * g[j]
            theta[j] -= eta * m[j] / (np.sqrt(v[j]) * unbias + eps)
    else:
        if rule == RMSPROP:
            v = v[first:last]
            alpha, new = number(coefficients[1]), number(1.0 - coefficients[1])
            for j in range(theta.size):
                v[j] = alpha * v[j] + new * g[j] * g[j]
                g[j] = g[j] / (np.sqrt(v[j]) + eps)
        if coefficients[0] > 0:
            m = m[first:last]
            momentum = number(coefficients[0])
            for j in range(theta.size):
                m[j] = momentum * m[j] + g[j]
                theta[j] -= eta * m[j]
        else:
            for j in range(theta.size):
                theta[j] -= eta * g[j]
    barrier(team)


@outlined(strict=True)
def average(team, theta, mean, decay):
    """mean <- decay mean + (1 - decay) theta (Polyak & Juditsky 1992, with exponential weights)."""
    old, new = theta.dtype.type(decay), theta.dtype.type(1.0 - decay)
    first, last = elements(theta.size, team)
    theta, mean = theta[first:last], mean[first:last]
    for j in range(theta.size):
        mean[j] = old * mean[j] + new * theta[j]
    barrier(team)
