"""A whole layer: from packed weights to the tape, and in chunks of steps back to the gradients.

`backward` goes in chunks: the error da of a chunk is kept only while its products are computed, in the cache. Sums over
the batch are computed chunk by chunk, in an order that does not depend on the number of threads.

Both functions are run by all members of a team. Sizes and arrays are those of `unroll.sequence`.
"""

from typing import NamedTuple

import numpy as np

from bptt.numerics.jit import kernel
from bptt.numerics.team import barrier, check_signals, share
from bptt.numerics.tiles import HEIGHT
from bptt.unroll import sequence
from bptt.unroll.sequence import CHUNK, Record, Rows, by_units, streams
from bptt.unroll.units import any_of, copy_units

__all__ = [
    "FORMULAS",
    "NEVER",
    "OPERATIONS",
    "LayerErrors",
    "LayerTape",
    "Packed",
    "Transposed",
    "layer_backward",
    "layer_forward",
]

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO = np.int64(0)
# Multiply-adds between two looks for a signal: some tenths of a second of one core. A unit's formulas count as so many.
OPERATIONS = 3_000_000_000
FORMULAS = 64
NEVER = np.int64(2**62)  # steps between two looks for a signal


class Packed(NamedTuple):
    """One layer's weights in the layout of the products of `layer_forward`."""

    W: np.ndarray
    U: np.ndarray
    b: np.ndarray


class Transposed(NamedTuple):
    """The same weights for `layer_backward`."""

    W: np.ndarray
    U: np.ndarray


class LayerErrors(NamedTuple):
    """Derivatives of the loss by what a layer reads and writes."""

    dy: np.ndarray  # (<= T, B, H) by the last outputs, from outside
    ds: np.ndarray  # (B, S*H) in by the final state, out by the initial one
    dx: np.ndarray  # (T*B, >= I) out, by x; with tokens (V, blocks of x * H): += the sums of da by row of the table
    record: Record


class LayerTape(NamedTuple):
    """What one layer reads, and what `forward` leaves for `backward`."""

    x: np.ndarray  # (T*B, >= I); no rows where `a` starts as the projected inputs
    tokens: np.ndarray  # int32 (T, B): the row of a projected table that each input is; (0, 0) where x are the inputs
    s: np.ndarray  # (T+1, B, S*H)
    a: np.ndarray  # (T, B, A*H)


@kernel(internal=True, low_opt=True)
def layer_forward(team, cell, packed, tape, y, rows, between_checks):
    """From x (or from the projected inputs in `a`, where x has no rows) and s[0] to all states and gates.

    s and a have room for all steps, or for fewer, which are then overwritten; only y is complete then.
    y (T, B, H), or empty: a copy of the outputs.
    """
    W, U, b = packed
    x, s, a = tape.x, tape.s, tape.a
    room, B, _ = a.shape
    T = rows.active.size
    # Step by step where that costs no time for the weights, so that `a` is in the cache; else all at once: fewer rows
    # than a tile has would use each weight less often than the rows of all steps together do.
    weights = (W.size + U.size) * U.itemsize
    on_the_way = B >= HEIGHT * team.size and not by_units(team, B, U) and not streams(team, B, weights)
    first = checked = ZERO
    while first < T:
        slot = first % room
        if first - checked >= between_checks:
            check_signals(team)
            checked = first
        if first > 0:
            barrier(team)  # the rows may be shared otherwise
            if slot == 0:
                row, last = share(B, team)
                copy_units(s[room, row:last], s[0, row:last], ZERO, s.shape[2])
                barrier(team)
        n = min(between_checks, room - slot, T - first)
        inputs = x[first * B : (first + n) * B]
        if inputs.shape[0] > 0 and not on_the_way:
            sequence.project(team, cell, inputs, W, b, a[slot : slot + n])
            inputs = inputs[:0]
            barrier(team)
        here = Rows(rows.active[first : first + n], rows.reset[first : first + n], rows.before, rows.order)
        sequence.forward(team, cell, inputs, W, U, b, s[slot : slot + n + 1], a[slot : slot + n],
                         y[first : first + n], here)  # fmt: skip
        first += n


@kernel(internal=True, low_opt=True)
def record_of(record, first, last):
    return Record(record.s[first:last], record.a[first:last], record.clipped[first:last], record.largest_value,
                  record.largest_norm)  # fmt: skip


@kernel(internal=True, low_opt=True)
def layer_backward(team, cell, transposed, scratch, grad, tape, errors, rows, fresh, between_checks):
    """Chunk after chunk from the end: all derivatives of `errors`, and the weights' in `grad`. The tape is not changed.

    With `fresh` the gradients start at 0, else they are added to.
    """
    x, tokens, s, a = tape
    dy, ds, dx, record = errors
    T, B, width = a.shape
    H = width // cell.A
    projected = tokens.shape[0] > 0
    x_order = scratch.nowhere if projected else cell.x_order
    strips, nothing, total = scratch.strips, scratch.nothing, scratch.total[:width]
    if not fresh:
        sequence.bias_sums(team, cell, grad, total)
    chunk = min(T, max(1, CHUNK // B))
    da = scratch.da[: 2 * chunk * B * width].reshape(2, chunk, B, width)
    without_dy = T - dy.shape[0]
    last, half, checked = T, 0, T
    while last > 0:
        if last <= checked - between_checks:
            check_signals(team)
            checked = last
        first = max(0, last - chunk)
        here = Rows(rows.active[first:last], rows.reset[first:last], rows.before, rows.order)
        s_prev, da_here = s[first:last], da[half, : last - first]
        if any_of(here.reset):
            barrier(team)  # the chunk before may still be read
            s_prev = rows.before[: last - first]
            sequence.states_before(team, s[first:last], here.reset, s_prev)
            barrier(team)
        dy_here = dy[max(0, first - without_dy) : max(0, last - without_dy)]
        sequence.backward(team, cell, transposed.U, s_prev, s[first + 1 : last + 1], a[first:last], da_here, ds,
                          dy_here, record_of(record, first, last), here)  # fmt: skip
        barrier(team)
        sequence.weight_gradients(team, cell, x_order, x[first * B : last * B], s_prev, da_here, strips, total, grad,
                                  fresh and last == T)  # fmt: skip
        if projected:
            rows_of_x = da_here.reshape((last - first) * B, width)[:, cell.x0 * H : cell.x1 * H]
            sequence.scatter(team, rows_of_x, tokens[first:last], dx)
        else:
            dx_here = dx[first * B : last * B, : grad.ih.shape[1]]
            sequence.input_error(team, cell, transposed.W, da_here, nothing, dx_here)
        last, half = first, 1 - half
    barrier(team)
    sequence.bias_gradients(team, cell, total, grad)
