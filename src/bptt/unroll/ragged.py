"""Sequences of unequal lengths in one batch, and states dropped on the way: how the rows then lie on the tape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Rows", "rows_of"]

NUMBERS, FLAGS = np.empty(0, np.int64), np.empty((0, 0), np.bool_)


@dataclass(frozen=True)
class Rows:
    """The rows of a batch as the unroll runs over them: longest first, so that those that have a step come first.

    Attributes
    ----------
    active : int64 array (T,)
        How many rows have a step t.
    reset : bool array (T, B) or (0, 0)
        Where a row's state is dropped before step t; rows as they lie on the tape.
    ends : int64 array (B,) or (0,)
        Steps of each row on the tape; empty where every row has all of them.
    order : int64 array (B,) or (0,)
        The batch's number of each row on the tape; empty where they lie as they came.
    """

    active: np.ndarray
    reset: np.ndarray
    ends: np.ndarray
    order: np.ndarray

    @property
    def ragged(self) -> bool:
        """Whether any row ends before the last step."""
        return self.ends.size > 0

    def lay(self, array: np.ndarray, axis: int) -> np.ndarray:
        """The array with its rows, which run along `axis`, as they lie on the tape."""
        return np.take(array, self.order, axis) if self.order.size else array

    def back(self, array: np.ndarray, axis: int) -> np.ndarray:
        """The array with its rows as they came in the batch: `lay` undone."""
        return np.take(array, np.argsort(self.order), axis) if self.order.size else array


def rows_of(T: int, B: int, lengths: np.ndarray | None, reset: np.ndarray | None) -> Rows:
    """How a batch of B sequences of these lengths (all T where absent) lies on a tape of T steps.

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
