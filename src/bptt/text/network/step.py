"""One compiled call for a chunk of windows: forward through time, loss, backward, clip, update, carry the state.

    tokens -> x = E[token] -> layers -> z = y W_head + b -> loss
    dE   <-    dx          <- layers <- dy = dz W_head^T <- dz
    theta <- update(clip(grad)),   the last state -> slot 0

Every function is run by all members of a team (`numerics.team`). L, H, E, V: layers, hidden units, embedding,
vocabulary; a window has `old` steps from windows before (k2 > k1 only) and `new` ones; all arrays are described in
`text.network.workspace`.
"""

from typing import NamedTuple

import numpy as np

from bptt.network import stack as stacked
from bptt.network.dense_kernels import plain_gradient
from bptt.network.loss_kernels import cross_entropy_rows
from bptt.network.stack import Dropout, Errors, Window, clear, matrix, weights_of
from bptt.numerics import updates
from bptt.numerics.jit import borrow, kernel, outlined
from bptt.numerics.matmul import pack, shared_product
from bptt.numerics.random import dropout
from bptt.numerics.team import barrier, share
from bptt.unroll import sequence
from bptt.unroll.layer import NEVER
from bptt.unroll.units import copy

__all__ = ["Average", "Position", "carry", "forward", "prepare", "score_chunk", "train_chunk"]

# A bare 0 or 1 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO, ONE = np.int64(0), np.int64(1)
YES, NO = np.bool_(True), np.bool_(False)


@outlined(low_opt=True)
def prepare(team, network, work, backward):
    """Pack the weights of this step, and project the embedding where that is done once for all symbols."""
    stack, V, theta = network.stack, network.V, network.theta
    stacked.pack(team, stack, theta, work.packed)
    head = matrix(theta, network.head[0], V, stack.H)
    pack(team, head.T, work.head, ZERO, ZERO)
    if backward:
        stacked.pack_transposed(team, stack, theta, work.transposed)
        pack(team, head, work.headT, ZERO, ZERO)
    barrier(team)
    if work.table.shape[0] > 0:
        x_columns, start, b = work.table.shape[1], stack.cell.x0 * stack.H, work.packed.b
        bias = b[0].reshape(1, b.shape[1])[:, start : start + x_columns]
        embedding = matrix(theta, network.embedding, V, stack.I)
        shared_product(team, embedding[:, : stack.I], work.packed.W0, bias, work.table[:, :x_columns])
        barrier(team)


@outlined(low_opt=True)
def look_up(team, network, work, tokens, start, old, new, time):
    """Layer 0's inputs: rows of the projected embedding into its gates, or rows of the embedding into x."""
    stack, tape, B = network.stack, work.tape, tokens.shape[0]
    if work.table.shape[0] > 0:
        # What the same member will work on in `forward`: then nobody has to wait, and it is in the right cache.
        H, cell = stack.H, stack.cell
        units = sequence.by_units(team, B, work.packed.U[0])
        first, last, unit, end = sequence.my_share(team, B, H, units, work.scratch.all_rows.active, work.table)
        for t in range(new):
            for row in range(first, last):
                token = tokens[row, start + t]
                work.tokens[old + t, row] = token
                projected, a = work.table[token], tape.a[0, old + t, row]
                for block in range(cell.x1 - cell.x0):
                    source, target = block * H, (block + cell.x0) * H
                    copy(projected[source + unit : source + end], a[target + unit : target + end])
        return
    first, last = share(new, team)
    embedding = matrix(network.theta, network.embedding, network.V, stack.I)
    for t in range(first, last):
        x_t = tape.x[(old + t) * B : (old + t + 1) * B]
        for row in range(B):
            token = tokens[row, start + t]
            work.tokens[old + t, row] = token
            copy(embedding[token], x_t[row])
        if network.input_dropout > 0:
            # One mask for all steps of a window: its address is that of the window's first step.
            dropout(x_t, x_t, network.seed, stack.L, time, ZERO, network.input_dropout)
    barrier(team)


@kernel(internal=True, low_opt=True)
def masks(network, time):
    """Dropout on the outputs of all layers; `time` is the number of the tape's first step."""
    return Dropout(network.stack.L if network.dropout > 0 else ZERO, network.dropout, network.seed, time)


@kernel(internal=True, low_opt=True)
def outputs(network, work, first, last):
    """What the head reads in steps first to last - 1, as rows."""
    tape, top = work.tape, network.stack.L - 1
    B = tape.s.shape[2]
    if tape.y.shape[0] > 0:
        return tape.y[top, first:last].reshape((last - first) * B, tape.y.shape[3])
    return tape.s[top, first + 1 : last + 1].reshape((last - first) * B, tape.s.shape[3])


@outlined(low_opt=True)
def forward(team, network, work, tokens, start, old, new, time):
    """`new` steps through all layers, to the logits z of each; `time` counts steps since training began."""
    V, H, B = network.V, network.stack.H, work.tape.s.shape[2]
    look_up(team, network, work, tokens, start, old, new, time)
    window = Window(old, old + new, YES, NEVER)
    stacked.forward(team, network.stack, work.packed, work.tape, work.scratch.all_rows, masks(network, time - old),
                    window)  # fmt: skip
    bias = matrix(network.theta, network.head[1], ONE, V)
    y = outputs(network, work, old, old + new)
    shared_product(team, y[:, :H], work.head, bias[:, :V], work.z[: new * B, :V])
    barrier(team)


@outlined(low_opt=True)
def backward(team, network, work, grad, old, new, time, k1):
    """From z's error back through all layers and all `old + new` steps: the gradient of every parameter."""
    V, H, B, scratch = network.V, network.stack.H, work.tape.s.shape[2], work.scratch
    n = old + new
    dz, y, dhead = work.z[: new * B, :V], outputs(network, work, old, n), matrix(grad, network.head[0], V, H)
    plain_gradient(team, dz, y[:, :H], dhead, scratch.one_block, scratch.nowhere, scratch.strips,
                   grad[network.head[1] : network.head[1] + V])  # fmt: skip
    dy = work.dy[:new]
    shared_product(team, dz, work.headT, scratch.nothing[:, :H], dy.reshape(new * B, H)[:, :H])
    clear(team, work.ds)
    dx = work.dx
    if work.table.shape[0] > 0:
        dx = work.dtable
        clear(team, dx.reshape(1, dx.shape[0], dx.shape[1]))
    barrier(team)
    between = work.dy.reshape(work.dy.shape[0] * B, H)
    errors = Errors(dy, work.ds, between, dx, scratch.no_record)
    stacked.backward(team, network.stack, work.transposed, scratch, grad, work.tape, errors, scratch.all_rows,
                     masks(network, time - old), Window(ZERO, n, YES, NEVER))  # fmt: skip
    embedding_gradient(team, network, work, grad, n, time - old, k1)
    barrier(team)


@outlined(low_opt=True)
def embedding_gradient(team, network, work, grad, n, time, k1):
    """The embedding, and layer 0's input weights where they act on its rows: `look_up` read backwards."""
    stack, V, E, scratch = network.stack, network.V, network.stack.I, work.scratch
    cell, B = stack.cell, work.tape.s.shape[2]
    dembedding = matrix(grad, network.embedding, V, E)
    if work.table.shape[0] > 0:
        dtable = work.dtable[:, : work.dtable.shape[1]]
        dweight_ih = weights_of(stack, grad, ZERO).ih
        embedding = matrix(network.theta, network.embedding, V, E)
        x_order = cell.x_order[cell.x0 : cell.x1]
        total = scratch.total[: dtable.shape[1]]
        plain_gradient(team, dtable, embedding[:, :E], dweight_ih, x_order, scratch.nowhere, scratch.strips, total)
        shared_product(team, dtable, work.transposed.W0, scratch.nothing[:, :E], dembedding[:, :E])
    else:
        if network.input_dropout > 0:
            first, last = share(n, team)
            for t in range(first, last):
                dx_t, address = work.dx[t * B : (t + 1) * B], (time + t) // k1 * k1
                dropout(dx_t, dx_t, network.seed, stack.L, address, ZERO, network.input_dropout)
            barrier(team)
        clear(team, dembedding.reshape(1, V, E))
        barrier(team)
        sequence.scatter(team, work.dx[: n * B], work.tokens[:n], dembedding)


@outlined(low_opt=True)
def carry(team, network, work, steps, old):
    """Let the next window begin where this one of `steps` steps ended, its last `old` steps kept as older ones."""
    stack, tape = network.stack, work.tape
    B, H, shift = tape.s.shape[2], stack.H, steps - old
    for layer in range(stack.L):
        units = sequence.by_units(team, B, work.packed.U[layer])
        first, last, unit, end = sequence.my_share(team, B, H, units, work.scratch.all_rows.active, work.table)
        for slot in range(old + 1):
            for row in range(first, last):
                source, target = tape.s[layer, slot + shift, row], tape.s[layer, slot, row]
                for state in range(stack.cell.S):
                    part = state * H
                    copy(source[part + unit : part + end], target[part + unit : part + end])
    first, last = share(B, team)
    for row in range(first, last):
        for slot in range(old):
            work.tokens[slot, row] = work.tokens[slot + shift, row]
            copy(tape.x[(slot + shift) * B + row], tape.x[slot * B + row])
            for layer in range(stack.L):
                copy(tape.a[layer, slot + shift, row], tape.a[layer, slot, row])
                if tape.y.shape[0] > 0:
                    copy(tape.y[layer, slot + shift, row], tape.y[layer, slot, row])
    barrier(team)


@kernel
def mean_loss(losses):
    total = 0.0
    for loss in losses:
        total += loss
    return total / losses.size


class Position(NamedTuple):
    """Where in a training a call begins."""

    first: int  # step of the tokens
    k1: int  # steps of a window
    k2: int  # steps that an error goes back
    old: int  # steps of windows before that are on the tape
    windows: int  # updates so far


class Average(NamedTuple):
    """An exponential average of the weights."""

    mean: np.ndarray  # like theta, or empty for none
    decay: float


@kernel(internal=True, low_opt=True)
def train_chunk(team, network, work, optimizer, average, grad, tokens, position, rates, losses, norms):
    """Train on rates.size windows. Returns the number of windows done: fewer than asked for where a loss or a norm was
    not finite; that window changed no weight."""
    B, k1, old = work.tape.s.shape[2], position.k1, position.old
    network, work, grad = borrow(network), borrow(work), borrow(grad)
    for w in range(rates.size):
        number = position.windows + w
        prepare(team, network, work, YES)
        start = position.first + w * k1
        forward(team, network, work, tokens, start, old, k1, number * k1)
        z, row_losses = work.z[: k1 * B], work.losses[: k1 * B]
        cross_entropy_rows(team, z, tokens[:, start + 1 : start + 1 + k1], row_losses, YES)
        barrier(team)
        losses[w] = mean_loss(row_losses)
        backward(team, network, work, grad, old, k1, number * k1, k1)
        norms[w] = updates.clip(team, optimizer, grad)
        if not (np.isfinite(losses[w]) and np.isfinite(norms[w])):
            return w
        updates.update(team, optimizer, network.theta, grad, number + 1, rates[w])
        if average.mean.size > 0:
            updates.average(team, network.theta, average.mean, average.decay)
        steps = old + k1
        old = min(steps, position.k2 - k1)
        carry(team, network, work, steps, old)
    return rates.size


@kernel(internal=True, low_opt=True)
def score_chunk(team, network, work, tokens, first, steps, losses):
    """Losses of all streams in windows of `steps` steps from step `first` on, losses.size of them; no update."""
    B = work.tape.s.shape[2]
    network, work = borrow(network), borrow(work)
    prepare(team, network, work, NO)
    for w in range(losses.size):
        start = first + w * steps
        forward(team, network, work, tokens, start, ZERO, steps, ZERO)
        row_losses = work.losses[: steps * B]
        cross_entropy_rows(team, work.z[: steps * B], tokens[:, start + 1 : start + 1 + steps], row_losses, NO)
        barrier(team)
        losses[w] = mean_loss(row_losses)
        carry(team, network, work, steps, ZERO)
