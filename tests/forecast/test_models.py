"""What holds for every model, whatever it has learned: same numbers, nothing from the future, series by themselves."""

import itertools
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from made_panels import DAILY, INTEGER, ends_of, forecast, panel_of, seasonal_series

from bptt.forecast import GRU, LSTM, RNN
from bptt.forecast.network.architecture import initial, network_of
from bptt.forecast.network.batches import sample
from bptt.forecast.network.step import STRATEGIES
from bptt.network import stack
from bptt.numerics.random import dropout as drop_units
from bptt.numerics.threads import set_num_threads

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
SERIES = seasonal_series()


REPEATED = (("segment", "direct", "recursive"), ([1, np.nan, 5.0], [1.0, 5.0], [np.nan, 2, 7, 1, 4, 9, 3, 8, 6]))


@pytest.mark.parametrize("y", REPEATED[1], ids=["a gap", "short", "whole"])
@pytest.mark.parametrize("anchor", ["last", "mean", "drift", "1", "3", "mean:3", "change:1", "change:3", "change:5"])
def test_every_strategy_repeats_the_same_naive_forecasts(anchor, y):
    """Before any training the network adds nothing to the one naive forecast that it has."""
    said = []
    for strategy in REPEATED[0]:
        model = model_of(
            strategy, h=8, anchors=[anchor], seasonality=1, input_size=6, max_steps=1, learning_rate=1e-12,
            transform="none", dtype="float64", segment=2 if strategy == "segment" else None,
        )  # fmt: skip
        model.fit(panel_of([np.arange(30.0) ** 1.5]), freq=DAILY)
        said.append(forecast(model, [np.array(y)])[0])
    # `drift` counts from the window's ends, also where the window ends with a gap.
    np.testing.assert_allclose(said[1], said[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(said[2], said[0], rtol=1e-8, atol=1e-9)
    if anchor == "3" and len(y) < 9:
        np.testing.assert_allclose(said[2][0, :3], [1, 5, 5] if len(y) == 3 else [5, 1, 5], rtol=1e-8)


def model_of(strategy="segment", cls=GRU, **arguments):
    tiny = {
        "h": 5,
        "input_size": 14,
        "seasonality": 7,
        "hidden_size": 8,
        "max_steps": 6,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "quantiles": [0.1, 0.9],
    }
    return cls(strategy=strategy, **tiny | arguments)


def fitted(strategy="segment", cls=GRU, all_series=SERIES, fit=None, columns=None, **arguments):
    model = model_of(strategy, cls, **arguments)
    model.fit(panel_of(all_series, **columns or {}), freq=DAILY, **fit or {})
    return model


def assert_same_bits(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def everything_with(strategy):
    """Arguments and columns of a model that reads all it can; the columns of N series with `future` rows."""
    names = {"futr_exog_list": ["price"], "stat_exog_list": ["size"]}
    if strategy != "recursive":
        names["hist_exog_list"] = ["sales"]

    def columns(all_series, future=0, seed=1):
        rng = np.random.default_rng(seed)
        rows = [len(y) + future for y in all_series]
        parts = {
            "futr_price": [rng.standard_normal(n) for n in rows],
            "stat_size": rng.standard_normal(len(rows)),
            "hist_sales": [rng.standard_normal(n) for n in rows],
        }
        if strategy == "recursive":
            del parts["hist_sales"]
        return parts

    return names, columns


@every_strategy
def test_fit_twice_gives_the_same_numbers(strategy):
    model = fitted(strategy)
    first = forecast(model, SERIES)
    model.fit(panel_of(SERIES), freq=DAILY)
    assert_same_bits(first, forecast(model, SERIES))
    assert_same_bits(first, forecast(fitted(strategy), SERIES))
    assert (forecast(fitted(strategy, seed=1), SERIES)[0] != first[0]).any()


@every_strategy
def test_any_number_of_threads_gives_the_same_bits(strategy, monkeypatch):
    monkeypatch.setattr(stack, "SMALL", 0)  # several threads, however small the step
    said = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        model = fitted(strategy, LSTM, fit={"val_size": 5}, val_check_steps=2)
        said.append((model.networks[0].theta, *forecast(model, SERIES)))
    assert_same_bits(said[0], said[1])
    assert_same_bits(said[0], said[2])


@pytest.mark.parametrize("method", ["median", "mean"])
def test_an_ensemble_is_what_its_members_forecast(method):
    said, models = [], []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        models.append(fitted(seed=4, ensemble=3, ensemble_method=method))
        said.append(forecast(models[-1], SERIES))
    assert_same_bits(said[0], said[1])
    assert_same_bits(said[0], said[2])
    single, alone = fitted(seed=4), []
    # The first of them is the network of a model without an ensemble.
    np.testing.assert_array_equal(single.networks[0].theta, models[0].networks[0].theta)
    for learned in models[0].networks:
        single.networks = [learned]
        alone.append(forecast(single, SERIES))
    combine = {"median": np.median, "mean": np.mean}[method]
    np.testing.assert_allclose(said[0][0], combine([point for point, _ in alone], axis=0), rtol=1e-12)
    np.testing.assert_allclose(said[0][1], combine([quantiles for _, quantiles in alone], axis=0), rtol=1e-12)


@every_strategy
def test_networks_of_neighbouring_seeds_and_members_share_nothing(strategy):
    """Initial weights, windows and losses of two ensembles whose seeds are neighbours."""
    told = {"scheduled_sampling": 0.5} if strategy == "recursive" else {}
    histories = [*fitted(strategy, ensemble=4, **told).networks, *fitted(strategy, ensemble=4, seed=1, **told).networks]
    assert len({learned.theta.tobytes() for learned in histories}) == 8
    assert len({learned.losses[0] for learned in histories}) == 8
    plan = fitted(strategy, max_steps=1)._plan
    assert plan is not None
    starts, windows, masks = [], [], []
    for seed, member in itertools.product((0, 1), range(4)):
        own = replace(plan, seed=seed)
        starts.append(initial(own, member)["rnn.weight_hh_l0"].ravel())
        network = network_of(own, starts[-1], member)
        series, ends = np.zeros(256, np.int64), np.zeros(256, np.int64)
        sample(network.windows_key, 3, np.ones(1), np.zeros(1, np.int64), np.full(1, 999), series, ends)
        windows.append(ends)
        mask = np.empty((1, 256))
        drop_units(np.ones((1, 256)), mask, network.dropout_key, 0, 3, 0, 0.5)
        masks.append(mask.ravel())
        keys = [value for name, value in zip(network._fields, network, strict=True) if name.endswith("_key")]
        assert len(set(keys)) == len(keys)
        # The same words would drop the units of one half of the windows.
        assert abs(np.mean((ends < 500) == (mask.ravel() == 0)) - 0.5) < 0.15
    for one, other in itertools.combinations(range(8), 2):
        assert not np.intersect1d(starts[one], starts[other]).size
        assert np.mean(windows[one] == windows[other]) < 0.05
        assert abs(np.mean(masks[one] == masks[other]) - 0.5) < 0.15


def test_seed_none_draws_one_and_keeps_it():
    one, other = fitted(seed=None), fitted(seed=None)
    assert (one.networks[0].theta != other.networks[0].theta).any()
    again = fitted(seed=one.settings["arguments"]["seed"])
    np.testing.assert_array_equal(one.networks[0].theta, again.networks[0].theta)
    one.fit(panel_of(SERIES), freq=DAILY)
    np.testing.assert_array_equal(one.networks[0].theta, again.networks[0].theta)


@every_strategy
def test_warm_start_goes_on(strategy):
    waves = [np.sin(2 * np.pi * (np.arange(60) + i) / 11) for i in range(4)]
    arguments = {
        "all_series": waves,
        "seasonality": 1,
        "max_steps": 60,
        "batch_size": 128,
        "segment": 7 if strategy == "segment" else None,
        # As they are: the few values at a series' beginning have a scale that makes their losses large.
        "scaler_type": "identity",
        "transform": "none",
    }
    restarted = fitted(strategy, **arguments)
    before, steps = restarted.networks[0].losses, restarted.networks[0].steps
    model = fitted(strategy, **arguments)
    model.fit(panel_of(waves), freq=DAILY, warm_start=True)
    on = model.networks[0]
    assert on.steps == 2 * steps
    assert (on.theta != restarted.networks[0].theta).any()
    begun, ended = before[:5].mean(), before[-10:].mean()
    assert ended < 0.8 * begun
    assert abs(on.losses[0] - ended) < 0.3 * (begun - ended)
    # Of a model that was never fitted there is nothing to go on from.
    fresh = fitted(strategy, fit={"warm_start": True}, **arguments)
    np.testing.assert_array_equal(fresh.networks[0].theta, restarted.networks[0].theta)


@every_strategy
def test_warm_start_sees_windows_that_were_not_seen_before(strategy):
    """With steps that move nothing: those of a training as long as both."""
    model = fitted(strategy, learning_rate=1e-12, dtype="float64")
    first = model.networks[0].losses
    model.fit(panel_of(SERIES), freq=DAILY, warm_start=True)
    both = fitted(strategy, learning_rate=1e-12, dtype="float64", max_steps=12)
    np.testing.assert_allclose([*first, *model.networks[0].losses], both.networks[0].losses, rtol=1e-6)


def test_warm_start_reads_columns_as_before():
    names, columns = everything_with("segment")
    own = columns(SERIES)
    model = fitted(columns=own, **names)
    before = {name: array.copy() for name, array in model.tensors().items() if name.startswith("scale.")}
    assert len(before) == 6
    other = {name: [5 + 9 * part for part in parts] for name, parts in own.items()}
    model.fit(panel_of(SERIES, **other), freq=DAILY, warm_start=True)
    for name, array in before.items():
        np.testing.assert_array_equal(model.tensors()[name], array)


def test_warm_start_with_other_columns_is_refused():
    model = fitted(futr_exog_list=["price"], columns={"futr_price": SERIES})
    with pytest.raises(ValueError, match="columns"):
        model.fit(panel_of(SERIES), freq=DAILY, warm_start=True)


def validated(N=4, **arguments):
    """Trained on noise, with all numbers of a window as they are: a loss can be worked out from the forecasts."""
    rng = np.random.default_rng(2)
    noise = [(1 + i) / N * rng.standard_normal(40) for i in range(N)]
    arguments = {"transform": "none", "scaler_type": "identity", "val_check_steps": 5, "dtype": "float64"} | arguments
    return noise, fitted(all_series=noise, fit={"val_size": 10}, seasonality=1, **arguments)


def validation_loss(model, noise):
    panel = panel_of(noise)
    ends = np.repeat([len(y) for y in noise], 2) + np.tile([-10, -5], len(noise))
    series = np.repeat(np.arange(len(noise)), 2)
    point, quantiles = model.forecast(panel, series, ends)
    y = np.stack([noise[i][end : end + 5] for i, end in zip(series, ends, strict=True)])
    loss = np.abs(point - y).mean()
    for tau, q in ((0.1, quantiles[:, :, 0]), (0.9, quantiles[:, :, 2])):
        loss += 0.05 * 2 * np.maximum(tau * (y - q), (tau - 1) * (y - q)).mean() / 2
    return loss


def test_the_best_weights_of_the_validation_are_kept():
    noise, model = validated(max_steps=100, learning_rate=0.03)
    steps, losses = np.array(model.networks[0].valid).T
    np.testing.assert_array_equal(steps, np.arange(5, 101, 5))
    assert losses.argmin() < len(losses) - 1, "a problem where the last weights are the best tests nothing"
    assert validation_loss(model, noise) == pytest.approx(losses.min(), rel=1e-9)
    # Without rows to validate on they are the last ones, of the same training.
    model.fit(panel_of([y[:-10] for y in noise]), freq=DAILY)
    assert model.networks[0].valid == []
    assert validation_loss(model, noise) == pytest.approx(losses[-1], rel=1e-9)


@every_strategy
def test_every_window_of_a_validation_counts_once(strategy):
    """Of 514, which fill a batch of forecasts and two places of another."""
    noise, model = validated(257, strategy=strategy, val_check_steps=6)
    assert validation_loss(model, noise) == pytest.approx(model.networks[0].valid[0][1], rel=1e-9)


def test_training_stops_when_nothing_gets_better():
    """After three validations, of five steps each, that are no better: neuralforecast counts them, not the steps."""
    _, model = validated(max_steps=400, learning_rate=0.03, early_stop_patience_steps=3)
    steps, losses = np.array(model.networks[0].valid).T
    assert model.networks[0].steps == steps[-1] < 400
    assert steps[-1] - steps[losses.argmin()] == 15
    assert model.networks[0].losses.size == steps[-1]


@every_strategy
def test_held_out_rows_are_not_learned_from(strategy):
    names, columns = everything_with(strategy)
    model = fitted(strategy, columns=columns(SERIES), fit={"holdout": 6}, **names)
    other = [np.concatenate([y[:-6], -1e3 * y[-6:]]) for y in SERIES]
    changed = columns(SERIES)
    for name in ("futr_price", "hist_sales"):
        if name in changed:
            changed[name] = [np.concatenate([part[:-6], part[-6:] + 1e3]) for part in changed[name]]
    same = fitted(strategy, all_series=other, columns=changed, fit={"holdout": 6}, **names)
    np.testing.assert_array_equal(model.networks[0].theta, same.networks[0].theta)


@pytest.mark.parametrize("verbose", [0, 1])
def test_silence_unless_asked(verbose, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forecast(fitted(fit={"verbose": verbose, "val_size": 5}, alias="Mine"), SERIES)
    out, err = capfd.readouterr()
    assert out == ""
    assert ("Mine" in err and "6/6" in err) if verbose else err == ""
    assert list(tmp_path.iterdir()) == []


@every_strategy
def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(strategy):
    model = fitted(strategy)
    full, part = forecast(model, SERIES), forecast(model, SERIES, h=2)
    assert full[0].shape == (5, 5)
    assert full[1].shape == (5, 5, 3)
    assert_same_bits(part, (full[0][:, :2], full[1][:, :2]))
    assert (np.diff(full[1], axis=2) >= 0).all()
    np.testing.assert_array_equal(full[0], full[1][:, :, 1])


def test_recursive_models_go_on_as_far_as_one_likes():
    model = fitted("recursive")
    far = forecast(model, SERIES, h=40)
    assert np.isfinite(far[0]).all()
    assert_same_bits(forecast(model, SERIES), (far[0][:, :5], far[1][:, :5]))


@pytest.mark.parametrize("strategy", ["segment", "direct"])
def test_others_do_not(strategy):
    with pytest.raises(ValueError, match=rf"h must be at most 5.*{strategy}.*got 6"):
        forecast(fitted(strategy), SERIES, h=6)


@every_strategy
def test_what_comes_after_the_end_does_not_matter(strategy):
    """Except for what is known of the future."""
    names, columns = everything_with(strategy)
    model = fitted(strategy, columns=columns(SERIES), **names)
    own = columns(SERIES, future=5)
    _, ends = ends_of(SERIES)
    ends = ends - 7
    panel = panel_of(SERIES, future=5, **own)
    series = np.arange(len(SERIES))
    said = model.forecast(panel, series, ends)
    rng = np.random.default_rng(3)
    after = np.arange(panel.y.size) - panel.starts[panel.series] >= ends[panel.series]
    panel.y[after] = 1e4 * rng.standard_normal(after.sum())
    panel.observed[after] = rng.random(after.sum()) < 0.5
    panel.hist[after] = 1e4
    assert_same_bits(said, model.forecast(panel, series, ends))
    # Nor what would be known of the time after the horizon, which nobody knows where a series ends.
    panel.futr[np.arange(panel.y.size) - panel.starts[panel.series] >= ends[panel.series] + 5] = 1e4
    assert_same_bits(said, model.forecast(panel, series, ends))
    panel.futr[after] += 1
    assert (model.forecast(panel, series, ends)[0] != said[0]).any(axis=1).all()


@every_strategy
def test_series_are_forecast_by_themselves(strategy):
    """In any order, alone, and among so many that they take several batches."""
    model = fitted(strategy, dtype="float32")
    series, ends = ends_of(SERIES)
    said = forecast(model, SERIES)
    panel = panel_of(SERIES, future=5)
    order = np.array([3, 0, 4, 1, 2])
    assert_same_bits(model.forecast(panel, series[order], ends[order]), [part[order] for part in said])
    assert_same_bits(forecast(model, [SERIES[2]]), [part[2:3] for part in said])
    many = np.resize(series, 1030)
    assert_same_bits(model.forecast(panel, many, ends[many]), [part[many] for part in said])


@every_strategy
def test_series_without_a_value_have_no_forecast_and_hurt_nobody(strategy):
    nothing = np.full(30, np.nan)
    model = fitted(strategy, all_series=[nothing, *SERIES, nothing])
    np.testing.assert_array_equal(model.networks[0].theta, fitted(strategy).networks[0].theta)
    point, quantiles = forecast(model, [nothing, *SERIES, nothing])
    assert np.isnan(point[[0, -1]]).all()
    assert np.isnan(quantiles[[0, -1]]).all()
    assert_same_bits((point[1:-1], quantiles[1:-1]), forecast(model, SERIES))


def odd_series():
    gap = SERIES[0].copy()
    gap[5:] = np.nan
    late = SERIES[1].copy()
    late[:-1] = np.nan
    return {
        "one row": np.array([3.0]),
        "two rows": np.array([3.0, 4.0]),
        "shorter than a season": np.arange(5.0),
        "constant": np.full(40, 7.0),
        "zeros": np.zeros(40),
        "huge": 1e12 * SERIES[2],
        "tiny": 1e-12 * SERIES[2],
        "a jump": np.concatenate([np.ones(20), np.full(20, 1e9)]),
        "negative": -SERIES[3],
        "one value at its end": late,
        "nothing for longer than a window": gap,
    }


@every_strategy
@pytest.mark.parametrize("transform", ["auto", "none"])
def test_odd_series_are_forecast_like_others(strategy, transform):
    odd = odd_series()
    model = fitted(strategy, all_series=[*odd.values(), *SERIES], transform=transform, max_steps=30)
    assert np.isfinite(model.networks[0].losses).all()
    point, quantiles = forecast(model, [*odd.values(), *SERIES])
    assert np.isfinite(point).all()
    assert np.isfinite(quantiles).all()
    for name, y, said in zip(odd, odd.values(), point, strict=False):
        size = np.nanmax(np.abs(y))
        assert np.abs(said).max() <= 20 * max(size, 1e-3), name
    np.testing.assert_allclose(point[list(odd).index("constant")], 7, rtol=0.05)


@every_strategy
def test_series_too_short_for_everything_are_learned_from(strategy):
    short = [np.array([1.0, 2.0, 3.0]) + i for i in range(6)]
    model = fitted(strategy, all_series=short)
    assert (model.networks[0].losses > 0).all()
    assert np.isfinite(forecast(model, [np.array([5.0])])[0]).all()


def test_nothing_to_learn_from():
    for nothing in ([np.array([1.0])], [np.full(9, np.nan)]):
        with pytest.raises(ValueError, match=r"no series can be trained on.*at least 2 observed"):
            fitted(all_series=nothing)
    with pytest.raises(ValueError, match="no series can be trained on"):
        fitted(all_series=[np.arange(8.0)], fit={"val_size": 4, "holdout": 3})


@every_strategy
@pytest.mark.parametrize("transform", ["log", "sqrt", "auto"])
def test_series_that_are_never_negative_stay_so(strategy, transform):
    rng = np.random.default_rng(0)
    counts = [rng.poisson(0.7, 40).astype(float) for _ in range(6)]
    model = fitted(strategy, all_series=counts, transform=transform, max_steps=30)
    point, quantiles = forecast(model, counts, h=5)
    assert (point >= 0).all()
    assert (quantiles >= 0).all()
    assert point.max() < 20
    # However far down, or up, a network goes.
    for far in (-1e3, 1e6):
        model.parameters["head.bias"][:] = far
        point, quantiles = forecast(model, counts, h=5)
        assert (point >= 0).all()
        assert (quantiles >= 0).all()
        assert np.isfinite(quantiles).all()


@pytest.mark.parametrize(
    ("transform", "kind"),
    [("auto", ("sqrt", "sqrt", "none")), ("log", ("log", "log", "none")), ("sqrt", ("sqrt", "sqrt", "none")),
     ("none", ("none", "none", "none"))],
)  # fmt: skip
def test_transforms_are_chosen_for_each_series(transform, kind):
    """Before any training to speak of, forecasts are the mean of the anchors on the transformed scale."""
    positive, zeros, negative = np.array([1.0, 16, 4]), np.array([0.0, 9, 4]), np.array([-1.0, 9, 4])
    model = fitted(
        all_series=[positive, zeros, negative],
        transform=transform,
        anchors=["mean"],
        segment=3,
        input_size=3,
        max_steps=1,
        learning_rate=1e-12,
        dtype="float64",
    )
    point, _ = forecast(model, [positive, zeros, negative])
    for y, said, name in zip((positive, zeros, negative), point, kind, strict=True):
        if name == "log":
            expected = np.exp(np.mean(np.log(np.maximum(y, 1e-3 * y.mean()))))
        else:
            expected = np.mean(np.sqrt(y)) ** 2 if name == "sqrt" else np.mean(y)
        np.testing.assert_allclose(said, expected, rtol=1e-6)


@every_strategy
@pytest.mark.parametrize("transform", ["log", "auto", "none"])
def test_units_do_not_matter(strategy, transform):
    """A power of two changes no digit; a thousand changes the last ones."""
    level = 20 if transform == "none" else 3
    few = seasonal_series(3, level=level + 10)
    said = forecast(fitted(strategy, all_series=few, transform=transform, dtype="float64"), few)
    for factor, rtol in ((1024, 1e-12), (1000, 1e-7)):
        scaled = [factor * y for y in few]
        other = forecast(fitted(strategy, all_series=scaled, transform=transform, dtype="float64"), scaled)
        for one, more in zip(said, other, strict=True):
            np.testing.assert_allclose(more, factor * one, rtol=rtol)


@every_strategy
@pytest.mark.parametrize("scaler_type", ["spread", "standard", "mean"])
@pytest.mark.parametrize("transform", ["log", "auto", "none"])
def test_units_change_no_bit_however_small(strategy, transform, scaler_type):
    """Powers of four, of which square roots are powers of two; constant windows and series, and zeros, among them."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(40) if transform == "none" else 5 + rng.random(40)
    whole = [noise, np.r_[np.ones(25), noise[:15]], np.full(30, 7.0), np.zeros(30), np.r_[np.zeros(25), noise[:9]]]
    arguments = {"transform": transform, "scaler_type": scaler_type, "max_steps": 3}
    said = forecast(fitted(strategy, all_series=whole, **arguments), whole)
    assert (said[0][3] == 0).all()
    assert (said[1][3] == 0).all()
    np.testing.assert_allclose(said[1][2], 7, rtol=1e-4 if scaler_type != "mean" else 2)
    for factor in (4.0**-30, 4.0**30):
        scaled = [factor * y for y in whole]
        other = forecast(fitted(strategy, all_series=scaled, **arguments), scaled)
        assert_same_bits([factor * part for part in said], other)


@every_strategy
@pytest.mark.parametrize("scaler_type", ["spread", "standard"])
def test_a_level_far_away_changes_little(strategy, scaler_type):
    waves = [np.sin(np.arange(50.0) + i) for i in range(3)]
    arguments = {"transform": "none", "scaler_type": scaler_type, "dtype": "float64"}
    said = forecast(fitted(strategy, all_series=waves, **arguments), waves)
    far = [y + 1024 for y in waves]
    for one, other in zip(said, forecast(fitted(strategy, all_series=far, **arguments), far), strict=True):
        np.testing.assert_allclose(other - 1024, one, atol=1e-4)


def test_columns_in_any_unit():
    names, columns = everything_with("segment")
    own = columns(SERIES)
    said = fitted(columns=own, **names).networks[0].theta
    for factor in (2.0**-60, 2.0**60):
        scaled = {name: [factor * part for part in parts] for name, parts in own.items()}
        np.testing.assert_array_equal(said, fitted(columns=scaled, **names).networks[0].theta)


@pytest.mark.parametrize("taus", [[0.05, 0.2, 0.4, 0.7], [0.1, 0.3, 0.6, 0.8, 0.95]])
@every_strategy
def test_each_quantile_is_the_network_s_own(strategy, taus):
    """By distance from the middle: the head's widths are put where they tell which of them a quantile has crossed."""
    model = fitted(strategy, quantiles=taus, anchors=["last"], transform="none", scaler_type="identity")
    row = {"segment": 7, "direct": 5, "recursive": 1}[strategy]
    model.parameters["head.weight"][:] = 0
    bias = model.parameters["head.bias"]
    above, below = [tau for tau in taus if tau > 0.5], [tau for tau in taus if tau < 0.5]
    bias[:row] = 0
    widths = np.arange(1.0, len(taus) + 1)
    bias[row : (1 + len(taus)) * row] = np.repeat(np.log(np.expm1(widths)), row)
    quantiles = forecast(model, SERIES)[1]
    middle = len(below)
    up, down = np.cumsum(widths[: len(above)]), np.cumsum(widths[len(above) :])
    expected = [*(-down[::-1]), 0, *up]
    np.testing.assert_allclose(
        quantiles - quantiles[:, :, [middle]], np.broadcast_to(expected, quantiles.shape), rtol=1e-4
    )
    assert model.quantiles == tuple(sorted([*taus, 0.5]))


@every_strategy
@pytest.mark.parametrize("ensemble", [1, 2])
def test_settings_and_tensors_are_all_of_a_model(strategy, ensemble):
    names, columns = everything_with(strategy)
    model = fitted(strategy, columns=columns(SERIES), ensemble=ensemble, **names)
    tensors = {name: array.copy() for name, array in model.tensors().items()}
    panel = panel_of(SERIES, **columns(SERIES))
    again = GRU.from_settings(json.loads(json.dumps(model.settings)), tensors, panel, DAILY)
    assert again.is_fitted
    own = columns(SERIES, future=5)
    assert_same_bits(forecast(model, SERIES, **own), forecast(again, SERIES, **own))
    for one in (model, again):
        one.fit(panel_of(SERIES, **columns(SERIES)), freq=DAILY, warm_start=True)
    assert_same_bits(forecast(model, SERIES, **own), forecast(again, SERIES, **own))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("segment", {"embed.weight": (8, 14), "embed.bias": (8,), "position": (1, 8), "decode.weight": (8, 0)}),
        ("direct", {"decode.weight": (8, 8), "decode.bias": (8,)}),
        ("recursive", {}),
    ],
)
@pytest.mark.parametrize(("cls", "gates"), [(RNN, 1), (GRU, 3), (LSTM, 4)])
def test_parameters_have_names(strategy, expected, cls, gates):
    model = fitted(strategy, cls, num_layers=2, anchors=[7], segment=7 if strategy == "segment" else None)
    inputs, row = (8, 7) if strategy == "segment" else (2, 5 if strategy == "direct" else 1)
    for layer in range(2):
        expected[f"rnn.weight_ih_l{layer}"] = (gates * 8, 8 if layer else inputs)
        expected[f"rnn.weight_hh_l{layer}"] = (gates * 8, 8)
        expected[f"rnn.bias_ih_l{layer}"] = expected[f"rnn.bias_hh_l{layer}"] = (gates * 8,)
    expected |= {"head.weight": (3 * row + 1, 8), "head.bias": (3 * row + 1,)}
    assert {name: view.shape for name, view in model.parameters.items()} == expected
    assert [set(member) for member in model.members] == [set(expected)]
    # They are the weights themselves.
    before = forecast(model, SERIES)[0]
    model.parameters["head.bias"][:row] += 1
    assert (forecast(model, SERIES)[0] > before).all()


def test_integer_times_without_seasons_say_so_once():
    model = model_of(seasonality=None, ensemble=2)
    with pytest.warns(UserWarning, match=r"GRU.*seasonality=<steps>.*seasonality=1") as caught:
        model.fit(panel_of(SERIES), freq=INTEGER)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forecast(model, SERIES)
        model_of(seasonality=1).fit(panel_of(SERIES), freq=INTEGER)
        model_of(seasonality=None).fit(panel_of(SERIES), freq=DAILY)


def test_seasons_of_the_frequency_are_those_that_were_meant():
    assert_same_bits(forecast(fitted(seasonality=None), SERIES), forecast(fitted(seasonality=[7]), SERIES))


@every_strategy
def test_missing_values_are_not_zeros(strategy):
    """What stands where nothing was observed is never read."""
    rng = np.random.default_rng(5)
    gappy = [np.where(rng.random(len(y)) < 0.3, np.nan, y) for y in SERIES]
    model = fitted(strategy, all_series=gappy)
    said = forecast(model, gappy)
    panel = panel_of(gappy)
    panel.y[~panel.observed] = 1e5
    other = model_of(strategy)
    other.fit(panel, freq=DAILY)
    panel = panel_of(gappy, future=5)
    panel.y[~panel.observed] = -1e5
    assert_same_bits(said, other.forecast(panel, *ends_of(gappy)))
