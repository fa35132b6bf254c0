"""The packed products against NumPy's, over shapes, strides, transposes, tails."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.numerics import matmul
from bptt.numerics.jit import kernel
from bptt.numerics.threads import get_num_threads, run, set_num_threads

pytestmark = pytest.mark.interpreted

SMALL = numba.config.DISABLE_JIT
sizes = st.integers(0, 9 if SMALL else 70)
dtypes = st.sampled_from(["float32", "float64"])
layouts = st.sampled_from(["C", "F", "every other row", "every other column", "reversed"])


@kernel
def multiply(team, A, panels, init, C):
    matmul.product(A, panels, init, C)


@kernel
def pack(team, B, panels, first_row, first_column):
    matmul.pack(team, B, panels, first_row, first_column)


@kernel
def multiply_transposed(team, A, B, C, order, B2, C2, order2, scratch, total, fresh):
    matmul.transposed_products(team, A, B, C, order, B2, C2, order2, scratch, total, fresh)


def lay(array, layout):
    """The same values with other strides."""
    if layout == "every other row":
        return np.repeat(array, 2, axis=0)[::2]
    if layout == "every other column":
        return np.repeat(array, 2, axis=1)[:, ::2]
    if layout == "reversed":
        return array[::-1, ::-1].copy()[::-1, ::-1]
    return np.asarray(array, order=layout)


def guarded(rows, columns, dtype, value=np.nan):
    """A (rows, columns) array inside a larger one full of `value`, and the larger one."""
    whole = np.full((rows + 6, columns + 40), value, dtype)
    return whole[3 : 3 + rows, 20 : 20 + columns], whole


def packed(B):
    panels = np.zeros(matmul.panel_shape(*B.shape, B.dtype), B.dtype)
    run(pack, B, panels, 0, 0)
    return panels


def tolerance(dtype, depth):
    """Rounding of a sum of `depth` products of numbers of size about 1."""
    return 8 * np.finfo(dtype).eps * (depth + 1)


def draw(seed, dtype, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


@given(sizes, sizes, sizes, dtypes, layouts, layouts, st.sampled_from(["row", "itself", "matrix"]))
def test_product_is_numpys_and_touches_nothing_else(M, K, N, dtype, layout_a, layout_b, start):
    A, B = lay(draw(1, dtype, M, K), layout_a), lay(draw(2, dtype, K, N), layout_b)
    C, whole = guarded(M, N, dtype)
    C[...] = draw(3, dtype, M, N)
    init = {"row": draw(4, dtype, 1, N), "itself": C, "matrix": draw(5, dtype, M, N)}[start]
    expected = init + A @ B
    run(multiply, A, packed(B), init, C, threads=1)
    np.testing.assert_allclose(C, expected, rtol=0, atol=tolerance(dtype, K))
    C[...] = np.nan
    assert np.isnan(whole).all()


def transposed(A, B, C, order, B2, C2, order2, total, fresh):
    scratch = np.full(matmul.packed_rows(A.shape[1] // len(order), len(order), A.dtype), np.nan, A.dtype)
    run(multiply_transposed, A, B, C, order, B2, C2, order2, scratch, total, fresh)


@given(sizes, sizes, sizes, sizes, dtypes, st.integers(1, 3), st.booleans())
def test_transposed_products_are_numpys_and_touch_nothing_else(R, n, N, N2, dtype, blocks, fresh):
    order, order2 = (np.random.default_rng(seed).permutation(blocks) for seed in (0, 1))
    order2[0] = -1
    A, B, B2 = (guarded(R, columns, dtype)[0] for columns in (blocks * n, N, N2))
    for seed, array in enumerate((A, B, B2)):
        array[...] = draw(seed, dtype, *array.shape)
    C, whole = guarded(blocks * n, N, dtype)
    C2, whole2 = guarded(blocks * n, N2, dtype)
    totals = np.full(blocks * n + 20, np.nan, dtype)
    total = totals[10 : 10 + blocks * n]
    start = np.nan if fresh else 1
    C[...], C2[...], total[...] = start, start, start
    transposed(A, B, C, order, B2, C2, order2, total, fresh)
    start = 0 if fresh else 1
    exact = A.astype(float)
    for B_k, C_k, order_k in ((B, C, order), (B2, C2, order2)):
        for j, place in enumerate(order_k):
            if place >= 0:
                part, rows = exact[:, j * n : (j + 1) * n], slice(place * n, (place + 1) * n)
                expected = start + part.T @ B_k.astype(float)
                np.testing.assert_allclose(C_k[rows], expected, rtol=0, atol=tolerance(dtype, R))
                C_k[rows] = np.nan
    np.testing.assert_allclose(total, start + exact.sum(0), rtol=0, atol=tolerance(dtype, R))
    if not fresh:
        left = next(k for k in range(blocks) if k not in order2)
        np.testing.assert_array_equal(C2[left * n : (left + 1) * n], 1)
        C2[left * n : (left + 1) * n] = np.nan
    total[...] = np.nan
    assert np.isnan(whole).all()
    assert np.isnan(whole2).all()
    assert np.isnan(totals).all()


@pytest.mark.skipif(SMALL, reason="compiled pieces only")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposed_products_over_many_pieces(dtype):
    R, M, N = 3 * matmul.DEPTH + 17, 100, 37
    A, B, order = draw(1, dtype, R, M), draw(2, dtype, R, N), np.zeros(1, np.int64)
    C, total = np.full((M, N), np.nan, dtype), np.full(M, np.nan, dtype)
    transposed(A, B, C, order, B[:, :0], C[:, :0], order - 1, total, True)
    np.testing.assert_allclose(C, A.T.astype(float) @ B.astype(float), rtol=0, atol=tolerance(dtype, 40))
    np.testing.assert_allclose(total, A.astype(float).sum(0), rtol=0, atol=tolerance(dtype, 40))


@pytest.mark.skipif(SMALL, reason="compiled pieces only")
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(("n", "N"), [(1, 1), (3, 25), (50, 24)])
def test_transposed_products_round_as_sums_in_pieces_do(n, N, fresh):
    # All terms alike: each addition to one long chain errs to the same side, by up to R u in all. A sum of R / q
    # chains of q terms errs by (q + R / q) u at most (Higham 2002, "Accuracy and Stability", section 4.2).
    R, depth, unit = 20_000, matmul.DEPTH, np.finfo("float32").eps / 2
    A, B = np.full((R, n), 0.1, "float32"), np.full((R, N), 0.3, "float32")
    C, C2, total = np.zeros((n, N), "float32"), np.zeros((n, N), "float32"), np.zeros(n, "float32")
    transposed(A, B, C, np.zeros(1, np.int64), B, C2, np.zeros(1, np.int64), total, fresh)
    a, ab = R * float(A[0, 0]), R * float(A[0, 0]) * float(B[0, 0])
    bound = (depth + R / depth + 3) * unit
    for sums, exact in ((C, ab), (C2, ab), (total, a)):
        assert np.abs(sums / exact - 1).max() <= bound


@given(sizes, sizes, sizes, sizes, dtypes, layouts)
def test_pack_lays_blocks_side_by_side_and_leaves_the_padding_zero(K, left, N, above, dtype, layout):
    B = lay(draw(1, dtype, K, N), layout)
    P, depth, width = matmul.panel_shape(above + K, left + N, dtype)
    panels = np.zeros((P, depth, width), dtype)
    run(pack, B, panels, above, left)
    flat = panels.transpose(1, 0, 2).reshape(depth, P * width)
    expected = np.zeros_like(flat)
    expected[above:, left : left + N] = B
    np.testing.assert_array_equal(flat, expected)


@pytest.mark.skipif(SMALL, reason="the interpreter knows one thread")
@pytest.mark.parametrize("R", [61, 3 * matmul.DEPTH + 17])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_for_any_number_of_threads_and_any_cut_of_the_rows(dtype, R):
    A, B = draw(1, dtype, R, 100), draw(2, dtype, 100, 77)
    panels, init, order = packed(B), draw(3, dtype, 1, 77), np.array([1, 0])
    before = get_num_threads()
    seen = []
    try:
        for n in (1, 2, 3, 8):
            set_num_threads(n)
            C, D, total = np.empty((R, 77), dtype), np.empty((100, 77), dtype), np.empty(100, dtype)
            run(matmul.shared_product, A, panels, init, C)
            transposed(A, draw(4, dtype, R, 77), D, order, A[:, :0], D[:, :0], order - 2, total, True)
            seen.append((C, D, total))
    finally:
        set_num_threads(before)
    rows = np.empty((R, 77), dtype)
    for i in range(R):
        run(multiply, A[i : i + 1], panels, init, rows[i : i + 1], threads=1)
    for C, D, total in seen:
        np.testing.assert_array_equal(C, rows)
        np.testing.assert_array_equal(D, seen[0][1])
        np.testing.assert_array_equal(total, seen[0][2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_come_through(dtype):
    A, B = np.ones((5, 4), dtype), np.ones((4, 7), dtype)
    A[2, 1], B[0, 3] = np.nan, np.inf
    C = np.zeros((5, 7), dtype)
    run(multiply, A, packed(B), C, C, threads=1)
    assert np.isnan(C[2]).all()
    assert np.isinf(C[[0, 1, 3, 4], 3]).all()
    assert np.isfinite(np.delete(np.delete(C, 2, 0), 3, 1)).all()
