"""No kernel reads or writes outside its arrays, at any size.

Compiled code holds raw addresses, masked vectors and packed panels. So each kernel runs, in another process, on arrays
that end exactly at a page without access, then on arrays that begin right after one, with a pattern of NaN around and
between their rows (`guarded.py`): a stray access ends the process, and the failure names the case and its sizes; a
stray write is seen in the pattern; a stray read that reaches a result makes it NaN, or unlike the other run's.
"""

import os

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bptt.numerics.matmul import DEPTH, panel_shape, unit_stride
from bptt.numerics.simd import BITS
from bptt.numerics.tiles import HEIGHT, TILE_ROWS
from guarded import Worker
from problem import every_cell, every_dtype

pytestmark = [
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted kernels hold no addresses"),
    pytest.mark.skipif(os.name != "posix", reason="guard pages are made with mprotect"),
]

# Where vectors, tiles and panels end; 1 to 70 in between.
edges = sorted({1, 2, 3, *(k * n + d for n in (8, 16) for k in (1, 2, 4) for d in (-1, 0, 1)), 48, 70})
sizes = st.one_of(st.sampled_from(edges), st.integers(1, 70))
steps = st.one_of(st.sampled_from([1, 2, 3, 5]), st.integers(1, 70))


def columns_of_a_panel(dtype):
    return panel_shape(1, 1, dtype)[2]


def lanes_of(dtype):
    return unit_stride(1, dtype)


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.end()


# --- the harness itself ---


@pytest.mark.parametrize("fault", ["reads_one_past_the_end", "reads_one_before_the_beginning"])
def test_an_access_beyond_an_edge_ends_the_process_and_is_named(worker, fault):
    with pytest.raises(AssertionError, match=rf"fault_{fault}\(dtype='float32'\) ended by (SIGSEGV|SIGBUS)"):
        worker.run(f"fault_{fault}", dtype="float32")
    # Another process takes over.
    worker.run("product", dtype="float32", M=1, N=1, depths=[1], kinds=["row"])


@every_dtype
@pytest.mark.parametrize("fault", ["writes_one_past_the_end", "writes_into_a_gap"])
def test_a_write_around_an_array_is_seen(worker, fault, dtype):
    with pytest.raises(AssertionError, match="written outside of an array"):
        worker.run(f"fault_{fault}", dtype=dtype)


@every_dtype
def test_a_read_around_an_array_is_seen_in_the_result(worker, dtype):
    with pytest.raises(AssertionError, match="is not finite"):
        worker.run("fault_reads_the_surroundings", dtype=dtype)


# --- numerics.matmul ---


@every_dtype
@pytest.mark.parametrize("M", range(1, 2 * TILE_ROWS[0] + 2))
def test_product_at_every_tail_of_every_tile(worker, dtype, M):
    width = columns_of_a_panel(dtype)
    for N in range(1, width + lanes_of(dtype) + 2):
        worker.run("product", dtype=dtype, M=M, N=N, depths=[0, 1, 3], kinds=["row", "itself", "matrix"])


@every_dtype
@pytest.mark.parametrize("flip", [False, True], ids=["plain", "transposed"])
def test_product_of_columns_from_the_middle_of_panels(worker, dtype, flip):
    width, n = columns_of_a_panel(dtype), lanes_of(dtype)
    for M in (1, 2, 3, HEIGHT, HEIGHT + 1, 70):
        for N in (1, n - 1, n, n + 1, width - 1, width, width + 1, 2 * width + 1, 70):
            worker.run("product", dtype=dtype, M=M, N=N, depths=[2, 70], kinds=["row", "itself"],
                       columns=[0, 1, 2, 3, 4], flip=flip)  # fmt: skip


@every_dtype
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_shared_product(worker, dtype, threads):
    width = columns_of_a_panel(dtype)
    for M in (*range(1, 4 * HEIGHT + 2), 70):
        for N in (1, width - 1, width + 1, 70):
            worker.run("product", dtype=dtype, M=M, N=N, depths=[1, 7], kinds=["row", "matrix"], shared=True,
                       threads=threads)  # fmt: skip


@every_dtype
@pytest.mark.parametrize("flip", [False, True], ids=["plain", "transposed"])
@pytest.mark.parametrize("threads", [1, 3])
def test_pack_at_every_corner(worker, dtype, flip, threads):
    width, n = columns_of_a_panel(dtype), lanes_of(dtype)
    for N in range(1, 71):
        for left in (0, 1, n - 1, n, width - 1, width, width + 1):
            for K, above, below in ((0, 1, 0), (1, 0, 0), (2, 3, 0), (3, 0, 2)):
                worker.run("pack", dtype=dtype, K=K, N=N, above=above, left=left, below=below, flip=flip,
                           threads=threads)  # fmt: skip


@every_dtype
@pytest.mark.parametrize("threads", [1, 3])
def test_transposed_products_at_every_tail(worker, dtype, threads):
    width = columns_of_a_panel(dtype)
    for n in (*range(1, 2 * HEIGHT + 2), 31, 32, 33, 70):
        for N in (*range(1, width + 2, 1 if threads == 1 else 5), 70):
            blocks, R, N2 = 1 + N % 3, 1 + (n + N) % 4, 1 + 7 * N % 70
            worker.run("transposed_products", dtype=dtype, R=R, n=n, N=N, N2=N2, blocks=blocks, threads=threads)


@every_dtype
@pytest.mark.parametrize("R", [DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH + 1])
def test_transposed_products_of_many_rows(worker, dtype, R):
    for n, N, blocks in ((1, 1, 4), (HEIGHT, 17, 2), (HEIGHT + 1, 70, 1), (19, 33, 4)):
        for threads in (1, 2, 3):
            worker.run("transposed_products", dtype=dtype, R=R, n=n, N=N, N2=5, blocks=blocks, threads=threads)


# --- cells and their unroll ---


@every_cell
@every_dtype
def test_cells_at_every_number_of_units(worker, name, dtype):
    m = BITS // 8 // np.dtype(dtype).itemsize
    for n in range(1, 71):
        ranges = {(0, n), (0, 1), (n - 1, n), (0, min(m, n)), (n // m * m, n), (n // 2, n), (n // 3, n // 3)}
        worker.run("cell", name=name, dtype=dtype, n=n, ranges=sorted(ranges))


@every_cell
@every_dtype
@given(T=steps, B=sizes, I=sizes, H=sizes, errors=st.booleans(), ragged=st.booleans(), resets=st.booleans())
# Large enough for two and three threads to share the units.
@example(T=5, B=7, I=3, H=70, errors=True, ragged=False, resets=False)
@example(T=4, B=5, I=70, H=67, errors=False, ragged=False, resets=False)
@example(T=5, B=7, I=3, H=70, errors=True, ragged=True, resets=True)
@settings(max_examples=60)
def test_layers(worker, name, dtype, T, B, I, H, errors, ragged, resets):
    worker.run("layer", name=name, dtype=dtype, T=T, B=B, I=I, H=H, errors=errors, ragged=ragged, resets=resets)


@every_cell
@every_dtype
@given(T=steps, B=sizes, I=sizes, H=sizes, without_dy=st.integers(0, 70), threads=st.integers(1, 3))
@example(T=5, B=7, I=3, H=70, without_dy=2, threads=2)
@example(T=4, B=7, I=9, H=67, without_dy=0, threads=3)
@settings(max_examples=30)
def test_passes(worker, name, dtype, T, B, I, H, without_dy, threads):
    worker.run("passes", name=name, dtype=dtype, T=T, B=B, I=I, H=H, without_dy=min(T, without_dy), threads=threads)


# --- elementwise, and all together ---


@every_dtype
@pytest.mark.parametrize("threads", [1, 3])
def test_flat_vectors(worker, dtype, threads):
    for size in (*range(1, 71), *range(4090, 4102), *range(8191, 8194), 12289):
        worker.run("flat_vectors", dtype=dtype, size=size, threads=threads)


@every_dtype
def test_dropout(worker, dtype):
    for n in range(1, 71):
        for more in (0, 1):
            worker.run("dropout_mask", dtype=dtype, rows=1 + n % 5, n=n, more=more, threads=1 + n % 3)


@every_dtype
def test_cross_entropy(worker, dtype):
    for V in range(1, 71):
        worker.run("cross_entropy", dtype=dtype, T=1 + V % 3, B=1 + V % 4, V=V, threads=1 + V % 3)


# The cells that character models have, in their words.
TEXT = {
    "rnn_tanh": {"cell": "rnn"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
}


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize(
    ("sizes", "window", "rule", "options"),
    [
        ((2, 1, 1, 1, 1), (1, 1), "sgd", {}),
        ((5, 3, 7, 2, 3), (4, 4), "rmsprop", {}),
        ((70, 9, 17, 1, 2), (3, 7), "adamw", {}),  # embeddings looked up, older steps on the tape
        ((6, 17, 33, 3, 25), (5, 5), "adamw", {"dropout": 0.3}),  # rows shared
        ((33, 5, 70, 2, 9), (2, 5), "sgd", {"dropout": 0.2, "input_dropout": 0.2}),
    ],
    ids=str,
)
@every_dtype
def test_training(worker, name, dtype, sizes, window, rule, options):
    worker.run("training", dtype=dtype, rule=rule, sizes=sizes, window=window, options=TEXT[name] | options)


@pytest.mark.parametrize(
    ("B", "changes"),
    [
        (1, {"hidden_size": 1, "num_layers": 1}),
        (6, {}),
        (17, {"hidden_size": 33, "n": 3, "input_size": 9}),
        (5, {"n": 1, "lags": (), "futr": 0, "static": 0, "hist": 0, "kinds": (), "periods": ()}),
    ],
    ids=str,
)
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
@pytest.mark.parametrize("strategy", ["segment", "direct", "recursive"])
@every_dtype
def test_forecasters(worker, strategy, cell, dtype, B, changes):
    worker.run("forecasting", strategy=strategy, cell=cell, dtype=dtype, B=B, changes=changes)
