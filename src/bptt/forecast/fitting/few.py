"""Few windows, as from one short series: a network overfits them, so the newest rows decide how far it is trusted.

hold out    the last two horizons of each series, at most a third of it; the network is trained on the rest
steps       those after which the held-out windows are forecast best; the training on all rows stops there
blend       of the network and the naive forecasts, each weighted by the inverse square of its error on the held-out
            windows (Bates & Granger 1969); each window counts alike, also the newest with few steps to compare: only
            they are past a recent shift
quantiles   from what the naive forecasts' blend missed in all windows, step by step of the horizon: a network that has
            seen these windows many times knows nothing of its own errors. They are narrower by as much as the whole
            blend was better on the held-out windows
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bptt.forecast.network.architecture import Architecture, batch_for
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL, SeriesArrays, gather
from bptt.network.loss_kernels import MSE
from bptt.numerics.threads import run

__all__ = [
    "CHECK",
    "MOST_WINDOWS",
    "NETWORK",
    "PATIENCE",
    "STEPS",
    "Blend",
    "compared",
    "count",
    "held_out_rows",
    "late_windows",
    "mean_error",
    "name_of",
    "offsets_of",
    "shares_of",
]

# With no more windows than this the default number of steps shows each of them more often than it would otherwise.
MOST_WINDOWS = 5 * 1024
# Steps of the training that is watched, steps between two looks at the held-out windows, looks without a better one.
STEPS, CHECK, PATIENCE = 200, 10, 5
# The network's steps were chosen on the held-out windows, so its error there counts so many times.
NETWORK = 1.25
# Of k independent errors quantiles lie 1 + WIDER / (k + 1) times as far out.
WIDER = 4.0
# No error counts as less than this share of the largest one: the inverse of 0 is no weight.
SMALLEST_ERROR = 1e-9
# No more windows than this are looked at.
LOOKED_AT = 512

NAMES = {LAST: "last", MEAN: "mean", DRIFT: "drift", SEASONAL: "seasonal:{}", CHANGE: "change:{}", AVERAGE: "mean:{}"}


def name_of(kind: int, period: int) -> str:
    """A naive forecast as the argument `anchors` names it."""
    return NAMES[kind].format(period)


def count(windows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> int:
    """Number of windows to train on: those from the first to the last of each series."""
    return int((windows[2] - windows[1] + 1).sum())


def held_out_rows(train_ends: np.ndarray, n: int) -> np.ndarray:
    """Rows at the end of each series (N,) that decide how long a network is trained on the others."""
    return np.minimum(2 * n, np.maximum(train_ends // 3, 1))


def late_windows(train_ends: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Series and ends of the windows from `first` (N,) to the last one with a row to compare with; some of many."""
    counts = np.maximum(train_ends - first, 0)
    series = np.repeat(np.arange(train_ends.size), counts)
    ends = first[series] + np.arange(series.size) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.arange(series.size - 1, -1, -max(1, -(-series.size // LOOKED_AT)))[::-1]
    return series[kept], ends[kept]


def compared(
    plan: Architecture, source: SeriesArrays, tried: tuple[tuple[int, int], ...], series: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Naive forecasts (W, n, K) of windows, what came (W, n) and what of it counts (W, n), in units of each window."""
    plan = replace(plan, kinds=tuple(kind for kind, _ in tried), periods=tuple(period for _, period in tried))
    W, R = series.size, plan.row
    batch = batch_for(plan, W)
    batch.series[:], batch.ends[:] = series, ends
    run(gather, source, plan.reading, batch)

    def by_window(array: np.ndarray, columns: int) -> np.ndarray:
        parts = array.reshape(plan.rows, W, columns, R).transpose(1, 0, 3, 2)
        return parts.reshape(W, plan.rows * R, columns)[:, : plan.n].astype(np.float64)

    target, weight = by_window(batch.target, 1)[:, :, 0], by_window(batch.weight, 1)[:, :, 0]
    return by_window(batch.anchors, len(tried)), target, weight


def mean_error(plan: Architecture, missed: np.ndarray, weight: np.ndarray) -> float:
    """Of point forecasts that missed by so much (W, n), each window counting alike: absolute, or the root of the mean
    square where that is the loss."""
    told = weight.any(1)
    missed, weight = missed[told], weight[told]
    errors = (missed**2 if plan.loss == MSE else np.abs(missed)) * weight
    error = float((errors.sum(1) / weight.sum(1)).mean())
    return math.sqrt(error) if plan.loss == MSE else error


def shares_of(errors: Sequence[float]) -> np.ndarray:
    """The weights of forecasts with these errors, float64, of sum 1."""
    sizes = np.asarray(errors, np.float64)
    largest = sizes.max()
    if largest == 0:
        return np.full(sizes.size, 1 / sizes.size)
    weights = np.maximum(sizes / largest, SMALLEST_ERROR) ** -2.0
    return weights / weights.sum()


def offsets_of(plan: Architecture, missed: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """How far each quantile lies from the point forecast, in units of a window.

    Parameters
    ----------
    missed, weight : arrays (W, n)
        What the naive forecasts' blend missed by (target less forecast), and what of it counts.
    share : float
        The error of the whole blend as a fraction of theirs.

    Returns
    -------
    array (n, Q)
        In the order of `plan.taus`: at least 0 for quantiles above the point forecast, at most 0 for those below.
    """
    size = np.abs(missed) * weight
    overall = size.sum() / max(weight.sum(), 1)
    # Steps of which little is known take over some of what is known of all.
    scale = (size.sum(0) + 4 * overall) / (weight.sum(0) + 4)
    counted = weight > 0
    shares = (missed / np.where(scale > 0, scale, 1))[counted]
    taus = np.array(plan.taus)
    quantiles = np.quantile(shares, taus) if shares.size else np.zeros(taus.size)
    quantiles *= share
    # Windows overlap: so many independent errors there are. Tails of few are wider than they show, and what made these
    # errors may change.
    independent = max(weight.sum() / plan.n**2, 1.0) if plan.n > 1 else max(weight.sum(), 1.0)
    quantiles = quantiles * (1 + WIDER / (independent + 1))
    quantiles = np.where(taus > 0.5, np.maximum(quantiles, 0), np.minimum(quantiles, 0))
    quantiles[0] = 0
    return scale[:, None] * quantiles


@dataclass(frozen=True)
class Blend:
    """What a model forecasts where windows are few.

    Attributes
    ----------
    tried : tuple of (kind, period)
        The naive forecasts.
    weights : float64 (K + 1,)
        Theirs, and last the network's; of sum 1.
    offsets : float64 (n, Q)
        How far each quantile lies from the point forecast, in units of a window.
    """

    tried: tuple[tuple[int, int], ...]
    weights: np.ndarray
    offsets: np.ndarray

    def forecast(
        self, plan: Architecture, source: SeriesArrays, series: np.ndarray, ends: np.ndarray, z: np.ndarray
    ) -> np.ndarray:
        """Point forecasts and quantiles (W, steps, Q), from the network's z (W, steps, Q)."""
        steps = z.shape[1]
        naive = compared(plan, source, self.tried, series, ends)[0][:, :steps]
        point = naive @ self.weights[:-1]
        if self.weights[-1] > 0:
            point = point + self.weights[-1] * z[:, :, 0]
        return point[:, :, None] + extended(self.offsets, steps)


def extended(offsets: np.ndarray, steps: int) -> np.ndarray:
    """Offsets (steps, Q): past the last one they grow as those of a random walk."""
    n = offsets.shape[0]
    step = np.arange(steps)
    growth = np.sqrt(np.maximum(step + 1, n) / n)
    return offsets[np.minimum(step, n - 1)] * growth[:, None]
