"""Transform each series so that swings keep their size while the level changes: logarithm, square root or none."""

from __future__ import annotations

import numpy as np

from bptt.forecast.frames.panel import Panel

__all__ = ["TRANSFORMS", "Transform", "choose"]

TRANSFORMS = ("auto", "log", "sqrt", "none")
NONE, LOG, SQRT = 0, 1, 2
# A smaller share of a series' usual size counts as this share: the logarithm of (almost) nothing says nothing.
SMALLEST = 1e-3


class Transform:
    """One transform for each series.

    Attributes
    ----------
    kinds : int8 (N,)
    units : float64 (N,)
        Mean size of a series' values: the unit in which "log" counts.
    """

    def __init__(self, kinds: np.ndarray, units: np.ndarray) -> None:
        self.kinds, self.units = kinds, units

    @property
    def logs(self) -> np.ndarray:
        """Bool (N,): which series are logarithms."""
        return self.kinds == LOG

    def apply(self, y: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Transformed values; `series` says for each of them (or each row of them) whose it is."""
        kinds = self.kinds[series]
        log, sqrt = kinds == LOG, kinds == SQRT
        out = np.array(y, np.float64)
        unit = self._units(series, out.ndim)
        shares = out[log] / unit[log]
        out[log] = np.log(np.maximum(shares, SMALLEST))
        out[sqrt] = np.sqrt(np.maximum(out[sqrt], 0.0))
        return out

    def invert(self, z: np.ndarray, series: np.ndarray) -> np.ndarray:
        """The inverse transform; results beyond a float's range are clipped to finite values."""
        kinds = self.kinds[series]
        log, sqrt = kinds == LOG, kinds == SQRT
        out = np.array(z, np.float64)
        unit = self._units(series, out.ndim)
        out[log] = unit[log] * np.exp(np.clip(out[log], -50, 50))
        out[sqrt] = np.minimum(np.maximum(out[sqrt], 0.0), 1e150) ** 2
        return out

    def _units(self, series: np.ndarray, ndim: int) -> np.ndarray:
        return self.units[series].reshape(-1, *[1] * (ndim - 1))


def choose(panel: Panel, name: str, until: np.ndarray) -> Transform:
    """The transform of each series, from its observed values before row `until` (N,) of it.

    Parameters
    ----------
    panel : Panel
    name : {"auto", "log", "sqrt", "none"}
        Series with negative numbers stay as they are under any name. "auto" is "sqrt", between the logarithm, for
        swings that grow with the level, and none, for swings that do not.
    until : int64 array (N,)
    """
    N = len(panel)
    counts = panel.observed & panel.before(until)
    series = panel.series[counts]
    y = panel.y[counts]
    lowest = np.full(N, np.inf)
    np.minimum.at(lowest, series, y)
    n = np.bincount(series, minlength=N)
    units = np.bincount(series, np.abs(y), minlength=N) / np.maximum(n, 1)
    units[units == 0] = 1.0
    kinds = np.full(N, NONE, np.int8)
    seen = n > 0
    if name != "none":
        kinds[seen & (lowest >= 0)] = LOG if name == "log" else SQRT
    return Transform(kinds, units)
