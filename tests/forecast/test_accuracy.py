"""`accuracy`: MASE, coverage and the seasonal naive forecast, against their definitions."""

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import accuracy


def cv_of(df, h, cutoffs, offset):
    """As cross_validation returns it: forecasts that are the truth and `offset`."""
    parts = []
    for name, rows in df.groupby("unique_id"):
        rows = rows.reset_index(drop=True)
        for cutoff in cutoffs:
            part = rows.iloc[cutoff : cutoff + h].assign(cutoff=rows["ds"][cutoff - 1])
            model = part["y"] + offset[name]
            parts.append(part.assign(Model=model, **{"Model-lo-80": model - 1.5, "Model-hi-80": model + 1.5}))
    return pd.concat(parts, ignore_index=True)


def series(y, name="a"):
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-01", periods=len(y), freq="D"), "y": y})


def test_by_hand():
    rng = np.random.default_rng(0)
    frames = {name: series(rng.standard_normal(30).cumsum() + 50, name) for name in "ab"}
    df = pd.concat(frames.values(), ignore_index=True)
    found = accuracy(cv_of(df, 3, (20, 23), {"a": 1.0, "b": 2.0}), df, "D").set_index("model")
    scales = {
        name: np.abs(part["y"][7:20].to_numpy() - part["y"][:13].to_numpy()).mean() for name, part in frames.items()
    }
    naive = {}
    for name, part in frames.items():
        y = part["y"].to_numpy()
        naive[name] = np.mean([np.abs(y[end : end + 3] - y[end - 7 : end - 4]) for end in (20, 23)])
    assert found["mase"]["Model"] == pytest.approx((1 / scales["a"] + 2 / scales["b"]) / 2)
    assert found["mase"]["SeasonalNaive"] == pytest.approx(np.mean([naive[name] / scales[name] for name in "ab"]))
    assert found["mae"]["Model"] == pytest.approx(1.5)
    assert found["coverage-80"]["Model"] == pytest.approx(50)
    assert found["loses"]["Model"] == (naive["a"] < 1) + (naive["b"] < 2)
    assert found["loses"]["SeasonalNaive"] == 0


def test_gaps_and_missing_values():
    y = np.arange(30.0)
    y[[14, 21]] = np.nan
    df = series(y).drop(index=[16])
    cv = cv_of(series(np.arange(30.0)), 7, (22,), {"a": 0.0})
    found = accuracy(cv, df, "D").set_index("model")
    # Repeated: days 15, (16: missing, so 9), 17 .. 20, and (21 and 14: missing, so 7).
    expected = np.array([15, 9, 17, 18, 19, 20, 7])
    assert found["mae"]["SeasonalNaive"] == pytest.approx(np.abs(expected - np.arange(22, 29)).mean())


def test_other_frames_are_refused():
    df = series(np.arange(30.0))
    with pytest.raises(ValueError, match="cv_df must be what cross_validation returned; it has no column 'cutoff'"):
        accuracy(df, df, "D")
    with pytest.raises(ValueError, match=r"columns are missing: \['y'\]; df has"):
        accuracy(cv_of(df, 2, (20,), {"a": 0.0}), df.drop(columns="y"), "D")
    with pytest.raises(TypeError, match="cv_df must be a pandas DataFrame"):
        accuracy(None, df, "D")
    with pytest.raises(ValueError, match="df must hold the series of cv_df; it has no 'a'"):
        accuracy(cv_of(df, 2, (20,), {"a": 0.0}), series(np.arange(30.0), "b"), "D")
