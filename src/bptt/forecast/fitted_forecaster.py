"""What a fitted forecaster does: forecast, and write itself to a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd

from bptt import arguments, seeds
from bptt.errors import NotFittedError
from bptt.forecast import saving
from bptt.forecast.evaluation.cutoffs import Windows, insample_windows
from bptt.forecast.evaluation.fitted import Trained
from bptt.forecast.evaluation.intervals import request
from bptt.forecast.fitting.interface import (
    Model,
    check_aliases,
    check_horizon,
    check_quantiles,
    check_simulation,
    reach,
)
from bptt.forecast.fitting.local_scaling import Scaling, scaling
from bptt.forecast.frames.appending import appended
from bptt.forecast.frames.clock import warn_clock_changes
from bptt.forecast.frames.native import Native, like
from bptt.forecast.frames.panel import Panel
from bptt.forecast.frames.reading import (
    FrameSchema,
    future_rows,
    get_missing_future,
    make_future_dataframe,
    read,
    warn_unobserved_ends,
)
from bptt.params import HasParams
from bptt.training.plotting import HasHistory

__all__ = ["CUTOFF", "FittedForecaster", "beside_y"]

CUTOFF, SAMPLE = "cutoff", "sample_id"


class FittedForecaster(HasHistory, HasParams):
    """Trained models with the series they were trained on; `Forecaster` makes and trains them.

    Attributes
    ----------
    models : list
        The models, trained after `fit`.
    aliases : list of str
        The names of their columns.
    h : int
        Their horizon.
    local_scaler_type : str or None
    """

    models: list[Model]
    aliases: list[str]
    h: int
    local_scaler_type: str | None
    _fit: Trained | None
    _panel: Panel | None
    _encoding: FrameSchema | None
    _native: Native | None

    @property
    def history(self) -> pd.DataFrame:
        """The losses of the last `fit`: the histories of the models, below each other, with a column `model`."""
        histories = zip(self.aliases, (model.history for model in self.models), strict=True)
        frames = [history.assign(model=alias) for alias, history in histories if not history.empty]
        if not frames:
            return pd.DataFrame()
        history = pd.concat(frames, ignore_index=True)
        return history[["model", *history.columns.drop("model")]]

    def predict(
        self,
        df: pd.DataFrame | None = None,
        static_df: pd.DataFrame | None = None,
        *,
        futr_df: pd.DataFrame | None = None,
        level: Sequence[float] | None = None,
        quantiles: Sequence[float] | None = None,
        h: int | None = None,
    ) -> pd.DataFrame:
        """Forecast the h steps after the end of each series.

        Parameters
        ----------
        df : DataFrame, optional
            Histories to continue instead of the training data: longer ones, or series the models never saw.
            Nothing is trained. The result is a frame of the same kind, pandas, polars or Arrow.
        static_df : DataFrame, optional
            The static columns of the series of `df`.
        futr_df : DataFrame, optional
            Exogenous columns of the future steps; for strategies "segment" and "direct" of all steps of the models'
            horizon. `make_future_dataframe` returns the rows that it needs.
        level : list of numbers in [1, 100), optional
            Coverage of the intervals in percent: 80 adds the columns `GRU-lo-80` and `GRU-hi-80`. Default: none.
        quantiles : list of numbers in (0, 1), optional
            Instead of `level`: 0.1 adds the column `GRU_ql0.1`. Default: none.
        h : int, optional
            Steps to forecast. Default: the models' horizon. Only strategy="recursive" can forecast more; calibrated
            intervals then use the shift of the last calibrated step.

        Returns
        -------
        DataFrame
            `unique_id`, `ds`, and a column for each model and quantile; series sorted by id, `ds` ascending.

        Raises
        ------
        TypeError, ValueError
            The Forecaster is not fitted, or an argument, a column or a series is wrong; the message names it.

        Warns
        -----
        UserWarning
            Series end in missing values; times less than a day apart have a time zone whose clock changes within the
            forecasts or the season before them, which moves daily patterns to another hour of that clock.
        """
        trained, *_ = self._fitted("predicting")
        requested = request(level, quantiles)
        h = check_horizon(self.models, self.aliases, h)
        if not trained.is_calibrated:
            check_quantiles(self.models, self.aliases, requested.quantiles)
        panel, encoding, scale = self._history(df, static_df)
        steps = reach(self.models, h)
        future = future_rows(panel, encoding, steps, futr_df)
        warn_clock_changes(future, encoding, np.arange(len(panel)), panel.lengths, h)
        columns = trained.forecast(future, np.arange(len(panel)), panel.lengths, h, requested, scale)
        rows = (future.starts[1:, None] - steps + np.arange(h)).ravel()
        return self._like(df, _frame(future, encoding, rows, columns))

    def simulate(
        self,
        df: pd.DataFrame | None = None,
        static_df: pd.DataFrame | None = None,
        *,
        futr_df: pd.DataFrame | None = None,
        n_paths: int = 100,
        h: int | None = None,
        seed: int | None = 0,
    ) -> pd.DataFrame:
        """Draw sample paths of the h steps after the end of each series, from models with strategy="recursive".

        Intervals say how far each step may lie; paths say what happens together: the quantiles of a sum, of a maximum,
        or of the time when a level is reached follow from them, see the example. Each step is drawn from the model's
        quantiles of one step ahead, given the steps drawn before it. Quantiles in between, and beyond the outermost
        ones, are on straight lines over normal scores. All models get the same draws.

        Parameters
        ----------
        df, static_df, futr_df
            As in `predict`.
        n_paths : int
            Paths of each series. Default 100.
        h : int, optional
            Steps, any number. Default: the models' horizon.
        seed : int or None
            Determines the draws. Default 0. None draws a seed.

        Returns
        -------
        DataFrame
            `unique_id`, `sample_id` (0 to n_paths - 1), `ds`, and a column for each model; sorted by these. Calibration
            by `prediction_intervals` does not change it.

        Raises
        ------
        TypeError, ValueError
            The Forecaster is not fitted, a model has another strategy or no quantiles below and above the median, or
            an argument, a column or a series is wrong; the message names it.

        Warns
        -----
        UserWarning
            As `predict`.

        Notes
        -----
        Sampling step by step: Salinas, Flunkert, Gasthaus & Januschowski (2020), DeepAR. From quantiles instead of a
        distribution with parameters: Gasthaus et al. (2019).

        Examples
        --------
        >>> import numpy as np
        >>> from bptt.forecast import Forecaster, Pretrained
        >>> days = pd.date_range("2024-01-01", periods=70, freq="D")
        >>> df = pd.DataFrame({"unique_id": "shop", "ds": days, "y": 10.0 + np.arange(70) % 7})
        >>> paths = Forecaster([Pretrained(h=7)], "D").fit(df).simulate(n_paths=20)
        >>> paths.columns.tolist(), len(paths)
        (['unique_id', 'sample_id', 'ds', 'Pretrained'], 140)
        >>> weeks = paths.groupby(["unique_id", "sample_id"])["Pretrained"].sum()
        >>> weeks.groupby("unique_id").quantile([0.1, 0.9]).between(80, 100).all()
        np.True_
        """
        trained, *_ = self._fitted("simulating")
        check_simulation(self.models, self.aliases)
        check_aliases(self.aliases, (SAMPLE,))
        P = arguments.integer("n_paths", n_paths)
        h = check_horizon(self.models, self.aliases, h)
        seed = seeds.resolve("seed", seed)
        panel, encoding, scale = self._history(df, static_df)
        future = future_rows(panel, encoding, h, futr_df)
        N = len(panel)
        warn_clock_changes(future, encoding, np.arange(N), panel.lengths, h)
        draws = seeds.generator(seed, "sampling").standard_normal((N, P, h))
        columns = trained.simulate(future, np.arange(N), panel.lengths, draws, scale)
        rows = np.repeat(future.starts[1:, None] - h + np.arange(h), P, axis=0).ravel()
        frame = _frame(future, encoding, rows, columns)
        frame.insert(1, SAMPLE, np.tile(np.repeat(np.arange(P), h), N))
        return self._like(df, frame)

    def update(self, df: pd.DataFrame, static_df: pd.DataFrame | None = None) -> Self:
        """Take new rows in, without training: forecasts then start after them.

        Parameters
        ----------
        df : DataFrame
            The rows after the last ones of each series, and of new series; columns as in `fit`. Series without new
            rows stay as they are.
        static_df : DataFrame, optional
            The static columns of the series of `df`. Series that are known keep theirs without it.

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        TypeError, ValueError
            The Forecaster is not fitted, a column is wrong, or rows do not come after those that are there; the
            message names the column or the series.

        Warns
        -----
        UserWarning
            Rows are missing between the old and the new ones.
        """
        trained, panel, encoding = self._fitted("updating")
        known = static_df is None and bool(encoding.stat)
        new, _ = read(df, static_df=static_df, encoding=replace(encoding, stat=()) if known else encoding)
        if known:
            rows = pd.Index(panel.ids).get_indexer(pd.Index(new.ids))
            if (rows < 0).any():
                raise ValueError(f"static_df must hold the new series {new.ids[rows < 0][0]}; got none")
            new = replace(new, static=panel.static[rows], static_names=panel.static_names)
        longer = appended(panel, new, encoding)
        if self.local_scaler_type is not None and trained.scaling is not None:
            # A series that was trained on keeps its scale; a new one has its own.
            before = pd.Index(panel.ids).get_indexer(pd.Index(longer.ids))
            own, old = scaling(longer, self.local_scaler_type), trained.scaling
            trained = replace(
                trained,
                scaling=Scaling(
                    np.where(before >= 0, old.center[before], own.center),
                    np.where(before >= 0, old.spread[before], own.spread),
                ),
            )
        self._fit, self._panel = trained, longer
        return self

    def predict_insample(
        self,
        step_size: int = 1,
        *,
        level: Sequence[float] | None = None,
        quantiles: Sequence[float] | None = None,
    ) -> pd.DataFrame:
        """Forecast windows of the training data, each from the rows before it, with models that were trained on all.

        Parameters
        ----------
        step_size : int
            Rows between the starts of two windows, counted back from the last window of each series. Default 1.
        level, quantiles
            As in `predict`.

        Returns
        -------
        DataFrame
            Like that of `cross_validation`. It does not measure how well the models forecast other data.

        Raises
        ------
        TypeError, ValueError
            The Forecaster is not fitted, or an argument is wrong; the message names it.

        Warns
        -----
        UserWarning
            Series are too short for any window.
        """
        trained, panel, encoding = self._fitted("predicting")
        requested = request(level, quantiles)
        if not trained.is_calibrated:
            check_quantiles(self.models, self.aliases, requested.quantiles)
        windows = insample_windows(panel, self.h, arguments.integer("step_size", step_size))
        warn_clock_changes(panel, encoding, windows.series, windows.ends, self.h)
        columns = trained.forecast(panel, windows.series, windows.ends, self.h, requested, until=panel.lengths)
        return self._like(None, beside_y(panel, encoding, windows, self.h, columns))

    def make_future_dataframe(self, df: pd.DataFrame | None = None, h: int | None = None) -> pd.DataFrame:
        """The ids and times that `predict` forecasts: the rows that `futr_df` must have.

        Parameters
        ----------
        df : DataFrame, optional
            As in `predict`.
        h : int, optional
            As in `predict`.

        Returns
        -------
        DataFrame
            `unique_id` and `ds`.
        """
        panel, encoding = self._histories(df)
        steps = reach(self.models, check_horizon(self.models, self.aliases, h))
        return self._like(df, make_future_dataframe(panel, encoding, steps))

    def get_missing_future(
        self, futr_df: pd.DataFrame, df: pd.DataFrame | None = None, h: int | None = None
    ) -> pd.DataFrame:
        """The rows of `make_future_dataframe` that `futr_df` lacks.

        Parameters
        ----------
        futr_df : DataFrame
        df, h
            As in `predict`.

        Returns
        -------
        DataFrame
            `unique_id` and `ds`; empty if nothing is missing.
        """
        panel, encoding = self._histories(df)
        steps = reach(self.models, check_horizon(self.models, self.aliases, h))
        return self._like(df, get_missing_future(panel, encoding, steps, futr_df))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write models, calibration and the training series to one file, atomically.

        The file is in the safetensors format and cannot run code.

        Parameters
        ----------
        path : str or path
        overwrite : bool
            Whether to replace an existing model file. Any other file is never replaced. Default False.

        Raises
        ------
        ValueError
            The Forecaster is not fitted.
        FileExistsError
            The file exists and `overwrite` is not set, or it is not a model file.
        OSError
            The file cannot be written; the message names the path.
        """
        trained, panel, encoding = self._fitted("saving")
        saving.write(path, trained, panel, encoding, self.local_scaler_type, overwrite=overwrite)

    def _fitted(self, doing: str) -> tuple[Trained, Panel, FrameSchema]:
        if self._fit is None or self._panel is None or self._encoding is None:
            raise NotFittedError(f"You must fit the model before {doing}. Call fit(df), or Forecaster.load(path).")
        return self._fit, self._panel, self._encoding

    def _history(
        self, df: pd.DataFrame | None, static_df: pd.DataFrame | None
    ) -> tuple[Panel, FrameSchema, Scaling | None]:
        """What to continue: the training data, or other rows with a scale of their own."""
        trained, panel, encoding = self._fitted("predicting")
        if df is None:
            if static_df is not None:
                raise ValueError(
                    "static_df describes the series of df: pass both, or none to continue the training data"
                )
            return panel, encoding, trained.scaling
        panel, encoding = read(df, static_df=static_df, encoding=encoding)
        warn_unobserved_ends(panel, encoding)
        return panel, encoding, None if self.local_scaler_type is None else scaling(panel, self.local_scaler_type)

    def _like(self, df: Any, result: pd.DataFrame) -> Any:
        """The result in the kind of frame of `df`, or where that is None, of what was fitted."""
        return like(self._native if df is None else Native.of(df), result)

    def _histories(self, df: pd.DataFrame | None) -> tuple[Panel, FrameSchema]:
        _, panel, encoding = self._fitted("asking for its future")
        if df is None:
            return panel, encoding
        # Ids and times alone: no exogenous column has to be there for that.
        return read(df, encoding=replace(encoding, futr=(), hist=(), stat=(), calendar=False))


def beside_y(
    panel: Panel, encoding: FrameSchema, windows: Windows, h: int, columns: dict[str, np.ndarray]
) -> pd.DataFrame:
    """The frame of windows that are forecast: ids, times, cutoffs, the columns, and the true values."""
    first = panel.starts[windows.series] + windows.ends
    rows = (first[:, None] + np.arange(h)).ravel()
    cutoffs = encoding.rows(panel, np.repeat(windows.series, h), panel.ds[np.repeat(first - 1, h)])[encoding.time_col]
    y = np.where(panel.observed[rows], panel.y[rows], np.nan)
    return _frame(panel, encoding, rows, {CUTOFF: cutoffs, **columns, encoding.target_col: y})


def _frame(panel: Panel, encoding: FrameSchema, rows: np.ndarray, columns: dict[str, Any]) -> pd.DataFrame:
    """Ids and times of some of a panel's rows, with further columns beside them."""
    keys = encoding.rows(panel, panel.series[rows], panel.ds[rows])
    return pd.concat([keys, pd.DataFrame(columns)], axis=1)
