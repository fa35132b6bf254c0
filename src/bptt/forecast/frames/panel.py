"""Many time series in flat arrays: what every model of `bptt.forecast` learns and forecasts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Panel", "columns_of"]


@dataclass(frozen=True)
class Panel:
    """Many series, one after the other; series s is rows `starts[s]` to `starts[s + 1] - 1` of the flat arrays.

    Inside a series `ds` is ascending and regular: where the frame had a gap there are rows that are not observed.
    Numbers are unscaled; models scale them. `bptt.forecast.frames.reading.read` makes it.

    Attributes
    ----------
    ids : array (N,)
        The series' names; those read from a frame are sorted.
    starts : int64 (N + 1,)
        First row of each series, and the number of rows.
    ds : datetime64[ns] or int64 (rows,)
        Naive. Of times with a zone: the clock of that zone where a step is a day or longer (a day has 23 hours
        once a year), UTC below. `FrameSchema.rows` gives them back unchanged.
    y : float64 (rows,)
        0.0 where missing.
    observed : bool (rows,)
        Whether there is a value of y.
    futr, hist : float32 (rows, F), float32 (rows, G)
        Columns that are known for the future, and those known for the past only. In the rows of a gap they repeat
        the row before.
    static : float32 (N, S)
        Columns with one value per series.
    futr_names, hist_names, static_names : tuple of str
        One name for each column of the arrays: the frame's, or "name=value" for a value of a categorical column.

    Examples
    --------
    >>> import pandas as pd
    >>> from bptt.forecast.frames.reading import read
    >>> panel, _ = read(pd.DataFrame({"unique_id": ["b", "b", "a"], "ds": [1, 2, 7], "y": [None, 0.5, 3.0]}), 1)
    >>> panel.ids.tolist(), panel.starts.tolist(), panel.lengths.tolist(), panel.observed.tolist()
    (['a', 'b'], [0, 1, 3], [1, 2], [True, False, True])
    """

    ids: NDArray[np.generic]
    starts: NDArray[np.int64]
    ds: NDArray[np.generic]
    y: NDArray[np.float64]
    observed: NDArray[np.bool_]
    futr: NDArray[np.float32]
    hist: NDArray[np.float32]
    static: NDArray[np.float32]
    futr_names: tuple[str, ...] = ()
    hist_names: tuple[str, ...] = ()
    static_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each series, int64 (N,)."""
        return np.diff(self.starts)

    @property
    def series(self) -> NDArray[np.int64]:
        """The series each row belongs to, int64 (rows,)."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    @property
    def position(self) -> NDArray[np.int64]:
        """The number of each row within its series, from 0, int64 (rows,)."""
        return np.arange(self.y.size) - np.repeat(self.starts[:-1], self.lengths)

    def before(self, number: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a row is among the first `number` (N,) ones of its series, bool (rows,)."""
        return self.position < np.repeat(number, self.lengths)

    def observed_before(self, series: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each series (W,) has an observed value before its row `ends` (W,); not where that is negative."""
        so_far = np.concatenate([[0], np.cumsum(self.observed)])
        first = self.starts[series]
        return np.asarray(so_far[first + np.maximum(ends, 0)] > so_far[first])

    @property
    def last_ds(self) -> NDArray[np.generic]:
        """The last time of each series, (N,)."""
        return self.ds[self.starts[1:] - 1]


def columns_of(names: tuple[str, ...], wanted: Iterable[str]) -> NDArray[np.int64]:
    """Which columns of `Panel.futr` (`hist`, `static`) belong to the wanted columns of the frame.

    Parameters
    ----------
    names : tuple of str
        `Panel.futr_names`, `hist_names` or `static_names`.
    wanted : iterable of str
        Columns of the frame; "calendar" for those of the calendar.

    Returns
    -------
    int64
        In the order of `names`.

    Examples
    --------
    >>> columns_of(("price", "holiday=no", "holiday=yes", "calendar=sin(month)"), ["holiday"]).tolist()
    [1, 2]
    """
    wanted = tuple(wanted)
    inside = [
        index
        for index, name in enumerate(names)
        if any(name == column or name.startswith(f"{column}=") for column in wanted)
    ]
    return np.array(inside, np.int64)
