"""What `test_memory_safety.py` has another process run: each kernel on arrays between guard pages (see `guarded.py`).

A case is called with sizes; it runs its kernel with all arrays at the one edge and at the other, has the surroundings
checked and the results compared, and where a plain formula exists compares with that, too.
"""

import numpy as np
from forecast_problem import plan_of, source_for, start_of, windows_of

from bptt.cells import table
from bptt.cells.table import CELLS
from bptt.forecast.network.architecture import network_of as network_of_forecaster
from bptt.forecast.network.architecture import workspace
from bptt.forecast.network.step import Pool, predict, train
from bptt.network.loss_kernels import cross_entropy_rows
from bptt.network.stack import Dropout, Scratch
from bptt.numerics import matmul, updates
from bptt.numerics.jit import kernel
from bptt.numerics.random import dropout
from bptt.numerics.simd import lanes, load, store
from bptt.numerics.team import barrier, share
from bptt.numerics.threads import run, set_num_threads
from bptt.text.network import step
from bptt.text.network.model import SequenceModel
from bptt.text.network.workspace import network_of, workspace_for
from bptt.training.optimizers import SGD, Adam, AdamW, RMSprop
from bptt.unroll import layer as unrolled
from bptt.unroll import sequence
from bptt.unroll.layer import LayerErrors, LayerTape, Packed, Transposed
from bptt.unroll.ragged import rows_of
from bptt.unroll.sequence import Record, Rows, Weights
from guarded import everywhere, serve

GAP = 3  # columns between the rows of a view
ONE = (0,)


def draw(dtype, *shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape).astype(dtype)


def close(got, expected, depth):
    """Rounding of a sum of `depth` products of numbers of size about 1."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=8 * np.finfo(got.dtype).eps * (depth + 1))


def panels_of(dtype, depth, columns):
    return np.zeros(matmul.panel_shape(depth, columns, dtype), dtype)


# --- deliberate faults: what the harness has to find ---


@kernel
def read_past(x, n, out):
    out[0] = x[n]


@kernel
def write_past(x, n):
    x[n] = 1


@kernel
def read_before(x, j, out):
    store(out, 0, load(x, 0, ONE, 0, j, 1), 0, 0, 1)


def fault_reads_one_past_the_end(dtype):
    def case(arena):
        x, out = arena.copy(draw(dtype, 9)), arena.lay(1, dtype=dtype)
        if arena.edge == "end":
            read_past(x, x.size, out)
        return []

    everywhere(case)


def fault_reads_one_before_the_beginning(dtype):
    def case(arena):
        x, out = arena.copy(draw(dtype, 1, 9)), arena.lay(1, 1, dtype=dtype)
        read_before(x, -1 if arena.edge == "begin" else 0, out)
        return []

    everywhere(case)


def fault_reads_the_surroundings(dtype):
    def case(arena):
        x, out = arena.copy(draw(dtype, 9)), arena.lay(1, dtype=dtype)
        if arena.edge == "begin":
            read_past(x, x.size, out)
            return [out]
        return [x[:1]]

    everywhere(case)


def fault_writes_one_past_the_end(dtype):
    def case(arena):
        x = arena.copy(draw(dtype, 9))
        if arena.edge == "begin":
            write_past(x, x.size)
        return []

    everywhere(case)


def fault_writes_into_a_gap(dtype):
    def case(arena):
        whole, first = arena.gapped(draw(dtype, 3, 9), GAP)
        # One element past the row on the one side, one before it on the other: never past the array.
        write_past(whole[1], first + 9 if arena.edge == "begin" else first - 1)
        return []

    everywhere(case)


# --- numerics.matmul ---


@kernel
def pack_all(team, B, panels):
    matmul.pack(team, B, panels, 0, 0)


@kernel
def multiply(team, shared, flip, A, a0, K, panels, init, i0, C, c0, N, column):
    """`product` or `shared_product` on columns of whole arrays, A also lying transposed."""
    A = A.T[:, a0 : a0 + K] if flip else A[:, a0 : a0 + K]
    init, C = init[:, i0 : i0 + N], C[:, c0 : c0 + N]
    if shared:
        matmul.shared_product(team, A, panels, init, C)
    else:
        matmul.product(A, panels, init, C, column)


def product(dtype, M, N, depths, kinds, columns=(0,), shared=False, flip=False, threads=1):
    """C (M, N) = init + A (M, K) B for all these K, kinds of `init` and first columns, in whole vectors, of B."""
    set_num_threads(threads)
    n = lanes(np.dtype(dtype).itemsize)
    for K in depths:
        A, B = draw(dtype, M, K), draw(dtype, K, max(columns) * n + N)
        panels = panels_of(dtype, *B.shape)
        run(pack_all, B, panels, threads=1)
        for kind in kinds:
            for column in columns:
                start = draw(dtype, 1 if kind == "row" else M, N, seed=1)

                def case(arena, A=A, panels=panels, kind=kind, start=start, K=K, column=column):
                    if flip:
                        # The gap lies between the columns of A: rows of what is laid.
                        A_whole, a0 = arena.copy(A.T), 0
                    else:
                        A_whole, a0 = arena.gapped(A, GAP)
                    C, c0 = arena.gapped(start if kind == "itself" else np.full((M, N), np.nan, dtype), GAP)
                    init, i0 = (C, c0) if kind == "itself" else arena.gapped(start, GAP)
                    packed = arena.copy(panels)
                    run(multiply, shared, flip, A_whole, a0, K, packed, init, i0, C, c0, N, column * n)
                    return [C[:, c0 : c0 + N]]

                (got,) = everywhere(case)
                close(got, start + A @ B[:, column * n : column * n + N], K)


@kernel
def lay_corner(team, flip, B, b0, N, panels, first_row, first_column):
    matmul.pack(team, B.T[:, b0 : b0 + N] if flip else B[:, b0 : b0 + N], panels, first_row, first_column)


def pack(dtype, K, N, above, left, below=0, flip=False, threads=1):
    """B (K, N) into larger panels, its corner at (above, left)."""
    set_num_threads(threads)
    B, depth = draw(dtype, K, N), above + K + below

    def case(arena):
        panels = arena.copy(panels_of(dtype, depth, left + N))
        whole, b0 = (arena.copy(B.T), 0) if flip else arena.gapped(B, GAP)
        run(lay_corner, flip, whole, b0, N, panels, above, left)
        return [panels]

    (panels,) = everywhere(case)
    expected = np.zeros((depth, panels.shape[0] * panels.shape[2]), dtype)
    expected[above : above + K, left : left + N] = B
    np.testing.assert_array_equal(panels.transpose(1, 0, 2).reshape(expected.shape), expected)


@kernel
def multiply_transposed(team, A, a0, M, B, b0, N, C, c0, order, B2, b02, N2, C2, c02, order2, scratch, total, fresh):
    matmul.transposed_products(
        team, A[:, a0 : a0 + M], B[:, b0 : b0 + N], C[:, c0 : c0 + N], order, B2[:, b02 : b02 + N2],
        C2[:, c02 : c02 + N2], order2, scratch, total, fresh,
    )  # fmt: skip


def transposed_products(dtype, R, n, N, N2, blocks, threads=1):
    """Blocks of A (R, blocks * n) times B (R, N) and B2 (R, N2), from zero and on top of what is there."""
    set_num_threads(threads)
    M = blocks * n
    A, B, B2 = draw(dtype, R, M), draw(dtype, R, N), draw(dtype, R, N2)
    order, order2 = np.arange(blocks)[::-1].copy(), np.arange(blocks) - 1  # the first block of A nowhere in C2
    for fresh in (True, False):

        def case(arena, fresh=fresh):
            a, b, b2 = arena.gapped(A, GAP), arena.gapped(B, GAP), arena.gapped(B2, GAP)
            start = np.nan if fresh else 1
            c, c2 = (arena.gapped(np.full((M, k), start, dtype), GAP) for k in (N, N2))
            total = arena.copy(np.full(M, start, dtype))
            scratch = arena.lay(*matmul.packed_rows(n, blocks, dtype), dtype=dtype)
            run(multiply_transposed, *a, M, *b, N, *c, arena.copy(order), *b2, N2, *c2, arena.copy(order2), scratch,
                total, fresh)  # fmt: skip
            last = M - n
            left = c2[0][last:, c2[1] : c2[1] + N2]
            assert (np.isnan(left) if fresh else left == 1).all(), "a block that belongs nowhere was written"
            return [c[0][:, c[1] : c[1] + N], c2[0][:last, c2[1] : c2[1] + N2], total]

        C, C2, total = everywhere(case)
        add = 0 if fresh else 1
        close(total, add + A.sum(0, dtype=float), R)
        for j in range(blocks):
            part = A[:, j * n : (j + 1) * n].T.astype(float)
            close(C[order[j] * n : (order[j] + 1) * n], add + part @ B, R)
            if j > 0:
                close(C2[(j - 1) * n : j * n], add + part @ B2, R)


# --- cells ---


@kernel
def cell_forward(kind, n, first, last, a, a0, A, s_prev, p0, s, s0, S):
    table.forward(kind, n, first, last, a[:, a0 : a0 + A], s_prev[:, p0 : p0 + S], s[:, s0 : s0 + S])


@kernel
def cell_backward(kind, n, first, last, ds, d0, S, s_prev, p0, s, s0, a, a0, A, da, e0):
    table.backward(kind, n, first, last, ds[:, d0 : d0 + S], s_prev[:, p0 : p0 + S], s[:, s0 : s0 + S],
                   a[:, a0 : a0 + A], da[:, e0 : e0 + A])  # fmt: skip


def cell(name, dtype, n, ranges, rows=2):
    """Units first to last - 1 of n, forward and backward; the others' numbers stay as they were."""
    spec = CELLS[name].spec
    A, S = spec.A * n, spec.S * n
    for first, last in ranges:
        units = np.isin(np.arange(n), np.arange(first, last))
        others_A, others_S = np.tile(~units, spec.A), np.tile(~units, spec.S)

        def case(arena, first=first, last=last, others_A=others_A, others_S=others_S):
            a, s_prev, ds = (
                arena.gapped(draw(dtype, rows, columns, seed=k), GAP) for k, columns in enumerate((A, S, S))
            )
            s, da = (arena.gapped(np.full((rows, columns), 7, dtype), GAP) for columns in (S, A))
            cell_forward(spec.kind, n, first, last, *a, A, *s_prev, *s, S)
            gates, state = a[0][:, a[1] : a[1] + A].copy(), s[0][:, s[1] : s[1] + S].copy()
            cell_backward(spec.kind, n, first, last, *ds, S, *s_prev, *s, *a, A, *da)
            arrays = [v[0][:, v[1] : v[1] + k] for v, k in ((a, A), (s, S), (ds, S), (da, A))]
            assert arrays[0].tobytes() == gates.tobytes(), "backward changed the gates"
            assert arrays[1].tobytes() == state.tobytes(), "backward changed the state"
            np.testing.assert_array_equal(arrays[0][:, others_A], draw(dtype, rows, A, seed=0)[:, others_A])
            np.testing.assert_array_equal(arrays[2][:, others_S], draw(dtype, rows, S, seed=2)[:, others_S])
            for array, others in ((arrays[1], others_S), (arrays[3], others_A)):
                assert (array[:, others] == 7).all(), "units of others were written"
            return arrays

        everywhere(case)


# --- unroll ---


@kernel
def forward(team, cell, x, packed, s, a, y, rows):
    sequence.forward(team, cell, x, packed.W, packed.U, packed.b, s, a, y, rows)


@kernel
def backward(team, cell, UT, s_prev, s, a, da, errors, rows):
    sequence.backward(team, cell, UT, s_prev, s, a, da, errors.ds, errors.dy, errors.record, rows)


@kernel
def layer_forward(team, cell, weights, packed, tape, y, rows, between_checks):
    sequence.pack_forward(team, cell, weights, packed.W, packed.U, packed.b)
    barrier(team)
    unrolled.layer_forward(team, cell, packed, tape, y, rows, between_checks)


@kernel
def layer_backward(team, cell, weights, transposed, scratch, grad, tape, errors, rows, between_checks):
    sequence.pack_backward(team, cell, weights, transposed.W, transposed.U)
    barrier(team)
    unrolled.layer_backward(team, cell, transposed, scratch, grad, tape, errors, rows, True, between_checks)


class Layer:
    """All arrays of one layer, laid in an arena."""

    def __init__(self, arena, name, dtype, T, B, I, H, ends=None, reset=None):
        cell = CELLS[name].spec
        self.cell = cell = cell._replace(x_order=arena.copy(cell.x_order), h_order=arena.copy(cell.h_order))
        x_rows, h_rows, width, states = (cell.x1 - cell.x0) * H, (cell.h1 - cell.h0) * H, cell.A * H, cell.S * H

        def values(*shape, seed):
            return arena.copy(draw(dtype, *shape, seed=seed))

        def panels(depth, columns):
            return arena.copy(panels_of(dtype, depth, columns))

        def empty(*shape):
            return arena.lay(*shape, dtype=dtype)

        recurrent = values(h_rows, H, seed=2)
        recurrent /= np.sqrt(H)  # else 70 steps of relu overflow
        self.weights = Weights(values(x_rows, I, seed=1), recurrent, values(x_rows, seed=3), values(h_rows, seed=4))
        self.no_array, self.no_rows = empty(0, 0, 0), empty(0, 0)
        no_tokens = arena.lay(0, 0, dtype="int32")
        self.tape = LayerTape(values(T * B, I, seed=5), no_tokens, empty(T + 1, B, states), empty(T, B, width))
        self.tape.s[0] = draw(dtype, B, states, seed=8)
        self.y = empty(T, B, H)
        record = Record(empty(T, B, states), empty(T, B, width), arena.lay(0, 0, dtype="int64"), np.inf, np.inf)
        self.errors = LayerErrors(values(T, B, H, seed=6), values(B, states, seed=7), empty(T * B, I), record)
        self.packed = Packed(panels(I, x_rows), panels(H, h_rows // H * matmul.unit_stride(H, dtype)), empty(width))
        self.transposed = Transposed(panels(x_rows, I), panels(h_rows, H))
        self.gradients = Weights(*(empty(*array.shape) for array in self.weights))
        chunk = sequence.chunk_steps(T, B)
        batch = rows_of(T, B, ends, reset)
        before = empty(chunk, B, states) if batch.reset.size else self.no_array
        self.rows = Rows(*(arena.copy(array) for array in (batch.active, batch.reset)), before, arena.copy(batch.order))
        self.scratch = Scratch(
            da=empty(2 * chunk * B * width),
            strips=empty(*matmul.packed_rows(H, cell.A, dtype)),
            total=empty(width),
            nothing=arena.copy(np.zeros((1, I), dtype)),
            one_block=arena.copy(np.zeros(1, np.int64)),
            nowhere=arena.copy(np.full(cell.A, -1)),
            no_layers=empty(0, 0, 0, 0),
            no_array=self.no_array,
            no_rows=self.no_rows,
            no_tokens=no_tokens,
            no_numbers=record.clipped,
            no_record=Record(self.no_array, self.no_array, record.clipped, np.inf, np.inf),
            all_rows=self.rows,
            no_dropout=Dropout(0, 0.0, 0, 0),
        )
        self.da = empty(T, B, width)


def layer(name, dtype, T, B, I, H, errors=True, ragged=False, resets=False):
    """`layer_forward` and `layer_backward`; the same bits for one, two and three threads."""
    seen, rng = [], np.random.default_rng([T, B, I, H])
    ends = rng.integers(1, T + 1, B) if ragged else None
    reset = rng.random((T, B)) < 0.1 if resets else None
    often = 3  # steps between two looks for a signal
    for threads in (1, 2, 3):
        set_num_threads(threads)

        def case(arena):
            v = Layer(arena, name, dtype, T, B, I, H, ends, reset)
            y = v.y if errors else v.no_array
            run(layer_forward, v.cell, v.weights, v.packed, v.tape, y, v.rows, often)
            gates = v.tape.a if name in ("gru", "lstm") else v.no_array  # the simple cells leave nothing there
            kept = [v.tape.s.copy(), gates.copy(), y.copy()]
            found = v.errors if errors else v.errors._replace(record=v.scratch.no_record)
            run(layer_backward, v.cell, v.weights, v.transposed, v.scratch, v.gradients, v.tape, found, v.rows, often)
            assert v.tape.s.tobytes() == kept[0].tobytes(), "backward changed the states"
            room = (T + 1) // 2
            few = v.tape._replace(
                s=arena.lay(room + 1, *v.tape.s.shape[1:], dtype=dtype),
                a=arena.lay(room, *v.tape.a.shape[1:], dtype=dtype),
            )
            few.s[0] = v.tape.s[0]
            y = arena.lay(T, B, H, dtype=dtype)
            run(layer_forward, v.cell, v.weights, v.packed, few, y, v.rows, often)
            np.testing.assert_array_equal(y, v.tape.s[1:, :, :H], "without room for all steps")
            return [*kept, found.ds, found.dx, *v.gradients, found.record.s, found.record.a]

        seen.append(everywhere(case))
    for results in seen[1:]:
        for k, (one, other) in enumerate(zip(seen[0], results, strict=True)):
            assert one.tobytes() == other.tobytes(), f"result {k} depends on the number of threads"


def passes(name, dtype, T, B, I, H, without_dy, threads):
    """`forward` and `backward` alone, inputs multiplied on the way or before, errors of the last outputs only."""
    set_num_threads(threads)

    def case(arena):
        v, results = Layer(arena, name, dtype, T, B, I, H), []
        s, a = v.tape.s, v.tape.a
        run(sequence.pack_forward, v.cell, v.weights, *v.packed)
        run(sequence.pack_backward, v.cell, v.weights, *v.transposed)
        run(sequence.project, v.cell, v.tape.x, v.packed.W, v.packed.b, a)
        run(forward, v.cell, v.no_rows, v.packed, s, a, v.no_array, v.rows)
        results.append(s.copy())
        if threads == 1 or B >= matmul.HEIGHT * threads:  # where threads share the units, inputs come multiplied
            s[1:], a[...] = np.nan, np.nan
            run(forward, v.cell, v.tape.x, v.packed, s, a, v.y, v.rows)
            assert s.tobytes() == results[0].tobytes(), "inputs multiplied on the way give other states"
            results.append(v.y)
        errors = v.errors._replace(dy=v.errors.dy[without_dy:])
        run(backward, v.cell, v.transposed.U, s[:T], s[1:], a, v.da, errors, v.rows)
        return [*results, v.da, errors.ds, errors.record.s, errors.record.a]

    everywhere(case)


# --- elementwise ---


@kernel
def optimize(team, optimizer, theta, g, mean, count, rate):
    length = updates.clip(team, optimizer, g)
    updates.update(team, optimizer, theta, g, count, rate)
    updates.average(team, theta, mean, 0.9)
    return length


def flat_vectors(dtype, size, threads=1):
    """Clipping, every rule of `updates`, and the average."""
    set_num_threads(threads)
    for rule in (
        SGD(), SGD(momentum=0.9, weight_decay=0.1), RMSprop(), RMSprop(momentum=0.9, weight_decay=0.1), Adam(),
        Adam(weight_decay=0.1), AdamW(weight_decay=0.1),
    ):  # fmt: skip

        def case(arena, rule=rule):
            theta, g, m, mean = (arena.copy(draw(dtype, size, seed=k)) for k in range(4))
            v = arena.copy(draw(dtype, size, seed=4) ** 2)
            partial, coefficients = arena.lay(updates.blocks(size), dtype="float64"), arena.copy(rule.coefficients)
            optimizer = updates.Optimizer(rule.rule, coefficients, m, v, partial, 0.5, 0.9)
            length = run(optimize, optimizer, theta, g, mean, 2, 0.1)
            return [theta, m, v, mean, length]

        everywhere(case)


@kernel
def masked(team, x, out, t, rate):
    first, last = share(out.shape[0], team)
    dropout(x[first:last], out[first:last], 5, 1, t, first, rate)


def dropout_mask(dtype, rows, n, more, threads=1):
    """The first n columns of x, which has `more`; into another array and in place."""
    set_num_threads(threads)
    x = draw(dtype, rows, n + more) + 2

    def case(arena):
        source, out = arena.copy(x), arena.lay(rows, n, dtype=dtype)
        run(masked, source, out, 3, 0.4)
        if more == 0:
            run(masked, source, source, 3, 0.4)
            assert source.tobytes() == out.tobytes(), "another mask in place"
        return [out]

    (out,) = everywhere(case)
    kept = out != 0
    np.testing.assert_allclose(out[kept], x[:, :n][kept] / 0.6, rtol=1e-6)


def cross_entropy(dtype, T, B, V, threads=1):
    set_num_threads(threads)
    logits = draw(dtype, T * B, V)
    targets = np.random.default_rng(T * B).integers(V, size=(B, T)).astype(np.int32)

    def case(arena):
        z, losses, at = arena.copy(logits), arena.lay(T * B, dtype=dtype), arena.copy(targets)
        run(cross_entropy_rows, z, at, losses, False)
        assert z.tobytes() == logits.tobytes(), "the logits were changed though no gradient was asked for"
        run(cross_entropy_rows, z, at, losses, True)
        return [z, losses]

    gradient, losses = everywhere(case)
    exponentials, rows = np.exp(logits.astype(float)), np.arange(T * B)
    p = exponentials / exponentials.sum(1, keepdims=True)
    close(losses, -np.log(p[rows, targets.T.ravel()]), 4)
    p[rows, targets.T.ravel()] -= 1
    close(gradient, p / (T * B), 4)


# --- training ---

# Arrays of a workspace that hold something before the first step: zeros, or numbers.
FILLED = {
    "tokens", "s", "nothing", "W0", "W", "U", "head", "headT", "one_block", "nowhere", "active", "reset", "order",
}  # fmt: skip


def laid(arena, record, holds=lambda name: True):
    """A record with its arrays laid: those that hold something are copied, the others full of the pattern."""
    new = {}
    for name, value in record._asdict().items():
        if isinstance(value, np.ndarray):
            new[name] = arena.copy(value) if holds(name) else arena.lay(*value.shape, dtype=value.dtype)
        elif isinstance(value, tuple):
            new[name] = laid(arena, value, holds)
    return record._replace(**new)


def training(dtype, rule, sizes, window, options):
    """Windows of a whole training step, each array of the workspace laid by itself; then a score."""
    V, E, H, L, B = sizes
    k1, k2 = window
    optimizer = {"sgd": SGD(momentum=0.9), "rmsprop": RMSprop(), "adamw": AdamW(weight_decay=0.1)}[rule]
    model = SequenceModel(vocabulary_size=V, embedding_size=E, hidden_size=H, num_layers=L, dtype=dtype, **options)
    tokens = np.random.default_rng(0).integers(V, size=(B, 3 * k1 + 1)).astype(np.int32)
    seen = []
    for threads in (1, 2, 3):
        set_num_threads(threads)

        def case(arena):
            def workspace(network, steps, **options):
                work = laid(arena, workspace_for(network, B, steps, **options), FILLED.__contains__)
                # The tape's tokens are the workspace's, or none.
                tokens = work.tokens if work.tape.tokens.size else work.tape.tokens
                return work._replace(tape=work.tape._replace(tokens=tokens))

            plain = network_of(model)
            network = laid(arena, plain)
            work = workspace(plain, k2, older=k2 - k1)
            size = model.flat.size
            grad, partial = (
                arena.lay(size, dtype=dtype),
                arena.lay(updates.blocks(size), dtype="float64"),
            )
            m, v = (arena.copy(np.zeros(size, dtype)) for _ in range(2))
            mean, at, rates = arena.copy(model.flat), arena.copy(tokens), arena.copy(np.full(3, 0.01))
            losses, norms = arena.lay(3, dtype="float64"), arena.lay(3, dtype="float64")
            state = updates.Optimizer(optimizer.rule, arena.copy(optimizer.coefficients), m, v, partial, 0.5, 0.1)
            done = run(step.train_chunk, network, work, state, step.Average(mean, 0.9), grad, at,
                       step.Position(0, k1, k2, 0, 0), rates, losses, norms)  # fmt: skip
            assert done == 3, f"{done} windows of 3: losses {losses}, norms {norms}"
            scores = arena.lay(3, dtype="float64")
            still = network_of(model, network.theta, dropout=False)
            idle = workspace(still, k1, training=False)
            run(step.score_chunk, laid(arena, still), idle, at, 0, k1, scores)
            return [network.theta, m, v, mean, losses, norms, scores]

        seen.append(everywhere(case))
    assert (seen[0][0] != model.flat).any(), "nothing was learnt"
    for results in seen[1:]:
        for k, (one, other) in enumerate(zip(seen[0], results, strict=True)):
            assert one.tobytes() == other.tobytes(), f"result {k} depends on the number of threads"


# Arrays of a forecaster's workspace that hold nothing at first.
UNFILLED = {
    "future", "anchors", "target", "weight", "v", "o", "f", "ds", "s", "a", "path", "dpath", "danchors", "dv", "dx",
    "c", "e", "dc", "u", "s_next", "a_next", "ds_next",
}  # fmt: skip


def forecasting(strategy, cell, dtype, B, changes):
    """Steps of training a forecaster, each array laid by itself, then its forecasts."""
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    plan = plan_of(strategy, cell, dtype=dtype, **changes)
    start = start_of(plan).astype(dtype)
    plain = network_of_forecaster(plan, start)
    seen = []
    for threads in (1, 2, 3):
        set_num_threads(threads)

        def case(arena):
            network = laid(arena, plain)
            work = laid(arena, workspace(plan, plain, B), lambda name: name not in UNFILLED)
            source, pool = laid(arena, source_for(plan)), laid(arena, Pool(*windows_of(plan)))
            pool.last_end[:] = source.train_ends - 1  # windows that reach past the last row
            grad, m, v = (arena.copy(np.zeros_like(start)) for _ in range(3))
            partial = arena.lay(updates.blocks(start.size), dtype="float64")
            numbers = arena.copy([0.9, 0.999, 1e-8, 0.0])
            optimizer = updates.Optimizer(updates.ADAM, numbers, m, v, partial, 1.0, 0.0)
            losses, norms = arena.lay(3, dtype="float64"), arena.lay(3, dtype="float64")
            rates = arena.copy(np.full(3, 1e-3))
            done = run(train, network, work, source, pool, optimizer, grad, rates, 0, losses, norms)
            assert done == 3, f"{done} steps of 3: losses {losses}, norms {norms}"
            work.batch.series[:] = np.arange(B) % 3
            work.batch.ends[:] = pool.last_end[work.batch.series]
            run(predict, network, work, source)
            return [network.theta, m, v, losses, norms, work.f]

        seen.append(everywhere(case))
    assert (seen[0][0] != start).any(), "nothing was learnt"
    for results in seen[1:]:
        for k, (one, other) in enumerate(zip(seen[0], results, strict=True)):
            assert one.tobytes() == other.tobytes(), f"result {k} depends on the number of threads"


if __name__ == "__main__":
    serve({name: case for name, case in globals().items() if callable(case)})
