"""One short series: never much worse than the best naive forecast, and intervals that know how little is known."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_panels import DAILY, forecast, panel_of

from bptt.forecast import GRU
from bptt.forecast.fitting import few
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL
from bptt.forecast.network.step import STRATEGIES
from bptt.network.loss_kernels import MSE

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def fitted(y, h=4, strategy="segment", **arguments):
    small = {"seasonality": 1, "hidden_size": 8, "batch_size": 16, "learning_rate": 1e-2}
    model = GRU(h=h, strategy=strategy, **small | arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(panel_of([np.asarray(y)]), freq=DAILY)
    return model, [str(one.message) for one in caught]


@pytest.mark.parametrize("y", [[1.0, 2.0], [3.0] * 9, np.zeros(12), [5.0, np.nan, 4.0]])
@every_strategy
def test_series_of_next_to_nothing(strategy, y):
    model, _ = fitted(y, strategy=strategy)
    point, quantiles = forecast(model, [np.asarray(y)])
    assert np.isfinite(quantiles).all()
    assert np.abs(point - np.nanmean(y)).max() <= 3


@given(
    y=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(np.nan), st.just(0.0)), min_size=3, max_size=30).filter(
        lambda y: np.isfinite(y).sum() >= 2
    ),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    h=st.integers(1, 5),
    seasonality=st.sampled_from([1, 2, 7]),
)
def test_no_short_series_fails(y, strategy, h, seasonality):
    model, _ = fitted(y, h, strategy, seasonality=seasonality, hidden_size=2)
    point, quantiles = forecast(model, [np.asarray(y)])
    assert np.isfinite(point).all()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()


@pytest.mark.parametrize("back", [6, 12, 18, 24])
def test_after_a_level_shift_forecasts_are_at_the_new_level(back):
    t = np.arange(72)
    noise = np.random.default_rng(3).normal(0, 3, 72)
    y = np.where(t < 72 - back, 100, 150) + 10 * np.sin(2 * np.pi * t / 12) + noise
    model, _ = fitted(y, 12, seasonality=12, quantiles=[0.1, 0.9])
    point, quantiles = forecast(model, [y])
    # The swing is 10: halfway to the old level is 125.
    assert abs(point.mean() - 150) < 15
    assert quantiles[0, :, 0].mean() < 150 < quantiles[0, :, -1].mean()


def test_intervals_of_random_walks_cover_and_grow():
    h, walks = 6, 30
    covered, widths, errors = [], [], []
    for seed in range(walks):
        y = 100 + np.cumsum(np.random.default_rng(seed).standard_normal(100 + h))
        model, _ = fitted(y[:100], h, quantiles=[0.1, 0.9], input_size=12, hidden_size=4)
        point, quantiles = forecast(model, [y[:100]])
        low, high = quantiles[0, :, 0], quantiles[0, :, -1]
        covered.append((low <= y[100:]) & (y[100:] <= high))
        widths.append(high - low)
        errors.append([np.abs(point[0] - y[100:]).mean(), np.abs(y[99] - y[100:]).mean()])
    assert 0.65 <= np.mean(covered) <= 0.95
    # 2.56 times the square root of the step, of a known variance.
    growth = np.mean(widths, 0) / (2.56 * np.sqrt(np.arange(1, h + 1)))
    assert (growth > 0.8).all()
    assert (growth < 1.8).all()
    mean, last = np.mean(errors, 0)
    assert mean <= 1.1 * last


def test_short_yearly_series_do_not_lose_to_the_last_value():
    errors = []
    for seed in range(50):
        y = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.03, 0.06, 34)))
        model, _ = fitted(y[:30], 4, quantiles=[0.025, 0.1, 0.9, 0.975], input_size=8, hidden_size=4)
        point, _ = forecast(model, [y[:30]])
        errors.append([np.abs(point[0] - y[30:]).mean(), np.abs(y[29] - y[30:]).mean()])
    own, last = np.mean(errors, 0)
    assert own <= 1.05 * last


def test_each_held_out_window_counts_alike():
    model, _ = fitted(np.random.default_rng(0).standard_normal(60), max_steps=1)
    plan = model._plan
    assert plan is not None
    weight = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    missed = np.array([[1, 1, 1, 1], [5, 9, 9, 9], [9, 9, 9, 9]])
    assert few.mean_error(plan, missed, weight) == 3
    assert few.mean_error(replace(plan, loss=MSE), missed, weight) == np.sqrt(13)


def test_weights_are_inverse_to_squared_errors():
    np.testing.assert_allclose(few.shares_of([1.0, 2.0, 2.0]), np.array([4, 1, 1]) / 6)
    np.testing.assert_allclose(few.shares_of([0.0, 2.0]), [1, 0], atol=1e-15)
    np.testing.assert_allclose(few.shares_of([0.0, 0.0]), [0.5, 0.5])


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_a_blend_is_the_weighted_mean_of_its_parts(loss):
    """The parts from their definitions, the network's from a model that does what this one's training did."""
    rng = np.random.default_rng(4)
    y = 20 + rng.standard_normal(40) + 3 * (np.arange(40) % 4)
    model, said = fitted(y, 4, seasonality=4, input_size=16, transform="none", loss=loss)
    assert len(said) == 1
    assert "40 windows" not in said[0]
    blend = model._blend
    assert blend is not None
    np.testing.assert_allclose(blend.weights.sum(), 1)
    assert (blend.weights > 0).all()
    assert model.networks[0].steps > 0
    window, last = y[-16:], y[-1]
    slope = (window[-1] - window[0]) / 15
    naive = {
        (SEASONAL, 4): y[-4:],
        (AVERAGE, 4): window.reshape(4, 4).mean(axis=0),
        (LAST, 0): np.full(4, last),
        (MEAN, 0): np.full(4, window.mean()),
        (DRIFT, 0): last + slope * np.arange(1, 5),
        (CHANGE, 4): y[-4:] + last - y[-5],
    }
    parts = np.stack([naive[kind] for kind in blend.tried], axis=1)
    point, quantiles = forecast(model, [y])
    model._blend = None
    network, _ = forecast(model, [y])
    np.testing.assert_allclose(point[0], parts @ blend.weights[:-1] + blend.weights[-1] * network[0], rtol=1e-6)
    spread = np.abs(window - window.mean()).mean()
    order = np.argsort(np.array(model._plan.taus))
    np.testing.assert_allclose(quantiles[0], point[0][:, None] + spread * blend.offsets[:, order], rtol=1e-6)


def test_the_blend_follows_what_forecasts_the_held_out_rows():
    t = np.arange(60)
    seasonal, _ = fitted(np.sin(2 * np.pi * t / 6), 6, seasonality=6, input_size=12)
    drifting, _ = fitted(3.0 * t, 6, seasonality=1, transform="none")
    for model, kinds in ((seasonal, {SEASONAL, AVERAGE, CHANGE}), (drifting, {DRIFT})):
        blend = model._blend
        assert blend is not None
        wrong = [weight for (kind, _), weight in zip(blend.tried, blend.weights, strict=False) if kind not in kinds]
        assert len(wrong) >= 2
        assert sum(wrong) < 0.001
    point, _ = forecast(drifting, [3.0 * t])
    np.testing.assert_allclose(point[0], 3.0 * (60 + np.arange(6)), rtol=1e-3)


def test_the_blend_is_kept_in_a_file_and_checked():
    y = 100 + np.cumsum(np.random.default_rng(1).standard_normal(5))
    model, _ = fitted(y)
    tensors, settings = model.tensors(), json.loads(json.dumps(model.settings))
    again = GRU.from_settings(settings, tensors, panel_of([y]), DAILY)
    for one, other in zip(forecast(model, [y]), forecast(again, [y]), strict=True):
        np.testing.assert_array_equal(one, other)
    for wrong in (tensors["offsets"][:, 1:], np.full_like(tensors["offsets"], np.nan)):
        with pytest.raises(ValueError, match="offsets"):
            GRU.from_settings(settings, tensors | {"offsets": wrong}, panel_of([y]), DAILY)
    for wrong in (
        tensors["weights"][1:],
        2 * tensors["weights"],
        tensors["weights"] - np.eye(tensors["weights"].size)[0],
    ):
        with pytest.raises(ValueError, match="weights"):
            GRU.from_settings(settings, tensors | {"weights": wrong}, panel_of([y]), DAILY)
    # A file of before there were weights: the network alone.
    alone = {name: array for name, array in tensors.items() if name != "weights"}
    model._blend = few.Blend(model._blend.tried, np.eye(model._blend.weights.size)[-1], model._blend.offsets)
    for one, other in zip(
        forecast(model, [y]), forecast(GRU.from_settings(settings, alone, panel_of([y]), DAILY), [y]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_steps_and_validation_that_a_user_chose_are_done():
    y = 100 + np.cumsum(np.random.default_rng(1).standard_normal(60))
    model, said = fitted(y, max_steps=7)
    assert model.networks[0].steps == 7
    assert not said
    assert not {"offsets", "weights"} & model.tensors().keys()


def test_held_out_windows_are_the_newest_ones():
    series, ends = few.late_windows(np.array([10, 3]), np.array([6, 3]))
    assert series.tolist() == [0, 0, 0, 0]
    assert ends.tolist() == [6, 7, 8, 9]
    series, ends = few.late_windows(np.array([2000]), np.array([100]))
    assert ends[-1] == 1999
    assert len(ends) <= few.LOOKED_AT
    assert len(set(np.diff(ends))) == 1


def test_offsets_of_noise_are_its_quantiles():
    model, _ = fitted(np.random.default_rng(0).standard_normal(60), quantiles=[0.1, 0.9], transform="none", max_steps=1)
    plan = model._plan
    assert plan is not None
    missed = np.random.default_rng(1).standard_normal((4000, plan.n)) * np.arange(1, plan.n + 1)
    offsets = few.offsets_of(plan, missed, np.ones_like(missed), 1.0)
    assert plan.taus == (0.5, 0.9, 0.1)
    np.testing.assert_allclose(offsets[:, 1], 1.2816 * np.arange(1, plan.n + 1), rtol=0.1)
    np.testing.assert_allclose(offsets[:, 2], -1.2816 * np.arange(1, plan.n + 1), rtol=0.1)
    np.testing.assert_allclose(few.offsets_of(plan, missed, np.ones_like(missed), 0.5), offsets / 2)
    # Of a forecast that always misses to one side, nothing lies on the other.
    assert (few.offsets_of(plan, missed + 50, np.ones_like(missed), 1.0)[:, 2] == 0).all()
    # Past the horizon, as the square root of the steps.
    np.testing.assert_allclose(few.extended(offsets, 4 * plan.n)[-1], 2 * offsets[-1])
