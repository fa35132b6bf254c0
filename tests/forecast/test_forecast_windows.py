"""Windows against the docstring of `bptt.forecast.network.batches`, written down step by step in NumPy."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.forecast.network.batches import (
    AVERAGE,
    BY_MEAN,
    CHANGE,
    DRIFT,
    IDENTITY,
    LAST,
    MEAN,
    SEASONAL,
    SPREAD,
    STANDARD,
    Batch,
    WindowSpec,
    gather,
    sample,
    source_of,
)
from bptt.numerics.threads import run

ARRAYS = ("shift", "spread", "slope", "x", "future", "anchors", "target", "weight", "weights")


class Series(NamedTuple):
    """One series by itself; NaN where nothing was observed."""

    y: np.ndarray
    stop: int
    min_spread: float
    futr: np.ndarray
    hist: np.ndarray
    static: np.ndarray


def source_from(all_series):
    lengths = [len(series.y) for series in all_series]
    y = np.concatenate([series.y for series in all_series])
    return source_of(
        np.nan_to_num(y),
        np.isfinite(y),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.array([series.stop for series in all_series]),
        np.array([series.min_spread for series in all_series]),
        np.concatenate([series.futr for series in all_series]),
        np.concatenate([series.hist for series in all_series]),
        np.stack([series.static for series in all_series]),
    )


def batch_of(all_series, reading, series, ends, dtype="float64"):
    """Filled with what must not be left in it."""
    one, B = all_series[0], len(series)
    F, G, C, K = one.futr.shape[1], one.hist.shape[1], one.static.size, reading.kinds.size
    n, S, R = -(-reading.h // reading.R), reading.S, reading.R
    garbage = lambda *shape: np.full(shape, 1e6, dtype)  # noqa: E731
    return Batch(
        np.array(series, np.int64),
        np.array(ends, np.int64),
        np.full(B, 1e6),
        np.full(B, 1e6),
        np.full(B, 1e6),
        garbage(reading.T * B, S * (2 + reading.lags.size + G + F) + C),
        garbage(n * B, R * F + C),
        garbage(n * B, K * R),
        garbage(n * B, R),
        garbage(n * B, R),
        np.full(B, 1e6),
    )


def naive_scale(values, scaler, min_spread):
    """(shift, spread) of observed values."""
    if scaler == IDENTITY or values.size == 0:
        return 0.0, 1.0
    if scaler == BY_MEAN:
        return 0.0, max(np.mean(np.abs(values)), min_spread)
    around = values - np.mean(values)
    return np.mean(values), max(np.std(values) if scaler == STANDARD else np.mean(np.abs(around)), min_spread)


def naive_window(one: Series, reading, end):
    """One window's arrays: x (T, X), future (n, .), anchors (n, K R), target, weight (n, R)."""
    past = {p: value for p, value in enumerate(one.y[:end]) if np.isfinite(value)}
    inside = [p for p in range(end - reading.T * reading.S, end) if p in past]
    window = [past[p] for p in inside]
    # A window in which nothing was observed is scaled by all that came before it.
    shift, spread = naive_scale(np.array(window or list(past.values())), reading.scaler, one.min_spread)
    z = {p: (value - shift) / spread for p, value in past.items()}
    F, G = one.futr.shape[1], one.hist.shape[1]

    def known(p, k):
        return one.futr[p, k] if 0 <= p < len(one.y) else 0.0

    x = []
    for t in range(reading.T):
        steps = [end - (reading.T - t) * reading.S + s for s in range(reading.S)]
        row = [z.get(p, 0.0) for p in steps] + [float(p in z) for p in steps]
        for lag in reading.lags:
            row += [z.get(p + 1 - lag, 0.0) for p in steps]
        for k in range(G):
            row += [one.hist[p, k] if p >= 0 else 0.0 for p in steps]
        for k in range(F):
            row += [known(p + reading.ahead, k) for p in steps]
        x.append(row + list(one.static))

    latest = z[max(z)] if z else 0.0
    mean = np.mean([(value - shift) / spread for value in window or list(past.values())]) if past else 0.0

    slope = (z[inside[-1]] - z[inside[0]]) / (inside[-1] - inside[0]) if len(inside) > 1 else 0.0

    def seasonal(p, period):
        """The latest one of p - period, p - 2 period, ... that was observed before the end."""
        found = [q for q in range(p - period, -1, -period) if q in z]
        return z[found[0]] if found else None

    def anchor(kind, period, p):
        if kind == LAST:
            return latest
        if kind == MEAN:
            return mean
        if kind == DRIFT:
            return latest + (p - end + 1) * slope
        if kind == AVERAGE:
            same = [z[q] for q in inside if (p - q) % period == 0]
            return np.mean(same) if same else latest
        value = seasonal(p, period)
        if value is None:
            return latest
        before = max(z) - period
        return value + latest - z[before] if kind == CHANGE and before in z else value

    future, anchors, target, weight = [], [], [], []
    for first in range(0, reading.h, reading.R):
        steps = [end + first + s for s in range(reading.R)]
        # Past the horizon nothing is known at the end of a series, so nothing is told before it either.
        future.append([known(p, k) * (p < end + reading.h) for k in range(F) for p in steps] + list(one.static))
        kinds = list(zip(reading.kinds, reading.periods, strict=True))
        anchors.append([anchor(kind, period, p) for kind, period in kinds for p in steps])
        # Of a series of which nothing is known yet, there is nothing to learn.
        seen = [bool(past) and p < end + reading.h and p < one.stop and np.isfinite(one.y[p]) for p in steps]
        weight.append([reading.horizon_weight[p - end] if s else 0.0 for p, s in zip(steps, seen, strict=True)])
        target.append([(one.y[p] - shift) / spread if s else 0.0 for p, s in zip(steps, seen, strict=True)])
    return shift, spread, slope, x, future, anchors, target, weight, np.sum(weight)


def naive_batch(all_series, reading, series, ends):
    """All windows: rows t*B + b."""
    parts = [naive_window(all_series[i], reading, end) for i, end in zip(series, ends, strict=True)]
    arrays = {}
    for name, values in zip(ARRAYS, zip(*parts, strict=True), strict=True):
        array = np.array(values, np.float64)
        arrays[name] = array if array.ndim == 1 else np.concatenate(array.swapaxes(0, 1))
    return arrays


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    columns = st.integers(0, 2)
    F, G, C = draw(columns), draw(columns), draw(columns)
    gaps = draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))
    level = draw(st.sampled_from([0.0, 50.0]))
    all_series = []
    for length in draw(st.lists(st.integers(1, 25), min_size=1, max_size=4)):
        y = level + rng.standard_normal(length)
        y[rng.random(length) < gaps] = np.nan
        if draw(st.booleans()):
            y[:] = np.where(np.isfinite(y), level, np.nan)
        all_series.append(
            Series(
                y,
                draw(st.integers(0, length)),
                0.25,
                rng.standard_normal((length, F)).astype("float32"),
                rng.standard_normal((length, G)).astype("float32"),
                rng.standard_normal(C).astype("float32"),
            )
        )
    R = draw(st.integers(1, 4))
    kinds = draw(st.lists(st.sampled_from([LAST, MEAN, SEASONAL, CHANGE, DRIFT, AVERAGE]), max_size=4))
    h = draw(st.integers(1, 9))
    reading = WindowSpec(
        T=draw(st.integers(1, 4)),
        S=draw(st.integers(1, 3)),
        R=R,
        h=h,
        scaler=draw(st.sampled_from([SPREAD, STANDARD, BY_MEAN, IDENTITY])),
        ahead=draw(st.integers(0, 1)),
        lags=np.array(draw(st.lists(st.integers(2, 8), max_size=2)), np.int64),
        kinds=np.array(kinds, np.int64),
        periods=np.array(
            [rng.integers(1, 7) if kind in (SEASONAL, CHANGE, AVERAGE) else 0 for kind in kinds], np.int64
        ),
        horizon_weight=rng.random(h),
    )
    series = rng.integers(0, len(all_series), draw(st.integers(1, 6)))
    ends = np.array([rng.integers(1, len(all_series[i].y) + 1) for i in series])
    return all_series, reading, series, ends


def assert_is_naive(all_series, reading, series, ends, rtol=1e-9, dtype="float64"):
    batch = batch_of(all_series, reading, series, ends, dtype)
    run(gather, source_from(all_series), reading, batch)
    for name, expected in naive_batch(all_series, reading, series, ends).items():
        np.testing.assert_allclose(getattr(batch, name), expected, rtol=rtol, atol=10 * rtol, err_msg=name)
    return batch


@given(problem=problems())
def test_windows_are_what_is_said_of_them(problem):
    assert_is_naive(*problem)


def one_of(y, stop=None, min_spread=1e-3):
    y = np.array(y, np.float64)
    nothing = np.zeros((len(y), 0), "float32")
    return Series(y, len(y) if stop is None else stop, min_spread, nothing, nothing, np.zeros(0, "float32"))


def reading_of(**changes):
    none = np.zeros(0, np.int64)
    fields = {"T": 2, "S": 2, "R": 3, "h": 3, "scaler": SPREAD, "ahead": 0}
    fields |= {"lags": none, "kinds": none, "periods": none}
    fields |= {name: np.array(value, np.int64) if isinstance(value, list) else value for name, value in changes.items()}
    fields.setdefault("horizon_weight", np.ones(fields["h"]))
    return WindowSpec(**fields)


def test_a_window_by_hand():
    """2, 4, 6, 8 before the end: mean 5, mean absolute deviation 2."""
    reading = reading_of(kinds=[LAST, MEAN, SEASONAL, CHANGE, DRIFT], periods=[0, 0, 2, 2, 0])
    batch = assert_is_naive([one_of([2, 4, 6, 8, 10, np.nan, 14])], reading, [0], [4])
    assert (batch.shift[0], batch.spread[0]) == (5, 2)
    np.testing.assert_array_equal(batch.x, [[-1.5, -0.5, 1, 1], [0.5, 1.5, 1, 1]])
    np.testing.assert_array_equal(batch.target, [[2.5, 0, 4.5]])
    np.testing.assert_array_equal(batch.weight, [[1, 0, 1]])
    expected = [[1.5, 1.5, 1.5], [0, 0, 0], [0.5, 1.5, 0.5], [2.5, 3.5, 2.5], [2.5, 3.5, 4.5]]
    np.testing.assert_array_equal(batch.anchors.reshape(5, 3), expected)


@pytest.mark.parametrize("scaler", [SPREAD, STANDARD, BY_MEAN, IDENTITY])
def test_the_mean_is_that_of_the_window_with_any_scaler(scaler):
    batch = assert_is_naive([one_of([2, 4, 6, 8, 10])], reading_of(scaler=scaler, kinds=[MEAN], periods=[0]), [0], [4])
    np.testing.assert_allclose(batch.anchors * batch.spread[0] + batch.shift[0], 5)


def test_a_window_in_which_nothing_was_observed_has_the_scale_of_what_came_before():
    y = [1e6, 3e6, *[np.nan] * 8, 2e6]
    batch = assert_is_naive([one_of(y)], reading_of(h=1, kinds=[LAST], periods=[0]), [0], [10])
    assert abs(batch.target[0, 0]) < 2
    np.testing.assert_allclose(batch.anchors[0] * batch.spread[0] + batch.shift[0], 3e6)


def test_before_the_first_value_there_is_nothing_to_learn():
    batch = assert_is_naive([one_of([np.nan, np.nan, 1e6, 2e6])], reading_of(), [0], [2])
    assert batch.weights[0] == 0
    assert not batch.target.any()


def test_single_precision():
    rng = np.random.default_rng(3)
    one = Series(
        100 + rng.standard_normal(20),
        18,
        0.1,
        rng.standard_normal((20, 2)).astype("float32"),
        rng.standard_normal((20, 1)).astype("float32"),
        rng.standard_normal(2).astype("float32"),
    )
    reading = reading_of(kinds=[LAST, SEASONAL], periods=[0, 3], lags=[2])
    assert_is_naive([one], reading, [0, 0, 0], [2, 11, 20], rtol=1e-6, dtype="float32")


def drawn(seed, step, probabilities, first, last, B=4000):
    series, ends = np.zeros(B, np.int64), np.zeros(B, np.int64)
    sample(seed, step, np.array(probabilities), np.array(first), np.array(last), series, ends)
    return series, ends


def test_series_are_drawn_by_their_chances_and_ends_evenly():
    first, last = [2, 1, 5, 7], [4, 1, 14, 9]
    series, ends = drawn(1, 2, [0.1, 0.1, 0.7, 1.0], first, last)
    share = np.bincount(series, minlength=4) / series.size
    # Four standard deviations.
    np.testing.assert_allclose(share, [0.1, 0, 0.6, 0.3], atol=4 * 0.5 / np.sqrt(series.size))
    for i in (0, 2, 3):
        here, counts = np.unique(ends[series == i], return_counts=True)
        np.testing.assert_array_equal(here, np.arange(first[i], last[i] + 1))
        expected = counts.sum() / counts.size
        assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected)


def test_the_same_windows_for_the_same_seed_and_step_only():
    given_to = ([0.5, 1.0], [1, 1], [500, 500])
    series, ends = drawn(5, 9, *given_to, B=50)
    again = drawn(5, 9, *given_to, B=50)
    np.testing.assert_array_equal(series, again[0])
    np.testing.assert_array_equal(ends, again[1])
    for seed, step in ((6, 9), (5, 10), (5, 8)):
        other = drawn(seed, step, *given_to, B=50)
        assert (other[1] != ends).mean() > 0.8
    # A larger batch begins with the smaller one.
    np.testing.assert_array_equal(drawn(5, 9, *given_to, B=80)[1][:50], ends)
