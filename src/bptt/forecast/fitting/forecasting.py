"""Forecasts and sample paths of windows by trained networks, in units of y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bptt.forecast.fitting import few
from bptt.forecast.fitting.training import TOGETHER, predict_windows, simulate_windows
from bptt.forecast.fitting.transforms import Transform
from bptt.forecast.frames.panel import Panel
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import IDENTITY, SeriesArrays

__all__ = ["earliest", "forecast_windows", "sample_paths"]


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
    blend: few.Blend | None = None,
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
    blend : Blend, optional
        Of each network with naive forecasts, where windows were few.
    """
    Q = len(plan.taus)
    point, quantiles = np.empty((series.size, steps)), np.empty((series.size, steps, Q))
    seen, zero = known_of(plan, panel, series, ends)
    together = np.median if combine == "median" else np.mean
    for first in range(0, series.size, TOGETHER):
        part = slice(first, min(series.size, first + TOGETHER))
        forecasts = []
        for theta in thetas:
            z, shift, spread, _ = predict_windows(plan, source, theta, series[part], ends[part])
            z = z[:, :steps]
            if blend is not None:
                z = blend.forecast(plan, source, series[part], ends[part], z)
            y = z * spread[:, None, None] + shift[:, None, None]
            forecasts.append(transform.invert(y, series[part]))
        y = forecasts[0] if len(forecasts) == 1 else together(np.stack(forecasts), axis=0)
        y[zero[part]] = 0.0
        y[~seen[part]] = np.nan
        point[part], quantiles[part] = y[:, :, 0], y
    # The point forecast comes first among them, also where loss="mse" makes it the mean.
    return point, np.sort(quantiles, axis=2)


def sample_paths(
    plan: Architecture,
    thetas: Sequence[np.ndarray],
    panel: Panel,
    source: SeriesArrays,
    transform: Transform,
    series: np.ndarray,
    ends: np.ndarray,
    draws: np.ndarray,
) -> np.ndarray:
    """Paths (W, P, steps) by recursive networks, NaN where nothing was observed before the end.

    Parameters
    ----------
    thetas, panel, source, transform, series, ends
        As for `forecast_windows`. Path p is of network p modulo their number.
    draws : float64 (W, P, steps)
        Normal scores.
    """
    W, P, steps = draws.shape
    plan = replace(plan, n=steps)
    paths = np.empty((W, P, steps))
    for k, theta in enumerate(thetas):
        own = draws[:, k :: len(thetas)]
        if own.size:
            several = np.repeat(np.arange(W), own.shape[1])
            z, shift, spread = simulate_windows(
                plan, source, theta, series[several], ends[several], own.reshape(-1, steps)
            )
            y = transform.invert(z * spread[:, None] + shift[:, None], series[several])
            paths[:, k :: len(thetas)] = y.reshape(own.shape)
    seen, zero = known_of(plan, panel, series, ends)
    paths[zero] = 0.0
    paths[~seen] = np.nan
    return paths


def earliest(panel: Panel, series: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The first of the ends of each series of the panel, int64 (N,); a row that no series has where there is none."""
    until = np.full(len(panel), np.iinfo(np.int64).max)
    np.minimum.at(until, series, ends)
    return until


def known_of(plan: Architecture, panel: Panel, series: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether anything was observed before the end of each window, and whether that was nothing but zeros.

    Of nothing but zeros there is no unit in which to forecast anything else.
    """
    zero = ~replace(panel, observed=panel.observed & (panel.y != 0)).observed_before(series, ends)
    return panel.observed_before(series, ends), zero & (plan.scaler != IDENTITY)
