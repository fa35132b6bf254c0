"""Norm, clipping and the optimizers' rules: numbers computed by hand, the formulas in NumPy, any threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.numerics import updates
from bptt.numerics.threads import run, set_num_threads
from bptt.numerics.updates import ADAM, ADAMW, RMSPROP, SGD

pytestmark = pytest.mark.interpreted

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES = st.sampled_from([0, 1, 7, 255]) | st.integers(0, 300)
RULES = {
    "sgd": (SGD, [0, 0, 0, 0]),
    "sgd with decay": (SGD, [0, 0, 0, 0.1]),
    "momentum": (SGD, [0.9, 0, 0, 0]),
    "momentum with decay": (SGD, [0.9, 0, 0, 0.1]),
    "rmsprop": (RMSPROP, [0, 0.9, 1e-8, 0]),
    "rmsprop with momentum": (RMSPROP, [0.8, 0.9, 1e-3, 0]),
    "rmsprop with all": (RMSPROP, [0.8, 0.9, 1e-3, 0.1]),
    "adam": (ADAM, [0.9, 0.999, 1e-8, 0]),
    "adam with decay": (ADAM, [0.8, 0.95, 1e-3, 0.1]),
    "adamw": (ADAMW, [0.9, 0.999, 1e-8, 0]),
    "adamw with decay": (ADAMW, [0.8, 0.95, 1e-3, 0.1]),
}
EVERY_RULE = pytest.mark.parametrize(("kind", "hyper"), RULES.values(), ids=list(RULES))


@pytest.fixture
def block_edges(jit_disabled):
    """Sizes around one and two blocks of the threads' shares."""
    return [1, 4097] if jit_disabled else [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 20_000]


def scratch(g):
    return np.empty(updates.blocks(g.size))


def vectors(size, dtype, count=4, seed=0):
    """theta, g, m and a non-negative v."""
    drawn = np.random.default_rng(seed).normal(size=(count, size)).astype(dtype)
    drawn[-1] = np.abs(drawn[-1])
    return [row.copy() for row in drawn]


# --- norm and clipping


@BOTH
@given(size=SIZES, scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_norm(dtype, size, scale):
    (g,) = vectors(size, dtype, 1)
    g *= dtype(scale)
    expected = np.linalg.norm(g.astype(np.float64))
    np.testing.assert_allclose(run(updates.norm, g, scratch(g), threads=1), expected, rtol=1e-13)


@BOTH
def test_norm_at_the_edges_of_blocks(dtype, block_edges):
    for size in block_edges:
        (g,) = vectors(size, dtype, 1)
        expected = np.linalg.norm(g.astype(np.float64))
        np.testing.assert_allclose(run(updates.norm, g, scratch(g), threads=1), expected, rtol=1e-13)


@BOTH
def test_clip_norm_by_hand(dtype):
    """3-4-5: a limit of 1 makes 3/5 and 4/5 (times 5 / (5 + 1e-6))."""
    g = np.array([3, -4], dtype)
    assert run(updates.clip_norm, g, 1.0, scratch(g), threads=1) == 5
    np.testing.assert_allclose(g, [0.6, -0.8], rtol=1e-6)
    for limit in (5.1, 0.0, -1.0):
        g = np.array([3, -4], dtype)
        assert run(updates.clip_norm, g, limit, scratch(g), threads=1) == 5
        np.testing.assert_array_equal(g, [3, -4])


@BOTH
@given(size=SIZES, limit=st.floats(1e-3, 100))
def test_clip_norm(dtype, size, limit):
    (g,) = vectors(size, dtype, 1)
    before = g.astype(np.float64)
    length = np.linalg.norm(before)
    np.testing.assert_allclose(run(updates.clip_norm, g, limit, scratch(g), threads=1), length, rtol=1e-13)
    expected = before * min(1, limit / (length + 1e-6))
    np.testing.assert_allclose(g, expected, rtol=4 * np.finfo(dtype).eps)


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_reported(dtype, bad):
    g = np.ones(9, dtype)
    g[4] = bad
    assert not np.isfinite(run(updates.norm, g, scratch(g), threads=1))
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(run(updates.clip_norm, g, 1.0, scratch(g), threads=1))
    assert not np.isfinite(g[4])


@BOTH
def test_clip_value(dtype):
    g = np.array([-np.inf, -3, -2, -1, 0, 1, 2, 3, np.inf, np.nan] * 3, dtype)
    expected = np.clip(g, -2, 2)
    for limit in (0.0, -1.0):
        untouched = g.copy()
        run(updates.clip_value, untouched, limit, threads=1)
        np.testing.assert_array_equal(untouched, g)
    run(updates.clip_value, g, 2.0, threads=1)
    np.testing.assert_array_equal(g, expected)
    assert np.isnan(g).sum() == 3


# --- the rules


def update(rule, theta, g, m, v, number, rate, coefficients, threads=None):
    optimizer = updates.Optimizer(rule, np.asarray(coefficients, np.float64), m, v, scratch(theta), 0.0, 0.0)
    run(updates.update, optimizer, theta, g, number, rate, threads=threads)


def plain_rule(kind, theta, g, m, v, step, eta, hyper):
    """PyTorch's documented rules, from their pages; float64."""
    b1, b2, eps, decay = hyper
    if kind == ADAMW:
        theta = theta - eta * decay * theta
    else:
        g = g + decay * theta
    if kind == SGD:
        m = b1 * m + g
        return theta - eta * m, m, v
    v = b2 * v + (1 - b2) * g * g
    if kind == RMSPROP:
        m = b1 * m + g / (np.sqrt(v) + eps)
        return theta - eta * m, m, v
    m = b1 * m + (1 - b1) * g
    m_hat, v_hat = m / (1 - b1**step), v / (1 - b2**step)
    return theta - eta * m_hat / (np.sqrt(v_hat) + eps), m, v


@EVERY_RULE
@BOTH
@given(size=SIZES, first=st.sampled_from([1, 2, 1000]), seed=st.integers(0, 2**16))
def test_rules_over_three_steps(kind, hyper, dtype, size, first, seed):
    theta, _, m, v = vectors(size, dtype, seed=seed)
    if first == 1:
        m[:], v[:] = 0, 0
    expected = [x.astype(np.float64) for x in (theta, m, v)]
    gradients = vectors(size, dtype, 3, seed + 1)
    for step, g in enumerate(gradients, first):
        expected = plain_rule(kind, expected[0], g.astype(np.float64), *expected[1:], step, 0.01, hyper)
        update(kind, theta, g.copy(), m, v, step, 0.01, hyper, threads=1)
    bounds = {"rtol": 40 * np.finfo(dtype).eps, "atol": 40 * np.finfo(dtype).eps}
    np.testing.assert_allclose(theta, expected[0], **bounds)
    if kind != SGD:
        np.testing.assert_allclose(v, expected[2], **bounds)
    if kind in (ADAM, ADAMW) or hyper[0] > 0:
        np.testing.assert_allclose(m, expected[1], **bounds)


@BOTH
@pytest.mark.parametrize(
    ("kind", "hyper", "expected"),
    [
        # g = 2, then -1, from theta = 1 with eta = 0.1:
        (SGD, [0, 0, 0, 0], [0.8, 0.9]),
        # m = 2, then 0.5 * 2 - 1 = 0
        (SGD, [0.5, 0, 0, 0], [0.8, 0.8]),
        # g + theta = 3, then -1 + 0.7 = -0.3
        (SGD, [0, 0, 0, 1], [0.7, 0.73]),
        # v = 0.75 * 4 = 3, then 0.25 * 3 + 0.75 = 1.5
        (RMSPROP, [0, 0.25, 0, 0], [1 - 0.2 / 3**0.5, 1 - 0.2 / 3**0.5 + 0.1 / 1.5**0.5]),
        # The first step has the length eta; then m_hat = (0.5 * 1 - 0.5) / 0.75 = 0
        (ADAM, [0.5, 0.5, 0, 0], [0.9, 0.9]),
        # theta is shrunk by 0.1 * 0.5 first: 0.95 - 0.1, then 0.85 * 0.95
        (ADAMW, [0.5, 0.5, 0, 0.5], [0.85, 0.8075]),
    ],
)
def test_rules_by_hand(dtype, kind, hyper, expected):
    theta, m, v = np.ones(1, dtype), np.zeros(1, dtype), np.zeros(1, dtype)
    for step, (g, after) in enumerate(zip((2, -1), expected, strict=True), 1):
        update(kind, theta, np.array([g], dtype), m, v, step, 0.1, hyper, threads=1)
        np.testing.assert_allclose(theta, after, rtol=4 * np.finfo(dtype).eps)


@BOTH
def test_states_a_rule_has_no_use_of_may_be_empty(dtype):
    theta, g, m, v = vectors(11, dtype)
    empty, hyper = np.empty(0, dtype), np.array([0.5, 0.9, 1e-8, 0])
    plain = np.array([0, 0.9, 1e-8, 0])
    update(SGD, theta, g, empty, empty, 1, 0.1, plain, threads=1)
    update(SGD, theta, g, m, empty, 1, 0.1, hyper, threads=1)
    update(RMSPROP, theta, g, empty, v, 1, 0.1, plain, threads=1)
    assert np.isfinite(theta).all()


@EVERY_RULE
@BOTH
def test_nan_in_the_gradient_reaches_the_weight(kind, hyper, dtype):
    theta, g, m, v = vectors(20, dtype)
    g[6] = np.nan
    update(kind, theta, g, m, v, 1, 0.01, hyper, threads=1)
    np.testing.assert_array_equal(np.isnan(theta), np.arange(20) == 6)


@BOTH
@given(size=SIZES, decay=st.sampled_from([0.0, 0.5, 0.998, 1.0]))
def test_average(dtype, size, decay):
    theta, mean = vectors(size, dtype, 2)
    expected = decay * mean.astype(np.float64) + (1 - decay) * theta.astype(np.float64)
    run(updates.average, theta, mean, decay, threads=1)
    np.testing.assert_allclose(mean, expected, rtol=0, atol=8 * np.finfo(dtype).eps)


# --- threads


@pytest.mark.parametrize("threads", [2, 3, 5])
@BOTH
def test_any_number_of_threads_gives_the_same_bits(dtype, threads, block_edges):
    def all_of_it(size, team_size):
        set_num_threads(team_size)
        theta, g, m, v = vectors(size, dtype)
        mean, results = theta.copy(), []
        for kind, hyper in RULES.values():
            gradient = g.copy()
            results.append(run(updates.clip_norm, gradient, 1.0, scratch(g)))
            run(updates.clip_value, gradient, 0.01)
            update(kind, theta, gradient, m, v, 3, 0.01, hyper)
            run(updates.average, theta, mean, 0.9)
            results.append(run(updates.norm, theta, scratch(g)))
        return [np.array(results), theta, m, v, mean]

    for size in block_edges:
        alone, together = all_of_it(size, 1), all_of_it(size, threads)
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_array_equal(a, b)
