"""Stacked recurrent layers on a flat vector of parameters: what layers, text models and forecasters run on.

    forward     x -> layer 0 -> [dropout] -> ... -> layer L-1 -> [dropout]      states and gates stay on the tape
    backward    dy -> [dropout] -> layer L-1 -> ... -> layer 0 -> dx            the gradient of every weight

Every function is run by all members of a team. T, B: steps, rows; I, H, L: inputs, units, layers.
"""

from typing import Any, NamedTuple

import numpy as np

from bptt.cells.table import Cell, CellSpec
from bptt.numerics import memory
from bptt.numerics.jit import borrow, kernel, outlined
from bptt.numerics.matmul import packed_rows, panel_shape, unit_stride
from bptt.numerics.team import barrier, share
from bptt.unroll import layer as one
from bptt.unroll import sequence
from bptt.unroll.sequence import Record, Rows, Weights
from bptt.unroll.units import clear_units

__all__ = [
    "Dropout",
    "Errors",
    "Packed",
    "Scratch",
    "Stack",
    "Tape",
    "Transposed",
    "Window",
    "backward",
    "chunk_size",
    "clear",
    "forward",
    "matrix",
    "operations",
    "pack",
    "pack_transposed",
    "packed_for",
    "plain_errors",
    "plain_tape",
    "record_for",
    "run_backward",
    "run_forward",
    "scratch_for",
    "stack_of",
    "steps_between_checks",
    "threads_for",
    "transposed_for",
    "weights_of",
]

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO = np.int64(0)
YES = np.bool_(True)
# Multiply-adds of a call under which one thread was the faster one for every cell (T = 10 to 100, H = 32 to 256).
# What is best above, `numerics.pace` finds out.
SMALL = 5_000_000


class Stack(NamedTuple):
    """The numbers of stacked layers; offsets point into a flat vector."""

    cell: CellSpec
    I: int
    H: int
    L: int
    offsets: np.ndarray  # int64 (L, 4): weight_ih, weight_hh, bias_ih, bias_hh


class Packed(NamedTuple):
    """The weights in the layout of the products of `forward`; layer 0 has inputs of its own."""

    W0: np.ndarray
    W: np.ndarray
    U: np.ndarray
    b: np.ndarray


class Transposed(NamedTuple):
    """The same weights for `backward`."""

    W0: np.ndarray
    W: np.ndarray
    U: np.ndarray


class Tape(NamedTuple):
    """What the layers read, and what `forward` leaves for `backward`."""

    x: np.ndarray  # (T*B, >= I); no rows where layer 0's `a` starts as the projected inputs
    tokens: np.ndarray  # int32 (T, B): the row of a projected table that each input is; (0, 0) where x are the inputs
    s: np.ndarray  # (L, T+1, B, S*H) states, slot 0 the initial ones
    a: np.ndarray  # (L, T, B, A*H) gates
    y: np.ndarray  # (n, T, B, H): outputs of the first n layers as the next one reads them; n = 0: as they are in s
    out: np.ndarray  # (T, B, H): outputs of the last layer; (0, 0, 0) for none


class Errors(NamedTuple):
    """Derivatives of the loss by what the layers read and write."""

    dy: np.ndarray  # (<= T, B, H) by the last outputs, from outside; overwritten where the last layer has dropout
    ds: np.ndarray  # (L, B, S*H) in by the final states, out by the initial ones
    between: np.ndarray  # (>= T*B, >= H) scratch, of no rows with one layer; may be the memory of dy or dx
    dx: np.ndarray  # (>= T*B, >= I) out, by x; with tokens (V, blocks of x * H): += the sums of da by row of the table
    record: Record  # its arrays with L in front, or without rows


class Dropout(NamedTuple):
    """Masks on the outputs of the first layers (Srivastava et al. 2014)."""

    layers: int
    rate: float
    key: int
    time: int  # the address of the masks of the tape's first step


class Scratch(NamedTuple):
    """Temporary arrays of `backward`, and arrays that stand for "none"."""

    da: np.ndarray  # memory for (2, chunk, B, A*H) numbers or more
    strips: np.ndarray  # as `matmul.packed_rows` says
    total: np.ndarray  # (most columns of an error,)
    nothing: np.ndarray  # (1, most inputs) zeros
    one_block: np.ndarray  # int64 (1,): 0
    nowhere: np.ndarray  # int64 (A,): -1
    no_layers: np.ndarray  # (0, 0, 0, 0)
    no_array: np.ndarray  # (0, 0, 0)
    no_rows: np.ndarray  # (0, 0)
    no_tokens: np.ndarray  # int32 (0, 0)
    no_numbers: np.ndarray  # int64 (0, 0)
    no_record: Record
    all_rows: Rows  # every row has every step, no state is dropped
    no_dropout: Dropout


class Window(NamedTuple):
    """Steps first to last - 1 of a tape."""

    first: int
    last: int
    fresh: bool  # whether gradients start at 0; else they are added to
    between_checks: int  # steps between two looks for a signal


def stack_of(
    cell: Cell, input_size: int, hidden_size: int, num_layers: int, starts: dict[str, int], prefix: str = ""
) -> Stack:
    """The layers whose parameters begin at `starts[prefix + "weight_ih_l0"]` and so on."""
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    offsets = [[starts[f"{prefix}{kind}_l{layer}"] for kind in kinds] for layer in range(num_layers)]
    return Stack(cell.spec, input_size, hidden_size, num_layers, np.array(offsets))


def packed_for(stack: Stack, dtype: np.dtype[Any]) -> Packed:
    """Arrays for the packed weights of `stack`."""
    cell, H, L = stack.cell, stack.H, stack.L
    x_columns, h_columns = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * unit_stride(H, dtype)
    return Packed(
        W0=memory.zeros(panel_shape(stack.I, x_columns, dtype), dtype),
        W=memory.zeros((L - 1, *panel_shape(H, x_columns, dtype)), dtype),
        U=memory.zeros((L, *panel_shape(H, h_columns, dtype)), dtype),
        b=memory.zeros((L, cell.A * H), dtype),
    )


def transposed_for(stack: Stack, dtype: np.dtype[Any]) -> Transposed:
    """Arrays for the same weights, transposed."""
    cell, H, L = stack.cell, stack.H, stack.L
    x_columns, h_columns = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * H
    return Transposed(
        W0=memory.zeros(panel_shape(x_columns, stack.I, dtype), dtype),
        W=memory.zeros((L - 1, *panel_shape(x_columns, H, dtype)), dtype),
        U=memory.zeros((L, *panel_shape(h_columns, H, dtype)), dtype),
    )


def chunk_size(stack: Stack, steps: int, rows: int) -> int:
    """Size of `Scratch.da` for `backward` through at most `steps` steps of `rows` rows."""
    return 2 * min(steps * rows, max(sequence.CHUNK, rows)) * stack.cell.A * stack.H


def scratch_for(
    stack: Stack,
    steps: int,
    rows: int,
    dtype: np.dtype[Any],
    *,
    dense: tuple[int, ...] = (),
    inputs: int = 0,
) -> Scratch:
    """Arrays for `backward` through at most `steps` steps of `rows` rows, and for dense layers of these widths."""
    shapes = [packed_rows(stack.H, stack.cell.A, dtype), *(packed_rows(width, 1, dtype) for width in dense)]
    no_array, no_layers = np.empty((0, 0, 0), dtype), np.empty((0, 0, 0, 0), dtype)
    return Scratch(
        da=memory.empty((chunk_size(stack, steps, rows),), dtype),
        strips=memory.empty(max(shapes), dtype),
        total=memory.empty((max(stack.cell.A * stack.H, *dense, 0),), dtype),
        nothing=np.zeros((1, max(stack.I, stack.H, inputs)), dtype),
        one_block=np.zeros(1, np.int64),
        nowhere=np.full(stack.cell.A, -1),
        no_layers=no_layers,
        no_array=no_array,
        no_rows=np.empty((0, 0), dtype),
        no_tokens=np.empty((0, 0), np.int32),
        no_numbers=np.empty((0, 0), np.int64),
        no_record=record_for(no_layers, no_layers),
        all_rows=Rows(
            active=np.full(steps, np.iinfo(np.int64).max),
            reset=np.empty((0, 0), np.bool_),
            before=no_array,
            order=np.empty(0, np.int64),
        ),
        no_dropout=Dropout(0, 0.0, 0, 0),
    )


def record_for(
    s: np.ndarray,
    a: np.ndarray,
    clipped: np.ndarray | None = None,
    *,
    largest_value: float = np.inf,
    largest_norm: float = np.inf,
) -> Record:
    """Where `backward` stores errors, and how it clips them: `clipped` int64 (L, T, B), or None for no clipping."""
    return Record(s, a, np.empty((0, 0, 0), np.int64) if clipped is None else clipped, largest_value, largest_norm)


def multiply_adds(stack: Stack, rows: int) -> int:
    """Multiply-adds in the matrix products of `forward` for this number of rows (steps times sequences)."""
    return rows * stack.H * stack.cell.A * (stack.I + (2 * stack.L - 1) * stack.H)


def operations(stack: Stack, rows: int) -> int:
    """Multiply-adds of `forward`, and the formulas of the cells counted as such."""
    return multiply_adds(stack, rows) + rows * stack.L * stack.H * stack.cell.A * one.FORMULAS


def threads_for(stack: Stack, rows: int) -> int | None:
    """The number of threads for a call with this number of rows: 1 where a second one would cost more than it saves,
    else None: as many as `numerics.pace` finds useful.
    """
    return 1 if multiply_adds(stack, rows) < SMALL else None


def steps_between_checks(stack: Stack, rows: int, passes: int) -> int:
    """Steps of `rows` rows between two checks for a signal; `passes` is 1 for forward, 3 for forward and backward."""
    return max(1, one.OPERATIONS // (passes * operations(stack, rows)))


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
def weights_of(stack, flat, layer):
    """The parameters of a layer in `flat`, which is theta or its gradient."""
    cell, H, start = stack.cell, stack.H, stack.offsets[layer]
    x_size, h_size = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * H
    return Weights(
        matrix(flat, start[0], x_size, stack.I if layer == 0 else H),
        matrix(flat, start[1], h_size, H),
        flat[start[2] : start[2] + x_size],
        flat[start[3] : start[3] + h_size],
    )


@outlined(low_opt=True)
def pack(team, stack, theta, packed):
    """Pack all layers' weights for `forward`. The caller sets the barrier."""
    for layer in range(stack.L):
        W = packed.W0 if layer == 0 else packed.W[layer - 1]
        sequence.pack_forward(team, stack.cell, weights_of(stack, theta, layer), W, packed.U[layer], packed.b[layer])


@outlined(low_opt=True)
def pack_transposed(team, stack, theta, transposed):
    """The same for `backward`."""
    for layer in range(stack.L):
        W = transposed.W0 if layer == 0 else transposed.W[layer - 1]
        sequence.pack_backward(team, stack.cell, weights_of(stack, theta, layer), W, transposed.U[layer])


@kernel(internal=True, low_opt=True)
def plain_tape(scratch, x, s, a):
    """A tape without dropout: every output is read from s."""
    return Tape(x, scratch.no_tokens, s, a, scratch.no_layers, scratch.no_array)


@kernel(internal=True, low_opt=True)
def plain_errors(scratch, dy, ds, dx):
    """Errors if only dx is needed, in memory (>= T*B, >= max(I, H)) for all layers."""
    return Errors(dy, ds, dx, dx, scratch.no_record)


@kernel(internal=True, low_opt=True)
def tape_of(tape, layer, first, last):
    """The part of the tape that belongs to a layer and to these steps."""
    s, a = tape.s[layer, first : last + 1], tape.a[layer, first:last]
    B = tape.s.shape[2]
    x, tokens = tape.x[first * B : last * B], tape.tokens[first:last]
    if layer > 0:
        tokens = tape.tokens[:0]
        if tape.y.shape[0] > 0:
            x = tape.y[layer - 1, first:last].reshape((last - first) * B, tape.y.shape[3])
        else:
            x = tape.s[layer - 1, first + 1 : last + 1].reshape((last - first) * B, tape.s.shape[3])
    return one.LayerTape(x, tokens, s, a)


@kernel(internal=True, low_opt=True)
def record_of(scratch, record, layer):
    """The part of the record, which begins with the window, that belongs to a layer."""
    s = record.s[layer] if record.s.shape[0] > 0 else scratch.no_array
    a = record.a[layer] if record.a.shape[0] > 0 else scratch.no_array
    clipped = record.clipped[layer] if record.clipped.shape[0] > 0 else scratch.no_numbers
    return Record(s, a, clipped, record.largest_value, record.largest_norm)


@kernel(internal=True, low_opt=True)
def rows_of(rows, first, last):
    return Rows(rows.active[first:last], rows.reset[first:last], rows.before, rows.order)


@kernel(internal=True, low_opt=True)
def forward(team, stack, packed, tape, rows, dropout, window):
    """The steps of a window, from their inputs x and the states s[:, first]; ends with a barrier."""
    first, last = window.first, window.last
    here = rows_of(rows, first, last)
    for layer in range(stack.L):
        W = packed.W0 if layer == 0 else packed.W[layer - 1]
        y = tape.out[first:last] if layer == stack.L - 1 else tape.out[:0]
        if layer < tape.y.shape[0]:
            y = tape.y[layer, first:last]
        one.layer_forward(team, stack.cell, one.Packed(W, packed.U[layer], packed.b[layer]),
                          tape_of(tape, layer, first, last), y, here, window.between_checks)  # fmt: skip
        barrier(team)
        if layer < dropout.layers:
            time = dropout.time + first
            sequence.sequence_dropout(team, y, y, dropout.key, layer, time, dropout.rate, rows.order)
            barrier(team)


@kernel(internal=True, low_opt=True)
def backward(team, stack, transposed, scratch, grad, tape, errors, rows, dropout, window):
    """`forward` from the last layer to the first, from the last step of the window to its first: see `Errors`.

    dy are the errors of the window's last outputs, dx that of its inputs alone. Ends with a barrier.
    """
    first, last, H, B = window.first, window.last, stack.H, tape.s.shape[2]
    here, dy = rows_of(rows, first, last), errors.dy[:, :, :H]
    for layer in range(stack.L - 1, -1, -1):
        if layer < dropout.layers:
            time = dropout.time + last - dy.shape[0]
            sequence.sequence_dropout(team, dy, dy, dropout.key, layer, time, dropout.rate, rows.order)
            barrier(team)
        W = transposed.W0 if layer == 0 else transposed.W[layer - 1]
        dx = errors.dx if layer == 0 else errors.between
        one.layer_backward(team, stack.cell, one.Transposed(W, transposed.U[layer]), scratch,
                           weights_of(stack, grad, layer), tape_of(tape, layer, first, last),
                           one.LayerErrors(dy, errors.ds[layer], dx, record_of(scratch, errors.record, layer)),
                           here, window.fresh, window.between_checks)  # fmt: skip
        barrier(team)
        if layer > 0:
            steps = last - first
            dy = errors.between[: steps * B].reshape(steps, B, errors.between.shape[1])[:, :, :H]


@kernel(low_opt=True)
def run_forward(team, stack, theta, packed, tape, rows, dropout, between_checks):
    """All steps, from the parameters in the users' layout."""
    stack, theta, packed, tape, rows = borrow(stack), borrow(theta), borrow(packed), borrow(tape), borrow(rows)
    pack(team, stack, theta, packed)
    barrier(team)
    forward(team, stack, packed, tape, rows, dropout, Window(ZERO, rows.active.size, YES, between_checks))


@kernel(low_opt=True)
def run_backward(team, stack, theta, transposed, scratch, grad, tape, errors, rows, dropout, window):
    """The steps of a window back, from the parameters in the users' layout."""
    stack, theta, transposed, scratch, grad = (
        borrow(stack), borrow(theta), borrow(transposed), borrow(scratch), borrow(grad),
    )  # fmt: skip
    tape, errors, rows = borrow(tape), borrow(errors), borrow(rows)
    pack_transposed(team, stack, theta, transposed)
    barrier(team)
    backward(team, stack, transposed, scratch, grad, tape, errors, rows, dropout, window)
