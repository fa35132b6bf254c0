"""Scales of series against the formulas, written out row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.forecast.fitting.local_scaling import mase_scale, scaling
from bptt.forecast.frames.panel import Panel


def panel_of(parts):
    """A panel of lists of values, None where one is missing."""
    values = [value for part in parts for value in part]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    ds = np.concatenate([np.arange(len(part)) for part in parts])
    none = np.zeros((len(values), 0), np.float32)
    y = np.array([0.0 if value is None else value for value in values])
    observed = np.array([value is not None for value in values])
    return Panel(np.arange(len(parts)), starts, ds, y, observed, none, none, np.zeros((len(parts), 0), np.float32))


values = st.one_of(st.none(), st.integers(-50, 50).map(lambda tenths: tenths / 10))
panels = st.lists(st.lists(values, min_size=1, max_size=20), min_size=1, max_size=4)


@given(panels, st.integers(1, 6))
def test_movement_is_the_mean_absolute_seasonal_difference_before_the_end(parts, period):
    series, ends = np.array([(at, end) for at, part in enumerate(parts) for end in range(len(part) + 1)]).T

    def differences(part, lag):
        pairs = [(part[t], part[t - lag]) for t in range(lag, len(part))]
        return [abs(now - then) for now, then in pairs if now is not None and then is not None]

    expected = []
    for at, end in zip(series, ends, strict=True):
        moves = differences(parts[at][:end], period)
        if len(moves) < period:
            moves = differences(parts[at][:end], 1)
        expected.append(np.mean(moves) if moves else 0.0)
    assert mase_scale(panel_of(parts), series, ends, period) == pytest.approx(np.array(expected), abs=1e-12)


@given(panels, st.integers(0, 5), st.sampled_from(["standard", "robust", "minmax"]))
def test_scales_know_the_observed_rows_before_the_skipped_ones_and_undo_themselves(parts, holdout, kind):
    panel = panel_of(parts)
    scale = scaling(panel, kind, holdout)
    assert (scale.spread > 0).all()
    for at, part in enumerate(parts):
        seen = [value for value in part[: max(len(part) - holdout, 0)] if value is not None]
        if not seen:
            assert (scale.center[at], scale.spread[at]) == (0, 1)
        elif len(set(seen)) == 1:
            assert scale.center[at] == pytest.approx(seen[0])
            assert scale.spread[at] == 1
        elif kind == "standard":
            assert (scale.center[at], scale.spread[at]) == pytest.approx((np.mean(seen), np.std(seen)))
        elif kind == "minmax":
            assert (scale.center[at], scale.spread[at]) == pytest.approx((min(seen), max(seen) - min(seen)))
        else:
            assert scale.center[at] == np.median(seen)
    scaled = scale.apply(panel)
    assert not scaled.y[~panel.observed].any()
    back = scale.invert(scaled.y[:, None], panel.series)[:, 0]
    assert back[panel.observed] == pytest.approx(panel.y[panel.observed], abs=1e-9)


def test_robust_scales_outlast_outliers_and_many_equal_values():
    scale = scaling(panel_of([[1.0, 2.0, 3.0, 4.0, 1e9], [0.0, 0.0, 0.0, 0.0, 6.0], [3.0, 3.0]]), "robust")
    assert scale.center.tolist() == [3, 0, 3]
    assert scale.spread.tolist() == [1, 6, 1]


def test_a_small_series_beside_a_large_one_keeps_its_digits():
    panel = panel_of([[1e15, -1e15] * 5, [1e-5, 2e-5, 3e-5]])
    assert mase_scale(panel, np.array([1]), np.array([3]), 1) == pytest.approx(1e-5, rel=1e-9)
