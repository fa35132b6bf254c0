"""Forecasts of windows by trained networks, in units of y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bptt.forecast.fitting import few
from bptt.forecast.fitting.training import TOGETHER, predict_windows
from bptt.forecast.fitting.transforms import Transform
from bptt.forecast.frames.panel import Panel
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import IDENTITY, SeriesArrays

__all__ = ["forecast_windows"]


def forecast_windows(
    plan: Architecture,
    thetas: Sequence[np.ndarray],
    panel: Panel,
    source: SeriesArrays,
    transform: Transform,
    series: np.ndarray,
    ends: np.ndarray,
    *,
    steps: int,
    offsets: np.ndarray | None = None,
    combine: Literal["median", "mean"] = "median",
) -> tuple[np.ndarray, np.ndarray]:
    """Point forecasts (W, steps), NaN where nothing was observed before the end, and ascending quantiles (W, steps, Q).

    Parameters
    ----------
    thetas : sequence of arrays
        The weights of each network; `combine` says how their forecasts become one.
    source, transform
        The panel as the networks read it, and what was done to its y.
    series, ends : int64 arrays (W,)
    offsets : array (n, Q), optional
        Instead of the networks' own quantiles: how far each lies from the point forecast.
    """
    Q = len(plan.taus)
    point, quantiles = np.empty((series.size, steps)), np.empty((series.size, steps, Q))
    seen = panel.observed_before(series, ends)
    # Of nothing but zeros there is no unit in which to forecast anything else.
    zero = ~replace(panel, observed=panel.observed & (panel.y != 0)).observed_before(series, ends)
    zero &= plan.scaler != IDENTITY
    together = np.median if combine == "median" else np.mean
    for first in range(0, series.size, TOGETHER):
        part = slice(first, min(series.size, first + TOGETHER))
        forecasts = []
        for theta in thetas:
            z, shift, spread, _ = predict_windows(plan, source, theta, series[part], ends[part])
            z = z[:, :steps]
            if offsets is not None:
                z = z[:, :, :1] + few.extended(offsets, steps)
            y = z * spread[:, None, None] + shift[:, None, None]
            forecasts.append(transform.invert(y, series[part]))
        y = forecasts[0] if len(forecasts) == 1 else together(np.stack(forecasts), axis=0)
        y[zero[part]] = 0.0
        y[~seen[part]] = np.nan
        point[part], quantiles[part] = y[:, :, 0], y
    # The point forecast comes first among them, also where loss="mse" makes it the mean.
    return point, np.sort(quantiles, axis=2)
