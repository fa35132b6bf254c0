"""The models of a `Forecaster`: one recurrent network for all series, of three cells, with three ways to look ahead."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from tqdm.auto import tqdm

from bptt import arguments, seeds
from bptt.errors import NotFittedError
from bptt.files.schema import check_equal, record, within
from bptt.forecast.fitting import defaults, few, restoring
from bptt.forecast.fitting.ensemble import Members
from bptt.forecast.fitting.naive import candidates, choose_anchors
from bptt.forecast.fitting.training import TOGETHER, TrainingConfig, TrainingResult, learn, predict_windows, source_of
from bptt.forecast.fitting.transforms import TRANSFORMS, Transform, choose
from bptt.forecast.fitting.windows import min_spread_of, scales_of, validation_windows, windows_of
from bptt.forecast.frames.frequency import Freq
from bptt.forecast.frames.panel import Panel, columns_of
from bptt.forecast.network.architecture import Architecture, initial
from bptt.forecast.network.batches import BY_MEAN, IDENTITY, SPREAD, STANDARD, SeriesArrays
from bptt.forecast.network.step import STRATEGIES
from bptt.network.loss_kernels import HUBER, MAE, MSE
from bptt.network.parameters import views
from bptt.numerics.threads import get_num_threads
from bptt.params import HasParams
from bptt.user_warnings import warn

__all__ = ["GRU", "LSTM", "MODELS", "RNN", "Recurrent"]

LOSSES = {"mae": MAE, "mse": MSE, "huber": HUBER}
SCALERS = {"spread": SPREAD, "standard": STANDARD, "mean": BY_MEAN, "identity": IDENTITY}
QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


class Recurrent(HasParams):
    """A recurrent network that learns from all series of a frame: what `RNN`, `GRU` and `LSTM` have in common.

    Parameters
    ----------
    h : int
        Horizon: steps to forecast.
    input_size : int, optional
        Values a forecast is made from. By default two of the longest season or twice the horizon, at least; where
        there are no seasons four horizons. "segment" rounds it up to whole segments. Shorter series are padded.
    strategy : {"segment", "recursive", "direct"}
        "segment": the window is read in segments, and all segments to come are decoded at once (Lin et al. 2023).
        "recursive": one step at a time, each forecast the next one's input, trained through all `h_train` steps.
        "direct": the window is read step by step, one dense layer says all h steps.
    seasonality : int or list of int, optional
        Periods in steps; by default those of the frequency (24 and 168 for hours), none for integer times.
    segment : int, optional
        Steps of a segment; the shortest season by default, or the horizon.
    anchors : "auto" or list
        Naive forecasts of which the network learns a mixture, to which it adds: "last", "mean" (of the window),
        "drift" (the last value, and on along the window's slope), a period for the seasonal one, "mean:12" for the
        mean of the window's seasons, "change:12" for the seasonal one plus the change over the last period. "auto":
        the seasonal ones, and those of the others but "change" that do about as well as the best on windows of the
        training data. []: none.
    transform : {"auto", "log", "sqrt", "none"}
        Applied to each series without negative values; forecasts are transformed back. "auto" is the square root
        where loss="mae", and none otherwise: transformed back, a mean of square roots or logarithms is less than the
        mean, so loss="mse" refuses both.
    scaler_type : {"spread", "standard", "mean", "identity"}
        How a window is scaled: by its mean and mean absolute deviation, mean and standard deviation, mean size, or not.
    hidden_size, num_layers : int
        Units of a layer (by default 128 where a season has 24 steps or more, else 64), and layers.
    dropout : float
        Probability in [0, 1) with which a unit before the head is dropped while training.
    quantiles : list of float
        Quantiles that are learned besides the point forecast, which stands for the median with any loss. Others are
        interpolated.
    loss : {"mae", "mse", "huber"}
        Of the point forecast, on the scaled values: "mae" forecasts the median, "mse" the mean, "huber" something
        between the two, the nearer to the mean the larger huber_delta is.
    huber_delta : float
    futr_exog_list, hist_exog_list, stat_exog_list : list of str, optional
        Columns that are known for the future, for the past only (not with "recursive"), and one value a series.
    calendar : bool
        Whether what the calendar says (hour, day of week, month ...) is such a future-known column.
    lags : "auto" or list of int, optional
        Earlier values as further inputs of each step ("recursive" and "direct"); "auto": one season before.
    h_train : int, optional
        Steps of the rollout that "recursive" is trained on; h by default.
    scheduled_sampling : float
        Probability in [0, 1) with which "recursive" is told the truth instead of its own forecast while training.
    max_steps, batch_size : int
        Updates, and windows of each. By default each window of the data is seen some ten times, in at least 200 and at
        most 600 updates (1200 for a hidden size of 128 and more). Where there are few windows (5120 or fewer, as of one
        short series), `anchors` is "auto" and neither `max_steps` nor `val_size` is given, rows held out at the end
        decide: they stop the training, and if a naive forecast does as well there, it is taken, with a warning.
    learning_rate, weight_decay, clip_norm : float
        Of Adam at the start, it falls to 0 along a cosine; of the weights; of the gradient's norm.
    early_stop_patience_steps : int
        With `val_size` in `fit`: stop after this many validations in a row without a lower loss; -1: never. It counts
        validations, as in neuralforecast, not training steps. The weights of the best validation are kept either way.
    val_check_steps : int
        Training steps from one validation to the next.
    ensemble : int
        Number of networks, trained side by side. They differ by their initial weights, windows and dropout masks.
    ensemble_method : {"median", "mean"}
        Of their forecasts.
    dtype : {"float32", "float64"}
    seed : int or None
        Decides the initial weights, the windows drawn, the dropout masks and scheduled sampling: the same seed gives
        the same bits with any number of threads. None draws a seed, which is kept: fitting again repeats it.
    alias : str, optional
        Name of the column; the class' name by default.

    Attributes
    ----------
    parameters : dict of arrays
        Weights by name after `fit`, of the first network of an ensemble; `members` has those of all.
    history : list of TrainingResult
        Losses of each network's training.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or outside its range; the message names it.
    """

    cell = ""

    def __init_subclass__(cls) -> None:
        """The arguments are those of all models, so that each model's help lists them."""
        shared = inspect.cleandoc(Recurrent.__doc__ or "").partition("\n\n")[2]
        first, _, examples = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
        cls.__doc__ = f"{first}\n\n{shared}\n\n{examples}"

    @arguments.known_keywords
    def __init__(
        self,
        h: int,
        input_size: int | None = None,
        *,
        strategy: Literal["segment", "recursive", "direct"] = "segment",
        seasonality: int | Sequence[int] | None = None,
        segment: int | None = None,
        anchors: Literal["auto"] | Sequence[str | int] = "auto",
        transform: Literal["auto", "log", "sqrt", "none"] = "auto",
        scaler_type: Literal["spread", "standard", "mean", "identity"] = "spread",
        hidden_size: int | None = None,
        num_layers: int = 1,
        dropout: float = 0.1,
        quantiles: Sequence[float] = QUANTILES,
        loss: Literal["mae", "mse", "huber"] = "mae",
        huber_delta: float = 1.0,
        futr_exog_list: Sequence[str] | None = None,
        hist_exog_list: Sequence[str] | None = None,
        stat_exog_list: Sequence[str] | None = None,
        calendar: bool = False,
        lags: Literal["auto"] | Sequence[int] | None = None,
        h_train: int | None = None,
        scheduled_sampling: float = 0.0,
        max_steps: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 4e-3,
        weight_decay: float = 0.0,
        clip_norm: float = 1.0,
        early_stop_patience_steps: int = -1,
        val_check_steps: int = 100,
        ensemble: int = 1,
        ensemble_method: Literal["median", "mean"] = "median",
        dtype: Literal["float32", "float64"] = "float32",
        seed: int | None = 0,
        alias: str | None = None,
    ) -> None:
        self._params = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        given = {name: _plain(value) for name, value in self._params.items()}
        h, seasonality, anchors, lags, quantiles = (
            given[name] for name in ("h", "seasonality", "anchors", "lags", "quantiles")
        )
        optional = {"input_size": 1, "segment": 1, "hidden_size": 1, "h_train": 1, "max_steps": 1}
        for name in ("h", "num_layers", "batch_size", "val_check_steps", "ensemble"):
            arguments.integer(name, given[name])
        for name, least in optional.items():
            if given[name] is not None:
                arguments.integer(name, given[name], least)
        arguments.choice("strategy", strategy, tuple(STRATEGIES))
        arguments.choice("transform", transform, TRANSFORMS)
        arguments.choice("scaler_type", scaler_type, tuple(SCALERS))
        arguments.choice("loss", loss, tuple(LOSSES))
        arguments.choice("ensemble_method", ensemble_method, ("median", "mean"))
        if loss == "mse" and transform in ("log", "sqrt"):
            raise ValueError(
                f"transform must be 'auto' or 'none' with loss='mse', which forecasts the mean; got {transform!r}: "
                f"transformed back, a mean of {'logarithms' if transform == 'log' else 'square roots'} is less than "
                f"the mean. Take transform='none', or loss='mae' for the median"
            )
        arguments.fraction("dropout", dropout)
        arguments.fraction("scheduled_sampling", scheduled_sampling)
        arguments.real("huber_delta", huber_delta, 0, open_ends="min")
        arguments.real("learning_rate", learning_rate, 0, open_ends="min")
        arguments.real("weight_decay", weight_decay, 0)
        arguments.real("clip_norm", clip_norm, 0, open_ends="min")
        given["dtype"] = arguments.dtype("dtype", dtype).name
        given["seed"] = seeds.resolve("seed", seed)
        arguments.integer("early_stop_patience_steps", early_stop_patience_steps, -1)
        if not isinstance(calendar, bool):
            raise TypeError(f"calendar must be True or False; got {calendar!r}")
        if alias is not None and (not isinstance(alias, str) or not alias):
            raise TypeError(f"alias must be a str that is not empty; got {alias!r}")
        if anchors != "auto" and anchors is not None:
            defaults.anchors_from(anchors)
        if seasonality is not None:
            defaults.seasons_from(seasonality)
        self.h, self.calendar = h, calendar
        self.strategy: str = strategy
        self.early_stop_patience_steps = early_stop_patience_steps
        self.alias = alias or type(self).__name__
        self.quantiles = _quantiles(quantiles)
        self.futr_exog_list = _names("futr_exog_list", futr_exog_list)
        self.hist_exog_list = _names("hist_exog_list", hist_exog_list)
        self.stat_exog_list = _names("stat_exog_list", stat_exog_list)
        if strategy == "recursive" and self.hist_exog_list:
            raise ValueError(
                f"hist_exog_list must be empty with strategy='recursive', which would need those columns in the "
                f"future; got {list(self.hist_exog_list)}: take strategy='segment' or 'direct', or forecast them"
            )
        if strategy != "recursive":
            for name, default in (("h_train", None), ("scheduled_sampling", 0.0)):
                if given[name] != default:
                    raise ValueError(f"{name} is for strategy='recursive'; got it with strategy={strategy!r}")
        if strategy != "segment" and segment is not None:
            raise ValueError(f"segment is for strategy='segment'; got it with strategy={strategy!r}")
        if strategy == "segment" and lags is not None:
            raise ValueError("lags are for strategy='recursive' and 'direct'; a segment holds its lags already")
        if lags is not None and lags != "auto":
            if not isinstance(lags, list | tuple):
                raise TypeError(f"lags must be 'auto' or a list of integers of at least 2; got {lags!r}")
            for lag in lags:
                arguments.integer("lags", lag, 2)
        self._given: dict[str, Any] = given
        self._plan: Architecture | None = None
        self._scales: dict[str, np.ndarray] = {}
        self._offsets: np.ndarray | None = None
        self.history: list[TrainingResult] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(h={self.h}, strategy={self.strategy!r}, alias={self.alias!r})"

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has come to an end."""
        return self._plan is not None

    @property
    def forecasts_median(self) -> bool:
        """Whether the point forecast is the median: with loss="mae"."""
        return bool(self._given["loss"] == "mae")

    @property
    def members(self) -> list[dict[str, np.ndarray]]:
        """Weights by name of each network of the ensemble."""
        if self._plan is None:
            raise NotFittedError("You must fit the model before its parameters exist.")
        return [views(learned.theta, self._plan.shapes) for learned in self.history]

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Weights by name of the first network."""
        return self.members[0]

    def fit(
        self,
        panel: Panel,
        *,
        freq: Freq,
        val_size: int = 0,
        skip: int = 0,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        """Learn from all rows of each series but its last `skip`.

        Parameters
        ----------
        panel : Panel
        freq : Freq
        val_size : int
            So many of the last of these rows are not trained on but validated on.
        skip : int
        warm_start : bool
            Go on from the weights that an earlier fit came to.
        verbose : int
            1: a bar on standard error.

        Raises
        ------
        ValueError
            No series has a window to learn from.
        NonFiniteError
            A loss or a gradient became infinite or NaN.
        """
        given = self._given
        lengths = panel.lengths
        stops = np.maximum(lengths - skip - val_size, 0)
        columns = self._columns(panel)
        seasons = self._seasons(freq)
        plan = self._settle(seasons, tuple(len(part) for part in columns))
        goes_on = warm_start and self._plan is not None
        scales = self._scales if goes_on else scales_of(panel, columns, stops)
        source = self._source(panel, columns, scales, stops, choose(panel, self._transform, stops), stops)
        windows = windows_of(panel, stops, plan.n, plan.segment)
        if self._plan is not None and goes_on:
            plan = replace(plan, kinds=self._plan.kinds, periods=self._plan.periods)
            if plan.shapes != self._plan.shapes:
                raise ValueError("warm_start needs the columns and the seasons of the fit before; they have changed")
        elif given["anchors"] == "auto":
            plan = choose_anchors(plan, source, windows, seasons)
        steps = given["max_steps"] or defaults.default_max_steps(plan, windows, given["batch_size"])
        course = TrainingConfig(
            max_steps=steps,
            schedule=steps,
            batch_size=given["batch_size"],
            learning_rate=given["learning_rate"],
            weight_decay=given["weight_decay"],
            clip_norm=given["clip_norm"],
            val_check_steps=given["val_check_steps"],
            patience=self.early_stop_patience_steps,
            windows=windows,
            validation=validation_windows(stops, lengths - skip, plan.n),
        )
        validating = source._replace(stops=lengths - skip) if val_size else source
        offsets = self._offsets if goes_on else None
        chosen = given["max_steps"] is None and given["anchors"] == "auto"
        if chosen and not goes_on and not val_size and _number(windows) <= few.MOST_WINDOWS:
            plan, course, offsets = self._settle_few(plan, panel, source, course, stops, seasons, verbose)
        self.history = self._learn(plan, source, validating, course, goes_on, verbose, given["ensemble"], self.alias)
        self._plan, self._scales, self._offsets = plan, scales, offsets

    def _settle_few(
        self,
        plan: Architecture,
        panel: Panel,
        source: SeriesArrays,
        course: TrainingConfig,
        stops: np.ndarray,
        seasons: tuple[int, ...],
        verbose: int,
    ) -> tuple[Architecture, TrainingConfig, np.ndarray | None]:
        """Of few windows: the anchors, the steps (0: a naive forecast does as well), the offsets of the quantiles."""
        tried = tuple(candidates(seasons))
        held = stops - few.held_out_rows(stops, plan.n)
        late = few.late_windows(stops, np.maximum(held, 1))
        if not late[0].size:
            return plan, course, None
        naive, target, weight = few.compared(plan, source, tried, *late)
        if not weight.any():
            return plan, course, None
        best, error = few.best_naive(plan, tried, naive, target, weight)
        steps, share = 0, None
        try:
            windows = windows_of(panel, held, plan.n, plan.segment)
        except ValueError:  # nothing is left to train on
            windows = None
        if windows is not None:
            watched = replace(
                course, max_steps=few.STEPS, schedule=few.STEPS, val_check_steps=few.CHECK, patience=few.PATIENCE,
                windows=windows, validation=late,
            )  # fmt: skip
            told = f"{self.alias}, held-out rows"
            learned = self._learn(plan, source._replace(stops=held), source, watched, False, verbose, 1, told)[0]
            z = predict_windows(plan, source, learned.theta, *late)[0][:, :, 0]
            own = few.mean_error(plan, z - target, weight)
            if own <= few.CLEARLY * error:
                steps = min(learned.valid, key=lambda check: check[1])[0]
                share = float(np.sqrt(own / error)) if error > 0 else 1.0
                share = float(np.sqrt(share)) if plan.loss == MSE else share
        # What the naive forecast missed in windows that are at least half full.
        usable = np.maximum(stops, 0)
        naive, target, weight = few.compared(
            plan, source, tried, *few.late_windows(stops, np.maximum(np.minimum(plan.input_size, usable // 2), 1))
        )
        offsets = few.offsets_of(plan, target - naive[:, :, best], weight, share)
        if steps == 0:
            kind, period = tried[best]
            plan = replace(plan, kinds=(kind,), periods=(period,))
            warn(
                f"{self.alias}: {_number(course.windows)} windows are few for a network: on the last rows, held out, "
                f"it was not better than the naive forecast {few.name_of(kind, period)!r}, which is taken instead. "
                f"max_steps=<steps> trains the network all the same"
            )
        return plan, replace(course, max_steps=steps, schedule=few.STEPS), offsets

    def _learn(
        self,
        plan: Architecture,
        source: SeriesArrays,
        validating: SeriesArrays,
        course: TrainingConfig,
        goes_on: bool,
        verbose: int,
        ensemble: int,
        title: str,
    ) -> list[TrainingResult]:
        members = range(ensemble)
        silent = not verbose or course.max_steps == 0
        bar = tqdm(total=course.max_steps * len(members), desc=title, unit="step", disable=silent)
        side_by_side = Members()

        def tick(steps: int, loss: float) -> None:
            side_by_side.check()
            if not bar.n:  # what came before was compiling: the clock starts here
                bar.initial = steps
                bar.unpause()
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update(steps)

        def member(k: int) -> TrainingResult:
            before = self.history[k] if goes_on else None
            theta = _flat(initial(plan, k)) if before is None else before.theta
            # Members side by side need no barriers: one thread each.
            threads = 1 if len(members) > 1 else None
            return learn(plan, source, validating, theta, course, member=k, before=before, threads=threads, tick=tick)

        with bar:
            if len(members) == 1:
                return [member(0)]
            return side_by_side.run(member, members, get_num_threads())

    def forecast(
        self,
        panel: Panel,
        series: np.ndarray,
        ends: np.ndarray,
        h: int | None = None,
        until: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecast rows ends .. ends + h - 1 of series from the rows before.

        Parameters
        ----------
        panel : Panel
            Has these rows; their future-known columns are read.
        series, ends : int64 arrays (W,)
            Each end at least 1 and at most the series' rows less h.
        h : int, optional
            Steps; more than the model's own only with strategy="recursive".
        until : int64 array (N,), optional
            Rows of each series of the panel by which its transform is chosen; by default those before the first of
            its ends. Windows of one series are forecast alike in several calls where this is the same.

        Returns
        -------
        point : float64 array (W, h)
            NaN where nothing was observed before the end.
        quantiles : float64 array (W, h, Q)
            Ascending, those of `self.quantiles`.

        Raises
        ------
        ValueError
            Before `fit`; h is larger than the model's.
        """
        if self._plan is None:
            raise NotFittedError("You must fit the model before predicting.")
        steps = self.h if h is None else h
        if self.strategy == "recursive":
            plan = replace(self._plan, n=steps)
        elif steps > self.h:
            raise ValueError(f"h must be at most {self.h}, the model's own, with strategy={self.strategy!r}; got {h}")
        else:
            plan = self._plan
        series, ends = np.asarray(series, np.int64), np.asarray(ends, np.int64)
        if until is None:
            until = np.full(len(panel), np.iinfo(np.int64).max)
            np.minimum.at(until, series, ends)
        columns = self._columns(panel)
        transform = choose(panel, self._transform, until)
        source = self._source(panel, columns, self._scales, panel.lengths, transform, until)
        Q = len(plan.taus)
        up = sum(tau > 0.5 for tau in plan.taus[1:])
        ascending = [*range(Q - 1, up, -1), 0, *range(1, up + 1)]
        point, quantiles = np.empty((series.size, steps)), np.empty((series.size, steps, Q))
        seen = panel.observed_before(series, ends)
        # Of nothing but zeros there is no unit in which to forecast anything else.
        zero = ~replace(panel, observed=panel.observed & (panel.y != 0)).observed_before(series, ends)
        zero &= plan.scaler != IDENTITY
        for first in range(0, series.size, TOGETHER):
            part = slice(first, min(series.size, first + TOGETHER))
            said = []
            for learned in self.history:
                z, shift, spread, _ = predict_windows(plan, source, learned.theta, series[part], ends[part])
                z = z[:, :steps]
                if self._offsets is not None:
                    z = z[:, :, :1] + few.extended(self._offsets, steps)
                y = z * spread[:, None, None] + shift[:, None, None]
                said.append(transform.invert(y, series[part]))
            combine = np.median if self._given["ensemble_method"] == "median" else np.mean
            y = said[0] if len(said) == 1 else combine(np.stack(said), axis=0)
            y[zero[part]] = 0.0
            y[~seen[part]] = np.nan
            point[part], quantiles[part] = y[:, :, 0], y[:, :, ascending]
        # Rounding, and loss="mse", whose point forecast is no median.
        return point, np.sort(quantiles, axis=2)

    def tensors(self) -> dict[str, np.ndarray]:
        """All arrays that a file has to keep."""
        tensors = {f"scale.{name}": array for name, array in self._scales.items()}
        if self._offsets is not None:
            tensors["offsets"] = self._offsets
        for k, learned in enumerate(self.history):
            for name, view in self.members[k].items():
                tensors[f"{k}.{name}"] = view
            for name, moment in (("m", learned.m), ("v", learned.v)):
                tensors[f"{k}.adam.{name}"] = moment
        return tensors

    @property
    def settings(self) -> dict[str, Any]:
        """What a file has to keep besides; JSON has words for all of it."""
        plan = None if self._plan is None else {name: getattr(self._plan, name) for name in self._plan.__match_args__}
        steps = [learned.steps for learned in self.history]
        return {"model": type(self).__name__, "arguments": self._given, "plan": plan, "steps": steps}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], tensors: dict[str, np.ndarray], panel: Panel, freq: Freq) -> Self:
        """The fitted model of a file's `settings` and `tensors`.

        A file holds nothing that `fit` could not have left: the constructor checks the arguments, the network's
        numbers are worked out from them anew, and the tensors' shapes follow from these, before anything is allocated.

        Parameters
        ----------
        settings, tensors : dict
            As `settings` and `tensors()` gave them, or anything else.
        panel : Panel
            What the model was trained on.
        freq : Freq

        Raises
        ------
        ValueError
            Naming the field that does not fit.
        """
        record(settings, ("model", "arguments", "plan", "steps"))
        check_equal({"model": settings["model"]}, {"model": cls.__name__}, "the class")
        with within("arguments"):
            if not isinstance(settings["arguments"], dict):
                raise ValueError(f"must be an object; got {settings['arguments']!r}")
            model = cls(**settings["arguments"])
            check_equal(settings["arguments"], model._given, "as the constructor takes it")
        seasons, widths = model._periods(freq), tuple(len(part) for part in model._columns(panel))
        with within("plan"):
            free = seasons if model._given["anchors"] == "auto" else None
            plan = restoring.plan_of(settings["plan"], model._settle(seasons, widths), free)
        with within("steps"):
            steps = restoring.steps_of(settings["steps"], model._given["ensemble"])
        model._scales = restoring.scales_of(tensors, widths)
        model._offsets = restoring.offsets_of(tensors, plan)
        model.history = restoring.history_of(tensors, plan, steps)
        model._plan = plan
        return model

    def _periods(self, freq: Freq) -> tuple[int, ...]:
        """Periods of more than one step, the shortest first: given ones, or those of the frequency."""
        given = self._given["seasonality"]
        return freq.seasonality if given is None else defaults.seasons_from(given)

    @property
    def _transform(self) -> str:
        """The transform's name. Squared, the mean of square roots is less than the mean: a loss that aims at the mean
        takes the values as they are."""
        given = self._given
        return "none" if given["transform"] == "auto" and given["loss"] != "mae" else given["transform"]

    def _seasons(self, freq: Freq) -> tuple[int, ...]:
        """Periods of more than one step, the shortest first."""
        if self._given["seasonality"] is None and freq.is_integer:
            warn(
                f"{self.alias}: ds is integer and no seasonality was given: forecasting as for non-seasonal series. "
                f"If there is a season, say seasonality=<steps>, else seasonality=1"
            )
        return self._periods(freq)

    def _settle(self, seasons: tuple[int, ...], widths: tuple[int, ...]) -> Architecture:
        """The network's numbers, from the arguments, the seasons and the columns; anchors="auto" is still open."""
        given, h = self._given, self.h
        anchors = defaults.anchors_from([] if given["anchors"] in ("auto", None) else given["anchors"])
        step = 1
        if self.strategy == "segment":
            step = given["segment"] or defaults.default_segment(h, seasons)
        size = given["input_size"] or defaults.default_input_size(h, seasons)
        lags = given["lags"] or ()
        if lags == "auto":
            lags = tuple(period for period in seasons if period > 1)
        above = [tau for tau in self.quantiles if tau > 0.5]
        below = [tau for tau in self.quantiles if tau < 0.5]
        return Architecture(
            strategy=self.strategy,
            cell=self.cell,
            n=(given["h_train"] or h) if self.strategy == "recursive" else h,
            input_size=-(-size // step) * step,
            segment=step,
            hidden_size=given["hidden_size"] or defaults.default_hidden_size(seasons),
            num_layers=given["num_layers"],
            kinds=tuple(kind for kind, _ in anchors),
            periods=tuple(period for _, period in anchors),
            lags=tuple(int(lag) for lag in lags),
            futr=widths[0],
            hist=widths[1],
            static=widths[2],
            taus=(0.5, *above, *reversed(below)),
            loss=LOSSES[given["loss"]],
            parameter=float(given["huber_delta"]),
            scaler=SCALERS[given["scaler_type"]],
            dropout=float(given["dropout"]),
            told=float(given["scheduled_sampling"]),
            seed=given["seed"],
            dtype=given["dtype"],
        )

    def _columns(self, panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which columns of the panel are this model's."""
        return (
            columns_of(panel.futr_names, (*self.futr_exog_list, *(["calendar"] if self.calendar else []))),
            columns_of(panel.hist_names, self.hist_exog_list),
            columns_of(panel.static_names, self.stat_exog_list),
        )

    def _source(
        self,
        panel: Panel,
        columns: tuple[np.ndarray, ...],
        scales: dict[str, np.ndarray],
        stops: np.ndarray,
        transform: Transform,
        until: np.ndarray,
    ) -> SeriesArrays:
        """The panel as the network reads it: transformed and scaled; how small a spread may be, rows before `until`
        say."""
        y = transform.apply(panel.y, panel.series)
        arrays = {"futr": panel.futr, "hist": panel.hist, "static": panel.static}
        parts = {
            name: (array[:, own] - scales[f"{name}.mean"]) / scales[f"{name}.spread"]
            for own, (name, array) in zip(columns, arrays.items(), strict=True)
        }
        return source_of(
            y, panel.observed, panel.starts, stops, min_spread_of(y, transform.logs, panel, until), **parts
        )


def _number(windows: tuple[np.ndarray, ...]) -> int:
    """How many windows there are to learn from."""
    return int((windows[2] - windows[1] + 1).sum())


def _plain(value: Any) -> Any:
    """The same without NumPy and tuples, as a file has words for it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _quantiles(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"quantiles must be a list of numbers between 0 and 1; got {value!r}")
    found = {arguments.real("quantiles", q, 0, 1, open_ends="minmax") for q in value} | {0.5}
    return tuple(sorted(found))


def _names(argument: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{argument} must be a list of column names; got {value!r}")
    return tuple(value)


def _flat(parameters: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([view.ravel() for view in parameters.values()])


class RNN(Recurrent):
    """Forecasts by a simple recurrent network with tanh (Elman 1990).

    Examples
    --------
    >>> from bptt.forecast import RNN
    >>> RNN(h=12, strategy="recursive")
    RNN(h=12, strategy='recursive', alias='RNN')
    """

    cell = "rnn_tanh"


class GRU(Recurrent):
    """Forecasts by a gated recurrent unit (Cho et al. 2014).

    Examples
    --------
    >>> from bptt.forecast import GRU
    >>> GRU(h=48, input_size=336, seasonality=[24, 168], max_steps=1000)
    GRU(h=48, strategy='segment', alias='GRU')
    """

    cell = "gru"


class LSTM(Recurrent):
    """Forecasts by long short-term memory (Hochreiter & Schmidhuber 1997).

    Examples
    --------
    >>> from bptt.forecast import LSTM
    >>> LSTM(h=14, strategy="direct", num_layers=2)
    LSTM(h=14, strategy='direct', alias='LSTM')
    """

    cell = "lstm"


MODELS: dict[str, type[Recurrent]] = {cls.__name__: cls for cls in (RNN, GRU, LSTM)}
