"""Sequences of unequal lengths in one batch, and state resets: how the rows then lie on the tape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Rows", "counted", "rows_of", "writable"]

NUMBERS, FLAGS = np.empty(0, np.int64), np.empty((0, 0), np.bool_)


@dataclass(frozen=True)
class Rows:
    """The rows of a batch as the unroll runs over them: longest first, so that those that have a step come first.

    Attributes
    ----------
    active : int64 array (T,)
        Number of rows that have a step t.
    reset : bool array (T, B) or (0, 0)
        Where a row's state is reset before step t; rows in the order of the tape.
    ends : int64 array (B,) or (0,)
        Steps of each row on the tape; empty where every row has all of them.
    order : int64 array (B,) or (0,)
        Index in the batch of each row on the tape; empty if the order is the same.
    """

    active: np.ndarray
    reset: np.ndarray
    ends: np.ndarray
    order: np.ndarray

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(writable(state))

    @property
    def ragged(self) -> bool:
        """Whether any row ends before the last step."""
        return self.ends.size > 0

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each row of the batch, in its order; empty where every row has all of them."""
        return self.to_batch_order(self.ends, 0)

    def of_steps(self, first: int, last: int) -> Rows:
        """The rows of some consecutive steps, in the same order; a row that ends before them has 0."""
        ends = np.clip(self.ends - first, 0, last - first)
        return Rows(self.active[first:last], self.reset[first:last], ends, self.order)

    def fits(self, T: int, B: int) -> bool:
        """Whether these are the rows of a batch of B sequences on a tape of T steps."""
        sizes, numbers = (self.ends.shape, self.order.shape), (self.active, self.ends, self.order)
        return (
            self.active.shape == (T,)
            and all(shape in ((B,), (0,)) for shape in sizes)
            and self.reset.shape in ((T, B), (0, 0))
            and self.reset.dtype == np.bool_
            and all(array.dtype == np.int64 for array in numbers)
            and all(array.flags.carray for array in (*numbers, self.reset))
            and bool(((self.active >= 0) & (self.active <= B)).all())
            and (not self.order.size or bool((np.sort(self.order) == np.arange(B)).all()))
            and (not self.ends.size or bool(((self.ends >= 1) & (self.ends <= T)).all()))
        )

    def to_tape_order(self, array: np.ndarray, axis: int) -> np.ndarray:
        """The array with its rows, which run along `axis`, as they lie on the tape."""
        return np.take(array, self.order, axis) if self.order.size else array

    def to_batch_order(self, array: np.ndarray, axis: int) -> np.ndarray:
        """The array with its rows in the order of the batch: the inverse of `to_tape_order`."""
        return np.take(array, np.argsort(self.order), axis) if self.order.size else array


def writable(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an unpickled object, for compiled code: copies of arrays whose buffers cannot be written to."""
    return {
        name: np.array(value, order="C") if isinstance(value, np.ndarray) and not value.flags.carray else value
        for name, value in state.items()
    }


def counted(lengths: np.ndarray, T: int, batch_first: bool) -> np.ndarray:
    """(T, B), or (B, T) with `batch_first`: whether a row has a step."""
    return np.arange(T) < lengths[:, None] if batch_first else np.arange(T)[:, None] < lengths


def rows_of(T: int, B: int, lengths: np.ndarray | None, reset: np.ndarray | None) -> Rows:
    """The order in which a batch of B sequences of these lengths (default: all T) lies on a tape of T steps.

    Parameters
    ----------
    lengths : integer array (B,) in 1 .. T, optional
    reset : bool array (T, B), optional

    Examples
    --------
    >>> rows = rows_of(3, 2, np.array([1, 3]), None)
    >>> rows.order.tolist(), rows.active.tolist()
    ([1, 0], [2, 1, 1])
    """
    active, ends, order = np.full(T, B), NUMBERS, NUMBERS
    if lengths is not None and lengths.min() < T:
        ends = lengths.astype(np.int64)
        order = np.argsort(-ends, kind="stable")
        ends = ends[order]
        active = B - np.searchsorted(ends[::-1], np.arange(T), side="right")
        if (order[1:] > order[:-1]).all():
            order = NUMBERS
    if reset is None or not reset.any():
        return Rows(active, FLAGS, ends, order)
    # A copy, whatever becomes of the caller's array: the way back needs it.
    return Rows(active, np.take(reset, order, 1) if order.size else np.array(reset, order="C"), ends, order)
