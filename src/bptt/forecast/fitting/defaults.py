"""The network of a model: from its arguments, and for those not given from the horizon and the seasons."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bptt import arguments
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import (
    AVERAGE,
    BY_MEAN,
    CHANGE,
    DRIFT,
    IDENTITY,
    LAST,
    MEAN,
    SEASONAL,
    SPREAD,
    STANDARD,
)
from bptt.network.loss_kernels import HUBER, MAE, MSE

__all__ = [
    "LOSSES",
    "QUANTILES",
    "SCALERS",
    "anchors_from",
    "architecture_of",
    "default_hidden_size",
    "default_input_size",
    "default_max_steps",
    "default_segment",
    "ordered",
    "seasons_from",
    "weights_of",
]

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
LOSSES = {"mae": MAE, "mse": MSE, "huber": HUBER}
SCALERS = {"spread": SPREAD, "standard": STANDARD, "mean": BY_MEAN, "identity": IDENTITY}
# A season with more steps than this is read in several segments.
LONGEST_SEGMENT = 48
# Bounds of the updates, and how often each window is to be seen.
FEWEST, MOST, MOST_WIDE, PASSES = 200, 600, 1200, 10
PLAIN = {"last": LAST, "mean": MEAN, "drift": DRIFT}
SEASONED = {"seasonal": SEASONAL, "change": CHANGE, "mean": AVERAGE, None: SEASONAL}
ANCHORS = (
    "'auto', or a list of 'last', 'mean', 'drift', 'seasonal:<period>' (or just the period), 'change:<period>' and "
    "'mean:<period>'"
)


def seasons_from(value: Any) -> tuple[int, ...]:
    """The argument `seasonality`: a period or a list of periods, 1 and less than 1 of them meaning none."""
    periods = [value] if not isinstance(value, list | tuple) else value
    return tuple(sorted({arguments.integer("seasonality", period) for period in periods} - {1}))


def anchors_from(value: Any) -> tuple[tuple[int, int], ...]:
    """The argument `anchors`: (kind, period) of each naive forecast."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"anchors must be {ANCHORS}; got {value!r}")
    found = []
    for anchor in value:
        match = re.fullmatch(r"(?:(seasonal|change|mean):)?(\d+)", str(anchor))
        if isinstance(anchor, str) and anchor in PLAIN:
            found.append((PLAIN[anchor], 0))
        elif match and int(match[2]) > 0 and not isinstance(anchor, bool | float):
            found.append((SEASONED[match[1]], int(match[2])))
        else:
            raise ValueError(f"anchors must be {ANCHORS}; got {anchor!r} in it")
    if len(set(found)) < len(found):
        raise ValueError(f"anchors must name each naive forecast once; got {value!r}")
    return tuple(found)


def default_segment(h: int, seasons: tuple[int, ...]) -> int:
    """Steps of a segment: a season, or the horizon."""
    if seasons and seasons[0] <= LONGEST_SEGMENT:
        return max(seasons[0], 2)
    return min(h, LONGEST_SEGMENT)


def default_input_size(h: int, seasons: tuple[int, ...]) -> int:
    """Values of a window: two of the longest season, four of the shortest, and more than the horizon."""
    if seasons:
        return max(2 * seasons[-1], 4 * seasons[0], 2 * h)
    return 4 * h


def default_hidden_size(seasons: tuple[int, ...]) -> int:
    """Units of a layer: more where a season has many shapes to tell apart."""
    return 128 if seasons and seasons[-1] >= 24 else 64


def default_max_steps(plan: Architecture, windows: tuple[np.ndarray, np.ndarray, np.ndarray], batch_size: int) -> int:
    """Updates: until each window was seen PASSES times, within bounds. Few windows are quickly overfitted."""
    _, first, last = windows
    passes = PASSES * int((last - first + 1).sum()) // batch_size
    return min(max(passes, FEWEST), MOST_WIDE if plan.hidden_size >= 128 else MOST)


def weights_of(horizon_weight: list[float] | None) -> tuple[float, ...]:
    """Weights of mean 1, so that the loss keeps its size; none were given: ()."""
    if horizon_weight is None:
        return ()
    mean = sum(horizon_weight) / len(horizon_weight)
    return tuple(float(weight) / mean for weight in horizon_weight)


def ordered(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Ascending quantiles in the head's order: the point forecast, those above it outwards, those under it outwards."""
    above, below = [tau for tau in quantiles if tau > 0.5], [tau for tau in quantiles if tau < 0.5]
    return (0.5, *above, *reversed(below))


def architecture_of(
    given: dict[str, Any], cell: str, quantiles: tuple[float, ...], seasons: tuple[int, ...], widths: tuple[int, ...]
) -> Architecture:
    """The network that follows from a model's arguments, the seasons and the numbers of columns.

    With anchors="auto" it has no naive forecasts yet: the data decide.
    """
    strategy, h = given["strategy"], given["h"]
    anchors = anchors_from([] if given["anchors"] in ("auto", None) else given["anchors"])
    step = 1
    if strategy == "segment":
        step = given["segment"] or default_segment(h, seasons)
    size = given["input_size"] or default_input_size(h, seasons)
    n = (given["h_train"] or h) if strategy == "recursive" else h
    lags = given["lags"] or ()
    if lags == "auto":
        lags = tuple(period for period in seasons if period > 1)
    return Architecture(
        strategy=strategy,
        cell=cell,
        n=n,
        input_size=-(-size // step) * step,
        segment=step,
        hidden_size=given["hidden_size"] or default_hidden_size(seasons),
        num_layers=given["num_layers"],
        kinds=tuple(kind for kind, _ in anchors),
        periods=tuple(period for _, period in anchors),
        lags=tuple(int(lag) for lag in lags),
        futr=widths[0],
        hist=widths[1],
        static=widths[2],
        taus=ordered(quantiles),
        loss=LOSSES[given["loss"]],
        parameter=float(given["huber_delta"]),
        scaler=SCALERS[given["scaler_type"]],
        dropout=float(given["dropout"]),
        told=float(given["scheduled_sampling"]),
        seed=given["seed"],
        dtype=given["dtype"],
        marks_forecasts=n > 1,
        horizon_weight=weights_of(given["horizon_weight"]),
    )
