"""Frames of other packages: results in the kind of frame that came in, polars for polars, Arrow for Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["Native", "like"]


@dataclass(frozen=True)
class Native:
    """A kind of frame other than pandas'.

    Attributes
    ----------
    backend : narwhals.Implementation
    schema : dict of str to narwhals dtype
        Of the columns of the frame that was read.
    """

    backend: Any
    schema: dict[str, Any]

    @classmethod
    def of(cls, df: Any) -> Native | None:
        """The kind of a frame; None for pandas' own, and for those that narwhals does not know."""
        if df is None or isinstance(df, pd.DataFrame):
            return None
        import narwhals as nw

        try:
            frame = nw.from_native(df, eager_only=True)
        except TypeError:
            return None
        return cls(frame.implementation, dict(frame.schema))

    def frame(self, result: pd.DataFrame) -> Any:
        """A frame of this kind; columns that the one that was read had keep their dtypes."""
        import narwhals as nw

        values: dict[str, Any] = {}
        zones: dict[str, str] = {}
        for name, column in result.items():
            if isinstance(column.dtype, pd.DatetimeTZDtype):
                zones[str(name)] = str(column.dtype.tz)
                column = column.dt.tz_convert("UTC").dt.tz_localize(None)
            plain = column.dtype.kind in "iufbM" and not isinstance(column.dtype, pd.CategoricalDtype)
            values[str(name)] = column.to_numpy() if plain else column.tolist()
        frame = nw.from_dict(values, backend=self.backend)
        zoned = [nw.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone) for name, zone in zones.items()]
        frame = frame.with_columns(*zoned)
        missing = [nw.col(name).fill_nan(None) for name, dtype in frame.schema.items() if dtype.is_float()]
        frame = frame.with_columns(*missing)
        casts = [
            nw.col(name).cast(dtype)
            for name, dtype in self.schema.items()
            # Times that were texts were read as times; integers with missing values become floats.
            if name in values and frame.schema[name] != dtype and dtype != nw.String
            and not (dtype.is_integer() and frame.schema[name].is_float())
        ]  # fmt: skip
        return frame.with_columns(*casts).to_native()


def like(native: Native | None, result: pd.DataFrame) -> Any:
    """The result as a frame of that kind; None stands for pandas."""
    return result if native is None else native.frame(result)
