"""Which windows of a panel are forecast in cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.forecast.frames.panel import Panel
from bptt.user_warnings import warn

__all__ = ["Windows", "insample_windows", "last_windows", "number_of_windows"]

# How many series a warning names.
NAMED = 5


@dataclass(frozen=True)
class Windows:
    """Windows to forecast: positions ends[w] .. ends[w] + h - 1 of series[w], from what lies before.

    Parameters
    ----------
    series, ends : int64 (W,)
        By series in the panel's order, ends ascending inside each.
    fold : int64 (W,)
        Which training forecasts the window, 0 for the first.
    holdouts : tuple of int
        Rows at the end of each series that each of the trainings does not see.
    """

    series: np.ndarray
    ends: np.ndarray
    fold: np.ndarray
    holdouts: tuple[int, ...]


def number_of_windows(n_windows: int | None, test_size: int | None, step_size: int, h: int) -> int:
    """The number of windows, from `n_windows` or `test_size`.

    Raises
    ------
    ValueError
        Both or neither are given, or `test_size` is not h plus a multiple of `step_size`.

    Examples
    --------
    >>> number_of_windows(None, 48, step_size=12, h=24)
    3
    """
    if (n_windows is None) == (test_size is None):
        raise ValueError(
            f"one of n_windows and test_size must be given, the other be None; got n_windows={n_windows}, "
            f"test_size={test_size}"
        )
    if n_windows is not None:
        return n_windows
    assert test_size is not None
    if test_size < h or (test_size - h) % step_size:
        raise ValueError(
            f"test_size must be h={h} plus a multiple of step_size={step_size}, so that the windows fill it; "
            f"got {test_size}"
        )
    return (test_size - h) // step_size + 1


def last_windows(
    panel: Panel, h: int, n_windows: int, step_size: int, *, purpose: str, refit: int = 0, holdout: int = 0
) -> Windows:
    """The last `n_windows` windows of each series, the last one ending with its last row.

    Parameters
    ----------
    panel : Panel
    h, n_windows, step_size : int
    purpose : str
        What messages begin with.
    refit : int
        Windows forecast by one training; 0 for all.
    holdout : int
        Rows at the end of each series that are left aside.

    Returns
    -------
    Windows
        A window before which nothing of its series is observed is left out, with one warning.

    Raises
    ------
    ValueError
        If no series has values before the first window, so that there is nothing to train on.
    """
    number = np.arange(n_windows)
    # A larger step than the longest series only moves windows that lie before every series.
    stride = min(step_size, int(panel.lengths.max(initial=0)) + 1)
    # Rows of the series from the beginning of each window on.
    behind = holdout + h + (n_windows - 1 - number) * stride
    ends = panel.lengths[:, None] - behind
    series = np.broadcast_to(np.arange(panel.lengths.size)[:, None], ends.shape)
    fold = np.broadcast_to(number // refit if refit else number * 0, ends.shape)
    kept = panel.observed_before(series, ends)
    rows = f"h={h}, n_windows={n_windows}, step_size={step_size}" + (
        f", without the last {holdout} rows" if holdout else ""
    )
    if not kept[:, 0].any():
        raise ValueError(
            f"{purpose}: no series has an observed value before the first window, so there is nothing to train on "
            f"({rows}); the longest has {panel.lengths.max(initial=0)} rows: ask for fewer windows or a smaller h"
        )
    if not kept.all():
        short = np.flatnonzero(~kept.all(axis=1))
        warn(
            f"{purpose}: {(~kept).sum()} of {kept.size} windows are left out, of {_named(panel.ids[short])}: nothing "
            f"of the series is observed before them ({rows})"
        )
    return Windows(series[kept], ends[kept], fold[kept], tuple(behind[:: refit or n_windows].tolist()))


def insample_windows(panel: Panel, h: int, step_size: int) -> Windows:
    """Every `step_size`-th window of each series, counted back from the one that ends with its last row.

    Returns
    -------
    Windows
        Series of which no window is left are named in one warning.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    last = np.maximum(panel.lengths - h, 0)
    step_size = min(step_size, int(panel.lengths.max(initial=0)) + 1)
    counts = -(-last // step_size)
    series = np.repeat(np.arange(panel.lengths.size), counts)
    from_last = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(series.size)
    ends = last[series] - from_last * step_size
    kept = panel.observed_before(series, ends)
    without = np.setdiff1d(np.arange(panel.lengths.size), series[kept])
    if not kept.any():
        raise ValueError(
            f"predict_insample: no series has h={h} rows with an observed value before them: the longest has "
            f"{panel.lengths.max(initial=0)} rows"
        )
    if without.size:
        warn(f"predict_insample: {_named(panel.ids[without])} left out: no h={h} rows with an observed value before")
    return Windows(series[kept], ends[kept], np.zeros(kept.sum(), np.int64), (0,))


def _named(ids: np.ndarray) -> str:
    """A count of series and the first of their names."""
    names = ", ".join(repr(name) for name in ids[:NAMED].tolist())
    return f"{len(ids)} series ({names}{', ...' if len(ids) > NAMED else ''})"
