"""From a panel to training data: scales of columns, smallest spreads, windows for training and validation."""

from __future__ import annotations

import numpy as np

from bptt.forecast.fitting.transforms import Transform
from bptt.forecast.frames.panel import Panel
from bptt.forecast.network.batches import SeriesArrays, source_of

__all__ = ["least_spread", "min_spread_of", "scales_of", "source_of_panel", "validation_windows", "windows_of"]

# No window's spread counts as less than this share of its series' own spread, or this share of its values' size.
SMALLEST_SPREAD, SMALLEST_SHARE = 1e-2, 1e-8
# A column whose values differ by less than this share of their size is constant: its digits (float32) say no more.
CONSTANT = 1e-7


def scales_of(panel: Panel, columns: tuple[np.ndarray, ...], train_ends: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and spread of each exogenous column over the training rows."""
    trained = panel.before(train_ends)
    scales = {}
    parts = {"futr": panel.futr, "hist": panel.hist, "static": panel.static}
    for own, (name, array) in zip(columns, parts.items(), strict=True):
        rows = array[:, own] if name == "static" else array[trained][:, own]
        mean = rows.mean(0, dtype=np.float64) if rows.size else np.zeros(len(own))
        spread = rows.std(0, dtype=np.float64) if rows.size else np.ones(len(own))
        size = np.abs(rows).max(0) if rows.size else np.ones(len(own))
        scales[f"{name}.mean"] = mean.astype(np.float32)
        scales[f"{name}.spread"] = np.where(spread > CONSTANT * size, spread, 1.0).astype(np.float32)
    return scales


def min_spread_of(y: np.ndarray, logs: np.ndarray, panel: Panel, until: np.ndarray) -> np.ndarray:
    """For each series, a lower limit on the spread of a window of its transformed values y (rows,).

    It follows the unit of y: a power of two times y gives as much times the result, to the bit. Only a series of zeros
    has no unit; for it the result is 1, and `models` forecasts zero. Logarithms (`logs`, truth values (N,)) have no
    unit: a share of the values' size is the same number in all of them.
    """
    N = len(panel)
    counts = panel.observed & panel.before(until)
    series, y = panel.series[counts], y[counts]
    n = np.maximum(np.bincount(series, minlength=N), 1)
    mean = np.bincount(series, y, minlength=N) / n
    spread = np.bincount(series, np.abs(y - mean[series]), minlength=N) / n
    size = np.where(logs, 1.0, np.bincount(series, np.abs(y), minlength=N) / n)
    return least_spread(spread, size)


def least_spread(spread: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The lower limit for series of this spread and size of their values; 1 where both are 0."""
    smallest = np.maximum(SMALLEST_SPREAD * spread, SMALLEST_SHARE * size)
    return np.where(smallest > 0, smallest, 1.0)


def source_of_panel(
    panel: Panel,
    columns: tuple[np.ndarray, ...],
    scales: dict[str, np.ndarray],
    train_ends: np.ndarray,
    transform: Transform,
    until: np.ndarray,
    facts: np.ndarray | None = None,
) -> SeriesArrays:
    """The panel as a network reads it, transformed and scaled; rows before `until` set the smallest spread.

    `facts` (N, C) come before the static columns, unscaled.
    """
    y = transform.apply(panel.y, panel.series)
    arrays = {"futr": panel.futr, "hist": panel.hist, "static": panel.static}
    parts = {
        name: (array[:, own] - scales[f"{name}.mean"]) / scales[f"{name}.spread"]
        for own, (name, array) in zip(columns, arrays.items(), strict=True)
    }
    if facts is not None:
        parts["static"] = np.concatenate([facts, parts["static"]], axis=1)
    return source_of(
        y, panel.observed, panel.starts, train_ends, min_spread_of(y, transform.logs, panel, until), **parts
    )


def windows_of(panel: Panel, train_ends: np.ndarray, n: int, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cumulative sampling probabilities of the series, first and last end of their windows.

    A window has n future steps and `least` values, or fewer if the series is too short.
    """
    observed = np.bincount(panel.series[panel.observed & panel.before(train_ends)], minlength=len(panel))
    # One value to begin with, one to compare with.
    usable = np.where(observed >= 2, train_ends, 0)
    if not usable.any():
        raise ValueError(
            "no series can be trained on: each needs at least 2 observed values of y before the rows held out for "
            "validation or testing"
        )
    first = np.minimum(max(2, least), np.maximum(usable - 1, 1))
    last = np.maximum(usable - n, first)
    probabilities = np.cumsum(usable / usable.sum())
    probabilities[probabilities >= probabilities[-1]] = 1.0
    return probabilities, first.astype(np.int64), last.astype(np.int64)


def validation_windows(train_ends: np.ndarray, ends: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows that cover the rows from `train_ends` to `ends` of each series, one after the other."""
    counts = np.where(train_ends > 0, -(-np.maximum(ends - train_ends, 0) // n), 0)
    series = np.repeat(np.arange(train_ends.size), counts)
    number = np.arange(series.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return series, train_ends[series] + number * n
