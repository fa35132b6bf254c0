"""The pretrained network: what it forecasts of series whose future is known, and that its weights can be made again."""

import json
import os
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_panels import DAILY, INTEGER, ends_of, forecast, panel_of
from safetensors import safe_open

import bptt
from bptt.forecast import Forecaster, Pretrained
from bptt.forecast.fitting import cycles, pretrained
from bptt.forecast.pretrain.prior import GENERATORS, autoregression, counts, draw, patterns
from bptt.forecast.pretrain.training import ROUND, Recipe, pretrain

TINY = pretrained.Size(hidden_size=4, num_layers=1)


def ready(h=6, panel=None, freq=INTEGER, **arguments):
    model = Pretrained(h, **arguments)
    model.fit(panel_of([np.arange(30.0)]) if panel is None else panel, freq=freq)
    return model


def months(y, name="shop"):
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range("2000-01-01", periods=len(y), freq="MS"), "y": y})


# What it forecasts


def test_trend_and_season_go_on():
    t = np.arange(120)
    y = 100 + 0.5 * t + 20 * np.sin(2 * np.pi * t / 12)
    found = Forecaster([Pretrained(12)], "MS").fit(months(y[:-12])).predict()["Pretrained"]
    naive = y[-24:-12]
    assert np.abs(found - y[-12:]).mean() < 0.5 * np.abs(naive - y[-12:]).mean()


def test_intervals_cover_what_comes_of_many_processes():
    """White noise, a random walk and an autoregression: 80% intervals hold about 80%."""
    rng = np.random.default_rng(0)
    shocks = rng.standard_normal((400, 92))
    smooth = shocks.copy()
    for t in range(1, 92):
        smooth[:, t] += 0.7 * smooth[:, t - 1]
    for paths in (shocks, np.cumsum(shocks, 1), smooth):
        model = ready(12, freq=INTEGER)
        _, quantiles = forecast(model, list(paths[:, :80]))
        later = paths[:, 80:]
        inside = (quantiles[:, :, 2] <= later) & (later <= quantiles[:, :, -3])
        assert 0.7 < inside.mean() < 0.92


def test_intervals_of_a_random_walk_grow_as_the_root_of_the_steps():
    walks = np.cumsum(np.random.default_rng(1).standard_normal((300, 100)), 1)
    _, quantiles = forecast(ready(16, freq=INTEGER), list(walks))
    widths = np.median(quantiles[:, :, -3] - quantiles[:, :, 2], axis=0)
    assert 2.56 * 0.8 < widths[0] < 2.56 * 1.5  # 80% of a normal distribution lie within 1.28 of its middle
    assert 2.5 < widths[15] / widths[0] < 5.5  # 4 by theory


@given(
    y=st.lists(st.one_of(st.floats(-1e9, 1e9), st.just(np.nan), st.just(0.0)), min_size=1, max_size=40),
    h=st.integers(1, 20),
    season=st.sampled_from([1, 2, 7, [3, 9]]),
)
def test_no_series_fails(y, h, season):
    model = ready(h, seasonality=season)
    point, quantiles = forecast(model, [np.array(y)])
    if np.isfinite(y).any():
        assert np.isfinite(point).all()
        assert (np.diff(quantiles, axis=2) >= 0).all()
        assert (quantiles[:, :, 0] <= point).all()
        assert (point <= quantiles[:, :, -1]).all()
    else:
        assert np.isnan(point).all()


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_series_stays(value):
    point, _ = forecast(ready(5), [np.full(40, value)])
    np.testing.assert_allclose(point, value, atol=0.05 * abs(value))


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**30])
def test_forecasts_follow_the_unit(unit):
    y = np.random.default_rng(0).standard_normal(60).cumsum()
    once, other = (forecast(ready(8), [part])[0] for part in (y, y * unit))
    np.testing.assert_array_equal(once * unit, other)


def test_any_horizon_and_its_beginning():
    y = np.random.default_rng(0).standard_normal(60).cumsum()
    model = ready(4, seasonality=5)
    long, short = (forecast(model, [y], h)[0] for h in (30, 4))
    np.testing.assert_array_equal(long[:, :4], short)


def test_nothing_after_the_cutoff_counts():
    y = 50 + 10 * np.sin(2 * np.pi * np.arange(150) / 29) + np.random.default_rng(0).standard_normal(150)
    panel, other = panel_of([y]), panel_of([np.where(np.arange(150) < 120, y, -1e9)])
    model = ready(10)
    at = (np.array([0]), np.array([120]))
    for one, again in zip(model.forecast(panel, *at), model.forecast(other, *at), strict=True):
        np.testing.assert_array_equal(one, again)


def test_series_do_not_see_each_other():
    rng = np.random.default_rng(0)
    series = [rng.standard_normal(n).cumsum() for n in (30, 70, 45)]
    together = forecast(ready(6), series)[0]
    for one, y in zip(together, series, strict=True):
        np.testing.assert_allclose(one, forecast(ready(6), [y])[0][0], rtol=1e-5, atol=1e-5)


def test_the_same_bits_with_any_number_of_threads():
    series = [np.random.default_rng(k).standard_normal(60).cumsum() for k in range(70)]
    before = bptt.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            bptt.set_num_threads(threads)
            found.append(forecast(ready(6), series)[1])
    finally:
        bptt.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_a_period_that_no_frequency_tells():
    """A cycle of 29 in integers: better than as a series without season."""
    t = np.arange(330)
    y = 50 + 10 * np.sin(2 * np.pi * t / 29) ** 3 + 0.5 * np.random.default_rng(0).standard_normal(330)
    found, plain = ready(29), ready(29, seasonality=1)
    errors = [np.abs(forecast(model, [y[:300]])[0][0] - y[300:329]).mean() for model in (found, plain)]
    assert errors[0] < 0.7 * errors[1]


# Periods


def test_autocorrelation_is_that_of_the_definition():
    y = np.random.default_rng(0).standard_normal(50) + 0.1 * np.arange(50)
    left = y - np.polyval(np.polyfit(np.arange(50), y, 1), np.arange(50))
    expected = [np.mean(left[lag:] * left[: 50 - lag]) / np.mean(left**2) for lag in range(40)]
    np.testing.assert_allclose(cycles.autocorrelation(y)[:40], expected, rtol=1e-9, atol=1e-12)


@given(period=st.integers(4, 40), seed=st.integers(0, 1000))
def test_a_period_in_noise_is_found(period, seed):
    n = 6 * period + 20
    y = np.sin(2 * np.pi * np.arange(n) / period) + 0.2 * np.random.default_rng(seed).standard_normal(n)
    assert cycles.period_of(cycles.autocorrelation(y), 1) in range(round(0.9 * period), round(1.1 * period) + 2)


def test_noise_and_lines_have_no_period():
    rng = np.random.default_rng(0)
    series = [*rng.standard_normal((100, 120)), np.arange(100.0), np.full(60, 3.0), np.arange(80.0) ** 2]
    assert [cycles.period_of(cycles.autocorrelation(y), 1) for y in series] == [1] * len(series)


def test_gaps_are_interpolated_and_series_told_apart():
    t = np.arange(140)
    wave = np.sin(2 * np.pi * t / 20)
    gappy = np.where(np.random.default_rng(0).random(140) < 0.2, np.nan, wave)
    series = [wave, gappy, np.random.default_rng(1).standard_normal(140), wave[:20], np.full(30, np.nan), wave[:130]]
    found = cycles.periods_of(panel_of(series), *ends_of(series), 1)
    assert found.tolist() == [20, 20, 1, 1, 1, 20]


def test_the_season_of_the_frequency_stays():
    y = np.sin(2 * np.pi * np.arange(120) / 12) + 0.2 * np.random.default_rng(0).standard_normal(120)
    assert cycles.period_of(cycles.autocorrelation(y), 12) == 12


# As a model of a Forecaster


def test_file(tmp_path):
    y = 10 + np.random.default_rng(0).random(50)
    forecaster = Forecaster([Pretrained(6)], "MS").fit(months(y))
    forecaster.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    pd.testing.assert_frame_equal(forecaster.predict(level=[90]), loaded.predict(level=[90]), check_exact=True)


def test_cross_validation_and_new_series():
    forecaster = Forecaster([Pretrained(6)], "MS")
    y = 10 + np.random.default_rng(0).random(60)
    result = forecaster.cross_validation(months(y), n_windows=3, step_size=6, level=[80])
    assert len(result) == 18
    assert np.isfinite(result["Pretrained"]).all()
    forecaster.fit(months(y))
    other = months(100 * y[:20], "other")
    assert (forecaster.predict(df=other)["Pretrained"] > 500).all()


@pytest.mark.parametrize("arguments", [{"futr_exog_list": ["price"]}, {"stat_exog_list": ["size"]}, {"calendar": True}])
def test_columns_need_fine_tuning(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} needs finetune_steps"):
        Pretrained(6, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"h": 0}, "h must be"),
        ({"h": 3, "seasonality": 0}, "seasonality must be"),
        ({"h": 3, "transform": "root"}, "transform must be"),
        ({"h": 3, "finetune_steps": -1}, "finetune_steps must be .* or 'auto'"),
        ({"h": 3, "learning_rate": 0}, "learning_rate must be"),
        ({"h": 3, "alias": ""}, "alias must be"),
        ({"h": 3, "hidden_size": 3}, "hidden_size"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Pretrained(**arguments)


# Fine-tuning


def priced(N=20, n=60):
    """Series that follow their price, which nothing else tells."""
    rng = np.random.default_rng(0)
    price = rng.standard_normal((N, n + 6))
    y = 20 + 4 * price[:, :n] + 0.2 * rng.standard_normal((N, n))
    return list(y), list(price)


def test_new_columns_change_nothing_before_the_first_step():
    y, price = priced()
    panel = panel_of(y, future=6, futr_price=price, stat_size=np.arange(20.0))
    model = ready(6, panel, DAILY, futr_exog_list=["price"], stat_exog_list=["size"], finetune_steps=1,
                  learning_rate=1e-30)  # fmt: skip
    plain = ready(6, panel, DAILY, seasonality=7)
    np.testing.assert_array_equal(model.forecast(panel, *ends_of(y))[0], plain.forecast(panel, *ends_of(y))[0])


def test_fine_tuning_learns_from_a_column():
    y, price = priced()
    shown = [one[:54] for one in y]
    panel = panel_of(shown, future=6, futr_price=[one[:60] for one in price])
    arguments = {"finetune_steps": 150, "learning_rate": 4e-3, "seasonality": 1}
    errors = []
    for columns in ([], ["price"]):
        model = ready(6, panel, DAILY, futr_exog_list=columns, **arguments)
        found = model.forecast(panel, *ends_of(shown))[0]
        errors.append(np.abs(found - np.stack(y)[:, 54:]).mean())
        assert model.history["train_loss"].tail(20).mean() < model.history["train_loss"].head(20).mean()
    assert errors[1] < 0.5 * errors[0]


def test_auto_trains_where_there_is_something_to_learn():
    y, price = priced()
    shown = [one[:54] for one in y]
    panel = panel_of(shown, future=6, futr_price=[one[:60] for one in price])
    arguments = {"finetune_steps": "auto", "learning_rate": 4e-3, "seasonality": 1, "batch_size": 64}
    plain = ready(6, panel, DAILY, **arguments | {"finetune_steps": 0})
    told = ready(6, panel, DAILY, futr_exog_list=["price"], **arguments)
    errors = [np.abs(model.forecast(panel, *ends_of(shown))[0] - np.stack(y)[:, 54:]).mean() for model in (plain, told)]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_auto_leaves_what_it_cannot_check(rows):
    panel = panel_of([np.arange(float(rows)) + 3])
    model, plain = ready(6, panel, DAILY, finetune_steps="auto"), ready(6, panel, DAILY)
    assert model.history.empty
    for name, array in plain.parameters.items():
        np.testing.assert_array_equal(array, model.parameters[name])


@pytest.fixture(scope="module")
def with_partner():
    """A fitted model with a partner, its panel with six more rows, and what was shown."""
    y, price = priced()
    shown = [one[:54] for one in y]
    panel = panel_of(shown, future=9, futr_price=[np.append(one[:60], np.zeros(3)) for one in price])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bptt.forecast.fitting.few.MOST_WINDOWS", 100)
        patch.setattr("bptt.forecast.pretrained.WORSE", 1e9)
        model = ready(6, panel_of(shown, futr_price=[one[:54] for one in price]), DAILY, futr_exog_list=["price"],
                      finetune_steps="auto", seasonality=1, batch_size=64)  # fmt: skip
    return model, panel, shown, y


def test_a_partner_shares_the_forecast(with_partner):
    model, panel, shown, y = with_partner
    assert model.partner is not None
    assert model.partner.futr_exog_list == ("price",)
    point, quantiles = model.forecast(panel, *ends_of(shown))
    parts = [part.forecast(panel, *ends_of(shown)) for part in (model._with(model._learned.theta), model.partner)]
    np.testing.assert_allclose(point, (parts[0][0] + parts[1][0]) / 2, rtol=1e-12)
    np.testing.assert_allclose(quantiles, (parts[0][1] + parts[1][1]) / 2, rtol=1e-12)
    assert (parts[0][0] != parts[1][0]).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()
    errors = [np.abs(part[0] - np.stack(y)[:, 54:]).mean() for part in parts]
    assert np.abs(point - np.stack(y)[:, 54:]).mean() <= np.mean(errors)


def test_past_the_partners_horizon_the_pretrained_network_is_alone(with_partner):
    model, panel, shown, _ = with_partner
    longer, alone = (part.forecast(panel, *ends_of(shown), 9)[0] for part in (model, model._with(model._learned.theta)))
    np.testing.assert_array_equal(longer[:, 6:], alone[:, 6:])
    assert (longer[:, :6] != alone[:, :6]).all()


def test_a_partner_is_kept_in_a_file_and_checked(with_partner):
    model, panel, shown, _ = with_partner
    tensors, settings = model.tensors(), json.loads(json.dumps(model.settings))
    again = Pretrained.from_settings(settings, tensors, panel, DAILY)
    for one, other in zip(model.forecast(panel, *ends_of(shown)), again.forecast(panel, *ends_of(shown)), strict=True):
        np.testing.assert_array_equal(one, other)
    without = {name: array for name, array in tensors.items() if not name.startswith("partner.")}
    with pytest.raises(ValueError, match="partner"):
        Pretrained.from_settings(settings, without, panel, DAILY)
    with pytest.raises(ValueError, match="partner"):
        Pretrained.from_settings(settings | {"partner": None}, tensors, panel, DAILY)
    other = json.loads(json.dumps(settings))
    other["partner"]["arguments"]["seed"] = 3
    with pytest.raises(ValueError, match="seed"):
        Pretrained.from_settings(other, tensors, panel, DAILY)
    older = {name: value for name, value in settings.items() if name != "partner"}
    assert Pretrained.from_settings(older, without, panel, DAILY).partner is None


def test_a_partner_that_is_worse_on_the_held_out_rows_is_not_taken(monkeypatch):
    monkeypatch.setattr("bptt.forecast.fitting.few.MOST_WINDOWS", 100)
    walks = list(np.random.default_rng(0).standard_normal((20, 60)).cumsum(axis=1))
    for worse, taken in ((0.5, False), (1e9, True)):
        monkeypatch.setattr("bptt.forecast.pretrained.WORSE", worse)
        model = ready(6, panel_of(walks), DAILY, finetune_steps="auto", seasonality=1, batch_size=64)
        assert (model.partner is not None) == taken


def test_few_windows_get_no_partner():
    y = list(np.random.default_rng(0).standard_normal((3, 60)))
    assert ready(6, panel_of(y), DAILY, finetune_steps="auto", seasonality=1, batch_size=64).partner is None


def test_held_out_rows_of_the_future_do_not_choose_a_partner(monkeypatch):
    monkeypatch.setattr("bptt.forecast.fitting.few.MOST_WINDOWS", 100)
    monkeypatch.setattr("bptt.forecast.pretrained.WORSE", 1e9)
    found = []
    for change in (0, 1e3):
        rng = np.random.default_rng(0)
        y = [np.append(10 + rng.standard_normal(50), change + np.arange(6.0)) for _ in range(8)]
        model = Pretrained(6, finetune_steps="auto", seasonality=1, batch_size=64)
        panel = panel_of(y)
        model.fit(panel, freq=DAILY, holdout=6)
        assert model.partner is not None
        found.append(model.forecast(panel, np.arange(8), np.full(8, 50))[0])
    np.testing.assert_array_equal(*found)


# The weights, and how they are made


def test_the_file_in_the_package():
    assert os.path.getsize(pretrained.PATH) < 3_000_000
    with safe_open(pretrained.PATH, framework="np") as file:
        recipe = json.loads(file.metadata()["bptt"])["recipe"]
    assert set(recipe) == {"size", "seed", "steps", "series", "learning_rate", "clip_norm"}


def tiny(**arguments):
    return Recipe(**{"size": TINY, "steps": 3 * ROUND, "series": 32} | arguments)


def weights(path):
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in sorted(file.keys())}


def test_the_same_seed_makes_the_same_weights_also_after_an_interruption(tmp_path):
    pretrain(tiny(), tmp_path / "whole", threads=2)

    def stop(step, loss):
        if step == 2 * ROUND:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        pretrain(tiny(), tmp_path / "parts", checkpoint=checkpoint, tick=stop, every=0)
    pretrain(tiny(), tmp_path / "parts", checkpoint=checkpoint, every=0, threads=1)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name])
    pretrain(tiny(seed=1), tmp_path / "other")
    assert (weights(tmp_path / "other")["rnn.weight_hh_l0"] != whole["rnn.weight_hh_l0"]).all()


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    pretrain(tiny(steps=ROUND), tmp_path / "weights", checkpoint=tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="of another recipe"):
        pretrain(tiny(steps=2 * ROUND), tmp_path / "weights", checkpoint=tmp_path / "checkpoint")


@pytest.mark.parametrize("make", GENERATORS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("seasons", [(), (4,), (24, 168)])
def test_generators(make, seasons):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = make(np.random.default_rng(0), 70, 90, seasons)
    assert y.shape == (70, 90)
    assert np.isfinite(y).all()
    assert (y.std(1) > 0).mean() > 0.5
    np.testing.assert_array_equal(y, make(np.random.default_rng(0), 70, 90, seasons))
    assert not np.array_equal(y, make(np.random.default_rng(1), 70, 90, seasons))


def test_season_shapes_are_standardised():
    shapes = patterns(np.random.default_rng(0), 200, 12)
    np.testing.assert_allclose(shapes.mean(1), 0, atol=1e-9)
    np.testing.assert_allclose(shapes.std(1), 1, rtol=1e-9)


def test_autoregressions_are_stationary():
    y = autoregression(np.random.default_rng(0), 300, 2000)
    halves = y[:, :1000].std(1) / y[:, 1000:].std(1)
    assert 0.8 < np.median(halves) < 1.25
    assert np.abs(y).max() < 100


def test_counts_are_counts():
    y = counts(np.random.default_rng(0), 100, 50, (4,))
    assert (y >= 0).all()
    assert (y == np.round(y)).all()
    assert (y == 0).mean() > 0.1


def test_a_drawn_season_shows():
    """Of random monthly series, many are more alike a year apart than half a year apart."""
    y = draw(np.random.default_rng(0), 400, 144, (12,))
    y = y - y.mean(1, keepdims=True)
    apart = [np.mean(np.sign(y[:, lag:] * y[:, :-lag]).mean(1)) for lag in (6, 12)]
    assert apart[1] > apart[0] + 0.05
