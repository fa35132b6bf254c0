"""The columns of every frame, ids, times and targets: checks, and conversion for the panel.

Messages begin like those of Nixtla's packages, and add where the fault is and what to do.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames.frequency import Freq

__all__ = [
    "Where",
    "as_pandas",
    "ascending",
    "check_frame",
    "dated",
    "dates_hint",
    "factorize_ids",
    "id_hint",
    "listed",
    "naive_times",
    "restore_times",
    "shown_times",
    "target",
    "text",
]

# Names of columns that a message lists.
MOST_NAMES = 12

# A row of a frame in words, "series 'a', ds 2024-01-01".
Where: TypeAlias = Callable[[int], str]


def text(value: Any) -> str:
    """An id or a time as messages show it."""
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if isinstance(value, datetime.datetime):
        return str(value).removesuffix(" 00:00:00")
    return repr(value.item() if isinstance(value, np.generic) else value)


def as_pandas(name: str, df: Any) -> pd.DataFrame:
    """A pandas frame, or a frame of polars, Arrow or another package that converts itself to pandas."""
    if isinstance(df, pd.DataFrame):
        return df
    if callable(getattr(df, "to_pandas", None)) and not isinstance(df, type):
        try:
            converted = df.to_pandas()
        except ImportError:  # polars wants pyarrow for this, but not for lists
            converted = pd.DataFrame({column: df[column].to_list() for column in df.columns})
        if isinstance(converted, pd.DataFrame):
            return converted
    package = type(df).__module__.split(".")[0]
    kind = type(df).__qualname__ if package == "builtins" else f"{package}.{type(df).__qualname__}"
    lazy = ": collect() it first" if callable(getattr(df, "collect", None)) else ""
    raise TypeError(f"{name} must be a pandas DataFrame, or one with a method to_pandas(); got {kind}{lazy}")


def dated(name: str, df: Any, time_col: str) -> pd.DataFrame:
    """`as_pandas`, with times of Arrow, dates and texts in ISO 8601 (2024-01-31) as pandas' own timestamps."""
    df = as_pandas(name, df)
    if time_col not in df.columns or isinstance(df.columns, pd.MultiIndex) or (df.columns == time_col).sum() > 1:
        return df  # `check_frame` reports what is wrong
    times = df[time_col]
    read: Any = None
    if isinstance(times.dtype, pd.ArrowDtype) and times.dtype.kind == "M":
        arrow = times.dtype.pyarrow_dtype
        zone = getattr(arrow, "tz", None)
        unit: Any = getattr(arrow, "unit", "s")
        read = times.astype(f"datetime64[{unit}]" if zone is None else pd.DatetimeTZDtype(unit, zone))
    elif pd.api.types.is_object_dtype(times.dtype) or pd.api.types.is_string_dtype(times.dtype):
        kind = pd.api.types.infer_dtype(times, skipna=True)
        if kind in ("string", "date", "datetime"):
            with contextlib.suppress(ValueError, TypeError):  # `naive_times` shows the value
                read = pd.to_datetime(times, format="ISO8601" if kind == "string" else None)
    if read is None or not pd.api.types.is_datetime64_any_dtype(read.dtype):
        return df
    return df.assign(**{time_col: read})


def check_names(**names: Any) -> None:
    """Check that each of these arguments is the name of a column."""
    for argument, name in names.items():
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be a column's name, a str; got {name!r}")


def check_frame(name: str, df: Any, columns: Iterable[str]) -> None:
    """Check that the frame has rows, and each of these columns once."""
    df = as_pandas(name, df)
    columns = list(dict.fromkeys(columns))
    missing = [column for column in columns if column not in df.columns or isinstance(df.columns, pd.MultiIndex)]
    if missing:
        held = [str(column) for column in df.columns[:MOST_NAMES]] + ["..."] * (df.shape[1] > MOST_NAMES)
        raise ValueError(
            f"The following columns are missing: {missing}; {name} has {held} (id_col, time_col and target_col name "
            f"other ones){_missing_hint(name, df, missing)}"
        )
    twice = [column for column in columns if (df.columns == column).sum() > 1]
    if twice:
        raise ValueError(f"{name} has several columns of the same name: {twice}; accepted: one of each")
    if not len(df):
        raise ValueError(f"{name} has no rows; accepted: at least one")


def _missing_hint(name: str, df: pd.DataFrame, missing: list[str]) -> str:
    in_index = [column for column in missing if column in df.index.names]
    times = [column for column, dtype in df.dtypes.items() if pd.api.types.is_datetime64_any_dtype(dtype)][:1]
    dated_index = isinstance(df.index, pd.DatetimeIndex | pd.PeriodIndex)
    numbers = sum(pd.api.types.is_numeric_dtype(dtype) for dtype in df.dtypes)
    if len(missing) > 1 and numbers > 1 and (dated_index or in_index or len(times) or "ds" in df.columns):
        ds = next((column for column in ("ds", *times) if column in df.columns), "ds")
        first = "" if ds in df.columns else f".rename_axis(index={ds!r}).reset_index()"
        return (
            f"; a wide frame, a column for each series, is made long by {name}{first}.melt({ds!r}, "
            f'var_name="unique_id", value_name="y")'
        )
    return f"; {in_index} are in its index: {name}.reset_index()" if in_index else ""


def factorize_ids(name: str, ids: pd.Series[Any]) -> tuple[NDArray[np.int64], pd.Index[Any]]:
    """The number of each row's series, int64 (rows,), and the series' ids, in the order of first appearance."""
    codes, unique = pd.factorize(ids)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise ValueError(
            f"Found missing values in [{ids.name!r}]: {len(missing)} rows of {name} have no id, the first of them "
            f"row {missing[0]} (from 0); name their series or drop them"
        )
    plain = unique.categories.take(unique.codes) if isinstance(unique, pd.CategoricalIndex) else pd.Index(unique)
    if pd.api.types.is_integer_dtype(plain.dtype):
        plain = pd.Index(plain.to_numpy(dtype=plain.to_numpy().dtype if plain.dtype.kind == "u" else np.int64))
    return codes.astype(np.int64, copy=False), plain


def ascending(ids: pd.Index[Any]) -> NDArray[np.int64]:
    """A sort key for ids; ids that cannot be compared, like 1 and "a", are sorted by type and text."""
    try:
        return np.asarray(ids.argsort(), np.int64)
    except TypeError:
        keys = [(type(value).__name__, str(value)) for value in ids]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def id_hint(name: str, came: pd.Index[Any], wanted: pd.Index[Any]) -> str:
    """A hint when ids do not match: numbers on one side, text on the other."""
    kinds = [pd.api.types.infer_dtype(ids, skipna=True) for ids in (came, wanted)]
    return f" (ids of {name} are of the kind {kinds[0]!r}, those of df {kinds[1]!r})" if kinds[0] != kinds[1] else ""


def listed(names: Iterable[str]) -> str:
    """Names as a set is written, in alphabetical order."""
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"


def naive_times(name: str, times: pd.Series[Any], freq: Freq, zone: Any) -> NDArray[Any]:
    """Times as a panel holds them: int64, or naive datetime64[ns] by the clock of `zone` or UTC (see `Panel`)."""
    dtype = times.dtype
    column = times.name
    is_integer = pd.api.types.is_integer_dtype(dtype)
    if not is_integer and not (
        isinstance(dtype, pd.DatetimeTZDtype) or (isinstance(dtype, np.dtype) and dtype.kind == "M")
    ):
        raise ValueError(
            f"The time column ('{column}') should have either timestamps or integers, got '{dtype}'"
            f"{_time_hint(name, times)}"
        )
    if is_integer and not freq.is_integer:
        raise ValueError(
            "Time column contains integers but the specified frequency is not an integer. Please provide a valid "
            f"integer, e.g. freq=1; got {freq} for {name}[{column!r}]{dates_hint(name, times)}"
        )
    if freq.is_integer and not is_integer:
        raise ValueError(
            "Time column contains timestamps but the specified frequency is an integer. Please provide a valid "
            f"pandas offset, e.g. freq='D'; got {freq} for {name}[{column!r}]"
        )
    missing = np.flatnonzero(times.isna())
    if len(missing):
        raise ValueError(
            f"Found missing values in [{column!r}]: {len(missing)} rows of {name} have no time, the first of them row "
            f"{missing[0]} (from 0); date them or drop them"
        )
    if is_integer:
        if times.max() > 2**63 - 1:
            raise ValueError(f"{name}[{column!r}] must fit into 64 bit with a sign; got {times.max()}")
        return times.to_numpy(dtype=np.int64, copy=True)
    if (zone is None) != (times.dt.tz is None):
        wanted, given = ("no time zone", f"{times.dt.tz}") if zone is None else (f"{zone}", "no time zone")
        raise ValueError(
            f"{name}[{column!r}] must have the time zone of the training data, {wanted}; got {given}: "
            f"use .dt.tz_localize"
        )
    if zone is not None:
        times = times.dt.tz_convert(zone if freq.wall else "UTC").dt.tz_localize(None)
    try:
        return times.dt.as_unit("ns").to_numpy(copy=True)
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        raise ValueError(
            f"{name}[{column!r}] must lie in the years 1677 to 2262, which nanoseconds reach; got "
            f"{times.min()} to {times.max()}"
        ) from None


def dates_hint(name: str, times: pd.Series[Any]) -> str:
    """How to convert integers that are written as dates, 201801 or 20180131; "" for others."""
    place = f"{name}[{times.name!r}]"
    for style, low, high in (("%Y%m", 10**5, 10**6), ("%Y%m%d", 10**7, 10**8)):
        if (
            times.between(low, high - 1).all()
            and pd.to_datetime(times.astype(str), format=style, errors="coerce").notna().all()
        ):
            return f"; if they are dates, convert: {place} = pd.to_datetime({place}.astype(str), format={style!r})"
    return ""


def _time_hint(name: str, times: pd.Series[Any]) -> str:
    place = f"{name}[{times.name!r}]"
    if isinstance(times.dtype, pd.PeriodDtype):
        return f"; convert: {place} = {place}.dt.to_timestamp()"
    known = times.dropna()
    kind = pd.api.types.infer_dtype(known, skipna=True) if len(known) else "empty"
    if pd.api.types.is_float_dtype(times.dtype) or kind in ("integer", "floating", "mixed-integer-float"):
        numbers = pd.to_numeric(known).to_numpy(np.float64)
        broken = np.flatnonzero(numbers != np.floor(numbers))
        if len(broken):
            return (
                f"; {known.iloc[broken[0]]} is not a whole number: number the steps of each series, for example "
                f"{place} = {name}.groupby('unique_id').cumcount()"
            )
        return f"; convert: {place} = {place}.astype('int64')"
    if kind == "datetime":
        zones = sorted({str(value.tzinfo) for value in known if isinstance(value, datetime.datetime)})
        if len(zones) > 1:
            return (
                f": its values mix the time zones {zones}; accepted: one of them, for example "
                f"{place} = pd.to_datetime({place}, utc=True).dt.tz_convert('Europe/Berlin')"
            )
    first = f" (the first value is {known.iloc[0]!r})" if len(known) else ""
    return f"{first}; convert: {place} = pd.to_datetime({place})"


def restore_times(times: NDArray[Any], freq: Freq, dtype: Any) -> pd.Index[Any]:
    """Times of a panel in their original zone, unit and type of integer."""
    if freq.is_integer:
        return pd.Index(times).astype(dtype)
    index = pd.DatetimeIndex(times)
    if isinstance(dtype, pd.DatetimeTZDtype):
        index = _localize(index, dtype.tz) if freq.wall else index.tz_localize("UTC").tz_convert(dtype.tz)
    unit = dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0]
    coarse = index.as_unit(cast(Any, unit))
    return coarse if (coarse == index).all() else index


def _localize(index: pd.DatetimeIndex, zone: Any) -> pd.DatetimeIndex:
    """Where the clock shows a time twice or not at all: the first of the two, or the next time that it does show."""
    return index.tz_localize(zone, ambiguous=np.ones(len(index), np.bool_), nonexistent="shift_forward")


def shown_times(times: NDArray[Any], zone: Any) -> NDArray[Any]:
    """Naive times as the clock of a zone shows them: those that it skips become the next one, 00:00 say 01:00."""
    return _localize(pd.DatetimeIndex(times), zone).tz_localize(None).to_numpy()


def target(column: pd.Series[Any], where: Where) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """y float64 (rows,), 0 where missing, and where it is there."""
    dtype = column.dtype
    wanted = f"The target column ('{column.name}') should have a numeric data type, got '{dtype}'"
    if pd.api.types.is_bool_dtype(dtype):
        raise ValueError(f"{wanted}; if 0 and 1 are meant, convert: .astype('float64')")
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        if not (pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)):
            raise ValueError(f"{wanted}; accepted: integers and floating point numbers")
        numeric = pd.to_numeric(column.astype(object), errors="coerce")
        bad = np.flatnonzero(numeric.isna() & column.notna())
        if len(bad):
            raise ValueError(
                f"{wanted}: {column.iloc[bad[0]]!r} of {where(bad[0])} is not a number ({len(bad)} such values); "
                f"replace them, then df[{column.name!r}] = pd.to_numeric(df[{column.name!r}])"
            )
        raise ValueError(
            f"{wanted}; all values can be read as numbers: df[{column.name!r}] = pd.to_numeric(df[{column.name!r}])"
        )
    y = column.to_numpy(dtype=np.float64, na_value=np.nan)
    observed = ~np.isnan(y)
    infinite = np.flatnonzero(np.isinf(y))
    if len(infinite):
        raise ValueError(
            f"The target column ('{column.name}') must be finite (NaN is a missing value); got {y[infinite[0]]} at "
            f"{where(infinite[0])} ({len(infinite)} such values)"
        )
    return np.where(observed, y, 0.0), observed
