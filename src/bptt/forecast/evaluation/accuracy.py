"""How accurate forecasts were, beside the seasonal naive forecast of the same windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bptt.forecast.fitting.defaults import seasons_from
from bptt.forecast.frames import columns
from bptt.forecast.frames.frequency import FreqLike, parse_freq
from bptt.forecast.frames.gaps import fill_gaps
from bptt.forecast.frames.native import Native, like

__all__ = ["CUTOFF", "NAIVE", "accuracy", "models_of"]

NAIVE = "SeasonalNaive"
CUTOFF = "cutoff"


def accuracy(
    cv_df: pd.DataFrame,
    df: pd.DataFrame,
    freq: FreqLike,
    *,
    seasonality: int | Sequence[int] | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> pd.DataFrame:
    """Measure the forecasts of `cross_validation` beside the seasonal naive forecast of the same windows.

    Parameters
    ----------
    cv_df : DataFrame
        What `Forecaster.cross_validation` returned.
    df : DataFrame
        The series that it was given.
    freq : str, int or pandas offset
        As of the `Forecaster`.
    seasonality : int or list of int, optional
        The season of the naive forecast and of MASE; of several the shortest. Default: that of the frequency, 1 where
        it has none.
    id_col, time_col, target_col : str

    Returns
    -------
    DataFrame
        A row for each model and one for SeasonalNaive, with the columns: model; mase, the mean over series of the mean
        absolute error of all windows, divided by the mean absolute seasonal difference before the first window
        (Hyndman & Koehler 2006); mae; smape, in percent; for each level its coverage, as coverage-80, in percent; and
        loses, the number of series on which the mean absolute error is larger than the seasonal naive's. Series whose
        seasonal difference is 0 or unknown have no mase.

    Raises
    ------
    TypeError, ValueError
        `cv_df` is not from `cross_validation`, or holds a series that `df` lacks; a column of `df` is missing.

    Examples
    --------
    >>> from bptt.forecast import Forecaster, Pretrained, generate_series
    >>> df = generate_series(2, freq="D", min_length=60, seed=0)
    >>> cv_df = Forecaster([Pretrained(h=7)], "D").cross_validation(df, n_windows=2, step_size=7, level=[80])
    >>> accuracy(cv_df, df, "D").columns.tolist()
    ['model', 'mase', 'mae', 'smape', 'coverage-80', 'loses']
    >>> accuracy(cv_df, df, "D")["model"].tolist()
    ['Pretrained', 'SeasonalNaive']
    """
    native = Native.of(cv_df)
    cv_df, df = columns.as_pandas("cv_df", cv_df), columns.as_pandas("df", df)
    models, levels = models_of(cv_df, id_col, time_col, target_col)
    columns.check_frame("df", df, (id_col, time_col, target_col))
    step = parse_freq(freq)
    season = (*(step.seasonality if seasonality is None else seasons_from(seasonality)), 1)[0]
    filled = fill_gaps(df[[id_col, time_col, target_col]], step, end="per_serie", id_col=id_col, time_col=time_col)
    naive, scale = _naive_of(cv_df, filled, season, id_col, time_col, target_col)
    rows = cv_df.assign(**{NAIVE: naive})
    rows = rows[rows[target_col].notna()]
    y, ids = rows[target_col], rows[id_col]
    errors = {name: (rows[name] - y).abs().groupby(ids, sort=False).mean() for name in (*models, NAIVE)}
    table = []
    for name, error in errors.items():
        total = (rows[name].abs() + y.abs()).to_numpy(np.float64)
        off = (rows[name] - y).abs().to_numpy(np.float64)
        line: dict[str, Any] = {
            "model": name,
            "mase": (error / scale.reindex(error.index)).mean(),
            "mae": error.mean(),
            "smape": float(np.mean(np.divide(200 * off, total, out=np.zeros_like(off), where=total > 0))),
        }
        for level in levels:
            ends = [f"{name}-{end}-{level}" for end in ("lo", "hi")]
            inside = y.between(rows[ends[0]], rows[ends[1]]).mean() if ends[0] in rows else np.nan
            line[f"coverage-{level}"] = 100 * inside
        line["loses"] = int((error > errors[NAIVE]).sum())
        table.append(line)
    measured: pd.DataFrame = like(native, pd.DataFrame(table))
    return measured


def models_of(cv_df: pd.DataFrame, id_col: str, time_col: str, target_col: str) -> tuple[list[str], list[str]]:
    """The models in a frame of `cross_validation`, and the levels of their intervals."""
    needed = (id_col, time_col, CUTOFF, target_col)
    missing = [name for name in needed if name not in cv_df.columns]
    if missing:
        raise ValueError(f"cv_df must be what cross_validation returned; it has no column {missing[0]!r}")
    others = [str(name) for name in cv_df.columns if name not in needed]
    models = [name for name in others if not any(mark in name for mark in ("-lo-", "-hi-", "_ql"))]
    return models, list(dict.fromkeys(name.rpartition("-lo-")[2] for name in others if "-lo-" in name))


def _naive_of(
    cv_df: pd.DataFrame, df: pd.DataFrame, season: int, id_col: str, time_col: str, target_col: str
) -> tuple[np.ndarray, pd.Series[float]]:
    """The seasonal naive forecast of each row of `cv_df`; the scale of MASE of each series, NaN where it has none."""
    naive, scale = np.full(len(cv_df), np.nan), {}
    history = {name: (part[time_col], part[target_col].to_numpy(np.float64)) for name, part in df.groupby(id_col)}
    for name, windows in cv_df.reset_index(drop=True).groupby(id_col):
        if name not in history:
            raise ValueError(f"df must hold the series of cv_df; it has no {name!r}")
        ds, y = history[name]
        last = pd.Series(y).ffill().to_numpy()
        for first, (cutoff, rows) in enumerate(windows.groupby(CUTOFF)):
            end = int(ds.searchsorted(cutoff, side="right"))
            lag = season if end >= season else 1
            # A missing value is looked for one season earlier, then replaced by the last one.
            kept = y[:end]
            repeated = np.array([_latest(kept[end - lag + k :: -lag], last[end - 1]) for k in range(lag)])
            naive[rows.index] = np.resize(repeated, len(rows))
            if first == 0:
                moved = np.abs(kept[lag:] - kept[:-lag])
                moved = moved[~np.isnan(moved)]
                scale[name] = float(moved.mean()) if moved.size and moved.mean() > 0 else np.nan
    return naive, pd.Series(scale, dtype=float)


def _latest(values: np.ndarray, otherwise: float) -> float:
    seen = values[~np.isnan(values)]
    return float(seen[0]) if seen.size else float(otherwise)
