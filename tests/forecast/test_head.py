"""The head of every forecast network against its definition in NumPy; gradients by the complex step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.forecast.network import head
from bptt.network.loss_kernels import HUBER, MAE, MSE
from bptt.numerics.threads import run

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
EPS = 1e-30


def naive_forward(o, anchors, above, below, S):
    """f (R, Q, S) of real or complex numbers: the point forecast, quantiles above it, those below it."""
    R, K = o.shape[0], anchors.shape[1] // S
    widths = o[:, : (1 + above + below) * S].reshape(R, -1, S)
    mix = np.exp(o[:, (1 + above + below) * S :])
    mix = mix / mix.sum(1, keepdims=True)
    steps = np.log(1 + np.exp(widths[:, 1:]))
    point = widths[:, 0] + (mix[:, :, None] * anchors.reshape(R, K, S)).sum(1)
    up = point[:, None] + steps[:, :above].cumsum(1)
    down = point[:, None] - steps[:, above:].cumsum(1)
    return np.concatenate([point[:, None], up, down], 1)


def naive_loss(f, target, weight, kind, delta, taus):
    """Mean over the steps that count: of the point forecast's loss, and a share of the quantiles' mean pinball loss."""
    error = f - target[:, None]
    point = error[:, 0]
    size = np.where(point.real < 0, -point, point)
    if kind == MAE:
        own = size
    elif kind == MSE:
        own = point**2
    else:
        own = np.where(size.real <= delta, point**2 / 2, delta * (size - delta / 2))
    total = (own * weight).sum()
    if len(taus) > 1:
        tau = np.array(taus)[1:, None]
        pinball = np.where(error[:, 1:].real < 0, -tau * error[:, 1:], (1 - tau) * error[:, 1:])
        total = total + head.SHARE * (2 * pinball.mean(1) * weight).sum()
    return total / max(1, weight.sum())


def problem(sizes, seed, dtype="float64"):
    R, S, above, below, K = sizes
    rng = np.random.default_rng(seed)
    o = 2 * rng.standard_normal((R, (1 + above + below) * S + K))
    target, weight = 3 * rng.standard_normal((R, S)), (rng.random((R, S)) < 0.7).astype(float)
    anchors = rng.standard_normal((R, K * S))
    taus = (0.5, *np.linspace(0.6, 0.95, above), *np.linspace(0.4, 0.05, below))
    return [part.astype(dtype) for part in (o, anchors, target, weight)], taus


def forward_and_back(sizes, parts, taus, kind, delta):
    """f, loss, error of o, error of the anchors."""
    _, S, above, *_ = sizes
    o, anchors, target, weight = (part.copy() for part in parts)
    f = np.empty((o.shape[0], len(taus) * S), o.dtype)
    run(head.forward, o, anchors, f, S, above)
    said, losses, danchors = f.copy(), np.zeros(o.shape[0]), np.empty_like(anchors)
    weights = weight.sum(1).astype("float64")
    run(head.loss, f, target, weight, weights, kind, delta, np.array(taus), head.SHARE, losses, np.bool_(True))
    run(head.backward, o, anchors, f, danchors, S, above)
    return said, head.total_loss(losses), o, danchors


@given(sizes=SIZES, seed=st.integers(0, 99))
def test_forward_is_the_definition_and_quantiles_never_cross(sizes, seed):
    parts, taus = problem(sizes, seed)
    f, *_ = forward_and_back(sizes, parts, taus, MAE, 1.0)
    R, S, above, below, _ = sizes
    np.testing.assert_allclose(f.reshape(R, -1, S), naive_forward(parts[0], parts[1], above, below, S), rtol=1e-12)
    ordered = f.reshape(R, -1, S)[:, np.argsort(taus, kind="stable")]
    assert (np.diff(ordered, axis=1) > 0).all()


@pytest.mark.parametrize("kind", [MAE, MSE, HUBER])
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_loss_is_the_definition(kind, sizes, seed):
    (o, anchors, target, weight), taus = problem(sizes, seed)
    _, loss, *_ = forward_and_back(sizes, (o, anchors, target, weight), taus, kind, 0.7)
    f = naive_forward(o, anchors, *sizes[2:4], sizes[1])
    assert loss == pytest.approx(naive_loss(f, target, weight, kind, 0.7, taus), rel=1e-12)


@pytest.mark.parametrize("kind", [MAE, MSE, HUBER])
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_errors_are_the_complex_steps(kind, sizes, seed):
    (o, anchors, target, weight), taus = problem(sizes, seed)
    _, _, do, danchors = forward_and_back(sizes, (o, anchors, target, weight), taus, kind, 0.7)

    def slope(own, other):
        f = naive_forward(own, other, *sizes[2:4], sizes[1])
        return naive_loss(f, target, weight, kind, 0.7, taus).imag / EPS

    for index in np.ndindex(*o.shape):
        step = np.zeros_like(o)
        step[index] = EPS
        assert do[index] == pytest.approx(slope(o + 1j * step, anchors), rel=1e-10, abs=1e-13)
    for index in np.ndindex(*anchors.shape):
        step = np.zeros_like(anchors)
        step[index] = EPS
        assert danchors[index] == pytest.approx(slope(o, anchors + 1j * step), rel=1e-10, abs=1e-13)


def test_what_is_missing_says_nothing():
    sizes = (4, 3, 2, 1, 2)
    (o, anchors, target, weight), taus = problem(sizes, 5)
    weight[1] = 0
    one = forward_and_back(sizes, (o, anchors, target, weight), taus, MSE, 1.0)
    target = np.where(weight > 0, target, 1e9)
    other = forward_and_back(sizes, (o, anchors, target, weight), taus, MSE, 1.0)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not one[2][1].any()


def test_nothing_to_compare_with_is_no_loss():
    sizes = (2, 2, 1, 1, 1)
    (o, anchors, target, weight), taus = problem(sizes, 5)
    _, loss, do, _ = forward_and_back(sizes, (o, anchors, target, 0 * weight), taus, MAE, 1.0)
    assert loss == 0
    assert not do.any()


def test_quantiles_of_large_outputs_do_not_cross_in_single_precision():
    sizes = (3, 4, 3, 3, 2)
    parts, taus = problem(sizes, 7, "float32")
    f, *_ = forward_and_back(sizes, [30 * parts[0], *parts[1:]], taus, MAE, 1.0)
    ordered = f.reshape(3, -1, 4)[:, np.argsort(taus, kind="stable")]
    assert np.isfinite(f).all()
    assert (np.diff(ordered, axis=1) >= 0).all()


def test_nan_passes():
    sizes = (2, 2, 1, 1, 2)
    parts, taus = problem(sizes, 1)
    parts[3][:] = 1
    parts[0][0, 0] = np.nan
    _, loss, *_ = forward_and_back(sizes, parts, taus, MAE, 1.0)
    assert np.isnan(loss)
