"""What a model takes where its user says nothing: derived from the horizon and the seasons."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bptt import arguments
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL

__all__ = [
    "anchors_from",
    "default_hidden_size",
    "default_input_size",
    "default_max_steps",
    "default_segment",
    "seasons_from",
]

# A segment is a season where one has at most so many steps.
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
    """Updates: until each window was seen PASSES times, within bounds. Few windows are soon known by heart."""
    _, first, last = windows
    passes = PASSES * int((last - first + 1).sum()) // batch_size
    return min(max(passes, FEWEST), MOST_WIDE if plan.hidden_size >= 128 else MOST)
