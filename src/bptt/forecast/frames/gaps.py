"""Rows for the times that are missing in a frame."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames import columns
from bptt.forecast.frames.columns import text
from bptt.forecast.frames.frequency import Freq, FreqLike, parse_freq
from bptt.forecast.frames.native import Native, like
from bptt.forecast.frames.sorting import check_spacing, ordinals, sort_rows
from bptt.user_warnings import warn

__all__ = ["fill_gaps"]

# Rows to make for each that is there: beyond it is a mistaken frequency that would fill the memory.
MOST_MISSING = 10_000


def fill_gaps(
    df: pd.DataFrame,
    freq: FreqLike,
    *,
    start: str | int | datetime.date = "per_serie",
    end: str | int | datetime.date = "global",
    id_col: str = "unique_id",
    time_col: str = "ds",
) -> pd.DataFrame:
    """Add a row for each missing time of each series, with missing values in all other columns.

    Parameters
    ----------
    df : DataFrame
        With a column of ids and one of times, in any order; of pandas, polars, Arrow or another package that narwhals
        knows, as the result then is.
    freq : str, offset or int
        See `bptt.forecast.frames.frequency.parse_freq`.
    start, end : "per_serie", "global", or a time
        The first and the last time of each series: its own ("per_serie"), that of the whole frame ("global"), or the
        given one. A series ends at its last grid point that is not after `end`. Defaults "per_serie" and "global".
    id_col, time_col : str

    Returns
    -------
    DataFrame
        The columns of `df`, series in the order of their first appearance, times ascending. Columns of integers
        become floating point where values are missing.

    Raises
    ------
    TypeError, ValueError
        A column is missing or wrong; `start` or `end` has another type than the times; times of a series are not on
        the grid that begins at `start`. The message names the argument, the column or the series.

    Warns
    -----
    UserWarning
        Rows before `start` or after `end` are left out; the message has their number.

    Examples
    --------
    >>> df = pd.DataFrame({"unique_id": ["a", "a", "b"], "ds": [1, 3, 2], "y": [1.0, 3.0, 2.0]})
    >>> fill_gaps(df, freq=1)["ds"].tolist(), fill_gaps(df, freq=1)["y"].tolist()
    ([1, 2, 3, 2, 3], [1.0, nan, 3.0, 2.0, nan])
    """
    columns.check_names(id_col=id_col, time_col=time_col)
    freq, native = parse_freq(freq), Native.of(df)
    df = columns.dated("df", df, time_col)
    columns.check_frame("df", df, [id_col, time_col])
    dtype = df[time_col].dtype
    zone = dtype.tz if isinstance(dtype, pd.DatetimeTZDtype) else None
    layout = sort_rows("df", df, freq, zone, id_col, time_col)
    ordinals("df", layout, time_col)
    first, last = layout.ds[layout.starts[:-1]], layout.ds[layout.starts[1:] - 1]
    begin = _bound("start", start, first, layout.ds.min(), freq, dtype, zone)
    finish = _bound("end", end, last, layout.ds.max(), freq, dtype, zone)

    # In one call: origins of ordinals differ from call to call.
    rows, count = len(layout.ds), len(first)
    ordinal, phase, valid = freq.positions(np.concatenate([layout.ds, begin, finish]))
    begins, finishes = slice(rows, rows + count), slice(rows + count, None)
    beside = np.flatnonzero(~valid[begins] | (phase[begins] != phase[layout.starts[:-1]]))
    if len(beside):
        raise ValueError(
            f"start must be a time of {freq} on the grid of each series; got "
            f"{layout.when(begin[beside])} where series "
            f"{text(layout.ids[beside[0]])} has {layout.when(first[beside])} "
            f"({len(beside)} such series)"
        )
    lengths = ordinal[finishes] - (phase[finishes] < phase[begins]) - ordinal[begins] + 1
    lengths = np.maximum(lengths, 0)
    if lengths.sum() > MOST_MISSING * rows:
        check_spacing("df", layout, ordinal[:rows], MOST_MISSING)
        raise ValueError(
            f"{freq} from start to end would make {lengths.sum()} rows of the {rows} of df; choose nearer ones"
        )
    starts = np.concatenate([[0], np.cumsum(lengths)])

    place = ordinal[:rows] - ordinal[begins][layout.series]
    kept = np.flatnonzero((place >= 0) & (place < lengths[layout.series]))
    if len(kept) < rows:
        warn(f"{rows - len(kept)} of {rows} rows of df lie before start or after end and are left out")
    source = np.full(int(starts[-1]), -1, np.int64)
    source[starts[layout.series[kept]] + place[kept]] = kept if layout.order is None else layout.order[kept]
    series = np.repeat(np.arange(count), lengths)
    ds = freq.step(begin[series], np.arange(len(series)) - starts[series])

    result = df.reset_index(drop=True).reindex(source)
    result.index = pd.RangeIndex(len(result))
    own = layout.starts[:-1] if layout.order is None else layout.order[layout.starts[:-1]]
    result[id_col] = df[id_col].iloc[own[series]].reset_index(drop=True)
    result[time_col] = columns.restore_times(ds, freq, dtype)
    filled: pd.DataFrame = like(native, result)
    return filled


def _bound(
    name: str, bound: Any, own: NDArray[Any], everywhere: np.generic, freq: Freq, dtype: Any, zone: Any
) -> NDArray[Any]:
    """The first (last) time wanted of each series, (N,)."""
    if isinstance(bound, str) and bound == "per_serie":
        return own
    if isinstance(bound, str) and bound == "global":
        return np.full(len(own), everywhere)
    accepted = f"{name} must be 'per_serie', 'global' or a time like those of the frame ({dtype}); got {bound!r}"
    if isinstance(bound, bool) or freq.is_integer != isinstance(bound, int | np.integer):
        raise TypeError(accepted)
    if freq.is_integer:
        return np.full(len(own), bound, np.int64)
    try:
        stamp = pd.Timestamp(bound)
        if zone is not None and stamp.tzinfo is None:
            stamp = stamp.tz_localize(zone)
        naive = columns.naive_times(name, pd.Series([stamp], name=name), freq, zone)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{accepted}: {error}") from None
    return np.full(len(own), naive[0])
