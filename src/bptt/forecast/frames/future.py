"""The rows after the end of each series, which a model forecasts, and their known columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt import arguments
from bptt.forecast.frames import columns, exogenous
from bptt.forecast.frames.columns import text
from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.schema import FrameSchema
from bptt.forecast.frames.sorting import SortedFrame, sort_rows, wheres
from bptt.user_warnings import warn

__all__ = ["future_rows", "get_missing_future", "make_future_dataframe"]


def future_rows(panel: Panel, encoding: FrameSchema, h: int, futr_df: pd.DataFrame | None = None) -> Panel:
    """Extend every series by the h rows after its last one, to forecast them.

    Parameters
    ----------
    panel : Panel
    encoding : FrameSchema
        As `bptt.forecast.frames.reading.read` returned them.
    h : int
        At least 1.
    futr_df : DataFrame
        A row for each id and each of its h times, in any order, with the columns of `encoding.futr`.

    Returns
    -------
    Panel
        New arrays. The new rows are not observed, their past-only columns are 0.

    Raises
    ------
    TypeError, ValueError
        If `h` is not a positive integer; if `futr_df` is missing, lacks columns, ids or times, has some
        twice, or misses values.

    Warns
    -----
    UserWarning
        Rows of `futr_df` that are not used, and unknown categories, with their number.

    Examples
    --------
    >>> from bptt.forecast.frames.reading import read
    >>> df = pd.DataFrame({"unique_id": "a", "ds": [1, 2], "y": [3.0, 4.0], "price": [8, 9]})
    >>> longer = future_rows(*read(df, 1, futr=["price"]), h=1, futr_df=df[["unique_id", "price"]].tail(1).assign(ds=3))
    >>> longer.ds.tolist(), longer.y.tolist(), longer.observed.tolist(), longer.futr.tolist()
    ([1, 2, 3], [3.0, 4.0, 0.0], [True, True, False], [[8.0], [9.0], [9.0]])
    """
    h = arguments.integer("h", h)
    series, ds = _future(panel, encoding, h)
    futr = [_read_future(panel, encoding, h, ds, futr_df)]
    if encoding.calendar:
        futr.append(encoding.calendar_features(ds)[0])
    starts = panel.starts + h * np.arange(len(panel) + 1)
    old = np.arange(len(panel.ds)) + h * panel.series
    new = starts[1:][series] - h + np.tile(np.arange(h), len(panel))

    def extended(before: NDArray[Any], after: Any) -> Any:
        result = np.empty((int(starts[-1]), *before.shape[1:]), before.dtype)
        result[old], result[new] = before, after
        return result

    return Panel(
        panel.ids,
        starts,
        extended(panel.ds, ds),
        extended(panel.y, 0),
        extended(panel.observed, False),
        extended(panel.futr, np.concatenate(futr, axis=1)),
        extended(panel.hist, 0),
        panel.static,
        panel.futr_names,
        panel.hist_names,
        panel.static_names,
    )


def make_future_dataframe(panel: Panel, encoding: FrameSchema, h: int) -> pd.DataFrame:
    """The ids and times of the h rows after each series' last one.

    Parameters
    ----------
    panel, encoding
        As `bptt.forecast.frames.reading.read` returned them.
    h : int
        At least 1.

    Returns
    -------
    DataFrame
        N h rows, series after series, in columns of the names and dtypes of the frame that was read.

    Examples
    --------
    >>> from bptt.forecast.frames.reading import read
    >>> df = pd.DataFrame({"unique_id": ["b", "a"], "ds": [5, 2], "y": [3.0, 4.0]})
    >>> make_future_dataframe(*read(df, 1), h=2).values.tolist()
    [['a', 3], ['a', 4], ['b', 6], ['b', 7]]
    """
    return encoding.rows(panel, *_future(panel, encoding, arguments.integer("h", h)))


def get_missing_future(panel: Panel, encoding: FrameSchema, h: int, futr_df: pd.DataFrame) -> pd.DataFrame:
    """The rows of `make_future_dataframe` that `futr_df` lacks.

    Parameters
    ----------
    panel, encoding, h
        As for `make_future_dataframe`.
    futr_df : DataFrame
        With the columns of ids and times.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> from bptt.forecast.frames.reading import read
    >>> df = pd.DataFrame({"unique_id": ["b", "a"], "ds": [5, 2], "y": [3.0, 4.0]})
    >>> get_missing_future(*read(df, 1), 2, pd.DataFrame({"unique_id": ["a", "b"], "ds": [3, 7]})).values.tolist()
    [['a', 4], ['b', 6]]
    """
    series, ds = _future(panel, encoding, arguments.integer("h", h))
    futr_df = columns.dated("futr_df", futr_df, encoding.time_col)
    if not len(futr_df):
        return encoding.rows(panel, series, ds)
    missing = _match(panel, series, ds, _lay_out(encoding, futr_df)) < 0
    return encoding.rows(panel, series[missing], ds[missing])


def _future(panel: Panel, encoding: FrameSchema, h: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Series and time of each future row, (N h,)."""
    series = np.repeat(np.arange(len(panel), dtype=np.int64), h)
    steps = np.tile(np.arange(1, h + 1, dtype=np.int64), len(panel))
    return series, encoding.freq.step(panel.last_ds[series], steps)


def _lay_out(encoding: FrameSchema, futr_df: pd.DataFrame) -> SortedFrame:
    return sort_rows("futr_df", futr_df, encoding.freq, encoding.zone, encoding.id_col, encoding.time_col)


def _match(panel: Panel, series: NDArray[np.int64], ds: NDArray[Any], layout: SortedFrame) -> NDArray[np.int64]:
    """The row of the frame that each future row is, -1 for none."""
    if isinstance(layout.time_dtype, pd.DatetimeTZDtype) and layout.freq.wall:
        ds = columns.shown_times(ds, layout.time_dtype.tz)
    code = pd.Index(panel.ids).get_indexer(layout.ids)[layout.series]
    times, place = np.unique(np.concatenate([ds, layout.ds]), return_inverse=True)
    wanted = series * len(times) + place[: len(ds)]
    known = np.flatnonzero(code >= 0)
    have = code[known] * len(times) + place[len(ds) :][known]
    found = pd.Index(have).get_indexer(pd.Index(wanted))
    rows = known if layout.order is None else layout.order[known]
    return np.where(found < 0, -1, rows[found]) if len(rows) else np.full(len(ds), -1)


def _read_future(
    panel: Panel, encoding: FrameSchema, h: int, ds: NDArray[Any], futr_df: pd.DataFrame | None
) -> NDArray[np.float32]:
    """The future-known columns of the frame in the future rows, float32 (N h, F)."""
    if futr_df is not None:
        futr_df = columns.dated("futr_df", futr_df, encoding.time_col)
    if not encoding.futr:
        if futr_df is not None:
            warn("futr_df is not used: no model has columns that are known for the future")
        return np.empty((len(ds), 0), np.float32)
    if futr_df is None or not set(encoding.futr) <= set(futr_df.columns):
        missing = encoding.futr if futr_df is None else set(encoding.futr) - set(futr_df.columns)
        raise ValueError(
            f"Models require the following future exogenous features: {columns.listed(missing)}. Please provide them "
            f"through the futr_df argument, for the rows that make_future_dataframe() returns."
        )
    columns.check_frame("futr_df", futr_df, [encoding.id_col, encoding.time_col, *encoding.futr])
    series = np.repeat(np.arange(len(panel), dtype=np.int64), h)
    layout = _lay_out(encoding, futr_df)
    rows = _match(panel, series, ds, layout)
    missing_rows = np.flatnonzero(rows < 0)
    if len(missing_rows):
        first = missing_rows[:1]
        raise ValueError(
            "There are missing combinations of ids and times in futr_df. You can run the make_future_dataframe() "
            "method to get the expected combinations or the get_missing_future(futr_df) method to get the missing "
            "combinations. "
            f"{len(missing_rows)} of {len(rows)} are missing, the first of them series "
            f"{text(panel.ids[series[first[0]]])}, {encoding.time_col} {layout.when(ds[first])}"
            f"{columns.id_hint('futr_df', layout.ids, pd.Index(panel.ids))}."
        )
    used = futr_df.iloc[rows]
    where = wheres(used, encoding.id_col, encoding.time_col)
    for name in encoding.futr:
        null = np.flatnonzero(used[name].isna())
        if len(null):
            raise ValueError(
                f"Found null values in futr_df: {len(null)} in column {name!r}, the first at {where(null[0])}; "
                "fill them"
            )
    if len(futr_df) > len(rows):
        warn(
            f"{len(futr_df) - len(rows)} of {len(futr_df)} rows of futr_df are not used: they are not among the {h} "
            "rows after the end of a series"
        )
    return exogenous.features("futr_df", used, encoding.futr, encoding.categories, where)[0]
