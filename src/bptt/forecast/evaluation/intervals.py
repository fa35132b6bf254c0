"""Intervals: what a user asks for, how it is read off a model's quantiles, and how it is calibrated."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from bptt import arguments

__all__ = ["Calibration", "ConformalIntervals", "QuantileRequest", "check_calibration", "interpolate", "request"]

# Decimals of a quantile: level 97.5 and quantile 0.9875 are the same, whatever rounding happens on the way
# there; a level, being 200 times as large, is read to fewer.
DECIMALS, LEVEL_DECIMALS = 12, 9
# The rank of a shift is to be the tenth score from the end of its tail or further in: its share is then known to
# about a third of the tail. Steps that have fewer scores borrow from their neighbours.
TAIL = 10


@dataclass(frozen=True)
class QuantileRequest:
    """The quantiles that were asked for, ascending, and the columns they go into.

    Parameters
    ----------
    quantiles : tuple of float
        Each in (0, 1), ascending, none twice; empty where only the point forecast is wanted.
    suffixes : tuple of str
        What follows a model's alias in the name of each column.
    """

    quantiles: tuple[float, ...]
    suffixes: tuple[str, ...]

    def columns(self, alias: str) -> list[str]:
        """The names of a model's columns, the point forecast's first."""
        return [alias, *(alias + suffix for suffix in self.suffixes)]


def request(level: Sequence[float] | None = None, quantiles: Sequence[float] | None = None) -> QuantileRequest:
    """Read the arguments `level` and `quantiles` of a forecast.

    Parameters
    ----------
    level : sequence of numbers in [1, 100), optional
        Central intervals in percent: 80 reaches from quantile 0.1 to quantile 0.9.
    quantiles : sequence of numbers in (0, 1), optional

    Raises
    ------
    TypeError
        If one is not a sequence of numbers.
    ValueError
        If both are given, one is empty, or a number is out of range or stands there twice.

    Examples
    --------
    >>> request(level=[80, 95]).columns("GRU")
    ['GRU', 'GRU-lo-95', 'GRU-lo-80', 'GRU-hi-80', 'GRU-hi-95']
    >>> request(level=[80]).quantiles == request(quantiles=[0.9, 0.1]).quantiles
    True
    >>> request(quantiles=[0.9, 0.1]).columns("GRU")
    ['GRU', 'GRU_ql0.1', 'GRU_ql0.9']
    """
    if level is not None and quantiles is not None:
        raise ValueError("You can't set both level and quantiles. level=[80] stands for quantiles=[0.1, 0.9].")
    if level is not None:
        levels = _numbers("level", level, 100, LEVEL_DECIMALS, "level=[80, 95]")
        if levels[0] < 1:
            raise ValueError(f"level is in percent, like level=[80, 95]; got {_short(levels[0])}, less than 1")
        below = [(round((100 - value) / 200, DECIMALS), f"-lo-{_short(value)}") for value in reversed(levels)]
        above = [(round((100 + value) / 200, DECIMALS), f"-hi-{_short(value)}") for value in levels]
        pairs = below + above
    elif quantiles is not None:
        wanted = _numbers("quantiles", quantiles, 1, DECIMALS, "quantiles=[0.1, 0.9]")
        pairs = [(value, f"_ql{_short(value)}") for value in wanted]
    else:
        pairs = []
    return QuantileRequest(tuple(quantile for quantile, _ in pairs), tuple(suffix for _, suffix in pairs))


def _numbers(name: str, values: Any, end: int, decimals: int, example: str) -> list[float]:
    """The numbers of a list, each in (0, end), ascending."""
    if isinstance(values, str | bytes | numbers.Real) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list of numbers between 0 and {end}, like {example}; got {values!r}")
    found = [round(arguments.real(f"each of {name}", value, 0, end, open_ends="minmax"), decimals) for value in values]
    if not found:
        raise ValueError(f"{name} must hold at least one number, like {example}; got an empty list: omit it instead")
    twice = sorted({value for value in found if found.count(value) > 1})
    if twice:
        raise ValueError(f"{name} must hold each number once; got {', '.join(map(_short, twice))} more than once")
    if not all(0 < value < end for value in found):
        raise ValueError(f"each of {name} must be a number in (0, {end}) with at most {decimals} decimals")
    return sorted(found)


def _short(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def interpolate(values: np.ndarray, have: Sequence[float], want: Sequence[float]) -> np.ndarray:
    """More quantiles of a distribution from some known ones.

    Between two known quantiles the new one is linear in the normal score z(q), the quantile of the standard normal
    distribution; outside, the line through the outermost two continues. It is exact for a normal distribution.

    Parameters
    ----------
    values : array (..., Q)
        The known quantiles, ascending along the last axis.
    have : sequence of Q numbers in (0, 1), ascending
        Their probabilities. With Q = 1, all results are that one quantile.
    want : sequence of W numbers in (0, 1), ascending

    Returns
    -------
    array (..., W)
        Ascending along the last axis.

    Examples
    --------
    >>> z = NormalDist().inv_cdf
    >>> known = np.array([z(0.1), z(0.5), z(0.9)])
    >>> interpolate(known, [0.1, 0.5, 0.9], [0.025, 0.25]).round(6).tolist()
    [-1.959964, -0.67449]
    """
    score = NormalDist().inv_cdf
    z = [score(quantile) for quantile in have]
    result = np.empty((*values.shape[:-1], len(want)), values.dtype)
    for at, quantile in enumerate(want):
        same = [k for k, known in enumerate(have) if abs(known - quantile) < 10**-DECIMALS]
        if same or len(z) == 1:
            result[..., at] = values[..., same[0] if same else 0]
            continue
        above = min(max(sum(known < quantile for known in have), 1), len(z) - 1)
        share = (score(quantile) - z[above - 1]) / (z[above] - z[above - 1])
        low, high = values[..., above - 1], values[..., above]
        result[..., at] = low + share * (high - low)
    return np.sort(result, axis=-1)  # inv_cdf is an approximation by pieces: ascending but for its last digits


@dataclass(frozen=True)
class ConformalIntervals:
    """Intervals whose coverage is calibrated on held-out windows.

    Before the models are trained on all rows, they are trained once without the last `h + (n_windows - 1) *
    step_size` rows of each series, and forecast those. Each requested quantile is then shifted so that the share of
    held-out values below it is right: conformalised quantile regression, one-sided for each quantile, with the
    finite-sample rank, in units of how much each series changes over a season.

    Parameters
    ----------
    n_windows : int
        Held-out windows of each series; each adds h scores per series. Default 2.
    step_size : int, optional
        Rows between the starts of two windows. Default: h.

    Notes
    -----
    Romano, Patterson & Candès (2019), "Conformalized quantile regression". The coverage is right on average over
    exchangeable series and windows: not for each single series, and not after a change that the held-out windows do
    not contain. A step of the horizon with few scores borrows from the steps around it. The cost is a second
    training, on fewer rows.

    Examples
    --------
    >>> ConformalIntervals(n_windows=3)
    ConformalIntervals(n_windows=3, step_size=None)
    """

    n_windows: int = 2
    step_size: int | None = None

    def __post_init__(self) -> None:
        arguments.integer("n_windows", self.n_windows)
        if self.step_size is not None:
            arguments.integer("step_size", self.step_size)

    def rows(self, h: int) -> int:
        """How many rows at the end of each series are held out."""
        return h + (self.n_windows - 1) * (self.step_size or h)


def check_calibration(intervals: Any) -> None:
    """The argument `prediction_intervals`."""
    if intervals is not None and not isinstance(intervals, ConformalIntervals):
        raise TypeError(
            f"prediction_intervals must be ConformalIntervals(...) or None; got {intervals!r} "
            f"({type(intervals).__name__})"
        )


@dataclass(frozen=True)
class Calibration:
    """The errors of a model's quantiles on the held-out windows.

    Parameters
    ----------
    quantiles : tuple of Q floats
        The model's, ascending.
    errors : float64 (W, h, Q)
        (forecast - y) / scale for W windows, h steps and Q quantiles; NaN where y is missing or the scale is 0.
    """

    quantiles: tuple[float, ...]
    errors: np.ndarray

    @property
    def number(self) -> int:
        """How many held-out values there were."""
        return int(np.isfinite(self.errors[..., 0]).sum())

    def reaches(self, quantile: float) -> bool:
        """Whether there are enough of them for a quantile so far out."""
        return (self.number + 1) * min(quantile, 1 - quantile) > 1 - 10**-LEVEL_DECIMALS

    def shifts(self, want: Sequence[float], h: int) -> np.ndarray:
        """What to add to each quantile, in units of a window's scale.

        Parameters
        ----------
        want : sequence of W numbers in (0, 1), ascending
        h : int
            Steps; those past the calibrated horizon take the last one's shift.

        Returns
        -------
        float64 (h, W)
            0 throughout where there is not a single score.
        """
        scores = -interpolate(self.errors, self.quantiles, want)  # sorting leaves NaN rows whole: y is common to them
        known = np.isfinite(scores[..., 0])
        counts = known.sum(axis=0)
        steps = counts.size
        result = np.zeros((steps, len(want)))
        for at, quantile in enumerate(want):
            needed = round(TAIL / min(quantile, 1 - quantile))
            for step in range(steps):
                reach = 0
                while counts[max(step - reach, 0) : step + reach + 1].sum() < needed and reach < steps:
                    reach += 1
                near = slice(max(step - reach, 0), step + reach + 1)
                result[step, at] = _shift(scores[:, near, at][known[:, near]], quantile)
        return result[np.minimum(np.arange(h), steps - 1)]

    def apply(self, values: np.ndarray, scales: np.ndarray, want: Sequence[float]) -> np.ndarray:
        """Calibrate quantiles that `interpolate` gave.

        Parameters
        ----------
        values : float64 (W, h, Q)
            The wanted quantiles of each window and step.
        scales : float64 (W,)
            How much the series of each window moves, as in `errors`.
        want : sequence of Q numbers in (0, 1), ascending

        Returns
        -------
        float64 (W, h, Q)
            Ascending along the last axis: shifts that would make quantiles cross are rearranged (Chernozhukov,
            Fernández-Val & Galichon 2010).
        """
        shifted = values + self.shifts(want, values.shape[1])[None] * scales[:, None, None]
        return np.sort(shifted, axis=-1)


def _shift(scores: np.ndarray, quantile: float) -> float:
    """The score of the rank that a further, exchangeable score lies below with at least (at most) that probability.

    Of n + 1 exchangeable scores the last is as likely to have any rank: rank ceil((n + 1) q) is the first that
    covers a share q, floor((n + 1) q) the last that leaves at most q below. Upper quantiles take the former, lower
    ones the latter, the median what lies between; where n is too small for the rank, the outermost score.
    """
    n = scores.size
    if n == 0:
        return 0.0
    place = round((n + 1) * quantile, DECIMALS - 3)
    low, high = (min(max(rank, 1), n) - 1 for rank in (math.floor(place), math.ceil(place)))
    ordered = np.partition(scores, sorted({low, high}))
    if quantile == 0.5:
        return float(ordered[low] / 2 + ordered[high] / 2)
    return float(ordered[high if quantile > 0.5 else low])
