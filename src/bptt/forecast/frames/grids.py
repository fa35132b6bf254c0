"""The grids of times, as integers: which step of a frequency a time is, and the time n steps later.

Times are int64 here: nanoseconds since 1970 or the integers of the frame. A grid tells a time's `ordinal`, which
rises by one from each time of a regular series to the next however long months are, and its `phase`, which is the
same for all times of a regular series (the minute past the hour, the time of day of a daily value).
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["BusinessDays", "Fixed", "Grid", "Months", "Positions", "SameDay", "Table", "Weeks"]

DAY = 86_400_000_000_000
# 1970-01-01 was a Thursday, 1969-12-29 (day -3) a Monday.
MONDAY = -3
LAST = 2**63 - 1

Integers = NDArray[np.int64]


class Positions(NamedTuple):
    """Ordinals count from an arbitrary origin that all times of one call share; invalid times are rounded down."""

    ordinal: Integers
    phase: Integers
    valid: NDArray[np.bool_]


class Grid(abc.ABC):
    """A regular sequence of times, of any phase."""

    span: float  # nanoseconds of a step, on average

    @abc.abstractmethod
    def positions(self, times: Integers) -> Positions: ...

    @abc.abstractmethod
    def step(self, times: Integers, steps: Integers) -> Integers:
        """The times moved by a number of steps, which may be negative; OverflowError past the end of int64."""


def _within(low: int, high: int) -> None:
    if low < -LAST or high > LAST:
        raise OverflowError


class Fixed(Grid):
    """Steps of one length, from any time on."""

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.span = stride

    def positions(self, times: Integers) -> Positions:
        ordinal = times // self.stride
        return Positions(ordinal, times - ordinal * self.stride, np.ones(times.shape, np.bool_))

    def step(self, times: Integers, steps: Integers) -> Integers:
        if times.size and steps.size:
            reach = [int(steps.min()) * self.stride, int(steps.max()) * self.stride]
            _within(int(times.min()) + min(0, *reach), int(times.max()) + max(0, *reach))
        return times + steps * self.stride


class _Anchored(Grid):
    """Every n-th of certain days, at any time of day."""

    def __init__(self, n: int, span: float, unit: int = DAY) -> None:
        self.n = n
        self.span = n * span
        self.unit = unit

    @abc.abstractmethod
    def floor(self, days: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        """Number of the last of the grid's days that is not after each day, and whether it is that day."""

    @abc.abstractmethod
    def day(self, number: Integers) -> Integers: ...

    def covering(self, days: Integers, steps: Integers) -> _Anchored:
        """A grid that covers all of these days, also when moved by these numbers of its days."""
        return self

    def positions(self, times: Integers) -> Positions:
        days = times // self.unit
        number, valid = self.covering(days, np.zeros(1, np.int64)).floor(days)
        ordinal = number // self.n
        clock = np.where(valid, times - days * self.unit, self.unit - 1)
        return Positions(ordinal, (number - ordinal * self.n) * self.unit + clock, valid)

    def step(self, times: Integers, steps: Integers) -> Integers:
        days = times // self.unit
        grid = self.covering(days, steps * self.n)
        moved = grid.day(grid.floor(days)[0] + steps * self.n)
        if moved.size:
            _within((int(moved.min()) - 1) * self.unit, (int(moved.max()) + 1) * self.unit)
        return moved * self.unit + (times - days * self.unit)


class Weeks(_Anchored):
    """One day of the week; 0 is Monday."""

    def __init__(self, n: int, weekday: int) -> None:
        super().__init__(n, 7 * DAY)
        self.weekday = weekday

    def floor(self, days: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        days = days - (MONDAY + self.weekday)
        return days // 7, days % 7 == 0

    def day(self, number: Integers) -> Integers:
        return number * 7 + (MONDAY + self.weekday)


class BusinessDays(_Anchored):
    """Monday to Friday."""

    def __init__(self, n: int) -> None:
        super().__init__(n, DAY)

    def floor(self, days: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        week = (days - MONDAY) // 7
        weekday = days - MONDAY - week * 7
        return week * 5 + np.minimum(weekday, 4), weekday < 5

    def day(self, number: Integers) -> Integers:
        week = number // 5
        return week * 7 + (number - week * 5) + MONDAY


class Months(_Anchored):
    """The first or last (business) day of every month, quarter or year."""

    def __init__(self, n: int, months: int, phase: int, *, end: bool, business: bool) -> None:
        super().__init__(n, months * 30.436875 * DAY)
        self.months = months
        self.first = phase
        self.end = end
        self.business = business

    def floor(self, days: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        month = days.view("datetime64[D]").astype("datetime64[M]").view(np.int64)
        number = (month - self.first) // self.months
        own = self.day(number)
        return number - (own > days), own == days

    def day(self, number: Integers) -> Integers:
        month = number * self.months + self.first + self.end
        days = month.view("datetime64[M]").astype("datetime64[D]").view(np.int64) - self.end
        if self.business:
            weekend = np.maximum((days - MONDAY) % 7 - 4, 0)  # Saturday 1, Sunday 2
            days = days - weekend if self.end else days + np.where(weekend > 0, 3 - weekend, 0)
        return days


class SameDay(Grid):
    """The same day of every month (of every n-th), one of the 28 that all months have."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.span = n * 30.436875 * DAY

    def positions(self, times: Integers) -> Positions:
        month, within = self._month(times)
        ordinal = month // self.n
        return Positions(ordinal, (month - ordinal * self.n) * 31 * DAY + within, within < 28 * DAY)

    def step(self, times: Integers, steps: Integers) -> Integers:
        month, within = self._month(times)
        moved = self._start(month + steps * self.n)
        if moved.size:
            _within((int(moved.min()) - 1) * DAY, (int(moved.max()) + 31) * DAY)
        return moved * DAY + within

    def _month(self, times: Integers) -> tuple[Integers, Integers]:
        """The month of each time, and the nanoseconds since it began."""
        month = (times // DAY).view("datetime64[D]").astype("datetime64[M]").view(np.int64)
        return month, times - self._start(month) * DAY

    def _start(self, month: Integers) -> Integers:
        return month.view("datetime64[M]").astype("datetime64[D]").view(np.int64)


class Table(_Anchored):
    """Any other frequency of pandas: its days (its times, where it has hours) are listed as far as they are needed."""

    def __init__(self, offset: pd.offsets.BaseOffset, unit: int, known: Integers | None = None) -> None:
        self.offset = offset
        self.known = np.zeros(0, np.int64) if known is None else known
        some = pd.date_range("2000-01-01", periods=25, freq=offset.base)
        super().__init__(offset.n, (some[-1] - some[0]).total_seconds() * 1e9 / 24, unit)

    def covering(self, days: Integers, steps: Integers) -> _Anchored:
        if not days.size:
            return self
        # Twice the average step reaches as many steps back. Listed forward in any case: from the end of its day a
        # business hour would be counted back to other times. A midnight starts no list in the middle of a day.
        back = 2 * self.span * max(0, -int(steps.min(initial=0)))
        try:
            low = pd.Timestamp(int(days.min()) * self.unit - int(back))
            low = self.offset.base.rollback(low).normalize()
            high = pd.Timestamp(int(days.max()) * self.unit)
            known = pd.date_range(low, high, freq=self.offset.base).as_unit("ns")
            after = 1 + max(0, int(steps.max(initial=0)))
            further = pd.date_range(known[-1], periods=after, freq=self.offset.base).as_unit("ns")[1:]
        except (OverflowError, pd.errors.OutOfBoundsDatetime):
            raise OverflowError from None
        return Table(self.offset, self.unit, np.concatenate([known.asi8, further.asi8]) // self.unit)

    def floor(self, days: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        number = np.searchsorted(self.known, days, side="right") - 1
        return number.astype(np.int64), self.known[number] == days

    def day(self, number: Integers) -> Integers:
        return self.known[number]
