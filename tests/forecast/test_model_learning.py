"""The models do learn: what is there to be found, from each kind of column, with each cell, and no more than that."""

import numpy as np
import pytest
from made_panels import DAILY, ends_of, forecast, panel_of

from bptt.forecast import GRU, LSTM, RNN
from bptt.forecast.network.step import STRATEGIES

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def trained(strategy, all_series, cls=GRU, columns=None, **arguments):
    few = {
        "h": 6,
        "input_size": 24,
        "seasonality": 1,
        "hidden_size": 24,
        "max_steps": 150,
        "batch_size": 32,
        "learning_rate": 1e-2,
        "dropout": 0.0,
        "transform": "none",
        "quantiles": [0.1, 0.9],
    }
    model = cls(strategy=strategy, **few | arguments)
    model.fit(panel_of(all_series, **columns or {}), freq=DAILY)
    return model


def mean_error(model, known, future, **columns):
    return np.abs(forecast(model, known, **columns)[0] - future).mean()


def split(all_series, h=6):
    return [y[:-h] for y in all_series], np.stack([y[-h:] for y in all_series])


@pytest.mark.parametrize("cls", [RNN, GRU, LSTM])
@every_strategy
def test_waves_that_no_anchor_knows(strategy, cls):
    phases = np.random.default_rng(0).uniform(0, 100, 8)
    t = np.arange(80)
    waves = [10 + np.sin(2 * np.pi * (t + p) / 13) + 0.5 * np.sin(2 * np.pi * (t + p) / 5.3) for p in phases]
    known, future = split(waves)
    model = trained(strategy, known, cls, max_steps=300 if strategy == "segment" else 800, input_size=18)
    naive = np.mean([np.abs(y[-1] - came) for y, came in zip(known, future, strict=True)])
    seasonal = np.mean([np.abs(y[-13:-7] - came) for y, came in zip(known, future, strict=True)])
    assert mean_error(model, known, future) < 0.35 * min(naive, seasonal)


@every_strategy
@pytest.mark.parametrize(("loss", "expected"), [("mse", 15.0), ("mae", 10 + 5 * np.log(2))])
def test_the_mean_or_the_median_of_skewed_noise(strategy, loss, expected):
    rng = np.random.default_rng(1)
    noise = [10 + rng.exponential(5, 250) for _ in range(8)]
    model = trained(
        strategy, noise, loss=loss, max_steps=250, batch_size=128, anchors=["mean"], learning_rate=3e-3, hidden_size=16
    )
    ends = np.tile(np.arange(24, 244), len(noise))
    point, quantiles = model.forecast(panel_of(noise), np.repeat(np.arange(len(noise)), 220), ends)
    # Mean and median are 1.5 apart.
    assert point.mean() == pytest.approx(expected, abs=0.3)
    assert quantiles[:, :, 0].mean() == pytest.approx(10 - 5 * np.log(0.9), abs=0.5)
    assert quantiles[:, :, 2].mean() == pytest.approx(10 - 5 * np.log(0.1), abs=2)


@pytest.mark.parametrize("strategy", ["segment", "direct"])
def test_steps_that_count_for_nothing_are_not_learned(strategy):
    """Ten after each multiple of four, else noise of mean 0: a network that learns one step alone knows no other."""
    rng = np.random.default_rng(2)
    series = [10.0 * (np.arange(120) % 4 == 1) + rng.normal(0, 0.1, 120) for _ in range(8)]
    ends = np.arange(40, 112, 4)  # the second step is the large one
    errors = []
    for weights in ([1, 1, 1, 1], [3, 0, 0, 0], [0, 5, 0, 0]):
        model = trained(strategy, series, h=4, max_steps=300, anchors=["mean"], input_size=8, horizon_weight=weights)
        point, _ = model.forecast(panel_of(series), np.zeros(ends.size, np.int64), ends)
        errors.append(np.abs(point - np.stack([series[0][end : end + 4] for end in ends])).mean(axis=0))
    alike, first, second = errors
    assert (alike < 1.5).all()
    assert first[0] < 1.5
    assert second[1] < 1.5
    assert first[1] > 3


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("strategy", ["segment", "recursive"])
def test_the_mean_of_values_that_are_never_negative(strategy, loss):
    """Mean 10, of gamma noise whose square root has the mean 2.96: squared 8.7."""
    rng = np.random.default_rng(1)
    noise = [rng.gamma(2, 5, 200) for _ in range(8)]
    fitting = {"transform": "auto", "loss": loss, "huber_delta": 50.0, "max_steps": 200, "batch_size": 128}
    model = trained(strategy, noise, anchors=["mean"], learning_rate=3e-3, hidden_size=16, **fitting)
    ends = np.tile(np.arange(24, 194, 3), len(noise))
    point, _ = model.forecast(panel_of(noise), np.repeat(np.arange(len(noise)), 57), ends)
    assert point.mean() == pytest.approx(10, abs=0.35)


@every_strategy
def test_what_is_known_of_the_future(strategy):
    rng = np.random.default_rng(2)
    column = [rng.standard_normal(90) for _ in range(6)]
    known, future = split([5 + 3 * x for x in column])
    without = mean_error(trained(strategy, known), known, future)
    model = trained(strategy, known, columns={"futr_price": [x[:-6] for x in column]}, futr_exog_list=["price"])
    error = mean_error(model, known, future, futr_price=column)
    assert without > 1
    assert error < 0.3 * without


@pytest.mark.parametrize("strategy", ["segment", "direct"])
def test_what_the_past_of_another_column_says(strategy):
    """y follows the column by three steps, the horizon."""
    rng = np.random.default_rng(3)
    column = [rng.standard_normal(203) for _ in range(8)]
    known, future = split([5 + 3 * np.concatenate([rng.standard_normal(3), x[:-3]]) for x in column], 3)
    fitting = {"h": 3, "input_size": 9, "max_steps": 300}
    without = mean_error(trained(strategy, known, **fitting), known, future)
    past = {"hist_sales": [x[:-3] for x in column]}
    model = trained(strategy, known, columns=past, hist_exog_list=["sales"], **fitting)
    error = mean_error(model, known, future, hist_sales=column)
    assert without > 1
    assert error < 0.35 * without


@every_strategy
def test_what_kind_of_series_it_is(strategy):
    """Two rows of noise, then the static column."""
    rng = np.random.default_rng(4)
    size = rng.choice([-2.0, 2.0], 60)
    all_series = [np.concatenate([0.1 * rng.standard_normal(2), np.full(6, s)]) for s in size]
    fitting = {"input_size": 2, "scaler_type": "identity", "anchors": None}
    if strategy == "segment":
        fitting["segment"] = 2
    known, future = split(all_series)
    without = mean_error(trained(strategy, all_series, **fitting), known, future)
    model = trained(strategy, all_series, columns={"stat_size": size}, stat_exog_list=["size"], **fitting)
    error = mean_error(model, known, future, stat_size=size)
    assert without > 1
    assert error < 0.1 * without


@every_strategy
def test_missing_values_cost_little(strategy):
    rng = np.random.default_rng(5)
    t = np.arange(120)
    waves = [10 + np.sin(2 * np.pi * (t + p) / 7) + 0.3 * np.sin(2 * np.pi * (t + p) / 16) for p in range(8)]
    known, future = split(waves)
    gappy = [np.where(rng.random(y.size) < 1 / 3, np.nan, y) for y in known]
    alike = {"seasonality": 7, "segment": 7 if strategy == "segment" else None, "max_steps": 600}
    whole, holes = trained(strategy, known, **alike), trained(strategy, gappy, **alike)
    naive = np.mean([np.abs(y[-1] - came) for y, came in zip(known, future, strict=True)])
    assert mean_error(whole, known, future) < 0.2 * naive
    # A recursion goes by values some of which it has to guess.
    assert mean_error(holes, gappy, future) < (0.45 if strategy == "recursive" else 0.3) * naive
    difference = np.abs(forecast(whole, known)[0] - forecast(holes, gappy)[0]).mean()
    assert difference < (0.45 if strategy == "recursive" else 0.3) * naive


def test_a_calendar_is_a_known_column():
    """Two noisy values do not say what day it is."""
    t = np.arange(210)
    rng = np.random.default_rng(6)
    pattern = np.array([3.0, -3, -3, 3, 3, -3, 3])
    weekly = [pattern[t % 7] + 0.3 * rng.standard_normal(t.size) for _ in range(6)]
    features = {
        f"futr_calendar={name}({k})": [wave(2 * np.pi * k * t / 7)] * 6
        for k in (1, 2, 3)
        for name, wave in (("sin", np.sin), ("cos", np.cos))
    }
    known, future = split(weekly)
    fitting = {"input_size": 2, "anchors": None, "scaler_type": "identity"}
    past = {name: [x[:-6] for x in parts] for name, parts in features.items()}
    model = trained("direct", known, columns=past, calendar=True, **fitting)
    blind = trained("direct", known, columns=past, **fitting)
    assert model.parameters["decode.weight"].shape[1] == 24 + 6 * 6
    assert blind.parameters["decode.weight"].shape[1] == 24
    assert mean_error(model, known, future, **features) < 0.6 * mean_error(blind, known, future, **features)


def test_lags_show_what_was_long_ago():
    """A value comes back after 20 steps; the window has 4."""
    rng = np.random.default_rng(7)
    all_series = []
    for _ in range(8):
        y = list(rng.standard_normal(20))
        while len(y) < 150:
            y.append(-y[-20])
        all_series.append(np.array(y))
    known, future = split(all_series)
    errors = {}
    for lags in ([2], [20]):
        model = trained("recursive", known, input_size=4, lags=lags, scaler_type="identity", anchors=["mean"])
        errors[lags[0]] = mean_error(model, known, future)
    assert errors[20] < 0.3 * errors[2]


def test_quantiles_hold_what_they_promise():
    rng = np.random.default_rng(8)
    noise = [rng.standard_normal(300) for _ in range(10)]
    known, _ = split(noise, 60)
    model = trained("segment", known, h=10, segment=5, input_size=20, max_steps=250, batch_size=64)
    panel = panel_of(noise)
    ends = np.concatenate([240 + np.arange(0, 60, 10)] * 10)
    series, _ = ends_of(noise)
    series = np.repeat(series, 6)
    _, quantiles = model.forecast(panel, series, ends)
    came = np.stack([noise[i][end : end + 10] for i, end in zip(series, ends, strict=True)])
    inside = (quantiles[:, :, 0] <= came) & (came <= quantiles[:, :, 2])
    assert inside.mean() == pytest.approx(0.8, abs=0.08)


def test_each_of_many_quantiles_is_exceeded_as_often_as_it_says():
    rng = np.random.default_rng(8)
    noise = [rng.standard_normal(300) for _ in range(10)]
    known, _ = split(noise, 60)
    taus = [0.03, 0.1, 0.25, 0.7, 0.9, 0.97]
    model = trained("segment", known, h=10, segment=5, input_size=20, max_steps=250, batch_size=64, quantiles=taus)
    ends = np.concatenate([240 + np.arange(0, 60, 10)] * 10)
    series = np.repeat(ends_of(noise)[0], 6)
    _, quantiles = model.forecast(panel_of(noise), series, ends)
    came = np.stack([noise[i][end : end + 10] for i, end in zip(series, ends, strict=True)])
    below = (came[:, :, None] <= quantiles).mean((0, 1))
    np.testing.assert_allclose(below, sorted([*taus, 0.5]), atol=0.07)
