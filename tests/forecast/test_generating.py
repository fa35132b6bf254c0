"""Generated series: the documented formula, its structure found again by least squares, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.forecast.datasets import generate_series


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 30), st.integers(0, 2**63 - 1))
def test_shape_and_order(n_series: int, shortest: int, more: int, seed: int) -> None:
    df = generate_series(n_series, "D", shortest, shortest + more, seed=seed)
    assert list(df.columns) == ["unique_id", "ds", "y"]
    assert df["unique_id"].nunique() == n_series
    assert df["unique_id"].is_monotonic_increasing
    assert np.isfinite(df["y"]).all()
    for _, rows in df.groupby("unique_id"):
        assert shortest <= len(rows) <= shortest + more
        assert rows["ds"].tolist() == pd.date_range("2000-01-01", periods=len(rows), freq="D").tolist()


def test_same_seed_same_series_and_more_leave_the_first_alone() -> None:
    few, many = generate_series(5, seed=3), generate_series(9, seed=3)
    pd.testing.assert_frame_equal(few, many.iloc[: len(few)])
    assert not np.allclose(generate_series(5, seed=4)["y"].head(40), few["y"].head(40))
    first = [rows.head(40).to_numpy() for _, rows in few.groupby("unique_id")["y"]]
    assert len({values[0] for values in first}) == 5


@pytest.mark.parametrize("freq", ["30min", "h", "D", "B", "W", "MS", "ME", "QS", "YE"])
def test_times_are_regular(freq: str) -> None:
    df = generate_series(1, freq, 20, 20, start="2020-03-01")
    assert df["ds"].tolist() == pd.date_range("2020-03-01", periods=20, freq=freq).tolist()


def test_integer_times() -> None:
    assert generate_series(1, 1, 4, 4)["ds"].tolist() == [1, 2, 3, 4]
    assert generate_series(1, 2, 3, 3, start=10)["ds"].tolist() == [10, 12, 14]


def test_expected_value_is_a_line_times_two_harmonics() -> None:
    """Least squares on waves and waves times t fit exactly, the second by one factor, the slope, from the first."""
    df = generate_series(6, 1, 240, 240, with_trend=True, seasonality=[12], noise=0.0, expected=True, seed=1)
    for _, rows in df.groupby("unique_id"):
        y = rows["y"].to_numpy()
        np.testing.assert_allclose(y, rows["expected"])
        t = np.arange(240)
        turn = 2 * np.pi * t / 12
        waves = np.column_stack([np.ones(240), np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn)])
        columns = np.hstack([waves, waves * t[:, None] / 240])
        weights = np.linalg.lstsq(columns, y, rcond=None)[0]
        np.testing.assert_allclose(columns @ weights, y, rtol=1e-9)
        slope = weights[5] / weights[0]
        assert -0.4 <= slope <= 1
        np.testing.assert_allclose(weights[5:], slope * weights[:5], atol=1e-8 * y.max())


def test_two_periods_without_noise_repeat_after_the_longer() -> None:
    df = generate_series(3, "h", 400, 400, noise=0.0)
    for _, rows in df.groupby("unique_id"):
        y = rows["y"].to_numpy()
        np.testing.assert_allclose(y[168:], y[:-168], rtol=1e-9)
        assert np.abs(y[24:] - y[:-24]).max() > 0.02 * y.mean()


def test_noise_is_white_and_of_the_stated_size() -> None:
    df = generate_series(1, 1, 20_000, 20_000, noise=0.2, expected=True, seed=5)
    level = df["expected"].iloc[0]  # without season and trend, the expected value is the level
    error = (df["y"] - df["expected"]) / level
    assert error.mean() == pytest.approx(0, abs=5 * 0.2 / np.sqrt(20_000))
    assert error.std() == pytest.approx(0.2, rel=0.03)
    assert abs(error.autocorr(1)) < 0.03


def test_events_have_one_effect_in_all_series() -> None:
    df = generate_series(8, 1, 300, 300, n_futr_exog=2, noise=0.0, seed=2)
    assert set(df["futr_0"]) == {0.0, 1.0}
    effects = []
    for _, rows in df.groupby("unique_id"):
        alone = rows[rows["futr_1"] == 0].groupby("futr_0")["y"].mean()
        effects.append(alone[1.0] / alone[0.0] - 1)
    np.testing.assert_allclose(effects, effects[0], rtol=1e-9)
    assert -0.3 <= effects[0] <= 0.5


def test_static_columns() -> None:
    df = generate_series(400, 1, 1, 1, n_static_features=2, noise=0.0)
    assert list(df.columns) == ["unique_id", "ds", "y", "static_0", "static_1"]
    assert isinstance(df["static_0"].dtype, pd.CategoricalDtype)
    levels = df.groupby("static_0", observed=True)["y"].median()
    assert levels[3] / levels[0] == pytest.approx(2.5, rel=0.25)
    same = generate_series(20, 1, 5, 9, n_static_features=1).groupby("unique_id")["static_0"].nunique()
    assert (same == 1).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"n_series": 0}, "n_series"),
        ({"min_length": 0}, "min_length"),
        ({"min_length": 9, "max_length": 8}, "max_length"),
        ({"n_static_features": -1}, "n_static_features"),
        ({"n_futr_exog": -1}, "n_futr_exog"),
        ({"seed": -1}, "seed"),
        ({"noise": -0.1}, "noise"),
        ({"noise": float("nan")}, "noise"),
        ({"seasonality": [1]}, "seasonality"),
        ({"seasonality": [7.0]}, "seasonality"),
        ({"freq": "nonsense"}, "nonsense"),
        ({"start": "once"}, "start"),
        ({"start": "2024-01-01T00:00Z"}, "start"),
        ({"freq": 1, "start": "2024-01-01"}, "start"),
    ],
)
def test_refusals_name_the_argument(wrong: dict[str, object], named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        generate_series(**{"n_series": 2, "freq": "D"} | wrong)  # type: ignore[arg-type]
