"""anchors="auto": choose naive forecasts by their error on the training windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bptt import seeds
from bptt.forecast.network.architecture import Architecture, batch_for
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL, gather, sample
from bptt.numerics.threads import run

__all__ = ["candidates", "choose_anchors", "to_blend"]

WINDOWS = 1024
# A forecast whose usual error is larger than the best one's by this factor would only teach the mixture to avoid it.
TOLERANCE = 1.25

Anchor = tuple[int, int]


def candidates(seasons: tuple[int, ...]) -> list[Anchor]:
    """What anchors="auto" tries, the seasonal ones first."""
    seasonal: list[Anchor] = [(SEASONAL, period) for period in seasons]
    averages: list[Anchor] = [(AVERAGE, period) for period in seasons]
    return [*seasonal, *averages, (LAST, 0), (MEAN, 0), (DRIFT, 0)]


def to_blend(seasons: tuple[int, ...]) -> tuple[Anchor, ...]:
    """What a network of few windows is blended with."""
    return (*candidates(seasons), *((CHANGE, period) for period in seasons))


def choose_anchors(
    plan: Architecture, source: Any, windows: tuple[np.ndarray, ...], seasons: tuple[int, ...]
) -> Architecture:
    """The plan with the seasonal naive forecasts and those that are about as good as the best.

    Tried are the last value, the window's mean and slope, and of each period the seasonal naive forecast and the mean
    of the window's seasons, on windows drawn as in training; an error is the mean over a window's steps, the usual one
    the median over the windows.
    """
    tried = candidates(seasons)
    whole = replace(plan, kinds=tuple(kind for kind, _ in tried), periods=tuple(period for _, period in tried))
    batch = batch_for(whole, WINDOWS)
    sample(seeds.key(plan.seed, "windows"), 0, *windows, batch.series, batch.ends)
    run(gather, source, whole.reading, batch)
    K, R = len(tried), plan.row
    error = np.abs(batch.anchors.reshape(-1, WINDOWS, K, R) - batch.target.reshape(-1, WINDOWS, 1, R))
    error *= batch.weight.reshape(-1, WINDOWS, 1, R)
    told = batch.weights > 0
    if not told.any():
        first = tried[: len(seasons)] or [(LAST, 0)]
        return replace(plan, kinds=tuple(kind for kind, _ in first), periods=tuple(period for _, period in first))
    usual = np.median(error.sum(axis=(0, 3), dtype=np.float64)[told] / batch.weights[told, None], axis=0)
    kept = [k for k in range(K) if k < len(seasons) or usual[k] <= TOLERANCE * usual.min()]
    return replace(plan, kinds=tuple(whole.kinds[k] for k in kept), periods=tuple(whole.periods[k] for k in kept))
