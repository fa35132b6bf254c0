"""One compiled call for a chunk of windows: up through time, loss, down again, clip, update, carry the state.

    tokens -> x = E[token] -> layer 0 -> ... -> layer L-1 -> z = y W_head + b -> loss
                a = x W + b, [t up: a_t += h U, cell]                            dz
    dE   <-    dx  <-  da  <- [t down: cell, += da U^T]   <- ... <- dy = dz W_head^T
    theta <- update(clip(grad)),   the last state -> slot 0

Every function is run by all members of a team (`numerics.threads`). L, H, E, V: layers, hidden units, embedding,
vocabulary; a window has `old` steps from windows before (k2 > k1 only) and `new` ones; all arrays are described in
`training.workspace`.
"""

import numpy as np

from bptt.network.dense_rows import plain_gradient
from bptt.network.losses import cross_entropy_rows
from bptt.network.stack import matrix, weights_of
from bptt.numerics import updates
from bptt.numerics.jit import borrow, kernel, outlined
from bptt.numerics.matmul import pack, shared_product
from bptt.numerics.random import dropout
from bptt.numerics.threads import barrier, share
from bptt.unroll import sequence
from bptt.unroll.units import copy

__all__ = ["carry", "forward", "prepare", "score_chunk", "train_chunk"]

# A bare 0 or 1 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO, ONE = np.int64(0), np.int64(1)
YES, NO = np.bool_(True), np.bool_(False)


@kernel(internal=True, low_opt=True)
def layer_of(network, flat, layer):
    """`weights_of` a layer of the network."""
    inputs = network.E if layer == 0 else network.H
    return weights_of(network.cell, network.H, inputs, network.layers[layer], flat)


@outlined(low_opt=True)
def prepare(team, network, work, backward):
    """Pack the weights of this step, and project the embedding where that is done once for all symbols."""
    V, E, H, theta = network.V, network.E, network.H, network.theta
    for layer in range(network.L):
        weight_ih, weight_hh, bias_ih, bias_hh = layer_of(network, theta, layer)
        W = work.W0 if layer == 0 else work.W[layer - 1]
        sequence.pack_forward(team, network.cell, network.x_order, network.h_order, weight_ih, weight_hh, bias_ih,
                              bias_hh, W, work.U[layer], work.b[layer])  # fmt: skip
        if backward:
            WT = work.WT0 if layer == 0 else work.WT[layer - 1]
            sequence.pack_backward(team, network.cell, network.x_order, network.h_order, weight_ih, weight_hh, WT,
                                   work.UT[layer])  # fmt: skip
    head = matrix(theta, network.head[0], V, H)
    pack(team, head.T, work.head, ZERO, ZERO)
    if backward:
        pack(team, head, work.headT, ZERO, ZERO)
    barrier(team)
    if work.table.shape[0] > 0:
        x_columns = work.table.shape[1]
        bias = work.b[0].reshape(1, work.b.shape[1])[:, network.cell.x0 * H : network.cell.x0 * H + x_columns]
        E_rows = matrix(theta, network.embedding, V, E)
        shared_product(team, E_rows[:, :E], work.W0, bias, work.table[:, :x_columns])
        barrier(team)


@kernel(internal=True, low_opt=True)
def below(x, y, s, layer, first, last):
    """What layer `layer` reads in steps first to last - 1, as rows: (steps * B, at least its inputs)."""
    rows = (last - first) * s.shape[2]
    if layer == 0:
        return x[first:last].reshape(rows, x.shape[2])
    if y.shape[1] > 0:
        return y[layer - 1, first:last].reshape(rows, y.shape[3])
    return s[layer - 1, first + 1 : last + 1].reshape(rows, s.shape[3])


@outlined(low_opt=True)
def look_up(team, network, work, tokens, start, old, new, time):
    """Layer 0's projected inputs: rows of the projected embedding, or embeddings and their product with W."""
    E, H, B, cell = network.E, network.H, tokens.shape[0], network.cell
    if work.table.shape[0] > 0:
        # What the same member will work on in `forward`: then nobody has to wait, and it is in the right cache.
        units = sequence.by_units(team, B, work.U[0])
        first, last, unit, end = sequence.my_share(team, B, H, units, work.active, work.table)
        for t in range(new):
            for row in range(first, last):
                token = tokens[row, start + t]
                work.tokens[old + t, row] = token
                projected, a = work.table[token], work.a[0, old + t, row]
                for block in range(cell.x1 - cell.x0):
                    source, target = block * H, (block + cell.x0) * H
                    copy(projected[source + unit : source + end], a[target + unit : target + end])
        return
    first, last = share(new, team)
    embedding = matrix(network.theta, network.embedding, network.V, E)
    for t in range(first, last):
        for row in range(B):
            token = tokens[row, start + t]
            work.tokens[old + t, row] = token
            copy(embedding[token], work.x[old + t, row])
        if network.input_dropout > 0:
            # One mask for all steps of a window: its address is that of the window's first step.
            x_t = work.x[old + t]
            dropout(x_t, x_t, network.seed, network.L, time, ZERO, network.input_dropout)
    barrier(team)
    rows = below(work.x, work.y, work.s, ZERO, old, old + new)
    sequence.project(team, cell, rows, work.W0, work.b[0], work.a[0, old : old + new])
    barrier(team)


@outlined(low_opt=True)
def forward(team, network, work, tokens, start, old, new, time):
    """`new` steps up through all layers, to the logits z of each; `time` counts steps since training began."""
    V, H, L, B = network.V, network.H, network.L, work.s.shape[2]
    look_up(team, network, work, tokens, start, old, new, time)
    for layer in range(L):
        s, a = work.s[layer, old : old + new + 1], work.a[layer, old : old + new]
        if layer > 0:
            x = below(work.x, work.y, work.s, layer, old, old + new)
            sequence.project(team, network.cell, x, work.W[layer - 1], work.b[layer], a)
            barrier(team)
        W = work.W0 if layer == 0 else work.W[layer - 1]
        sequence.forward(team, network.cell, work.no_rows, W, work.U[layer], work.b[layer], s, a, work.no_array,
                         work.active, work.no_reset, work.no_rows)  # fmt: skip
        barrier(team)
        if network.dropout > 0:
            y = work.y[layer, old : old + new]
            sequence.sequence_dropout(team, s[1:], y, network.seed, layer, time, network.dropout, work.in_order)
            barrier(team)
    y = below(work.x, work.y, work.s, L, old, old + new)
    bias = matrix(network.theta, network.head[1], ONE, V)
    shared_product(team, y[:, :H], work.head, bias[:, :V], work.z[: new * B, :V])
    barrier(team)


@outlined(low_opt=True)
def backward(team, network, work, grad, old, new, time, k1):
    """From z's error down through all layers and all `old + new` steps: the gradient of every parameter."""
    V, H, L, B, cell = network.V, network.H, network.L, work.s.shape[2], network.cell
    n = old + new
    dz = work.z[: new * B, :V]
    y = below(work.x, work.y, work.s, L, old, n)
    dhead = matrix(grad, network.head[0], V, H)
    plain_gradient(team, dz, y[:, :H], dhead, network.one_block, network.no_order, work.scratch,
                   grad[network.head[1] : network.head[1] + V])  # fmt: skip
    dy = work.dy[:new]
    shared_product(team, dz, work.headT, work.nothing[:, :H], dy.reshape(new * B, H)[:, :H])
    barrier(team)
    total = work.total[: cell.A * H]
    for layer in range(L - 1, -1, -1):
        s, a = work.s[layer, : n + 1], work.a[layer, :n]
        dweight_ih, dweight_hh, dbias_ih, dbias_hh = layer_of(network, grad, layer)
        without_dy = n - dy.shape[0]
        if network.dropout > 0:
            sequence.sequence_dropout(team, dy, dy, network.seed, layer, time - old + without_dy, network.dropout,
                                      work.in_order)  # fmt: skip
        clear(team, work.ds.reshape(work.ds.size))
        projected = layer == 0 and work.table.shape[0] > 0
        if projected:
            clear(team, work.dtable.reshape(work.dtable.size))
        WT = work.WT0 if layer == 0 else work.WT[layer - 1]
        dx = (
            work.dx.reshape(work.dx.shape[0] * B, network.E) if layer == 0 else work.dy.reshape(work.dy.shape[0] * B, H)
        )
        x_order = network.no_order if projected else network.x_order
        barrier(team)
        last, half = n, 0
        while last > 0:
            first = max(0, last - work.da.shape[1])
            chunk = work.da[half, : last - first]
            dy_chunk = dy[max(0, first - without_dy) : max(0, last - without_dy)]
            s_prev = s[first:last]
            sequence.backward(team, cell, work.UT[layer], s_prev, s[first + 1 : last + 1], a[first:last], chunk,
                              work.ds, dy_chunk, work.no_array, work.active, work.no_reset)  # fmt: skip
            barrier(team)
            x = work.no_rows if projected else below(work.x, work.y, work.s, layer, first, last)
            sequence.weight_gradients(team, cell, x_order, network.h_order, x, s_prev, chunk, work.scratch,
                                      total, dweight_ih, dweight_hh, last == n)  # fmt: skip
            if projected:
                rows = chunk.reshape(chunk.shape[0] * B, chunk.shape[2])[:, cell.x0 * H :]
                scatter(team, rows, work.tokens[first:last], work.dtable)
            else:
                sequence.input_error(team, cell, WT, chunk, work.nothing[:, : dx.shape[1]], dx[first * B : last * B])
            last, half = first, 1 - half
        barrier(team)
        sequence.bias_gradients(team, network.x_order, network.h_order, total, dbias_ih, dbias_hh)
        barrier(team)
        dy = work.dy[:n]
    embedding_gradient(team, network, work, grad, n, time - old, k1)
    barrier(team)


@outlined(low_opt=True)
def embedding_gradient(team, network, work, grad, n, time, k1):
    """The embedding, and layer 0's input weights where they act on its rows: `look_up` read backwards."""
    V, E, cell, B = network.V, network.E, network.cell, work.s.shape[2]
    dweight_ih, _, _, _ = layer_of(network, grad, ZERO)
    dembedding = matrix(grad, network.embedding, V, E)
    if work.table.shape[0] > 0:
        dtable = work.dtable[:, : work.dtable.shape[1]]
        embedding = matrix(network.theta, network.embedding, V, E)
        x_order = network.x_order[cell.x0 : cell.x1]
        total = work.total[: dtable.shape[1]]
        plain_gradient(team, dtable, embedding[:, :E], dweight_ih, x_order, network.no_order, work.scratch, total)
        shared_product(team, dtable, work.WT0, work.nothing[:, :E], dembedding[:, :E])
    else:
        dx = work.dx[:n].reshape(n * B, E)
        if network.input_dropout > 0:
            first, last = share(n, team)
            for t in range(first, last):
                dx_t = work.dx[t]
                dropout(dx_t, dx_t, network.seed, network.L, (time + t) // k1 * k1, ZERO, network.input_dropout)
            barrier(team)
        clear(team, grad[network.embedding : network.embedding + V * E])
        barrier(team)
        scatter(team, dx[:, :E], work.tokens[:n], dembedding)


@kernel(internal=True)
def clear(team, flat):
    """0 everywhere."""
    first, last = share(flat.size, team)
    for j in range(first, last):
        flat[j] = 0


@kernel(internal=True)
def scatter(team, rows, tokens, total):
    """total (V, n) += for each symbol the rows (steps * B, n) where it stood, in order."""
    first, last = share(total.shape[1], team)
    B = tokens.shape[1]
    for r in range(rows.shape[0]):
        source, target = rows[r, first:last], total[tokens[r // B, r % B], first:last]
        for j in range(target.size):
            target[j] += source[j]


@outlined(low_opt=True)
def carry(team, network, work, steps, old):
    """Let the next window begin where this one of `steps` steps ended, its last `old` steps kept as older ones."""
    B, H, shift = work.s.shape[2], network.H, steps - old
    for layer in range(network.L):
        units = sequence.by_units(team, B, work.U[layer])
        first, last, unit, end = sequence.my_share(team, B, H, units, work.active, work.ds)
        for slot in range(old + 1):
            for row in range(first, last):
                source, target = work.s[layer, slot + shift, row], work.s[layer, slot, row]
                for state in range(network.cell.S):
                    part = state * H
                    copy(source[part + unit : part + end], target[part + unit : part + end])
    first, last = share(B, team)
    for row in range(first, last):
        for slot in range(old):
            work.tokens[slot, row] = work.tokens[slot + shift, row]
            copy(work.x[slot + shift, row], work.x[slot, row])
            for layer in range(network.L):
                copy(work.a[layer, slot + shift, row], work.a[layer, slot, row])
                if work.y.shape[1] > 0:
                    copy(work.y[layer, slot + shift, row], work.y[layer, slot, row])
    barrier(team)


@kernel
def mean_loss(losses):
    total = 0.0
    for loss in losses:
        total += loss
    return total / losses.size


@kernel(internal=True, low_opt=True)
def train_chunk(team, network, work, grad, m, v, mean, partial, tokens, first, k1, k2, old, windows_before,
                kind, hyper, learning_rates, clip_norm, clip_value, decay, losses, norms):  # fmt: skip
    """Train on learning_rates.size windows of k1 steps from step `first` on.

    `old` is the number of older steps on the tape, `windows_before` that of the updates so far. Returns the number
    of windows done: fewer than asked for where a loss or a norm was not finite; that window changed no weight.
    """
    B = work.s.shape[2]
    network, work, grad = borrow(network), borrow(work), borrow(grad)
    for w in range(learning_rates.size):
        time = (windows_before + w) * k1
        prepare(team, network, work, YES)
        start = first + w * k1
        forward(team, network, work, tokens, start, old, k1, time)
        z, row_losses = work.z[: k1 * B], work.losses[: k1 * B]
        cross_entropy_rows(team, z, tokens[:, start + 1 : start + 1 + k1], row_losses, YES)
        barrier(team)
        losses[w] = mean_loss(row_losses)
        backward(team, network, work, grad, old, k1, time, k1)
        if clip_value > 0:
            # Measured first: clipping by value would make an infinite gradient finite.
            norms[w] = updates.norm(team, grad, partial)
            updates.clip_value(team, grad, clip_value)
            updates.clip_norm(team, grad, clip_norm, partial)
        else:
            norms[w] = updates.clip_norm(team, grad, clip_norm, partial)
        if not (np.isfinite(losses[w]) and np.isfinite(norms[w])):
            return w
        updates.update(team, kind, network.theta, grad, m, v, windows_before + w + 1, learning_rates[w], hyper)
        if mean.size > 0:
            updates.average(team, network.theta, mean, decay)
        steps = old + k1
        old = min(steps, k2 - k1)
        carry(team, network, work, steps, old)
    return learning_rates.size


@kernel(internal=True, low_opt=True)
def score_chunk(team, network, work, tokens, first, steps, losses):
    """Losses of all streams in windows of `steps` steps from step `first` on, losses.size of them; no update."""
    B = work.s.shape[2]
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
