"""Pointwise losses and their weighted means: values from the definitions, gradients by central differences."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt
from bptt.network.loss_kernels import HUBER, MAE, MSE, PINBALL, pointwise
from bptt.numerics.jit import kernel
from problem import EPS, every_dtype, slopes

TAUS = (0.1, 0.5, 0.8)
# Of errors e = f - y, as the literature writes them.
DEFINITIONS = {
    MAE: lambda e, _: np.abs(e),
    MSE: lambda e, _: e**2,
    HUBER: lambda e, delta: np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2)),
    PINBALL: lambda e, tau: np.maximum(tau * -e, (tau - 1) * -e),
}
CRITERIA = {
    "l1": (bptt.l1_loss, lambda e: DEFINITIONS[MAE](e, None)),
    "mse": (bptt.mse_loss, lambda e: DEFINITIONS[MSE](e, None)),
    "huber": (bptt.huber_loss, lambda e: DEFINITIONS[HUBER](e, 1.0)),
    "huber 0.3": (lambda *v, **more: bptt.huber_loss(*v, **more, delta=0.3), lambda e: DEFINITIONS[HUBER](e, 0.3)),
}
every_criterion = pytest.mark.parametrize("name", CRITERIA)
every_kind = pytest.mark.parametrize("kind", DEFINITIONS)


@kernel
def at(kind, error, parameter):
    return pointwise(kind, error[0], parameter)


@kernel
def at_all(kind, errors, parameter, values, derivatives):
    for j in range(errors.size):
        values[j], derivatives[j] = pointwise(kind, errors[j], parameter)


def evaluated(kind, errors, parameter):
    values, derivatives = np.empty_like(errors), np.empty_like(errors)
    at_all(kind, errors, parameter, values, derivatives)
    return values, derivatives


@pytest.mark.interpreted
@every_kind
@every_dtype
def test_pointwise_is_its_definition_and_its_derivative(kind, dtype):
    errors = np.array([-3, -1.2, -0.6, -0.2, 0.1, 0.5, 0.9, 2, 40], dtype)  # no kink at these
    for parameter in (0.3, 0.7):
        values, derivatives = evaluated(kind, errors, parameter)
        eps = EPS[dtype]
        np.testing.assert_allclose(values, DEFINITIONS[kind](errors.astype(float), parameter), rtol=4 * eps)
        e = errors.astype(float)
        f = lambda e, p=parameter: DEFINITIONS[kind](e, p)  # noqa: E731
        np.testing.assert_allclose(derivatives, (f(e + 1e-6) - f(e - 1e-6)) / 2e-6, rtol=1e-7 + 4 * eps)


@pytest.mark.interpreted
@every_kind
@every_dtype
def test_pointwise_at_a_kink_and_at_nan(kind, dtype):
    values, derivatives = evaluated(kind, np.array([0, -0.0, np.nan], dtype), 0.7)
    np.testing.assert_array_equal(values, [0, 0, np.nan])
    np.testing.assert_array_equal(derivatives, [0, 0, np.nan])


@pytest.mark.interpreted
@every_kind
@every_dtype
def test_pointwise_stays_in_the_type_of_the_error(kind, dtype):
    for parameter in (0.7, np.float32(0.7)):
        results = at(kind, np.array([0.2], dtype), parameter)
        if numba.config.DISABLE_JIT:
            assert [result.dtype for result in results] == [dtype, dtype]
    if not numba.config.DISABLE_JIT:
        kinds = {one.args[1].dtype: one.return_type for one in at.nopython_signatures}
        assert kinds[getattr(numba, dtype)] == numba.types.UniTuple(getattr(numba, dtype), 2)


def numbers(dtype, *shape):
    rng = np.random.default_rng([7, *shape])
    y = rng.normal(size=shape).astype(dtype)
    return y + rng.choice([-1.5, -0.7, -0.2, 0.1, 0.6, 2], shape).astype(dtype), y


@pytest.mark.interpreted
@every_criterion
@every_dtype
def test_weighted_means_are_their_definition(name, dtype):
    criterion, definition = CRITERIA[name]
    y_hat, y = numbers(dtype, 4, 3)
    rng = np.random.default_rng(0)
    mask, weight = rng.random((4, 3)) < 0.7, rng.random(3)
    l = definition(y_hat.astype(float) - y)
    eps = 20 * EPS[dtype]
    for given_, factor in (
        ({}, np.ones((4, 3))),
        ({"mask": mask}, mask),
        ({"weight": weight}, np.broadcast_to(weight, (4, 3))),
        ({"mask": mask, "weight": weight}, mask * weight),
        ({"weight": 3.0}, np.ones((4, 3))),
    ):
        loss, gradient = criterion(y_hat, y, **given_)
        assert loss == pytest.approx((factor * l).sum() / factor.sum(), rel=eps)
        assert gradient.dtype == dtype
        assert gradient.shape == y_hat.shape
        assert isinstance(loss, float)


@pytest.mark.interpreted
@every_dtype
def test_the_pinball_loss_is_its_definition(dtype):
    y_hat, y = numbers(dtype, 5, 3)[0], numbers(dtype, 5)[1]
    weight = np.array([1.0, 0, 2, 0.5, 1])
    l = np.array([[max(t * (b - f), (t - 1) * (b - f)) for t, f in zip(TAUS, a, strict=True)]
                  for a, b in zip(y_hat.astype(float), y.astype(float), strict=True)])  # fmt: skip
    eps = 20 * EPS[dtype]
    assert bptt.pinball_loss(y_hat, y, TAUS)[0] == pytest.approx(l.mean(), rel=eps)
    expected = (weight[:, None] * l).sum() / (weight.sum() * 3)
    loss, gradient = bptt.pinball_loss(y_hat, y, TAUS, weight=weight)
    assert loss == pytest.approx(expected, rel=eps)
    assert gradient.dtype == dtype
    # One row without further dimensions, and some in front.
    assert bptt.pinball_loss(y_hat[0], y[0], TAUS)[0] == pytest.approx(l[0].mean(), rel=eps)
    loss, gradient = bptt.pinball_loss(y_hat[None], y[None], TAUS)
    assert loss == pytest.approx(l.mean(), rel=eps)
    assert gradient.shape == (1, 5, 3)


def test_the_pinball_loss_of_the_median_is_half_the_absolute_error():
    y_hat, y = numbers("float64", 6)
    loss, gradient = bptt.pinball_loss(y_hat[:, None], y, [0.5])
    expected, gradient_expected = bptt.l1_loss(y_hat, y)
    assert loss == pytest.approx(expected / 2, rel=1e-15)
    np.testing.assert_allclose(gradient[:, 0], gradient_expected / 2, rtol=1e-15)


def test_a_constant_forecast_is_best_at_the_quantile():
    y = np.random.default_rng(0).normal(size=999)
    for tau in TAUS:
        candidates = [bptt.pinball_loss(np.full((999, 1), value), y, [tau])[0] for value in y]
        assert y[np.argmin(candidates)] == np.quantile(y, tau, method="inverted_cdf")


@pytest.mark.interpreted
@every_criterion
def test_gradients_by_differences(name):
    criterion, _ = CRITERIA[name]
    y_hat, y = numbers("float64", 3, 4)
    mask, weight = np.arange(12).reshape(3, 4) % 4 > 0, np.linspace(0, 2, 12).reshape(3, 4)
    for given_ in ({}, {"mask": mask}, {"weight": weight}, {"mask": mask, "weight": weight}):
        _, gradient = criterion(y_hat, y, **given_)
        expected = slopes(lambda given_=given_: criterion(y_hat, y, **given_)[0], y_hat)
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-9)
        assert np.abs(gradient).max() > 1e-2


@pytest.mark.interpreted
def test_gradients_of_the_pinball_loss_by_differences():
    y_hat, y = numbers("float64", 4, 3)[0], numbers("float64", 4)[1]
    mask, weight = np.array([True, False, True, True]), np.array([1, 2, 0.5, 3])
    _, gradient = bptt.pinball_loss(y_hat, y, TAUS, mask=mask, weight=weight)
    expected = slopes(lambda: bptt.pinball_loss(y_hat, y, TAUS, mask=mask, weight=weight)[0], y_hat)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-9)


@every_criterion
@every_dtype
@given(seed=st.integers(0, 999), size=st.integers(1, 20))
def test_a_mask_leaves_elements_out(name, dtype, seed, size):
    """Also NaN and infinity, and forecasts so far off that their square is no number any more."""
    criterion, _ = CRITERIA[name]
    rng = np.random.default_rng(seed)
    y_hat, y = (rng.normal(size=size).astype(dtype) for _ in range(2))
    mask, weight = rng.random(size) < 0.6, rng.random(size)
    mask[rng.integers(size)] = True
    expected, gradient_expected = criterion(y_hat[mask], y[mask], weight=weight[mask])
    y[~mask] = rng.choice([np.nan, np.inf, 1e30], size - mask.sum())
    y_hat[~mask] = 1e30
    loss, gradient = criterion(y_hat, y, mask=mask, weight=weight)
    assert loss == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(gradient[mask], gradient_expected, rtol=8 * EPS[dtype])
    assert not gradient[~mask].any()
    # A weight of 0 is a mask, too.
    y[~mask] = 0
    loss, gradient = criterion(y_hat, y, weight=np.where(mask, weight, 0))
    assert loss == pytest.approx(expected, rel=1e-14)
    assert not gradient[~mask].any()


def test_arguments_stay_as_they_are():
    y_hat, y = numbers("float32", 4, 3)
    mask, weight = np.ones((4, 3), bool), np.ones((4, 3))
    mask[0], y[0] = False, np.nan
    before = [array.copy() for array in (y_hat, y, mask, weight)]
    bptt.mse_loss(y_hat, y, mask=mask, weight=weight)
    for now, then in zip((y_hat, y, mask, weight), before, strict=True):
        np.testing.assert_array_equal(now, then)
