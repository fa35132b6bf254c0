"""How much forecasts owe to each exogenous column: what they lose where its values are shuffled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bptt import arguments, seeds
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.frames import columns
from bptt.forecast.frames.native import Native, like

__all__ = ["permutation_importance"]


def permutation_importance(
    forecaster: Forecaster,
    df: pd.DataFrame,
    static_df: pd.DataFrame | None = None,
    *,
    n_repeats: int = 5,
    seed: int | None = 0,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> pd.DataFrame:
    """Measure how much larger the error of the last horizon gets where the values of a column are shuffled.

    Nothing is trained. A column that matters, but whose part another one can play, seems to matter little.

    Parameters
    ----------
    forecaster : Forecaster
        Fitted; fit it to the rows before the last horizon, so that it has not seen what it is measured on.
    df : DataFrame
        Series with at least one row more than the horizon, with y and all exogenous columns.
    static_df : DataFrame, optional
        Their static columns.
    n_repeats : int
        How often each column is shuffled. Default 5.
    seed : int or None
        Determines the shuffling. Default 0. None draws a seed.
    id_col, time_col, target_col : str

    Returns
    -------
    DataFrame
        A row for each model and each of its columns, the most important first: model, column, importance, std. The
        importance is the mean over the repeats of the increase of the mean absolute scaled error: each series' mean
        absolute error, divided by its mean absolute change from one row to the next. Columns that are known for the
        future or the past are shuffled in time, within each series; static ones among the series.

    Raises
    ------
    TypeError, ValueError
        The forecaster is not fitted or has no exogenous columns, a column is missing, or every series is too short.

    Notes
    -----
    Breiman (2001), Random Forests; for any model: Fisher, Rudin & Dominici (2019).

    Examples
    --------
    >>> from bptt.forecast import GRU, Forecaster
    >>> rng = np.random.default_rng(0)
    >>> price, noise = rng.random((2, 80))
    >>> days = pd.date_range("2024-01-01", periods=80, freq="D")
    >>> df = pd.DataFrame({"unique_id": "shop", "ds": days, "y": 5 * price, "price": price, "noise": noise})
    >>> model = GRU(h=7, futr_exog_list=["price", "noise"], max_steps=100, hidden_size=16)
    >>> forecaster = Forecaster([model], "D").fit(df.iloc[:-7])
    >>> permutation_importance(forecaster, df)["column"].tolist()
    ['price', 'noise']
    """
    arguments.integer("n_repeats", n_repeats)
    rng = seeds.generator(seeds.resolve("seed", seed), "sampling")
    native = Native.of(df)
    df = columns.dated("df", df, time_col)
    columns.check_frame("df", df, [id_col, time_col, target_col])
    shared = {
        kind: list(dict.fromkeys(name for model in forecaster.models for name in getattr(model, f"{kind}_exog_list")))
        for kind in ("futr", "hist", "stat")
    }
    if not any(shared.values()):
        raise ValueError("permutation_importance needs a model with exogenous columns, like futr_exog_list=['price']")
    columns.check_frame("df", df, [*shared["futr"], *shared["hist"]])
    df = df.sort_values([id_col, time_col], kind="stable").reset_index(drop=True)
    df = df[df.groupby(id_col)[target_col].transform("size") > forecaster.h].reset_index(drop=True)
    if df.empty:
        raise ValueError(f"df must have a series with more rows than the horizon ({forecaster.h}); it has none")
    if static_df is not None:
        static_df = columns.as_pandas("static_df", static_df)
        static_df = static_df[static_df[id_col].isin(df[id_col])].reset_index(drop=True)
    last = df.groupby(id_col).cumcount(ascending=False).to_numpy() < forecaster.h
    moved = df[~last].groupby(id_col)[target_col].diff().abs().groupby(df[id_col]).mean()
    scale = moved.where(moved > 0)

    def errors(rows: pd.DataFrame, static: pd.DataFrame | None) -> np.ndarray:
        """The mean absolute scaled error of each model."""
        future = rows.loc[last, [id_col, time_col, *shared["futr"]]]
        found = forecaster.predict(rows[~last], static, futr_df=future if shared["futr"] else None)
        beside = df.loc[last, [id_col, time_col, target_col]].merge(found, on=[id_col, time_col])
        return np.array([
            ((beside[alias] - beside[target_col]).abs().groupby(beside[id_col]).mean() / scale).mean()
            for alias in forecaster.aliases
        ])  # fmt: skip

    def in_time(name: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        return df.assign(
            **{name: df.groupby(id_col)[name].transform(lambda column: rng.permutation(column))}
        ), static_df

    def among_series(name: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        assert static_df is not None
        return df, static_df.assign(**{name: rng.permutation(static_df[name])})

    base = errors(df, static_df)
    table: list[dict[str, Any]] = []
    shuffled: list[tuple[str, str, Callable[[str], Any]]] = [
        (kind, name, among_series if kind == "stat" else in_time) for kind, names in shared.items() for name in names
    ]
    for kind, name, shuffle in shuffled:
        increases = np.array([errors(*shuffle(name)) - base for _ in range(n_repeats)])
        for at, (model, alias) in enumerate(zip(forecaster.models, forecaster.aliases, strict=True)):
            if name in getattr(model, f"{kind}_exog_list"):
                own = increases[:, at]
                table.append({"model": alias, "column": name, "importance": own.mean(), "std": own.std()})
    order = {alias: place for place, alias in enumerate(forecaster.aliases)}
    measured = pd.DataFrame(table)
    measured = measured.sort_values(
        ["model", "importance"], ascending=[True, False], key=lambda column: column.map(order) if column.name == "model"
        else column, ignore_index=True,
    )  # fmt: skip
    result: pd.DataFrame = like(native, measured)
    return result
