"""One layer through time, for any cell: T steps forward, T steps backward.

    forward     a = x W + b                             backward    for t = T-1 ... 0:
                for t = 0 ... T-1:                                      ds_h += dy_t
                    a_t += h_t U                                        cell: ds, a_t -> ds', da_t
                    cell: a_t, s_t -> s_{t+1}                           ds_h += da_t U^T
                                                                    dW = x^T da, dU = h^T da, db = sum of da,
                                                                    dx = da W^T

The rows of a batch never meet, so each thread takes a share of them through all T steps without waiting for another.
Where there are too few rows for that, or weights too large for a thread's own cache, the threads share the hidden
units instead and meet at each step. Either way an element's sum is one chain over k, and has the same bits.

Every function here is run by all members of a team (`numerics.team`); where one needs what another wrote, its
caller puts a barrier between. `unroll.layer` makes a whole layer of them.

Sequences of a batch may end before step T, the longest first: `active` says how many rows have a step t. The others are
left out of its products, their states, gates and errors are 0, and their error ds waits for their last step. Where
`reset` is set, a row's state is dropped before the step: `before` holds it with 0 there, while s keeps what it was.
See `Rows`.

T, B, H, I: steps, rows, hidden units, inputs; S states and A blocks a unit (see `cells.table`).
    x (T*B, >= I)   inputs, its first I columns        s (T+1, B, S*H)     states, slot 0 the initial one
    a (T, B, A*H)   pre-activations, then gates        da (2, chunk, B, A*H)   two chunks in turns
    W, U, WT, UT    packed weights (`numerics.matmul`)  b (A*H)
"""

from typing import NamedTuple

import numpy as np

from bptt.cells import table
from bptt.numerics.jit import borrow, kernel, outlined
from bptt.numerics.matmul import block_stride, pack, product, shared_product, transposed_products
from bptt.numerics.random import dropout
from bptt.numerics.team import barrier, share
from bptt.unroll.units import add_units, any_of, clear_units, clip_norms, clip_values, copy, copy_units, drop_states

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO = np.int64(0)
# Rows of a chunk on the way back: enough for one product, few enough for the cache.
CHUNK = 384
# Fewer rows than this for each thread, and so many multiply-adds a step: enough to pay for meeting at each.
FEW_ROWS = 4
WORTH_A_MEETING = 30_000
# Bytes of packed weights up to which a thread's own cache holds them, whatever else goes through it; and the rows for
# each thread with which larger ones may stream through it, the next panel fetched while one is multiplied.
CACHED = 1_500_000
MANY_ROWS = 24


class Rows(NamedTuple):
    """The rows of a batch (`unroll.ragged`) for compiled code."""

    active: np.ndarray  # int64 (T,), not rising: how many rows have a step t
    reset: np.ndarray  # bool (T, B): where the state is dropped before step t; (0, 0) for nowhere
    before: np.ndarray  # (chunk, B, S*H) scratch; (0, 0, 0) where there is no reset
    order: np.ndarray  # int64 (B,): the batch's number of each row; (0,) where they lie as they came


class Record(NamedTuple):
    """What `backward` stores on its way, and the clipping of each step's errors; arrays without rows for nothing."""

    s: np.ndarray  # (T, B, S*H): the whole derivative by every state
    a: np.ndarray  # (T, B, A*H): by every pre-activation, after clipping
    clipped: np.ndarray  # int64 (T, B): how many numbers of a row were clipped
    largest_value: float  # of each derivative by a pre-activation (Graves 2013)
    largest_norm: float  # of a row's error of all states, as it goes on to the step before


class Weights(NamedTuple):
    """One layer's parameters in the users' layout, or their gradients."""

    ih: np.ndarray
    hh: np.ndarray
    b_ih: np.ndarray
    b_hh: np.ndarray


def chunk_steps(T: int, B: int) -> int:
    """Steps of a chunk in `backward`."""
    return min(T, max(1, CHUNK // B))


@kernel(internal=True)
def first_row(i, size, B, active):
    """Where share `i` of `size` begins, when each shall have as many steps of rows."""
    total, steps, length = np.int64(0), np.int64(0), active.size
    for t in range(active.size):
        total += active[t]
    for row in range(B if i > 0 else 0):
        while length > 0 and active[length - 1] <= row:
            length -= 1
        steps += length
        if steps * size > total * i:
            return row
    return B if i > 0 else ZERO


@kernel(internal=True, low_opt=True)
def by_units(team, B, U):
    """Whether the threads share the hidden units instead of the rows."""
    few = B < FEW_ROWS * team.size and U.size * B > WORTH_A_MEETING
    return team.size > 1 and (few or streams(team, B, U.size * U.itemsize))


@kernel(internal=True, low_opt=True)
def streams(team, B, weights):
    """Whether this many bytes of weights are read from memory at each step, for too few rows to be worth it."""
    return weights > CACHED and B < MANY_ROWS * team.size


@kernel(internal=True, low_opt=True)
def my_share(team, B, H, units, active, like):
    """First and last row, first and last unit that are this member's."""
    if units:
        n = block_stride(1, like)
        first, last = share((H + n - 1) // n, team)
        return ZERO, B, min(H, first * n), min(H, last * n)
    if active[active.size - 1] < B:
        first = first_row(team.index, team.size, B, active)
        return first, first_row(team.index + 1, team.size, B, active), ZERO, H
    first, last = share(B, team)
    return first, last, ZERO, H


@kernel(low_opt=True)
def pack_forward(team, cell, weights, W, U, b):
    """Pack one layer's parameters for `forward`."""
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    H = weight_hh.shape[1]
    stride = block_stride(H, weight_hh)
    for j in range(cell.A):
        x, h = cell.x_order[j], cell.h_order[j]
        if x >= 0:
            pack(team, weight_ih[x * H : (x + 1) * H].T, W, ZERO, (j - cell.x0) * H)
        if h >= 0:
            pack(team, weight_hh[h * H : (h + 1) * H].T, U, ZERO, (j - cell.h0) * stride)
        if team.index == 0:
            for unit in range(H):
                bias = b.dtype.type(0)
                if x >= 0:
                    bias += bias_ih[x * H + unit]
                if h >= 0:
                    bias += bias_hh[h * H + unit]
                b[j * H + unit] = bias  # once: other calls on the same layer may read it


@kernel(low_opt=True)
def pack_backward(team, cell, weights, WT, UT):
    """Pack the same weights, transposed, for `backward` and `input_error`."""
    H = weights.hh.shape[1]
    for j in range(cell.A):
        x, h = cell.x_order[j], cell.h_order[j]
        if x >= 0:
            pack(team, weights.ih[x * H : (x + 1) * H], WT, (j - cell.x0) * H, ZERO)
        if h >= 0:
            pack(team, weights.hh[h * H : (h + 1) * H], UT, (j - cell.h0) * H, ZERO)


@kernel(low_opt=True)
def project(team, cell, x, W, b, a):
    """a = x W + b for all T in one product."""
    T, B, width = a.shape
    H = width // cell.A
    rows = a.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H]
    bias = b.reshape(1, width)[:, cell.x0 * H : cell.x1 * H]
    shared_product(team, x[:, : W.shape[1]], W, bias, rows)


@kernel(internal=True)
def recur(cell, h, U, b, a, first, last):
    """a += h U for units first to last - 1, in the blocks that h feeds; those that x does not feed start from b."""
    width = a.shape[1]
    H = width // cell.A
    stride, bias = block_stride(H, a), b.reshape(1, width)
    if last - first == stride:
        # No gap between the packed blocks: as one product.
        x1 = min(cell.x1, cell.h1)
        fed = a[:, cell.h0 * H : x1 * H]
        product(h, U, fed, fed, ZERO)
        if x1 < cell.h1:
            product(h, U, bias[:, x1 * H : cell.h1 * H], a[:, x1 * H : cell.h1 * H], (x1 - cell.h0) * stride)
    else:
        for block in range(cell.h0, cell.h1):
            part, column = a[:, block * H + first : block * H + last], (block - cell.h0) * stride + first
            if block < cell.x1:
                product(h, U, part, part, column)
            else:
                product(h, U, bias[:, block * H + first : block * H + last], part, column)


@outlined()
def forward(team, cell, x, W, U, b, s, a, y, rows):
    """From x (or, where it has no rows, from the projected inputs in `a`) and s[0] to all states and gates.

    x has rows only where members share the rows of the batch (see `by_units`): each makes all columns of its own.
    y (T, B, H), or empty: a copy of the outputs.
    """
    T, B, width = a.shape
    H = width // cell.A
    units = by_units(team, B, U)
    first, last, unit, end = my_share(team, B, H, units, rows.active, a)
    x, W, U, s, a, y = borrow(x), borrow(W), borrow(U), borrow(s), borrow(a), borrow(y)
    active, reset, before = borrow(rows.active), borrow(rows.reset), borrow(rows.before)
    bias = b.reshape(1, width)[:, cell.x0 * H : cell.x1 * H]
    for t in range(T):
        stop = max(first, min(last, active[t]))
        a_t, s_t, s_next = a[t, first:stop], s[t, first:stop], s[t + 1, first:stop]
        if any_of(reset[t : t + 1, first:stop]):
            kept = before[0, first:stop]
            drop_states(s_t, reset[t, first:stop], kept, H, unit, end)
            s_t = kept
            if units:
                barrier(team)
        if x.shape[0] > 0:
            product(x[t * B + first : t * B + stop, : W.shape[1]], W, bias, a_t[:, cell.x0 * H : cell.x1 * H], ZERO)
        recur(cell, s_t[:, :H], U, b, a_t, unit, end)
        table.forward(cell.kind, H, unit, end, a_t, s_t, s_next)
        if stop < last:
            clear_units(a[t, stop:last], H, unit, end)
            clear_units(s[t + 1, stop:last], H, unit, end)
        if y.shape[0] > 0:
            copy_units(s[t + 1, first:last], y[t, first:last], unit, end)
        if units:
            barrier(team)


@outlined()
def backward(team, cell, UT, s_prev, s, a, da, ds, dy, record, rows):
    """From the outputs' errors to da and the error of the initial state: the steps of `forward` in reverse order.

    s_prev, s (T, B, S*H): the states before (0 where they were reset) and after each step. ds (B, S*H): in error of
    the final state, out that of the initial one. dy (<= T, B, H): errors of the last outputs from outside. `a` stays
    as it is. Errors are clipped by a team of one.
    """
    T, B, width = a.shape
    H = width // cell.A
    units = by_units(team, B, UT)
    first, last, unit, end = my_share(team, B, H, units, rows.active, a)
    without_dy = T - dy.shape[0]
    s_prev, s, a, da, ds, dy = borrow(s_prev), borrow(s), borrow(a), borrow(da), borrow(ds), borrow(dy)
    record, active, reset = borrow(record), borrow(rows.active), borrow(rows.reset)
    for t in range(T - 1, -1, -1):
        stop = max(first, min(last, active[t]))
        a_t, da_t, ds_t = a[t, first:stop], da[t, first:stop], ds[first:stop]
        if t >= without_dy:
            add_units(dy[t - without_dy, first:stop], ds_t, unit, end)
        if record.s.shape[0] > 0:
            table.whole_errors(cell.kind, H, unit, end, ds_t, s[t, first:stop], a_t, record.s[t, first:stop])
            clear_units(record.s[t, stop:last], H, unit, end)
        table.backward(cell.kind, H, unit, end, ds_t, s_prev[t, first:stop], s[t, first:stop], a_t, da_t)
        if stop < last:
            clear_units(da[t, stop:last], H, unit, end)
        if record.clipped.shape[0] > 0:
            clip_values(da_t, record.largest_value, record.clipped[t])
        if record.a.shape[0] > 0:
            for block in range(cell.A):
                copy_units(da[t, first:last], record.a[t, first:last], block * H + unit, block * H + end)
        if units:
            barrier(team)
        dh_t = ds_t[:, unit:end]
        product(da_t[:, cell.h0 * H : cell.h1 * H], UT, dh_t, dh_t, unit)
        if any_of(reset[t : t + 1, first:stop]):
            drop_states(ds_t, reset[t, first:stop], ds_t, H, unit, end)
        if record.clipped.shape[0] > 0:
            clip_norms(ds_t, record.largest_norm, record.clipped[t])


@kernel(low_opt=True)
def weight_gradients(team, cell, x_order, x, s_prev, da, strips, total, grad, fresh):
    """dW += x^T da, dU += h^T da, total += sums of da, over the rows of a chunk."""
    T, B, width = da.shape
    h = s_prev.reshape(T * B, s_prev.shape[2])[:, : grad.hh.shape[1]]
    transposed_products(team, da.reshape(T * B, width), h, grad.hh, cell.h_order,
                        x[:, : grad.ih.shape[1]], grad.ih, x_order, strips, total, fresh)  # fmt: skip


@kernel(low_opt=True)
def bias_gradients(team, cell, total, grad):
    """The sums of da in the users' layout."""
    if team.index == 0:
        H = total.size // cell.A
        for j in range(cell.A):
            x, h = cell.x_order[j], cell.h_order[j]
            if x >= 0:
                copy(total[j * H : (j + 1) * H], grad.b_ih[x * H : (x + 1) * H])
            if h >= 0:
                copy(total[j * H : (j + 1) * H], grad.b_hh[h * H : (h + 1) * H])


@kernel(internal=True, low_opt=True)
def bias_sums(team, cell, grad, total):
    """The inverse of `bias_gradients`, so that more can be added."""
    if team.index == 0:
        H = total.size // cell.A
        for j in range(cell.A):
            x, h = cell.x_order[j], cell.h_order[j]
            if x >= 0:
                copy(grad.b_ih[x * H : (x + 1) * H], total[j * H : (j + 1) * H])
            elif h >= 0:
                copy(grad.b_hh[h * H : (h + 1) * H], total[j * H : (j + 1) * H])


@kernel(low_opt=True)
def input_error(team, cell, WT, da, nothing, dx):
    """dx = da W^T over the rows of a chunk; dx (chunk*B, I), nothing (1, >= I) zeros."""
    T, B, width = da.shape
    H = width // cell.A
    shared_product(team, da.reshape(T * B, width)[:, cell.x0 * H : cell.x1 * H], WT, nothing[:, : dx.shape[1]], dx)


@kernel(internal=True)
def scatter(team, rows, tokens, total):
    """total (V, n) += for each symbol the rows (T*B, n) of the steps at which it was the input, in order."""
    first, last = share(total.shape[1], team)
    B = tokens.shape[1]
    for r in range(rows.shape[0]):
        source, target = rows[r, first:last], total[tokens[r // B, r % B], first:last]
        for j in range(target.size):
            target[j] += source[j]


@kernel(low_opt=True)
def sequence_dropout(team, x, out, seed, layer, t0, rate, order):
    """out (T, B, n) = x (T, B, >= n) with the mask addressed by (seed, layer, t0 + t, row, unit); its own backward.

    order (B), or empty: the number by which each row is addressed, where that is not its place.
    """
    first, last = share(out.shape[0], team)
    for t in range(first, last):
        if order.size == 0:
            dropout(x[t], out[t], seed, layer, t0 + t, ZERO, rate)
        for place in range(order.size):
            row = slice(place, place + 1)
            dropout(x[t, row], out[t, row], seed, layer, t0 + t, order[place], rate)


@kernel(low_opt=True)
def states_before(team, s, reset, before):
    """before (T, B, S*H) = s, and 0 where a row is reset."""
    T, B, width = before.shape
    first, last = share(T * B, team)
    states, flags, rows = s.reshape(T * B, width), reset.reshape(T * B), before.reshape(T * B, width)
    drop_states(states[first:last], flags[first:last], rows[first:last], width, ZERO, width)
