"""What is kept of a frame, to read a later one in the same way and to return results in its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.files.schema import flag, listing, record, text, within
from bptt.forecast.frames import exogenous
from bptt.forecast.frames.columns import restore_times
from bptt.forecast.frames.frequency import Freq, calendar_features, parse_freq
from bptt.forecast.frames.panel import Panel

__all__ = ["FrameSchema"]


@dataclass(frozen=True)
class FrameSchema:
    """Names, types, frequency and categories of the frame that was fitted on, as `frames.reading.read` saw it.

    Attributes
    ----------
    freq : Freq
    id_col, time_col, target_col : str
    id_dtype, time_dtype : dtype
        Of the frame last read; the time zone is that of the first.
    futr, hist, stat : tuple of str
        Columns that are known for the future, known for the past, and static.
    categories, static_categories : mapping of str to tuple of str
        The values that each categorical column had, as text, in the order of their columns in the panel. Later
        values that are not among them become zeros in all of these.
    calendar : bool
        Whether sines and cosines of the calendar are among the future-known columns.
    """

    freq: Freq
    id_col: str
    time_col: str
    target_col: str
    id_dtype: Any
    time_dtype: Any
    futr: tuple[str, ...] = ()
    hist: tuple[str, ...] = ()
    stat: tuple[str, ...] = ()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    static_categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calendar: bool = False

    @property
    def zone(self) -> Any:
        """The time zone, None where times have none."""
        return self.time_dtype.tz if isinstance(self.time_dtype, pd.DatetimeTZDtype) else None

    def calendar_features(self, ds: NDArray[Any]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """`bptt.forecast.frames.frequency.calendar_features` of a panel's times, by the clock of the time zone."""
        if self.zone is not None and not self.freq.wall:
            ds = pd.DatetimeIndex(ds).tz_localize("UTC").tz_convert(self.zone).tz_localize(None).to_numpy()
        return calendar_features(ds, self.freq)

    def rows(self, panel: Panel, series: NDArray[np.int64], ds: NDArray[Any]) -> pd.DataFrame:
        """Ids and times as the user's frame has them.

        Parameters
        ----------
        panel : Panel
        series : int64 (rows,)
            Which of the panel's series.
        ds : datetime64[ns] or int64 (rows,)
            Times as in the panel.

        Returns
        -------
        DataFrame
            Two columns, of the frame's names and dtypes. A time that the frame's unit cannot hold keeps the finer one.
        """
        ids = pd.Series(panel.ids).astype(self.id_dtype).take(series).reset_index(drop=True)
        return pd.DataFrame({self.id_col: ids, self.time_col: restore_times(ds, self.freq, self.time_dtype)})

    @property
    def settings(self) -> dict[str, Any]:
        """What `from_settings` makes it from again, JSON-able.

        Raises
        ------
        ValueError
            If the frequency is an offset without an alias, such as business days with holidays, or the time
            zone or the ids' dtype has no name.
        """
        freq: str | int = self.freq.offset if isinstance(self.freq.offset, int) else self.freq.name
        try:
            named = parse_freq(freq) == self.freq
        except ValueError:
            named = False
        if not named:
            raise ValueError(
                f"{self.freq} cannot be written to a file: {self.freq.offset!r} has no alias; accepted: a "
                "frequency with an alias ('B', 'ME', ...)"
            )
        return {
            "freq": freq,
            "id_col": self.id_col,
            "time_col": self.time_col,
            "target_col": self.target_col,
            "id_dtype": _dtype_settings(self.id_col, self.id_dtype),
            "time_dtype": _dtype_settings(self.time_col, self.time_dtype),
            "futr": list(self.futr),
            "hist": list(self.hist),
            "stat": list(self.stat),
            "categories": {column: list(values) for column, values in self.categories.items()},
            "static_categories": {column: list(values) for column, values in self.static_categories.items()},
            "calendar": self.calendar,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> FrameSchema:
        """The encoding that had these `settings`.

        Raises
        ------
        ValueError
            Naming the field that no frame could have led to.
        """
        values = dict(record(settings, cls.__match_args__))
        with within("freq"):
            values["freq"] = freq = parse_freq(values["freq"])
        reserved = tuple(text(name, values[name]) for name in ("id_col", "time_col", "target_col"))
        if len(set(reserved)) < 3:
            raise ValueError(f"id_col, time_col and target_col must name three columns; got {reserved}")
        for name in ("futr", "hist", "stat"):
            values[name] = exogenous.check_names(name, listing(name, values[name]), reserved)
        for name, columns in (("categories", values["futr"] + values["hist"]), ("static_categories", values["stat"])):
            with within(name):
                values[name] = exogenous.categories_from_settings(values[name], columns)
        flag("calendar", values["calendar"])
        for name, is_accepted in (("id_dtype", _is_of_ids), ("time_dtype", partial(_is_of_times, freq))):
            with within(name):
                values[name] = dtype = _dtype_from_settings(values[name])
                if not is_accepted(dtype):
                    raise ValueError(f"no column of a frame with {freq} can have the dtype {dtype}")
        return cls(**values)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of a panel's columns, as `Panel` has them."""
        dates = self.calendar_features(np.zeros(1, np.int64 if self.freq.is_integer else "datetime64[ns]"))[1]
        return {
            "futr_names": exogenous.titles(self.futr, self.categories) + (dates if self.calendar else ()),
            "hist_names": exogenous.titles(self.hist, self.categories),
            "static_names": exogenous.titles(self.stat, self.static_categories),
        }


def _is_of_ids(dtype: Any) -> bool:
    values = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    is_text = pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)
    return pd.api.types.is_integer_dtype(values) or (is_text and not isinstance(values, pd.CategoricalDtype))


def _is_of_times(freq: Freq, dtype: Any) -> bool:
    if freq.is_integer:
        return pd.api.types.is_integer_dtype(dtype)
    return isinstance(dtype, pd.DatetimeTZDtype) or (isinstance(dtype, np.dtype) and dtype.kind == "M")


def _dtype_settings(column: str, dtype: Any) -> Any:
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "categories": dtype.categories.tolist(),
            "dtype": _dtype_settings(column, dtype.categories.dtype),
            "ordered": bool(dtype.ordered),
        }
    name = str(dtype)
    try:
        known = _dtype_from_settings(name) == dtype
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"column {column!r} cannot be written to a file: its dtype {name} has no name; convert the column"
        )
    return name


def _dtype_from_settings(settings: Any) -> Any:
    if isinstance(settings, dict):
        record(settings, ("categories", "dtype", "ordered"))
        dtype = _dtype_from_settings(text("dtype", settings["dtype"]))
        values = pd.Index(listing("categories", settings["categories"]), dtype=dtype)
        return pd.CategoricalDtype(values, ordered=flag("ordered", settings["ordered"]))
    text("dtype", settings)
    # Before version 3 pandas kept strings as objects and takes "str" for strings of a fixed width.
    return pd.Series([], dtype=str).dtype if settings == "str" else pd.api.types.pandas_dtype(settings)
