"""Partitions of series on a Dask cluster: fit, forecast and cross-validate more series than one machine should.

Every partition is a Forecaster of its own, on the series whose ids it holds. A model that learns nothing from other
series, like `Pretrained`, gives the same forecasts as in one process; a model that is trained learns from the series of
its partition. Which series are together follows from the sorted ids and the number of partitions, not from the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.forecast.fitting.interface import Model
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.frames import columns

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cross_validation", "forecast"]

# A task is tried so many times more where its worker dies.
RETRIES = 5


def forecast(
    client: Client,
    df: pd.DataFrame,
    models: Sequence[Model],
    freq: Any,
    *,
    partitions: int,
    static_df: pd.DataFrame | None = None,
    futr_df: pd.DataFrame | None = None,
    level: Sequence[float] | None = None,
    quantiles: Sequence[float] | None = None,
    id_col: str = "unique_id",
    **fitting: Any,
) -> pd.DataFrame:
    """Fit a Forecaster on each partition of the series, and forecast.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster. Its workers need this library.
    df, static_df, futr_df : DataFrame
        As for `Forecaster.fit` and `Forecaster.predict`; each partition gets its series' rows.
    models, freq
        As for `Forecaster`.
    partitions : int
        Into how many parts the series are split, by their sorted ids; at most one for each series.
    level, quantiles
        As for `Forecaster.predict`.
    id_col : str
    **fitting
        Other arguments of `Forecaster.fit`.

    Returns
    -------
    DataFrame
        As of `Forecaster.predict`, of all series.

    Raises
    ------
    TypeError, ValueError
        As of `Forecaster`; a partition's error is that of the whole.

    Examples
    --------
    >>> from distributed import Client, LocalCluster  # doctest: +SKIP
    >>> from bptt.forecast import Pretrained, distributed  # doctest: +SKIP
    >>> with LocalCluster(n_workers=2) as cluster, Client(cluster) as client:  # doctest: +SKIP
    ...     forecasts = distributed.forecast(client, df, [Pretrained(12)], "MS", partitions=8)
    """
    parts = _split(partitions, id_col, df=df, static_df=static_df, futr_df=futr_df)
    tasks = [
        (
            one,
            list(models),
            freq,
            static,
            future,
            {"level": level, "quantiles": quantiles},
            {"id_col": id_col, **fitting},
        )
        for one, static, future in parts
    ]
    return _gathered(client, _forecast, tasks)


def cross_validation(
    client: Client,
    df: pd.DataFrame,
    models: Sequence[Model],
    freq: Any,
    *,
    partitions: int,
    static_df: pd.DataFrame | None = None,
    id_col: str = "unique_id",
    **windows: Any,
) -> pd.DataFrame:
    """Cross-validate a Forecaster on each partition of the series.

    Parameters
    ----------
    client, df, models, freq, partitions, static_df, id_col
        As for `forecast`.
    **windows
        Other arguments of `Forecaster.cross_validation`.

    Returns
    -------
    DataFrame
        As of `Forecaster.cross_validation`, of all series.

    Raises
    ------
    TypeError, ValueError
        As of `Forecaster`.
    """
    parts = _split(partitions, id_col, df=df, static_df=static_df)
    tasks = [(one, list(models), freq, static, {"id_col": id_col, **windows}) for one, static in parts]
    return _gathered(client, _cross_validation, tasks)


def _forecast(
    df: pd.DataFrame,
    models: list[Model],
    freq: Any,
    static_df: pd.DataFrame | None,
    futr_df: pd.DataFrame | None,
    predicting: dict[str, Any],
    fitting: dict[str, Any],
) -> pd.DataFrame:
    return Forecaster(models, freq).fit(df, static_df, **fitting).predict(futr_df=futr_df, **predicting)


def _cross_validation(
    df: pd.DataFrame, models: list[Model], freq: Any, static_df: pd.DataFrame | None, windows: dict[str, Any]
) -> pd.DataFrame:
    return Forecaster(models, freq).cross_validation(df, static_df, **windows)


def _split(partitions: int, id_col: str, **frames: Any) -> list[tuple[Any, ...]]:
    """The rows of each partition, of every frame: df with all series, then others, which may be None."""
    arguments.integer("partitions", partitions)
    given = {name: columns.as_pandas(name, frame) for name, frame in frames.items() if frame is not None}
    for name, frame in given.items():
        columns.check_frame(name, frame, [id_col])
    ids = np.sort(given["df"][id_col].unique())
    number = min(partitions, len(ids))
    part_of = np.repeat(np.arange(number), [part.size for part in np.array_split(ids, number)])
    parts: dict[str, dict[int, pd.DataFrame]] = {}
    for name, frame in given.items():
        at = pd.Index(ids).get_indexer(pd.Index(frame[id_col]))
        parts[name] = dict(iter(frame[at >= 0].groupby(part_of[at[at >= 0]])))
    return [tuple(parts[name].get(k, given[name].iloc[:0]) if name in given else None for name in frames)
            for k in range(number)]  # fmt: skip


def _gathered(client: Client, work: Any, tasks: list[tuple[Any, ...]]) -> pd.DataFrame:
    """The frames of all tasks, one below the other. The same task again after its worker died gives the same bits."""
    futures = [client.submit(work, *task, retries=RETRIES, pure=False) for task in tasks]
    try:
        return pd.concat(client.gather(futures), ignore_index=True)
    finally:
        client.cancel(futures)
