"""New rows after the series that are there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.schema import FrameSchema
from bptt.user_warnings import warn

__all__ = ["appended"]


def appended(panel: Panel, new: Panel, encoding: FrameSchema) -> Panel:
    """A panel with the rows of another one after its own; series that only one of them has stay as they are.

    Times between the last old and the first new row of a series become rows that are not observed.

    Parameters
    ----------
    panel, new : Panel
        Read by the same schema.
    encoding : FrameSchema

    Raises
    ------
    ValueError
        A series has new rows that do not come after its old ones, or that are not on its grid; the message names it.

    Warns
    -----
    UserWarning
        There are times without rows between the old and the new ones.
    """
    ids = np.unique(np.concatenate([panel.ids, new.ids]))
    old_at, new_at = (pd.Index(part.ids).get_indexer(pd.Index(ids)) for part in (panel, new))
    between = _missing_steps(panel, new, encoding, ids, old_at, new_at)
    # Where each row comes from: the old rows, then as many more as are missing, then the new ones.
    kept, counts = [], np.zeros(ids.size, np.int64)
    filled = []
    for k, (i, j) in enumerate(zip(old_at, new_at, strict=True)):
        parts = []
        if i >= 0:
            parts += [np.arange(panel.starts[i], panel.starts[i + 1]), np.full(between[k], panel.starts[i + 1] - 1)]
        if j >= 0:
            parts.append(panel.y.size + np.arange(new.starts[j], new.starts[j + 1]))
        rows = np.concatenate(parts)
        own = np.zeros(rows.size, np.int64)
        if i >= 0:
            length = panel.starts[i + 1] - panel.starts[i]
            own[length : length + between[k]] = np.arange(1, between[k] + 1)
        kept.append(rows)
        filled.append(own)
        counts[k] = rows.size
    source, since = np.concatenate(kept), np.concatenate(filled)

    def taken(name: str) -> np.ndarray:
        return np.asarray(np.concatenate([getattr(panel, name), getattr(new, name)])[source])

    ds = encoding.freq.step(taken("ds"), since)
    y, observed, futr = taken("y"), taken("observed"), taken("futr")
    y[since > 0], observed[since > 0] = 0.0, False
    if encoding.calendar and since.any():
        dates, names = encoding.calendar_features(ds[since > 0])
        futr[since > 0, futr.shape[1] - len(names) :] = dates
    static = np.where((new_at >= 0)[:, None], new.static[new_at], panel.static[old_at])
    return replace(
        panel,
        ids=ids,
        starts=np.concatenate([[0], np.cumsum(counts)]),
        ds=ds,
        y=y,
        observed=observed,
        futr=futr,
        hist=taken("hist"),
        static=static,
    )


def _missing_steps(
    panel: Panel, new: Panel, encoding: FrameSchema, ids: np.ndarray, old_at: np.ndarray, new_at: np.ndarray
) -> np.ndarray:
    """Steps between the last old and the first new row of each series, 0 where only one panel has it."""
    both = np.flatnonzero((old_at >= 0) & (new_at >= 0))
    last, first = panel.last_ds[old_at[both]], new.ds[new.starts[new_at[both]]]
    ordinal, phase, _ = encoding.freq.positions(np.concatenate([last, first]))
    steps = ordinal[both.size :] - ordinal[: both.size]
    early = both[(steps < 1) | (phase[both.size :] != phase[: both.size])]
    if early.size:
        raise ValueError(
            f"df must hold rows after those that are there, on the grid of {encoding.freq}; the first new row of "
            f"{early.size} series is not, the first of them {ids[early[0]]}. predict(df=...) takes whole histories"
        )
    between = np.zeros(ids.size, np.int64)
    between[both] = steps - 1
    if between.any():
        k = int(np.argmax(between > 0))
        warn(
            f"{int(between.sum())} rows are missing between the old and the new ones of {int((between > 0).sum())} "
            f"series, the first of them {ids[k]}; they count as missing values"
        )
    return between
