"""Stacked recurrent layers on a flat vector of parameters: what the compiled steps of applications are made of.

    forward     x -> layer 0 -> ... -> layer L-1           states and gates stay on the tape s, a
    backward    dy -> layer L-1 -> ... -> layer 0 -> dx    the gradient of every weight, the error of every first state

Every function is run by all members of a team. Arrays (T, B: steps, rows; I, H, L: inputs, units, layers):
    x (T*B, >= I)   s (L, T+1, B, S*H)   a (L, T, B, A*H)   ds (L, B, S*H)   dy (<= T, B, H)   dx (T*B, >= I)
"""

from typing import Any, NamedTuple

import numpy as np

from bptt.cells.table import Cell, CellSpec
from bptt.numerics import memory
from bptt.numerics.jit import kernel, outlined
from bptt.numerics.matmul import packed_rows, panel_shape, unit_stride
from bptt.numerics.threads import barrier, share
from bptt.unroll import sequence
from bptt.unroll.units import clear_units, copy

__all__ = [
    "Packed",
    "Scratch",
    "Stack",
    "backward",
    "clear",
    "forward",
    "matrix",
    "pack_stack",
    "packed_for",
    "scratch_for",
    "stack_of",
    "weights_of",
]

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO = np.int64(0)


class Stack(NamedTuple):
    """The numbers of stacked layers; offsets point into a flat vector."""

    cell: CellSpec
    I: int
    H: int
    L: int
    offsets: np.ndarray  # int64 (L, 4): weight_ih, weight_hh, bias_ih, bias_hh
    x_order: np.ndarray
    h_order: np.ndarray


class Packed(NamedTuple):
    """Their weights, laid ready for products; those of layer 0 apart, since its inputs are others."""

    W0: np.ndarray
    W: np.ndarray
    U: np.ndarray
    b: np.ndarray
    WT0: np.ndarray
    WT: np.ndarray
    UT: np.ndarray


class Scratch(NamedTuple):
    """What the way back needs and forgets."""

    da: np.ndarray  # (2, chunk, B, A*H) as memory of at least so many numbers
    strips: np.ndarray
    total: np.ndarray  # (most columns of an error,)
    nothing: np.ndarray  # (1, most inputs) zeros
    one_block: np.ndarray  # int64 (1,): 0
    nowhere: np.ndarray  # int64 (A,): -1
    no_array: np.ndarray  # (0, 0, 0)
    no_rows: np.ndarray  # (0, 0)
    active: np.ndarray  # int64 (most steps,): every row has every step
    no_reset: np.ndarray  # bool (0, 0)


def stack_of(cell: Cell, input_size: int, hidden_size: int, num_layers: int, starts: dict[str, int]) -> Stack:
    """The layers whose parameters begin at `starts["rnn.weight_ih_l0"]` and so on."""
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    offsets = [[starts[f"rnn.{kind}_l{layer}"] for kind in kinds] for layer in range(num_layers)]
    orders = np.array(cell.x_order), np.array(cell.h_order)
    return Stack(cell.spec, input_size, hidden_size, num_layers, np.array(offsets), *orders)


def packed_for(stack: Stack, dtype: np.dtype[Any]) -> Packed:
    """Room for the weights of `stack`."""
    cell, I, H, L = stack.cell, stack.I, stack.H, stack.L
    x_columns, h_columns = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * H

    def panels(depth: int, columns: int, *layers: int) -> np.ndarray:
        return memory.zeros((*layers, *panel_shape(depth, columns, dtype)), dtype)

    return Packed(
        W0=panels(I, x_columns),
        W=panels(H, x_columns, L - 1),
        U=panels(H, (cell.h1 - cell.h0) * unit_stride(H, dtype), L),
        b=memory.zeros((L, cell.A * H), dtype),
        WT0=panels(x_columns, I),
        WT=panels(x_columns, H, L - 1),
        UT=panels(h_columns, H, L),
    )


def scratch_for(
    stack: Stack, steps: int, rows: int, dense: tuple[int, ...], inputs: int, dtype: np.dtype[Any]
) -> Scratch:
    """Room for the way back through at most so many steps of so many rows, and dense layers of these widths."""
    shapes = [packed_rows(stack.H, stack.cell.A, dtype), *(packed_rows(width, 1, dtype) for width in dense)]
    chunk = max(sequence.CHUNK, rows)
    return Scratch(
        da=memory.empty((2 * chunk * stack.cell.A * stack.H,), dtype),
        strips=memory.empty(max(shapes), dtype),
        total=memory.empty((max(stack.cell.A * stack.H, *dense),), dtype),
        nothing=memory.zeros((1, max(stack.I, stack.H, inputs)), dtype),
        one_block=np.zeros(1, np.int64),
        nowhere=np.full(stack.cell.A, -1),
        no_array=np.empty((0, 0, 0), dtype),
        no_rows=np.empty((0, 0), dtype),
        active=np.full(steps, np.iinfo(np.int64).max),
        no_reset=np.empty((0, 0), np.bool_),
    )


@kernel(internal=True)
def clear(team, rows):
    """0 in all of rows (L, B, n), of which each member takes its share of the B."""
    first, last = share(rows.shape[1], team)
    for layer in range(rows.shape[0]):
        clear_units(rows[layer, first:last], rows.shape[2], ZERO, rows.shape[2])


@kernel(internal=True, low_opt=True)
def matrix(flat, start, rows, columns):
    return flat[start : start + rows * columns].reshape(rows, columns)


@kernel(internal=True, low_opt=True)
def weights_of(cell, H, inputs, start, flat):
    """weight_ih, weight_hh, bias_ih, bias_hh of a layer in `flat` (theta or its gradient), where `start` (4) says."""
    x_size, h_size = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * H
    return (
        matrix(flat, start[0], x_size, inputs),
        matrix(flat, start[1], h_size, H),
        flat[start[2] : start[2] + x_size],
        flat[start[3] : start[3] + h_size],
    )


@kernel(internal=True, low_opt=True)
def layer_of(stack, flat, layer):
    """`weights_of` a layer of the stack."""
    return weights_of(stack.cell, stack.H, stack.I if layer == 0 else stack.H, stack.offsets[layer], flat)


@outlined(low_opt=True)
def pack_stack(team, stack, theta, packed, backward):
    """Lay all layers' weights ready for `forward`, and with `backward` for `backward`. The caller sets the barrier."""
    for layer in range(stack.L):
        weight_ih, weight_hh, bias_ih, bias_hh = layer_of(stack, theta, layer)
        W = packed.W0 if layer == 0 else packed.W[layer - 1]
        sequence.pack_forward(team, stack.cell, stack.x_order, stack.h_order, weight_ih, weight_hh, bias_ih, bias_hh,
                              W, packed.U[layer], packed.b[layer])  # fmt: skip
        if backward:
            WT = packed.WT0 if layer == 0 else packed.WT[layer - 1]
            sequence.pack_backward(team, stack.cell, stack.x_order, stack.h_order, weight_ih, weight_hh, WT,
                                   packed.UT[layer])  # fmt: skip


@kernel(internal=True, low_opt=True)
def below(x, s, layer, first, last):
    """What a layer reads in steps first to last - 1, as rows; x are the rows of these steps."""
    if layer == 0:
        return x
    return s[layer - 1, first + 1 : last + 1].reshape((last - first) * s.shape[2], s.shape[3])


@kernel(internal=True, low_opt=True)
def forward(team, stack, packed, scratch, x, s, a, first, last):
    """Steps first to last - 1, from their inputs x and the states s[:, first]; ends with a barrier."""
    for layer in range(stack.L):
        W = packed.W0 if layer == 0 else packed.W[layer - 1]
        states, gates = s[layer, first : last + 1], a[layer, first:last]
        sequence.project(team, stack.cell, below(x, s, layer, first, last), W, packed.b[layer], gates)
        barrier(team)
        sequence.forward(team, stack.cell, scratch.no_rows, W, packed.U[layer], packed.b[layer], states, gates,
                         scratch.no_array, scratch.active, scratch.no_reset, scratch.no_rows)  # fmt: skip
        barrier(team)


@kernel(internal=True, low_opt=True)
def backward(team, stack, packed, scratch, grad, x, s, a, ds, dy, dx, first, last, fresh):
    """Back through steps last - 1 to first: dy the errors of the last dy.shape[0] outputs, ds in of the last states,
    out of s[first].

    The gradient starts at 0 with `fresh`, else it is added to. dx (at least the rows of x, >= max(I, H)): the error
    of x in its first I columns. Ends with a barrier.
    """
    cell, H, B = stack.cell, stack.H, s.shape[2]
    width, most = cell.A * H, min(last - first, max(1, sequence.CHUNK // B))
    da = scratch.da[: 2 * most * B * width].reshape(2, most, B, width)
    total = scratch.total[:width]
    for layer in range(stack.L - 1, -1, -1):
        inputs = stack.I if layer == 0 else H
        dweight_ih, dweight_hh, dbias_ih, dbias_hh = layer_of(stack, grad, layer)
        WT = packed.WT0 if layer == 0 else packed.WT[layer - 1]
        x_l = below(x, s, layer, first, last)
        if not fresh:
            sums_so_far(team, stack, total, dbias_ih, dbias_hh)
        without_dy = last - dy.shape[0]
        end, half = last, 0
        while end > first:
            begin = max(first, end - most)
            chunk = da[half, : end - begin]
            dy_chunk = dy[max(0, begin - without_dy) : max(0, end - without_dy)]
            s_prev = s[layer, begin:end]
            sequence.backward(team, cell, packed.UT[layer], s_prev, s[layer, begin + 1 : end + 1], a[layer, begin:end],
                              chunk, ds[layer], dy_chunk, scratch.no_array, scratch.active,
                              scratch.no_reset)  # fmt: skip
            barrier(team)
            row, row_end = (begin - first) * B, (end - first) * B
            sequence.weight_gradients(team, cell, stack.x_order, stack.h_order, x_l[row:row_end], s_prev, chunk,
                                      scratch.strips, total, dweight_ih, dweight_hh,
                                      fresh and end == last)  # fmt: skip
            sequence.input_error(team, cell, WT, chunk, scratch.nothing[:, :inputs], dx[row:row_end, :inputs])
            end, half = begin, 1 - half
        barrier(team)
        sequence.bias_gradients(team, stack.x_order, stack.h_order, total, dbias_ih, dbias_hh)
        barrier(team)
        steps = last - first
        dy = dx[: steps * B].reshape(steps, B, dx.shape[1])[:, :, :H]


@kernel(internal=True, low_opt=True)
def sums_so_far(team, stack, total, dbias_ih, dbias_hh):
    """`sequence.bias_gradients` backwards, for more to be added."""
    if team.index == 0:
        H = stack.H
        for j in range(stack.x_order.size):
            x, h = stack.x_order[j], stack.h_order[j]
            if x >= 0:
                copy(dbias_ih[x * H : (x + 1) * H], total[j * H : (j + 1) * H])
            elif h >= 0:
                copy(dbias_hh[h * H : (h + 1) * H], total[j * H : (j + 1) * H])
