"""The scale of each series: for `local_scaler_type`, and the units in which intervals are calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bptt.forecast.frames.panel import Panel

__all__ = ["SCALERS", "Scaling", "mase_scale", "scaling"]


def _standard(y: np.ndarray) -> tuple[float, float]:
    return float(y.mean()), float(y.std())


def _robust(y: np.ndarray) -> tuple[float, float]:
    """Median, and the median distance from it: of the values that differ from it where half of all are equal."""
    center = float(np.median(y))
    away = np.abs(y - center)
    spread = float(np.median(away))
    return center, spread if spread > 0 or not away.any() else float(np.median(away[away > 0]))


def _minmax(y: np.ndarray) -> tuple[float, float]:
    return float(y.min()), float(y.max() - y.min())


SCALERS: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {
    "standard": _standard,
    "robust": _robust,
    "minmax": _minmax,
}


@dataclass(frozen=True)
class Scaling:
    """A shift and a factor for each series: scaled y = (y - center) / spread.

    Parameters
    ----------
    center, spread : float64 (N,)
        `spread` is positive.
    """

    center: np.ndarray
    spread: np.ndarray

    def apply(self, panel: Panel) -> Panel:
        """The panel with y scaled; missing values stay 0."""
        center, spread = (np.repeat(values, panel.lengths) for values in (self.center, self.spread))
        return replace(panel, y=np.where(panel.observed, (panel.y - center) / spread, 0.0))

    def invert(self, values: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Forecasts (W, ...) of the series (W,), in units of y."""
        shape = (-1, *[1] * (values.ndim - 1))
        return values * self.spread[series].reshape(shape) + self.center[series].reshape(shape)


def scaling(panel: Panel, kind: str, holdout: int = 0) -> Scaling:
    """The scale of each series by its observed values, without its last `holdout` rows.

    Parameters
    ----------
    panel : Panel
    kind : str
        "standard": mean and standard deviation. "robust": median and median absolute deviation. "minmax": minimum
        and range.
    holdout : int
        Rows at the end that the scale does not use.

    Returns
    -------
    Scaling
        With center 0 and spread 1 for a series without observed values, spread 1 for a constant one.
    """
    measure = SCALERS[kind]
    center, spread = np.zeros(panel.lengths.size), np.ones(panel.lengths.size)
    for at, (start, stop) in enumerate(zip(panel.starts[:-1], panel.starts[1:] - holdout, strict=True)):
        y = panel.y[start : max(start, stop)][panel.observed[start : max(start, stop)]]
        if y.size:
            center[at], width = measure(y)
            # The deviation of equal values is not 0 where their mean is rounded.
            spread[at] = width if width > 0 and y.min() < y.max() else 1.0
    return Scaling(center, spread)


def mase_scale(panel: Panel, series: np.ndarray, ends: np.ndarray, period: int) -> np.ndarray:
    """The mean absolute seasonal difference of each series before the end of a window.

    Parameters
    ----------
    panel : Panel
    series, ends : int64 (W,)
        Rows before position ends[w] of the series count.
    period : int
        The lag of the differences. Windows with fewer than `period` such differences take lag 1.

    Returns
    -------
    float64 (W,)
        In units of y; 0 where nothing moved or fewer than two values are observed.
    """
    seasonal, pairs = _mean_difference(panel, series, ends, period)
    return np.where(pairs >= period, seasonal, _mean_difference(panel, series, ends, 1)[0])


def _mean_difference(panel: Panel, series: np.ndarray, ends: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean |y_t - y_{t-lag}| over the observed pairs before each end (W,), and the number of pairs (W,)."""
    position = panel.position
    paired = np.zeros(panel.y.size, bool)
    paired[lag:] = panel.observed[lag:] & panel.observed[:-lag] & (position[lag:] >= lag)
    moves = np.zeros(panel.y.size)
    moves[lag:] = np.abs(panel.y[lag:] - panel.y[:-lag])
    moves[~paired] = 0.0
    # Each series is summed by itself: the difference of two sums over all of them would drown a small series beside
    # a large one. Series i has one place more than rows, sums[start + i + t] being what lies before its position t.
    sums, number = np.zeros(panel.y.size + panel.lengths.size), np.concatenate([[0], np.cumsum(paired)])
    for at, (start, stop) in enumerate(zip(panel.starts[:-1], panel.starts[1:], strict=True)):
        np.cumsum(moves[start:stop], out=sums[start + at + 1 : stop + at + 1])
    first = panel.starts[series]
    pairs = number[first + ends] - number[first]
    total = sums[first + series + ends]
    return np.divide(total, pairs, out=np.zeros(series.size), where=pairs > 0), pairs
