"""Sequences of unequal lengths in one batch, and states dropped on the way: how the rows then lie on the tape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Rows", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """The rows of a batch as the unroll runs over them: longest first, so that those that have a step come first.

    Attributes
    ----------
    active : int64 array (T,)
        How many rows have a step t.
    reset : bool array (T, B) or (0, 0)
        Where a row's state is dropped before step t; rows as they lie on the tape.
    ends : int64 array (B,)
        Steps of each row on the tape.
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
        return bool(self.active[-1] < self.ends.size)

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
    ends = np.full(B, T, np.int64) if lengths is None else lengths.astype(np.int64)
    order = np.argsort(-ends, kind="stable")
    if (order[1:] > order[:-1]).all():
        order = order[:0]
    active = B - np.searchsorted(np.sort(ends), np.arange(T), side="right")
    # A copy, whatever becomes of the caller's array: the way back needs it.
    dropped = np.zeros((0, 0), np.bool_) if reset is None or not reset.any() else np.array(reset, order="C")
    rows = Rows(active, dropped, ends, order)
    return Rows(active, rows.lay(dropped, 1) if dropped.size else dropped, rows.lay(ends, 0), order)
