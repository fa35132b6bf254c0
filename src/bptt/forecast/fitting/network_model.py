"""What all models of a `Forecaster` do: fit their networks, forecast with them, save and load them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from bptt.errors import NotFittedError
from bptt.files.schema import check_equal, record, within
from bptt.forecast.fitting import defaults, few, held_out, restoring
from bptt.forecast.fitting.ensemble import Members
from bptt.forecast.fitting.forecasting import earliest, forecast_windows, sample_paths
from bptt.forecast.fitting.naive import choose_anchors, to_blend
from bptt.forecast.fitting.training import TrainingConfig, TrainingResult, learn
from bptt.forecast.fitting.training_windows import scales_of, source_of_panel, validation_windows, windows_of
from bptt.forecast.fitting.transforms import Transform, choose
from bptt.forecast.frames.frequency import Freq
from bptt.forecast.frames.panel import Panel, columns_of
from bptt.forecast.network.architecture import Architecture, initial
from bptt.forecast.network.batches import SeriesArrays
from bptt.network.parameters import views
from bptt.numerics.threads import get_num_threads
from bptt.params import HasParams
from bptt.training.plotting import HasHistory
from bptt.user_warnings import warn

__all__ = ["NetworkModel"]


class NetworkModel(HasHistory, HasParams):
    """A model whose constructor has checked its arguments and stored them in types that a file can hold.

    Attributes
    ----------
    h, strategy, quantiles, alias, calendar, early_stop_patience_steps, futr_exog_list, hist_exog_list, stat_exog_list
        Arguments that are read by name.
    """

    cell = ""
    h: int
    strategy: str
    quantiles: tuple[float, ...]
    alias: str
    calendar: bool
    early_stop_patience_steps: int
    futr_exog_list: tuple[str, ...]
    hist_exog_list: tuple[str, ...]
    stat_exog_list: tuple[str, ...]
    _given: dict[str, Any]
    _plan: Architecture | None
    _scales: dict[str, np.ndarray]
    _blend: few.Blend | None
    networks: list[TrainingResult]

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has finished."""
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
        return [views(learned.theta, self._plan.shapes) for learned in self.networks]

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Weights by name of the first network."""
        return self.members[0]

    @property
    def history(self) -> pd.DataFrame:
        """The losses of the last `fit`: a row for each network and step; see the class."""
        frames = []
        for k, learned in enumerate(self.networks):
            steps = np.arange(learned.steps - learned.losses.size, learned.steps) + 1
            frame = pd.DataFrame({"network": k, "step": steps, "train_loss": learned.losses})
            if learned.valid:
                frame["validation_loss"] = frame["step"].map(dict(learned.valid))
            frames.append(frame)
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

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
        """Learn from all rows of each series but its last `holdout`.

        Parameters
        ----------
        panel : Panel
        freq : Freq
        val_size : int
            Trailing rows used for validation.
        holdout : int
        warm_start : bool
            Start from the weights of the last fit.
        verbose : int
            1 shows a progress bar on standard error.

        Raises
        ------
        ValueError
            No series has a window to learn from.
        NonFiniteError
            A loss or a gradient became infinite or NaN.
        """
        given = self._given
        lengths = panel.lengths
        train_ends = np.maximum(lengths - holdout - val_size, 0)
        columns = self._columns(panel)
        seasons = self._seasons(freq)
        plan = defaults.architecture_of(given, self.cell, self.quantiles, seasons, tuple(len(part) for part in columns))
        goes_on = warm_start and self._plan is not None
        scales = self._scales if goes_on else scales_of(panel, columns, train_ends)
        source = source_of_panel(
            panel, columns, scales, train_ends, choose(panel, self._transform, train_ends), train_ends
        )
        windows = windows_of(panel, train_ends, plan.n, plan.segment)
        if self._plan is not None and goes_on:
            plan = replace(plan, kinds=self._plan.kinds, periods=self._plan.periods)
            if plan.shapes != self._plan.shapes:
                raise ValueError("warm_start needs the same columns and seasons as the previous fit; they have changed")
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
            validation=validation_windows(train_ends, lengths - holdout, plan.n),
        )
        validating = source._replace(train_ends=lengths - holdout) if val_size else source
        blend = self._blend if goes_on else None
        chosen = given["max_steps"] is None and given["anchors"] == "auto"
        if chosen and not goes_on and not val_size and few.count(windows) <= few.MOST_WINDOWS:

            def watched(config: TrainingConfig, held: np.ndarray) -> TrainingResult:
                title = f"{self.alias}, held-out rows"
                return self._learn(plan, source._replace(train_ends=held), source, config, False, verbose, 1, title)[0]

            course, blend = held_out.decide(plan, panel, source, course, to_blend(seasons), watched, self.alias)
        self.networks = self._learn(plan, source, validating, course, goes_on, verbose, given["ensemble"], self.alias)
        self._plan, self._scales, self._blend = plan, scales, blend

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
            before = self.networks[k] if goes_on else None
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
        thetas = [learned.theta for learned in self.networks]
        source, transform = self._read(panel, earliest(panel, series, ends) if until is None else until)
        return forecast_windows(
            plan, thetas, panel, source, transform, series, ends, steps=steps, blend=self._blend,
            combine=self._given["ensemble_method"],
        )  # fmt: skip

    def simulate(self, panel: Panel, series: np.ndarray, ends: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Paths (W, P, h) of rows ends .. ends + h - 1, drawn from the rows before; strategy="recursive" alone.

        Parameters
        ----------
        panel, series, ends
            As in `forecast`.
        draws : float64 array (W, P, h)
            Normal scores: a path follows from its draws.
        """
        if self._plan is None:
            raise NotFittedError("You must fit the model before simulating.")
        if self._blend is not None:
            raise ValueError(
                f"simulate draws from the network step by step, but {self.alias} was trained on few windows, so its "
                f"forecasts are a blend with naive ones: max_steps=<steps> trains the network alone, and "
                f"Pretrained(h={self.h}) needs no training"
            )
        thetas = [learned.theta for learned in self.networks]
        source, transform = self._read(panel, earliest(panel, series, ends))
        return sample_paths(self._plan, thetas, panel, source, transform, series, ends, draws)

    def _read(self, panel: Panel, until: np.ndarray) -> tuple[SeriesArrays, Transform]:
        """The panel as the network reads it, and what was done to y; rows before `until` (N,) decide."""
        transform = choose(panel, self._transform, until)
        return source_of_panel(panel, self._columns(panel), self._scales, panel.lengths, transform, until), transform

    def tensors(self) -> dict[str, np.ndarray]:
        """All arrays that a file must hold."""
        tensors = {f"scale.{name}": array for name, array in self._scales.items()}
        if self._blend is not None:
            tensors |= {"weights": self._blend.weights, "offsets": self._blend.offsets}
        for k, learned in enumerate(self.networks):
            for name, view in self.members[k].items():
                tensors[f"{k}.{name}"] = view
            for name, moment in (("m", learned.m), ("v", learned.v)):
                tensors[f"{k}.adam.{name}"] = moment
        return tensors

    @property
    def settings(self) -> dict[str, Any]:
        """The other data that a file must hold, in types of JSON."""
        plan = None if self._plan is None else {name: getattr(self._plan, name) for name in self._plan.__match_args__}
        steps = [learned.steps for learned in self.networks]
        return {"model": type(self).__name__, "arguments": self._given, "plan": plan, "steps": steps}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], tensors: dict[str, np.ndarray], panel: Panel, freq: Freq) -> Self:
        """The fitted model of a file's `settings` and `tensors`.

        A file holds nothing that `fit` could not have left: the constructor checks the arguments, the network's
        numbers are worked out from them anew, and the tensors' shapes follow from these, before anything is allocated.

        Parameters
        ----------
        settings, tensors : dict
            From `settings` and `tensors()`, or from a file with any content.
        panel : Panel
            What the model was trained on.
        freq : Freq

        Raises
        ------
        ValueError
            A field does not fit; the message names it.
        """
        record(settings, ("model", "arguments", "plan", "steps"))
        check_equal({"model": settings["model"]}, {"model": cls.__name__}, "the class")
        with within("arguments"):
            if not isinstance(settings["arguments"], dict):
                raise ValueError(f"must be an object; got {settings['arguments']!r}")
            # Files of before it could be given do not name it.
            written = {"horizon_weight": None} | settings["arguments"]
            model = cls(**written)
            check_equal(written, model._given, "as the constructor takes it")
        seasons, widths = model._periods(freq), tuple(len(part) for part in model._columns(panel))
        with within("plan"):
            free = seasons if model._given["anchors"] == "auto" else None
            settled = defaults.architecture_of(model._given, model.cell, model.quantiles, seasons, widths)
            plan = restoring.plan_of(settings["plan"], settled, free)
        with within("steps"):
            steps = restoring.steps_of(settings["steps"], model._given["ensemble"])
        model._scales = restoring.scales_of(tensors, widths)
        model._blend = restoring.blend_of(tensors, plan, to_blend(seasons))
        model.networks = restoring.networks_of(tensors, plan, steps)
        model._plan = plan
        return model

    def _periods(self, freq: Freq) -> tuple[int, ...]:
        """Periods of more than one step, the shortest first: given ones, or those of the frequency."""
        given = self._given["seasonality"]
        return freq.seasonality if given is None else defaults.seasons_from(given)

    @property
    def _transform(self) -> str:
        """The transform's name. The square of a mean of square roots is less than the mean, so a loss that aims at the
        mean uses the values unchanged."""
        given = self._given
        return "none" if given["transform"] == "auto" and given["loss"] != "mae" else given["transform"]

    def _seasons(self, freq: Freq) -> tuple[int, ...]:
        """Periods of more than one step, the shortest first."""
        if self._given["seasonality"] is None and freq.is_integer:
            warn(
                f"{self.alias}: ds is integer and no seasonality was given: forecasting as for non-seasonal series. "
                f"If there is a season, set seasonality=<steps>, else seasonality=1"
            )
        return self._periods(freq)

    def _columns(self, panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which columns of the panel are this model's."""
        return (
            columns_of(panel.futr_names, (*self.futr_exog_list, *(["calendar"] if self.calendar else []))),
            columns_of(panel.hist_names, self.hist_exog_list),
            columns_of(panel.static_names, self.stat_exog_list),
        )


def _flat(parameters: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([view.ravel() for view in parameters.values()])
