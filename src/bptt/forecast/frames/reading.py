"""From users' frames to panels and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames import columns, exogenous
from bptt.forecast.frames.columns import text
from bptt.forecast.frames.frequency import FreqLike, parse_freq
from bptt.forecast.frames.future import future_rows, get_missing_future, make_future_dataframe
from bptt.forecast.frames.gaps import fill_gaps
from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.schema import FrameSchema
from bptt.forecast.frames.sorting import SortedFrame, check_spacing, ordinals, sort_rows, wheres
from bptt.user_warnings import warn

__all__ = [
    "FrameSchema",
    "fill_gaps",
    "future_rows",
    "get_missing_future",
    "make_future_dataframe",
    "read",
    "warn_unobserved_ends",
]


FORECASTS_START = "forecasts start after its last row. Drop these rows to forecast from the last value on"


def read(
    df: pd.DataFrame,
    freq: FreqLike | None = None,
    *,
    static_df: pd.DataFrame | None = None,
    futr: Sequence[str] = (),
    hist: Sequence[str] = (),
    stat: Sequence[str] = (),
    calendar: bool = False,
    encoding: FrameSchema | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> tuple[Panel, FrameSchema]:
    """Check a frame and turn it into a panel.

    Rows may come in any order. Times of a series that the frame leaves out become rows that are not observed, with
    one warning that counts them. NaN in the target is a missing value like these.

    Parameters
    ----------
    df : DataFrame
        One row for each id and time: an id column (any type), a time column (timestamps of any unit, with or
        without a time zone, texts in ISO 8601, or integers), a target of numbers, and the columns named in `futr`
        and `hist`. Columns of strings, bool or categories become one column of zeros and ones for each value.
    freq : str, offset or int
        See `bptt.forecast.frames.frequency.parse_freq`. Left out (or the same) where `encoding` is given.
    static_df : DataFrame
        One row for each id, with the columns named in `stat`. Ids missing from `df` are ignored.
    futr, hist, stat : sequences of str
        Columns known for the future as well, known for the past only, and those of `static_df`.
    calendar : bool
        Put `calendar_features` among the future-known columns, under the names "calendar=...".
    encoding : FrameSchema
        Read a later frame the same way as the first one. The frequency and all names are then those of the encoding.
    id_col, time_col, target_col : str
        Names of the columns.

    Returns
    -------
    panel : Panel
        Series sorted by their ids.
    encoding : FrameSchema

    Raises
    ------
    TypeError
        If a frame is neither of pandas nor has a method `to_pandas()`, or a name or the frequency is of another type.
    ValueError
        Naming the column, the series and the time: missing columns or values, infinite values, targets that are no
        numbers, ids and times that are there twice, times that are not of the frequency, and a frequency that
        leaves more than half of the rows missing.

    Warns
    -----
    UserWarning
        Once for each of: gaps, a `static_df` that is of no use, series without
        any value of the target, values of categorical columns that the encoding does not know. With the number and
        the first of them.

    Examples
    --------
    >>> ds = pd.date_range("2024-01-31", periods=3, freq="ME")
    >>> df = pd.DataFrame({"unique_id": "a", "ds": ds, "y": [1, None, 3]})
    >>> panel, encoding = read(df, "M", calendar=True)
    >>> panel.y.tolist(), panel.observed.tolist(), panel.futr_names
    ([1.0, 0.0, 3.0], [True, False, True], ('calendar=sin(month)', 'calendar=cos(month)'))
    """
    if encoding is None:
        new = True
        reserved = (id_col, time_col, target_col)
        if len(set(reserved)) < 3:
            raise ValueError(f"id_col, time_col and target_col must name three columns; got {reserved}")
        encoding = FrameSchema(
            freq=parse_freq(cast(FreqLike, freq)),
            id_col=id_col,
            time_col=time_col,
            target_col=target_col,
            id_dtype=None,
            time_dtype=None,
            futr=exogenous.check_names("futr", futr, reserved),
            hist=exogenous.check_names("hist", hist, reserved),
            stat=exogenous.check_names("stat", stat, reserved),
            calendar=calendar,
        )
    else:
        new = False
        if freq is not None and parse_freq(freq) != encoding.freq:
            raise ValueError(f"freq must be that of the training data, {encoding.freq.name!r}; got {freq!r}")
    df = columns.dated("df", df, encoding.time_col)
    columns.check_frame(
        "df", df, [encoding.id_col, encoding.time_col, encoding.target_col, *encoding.futr, *encoding.hist]
    )
    encoding = replace(encoding, id_dtype=df[encoding.id_col].dtype, time_dtype=_time_dtype(df, encoding, new))
    static_df = _static_frame(static_df, encoding)
    # Sorted, so that the order of rows and series decides nothing: which windows are drawn, which sums are made.
    layout = sort_rows("df", df, encoding.freq, encoding.zone, encoding.id_col, encoding.time_col, by_id=True)
    ordinal = ordinals("df", layout, encoding.time_col)
    steps = check_spacing("df", layout, ordinal, most=1)
    where = wheres(df, encoding.id_col, encoding.time_col)
    if new:
        encoding = replace(
            encoding,
            categories=exogenous.categories_of("df", df, (*encoding.futr, *encoding.hist)),
            static_categories=exogenous.categories_of("static_df", static_df, encoding.stat),
        )
    y, observed = columns.target(df[encoding.target_col], where)
    futr_part, futr_names = exogenous.features("df", df, encoding.futr, encoding.categories, where)
    hist_part, hist_names = exogenous.features("df", df, encoding.hist, encoding.categories, where)
    static, static_names = _static(static_df, encoding, layout.ids)

    source = layout.order
    starts, ds = layout.starts, layout.ds
    gaps = int(steps.sum()) - len(steps)
    if gaps:
        _warn_gaps(layout, steps, encoding)
        ends = np.cumsum(steps)
        starts = np.concatenate([[0], ends[layout.starts[1:] - 1]])
        row = np.repeat(np.arange(len(steps)), steps)
        since = np.arange(len(row)) - (ends - steps)[row]
        ds = encoding.freq.step(ds[row], since)
        source = row if source is None else source[row]
    if source is not None:
        y, observed, futr_part, hist_part = y[source], observed[source], futr_part[source], hist_part[source]
    if gaps:
        y[since > 0], observed[since > 0] = 0.0, False
    if encoding.calendar:
        dates, date_names = encoding.calendar_features(ds)
        futr_part, futr_names = np.concatenate([futr_part, dates], axis=1), futr_names + date_names
    panel = Panel(
        layout.ids.to_numpy(),
        starts,
        ds,
        y,
        observed,
        futr_part,
        hist_part,
        static,
        futr_names,
        hist_names,
        static_names,
    )
    _warn_unobserved(panel)
    return panel, encoding


def _time_dtype(df: pd.DataFrame, encoding: FrameSchema, new: bool) -> Any:
    """Of the frame, with the zone that was fitted on: a later frame is read by the same clock."""
    dtype = df[encoding.time_col].dtype
    if not new and encoding.zone is not None and isinstance(dtype, pd.DatetimeTZDtype):
        return pd.DatetimeTZDtype(dtype.unit, encoding.zone)
    if not new and (encoding.zone is None) == isinstance(dtype, pd.DatetimeTZDtype):
        return encoding.time_dtype  # `naive_times` reports what is wrong
    return dtype


def _static_frame(static_df: pd.DataFrame | None, encoding: FrameSchema) -> pd.DataFrame:
    if static_df is None:
        if encoding.stat:
            raise ValueError(
                f"Models require the following static exogenous features: {columns.listed(encoding.stat)}. Please "
                "provide them through the static_df argument."
            )
        return pd.DataFrame()
    static_df = columns.as_pandas("static_df", static_df)
    columns.check_frame("static_df", static_df, [encoding.id_col, *encoding.stat])
    if not encoding.stat:
        warn("static_df is not used: no model has static columns")
    return static_df


def _static(
    static_df: pd.DataFrame, encoding: FrameSchema, ids: pd.Index[Any]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The static columns in the order of the ids, float32 (N, S)."""
    if not encoding.stat:
        return np.empty((len(ids), 0), np.float32), ()
    codes, known = columns.factorize_ids("static_df", static_df[encoding.id_col])
    if len(known) < len(codes):
        twice = int(np.argmax(np.bincount(codes) > 1))
        raise ValueError(
            f"static_df has {len(codes) - len(known)} surplus rows: series {text(known[twice])} has "
            f"{int((codes == twice).sum())}; accepted: one row per id"
        )
    rows = known.get_indexer(ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise ValueError(
            f"static_df has no row for {len(missing)} of {len(ids)} series, the first of them {text(ids[missing[0]])}"
            f"{columns.id_hint('static_df', known, ids)}; accepted: one row for each id of df"
        )
    used = static_df.iloc[rows]
    return exogenous.features(
        "static_df",
        used,
        encoding.stat,
        encoding.static_categories,
        lambda row: f"series {text(used[encoding.id_col].iloc[row])}",
    )


def _warn_gaps(layout: SortedFrame, steps: NDArray[np.int64], encoding: FrameSchema) -> None:
    gaps = np.flatnonzero(steps > 1)
    series = len(np.unique(layout.series[gaps]))
    first = encoding.freq.step(layout.ds[gaps[:1]], 1)
    freq = encoding.freq.name if encoding.freq.is_integer else repr(encoding.freq.name)
    warn(
        f"df has {len(gaps)} gaps in {series} series, {int(steps.sum()) - len(steps)} rows in all, which count as "
        f"missing values: the first is series {layout.whose(gaps[0])} at {encoding.time_col} "
        f'{layout.when(first)}. fill_gaps(df, {freq}, end="per_serie") adds these rows, for you to fill'
    )


def _warn_unobserved(panel: Panel) -> None:
    empty = np.flatnonzero(~np.logical_or.reduceat(panel.observed, panel.starts[:-1]))
    if len(empty):
        warn(
            f"{len(empty)} of {len(panel)} series have no values, the first of them "
            f"{text(panel.ids[empty[0]])}: nothing can be learned from them"
        )


def warn_unobserved_ends(panel: Panel, encoding: FrameSchema, consequence: str = FORECASTS_START) -> None:
    """Warn that some series end in missing values, and of the consequence."""
    rows = np.where(panel.observed, np.arange(panel.y.size), -1)
    last = np.maximum.reduceat(rows, panel.starts[:-1])
    short = np.flatnonzero((last >= 0) & (last < panel.starts[1:] - 1))
    if len(short):
        first = short[0]
        shown = [
            text(restored)
            for row in (last[first], panel.starts[first + 1] - 1)
            for restored in columns.restore_times(panel.ds[row : row + 1], encoding.freq, encoding.time_dtype)
        ]
        warn(
            f"{len(short)} of {len(panel)} series end in missing values: the last value of series "
            f"{text(panel.ids[first])} is of {encoding.time_col} {shown[0]}, its last row of {shown[1]}, and "
            f"{consequence}"
        )
