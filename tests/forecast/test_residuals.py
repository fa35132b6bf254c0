"""Errors of forecasts, and values that were not to be expected."""

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import Forecaster, Pretrained, residuals


def cv_frame():
    return pd.DataFrame({
        "unique_id": "a", "ds": pd.date_range("2024-01-01", periods=4), "cutoff": pd.Timestamp("2023-12-31"),
        "A": 1.0, "A-lo-80": 0.0, "A-hi-80": 2.0, "B": [0.0, 1, 2, 3], "B-lo-80": -9.0, "B-hi-80": 9.0,
        "y": [2.0, 2.5, np.nan, -0.5],
    })  # fmt: skip


def test_residuals_and_anomalies_of_each_model():
    found = residuals(cv_frame(), level=80)
    assert found.columns.tolist() == [
        "unique_id", "ds", "cutoff", "y", "A-residual", "A-anomaly", "B-residual", "B-anomaly",
    ]  # fmt: skip
    np.testing.assert_array_equal(found["A-residual"], [1, 1.5, np.nan, -1.5])
    assert found["A-anomaly"].tolist() == [False, True, False, True]
    np.testing.assert_array_equal(found["B-residual"], [2, 1.5, np.nan, -3.5])
    assert not found["B-anomaly"].any()
    assert residuals(cv_frame()).columns.tolist() == ["unique_id", "ds", "cutoff", "y", "A-residual", "B-residual"]


def test_a_spike_is_found_and_noise_is_not():
    y = 50 + np.random.default_rng(0).standard_normal(150)
    y[130] += 12
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=150), "y": y})
    cv_df = Forecaster([Pretrained(1)], "D").cross_validation(df, n_windows=50, level=[95])
    found = residuals(cv_df, level=95)
    marked = found.loc[found["Pretrained-anomaly"], "ds"].tolist()
    assert df["ds"][130] in marked
    assert len(marked) <= 8
    spike = found["ds"] == df["ds"][130]
    assert found.loc[spike, "Pretrained-residual"].item() == pytest.approx(12, abs=4)


def test_of_the_training_data():
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=40), "y": np.arange(40.0) % 7})
    found = residuals(Forecaster([Pretrained(1)], "D").fit(df).predict_insample(level=[90]), level=90)
    assert len(found) == len(found["Pretrained-residual"].dropna())


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda df: df.drop(columns="cutoff"), {}, "it has no column 'cutoff'"),
        (lambda df: df, {"level": 95}, r"level must be one of the intervals of cv_df \(80\); got 95"),
        (lambda df: df[["unique_id", "ds", "cutoff", "A", "y"]], {"level": 80}, r"\(none\)"),
        (lambda df: df, {"level": 0.8}, "level is in percent"),
    ],
)
def test_errors(change, arguments, message):
    with pytest.raises(ValueError, match=message):
        residuals(change(cv_frame()), **arguments)
