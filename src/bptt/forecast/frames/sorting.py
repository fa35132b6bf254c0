"""The rows of a frame as series: sorted by series and time, without duplicates, on the grid of a frequency."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames import columns
from bptt.forecast.frames.columns import (
    Where,
    check_frame,
    factorize_ids,
    naive_times,
    restore_times,
    shown_times,
    text,
)
from bptt.forecast.frames.frequency import Freq, guess_freq

__all__ = ["SortedFrame", "check_spacing", "ordinals", "sort_rows", "wheres"]

Integers = NDArray[np.int64]


class SortedFrame(NamedTuple):
    """Series s is rows `starts[s]` to `starts[s + 1] - 1` of the frame taken in this order (None: as it is)."""

    ids: pd.Index[Any]  # (N,)
    order: Integers | None  # (rows,)
    starts: Integers  # (N + 1,)
    series: Integers  # (rows,), ascending
    ds: NDArray[Any]  # (rows,), ascending inside a series, as a panel has them
    freq: Freq
    time_dtype: Any
    time_col: str

    def whose(self, row: int | np.integer[Any]) -> str:
        """The id of a row, for messages."""
        return text(self.ids[int(self.series[row])])

    def when(self, ds: NDArray[Any]) -> str:
        """The first of some times as the frame has it, for messages."""
        return text(restore_times(ds[:1], self.freq, self.time_dtype)[0])


def wheres(df: pd.DataFrame, id_col: str, time_col: str) -> Where:
    """Names the series and the time of a row of the frame, in its original order."""
    return lambda row: f"series {text(df[id_col].iloc[row])}, {time_col} {text(df[time_col].iloc[row])}"


def sort_rows(
    name: str, df: pd.DataFrame, freq: Freq, zone: Any, id_col: str, time_col: str, *, by_id: bool = False
) -> SortedFrame:
    """Sort a frame's rows by series and time; none may be there twice.

    Series stand in order of first appearance, or sorted by their ids.
    """
    check_frame(name, df, [id_col, time_col])
    series, ids = factorize_ids(name, df[id_col])
    if by_id and not ids.is_monotonic_increasing:
        sorts = columns.ascending(ids)
        rank = np.empty(len(sorts), np.int64)
        rank[sorts] = np.arange(len(sorts))
        series, ids = rank[series], ids.take(sorts)
    ds = naive_times(name, df[time_col], freq, zone)
    order = None
    later = (series[1:] > series[:-1]) | ((series[1:] == series[:-1]) & (ds[1:] >= ds[:-1]))
    if not later.all():
        order = _order(series, ds)
        series, ds = series[order], ds[order]
    starts = np.searchsorted(series, np.arange(len(ids) + 1)).astype(np.int64)
    dtype: Any = df[time_col].dtype
    if zone is not None:
        dtype = pd.DatetimeTZDtype(dtype.unit, zone)
    layout = SortedFrame(ids, order, starts, series, ds, freq, dtype, time_col)
    again = np.flatnonzero((series[1:] == series[:-1]) & (ds[1:] == ds[:-1]))
    if len(again):
        row = again[0]
        copies = int(((series == series[row]) & (ds == ds[row])).sum())
        equal = int(df.duplicated().sum()) == len(again)
        advice = (
            f"they are equal: {name}.drop_duplicates()"
            if equal
            else f"they differ in other columns: add them up or average them, for example {name}.groupby([{id_col!r}, "
            f"{time_col!r}], as_index=False).sum(), or let {id_col!r} tell the series apart"
        )
        raise ValueError(
            f"{name} has rows of the same id and time: series {layout.whose(row)} has {copies} rows at {time_col} "
            f"{layout.when(ds[row:])}, and {len(again)} rows are too many in all; accepted: one row per id and time; "
            f"{advice}"
        )
    return layout


def _order(series: Integers, ds: NDArray[Any]) -> Integers:
    """Rows by series and time, a quarter of the time of `np.lexsort`: NumPy sorts 16 bits by counting them."""
    order = np.argsort(ds.view(np.int64))
    for shift in range(0, int(series.max()).bit_length(), 16):
        order = order[np.argsort((series[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def ordinals(name: str, layout: SortedFrame, time_col: str) -> Integers:
    """How many steps of the frequency each row's time is on, from an origin of their own; all must lie on its grid."""
    ordinal, phase, valid = layout.freq.positions(layout.ds)
    first = layout.starts[:-1]
    beside = ~valid | (phase != phase[first][layout.series])
    if beside.any() and isinstance(layout.time_dtype, pd.DatetimeTZDtype) and layout.freq.wall:
        # A clock that is put forward at midnight has no midnight that day: such days begin at one o'clock.
        for skipped in (np.timedelta64(30, "m"), np.timedelta64(60, "m")):
            meant = layout.ds - skipped
            again = layout.freq.positions(meant)
            fits = again.valid & (again.phase == phase[first][layout.series]) & beside
            rows = np.flatnonzero(fits)
            rows = rows[shown_times(meant[rows], layout.time_dtype.tz) == layout.ds[rows]]
            layout.ds[rows], beside[rows] = meant[rows], False
        ordinal = layout.freq.positions(layout.ds).ordinal
    if beside.any():
        _refuse_beside(name, layout, time_col, beside, phase, valid)
    return ordinal


def _refuse_beside(
    name: str,
    layout: SortedFrame,
    time_col: str,
    beside: NDArray[np.bool_],
    phase: Integers,
    valid: NDArray[np.bool_],
) -> None:
    series = int(layout.series[np.argmax(beside)])
    rows = slice(layout.starts[series], layout.starts[series + 1])
    freq, ds, phase, valid = layout.freq, layout.ds[rows], phase[rows], valid[rows]
    # The first time may be the odd one: the others say what the grid is.
    phases, counts = np.unique(phase[valid], return_counts=True)
    off = ~valid if not len(phases) else ~valid | (phase != phases[np.argmax(counts)])
    many = len(np.unique(layout.series[beside]))
    guess = None if freq.is_integer else guess_freq(ds)
    if isinstance(layout.time_dtype, pd.DatetimeTZDtype) and freq.wall:
        hint = (
            f"its days are those of the clock of {layout.time_dtype.tz}; if steps of 24 hours are meant, freq='24h', "
            "if those of another clock, .dt.tz_convert"
        )
    elif guess is not None:
        hint = f"its times fit freq={guess!r}"
    else:
        hint = (
            f"accepted: times of a series that are whole steps of the frequency apart; round the odd ones or choose a "
            f"finer frequency, then fill_gaps({name}, freq)"
        )
    raise ValueError(
        f"series {text(layout.ids[series])}: {time_col} {layout.when(ds[np.argmax(off) :])} is not a time of {freq}, "
        f"{int((~off).sum())} of its {len(ds)} times are ({many} series of this kind): {hint}"
    )


def check_spacing(name: str, layout: SortedFrame, ordinal: Integers, most: float) -> Integers:
    """Steps from each row to the next of its series (1 at its end), int64 (rows,).

    At most `most` rows may be missing for each row that is there, else the frequency is not that of the frame.
    """
    steps = np.ones(len(ordinal), np.int64)
    inside = layout.series[1:] == layout.series[:-1]
    np.subtract(ordinal[1:], ordinal[:-1], out=steps[:-1], where=inside)
    missing = int(steps.sum()) - len(steps)
    if missing > most * len(steps):
        _refuse_spacing(name, layout, ordinal, steps, missing)
    return steps


def _refuse_spacing(name: str, layout: SortedFrame, ordinal: Integers, steps: Integers, missing: int) -> None:
    """Say what the times of the series with the most gaps look like, and whether the others are like it."""
    freq, starts = layout.freq, layout.starts
    by_series = np.add.reduceat(steps - 1, starts[:-1])
    worst = int(np.argmax(by_series))
    rows = slice(starts[worst], starts[worst + 1])
    usual, counts = np.unique(np.diff(ordinal[rows]), return_counts=True)
    spacing = int(usual[np.argmax(counts)])
    guess = None if freq.is_integer else guess_freq(layout.ds[rows])
    said = f"{freq} leaves {missing} rows missing beside the {len(steps)} of {name}"
    sparse = by_series > np.diff(starts)
    dense = ~sparse & (np.diff(starts) > 1)
    if guess and dense.any():
        raise ValueError(
            f"{said}: its series have different frequencies: the times of {int(sparse.sum())} of {len(sparse)} "
            f"series, as {text(layout.ids[worst])}, are mostly {spacing} steps apart and fit freq={guess!r}, those of "
            f"others, as {text(layout.ids[int(np.argmax(dense))])}, fit {freq}; accepted: one frequency per "
            f"Forecaster, so fit these series with a Forecaster of their own"
        )
    fits = f" and fit freq={guess!r}" if guess and guess != freq.name else ""
    hint = columns.dates_hint(name, pd.Series(layout.ds, name=layout.time_col)) if freq.is_integer else ""
    raise ValueError(
        f"{said}: the times of series {text(layout.ids[worst])} are mostly {spacing} steps apart{fits}; accepted: the "
        f"frequency that the rows have. If the series really are that sparse, fill_gaps({name}, freq) adds the "
        f"missing rows{hint}"
    )
