"""The measures of the forecasting benchmark: by hand on small frames, by published figures on the real ones."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


data = load("forecast_data")
published = load("forecast_published")


def folder() -> Path | None:
    """The competitions' data, where this machine has them."""
    for place in (os.environ.get("BPTT_DATA", ""), data.DATA):
        if place and (Path(place) / "Hourly-train.csv.gz").exists():
            return Path(place)
    return None


needs_data = pytest.mark.skipif(folder() is None, reason="the forecasting sets are not on this machine (BPTT_DATA)")


@needs_data
@pytest.mark.parametrize("name", list(published.NAIVE_ROWS))
def test_published_figures_of_the_seasonal_naive(name: str) -> None:
    place = folder()
    kind, part = name.split()
    loaded = data.m4(place, part) if kind == "M4" else data.tourism(place, part)
    assert loaded.test.groupby("unique_id").size().eq(loaded.h).all()
    naive = data.with_naives(loaded.test[["unique_id", "ds"]], loaded.train, loaded.season)
    found = data.scores(loaded.test, naive, "SeasonalNaive", data.scales(loaded.train, loaded.season))
    for measure, figure in published.NAIVE_ROWS[name].items():
        assert round(getattr(found, measure), 3) == figure
    assert found.scaled == found.series


@needs_data
def test_m4_hourly_relative_to_naive2() -> None:
    """M4's sheet has OWA 0.627 for sNaive and 1 for Naive2."""
    loaded = data.m4(folder(), "Hourly")
    naive = data.with_naives(loaded.test[["unique_id", "ds"]], loaded.train, loaded.season)
    found = data.scores(loaded.test, naive, "SeasonalNaive", data.scales(loaded.train, loaded.season))
    assert found.owa("M4 Hourly") == pytest.approx(0.627, abs=0.001)
    assert data.Scores(*data.NAIVE2["M4 Hourly"], 1, 1).owa("M4 Hourly") == 1
    assert found.owa("another") is None


@needs_data
def test_etth1_is_standardised_by_its_training_rows() -> None:
    df = data.etth1(folder())
    assert df["unique_id"].nunique() == 7
    y = df["y"].to_numpy().reshape(7, 14400)
    np.testing.assert_allclose(y[:, :8640].mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(y[:, :8640].std(axis=1), 1)


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


TRAIN = frame(unique_id=list("aaaab"), ds=[1, 2, 3, 4, 1], y=[1.0, 2.0, 4.0, 8.0, 5.0])
TEST = frame(unique_id=list("aab"), ds=[5, 6, 2], y=[10.0, 0.0, 5.0])


def test_naives_by_hand() -> None:
    found = data.with_naives(TEST[["unique_id", "ds"]], TRAIN, 2)
    assert found["Naive"].tolist() == [8.0, 8.0, 5.0]
    assert found["SeasonalNaive"].tolist() == [4.0, 8.0, 5.0]


def test_scores_by_hand() -> None:
    scale = data.scales(TRAIN, 1)
    assert scale["a"] == pytest.approx((1 + 2 + 4) / 3)
    assert np.isnan(scale["b"])
    found = data.scores(TEST, TEST.assign(f=[8.0, 0.0, 10.0]), "f", scale)
    assert found.smape == pytest.approx(((200 * 2 / 18 + 0) / 2 + 200 * 5 / 15) / 2)
    assert found.mase == pytest.approx(1 / (7 / 3))
    assert (found.series, found.scaled) == (2, 1)


def test_interval_scores_by_hand() -> None:
    forecasts = TEST.assign(**{"f-lo-95": [0.0, 1.0, 4.0], "f-hi-95": [9.0, 3.0, 6.0]})
    found = data.interval_scores(TEST, forecasts, "f", 95, pd.Series({"a": 2.0, "b": 1.0}))
    assert found.coverage == pytest.approx(1 / 3)
    assert found.msis == pytest.approx((((9 + 40 * 1) + (2 + 40 * 1)) / 2 / 2 + 2) / 2)


def test_a_row_without_a_forecast_is_no_score() -> None:
    with pytest.raises(ValueError, match="1 of 3 test rows, first b, 2"):
        data.scores(TEST, TEST.assign(f=1.0).iloc[:2], "f", data.scales(TRAIN, 1))


def test_mackey_glass_obeys_its_equation() -> None:
    """Between neighbouring points the difference is the integral of the right side, here by the trapezoid rule."""
    x = data.mackey_glass(2000)
    assert 0.2 < x.min() < 0.5 < 1.2 < x.max() < 1.4
    right = 0.2 * x[:-17] / (1 + x[:-17] ** 10) - 0.1 * x[17:]
    np.testing.assert_allclose(np.diff(x[17:]), (right[:-1] + right[1:]) / 2, atol=0.01)
    assert not np.allclose(x, data.mackey_glass(2000, seed=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table"),
        ("unique_id,ds,y\na,1,2\n", r"missing: \['split'\]"),
        ("unique_id,ds,y,split\na,1,2,train\n", "no rows with split='test'"),
        ("unique_id,ds,y,split\na,1,2,test\n", "no rows with split='train'"),
        ("unique_id,ds,y,split\na,1,2,train\na,2,x,test\n", "line 3: y must be a number; got 'x'"),
        (
            "unique_id,ds,y,split\na,2024-01-01,2,train\na,soon,2,test\n",
            "line 3: ds must be .*; got .soon.",
        ),
        ("unique_id,ds,y,split\na,1,2,train\na,2,2,validation\n", "split must be"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "some.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        data.read(path)
    assert str(path) in str(raised.value)


def test_read_sorts_and_splits(tmp_path: Path) -> None:
    path = tmp_path / "some.csv.gz"
    frame(
        unique_id=[7, 7, 3, 7], ds=["2024-01-02", "2024-01-01", "2024-01-01", "2024-01-03"], y=[2, 1, 5, 3],
        split=["train", "train", "train", "test"], more=0,
    ).to_csv(path, index=False)  # fmt: skip
    train, test = data.read(path)
    assert train["unique_id"].tolist() == ["7", "7", "3"]
    assert train["y"].tolist() == [1, 2, 5]
    assert train["ds"].iloc[0] == pd.Timestamp("2024-01-01")
    assert test[["unique_id", "y"]].to_numpy().tolist() == [["7", 3]]
