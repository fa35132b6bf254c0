"""What forecasts missed, and which values were not to be expected."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bptt.forecast.evaluation.accuracy import CUTOFF, models_of
from bptt.forecast.evaluation.intervals import request
from bptt.forecast.frames import columns
from bptt.forecast.frames.native import Native, like

__all__ = ["residuals"]


def residuals(
    cv_df: pd.DataFrame,
    *,
    level: float | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> pd.DataFrame:
    """The errors of the forecasts of `cross_validation` or `predict_insample`, and the values outside an interval.

    With windows of one step (`h=1, step_size=1`) each value is judged by all that came before it.

    Parameters
    ----------
    cv_df : DataFrame
        What `Forecaster.cross_validation` or `predict_insample` returned, with intervals if `level` is given.
    level : number in [1, 100), optional
        Marks anomalies: values outside the interval of this level, in percent. Of values like those before, so many
        in a hundred lie inside it. Default: none are marked.
    id_col, time_col, target_col : str

    Returns
    -------
    DataFrame
        `unique_id`, `ds`, `cutoff`, `y`, and for each model `GRU-residual`, which is y less the forecast (NaN where y
        is missing), and with `level` `GRU-anomaly`, which is False where y is missing.

    Raises
    ------
    TypeError, ValueError
        `cv_df` is not from `cross_validation`, or has no interval of this level.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.forecast import Forecaster, Pretrained
    >>> y = 10.0 + np.arange(60) % 7
    >>> y[50] = 40.0
    >>> df = pd.DataFrame({"unique_id": "shop", "ds": pd.date_range("2024-01-01", periods=60, freq="D"), "y": y})
    >>> cv_df = Forecaster([Pretrained(h=1)], "D").cross_validation(df, n_windows=14, level=[99])
    >>> found = residuals(cv_df, level=99)
    >>> found.loc[found["Pretrained-anomaly"], "ds"].dt.date.astype(str).tolist()[0]
    '2024-02-20'
    """
    native = Native.of(cv_df)
    cv_df = columns.as_pandas("cv_df", cv_df)
    models, levels = models_of(cv_df, id_col, time_col, target_col)
    wanted = None if level is None else request(level=[level])
    added: dict[str, Any] = {}
    for model in models:
        added[f"{model}-residual"] = cv_df[target_col] - cv_df[model]
        if wanted is None:
            continue
        low, high = wanted.columns(model)[1:]
        if low not in cv_df.columns:
            have = ", ".join(levels) or "none"
            raise ValueError(f"level must be one of the intervals of cv_df ({have}); got {level!r}: {low!r} is missing")
        y = cv_df[target_col]
        added[f"{model}-anomaly"] = (y < cv_df[low]) | (y > cv_df[high])
    result: pd.DataFrame = like(native, cv_df[[id_col, time_col, CUTOFF, target_col]].assign(**added))
    return result
