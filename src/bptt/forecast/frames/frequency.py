"""Frequencies: their names, the next times, their seasons, and calendar features."""

from __future__ import annotations

import datetime
import numbers
import re
import warnings
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bptt.forecast.frames import grids

__all__ = ["Freq", "FreqLike", "calendar_features", "guess_freq", "parse_freq"]

# Names that pandas gave up for others (2.2 warns, 3 refuses); both are understood here on either.
RENAMED = {
    "M": "ME",
    "Q": "QE",
    "Y": "YE",
    "A": "YE",
    "AS": "YS",
    "BM": "BME",
    "BQ": "BQE",
    "BY": "BYE",
    "BA": "BYE",
    "BAS": "BYS",
    "SM": "SME",
    "CBM": "CBME",
    "H": "h",
    "BH": "bh",
    "CBH": "cbh",
    "T": "min",
    "S": "s",
    "L": "ms",
    "U": "us",
    "N": "ns",
    "d": "D",
    "w": "W",
    "b": "B",
    "MIN": "min",
}
ACCEPTED = (
    "a pandas alias ('min', '15min', 'h', 'D', 'B', 'W-SUN', 'MS', 'ME', 'QS', 'QE', 'YS', 'YE', ...), "
    "a pandas offset, or an integer of at least 1 where the times are integers"
)
SECOND, MINUTE, HOUR, DAY = 10**9, 60 * 10**9, 3600 * 10**9, grids.DAY
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# pandas has no alias for the same day of every month; this one is ours.
SAME_DAY = re.compile(r"DateOffset\(months=([1-9][0-9]{0,3})\)")
# The coarsest that fits is the one that was meant.
GUESSES = (
    *("YS", "YE", *(f"YS-{month}" for month in MONTHS[1:]), *(f"YE-{month}" for month in MONTHS[:-1])),
    *("QS", "QE", "QS-FEB", "QS-MAR", "QE-OCT", "QE-NOV"),
    *("MS", "ME", "BMS", "BME", "DateOffset(months=1)"),
    *(f"W-{day}" for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")),
    *("B", "D", "12h", "6h", "4h", "3h", "2h", "h", "30min", "15min", "10min", "5min", "min", "30s", "15s", "10s", "s"),
)


@dataclass(frozen=True)
class Freq:
    """A frequency, as `parse_freq` makes it.

    Attributes
    ----------
    name : str
        As today's pandas writes it ("ME", "W-SUN"); the number where the times are integers.
    given : str
        As the user wrote it.
    offset : pandas offset, or int
    seasonality : tuple of int
        Steps after which a pattern may return, the shortest first; () where nothing is known.
    wall : bool
        Whether a step is a day or longer, so that it follows the clock of a time zone through its changes.

    Examples
    --------
    >>> freq = parse_freq("M")
    >>> freq.name, freq.seasonality
    ('ME', (12,))
    >>> freq.step(np.array(["2024-01-31"], "datetime64[ns]"), 1).astype("datetime64[D]").tolist()
    [datetime.date(2024, 2, 29)]
    """

    name: str
    given: str = field(compare=False)
    offset: pd.offsets.BaseOffset | int
    seasonality: tuple[int, ...]
    wall: bool
    _grid: grids.Grid = field(repr=False, compare=False)

    @property
    def is_integer(self) -> bool:
        """Whether times are integers."""
        return isinstance(self.offset, int)

    @property
    def span(self) -> float:
        """Average length of a step in nanoseconds (in units of the times, where they are integers)."""
        return self._grid.span

    def __str__(self) -> str:
        """For messages: what was given, and what it was taken for where that is another name."""
        shown = self.given if self.is_integer else repr(self.given)
        return f"freq={shown}" + (f" (that is {self.name!r})" if self.given != self.name else "")

    def positions(self, ds: NDArray[Any]) -> grids.Positions:
        """Ordinal, phase and validity of each time: a series is regular where the first rises by one and the
        second stays; see `bptt.forecast.frames.grids`.

        Parameters
        ----------
        ds : datetime64[ns] or int64 (rows,)

        Returns
        -------
        ordinal : int64 (rows,)
            From an origin that holds for this call alone.
        phase : int64 (rows,)
        valid : bool (rows,)
            Whether the frequency has this time at all ("ME" has the last days of months only).
        """
        return self._grid.positions(ds.view(np.int64))

    def step(self, ds: NDArray[Any], n: int | NDArray[np.int64]) -> NDArray[Any]:
        """The times n steps on.

        Parameters
        ----------
        ds : datetime64[ns] or int64
        n : int, or int64 of a shape that broadcasts with `ds`
            May be negative.

        Returns
        -------
        of the dtype of `ds`

        Raises
        ------
        ValueError
            Where that lies past the last (first) time that an int64 holds.
        """
        times, steps = np.broadcast_arrays(ds.view(np.int64), np.asarray(n, np.int64))
        try:
            return self._grid.step(times.ravel(), steps.ravel()).reshape(times.shape).view(ds.dtype)
        except OverflowError:
            raise ValueError(
                f"{int(np.abs(steps).max())} steps of {self} exceed the range of times"
                + (" (64 bit integers)" if self.is_integer else " (years 1677 to 2262)")
            ) from None

    def range(self, start: np.generic | NDArray[Any], periods: int) -> NDArray[Any]:
        """`periods` times, the first of them `start` (datetime64[ns] or int64)."""
        return self.step(np.asarray(start)[None], np.arange(periods, dtype=np.int64))


FreqLike: TypeAlias = str | int | datetime.timedelta | pd.offsets.BaseOffset | Freq


def _rename(alias: str) -> str:
    """Today's names in an alias, and everything else as it was: '2M' -> '2ME', 'Q-NOV' -> 'QE-NOV', '1H30T'."""
    head, dash, tail = alias.strip().partition("-")
    return re.sub("[A-Za-z]+", lambda word: RENAMED.get(word[0], word[0]), head) + dash + tail.upper()


def parse_freq(freq: FreqLike) -> Freq:
    """Read a frequency, under the names of any version of pandas.

    Parameters
    ----------
    freq : str, offset, timedelta or int
        An alias of pandas, of today ("ME", "h", "min") or before 2.2 ("M", "H", "T"); one of its offsets; or the
        distance of neighbouring times, where these are integers. A `Freq` is returned as it is.

    Returns
    -------
    Freq

    Raises
    ------
    TypeError, ValueError
        If it is none of these, is not positive, or has no grid (`pd.DateOffset(months=1, days=1)`).

    Examples
    --------
    >>> [parse_freq(freq).name for freq in ("H", "15T", "Q-NOV", "W", 1)]
    ['h', '15min', 'QE-NOV', 'W-SUN', '1']
    """
    if isinstance(freq, Freq):
        return freq
    came: Any = freq
    if isinstance(came, numbers.Integral) and came is not True and came is not False:
        stride = int(came)
        if stride < 1:
            raise ValueError(f"freq must be {ACCEPTED}; got {stride}")
        return Freq(str(stride), str(stride), stride, (), False, grids.Fixed(stride))
    if isinstance(freq, bool) or not isinstance(freq, str | datetime.timedelta | pd.offsets.BaseOffset):
        raise TypeError(f"freq must be {ACCEPTED}; got {freq!r} ({type(freq).__name__})")
    same_day = SAME_DAY.fullmatch(freq.strip()) if isinstance(freq, str) else None
    offset = pd.DateOffset(months=int(same_day[1])) if same_day else _offset(freq)
    if offset.n < 1:
        raise ValueError(f"freq must be positive: {ACCEPTED}; got {freq!r}")
    grid = _grid(offset)
    steady = isinstance(offset, pd.offsets.Tick) and not isinstance(offset, pd.offsets.Day)
    try:
        name = f"DateOffset(months={grid.n})" if isinstance(grid, grids.SameDay) else offset.freqstr
    except ValueError:  # pandas has no name for some of its own offsets
        name = repr(offset)
    return Freq(name, freq if isinstance(freq, str) else name, offset, _seasonality(grid), not steady, grid)


def _offset(freq: str | datetime.timedelta | pd.offsets.BaseOffset) -> pd.offsets.BaseOffset:
    wanted = _rename(freq) if isinstance(freq, str) else freq
    try:
        if isinstance(wanted, str) and wanted == "m":  # "M" was months, "m" never had a settled meaning
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return pd.tseries.frequencies.to_offset(wanted)
    except (ValueError, TypeError, Warning):
        # An offset compares itself with anything that can be read as one.
        words = isinstance(wanted, str) and isinstance(freq, str)
        read_as = f" (read as {wanted!r})" if words and wanted != freq else ""
        hint = ": 'min' is minutes, 'ME' ends of months, 'MS' their beginnings" if words and wanted == "m" else ""
        raise ValueError(f"freq must be {ACCEPTED}; got {freq!r}{read_as}{hint}") from None


def _grid(offset: Any) -> grids.Grid:
    kind, n = type(offset), offset.n
    if kind is pd.offsets.Day:
        return grids.Fixed(n * DAY)
    if isinstance(offset, pd.offsets.Tick):
        return grids.Fixed(offset.nanos)
    if kind is pd.offsets.Week:
        return grids.Fixed(7 * n * DAY) if offset.weekday is None else grids.Weeks(n, offset.weekday)
    if kind is pd.offsets.BusinessDay and not offset.offset:
        return grids.BusinessDays(n)
    if kind is pd.offsets.DateOffset:
        steady = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}
        months = n * (offset.kwds.get("months", 0) + 12 * offset.kwds.get("years", 0))
        if months > 0 and set(offset.kwds) <= {"months", "years"}:
            return grids.SameDay(months)
        if not offset.kwds or not set(offset.kwds) <= steady:
            raise ValueError(
                f"freq={offset!r} has steps of varying length; accepted: months or years alone, or weeks, days and "
                "shorter units, like pd.DateOffset(months=1); or an alias such as 'MS', 'ME', 'QS', 'YE'"
            )
        return grids.Fixed(n * int(pd.Timedelta(**offset.kwds).as_unit("ns").value))
    position = {
        pd.offsets.MonthBegin: (1, False, False),
        pd.offsets.MonthEnd: (1, True, False),
        pd.offsets.BusinessMonthBegin: (1, False, True),
        pd.offsets.BusinessMonthEnd: (1, True, True),
        pd.offsets.QuarterBegin: (3, False, False),
        pd.offsets.QuarterEnd: (3, True, False),
        pd.offsets.BQuarterBegin: (3, False, True),
        pd.offsets.BQuarterEnd: (3, True, True),
        pd.offsets.YearBegin: (12, False, False),
        pd.offsets.YearEnd: (12, True, False),
        pd.offsets.BYearBegin: (12, False, True),
        pd.offsets.BYearEnd: (12, True, True),
    }.get(kind)
    if position is not None:
        months, end, business = position
        month = getattr(offset, "startingMonth", None) or getattr(offset, "month", None) or 1
        return grids.Months(n, months, (month - 1) % months, end=end, business=business)
    hours = isinstance(offset, pd.offsets.BusinessHour | pd.offsets.CustomBusinessHour | pd.offsets.BusinessDay)
    return grids.Table(offset, 1 if hours and kind is not pd.offsets.CustomBusinessDay else DAY)


def _seasonality(grid: grids.Grid) -> tuple[int, ...]:
    if isinstance(grid, grids.Fixed):
        periods = _fixed_seasons(grid.stride)
    elif isinstance(grid, grids.Weeks):
        periods = [52 / grid.n]
    elif isinstance(grid, grids.Months):
        periods = [12 / (grid.months * grid.n)]
    elif isinstance(grid, grids.SameDay):
        periods = [12 / grid.n]
    elif isinstance(grid, grids.BusinessDays) or grid.span < 2 * DAY:
        periods = [5 / getattr(grid, "n", 1)]
    else:  # half-months and the like
        periods = [float(round(365.2425 * DAY / grid.span))]
    return tuple(int(period) for period in periods if period >= 2 and period == int(period))


def _fixed_seasons(stride: int) -> list[float]:
    if stride < SECOND:
        return []
    if stride < MINUTE:
        return [MINUTE / stride]
    if stride < 5 * MINUTE:
        return [HOUR / stride, DAY / stride]
    if stride < DAY:
        return [DAY / stride, 7 * DAY / stride]
    return [7 * DAY / stride] if stride < 7 * DAY else [364 * DAY / stride]


def guess_freq(ds: NDArray[Any]) -> str | None:
    """The coarsest common frequency that all of some times lie on, mostly without a gap; None if there is none.

    Parameters
    ----------
    ds : datetime64[ns] (rows,)
        Ascending.

    Examples
    --------
    >>> guess_freq(np.array(["2024-01-01", "2024-02-01", "2024-03-01"], "datetime64[ns]"))
    'MS'
    """
    if len(ds) < 2:
        return None
    days = np.diff(ds.astype("datetime64[D]").view(np.int64))
    for alias in GUESSES:
        if alias == "B" and (days == 1).all():  # no weekend among them: they are days
            continue
        ordinal, phase, valid = parse_freq(alias).positions(ds)
        if valid.all() and (phase == phase[0]).all() and np.median(np.diff(ordinal)) == 1:
            return alias
    return None


def calendar_features(ds: NDArray[Any], freq: FreqLike) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Sine and cosine of where in the minute, hour, day, week, month and year each time lies.

    Only what a frequency can tell apart is among them: hourly times have the hour of the day, the weekday, the
    day of the month and the day of the year; months have the month of the year; years and integers have none.

    Parameters
    ----------
    ds : datetime64[ns] (rows,), or int64
        By the clock of the time zone whose days are meant.
    freq : str, offset, int or Freq

    Returns
    -------
    features : float32 (rows, C)
        In [-1, 1].
    names : tuple of C str

    Examples
    --------
    >>> features, names = calendar_features(np.array(["2024-01-01", "2024-04-01"], "datetime64[ns]"), "MS")
    >>> names, features.round(3).tolist()
    (('calendar=sin(month)', 'calendar=cos(month)'), [[0.0, 1.0], [1.0, 0.0]])
    """
    freq = parse_freq(freq)
    cycles: list[tuple[str, NDArray[np.float64]]] = []
    if not freq.is_integer:
        cycles = _cycles(ds, freq.span)
    features = np.empty((len(ds), 2 * len(cycles)), np.float32)
    names: list[str] = []
    for place, (name, share) in enumerate(cycles):
        features[:, 2 * place] = np.sin(2 * np.pi * share)
        features[:, 2 * place + 1] = np.cos(2 * np.pi * share)
        names += [f"calendar=sin({name})", f"calendar=cos({name})"]
    return features, tuple(names)


def _cycles(ds: NDArray[Any], span: float) -> list[tuple[str, NDArray[np.float64]]]:
    """Name of each cycle and the share of it that has passed, in [0, 1)."""
    times = ds.astype("datetime64[ns]").view(np.int64)
    days = ds.astype("datetime64[D]")
    months, years = ds.astype("datetime64[M]"), ds.astype("datetime64[Y]")
    cycles = [
        (name, times % length / length)
        for name, length in (("second", MINUTE), ("minute", HOUR), ("hour", DAY))
        if span < length
    ]
    if span < 7 * DAY:
        cycles.append(("weekday", (days.view(np.int64) - grids.MONDAY) % 7 / 7))
        cycles.append(("day", _passed(days, months)))
    if span < 28 * DAY:
        cycles.append(("yearday", _passed(days, years)))
    elif span < 360 * DAY:
        cycles.append(("month", (months - years.astype("datetime64[M]")).astype(np.int64) / 12))
    return cycles


def _passed(days: NDArray[Any], periods: NDArray[Any]) -> NDArray[np.float64]:
    """The share of its month or year (`periods` is datetime64 of that unit) that has passed on each day."""
    one = np.ones((), f"timedelta64[{np.datetime_data(periods.dtype)[0]}]")
    start, end = periods.astype("datetime64[D]"), (periods + one).astype("datetime64[D]")
    return (days - start).astype(np.int64) / (end - start).astype(np.int64)
