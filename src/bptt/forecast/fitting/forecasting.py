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
from bptt.network.parameters import views

__all__ = ["earliest", "forecast_windows", "sample_paths"]

# Between two quantiles of a simulation, in units of a window.
SMALLEST_WIDTH = 1e-9


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
    seen, zero = known_of(plan, panel, series, ends)
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


def sample_paths(
    plan: Architecture,
    thetas: Sequence[np.ndarray],
    panel: Panel,
    source: SeriesArrays,
    transform: Transform,
    series: np.ndarray,
    ends: np.ndarray,
    draws: np.ndarray,
    *,
    offsets: np.ndarray | None = None,
) -> np.ndarray:
    """Paths (W, P, steps) by recursive networks, NaN where nothing was observed before the end.

    Parameters
    ----------
    thetas, panel, source, transform, series, ends, offsets
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
            if offsets is not None:
                theta = with_widths(plan, theta, offsets[0])
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


def with_widths(plan: Architecture, theta: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The weights of a network whose quantiles (Q,) always lie so far from its point forecast."""
    theta = theta.copy()
    parameters = views(theta, plan.shapes)
    Q, upper = len(plan.taus), sum(tau > 0.5 for tau in plan.taus[1:])
    size = np.abs(offsets)
    apart = size[1:] - np.where(np.arange(1, Q) == upper + 1, 0.0, size[:-1])
    parameters["head.weight"][1:Q] = 0
    parameters["head.bias"][1:Q] = np.log(np.expm1(np.maximum(apart, SMALLEST_WIDTH)))  # softplus gives them back
    return theta


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
