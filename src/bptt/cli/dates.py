"""The times of a CSV file: of several possible readings, the one without gaps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames.frequency import guess_freq, parse_freq

__all__ = ["ascending", "read"]

DAYS = [
    f"{style.replace('-', mark)}{time}"
    for style in ("%m-%d-%Y", "%d-%m-%Y", "%m-%d-%y", "%d-%m-%y", "%Y-%d-%m", "%y-%m-%d", "%d-%b-%Y", "%d-%b-%y")
    for mark in "/-. "
    for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
]
MONTHS = [
    style.replace("-", mark) for style in ("%b-%y", "%b-%Y", "%B-%Y", "%m-%Y", "%Y-%b", "%y-%b") for mark in "/-. "
]
OFFSET = r".*\d[+-]\d{2}:?\d{2}"
# This many values rule out the formats that do not fit.
TRIED = 50


def read(
    times: pd.Series[Any], own: NDArray[np.bool_], name: str, date_format: str | None, tz: str | None, notes: list[str]
) -> pd.Series[Any]:
    """Integers as they are, but for dates as 20240131 and 202401; everything else as dates.

    Parameters
    ----------
    times : Series
        The index has the numbers of the lines.
    own : bool (rows,)
        The rows of one series, the longest, which tells of several readings which one is meant.
    name : str
        Of the file, for messages.
    date_format : str, optional
        As of `strptime`.
    tz : str, optional
        The time zone whose clock they follow.
    notes : list of str
        Takes what the user should be told.
    """
    if times.isna().any():
        raise ValueError(f"{name}, line {times.index[times.isna()][0]}: no time in column {times.name!r}")
    numeric = pd.api.types.is_numeric_dtype(times)
    if numeric and not pd.api.types.is_integer_dtype(times):
        raise ValueError(
            f"{name}: column {times.name!r} should have dates or whole numbers; got {times.iloc[0]} in line "
            f"{times.index[0]}"
        )
    texts = times.astype(str).str.strip()
    if date_format is not None:
        read_as = _parsed(texts, format=date_format)
        if read_as is None:
            bad = texts[pd.to_datetime(texts, format=date_format, errors="coerce", utc=True).isna()]
            raise ValueError(
                f"{name}, line {bad.index[0]}: column {times.name!r} is not written as --date-format {date_format!r}; "
                f"got {bad.iloc[0]!r}"
            )
    elif numeric:
        read_as = _integer_dates(texts)
        if read_as is None:
            return times.astype(np.int64)
        notes.append(f"column {times.name!r} is read as dates: {times.iloc[0]} is {read_as.iloc[0].date()}")
    else:
        read_as = _best(times, texts, own, name, notes)
    return _in_zone(read_as, tz, name)


def _parsed(texts: pd.Series[Any], **options: Any) -> pd.Series[Any] | None:
    """As dates, if all of them are, in years that a series may be of."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas warns that it parses each date individually
            read_as = pd.to_datetime(texts, **options)
    except (ValueError, TypeError, OverflowError):
        return None
    plausible = pd.api.types.is_datetime64_any_dtype(read_as) and read_as.dt.year.between(1678, 2261).all()
    return read_as if plausible else None


def _integer_dates(texts: pd.Series[Any]) -> pd.Series[Any] | None:
    for style, length in (("%Y%m%d", 8), ("%Y%m", 6)):
        if (texts.str.len() == length).all():
            read_as = _parsed(texts, format=style)
            # 202401, 202402 may be numbers of steps as well; only as months is 202412 followed by 202501.
            if read_as is not None and read_as.dt.year.between(1900, 2199).all():
                return read_as
    return None


def _best(
    times: pd.Series[Any], texts: pd.Series[Any], own: NDArray[np.bool_], name: str, notes: list[str]
) -> pd.Series[Any]:
    if texts.str.fullmatch(OFFSET).all():
        read_as = _parsed(texts, utc=True)
        offsets = texts.str.extract(r"([+-]\d{2}:?\d{2})$")[0]
        if read_as is not None and offsets.nunique() > 1:
            notes.append(
                f"column {times.name!r} has {offsets.nunique()} offsets from UTC and is read as UTC (--tz "
                "Europe/Berlin and the like keep a local clock)"
            )
            return read_as
    exact = _parsed(texts, format="ISO8601")
    if exact is not None:
        return exact
    if texts.str.fullmatch(r"\d{4}-?W\d{1,2}").all():
        weeks = _parsed(texts.str.replace("-", "") + "-1", format="%GW%V-%u")
        if weeks is not None:
            return weeks
    if texts.str.fullmatch(r"\d{4}[- ]?[qQ][1-4]").all():
        return pd.PeriodIndex(texts.str.replace("[- ]", "", regex=True), freq="Q").to_timestamp().to_series(texts.index)
    some = texts.drop_duplicates()
    some = some.iloc[:: max(1, len(some) // TRIED)]
    attempts: list[dict[str, Any]] = [
        {"format": style} for style in (*DAYS, *MONTHS) if _parsed(some, format=style) is not None
    ]
    attempts += [] if attempts else [{"dayfirst": False}, {"dayfirst": True}, {"format": "mixed", "dayfirst": False}]
    readings: list[pd.Series[Any]] = []
    for options in attempts:
        read_as = _parsed(texts, **options)
        if read_as is not None and not any(read_as.equals(other) for other in readings):
            readings.append(read_as)
    if not readings:
        alone = pd.to_datetime(texts, format="mixed", errors="coerce", utc=True)
        bad = texts[alone.isna()] if alone.isna().any() else texts
        raise ValueError(
            f"{name}, line {bad.index[0]}: column {times.name!r} should have dates (like 2024-01-31) or whole numbers; "
            f"got {bad.iloc[0]!r} (--date-format %d.%m.%Y, for example, sets the format)"
        )
    gaps = [_gaps(ascending(one[own])) for one in readings]
    best = [one for one, left in zip(readings, gaps, strict=True) if left == min(gaps)]
    if len(best) > 1:
        shown = " or ".join(str(one.iloc[0].date()) for one in best[:3])
        raise ValueError(
            f"{name}: column {times.name!r} can be read in several ways, day first or month first ({texts.iloc[0]!r} "
            f"may be {shown}): write dates like 2024-01-31, or give --date-format %d/%m/%Y"
        )
    if len(readings) > 1:
        at = int(np.argmax(best[0].ne(next(one for one in readings if one is not best[0])).to_numpy()))
        notes.append(
            f"column {times.name!r}: {texts.iloc[at]!r} is read as {best[0].iloc[at].date()}, which leaves the fewest "
            "gaps (--date-format sets it)"
        )
    return best[0]


def _gaps(times: NDArray[Any]) -> float:
    """Times that a reading leaves out; infinity where no frequency fits it."""
    guess = guess_freq(times)
    if guess is None:
        return float("inf")
    ordinal = parse_freq(guess).positions(times).ordinal
    return float(ordinal[-1] - ordinal[0] + 1 - len(times))


def ascending(times: pd.Series[Any]) -> NDArray[Any]:
    """Each time once, in order, by the clock of its zone."""
    naive = times.dt.tz_localize(None) if isinstance(times.dtype, pd.DatetimeTZDtype) else times
    return np.unique(naive.to_numpy().astype("datetime64[ns]"))


def _in_zone(times: pd.Series[Any], tz: str | None, name: str) -> pd.Series[Any]:
    if tz is None:
        return times
    aware = isinstance(times.dtype, pd.DatetimeTZDtype)
    place: Callable[..., Any] = times.dt.tz_convert if aware else times.dt.tz_localize
    try:
        return place(tz) if aware else place(tz, ambiguous="infer")
    except KeyError:
        raise ValueError(f"--tz must be a time zone, like UTC or Europe/Berlin; got {tz!r}") from None
    except ValueError as error:
        if "unknown" in str(error).lower():
            raise ValueError(f"--tz must be a time zone, like UTC or Europe/Berlin; got {tz!r}") from None
        raise ValueError(f"{name}: some of these times do not exist in --tz {tz}: {error}") from None
