"""Changes of a local clock, like summer time, which shift seasonal forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames import grids
from bptt.forecast.frames.columns import text
from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.schema import FrameSchema
from bptt.user_warnings import warn

__all__ = ["warn_clock_changes"]

HOUR = 3600 * 10**9


def warn_clock_changes(
    panel: Panel, encoding: FrameSchema, series: NDArray[np.int64], ends: NDArray[np.int64], h: int
) -> None:
    """Warn that the clock of the time zone changes within some forecasts, or in the season that they repeat.

    Seasons are counted in steps of equal length, so what happened at 8 o'clock before a change is expected an hour
    earlier or later after it.

    Parameters
    ----------
    panel : Panel
        With the rows that are forecast.
    encoding : FrameSchema
    series, ends : int64 (W,)
        Windows: rows ends[w] .. ends[w] + h - 1 of series[w].
    h : int
    """
    freq, zone = encoding.freq, encoding.zone
    if zone is None or freq.wall or not len(series):
        return
    # Shorter seasons do not see the hour of the day.
    seasons = [period for period in freq.seasonality if period * freq.span >= grids.DAY]
    if not seasons:
        return
    starts = panel.starts[series] + ends
    before = panel.ds[np.maximum(starts - max(seasons), panel.starts[series])].view(np.int64)
    until = panel.ds[starts + h - 1].view(np.int64)
    changes = _changes(int(before.min()), int(until.max()), zone)
    following = np.searchsorted(changes, before, side="right")
    crossing = np.flatnonzero(following < np.searchsorted(changes, until, side="right"))
    if len(crossing):
        first = crossing[0]
        change = pd.Timestamp(int(changes[following[first]]), tz="UTC").tz_convert(zone)
        affected = len(np.unique(series[crossing]))
        warn(
            f"the clock of {zone} changes within forecasts of {affected} of {len(panel)} series, or within the "
            f"{max(seasons)} steps before them: the first is series {text(panel.ids[series[first]])}, at "
            f"{encoding.time_col} {text(change)}. Daily patterns are repeated after {seasons[0]} equal steps and lie "
            f"at another hour of the local clock after a change, also with calendar=True. To keep them at their hour, "
            f"pass local times without a zone, {encoding.time_col}.dt.tz_localize(None), with one row for an hour that "
            f"comes twice"
        )


def _changes(first: int, last: int, zone: Any) -> NDArray[np.int64]:
    """The full hours (UTC, nanoseconds) from which the clock of a zone differs from UTC by something else."""
    hours = np.arange(first // HOUR, last // HOUR + 2, dtype=np.int64) * HOUR
    local = pd.DatetimeIndex(hours.view("datetime64[ns]")).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    offsets = local.to_numpy().astype("datetime64[ns]").view(np.int64) - hours
    return hours[1:][np.diff(offsets) != 0]
