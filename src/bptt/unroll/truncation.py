"""Which steps truncated backpropagation through time uses (Williams & Peng 1990).

TBPTT(k1, k2) runs forward over k1 new steps at a time, and each time backward through the last k2. With k1 = k2 the
sequence is cut into chunks; with k2 > k1 the chunks overlap in the backward pass, and every error travels at least
k2 - k1 + 1 steps before it is cut off. The state is carried from window to window in either case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bptt import arguments

__all__ = ["TBPTT", "Window"]


class Window(NamedTuple):
    """Steps start to stop - 1 are new; the error goes back to step back_to."""

    start: int
    back_to: int
    stop: int


@dataclass(frozen=True)
class TBPTT:
    """Truncation after k2 steps, one update every k1.

    Parameters
    ----------
    k1 : int
        Steps from one update to the next, at least 1.
    k2 : int, optional
        Steps of backpropagation, at least k1. Default: k1.

    Raises
    ------
    TypeError, ValueError
        k1 or k2 is not an integer in its range.

    Examples
    --------
    >>> [tuple(w) for w in TBPTT(2, 3).windows(6)]
    [(0, 0, 2), (2, 1, 4), (4, 3, 6)]
    """

    k1: int
    k2: int | None = None

    def __post_init__(self) -> None:
        arguments.integer("k1", self.k1)
        k2 = self.k1 if self.k2 is None else arguments.integer("k2", self.k2)
        if k2 < self.k1:
            raise ValueError(
                f"k2 must be at least k1, since every step's loss must be backpropagated at least once; "
                f"got k1={self.k1}, k2={k2}"
            )
        object.__setattr__(self, "k2", k2)

    @classmethod
    def from_argument(cls, window: Any) -> TBPTT:
        """What users pass as `window`: an integer, a pair (k1, k2), or a TBPTT."""
        if isinstance(window, TBPTT):
            return window
        if isinstance(window, tuple | list):
            if len(window) != 2:
                raise ValueError(f"window must be an integer or a pair (k1, k2); got {window!r}")
            try:
                return cls(*window)
            except (TypeError, ValueError) as error:
                raise type(error)(f"window must be a pair (k1, k2) with k2 of at least k1: {error}") from None
        return cls(arguments.integer("window", window))

    @property
    def depth(self) -> int:
        """k2, as a plain integer."""
        return self.k1 if self.k2 is None else self.k2

    def windows(self, steps: int) -> Iterator[Window]:
        """The windows of a sequence of `steps` steps; an incomplete window at the end is left out."""
        for start in range(0, steps - self.k1 + 1, self.k1):
            stop = start + self.k1
            yield Window(start, max(0, stop - self.depth), stop)
