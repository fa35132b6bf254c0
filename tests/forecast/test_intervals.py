"""What is asked for, how it is read off a model's quantiles, and what calibration promises."""

import itertools
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_panels import DAILY, ends_of, panel_of, seasonal_series

from bptt.forecast import GRU
from bptt.forecast.evaluation.fitted import Trained
from bptt.forecast.evaluation.intervals import Calibration, ConformalIntervals, interpolate, request

z = NormalDist().inv_cdf


# ------------------------------------------------------------------------------------------- what is asked for


def test_columns_of_levels_stand_from_the_lowest_quantile_to_the_highest():
    requested = request(level=[80, 95.0, 97.5])
    assert requested.columns("LSTM") == [
        "LSTM",
        "LSTM-lo-97.5",
        "LSTM-lo-95",
        "LSTM-lo-80",
        "LSTM-hi-80",
        "LSTM-hi-95",
        "LSTM-hi-97.5",
    ]
    assert requested.quantiles == (0.0125, 0.025, 0.1, 0.9, 0.975, 0.9875)


def test_columns_of_quantiles_are_ascending():
    assert request(quantiles=(0.9, 0.025, np.float64(0.5))).columns("m") == ["m", "m_ql0.025", "m_ql0.5", "m_ql0.9"]


def test_nothing_asked_is_the_point_alone():
    assert request().columns("m") == ["m"]
    assert request().quantiles == ()


@given(st.lists(st.integers(10, 999), min_size=1, max_size=6, unique=True))
def test_levels_and_quantiles_say_the_same(tenths):
    level = [tenth / 10 for tenth in tenths]
    quantiles = [q for tenth in tenths for q in ((1000 - tenth) / 2000, (1000 + tenth) / 2000)]
    assert request(level=level).quantiles == request(quantiles=quantiles).quantiles
    assert list(request(level=level).quantiles) == sorted(quantiles)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"level": [80], "quantiles": [0.1]}, ValueError, "You can't set both level and quantiles."),
        ({"level": 80}, TypeError, r"level must be a list of numbers between 0 and 100, like level=\[80, 95\]; got 80"),
        ({"level": "80"}, TypeError, "level must be a list"),
        ({"quantiles": 0.5}, TypeError, "quantiles must be a list of numbers between 0 and 1"),
        ({"level": []}, ValueError, "level must hold at least one number"),
        ({"level": [0]}, ValueError, r"each of level must be a finite number in \(0, 100\); got 0"),
        ({"level": [100]}, ValueError, r"each of level must be a finite number in \(0, 100\); got 100"),
        ({"level": [float("nan")]}, ValueError, "each of level must be a finite number"),
        ({"level": [True]}, TypeError, "each of level"),
        ({"level": ["80"]}, TypeError, "each of level must be a finite number"),
        ({"level": [1e-11]}, ValueError, "level must be a number in .* with at most 9 decimals"),
        ({"quantiles": [1e-14]}, ValueError, "quantiles must be a number in .* with at most 12 decimals"),
        ({"quantiles": [80]}, ValueError, r"each of quantiles must be a finite number in \(0, 1\); got 80"),
        ({"level": [80, 95, 80.0]}, ValueError, "level must hold each number once; got 80 more than once"),
        ({"quantiles": [0.1, 0.1]}, ValueError, "quantiles must hold each number once; got 0.1 more than once"),
    ],
)
def test_what_cannot_be_asked(arguments, kind, message):
    with pytest.raises(kind, match=message):
        request(**arguments)


@given(st.floats(1, 100 - 1e-8))
def test_any_level_gives_quantiles_inside_the_unit_interval(level):
    below, above = request(level=[level]).quantiles
    assert 0 < below <= above < 1
    assert (below, above) == pytest.approx(((100 - level) / 200, (100 + level) / 200), abs=1e-9)


# ---------------------------------------------------------------------------------------------- interpolation


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=8, unique=True).map(sorted),
    st.sampled_from([(0.1, 0.5, 0.9), (0.5, 0.6), (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)]),
)
def test_a_normal_distribution_comes_out_exact(mean, deviation, want, have):
    known = mean + deviation * np.array([z(q) for q in have])
    expected = mean + deviation * np.array([z(q) for q in want])
    assert interpolate(known, have, want) == pytest.approx(expected, rel=1e-6, abs=1e-9 * (abs(mean) + deviation))


def test_known_quantiles_are_passed_on_bit_by_bit():
    values = np.sort(np.random.default_rng(0).normal(size=(4, 3, 5)), axis=-1)
    have = (0.05, 0.1, 0.5, 0.9, 0.95)
    assert np.array_equal(interpolate(values, have, have), values)
    assert np.array_equal(interpolate(values, have, (0.1, 0.9)), values[..., [1, 3]])


def test_a_single_quantile_stands_for_all():
    assert interpolate(np.array([[3.0]]), (0.5,), (0.1, 0.5, 0.9)).tolist() == [[3.0, 3.0, 3.0]]


finite = st.floats(-1e9, 1e9)


@given(
    st.lists(finite, min_size=3, max_size=3).map(sorted),
    st.lists(st.floats(1e-9, 1 - 1e-9), min_size=1, max_size=9, unique=True).map(sorted),
)
def test_interpolated_quantiles_never_cross(values, want):
    result = interpolate(np.array(values), (0.1, 0.5, 0.9), want)
    assert (np.diff(result) >= 0).all()
    inside = [0.1 <= q <= 0.9 for q in want]
    assert ((result[inside] >= values[0]) & (result[inside] <= values[2])).all()


# ------------------------------------------------------------------------------------------------ calibration


def too_narrow(rng, windows, steps, have=(0.1, 0.5, 0.9)):
    """A model that believes in a tenth of the spread there is: forecasts 0, errors of standard normal noise."""
    believed = 0.1 * np.array([z(q) for q in have])
    return Calibration(have, believed - rng.normal(size=(windows, steps, 1)))


def test_intervals_that_are_far_too_narrow_are_widened_to_the_quantiles_of_the_noise():
    want = request(level=[80, 95]).quantiles
    calibration = too_narrow(np.random.default_rng(1), 20_000, 2)
    forecast = interpolate(0.1 * np.array([[[z(q) for q in (0.1, 0.5, 0.9)]] * 2]), (0.1, 0.5, 0.9), want)
    calibrated = calibration.apply(forecast, np.ones(1), want)
    assert calibrated == pytest.approx(np.array([[[z(q) for q in want]] * 2]), abs=0.05)


def test_the_shift_is_in_units_of_each_window():
    calibration = too_narrow(np.random.default_rng(2), 500, 1)
    values = np.zeros((2, 1, 1))
    one, seven = calibration.apply(values, np.array([1.0, 7.0]), (0.9,)).ravel()
    assert seven == pytest.approx(7 * one)
    assert one > 0.5


@pytest.mark.parametrize("scores", [24, 39, 200])
def test_coverage_on_average_is_at_least_the_level_and_hardly_more(scores):
    """Vovk, Gammerman & Shafer (2005): within 1 / (n + 1) for each end, whatever the distribution."""
    rng = np.random.default_rng(3)
    repeats, level = 3000, 0.8
    inside = 0
    for _ in range(repeats):
        errors = rng.standard_t(3, size=scores + 1)
        low, high = Calibration((0.5,), -errors[:-1, None, None]).shifts((0.1, 0.9), 1)[0]
        inside += low <= errors[-1] <= high
    noise = 3 * np.sqrt(level * (1 - level) / repeats)
    assert level - noise <= inside / repeats <= level + 2 / (scores + 1) + noise


def test_ranks_are_those_of_finite_samples():
    calibration = Calibration((0.5,), -np.arange(1.0, 100.0)[:, None, None])  # scores 1 ... 99, of a hundred places
    assert calibration.shifts((0.05, 0.1, 0.5, 0.9, 0.95), 1)[0].tolist() == [5.0, 10.0, 50.0, 90.0, 95.0]
    few = Calibration((0.5,), -np.arange(1.0, 6.0)[:, None, None])
    assert few.shifts((0.025, 0.975), 1)[0].tolist() == [1.0, 5.0]  # no rank so far out: the outermost


def test_steps_with_many_scores_keep_their_own_shift_and_steps_with_few_borrow():
    rng = np.random.default_rng(4)
    growing = np.arange(1, 7)
    many = Calibration((0.5,), rng.normal(size=(4000, 6, 1)) * growing[:, None])
    assert many.shifts((0.9,), 6)[:, 0] == pytest.approx(growing * z(0.9), rel=0.1)
    few = Calibration((0.5,), rng.normal(size=(6, 6, 1)) * growing[:, None])
    assert np.unique(few.shifts((0.9,), 6)).size == 1


def test_steps_past_the_calibrated_horizon_take_the_last_shift():
    calibration = Calibration((0.5,), np.random.default_rng(5).normal(size=(400, 3, 1)))
    shifts = calibration.shifts((0.1, 0.9), 5)
    assert np.array_equal(shifts[:3], calibration.shifts((0.1, 0.9), 3))
    assert np.array_equal(shifts[3:], shifts[[2, 2]])


def test_missing_values_are_no_scores():
    errors = np.random.default_rng(6).normal(size=(300, 2, 1))
    errors[100:, 0] = np.nan
    whole = Calibration((0.5,), errors[:100])
    assert np.array_equal(Calibration((0.5,), errors).shifts((0.1, 0.9), 1), whole.shifts((0.1, 0.9), 1))
    assert not Calibration((0.5,), np.full((3, 2, 1), np.nan)).shifts((0.1, 0.9), 2).any()


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 5),
    st.lists(st.floats(0.001, 0.999), min_size=2, max_size=6, unique=True).map(sorted),
)
def test_calibrated_quantiles_never_cross(seed, windows, steps, want):
    rng = np.random.default_rng(seed)
    have = (0.1, 0.5, 0.9)
    calibration = Calibration(have, np.sort(rng.standard_cauchy(size=(windows, steps, 3)), axis=-1))
    forecast = interpolate(np.sort(rng.normal(size=(7, steps, 3)), axis=-1), have, want)
    result = calibration.apply(forecast, rng.exponential(size=7), want)
    assert result.shape == (7, steps, len(want))
    assert (np.diff(result, axis=-1) >= 0).all()


def test_held_out_rows():
    assert ConformalIntervals().rows(12) == 24
    assert ConformalIntervals(n_windows=3, step_size=1).rows(12) == 14
    assert ConformalIntervals(n_windows=1).rows(12) == 12


@pytest.mark.parametrize("arguments", [{"n_windows": 0}, {"n_windows": 2.0}, {"step_size": 0}, {"step_size": "h"}])
def test_conformal_intervals_check_their_arguments(arguments):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(arguments))} must be an integer of at least 1"):
        ConformalIntervals(**arguments)


def test_a_level_is_in_percent():
    with pytest.raises(ValueError, match=r"level is in percent, like level=\[80, 95\]; got 0\.95"):
        request(level=[0.95])
    assert request(level=[1]).columns("GRU") == ["GRU", "GRU-lo-1", "GRU-hi-1"]


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_the_point_forecast_moves_with_its_quantiles(loss):
    """Held out, all forecasts were too low, by 3 to 5 of the series' seasonal differences."""
    series = seasonal_series(3)
    model = GRU(h=4, seasonality=7, hidden_size=4, max_steps=2, batch_size=8, quantiles=[0.1, 0.9], loss=loss)
    panel = panel_of(series, future=4)
    model.fit(panel_of(series), freq=DAILY)
    errors = -4 + np.linspace(-1, 1, 201)[:, None, None] + np.zeros((201, 4, 3))
    calibrated = Trained((model,), ("GRU",), DAILY, None, (Calibration(model.quantiles, errors),))
    plain = Trained((model,), ("GRU",), DAILY, None, (None,))
    requested, numbers = request(level=[50, 80]), ends_of(series)
    before = plain.forecast(panel, *numbers, 4, requested)
    after = calibrated.forecast(panel, *numbers, 4, requested)
    names = ("GRU-lo-80", "GRU-lo-50", "GRU", "GRU-hi-50", "GRU-hi-80")
    for low, high in itertools.pairwise(names):
        assert (after[low] <= after[high]).all()
    # The same whether intervals are asked for or not.
    np.testing.assert_array_equal(after["GRU"], calibrated.forecast(panel, *numbers, 4, request())["GRU"])
    if loss == "mae":
        moved = after["GRU"] - before["GRU"]
        np.testing.assert_allclose(moved, after["GRU-hi-80"] - before["GRU-hi-80"], rtol=0.5)
        assert (moved > 0).all()
    else:  # a mean is not moved by what a median missed
        np.testing.assert_array_equal(after["GRU"], before["GRU"])
