"""Series read from a CSV file with any column names, with errors that name the line."""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from bptt.cli import dates
from bptt.cli.dates import ascending
from bptt.forecast.frames.frequency import guess_freq

__all__ = ["SeriesFile", "Writing", "read", "read_future", "read_static"]

STANDARD_INPUT = "-"
DEFAULTS = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}


class SeriesFile(NamedTuple):
    """A frame with parsed times, its frequency, its column names, notes for the user, and what its columns were called
    in the file if otherwise."""

    df: pd.DataFrame
    freq: str | int
    columns: dict[str, str]
    notes: list[str]
    own_names: dict[str, str]


class Writing(NamedTuple):
    """The format of a file; None means inferred."""

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    date_format: str | None = None
    tz: str | None = None


# What gives a column of the file as it is written.
Written: TypeAlias = "Callable[[str], pd.Series[Any]]"

# Decimal and thousands marks to try, in this order, on values that are not plain numbers.
MARKS = ((".", ","), (",", "."), (",", " "), (",", "\N{NO-BREAK SPACE}"), (".", "'"))


def read(
    path: str,
    freq: str | None,
    *,
    id_col: str,
    time_col: str,
    target_col: str,
    exogenous: Sequence[str] = (),
    writing: Writing | None = None,
) -> SeriesFile:
    """Read a long frame, or one series of two columns: its time and its value.

    If a file can be read in several ways, the one that leaves no gaps is used, with a message.

    Parameters
    ----------
    path : str
        A CSV file (compressed, too), or "-" for standard input. Columns are separated by commas, semicolons, tabs or
        bars.
    freq : str, optional
        Step of the times; None infers it from the longest series.
    id_col, time_col, target_col : str
        What the columns are called. A file without `id_col` is one series. Where these are the defaults and the file
        has two columns, the first is the time, the second the value, whatever they are called (or the other way round,
        where only the first holds numbers).
    exogenous : sequence of str
        Further columns to keep: numbers, or texts.
    writing : Writing, optional
        Separators, number format, encoding, date format and time zone, as far as given.

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
    writing = writing or Writing()
    notes: list[str] = []
    df, written = _table(path, name, id_col, writing, notes)
    columns = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
    renamed: dict[str, str] = {}
    if columns == DEFAULTS and df.shape[1] == 2 and not {time_col, target_col} <= set(df.columns):
        first, second = df.columns
        if pd.api.types.is_numeric_dtype(df[first]) and not pd.api.types.is_numeric_dtype(df[second]):
            first, second = second, first
        renamed = {first: time_col, second: target_col}
        time_col, target_col = first, second
    else:
        _check_columns(df, columns, name)
    _check_exogenous(df, exogenous, name)
    if id_col not in df.columns:
        df.insert(0, id_col, target_col)
    values = _numbers(df[target_col], name, writing, notes)
    if writing.decimal is None and writing.thousands is None and pd.api.types.is_float_dtype(df[target_col]):
        _note_thousands(target_col, values, written, notes)
    longest = df[id_col].value_counts(sort=True).index[0]
    times = dates.read(df[time_col], (df[id_col] == longest).to_numpy(), name, writing.date_format, writing.tz, notes)
    others = _exogenous(df, exogenous, name, writing, notes)
    df = df[[id_col, time_col, target_col, *exogenous]].assign(**{time_col: times, target_col: values}, **others)
    df = df.rename(columns=renamed).reset_index(drop=True)
    own_names = {given: own for own, given in renamed.items()}
    return SeriesFile(df, _freq(df, freq, columns, name, notes), columns, notes, own_names)


def read_future(path: str, found: SeriesFile, names: Sequence[str], writing: Writing) -> pd.DataFrame:
    """Ids, times and exogenous columns of the rows to come, in the columns of the series' file.

    Raises
    ------
    OSError, ValueError
        As `read`.
    """
    id_col, time_col, target_col = found.columns.values()
    df, _ = _table(path, path, id_col, writing, found.notes)
    _check_exogenous(df, [found.own_names.get(time_col, time_col), *names], path)
    df = df.rename(columns={own: given for given, own in found.own_names.items() if given != target_col})
    if id_col not in df.columns:
        ids = found.df[id_col].unique()
        if len(ids) > 1:
            raise ValueError(f"{path}: the column {id_col!r} is missing, which names one of the {len(ids)} series")
        df.insert(0, id_col, ids[0])
    own = (df[id_col] == df[id_col].iloc[0]).to_numpy()
    times = dates.read(df[time_col], own, path, writing.date_format, writing.tz, found.notes)
    others = _exogenous(df, names, path, writing, found.notes)
    return df[[id_col, time_col, *names]].assign(**{time_col: times}, **others).reset_index(drop=True)


def read_static(path: str, found: SeriesFile, names: Sequence[str], writing: Writing) -> pd.DataFrame:
    """Ids and static columns, a row for each series.

    Raises
    ------
    OSError, ValueError
        As `read`.
    """
    id_col = found.columns["id_col"]
    df, _ = _table(path, path, id_col, writing, found.notes)
    _check_exogenous(df, [id_col, *names], path)
    return df[[id_col, *names]].assign(**_exogenous(df, names, path, writing, found.notes)).reset_index(drop=True)


def _check_exogenous(df: pd.DataFrame, names: Sequence[str], name: str) -> None:
    if missing := [column for column in names if column not in df.columns]:
        raise ValueError(f"{name}: The following columns are missing: {missing}; it has {list(df.columns)}")


def _exogenous(
    df: pd.DataFrame, names: Sequence[str], name: str, writing: Writing, notes: list[str]
) -> dict[str, pd.Series[Any]]:
    """These columns as numbers, or as texts where a value has no digit."""
    found = {}
    for column in names:
        texts = df[column].dropna().astype(str)
        words = ~texts.str.contains(r"\d") & ~texts.str.lower().isin(["nan", ""])
        found[column] = df[column] if words.any() else _numbers(df[column], name, writing, notes)
    return found


def _check_columns(df: pd.DataFrame, columns: dict[str, str], name: str) -> None:
    """All are there; the column of ids may be missing if nobody named it."""
    missing = [
        key for key, column in columns.items() if column not in df.columns and (key, column) != ("id_col", "unique_id")
    ]
    if missing:
        options = {key: f"--{key.replace('_', '-')}" for key in missing}
        given = [f"{options[key]} {columns[key]}" for key in missing if columns[key] != DEFAULTS[key]]
        said = f"no column for {', '.join(given)}; " if given else ""
        raise ValueError(
            f"{name}: {said}The following columns are missing: {[columns[key] for key in missing]}; it has "
            f"{list(df.columns)}: name them with {', '.join(options.values())}"
        )


def _table(path: str, name: str, id_col: str, writing: Writing, notes: list[str]) -> tuple[pd.DataFrame, Written]:
    """Every line a row whose index is its number in the file; and what gives a column as it is written."""
    source: Any = path
    if path == STANDARD_INPUT:
        source = io.BytesIO(sys.stdin.buffer.read())
        start = source.getvalue()[:2]
    else:
        with open(path, "rb") as file:  # missing, forbidden or a folder: Python's own error names the path
            start = file.read(2)
    encoding = writing.encoding or ("utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8")

    def parse(separator: str, **options: Any) -> pd.DataFrame:
        if path == STANDARD_INPUT:
            source.seek(0)
        # A text is an id as it stands: 007 is not 7.
        options = {"dtype": {id_col: str}, "skip_blank_lines": False, "encoding": encoding, **options}
        return pd.read_csv(source, sep=separator, **options)

    separator = writing.sep or ","
    marks = f"{writing.sep!r}" if writing.sep else "commas, semicolons, tabs or |"
    try:
        try:
            df = _separated(parse, writing.sep)
        except UnicodeDecodeError:
            if writing.encoding is not None:
                raise
            encoding = "cp1252"
            notes.append(f"{name} is no UTF-8 and is read as {encoding} (--encoding sets it)")
            df = _separated(parse, writing.sep)
        separator = df.attrs.pop("separator")
        first = 2
        header: dict[str, Any] = {}
        if df.shape[1] == 2 and _is_number(df.columns[1]):
            header = {"header": None, "names": ["ds", "y"]}
            df = parse(separator, **header)
            notes.append(f"{name} has no header: its first line is read as data")
            first = 1
    except pd.errors.EmptyDataError:
        raise ValueError(f"{name}: empty; expected a CSV with columns of times and values") from None
    except LookupError:
        raise ValueError(f"--encoding must be one that Python knows, like utf-8 or cp1252; got {encoding!r}") from None
    except (pd.errors.ParserError, UnicodeError, EOFError) as error:
        said = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise ValueError(f"{name}: no table of values separated by {marks} ({said})") from None
    if df.shape[1] == 1:
        raise ValueError(
            f"{name}: one column only ({str(df.columns[0])[:60]!r}); expected times and values, separated by {marks}"
        )
    df.index = pd.RangeIndex(first, first + len(df))
    df = df.dropna(how="all")
    if df.empty:
        raise ValueError(f"{name}: a header and no rows")
    return df, lambda column: parse(separator, **header, dtype=str, usecols=[column])[column]


def _separated(parse: Callable[..., pd.DataFrame], given: str | None) -> pd.DataFrame:
    """The table, with its separator in `attrs`: the one that was given, or the one that is in its header."""
    separator = given or ","
    if given is None:
        header = parse(",", nrows=0).columns
        if len(header) == 1:
            separator = next((mark for mark in ";\t|" if mark in str(header[0])), ",")
    df = parse(separator)
    df.attrs["separator"] = separator
    return df


def _is_number(text: Any) -> bool:
    try:
        float(str(text).replace(",", "."))
    except ValueError:
        return False
    return True


def _numbers(values: pd.Series[Any], name: str, writing: Writing, notes: list[str]) -> pd.Series[Any]:
    """Values as float64: plain numbers, or numbers with the marks that were given or that fit all of them."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and not writing.thousands:
        if writing.decimal in (None, ".") or (values.dropna() % 1 == 0).all():
            return values.astype(np.float64)
    texts = values.astype(str).str.strip().where(values.notna())
    known = texts.dropna()
    given = writing.decimal is not None or writing.thousands is not None
    marks = [(writing.decimal or ".", writing.thousands or "")] if given else [(".", ""), *MARKS]
    fitting = [pair for pair in marks if known.str.fullmatch(_number_pattern(*pair)).all()]
    if not fitting:
        of = [known[~known.str.fullmatch(_number_pattern(*pair))] for pair in marks]
        bad = min(of, key=len)
        raise ValueError(
            f"{name}, line {bad.index[0]}: column {values.name!r} should have numbers; got {bad.iloc[0]!r} (--decimal "
            "and --thousands set the separators)"
        )
    decimal, thousands = fitting[0]
    plain = texts.str.replace(thousands, "") if thousands else texts
    numbers = pd.to_numeric(plain.str.replace(decimal, ".", regex=False)).astype(np.float64)
    if not given and fitting[0] != (".", ""):
        shown = known[known.str.contains("[^0-9+-]")].iloc[0]
        notes.append(
            f"column {values.name!r}: {shown!r} is read as {numbers[known.index[known == shown][0]]:.12g} "
            "(--decimal and --thousands set it)"
        )
    return numbers


def _note_thousands(column: str, values: pd.Series[Any], written: Written, notes: list[str]) -> None:
    """Report how the numbers were read if every point could separate thousands, as in 1.234."""
    thousandths = 1000 * values.dropna()
    if (thousandths.abs() >= 10**6).any() or not np.allclose(thousandths, thousandths.round(), rtol=0, atol=1e-6):
        return
    # The numbers no longer tell 1.230 from 1.23.
    texts = written(column).dropna().str.strip()
    pointed = texts[texts.str.contains(".", regex=False)]
    if len(pointed) and pointed.str.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}").all():
        first = pointed.iloc[0]
        notes.append(
            f"column {column!r}: {first!r} is read as {float(first):g}; if it is {first.replace('.', '')}, give "
            "--thousands . (--decimal . says that it is not)"
        )


def _number_pattern(decimal: str, thousands: str) -> str:
    whole = r"\d+" + (rf"|\d{{1,3}}({re.escape(thousands)}\d{{3}})+" if thousands else "")
    return rf"[+-]?({whole})?({re.escape(decimal)}\d*)?([eE][+-]?\d+)?|nan|NaN"


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
    found = guess_freq(ascending(own))
    if found is None:
        raise ValueError(
            f"{name}: the frequency cannot be inferred from the times of series {longest!r} ({len(own)} rows, "
            f"{own.min()} to {own.max()}): give it, for example --freq D"
        )
    notes.append(f"freq {found!r}, inferred from series {longest!r} (--freq sets it)")
    return found
