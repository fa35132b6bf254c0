"""The interface of a Forecaster's models, and the checks on several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.forecast.frames.frequency import Freq
from bptt.forecast.frames.panel import Panel

__all__ = [
    "Model",
    "check_aliases",
    "check_horizon",
    "check_models",
    "check_quantiles",
    "check_simulation",
    "check_validation",
    "column_names",
]


class Model(Protocol):
    """The interface of a model for `Forecaster`."""

    h: int
    alias: str
    quantiles: tuple[float, ...]
    futr_exog_list: tuple[str, ...]
    hist_exog_list: tuple[str, ...]
    stat_exog_list: tuple[str, ...]
    calendar: bool
    strategy: str
    early_stop_patience_steps: int

    @property
    def is_fitted(self) -> bool: ...

    @property
    def forecasts_median(self) -> bool:
        """Whether the point forecast is the median; calibration then moves it with the quantiles."""

    @property
    def history(self) -> pd.DataFrame:
        """The losses of the last `fit` as a frame; empty if there are none."""

    @property
    def settings(self) -> dict[str, Any]: ...

    def fit(
        self,
        panel: Panel,
        *,
        freq: Freq,
        val_size: int = 0,
        holdout: int = 0,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        """Learn from all rows of each series but its last `holdout`; the last `val_size` of those validate."""

    def forecast(
        self,
        panel: Panel,
        series: np.ndarray,
        ends: np.ndarray,
        h: int | None = None,
        until: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Point forecasts (W, h) and quantiles (W, h, Q) of rows ends .. ends+h-1 from the rows before.

        Choices for each series, such as the transform, use its rows before `until` (N,); default: the rows before the
        first of its ends.
        """

    def simulate(self, panel: Panel, series: np.ndarray, ends: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Paths (W, P, h) of rows ends .. ends+h-1 from the rows before; each follows from its normal scores `draws`.

        Only models with strategy="recursive" are asked.
        """

    def tensors(self) -> dict[str, np.ndarray]: ...

    @classmethod
    def from_settings(cls, settings: dict[str, Any], tensors: dict[str, np.ndarray], panel: Panel, freq: Freq) -> Self:
        """The model of a file, trained on this panel; a wrong field raises a ValueError that names it."""


def check_models(models: Any) -> None:
    """Check a list of models, all with one horizon."""
    if not isinstance(models, list | tuple):
        raise TypeError(f"models must be a list of models, like [GRU(h=12)]; got {models!r} ({type(models).__name__})")
    if not models:
        raise ValueError("models must be a list of at least one model, like [GRU(h=12)]; got an empty list")
    for at, model in enumerate(models):
        if isinstance(model, type):
            raise TypeError(f"models[{at}] is the class {model.__name__}: call it, like {model.__name__}(h=12)")
        if not all(hasattr(model, name) for name in ("h", "alias", "fit", "forecast", "quantiles")):
            raise TypeError(
                f"models[{at}] must be a model of bptt.forecast, like GRU(h=12); got {model!r} ({type(model).__name__})"
            )
    if len({model.h for model in models}) > 1:
        found = ", ".join(f"{model.alias}: {model.h}" for model in models)
        raise ValueError(f"all models must have the same horizon h; got {found}")


def column_names(models: Sequence[Model]) -> list[str]:
    """The names of the models' columns: given ones unchanged, class names numbered if they repeat."""
    given = [model.alias for model in models if model.alias != type(model).__name__]
    twice = sorted({alias for alias in given if given.count(alias) > 1})
    if twice:
        raise ValueError(f"each model must have its own alias; got {', '.join(map(repr, twice))} more than once")
    taken, names = set(given), []
    for model in models:
        name, number = model.alias, 0
        while name in taken and model.alias == type(model).__name__:
            number += 1
            name = f"{model.alias}{number}"
        taken.add(name)
        names.append(name)
    return names


def check_aliases(aliases: Sequence[str], others: Sequence[str]) -> None:
    """Check that no model's column has the name of another column of the results."""
    for alias in aliases:
        if alias in others:
            raise ValueError(f"a model's alias must not be the name of another column of the results; got {alias!r}")


def check_validation(models: Sequence[Model], aliases: Sequence[str], val_size: int) -> None:
    """Check that `val_size` is 0 or at least the horizon, and not 0 with early stopping."""
    arguments.integer("val_size", val_size, 0)
    h = models[0].h
    if 0 < val_size < h:
        raise ValueError(f"val_size must be either 0 or greater than or equal to the horizon: {h}; got {val_size}")
    for model, alias in zip(models, aliases, strict=True):
        if model.early_stop_patience_steps > 0 and not val_size:
            raise ValueError(
                f"Set val_size>0 if early stopping is enabled: {alias} has early_stop_patience_steps="
                f"{model.early_stop_patience_steps}; val_size={h} would do"
            )


def reach(models: Sequence[Model], h: int) -> int:
    """Steps whose future-known columns the models read to forecast h: all of its own where one decodes them at once."""
    whole = [m.h for m in models if m.strategy != "recursive" and (m.calendar or m.futr_exog_list)]
    return max(h, *whole, 0)


def check_horizon(models: Sequence[Model], aliases: Sequence[str], h: int | None) -> int:
    """The steps to forecast: default the models' horizon; only recursive models can forecast more."""
    if h is None:
        return models[0].h
    arguments.integer("h", h)
    for model, alias in zip(models, aliases, strict=True):
        if h > model.h and model.strategy != "recursive":
            raise ValueError(
                f"h must be at most {model.h}, the horizon of {alias} (strategy={model.strategy!r}); got {h}: only "
                f"strategy='recursive' can forecast more steps"
            )
    return h


def check_simulation(models: Sequence[Model], aliases: Sequence[str]) -> None:
    """Check that paths can be drawn: step by step, from quantiles on both sides of the point forecast."""
    for model, alias in zip(models, aliases, strict=True):
        if model.strategy != "recursive":
            raise ValueError(
                f"simulate needs models with strategy='recursive', which forecast one step after the other, like "
                f"Pretrained(h={model.h}); got {alias} with strategy={model.strategy!r}"
            )
        if not model.quantiles[0] < 0.5 < model.quantiles[-1]:
            raise ValueError(
                f"simulate draws from a model's quantiles, and needs some below and some above 0.5; got {alias} with "
                f"quantiles={list(model.quantiles)}"
            )


def check_quantiles(models: Sequence[Model], aliases: Sequence[str], quantiles: Sequence[float]) -> None:
    """Check that the quantiles can be interpolated: from a single one no others follow without calibration."""
    for model, alias in zip(models, aliases, strict=True):
        if len(model.quantiles) == 1 and set(quantiles) - set(model.quantiles):
            raise ValueError(
                f"{alias} forecasts the quantile {model.quantiles[0]} only, so level and quantiles cannot be "
                f"computed: train it with more quantiles, or with prediction_intervals=ConformalIntervals()"
            )
