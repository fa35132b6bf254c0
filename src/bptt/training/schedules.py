"""The learning rate of every step of a run, as one array computed before the run starts.

A schedule is called as `schedule(learning_rate, steps, warmup)` and returns float64 `(steps,)`: the rates of
a chunk of windows are a slice of it. One that reacts to the validation loss has a method `observe(loss)` as
well, whose result multiplies all later rates, like `ReduceOnPlateau`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt import arguments

__all__ = ["ReduceOnPlateau", "Schedule", "constant", "cosine", "schedule_from_name"]

Schedule = Callable[[float, int, int], NDArray[np.float64]]


def _check(learning_rate: float, steps: int, warmup: int) -> None:
    arguments.real("learning_rate", learning_rate, 0.0, open_ends="min")
    arguments.integer("steps", steps)
    if arguments.integer("warmup", warmup, 0) >= steps:
        raise ValueError(f"warmup must be less than the {steps} steps of the run; got {warmup}")


def constant(learning_rate: float, steps: int, warmup: int = 0) -> NDArray[np.float64]:
    """A constant rate after a linear rise over the first `warmup` steps.

    Parameters
    ----------
    learning_rate : float
        Positive and finite.
    steps : int
        Number of optimizer steps of the run.
    warmup : int
        Steps of the linear rise: step n (from 1) has n / warmup of the rate. Default 0.

    Returns
    -------
    float64 (steps,)

    Raises
    ------
    ValueError
        If `learning_rate` is not positive, or `warmup` not in 0 .. steps - 1.

    Examples
    --------
    >>> constant(0.5, steps=4, warmup=2).tolist()
    [0.25, 0.5, 0.5, 0.5]
    """
    _check(learning_rate, steps, warmup)
    rates = np.full(steps, float(learning_rate))
    rates[:warmup] *= np.arange(1, warmup + 1) / max(warmup, 1)
    return rates


def cosine(learning_rate: float, steps: int, warmup: int = 0) -> NDArray[np.float64]:
    """Half a cosine from the full rate towards 0 (Loshchilov & Hutter, 2017), after a linear rise.

        rate(n) = learning_rate (1 + cos(pi n / N)) / 2        n = 0 .. N - 1, N = steps - warmup

    Parameters
    ----------
    learning_rate : float
        Positive and finite.
    steps : int
        Number of optimizer steps of the run; 0 is reached one step after the last.
    warmup : int
        Steps of the linear rise, part of `steps`. Default 0.

    Returns
    -------
    float64 (steps,)

    Raises
    ------
    ValueError
        If `learning_rate` is not positive, or `warmup` not in 0 .. steps - 1.

    Examples
    --------
    >>> cosine(1.0, steps=4).round(3).tolist()
    [1.0, 0.854, 0.5, 0.146]
    """
    rates = constant(learning_rate, steps, warmup)
    decay = steps - warmup
    rates[warmup:] *= (1 + np.cos(np.pi * np.arange(decay) / decay)) / 2
    return rates


class ReduceOnPlateau:
    """A constant rate, multiplied by `factor` whenever the validation loss has stopped falling.

    Parameters
    ----------
    factor : float
        Between 0 and 1.
    patience : int
        Validations without improvement before the next one reduces the rate.
    threshold : float
        An improvement is a loss below the best one by more than this (nats).

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> plateau = ReduceOnPlateau(factor=0.5, patience=0)
    >>> [plateau.observe(loss) for loss in (2.0, 1.5, 1.5, 1.4)]
    [1.0, 1.0, 0.5, 1.0]
    """

    def __init__(self, *, factor: float = 0.5, patience: int = 1, threshold: float = 1e-3) -> None:
        self.factor = arguments.real("factor", factor, 0.0, 1.0, open_ends="minmax")
        self.patience = arguments.integer("patience", patience, 0)
        self.threshold = arguments.real("threshold", threshold, 0.0)
        self._best, self._waited = math.inf, 0

    def __repr__(self) -> str:
        return f"ReduceOnPlateau(factor={self.factor}, patience={self.patience}, threshold={self.threshold})"

    def __call__(self, learning_rate: float, steps: int, warmup: int = 0) -> NDArray[np.float64]:
        """The rates at the start of a run: those of `constant`. Earlier runs are forgotten."""
        self._best, self._waited = math.inf, 0
        return constant(learning_rate, steps, warmup)

    def observe(self, loss: float) -> float:
        """Record a validation loss; the result (1 or `factor`) multiplies all later rates."""
        if loss < self._best - self.threshold:
            self._best, self._waited = loss, 0
            return 1.0
        self._waited += 1
        if self._waited <= self.patience:
            return 1.0
        self._waited = 0
        return self.factor


SCHEDULES: dict[str, Callable[[], Any]] = {
    "constant": lambda: constant,
    "cosine": lambda: cosine,
    "plateau": ReduceOnPlateau,
}


def schedule_from_name(name: str) -> Schedule:
    """Make a schedule from its name.

    Parameters
    ----------
    name : str
        "constant", "cosine" or "plateau".

    Raises
    ------
    ValueError
        If no schedule has that name.

    Examples
    --------
    >>> schedule_from_name("plateau")
    ReduceOnPlateau(factor=0.5, patience=1, threshold=0.001)
    """
    schedule: Schedule = SCHEDULES[arguments.choice("schedule", name, tuple(SCHEDULES))]()
    return schedule
