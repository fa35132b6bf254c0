"""A pandas frame in, forecasts with intervals out."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.forecast import saving
from bptt.forecast.evaluation.cutoffs import last_windows, number_of_windows
from bptt.forecast.evaluation.fitted import Trained, cross_validate, train
from bptt.forecast.evaluation.intervals import ConformalIntervals, check_calibration, request
from bptt.forecast.fitted_forecaster import CUTOFF, FittedForecaster, beside_y
from bptt.forecast.fitting.interface import (
    Model,
    check_aliases,
    check_horizon,
    check_models,
    check_quantiles,
    check_validation,
    column_names,
)
from bptt.forecast.fitting.local_scaling import SCALERS
from bptt.forecast.frames.clock import warn_clock_changes
from bptt.forecast.frames.columns import check_names
from bptt.forecast.frames.frequency import Freq, calendar_features, parse_freq
from bptt.forecast.frames.native import Native
from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.reading import (
    FrameSchema,
    read,
    warn_unobserved_ends,
)

__all__ = ["Forecaster"]

WINDOWS_END = (
    "the last window ends with its last row, which has no y to compare with. Drop these rows to let windows end "
    "with the last value"
)


class Forecaster(FittedForecaster):
    """Models for many series, with Nixtla's conventions for frames, columns and arguments.

    Frames are long: one row per series and time, with the columns `unique_id`, `ds` and `y` (`fit` can name others)
    and one column per exogenous input. All results are such frames, with one column per model;
    `utilsforecast.evaluation.evaluate` accepts them.

    Parameters
    ----------
    models : list of models
        `RNN(...)`, `GRU(...)`, `LSTM(...)`, `Pretrained(...)`, all with the same horizon `h`. The forecaster trains
        copies of them. Two models of one class without an `alias` get the columns `GRU` and `GRU1`; a given `alias`
        must be unique.
    freq : str, int or pandas offset
        The step from one row of a series to the next: an alias of pandas, old ("M", "H") or new ("ME", "h"), or an
        int where `ds` holds integers.
    local_scaler_type : {None, "standard", "robust", "minmax"}
        How each series is scaled before training: by mean and standard deviation, by median and median absolute
        deviation, or by minimum and range of the training rows. Forecasts are scaled back. Default None: not at all.
        The models scale each window anyway; doing both rarely helps.

    Attributes
    ----------
    models : list
        The models, trained after `fit`.
    aliases : list of str
        The names of their forecast columns.
    h : int
        Their horizon.
    history : DataFrame
        The losses of the last `fit`: a row for each model, network and step, with the columns model, network, step,
        train_loss and, where rows were used for validation, validation_loss. `plot_history` draws it.

    Raises
    ------
    TypeError, ValueError
        The message names the argument: `models` is not a list of models or holds a class, horizons differ, an alias
        appears twice, pandas does not know the frequency.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.forecast import GRU
    >>> days = pd.date_range("2024-01-01", periods=60, freq="D")
    >>> df = pd.DataFrame({"unique_id": "shop", "ds": days, "y": 10.0 + np.arange(60) % 7})
    >>> forecaster = Forecaster([GRU(h=7, hidden_size=8, max_steps=5)], freq="D")
    >>> forecaster.fit(df)
    Forecaster(models=[GRU], freq='D', h=7, fitted to 1 series)
    >>> forecast = forecaster.predict(level=[80])
    >>> forecast.columns.tolist()
    ['unique_id', 'ds', 'GRU', 'GRU-lo-80', 'GRU-hi-80']
    >>> forecast["ds"].iloc[0].isoformat(), len(forecast)
    ('2024-03-01T00:00:00', 7)
    >>> forecaster.cross_validation(df, n_windows=2, step_size=7).columns.tolist()
    ['unique_id', 'ds', 'cutoff', 'GRU', 'y']
    """

    def __init__(self, models: Sequence[Model], freq: Any, *, local_scaler_type: str | None = None) -> None:
        self._params = {"models": models, "freq": freq, "local_scaler_type": local_scaler_type}
        check_models(models)
        self.models: list[Model] = [copy.deepcopy(model) for model in models]
        self.aliases = column_names(self.models)
        self.h: int = self.models[0].h
        if freq is None:
            raise TypeError(
                "freq must be a pandas alias like 'h' or 'ME', an offset, or an int for integer times; got None"
            )
        self.freq: Freq = parse_freq(freq)
        if local_scaler_type is not None:
            arguments.choice("local_scaler_type (if not None)", local_scaler_type, tuple(SCALERS))
        for alias, model in zip(self.aliases, self.models, strict=True):
            if model.calendar and not calendar_features(np.zeros(0, "datetime64[ns]"), self.freq)[1]:
                raise ValueError(
                    f"{alias}: calendar=True needs times with calendar features; {self.freq} has none: "
                    f"use calendar=False"
                )
        self.local_scaler_type = local_scaler_type
        self._fit: Trained | None = None
        self._panel: Panel | None = None
        self._encoding: FrameSchema | None = None
        self._native: Native | None = None

    def __repr__(self) -> str:
        state = "not fitted" if self._panel is None else f"fitted to {len(self._panel)} series"
        freq = self.freq.offset if self.freq.is_integer else self.freq.name
        return f"Forecaster(models=[{', '.join(self.aliases)}], freq={freq!r}, h={self.h}, {state})"

    def fit(
        self,
        df: pd.DataFrame,
        static_df: pd.DataFrame | None = None,
        *,
        val_size: int = 0,
        prediction_intervals: ConformalIntervals | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_col: str = "y",
    ) -> Forecaster:
        """Train every model on all series.

        Each `fit` starts from the same initial weights unless `warm_start` is set. If it fails or is interrupted, an
        earlier fit remains unchanged.

        Parameters
        ----------
        df : DataFrame
            Columns `id_col`, `time_col`, `target_col` and the exogenous columns of the models; one row per series and
            time, in any order. Missing values of y are allowed; nothing is learned from them. Frames of polars,
            Arrow and other packages that narwhals knows are accepted too, and results then are such frames.
        static_df : DataFrame, optional
            One row per series: `id_col` and the models' static columns.
        val_size : int
            Rows at the end of each series used for validation instead of training; 0 (default), or at least h.
        prediction_intervals : ConformalIntervals, optional
            Calibrate the intervals on held-out windows, at the cost of a second training. Default: not.
        warm_start : bool
            Continue from the weights of the previous fit. Default False.
        verbose : int
            1 shows a progress bar for each model. Default 0: none.
        id_col, time_col, target_col : str

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        TypeError, ValueError
            The message names the argument, the column or the series.
        """
        check_names(id_col=id_col, time_col=time_col, target_col=target_col)
        verbose = arguments.flag("verbose", verbose)
        warm_start = arguments.boolean("warm_start", warm_start)
        check_aliases(self.aliases, (id_col, time_col, target_col, CUTOFF))
        check_validation(self.models, self.aliases, val_size)
        check_calibration(prediction_intervals)
        panel, encoding = self._read(df, static_df, id_col, time_col, target_col, as_before=warm_start)
        warn_unobserved_ends(panel, encoding)
        trained = train(
            self.models,
            self.aliases,
            panel,
            self.freq,
            local_scaler_type=self.local_scaler_type,
            val_size=val_size,
            prediction_intervals=prediction_intervals,
            warm_start=warm_start,
            verbose=verbose,
        )
        self._keep(trained, panel, encoding)
        self._native = Native.of(df)
        return self

    def cross_validation(
        self,
        df: pd.DataFrame,
        static_df: pd.DataFrame | None = None,
        *,
        n_windows: int | None = 1,
        step_size: int = 1,
        val_size: int = 0,
        test_size: int | None = None,
        refit: bool | int = False,
        level: Sequence[float] | None = None,
        quantiles: Sequence[float] | None = None,
        h: int | None = None,
        prediction_intervals: ConformalIntervals | None = None,
        verbose: int = 0,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_col: str = "y",
    ) -> pd.DataFrame:
        """Forecast the last windows of each series as if they were the future, and put y beside them.

        With refit=False the models are trained once, on the rows before the first window of each series: its last
        `h + (n_windows - 1) * step_size` rows are used neither for training nor for validation nor for scaling. These
        models forecast the later windows from all rows before each. With refit=True they are trained again for each
        window on all rows before it, with refit=k for every k-th window. The Forecaster needs no fit, and an
        existing fit remains unchanged.

        Parameters
        ----------
        df, static_df
            As in `fit`. Future exogenous columns are taken from the rows of the windows.
        n_windows : int or None
            Number of windows for each series. Default 1.
        step_size : int
            Rows between the starts of two windows. Default 1.
        val_size : int
            As in `fit`: the last rows before the first window.
        test_size : int, optional
            Instead of `n_windows`, which is then None: the number of rows that the windows cover, h plus a multiple
            of `step_size`.
        refit : bool or int
            How often to train; see above. Default False.
        level, quantiles, h
            As in `predict`.
        prediction_intervals : ConformalIntervals, optional
            As in `fit`, for each training: the calibration windows lie before the windows that are forecast.
        verbose : int
        id_col, time_col, target_col : str

        Returns
        -------
        DataFrame
            `unique_id`, `ds`, `cutoff` (the last time before the window), a column for each model and quantile, and
            `y`, NaN where it is missing; sorted by series, cutoff and time.

        Raises
        ------
        TypeError, ValueError
            The message names the argument, the column or the series.

        Warns
        -----
        UserWarning
            Series are too short for some windows, which are then left out; series end in missing values; times less
            than a day apart have a time zone whose clock changes within a window.
        """
        requested = request(level, quantiles)
        h = check_horizon(self.models, self.aliases, h)
        arguments.integer("step_size", step_size)
        for name, value in (("n_windows", n_windows), ("test_size", test_size)):
            if value is not None:
                arguments.integer(name, value)
        every = arguments.flag("refit", refit)
        count = number_of_windows(n_windows, test_size, step_size, h)
        check_names(id_col=id_col, time_col=time_col, target_col=target_col)
        verbose = arguments.flag("verbose", verbose)
        check_aliases(self.aliases, (id_col, time_col, target_col, CUTOFF))
        check_validation(self.models, self.aliases, val_size)
        check_calibration(prediction_intervals)
        if prediction_intervals is None:
            check_quantiles(self.models, self.aliases, requested.quantiles)
        panel, encoding = self._read(df, static_df, id_col, time_col, target_col)
        warn_unobserved_ends(panel, encoding, WINDOWS_END)
        windows = last_windows(panel, h, count, step_size, purpose="cross_validation", refit=every)
        warn_clock_changes(panel, encoding, windows.series, windows.ends, h)
        columns = cross_validate(
            self.models,
            self.aliases,
            panel,
            self.freq,
            windows,
            h,
            requested,
            local_scaler_type=self.local_scaler_type,
            val_size=val_size,
            prediction_intervals=prediction_intervals,
            verbose=verbose,
        )
        return self._like(df, beside_y(panel, encoding, windows, h, columns))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Forecaster:
        """Read a file of `save`: forecasts are the same to the bit, also those that continue the training data.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        FileNotFoundError, OSError
            The file is missing or cannot be read.
        ValueError
            The file is not a forecaster, is truncated, comes from a newer version, or its parts do not fit together.
            The message names the path and the reason.
        """
        trained, panel, encoding, local_scaler_type = saving.read(path)
        forecaster = cls(trained.models, trained.freq, local_scaler_type=local_scaler_type)
        forecaster.aliases = list(trained.aliases)
        forecaster._keep(trained, panel, encoding)
        return forecaster

    def _keep(self, trained: Trained, panel: Panel, encoding: FrameSchema) -> None:
        self.models = list(trained.models)
        self._fit, self._panel, self._encoding = trained, panel, encoding

    def _read(
        self,
        df: pd.DataFrame,
        static_df: pd.DataFrame | None,
        id_col: str,
        time_col: str,
        target_col: str,
        *,
        as_before: bool = False,
    ) -> tuple[Panel, FrameSchema]:
        """A frame to train on; `as_before` with the columns that categories had in an earlier fit, if there was one."""
        if as_before and self._encoding is not None:
            encoding = replace(self._encoding, id_col=id_col, time_col=time_col, target_col=target_col)
            return read(df, static_df=static_df, encoding=encoding)
        futr, hist, stat = (
            list(dict.fromkeys(name for model in self.models for name in getattr(model, f"{kind}_exog_list")))
            for kind in ("futr", "hist", "stat")
        )
        return read(
            df,
            self.freq,
            static_df=static_df,
            futr=futr,
            hist=hist,
            stat=stat,
            calendar=any(model.calendar for model in self.models),
            id_col=id_col,
            time_col=time_col,
            target_col=target_col,
        )
