"""Models trained on one panel, and the conversion of their forecasts into columns."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.forecast.evaluation.cutoffs import Windows, last_windows
from bptt.forecast.evaluation.intervals import Calibration, ConformalIntervals, QuantileRequest, interpolate
from bptt.forecast.fitting.interface import Model
from bptt.forecast.fitting.local_scaling import Scaling, mase_scale, scaling
from bptt.forecast.frames.frequency import Freq
from bptt.forecast.frames.panel import Panel
from bptt.user_warnings import warn

__all__ = ["Trained", "cross_validate", "train"]

# Calibration keeps the errors of at most this many windows: coverage is then known to about 0.4 %.
MOST_WINDOWS = 1 << 14


@dataclass(frozen=True)
class Trained:
    """Trained models, the names of their columns, and the scale and calibration of their forecasts.

    Parameters
    ----------
    models : tuple of Model
    aliases : tuple of str
        One for each model.
    freq : Freq
    scaling : Scaling or None
        Of the training series, if the models see scaled ones.
    calibrations : tuple of (Calibration or None)
        One for each model.
    """

    models: tuple[Model, ...]
    aliases: tuple[str, ...]
    freq: Freq
    scaling: Scaling | None
    calibrations: tuple[Calibration | None, ...]

    @property
    def is_calibrated(self) -> bool:
        """Whether held-out windows decide the intervals."""
        return any(calibration is not None for calibration in self.calibrations)

    @property
    def period(self) -> int:
        """The shortest season of the frequency; 1 where it has none."""
        return next(iter(self.freq.seasonality), 1)

    def forecast(
        self,
        panel: Panel,
        series: np.ndarray,
        ends: np.ndarray,
        h: int,
        requested: QuantileRequest,
        scale: Scaling | None = None,
        until: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Forecast windows of a panel, one call of each model.

        Parameters
        ----------
        panel : Panel
        series, ends : int64 (W,)
            Rows ends .. ends+h-1 of each series are forecast from those before.
        h : int
        requested : QuantileRequest
        scale : Scaling, optional
            Scales of the panel's series, instead of those of the training data.
        until : int64 (N,), optional
            As in `Model.forecast`.

        Returns
        -------
        dict of str to float64 (W * h,)
            A column for each model and each quantile, window by window.
        """
        self._warn_of_few(requested)
        scale = scale or self.scaling
        seen = panel if scale is None else scale.apply(panel)
        moved = mase_scale(panel, series, ends, self.period) if self.is_calibrated else None
        columns: dict[str, np.ndarray] = {}
        for model, alias, calibration in zip(self.models, self.aliases, self.calibrations, strict=True):
            point, known = model.forecast(seen, series, ends, h, until)
            values = interpolate(known, model.quantiles, requested.quantiles)
            if scale is not None:
                point, values = scale.invert(point, series), scale.invert(values, series)
            if calibration is not None and moved is not None:
                if model.forecasts_median:
                    point = calibration.apply(point[..., None], moved, (0.5,))[..., 0]
                if requested.quantiles:
                    values = calibration.apply(values, moved, requested.quantiles)
                    # An interval holds the point forecast, whatever few held-out values say.
                    middle, wanted = point[..., None], np.array(requested.quantiles)
                    values = np.where(wanted > 0.5, np.maximum(values, middle), values)
                    values = np.where(wanted < 0.5, np.minimum(values, middle), values)
            names = requested.columns(alias)
            columns[names[0]] = point.reshape(-1)
            columns.update((name, values[..., at].reshape(-1)) for at, name in enumerate(names[1:]))
        return columns

    def simulate(
        self, panel: Panel, series: np.ndarray, ends: np.ndarray, draws: np.ndarray, scale: Scaling | None = None
    ) -> dict[str, np.ndarray]:
        """Sample paths of windows of a panel.

        Parameters
        ----------
        panel, series, ends, scale
            As in `forecast`.
        draws : float64 (W, P, h)
            Normal scores, the same for each model.

        Returns
        -------
        dict of str to float64 (W * P * h,)
            A column for each model, window by window and path by path.
        """
        scale = scale or self.scaling
        seen = panel if scale is None else scale.apply(panel)
        columns = {}
        for model, alias in zip(self.models, self.aliases, strict=True):
            paths = model.simulate(seen, series, ends, draws)
            columns[alias] = (paths if scale is None else scale.invert(paths, series)).reshape(-1)
        return columns

    def _warn_of_few(self, requested: QuantileRequest) -> None:
        """Name quantiles so far out that the held-out values do not reach them."""
        for alias, calibration in zip(self.aliases, self.calibrations, strict=True):
            wide = [] if calibration is None else [q for q in requested.quantiles if not calibration.reaches(q)]
            if calibration is None or not wide:
                continue
            if calibration.number:
                what = (
                    f"{calibration.number} held-out values are too few for the quantile(s) "
                    f"{', '.join(map(str, wide))}; these are shifted to the outermost held-out value: raise n_windows "
                    f"of ConformalIntervals"
                )
            else:
                what = (
                    "every series repeats its season exactly, so the intervals cannot be calibrated: "
                    "they are the model's own"
                )
            warn(f"{alias}: {what}")


def train(
    models: Sequence[Model],
    aliases: Sequence[str],
    panel: Panel,
    freq: Freq,
    *,
    local_scaler_type: str | None,
    val_size: int = 0,
    holdout: int = 0,
    prediction_intervals: ConformalIntervals | None = None,
    warm_start: bool = False,
    verbose: int = 0,
) -> Trained:
    """Train copies of models; the given models are not changed, even if training fails.

    Parameters
    ----------
    models, aliases
    panel : Panel
    freq : Freq
    local_scaler_type : str or None
        A key of `SCALERS`: how each series is scaled for the models.
    val_size, holdout : int
        As in `Model.fit`.
    prediction_intervals : ConformalIntervals, optional
        Calibrate the intervals, with an additional training from new weights.
    warm_start : bool
        Continue from the models' weights.
    verbose : int

    Returns
    -------
    Trained
    """
    calibrations: tuple[Calibration | None, ...] = (None,) * len(models)
    if prediction_intervals is not None:
        calibrations = _calibrate(
            models, aliases, panel, freq, prediction_intervals, local_scaler_type, val_size, holdout, verbose
        )
    scale = None if local_scaler_type is None else scaling(panel, local_scaler_type, holdout)
    seen = panel if scale is None else scale.apply(panel)
    copies = tuple(copy.deepcopy(model) for model in models)
    for model in copies:
        model.fit(seen, freq=freq, val_size=val_size, holdout=holdout, warm_start=warm_start, verbose=verbose)
    return Trained(copies, tuple(aliases), freq, scale, calibrations)


def _calibrate(
    models: Sequence[Model],
    aliases: Sequence[str],
    panel: Panel,
    freq: Freq,
    intervals: ConformalIntervals,
    local_scaler_type: str | None,
    val_size: int,
    holdout: int,
    verbose: int,
) -> tuple[Calibration, ...]:
    h = models[0].h
    windows = last_windows(
        panel, h, intervals.n_windows, intervals.step_size or h, purpose="prediction_intervals", holdout=holdout
    )
    every = -(-windows.series.size // MOST_WINDOWS)
    series, ends = windows.series[::every], windows.ends[::every]
    trained = train(
        models,
        aliases,
        panel,
        freq,
        local_scaler_type=local_scaler_type,
        val_size=val_size,
        holdout=holdout + intervals.rows(h),
        verbose=verbose,
    )
    scale = trained.scaling
    seen = panel if scale is None else scale.apply(panel)
    rows = (panel.starts[series] + ends)[:, None] + np.arange(h)
    moved = mase_scale(panel, series, ends, trained.period)
    valid = panel.observed[rows] & (moved > 0)[:, None]
    unit = np.where(moved > 0, moved, 1.0)
    result = []
    for model in trained.models:
        _, known = model.forecast(seen, series, ends, h)
        if scale is not None:
            known = scale.invert(known, series)
        errors = (known - panel.y[rows][..., None]) / unit[:, None, None]
        result.append(Calibration(model.quantiles, np.where(valid[..., None], errors, np.nan)))
    return tuple(result)


def cross_validate(
    models: Sequence[Model],
    aliases: Sequence[str],
    panel: Panel,
    freq: Freq,
    windows: Windows,
    h: int,
    requested: QuantileRequest,
    **training: Any,
) -> dict[str, np.ndarray]:
    """Forecast windows of a panel with models trained on the rows before, once for each fold of windows.

    Parameters
    ----------
    models, aliases, panel, freq
        As in `train`, and `training` its other arguments.
    windows : Windows
    h : int
    requested : QuantileRequest

    Returns
    -------
    dict of str to float64 (W * h,)
        As `Trained.forecast`.
    """
    columns: dict[str, np.ndarray] = {}
    for fold, holdout in enumerate(windows.holdouts):
        here = windows.fold == fold
        trained = train(models, aliases, panel, freq, holdout=holdout, **training)
        part = trained.forecast(panel, windows.series[here], windows.ends[here], h, requested)
        for name, values in part.items():
            columns.setdefault(name, np.empty(here.size * h))[np.repeat(here, h)] = values
    return columns
