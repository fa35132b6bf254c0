"""What has to be kept of a frame: how to read a later one in the same way, and how to give results back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.calendar import Freq, calendar_features, parse_freq
from bptt.forecast.columns import restore_times
from bptt.forecast.panel import Panel

__all__ = ["Encoding"]


@dataclass(frozen=True)
class Encoding:
    """Names, types, frequency and categories of the frame that was fitted on, as `bptt.forecast.frame.read` saw it.

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
        """`bptt.forecast.calendar.calendar_features` of a panel's times, by the clock of the time zone."""
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
            If the frequency is an offset that no alias stands for, such as business days with holidays, or the time
            zone or the ids' dtype has no name.
        """
        freq: str | int = self.freq.offset if isinstance(self.freq.offset, int) else self.freq.name
        try:
            named = parse_freq(freq) == self.freq
        except ValueError:
            named = False
        if not named:
            raise ValueError(
                f"{self.freq} cannot be written to a file: no alias stands for {self.freq.offset!r}; accepted: a "
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
    def from_settings(cls, settings: Mapping[str, Any]) -> Encoding:
        """The encoding that had these `settings`."""
        values = dict(settings)
        values["freq"] = parse_freq(values["freq"])
        for name in ("id_dtype", "time_dtype"):
            values[name] = _dtype_from_settings(values[name])
        for name in ("futr", "hist", "stat"):
            values[name] = tuple(values[name])
        for name in ("categories", "static_categories"):
            values[name] = {column: tuple(texts) for column, texts in values[name].items()}
        return cls(**values)


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
    if isinstance(settings, Mapping):
        values = pd.Index(settings["categories"], dtype=_dtype_from_settings(settings["dtype"]))
        return pd.CategoricalDtype(values, ordered=settings["ordered"])
    # Before version 3 pandas kept strings as objects and takes "str" for strings of a fixed width.
    return pd.Series([], dtype=str).dtype if settings == "str" else pd.api.types.pandas_dtype(settings)
