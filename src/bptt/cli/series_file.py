"""Series read from a CSV file, whatever its columns are called, with errors that name the line."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bptt.forecast.calendar import guess_freq

__all__ = ["SeriesFile", "read"]

STANDARD_INPUT = "-"
DEFAULTS = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}


class SeriesFile(NamedTuple):
    """A frame with parsed times, its frequency, the names of its columns, and what its reader should be told."""

    df: pd.DataFrame
    freq: str | int
    columns: dict[str, str]
    notes: list[str]


def read(path: str, freq: str | None, *, id_col: str, time_col: str, target_col: str) -> SeriesFile:
    """Read a long frame, or one series of two columns: its time and its value.

    Parameters
    ----------
    path : str
        A CSV file (compressed, too), or "-" for standard input. Columns are separated by commas, semicolons or tabs.
    freq : str, optional
        Step of the times; None infers it from the longest series.
    id_col, time_col, target_col : str
        What the columns are called. A file without `id_col` is one series. Where these are the defaults and the file
        has two columns, the first is the time, the second the value, whatever they are called (or the other way round,
        where only the first holds numbers).

    Returns
    -------
    SeriesFile

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        Naming the file and the line: no table, missing columns, a time or a value that is none, no frequency.
    """
    name = "standard input" if path == STANDARD_INPUT else path
    notes: list[str] = []
    df = _table(path, name, id_col, notes)
    columns = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
    renamed: dict[str, str] = {}
    if columns == DEFAULTS and df.shape[1] == 2 and not {time_col, target_col} <= set(df.columns):
        first, second = df.columns
        if pd.api.types.is_numeric_dtype(df[first]) and not pd.api.types.is_numeric_dtype(df[second]):
            first, second = second, first
        renamed = {first: time_col, second: target_col}
        time_col, target_col = first, second
    if missing := [column for column in (time_col, target_col) if column not in df.columns]:
        raise ValueError(
            f"{name}: The following columns are missing: {missing}; it has {list(df.columns)}: name them with "
            f"--time-col and --target-col"
        )
    if id_col not in df.columns:
        if id_col != DEFAULTS["id_col"]:
            raise ValueError(f"{name}: The following columns are missing: {[id_col]}; it has {list(df.columns)}")
        df.insert(0, id_col, target_col)
    _number(df, target_col, name)
    times = _times(df[time_col], name, notes)
    df = df[[id_col, time_col, target_col]].assign(**{time_col: times, target_col: df[target_col].astype(np.float64)})
    df = df.rename(columns=renamed).reset_index(drop=True)
    return SeriesFile(df, _freq(df, freq, columns, name, notes), columns, notes)


def _table(path: str, name: str, id_col: str, notes: list[str]) -> pd.DataFrame:
    """Every line a row whose index is its number in the file."""
    source: Any = path
    if path == STANDARD_INPUT:
        source = io.BytesIO(sys.stdin.buffer.read())
    elif not Path(path).is_file():
        open(path, "rb").close()  # missing, forbidden or a folder: Python's own error names the path

    def parse(separator: str = ",", **options: Any) -> pd.DataFrame:
        if path == STANDARD_INPUT:
            source.seek(0)
        # A text is an id as it stands: 007 is not 7.
        return pd.read_csv(source, sep=separator, dtype={id_col: str}, skip_blank_lines=False, **options)

    try:
        df = parse()
        separator = next((mark for mark in ";\t" if df.shape[1] == 1 and mark in str(df.columns[0])), ",")
        if separator != ",":
            df = parse(separator)
        first = 2
        if df.shape[1] == 2 and _is_number(df.columns[1]):
            df = parse(separator, header=None, names=["ds", "y"])
            notes.append(f"{name} has no header: its first line is read as data")
            first = 1
    except pd.errors.EmptyDataError:
        raise ValueError(f"{name}: empty; expected a CSV with columns of times and values") from None
    except (pd.errors.ParserError, UnicodeError, EOFError) as error:
        said = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise ValueError(f"{name}: no table of comma-separated values ({said})") from None
    if df.shape[1] == 1:
        raise ValueError(
            f"{name}: one column only ({str(df.columns[0])[:60]!r}); expected times and values, separated by commas"
        )
    df.index = pd.RangeIndex(first, first + len(df))
    df = df.dropna(how="all")
    if df.empty:
        raise ValueError(f"{name}: a header and no rows")
    return df


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(df: pd.DataFrame, column: str, name: str) -> None:
    values = df[column]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        bad = values[pd.to_numeric(values.astype(str), errors="coerce").isna() & values.notna()]
        line, value = bad.index[0], bad.iloc[0]
        raise ValueError(
            f"{name}, line {line}: column {column!r} should have numbers (with a decimal point); got {str(value)!r}"
        )


def _times(times: pd.Series[Any], name: str, notes: list[str]) -> pd.Series[Any]:
    """Integers as they are, but for days as 20240131; everything else as dates."""
    if times.isna().any():
        raise ValueError(f"{name}, line {times.index[times.isna()][0]}: no time in column {times.name!r}")
    if pd.api.types.is_integer_dtype(times):
        days = pd.to_datetime(times.astype(str), format="%Y%m%d", errors="coerce")
        if times.between(19_00_01_01, 21_99_12_31).all() and not days.isna().any():
            notes.append(f"column {times.name!r} is read as dates: {times.iloc[0]} is {days.iloc[0].date()}")
            return days
        return times.astype(np.int64)
    if pd.api.types.is_numeric_dtype(times):
        raise ValueError(
            f"{name}: column {times.name!r} should have dates or whole numbers; got {times.iloc[0]} in line "
            f"{times.index[0]}"
        )
    readings: list[pd.Series[Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas says that it has to look at each date by itself
        for options in ({"format": "ISO8601"}, {"dayfirst": False}, {"dayfirst": True}):
            try:
                readings.append(pd.to_datetime(times, **options))
            except (ValueError, TypeError) as error:
                said = error
            else:
                if options.get("format"):
                    break
        if not readings:
            alone = pd.to_datetime(times.astype(str), format="mixed", errors="coerce", utc=True)
            if alone.isna().any():
                bad = times[alone.isna()]
                raise ValueError(
                    f"{name}, line {bad.index[0]}: column {times.name!r} should have dates (as 2024-01-31) or whole "
                    f"numbers; got {bad.iloc[0]!r}"
                )
            raise ValueError(f"{name}: the dates of column {times.name!r} are not written alike: {said}")
    if len(readings) == 2 and not readings[0].equals(readings[1]):
        regular = [one for one in readings if guess_freq(_ascending(one)) is not None]
        if len(regular) != 1:
            raise ValueError(
                f"{name}: column {times.name!r} can be read day first or month first ({times.iloc[0]!r}): write dates "
                f"as 2024-01-31"
            )
        return regular[0]
    return readings[0]


def _ascending(times: pd.Series[Any]) -> np.ndarray:
    naive = times.dt.tz_localize(None) if isinstance(times.dtype, pd.DatetimeTZDtype) else times
    return np.unique(naive.to_numpy().astype("datetime64[ns]"))


def _freq(df: pd.DataFrame, given: str | None, columns: dict[str, str], name: str, notes: list[str]) -> str | int:
    """What was given, or what the times of the longest series say."""
    times = df[columns["time_col"]]
    integers = pd.api.types.is_integer_dtype(times)
    if given is not None:
        if integers != given.isdigit():
            kind, wanted = ("whole numbers", "--freq 1") if integers else ("dates", "--freq h, D, W, MS, ...")
            raise ValueError(f"{name}: the times are {kind}, so the frequency is given as {wanted}; got --freq {given}")
        return int(given) if integers else given
    longest = df[columns["id_col"]].value_counts(sort=True).index[0]
    own = times[df[columns["id_col"]] == longest]
    if integers:
        gaps = np.diff(np.unique(own))
        return int(np.gcd.reduce(gaps)) if len(gaps) else 1
    found = guess_freq(_ascending(own))
    if found is None:
        raise ValueError(
            f"{name}: no frequency fits the times of series {longest!r} ({len(own)} rows, {own.min()} to {own.max()}): "
            f"give it, for example --freq D"
        )
    notes.append(f"freq {found!r}, inferred from series {longest!r} (--freq sets it)")
    return found
