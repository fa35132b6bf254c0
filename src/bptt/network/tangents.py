"""Derivatives along a direction: of a layer's outputs (forward mode), and of its gradient (forward over reverse).

v. is the derivative of v along the direction in which x, the initial state and the parameters move (Pearlmutter 1994):

    forward     a.  = x. W + x W. + h.' U + h' U. + b.
                cell: a., s.' -> gates., s.
    backward    cell: ds., s.', s., gates. -> ds.', da.         (its formula, differentiated)
                ds_h.' += da. U^T + da U.^T
                dW. = x.^T da + x^T da.,    dU. = h'.^T da + h'^T da.,    db. = sum of da.,    dx. = da. W^T + da W.^T

The cells' part is in `cells.tangents`. What the direction does not touch comes from the compiled loops: the tape, and
the errors of every step. The loop here is one of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bptt.cells import tangents as cells
from bptt.cells.table import Cell
from bptt.unroll.tape import LayerTape

__all__ = ["LayerTangent", "Weights", "backward", "forward"]

Array = np.ndarray
PRODUCTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Weights(NamedTuple):
    """One layer's parameters, or their derivatives along the direction, by block: what `spread` makes of them."""

    W: Array  # (A, H, I), 0 in the blocks that x does not feed
    U: Array  # (A, H, H), 0 in the blocks that h does not feed
    b: Array  # (A, H)


class LayerTangent(NamedTuple):
    """What `forward` leaves for `backward`."""

    x: Array  # (T, B, I)
    s: tuple[Array, ...]  # of each state (T+1, B, H)
    gates: tuple[Array, ...]  # of each block (T, B, H)


def spread(cell: Cell, named: dict[str, Array], layer: int) -> Weights:
    """The parameters of a layer in the order of the cell's blocks."""
    W, U, b_ih, b_hh = (named[f"{name}_l{layer}"] for name in PRODUCTS)
    H, A = U.shape[1], len(cell.blocks)
    out = Weights(np.zeros((A, H, W.shape[1]), W.dtype), np.zeros((A, H, H), W.dtype), np.zeros((A, H), W.dtype))
    for j, (i, k) in enumerate(zip(cell.x_order, cell.h_order, strict=True)):
        if i >= 0:
            out.W[j] = W[i * H : (i + 1) * H]
            out.b[j] += b_ih[i * H : (i + 1) * H]
        if k >= 0:
            out.U[j] = U[k * H : (k + 1) * H]
            out.b[j] += b_hh[k * H : (k + 1) * H]
    return out


def gather(cell: Cell, W: Array, U: Array, b: Array) -> tuple[Array, ...]:
    """Gradients by block in the users' layout: weight_ih, weight_hh, bias_ih, bias_hh."""
    x_blocks = sorted((i, j) for j, i in enumerate(cell.x_order) if i >= 0)
    h_blocks = sorted((k, j) for j, k in enumerate(cell.h_order) if k >= 0)
    return (
        np.concatenate([W[j] for _, j in x_blocks]),
        np.concatenate([U[j] for _, j in h_blocks]),
        np.concatenate([b[j] for _, j in x_blocks]),
        np.concatenate([b[j] for _, j in h_blocks]),
    )


def split(cell: Cell, array: Array, parts: tuple[str, ...]) -> tuple[Array, ...]:
    """An array (..., parts*H) as one of (..., H) for each."""
    H = array.shape[-1] // len(parts)
    return tuple(array[..., j * H : (j + 1) * H] for j in range(len(parts)))


def forward(
    tape: LayerTape, x_dot: Array, s0_dot: tuple[Array, ...], weights: Weights, weights_dot: Weights
) -> LayerTangent:
    """From the inputs' and the initial state's derivatives to those of all states and gates."""
    cell, (T, B, _) = tape.cell, tape.a.shape
    x, states = tape.x.reshape(T, B, -1), split(cell, tape.s, cell.states)
    gates = split(cell, tape.a, cell.blocks)
    fed = np.einsum("tbi,ahi->atbh", x_dot, weights.W) + np.einsum("tbi,ahi->atbh", x, weights_dot.W)
    fed += np.einsum("tbk,ahk->atbh", states[0][:-1], weights_dot.U) + weights_dot.b[:, None, None]
    s_dot = tuple(np.empty_like(part) for part in states)
    gates_dot = tuple(np.empty_like(part) for part in gates)
    for part, first in zip(s_dot, s0_dot, strict=True):
        part[0] = first
    tangent = cells.TANGENTS[cell.name].forward
    for t in range(T):
        a_dot = tuple(fed[:, t] + s_dot[0][t] @ weights.U.swapaxes(1, 2))
        now, new = (tuple(part[t] for part in gates), tuple(part[t + 1] for part in states))
        before = tuple(part[t] for part in states)
        made = tangent(a_dot, tuple(part[t] for part in s_dot), before, new, now)
        for stored, values in ((gates_dot, made[0]), (tuple(part[1:] for part in s_dot), made[1])):
            for part, value in zip(stored, values, strict=True):
                part[t] = value
    return LayerTangent(x_dot, s_dot, gates_dot)


def backward(
    tape: LayerTape,
    tangent: LayerTangent,
    ds: Array,
    da: Array,
    dy_dot: Array,
    weights: Weights,
    weights_dot: Weights,
) -> tuple[Array, tuple[Array, ...], tuple[Array, ...]]:
    """From the derivatives of dy to those of dx, of the error of the initial state, and of the gradients.

    ds (T, B, S*H), da (T, B, A*H): the whole errors of states and pre-activations, as `backward` records them.
    """
    cell, (T, B, _) = tape.cell, tape.a.shape
    states, gates = split(cell, tape.s, cell.states), split(cell, tape.a, cell.blocks)
    errors, pre = split(cell, ds, cell.states), split(cell, da, cell.blocks)
    da_dot = np.empty((len(cell.blocks), T, B, weights.b.shape[1]), tape.a.dtype)
    carried = tuple(np.zeros_like(part[0]) for part in states)
    through: Callable[..., Any] = cells.TANGENTS[cell.name].backward
    for t in reversed(range(T)):
        carried = (carried[0] + dy_dot[t], *carried[1:])
        ds_prev_dot, da_t_dot = through(
            tuple(part[t] for part in errors),
            carried,
            tuple(part[t] for part in states),
            tuple(part[t] for part in tangent.s),
            tuple(part[t + 1] for part in states),
            tuple(part[t + 1] for part in tangent.s),
            tuple(part[t] for part in gates),
            tuple(part[t] for part in tangent.gates),
        )
        da_dot[:, t] = da_t_dot
        product = sum(da_t_dot[j] @ weights.U[j] + pre[j][t] @ weights_dot.U[j] for j in range(len(cell.blocks)))
        carried = (ds_prev_dot[0] + product, *ds_prev_dot[1:])
    x, da_blocks = tape.x.reshape(T, B, -1), np.stack(pre)
    dW = np.einsum("atbh,tbi->ahi", da_dot, x) + np.einsum("atbh,tbi->ahi", da_blocks, tangent.x)
    dU = np.einsum("atbh,tbk->ahk", da_dot, states[0][:-1]) + np.einsum("atbh,tbk->ahk", da_blocks, tangent.s[0][:-1])
    dx_dot = np.einsum("atbh,ahi->tbi", da_dot, weights.W) + np.einsum("atbh,ahi->tbi", da_blocks, weights_dot.W)
    return dx_dot, carried, gather(cell, dW, dU, da_dot.sum(axis=(1, 2)))
