"""A forecaster that needs no training: its network has learned from random series and comes with the library."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from bptt import arguments, seeds
from bptt.errors import NotFittedError
from bptt.files.schema import check_equal, check_tensors, record, within
from bptt.forecast.fitting import cycles, few, pretrained
from bptt.forecast.fitting.defaults import QUANTILES, seasons_from
from bptt.forecast.fitting.fine_tuning import fine_tune
from bptt.forecast.fitting.forecasting import earliest, forecast_windows, sample_paths
from bptt.forecast.fitting.local_scaling import mase_scale
from bptt.forecast.fitting.restoring import scales_of as scales_from
from bptt.forecast.fitting.training import TrainingResult
from bptt.forecast.fitting.training_windows import scales_of, source_of_panel
from bptt.forecast.fitting.transforms import TRANSFORMS, Transform, choose
from bptt.forecast.frames.frequency import Freq
from bptt.forecast.frames.panel import Panel, columns_of
from bptt.forecast.models import GRU
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import SeriesArrays
from bptt.network.parameters import views
from bptt.params import HasParams
from bptt.training.plotting import HasHistory

__all__ = ["Pretrained"]

# Windows on which other seasons are compared with the shortest one of the frequency, and how much smaller the error has
# to be.
COMPARED, BETTER = 3, 0.95
# Two networks that learned in different ways miss in different ways: their mean is taken unless it is so much worse on
# the last horizon. (Of series of M1, M3 and Tourism without their last horizon it was better on the one after in most
# cases, also after having been somewhat worse.)
WORSE = 1.05
# What the names of a partner's tensors begin with.
PARTNER = "partner."
# A season of so many steps is compared with none: few of them are seen.
LONG = 24


class Pretrained(HasHistory, HasParams):
    """Forecasts by a recurrent network that was trained on random series alone and is part of the library.

    `fit` learns nothing unless `finetune_steps` is given: it notes the season. A forecast reads at most two seasons or
    120 steps of a series, and three seasons before each step to come. For one series or ten this is the model to try
    first; with hundreds, `GRU` may learn more from them.

    Parameters
    ----------
    h : int
        Horizon: the number of steps to forecast. `predict` takes any other, too.
    seasonality : int or list of int, optional
        Season lengths in steps; the shortest and the longest are used. 1: none. Default: those of the frequency (24
        and 168 for hours), none for integer times; which of several, and a period that a series itself shows
        (autocorrelation of its values), is tried on the newest rows and taken where it forecasts them better.
    transform : {"auto", "log", "sqrt", "none"}
        Applied to each series without negative values; forecasts are transformed back. "auto" (default) is the square
        root.
    futr_exog_list : list of str, optional
        Exogenous columns whose future values are known. They need `finetune_steps`.
    stat_exog_list : list of str, optional
        Columns of `static_df`. They need `finetune_steps`.
    calendar : bool
        Whether to add calendar features as future-known inputs. They need `finetune_steps`. Default False.
    finetune_steps : int or "auto"
        Training steps on the user's series, from the pretrained weights; exogenous columns begin with weights of 0.
        Default 0: none. "auto" holds out the last horizon of each series, trains on the rest, and takes as many steps
        as forecast the held-out rows best: none, unless some are clearly better than none. With more than 5120 windows
        the forecasts are the mean with those of a `GRU` trained on them from nothing, unless that forecasts the
        held-out rows clearly worse; beyond `h` steps, and in `simulate`, the pretrained network is alone.
    learning_rate : float
        Of the fine-tuning: Adam's learning rate at the first step; it decays to 0 along a cosine. Default 0.001.
    batch_size : int
        Windows in each step of the fine-tuning. Default 256.
    seed : int or None
        Determines the windows of the fine-tuning. Default 0. None draws a seed.
    alias : str, optional
        Name of the forecast column. Default: "Pretrained".

    Attributes
    ----------
    parameters : dict of arrays
        Weights by name after `fit`.
    history : pandas.DataFrame
        Losses of the fine-tuning: network (0), step, train_loss. Empty without.
    partner : GRU or None
        The network trained from nothing whose forecasts are averaged with the pretrained one's, if there is one.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range; the message names it.

    Notes
    -----
    The network: gated recurrent units (Cho et al. 2014) that read a series step by step and then their own forecasts;
    `bptt.forecast.fitting.pretrained` describes it. The idea of learning to forecast from random series alone: Dooley
    et al. (2023), ForecastPFN. `python -m bptt.forecast.pretrain` makes the weights anew.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.forecast import Forecaster, Pretrained
    >>> months = pd.date_range("2020-01-01", periods=48, freq="MS")
    >>> y = 100 + np.arange(48) + 20 * np.sin(np.arange(48) * np.pi / 6)
    >>> df = pd.DataFrame({"unique_id": "shop", "ds": months, "y": y})
    >>> forecaster = Forecaster([Pretrained(h=12)], freq="MS").fit(df)
    >>> forecaster.predict(level=[80]).columns.tolist()
    ['unique_id', 'ds', 'Pretrained', 'Pretrained-lo-80', 'Pretrained-hi-80']
    """

    strategy: str = "recursive"
    forecasts_median: bool = True
    early_stop_patience_steps: int = -1
    hist_exog_list: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = QUANTILES

    @arguments.known_keywords
    def __init__(
        self,
        h: int,
        *,
        seasonality: int | Sequence[int] | None = None,
        transform: Literal["auto", "log", "sqrt", "none"] = "auto",
        futr_exog_list: Sequence[str] | None = None,
        stat_exog_list: Sequence[str] | None = None,
        calendar: bool = False,
        finetune_steps: int | Literal["auto"] = 0,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        seed: int | None = 0,
        alias: str | None = None,
    ) -> None:
        self._params = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.h = arguments.integer("h", h)
        if seasonality is not None:
            seasonality = list(seasons_from(arguments.plain(seasonality)))
        arguments.choice("transform", transform, TRANSFORMS)
        self.futr_exog_list = arguments.names("futr_exog_list", futr_exog_list)
        self.stat_exog_list = arguments.names("stat_exog_list", stat_exog_list)
        self.calendar = arguments.boolean("calendar", calendar)
        if finetune_steps != "auto":
            try:
                finetune_steps = arguments.integer("finetune_steps", finetune_steps, 0)
            except (TypeError, ValueError) as error:
                raise type(error)(str(error).replace(";", ", or 'auto';", 1)) from None
        for name, asked in (
            ("futr_exog_list", self.futr_exog_list),
            ("stat_exog_list", self.stat_exog_list),
            ("calendar", self.calendar),
        ):
            if asked and not finetune_steps:
                raise ValueError(
                    f"{name} needs finetune_steps=<steps>, like 200: the pretrained network has seen no such columns"
                )
        self.alias = arguments.alias("alias", alias) or type(self).__name__
        self._given: dict[str, Any] = {
            "h": self.h,
            "seasonality": seasonality,
            "transform": transform,
            "futr_exog_list": list(self.futr_exog_list),
            "stat_exog_list": list(self.stat_exog_list),
            "calendar": self.calendar,
            "finetune_steps": finetune_steps,
            "learning_rate": arguments.real("learning_rate", learning_rate, 0, open_ends="min"),
            "batch_size": arguments.integer("batch_size", batch_size),
            "seed": seeds.resolve("seed", seed),
            "alias": alias,
        }
        self._plan: Architecture | None = None
        self._season: tuple[int, ...] = ()
        self._scales: dict[str, np.ndarray] = {}
        self._size = pretrained.Size()
        self._learned: TrainingResult | None = None
        self.partner: GRU | None = None

    def __repr__(self) -> str:
        return f"Pretrained(h={self.h}, alias={self.alias!r})"

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has finished."""
        return self._plan is not None

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Weights by name."""
        plan, learned = self._ready()
        return views(learned.theta, plan.shapes)

    @property
    def history(self) -> pd.DataFrame:
        """The losses of the fine-tuning."""
        if self._learned is None or not self._learned.losses.size:
            return pd.DataFrame()
        losses = self._learned.losses
        return pd.DataFrame({"network": 0, "step": np.arange(losses.size) + 1, "train_loss": losses})

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
        """Take the weights of the library; with `finetune_steps` train them on the rows before the last `holdout`.

        Rows of `val_size` are not trained on; with `warm_start` an earlier fine-tuning goes on.
        """
        season, columns = self._seasons(freq), self._columns(panel)
        train_ends = np.maximum(panel.lengths - holdout - val_size, 0)
        size, tensors = pretrained.shipped()
        plan = self._architecture(size, season, columns)
        before = self._learned if warm_start else None
        scales = self._scales if before is not None else scales_of(panel, columns, train_ends)
        theta = pretrained.widened(tensors, size, plan) if before is None else before.theta
        learned = TrainingResult(theta, np.zeros_like(theta), np.zeros_like(theta), 0, np.zeros(0), [])
        earlier = theta
        if self._given["finetune_steps"]:
            facts = np.tile(pretrained.about(season), (len(panel), 1))
            transform = choose(panel, self._given["transform"], train_ends)
            source = source_of_panel(panel, columns, scales, train_ends, transform, train_ends, facts)
            learned, earlier = fine_tune(
                plan,
                panel,
                source,
                learned,
                before=before,
                steps=self._given["finetune_steps"],
                batch_size=self._given["batch_size"],
                learning_rate=self._given["learning_rate"],
                title=self.alias,
                verbose=verbose,
            )
        self._plan, self._season, self._scales, self._size, self._learned = plan, season, scales, size, learned
        self.partner = None
        if self._given["finetune_steps"] == "auto":
            self.partner = self._find_partner(panel, freq, holdout + val_size, earlier, verbose)

    def _find_partner(self, panel: Panel, freq: Freq, holdout: int, earlier: np.ndarray, verbose: int) -> GRU | None:
        """A network trained from nothing, unless its mean with this one forecasts the last horizon clearly worse.

        `earlier` are the weights that have not seen that horizon.
        """
        ends = panel.lengths - holdout - self.h
        series = np.flatnonzero(ends > 0)
        windows = int(np.maximum(ends - self.h, 0).sum())
        if windows <= few.MOST_WINDOWS:
            return None
        ends = ends[series]
        rows = (panel.starts[series] + ends)[:, None] + np.arange(self.h)
        scale = mase_scale(panel, series, ends, next(iter(self._season), 1))
        told = panel.observed[rows] & (scale > 0)[:, None]
        tried = self._from_nothing()
        tried.fit(panel, freq=freq, holdout=holdout + self.h, verbose=verbose)
        own, _ = self._with(earlier).forecast(panel, series, ends)
        other, _ = tried.forecast(panel, series, ends)

        def error(point: np.ndarray) -> float:
            missed = np.abs(point - panel.y[rows]) / np.where(scale > 0, scale, 1)[:, None]
            return float(missed[told].mean()) if told.any() else 0.0

        if error((own + other) / 2) > WORSE * error(own):
            return None
        partner = self._from_nothing()
        partner.fit(panel, freq=freq, holdout=holdout, verbose=verbose)
        return partner

    def _from_nothing(self) -> GRU:
        """A new network for the same columns and seasons."""
        shared = ("h", "transform", "futr_exog_list", "stat_exog_list", "calendar", "seed")
        alias = f"{self.alias}, from nothing"
        same = {name: self._given[name] for name in shared}
        return GRU(seasonality=list(self._season) or 1, alias=alias, **same)

    def _with(self, theta: np.ndarray) -> Pretrained:
        """This model with other weights, alone."""
        other = copy.copy(self)
        assert self._learned is not None
        other._learned, other.partner = replace(self._learned, theta=theta), None
        return other

    def forecast(
        self,
        panel: Panel,
        series: np.ndarray,
        ends: np.ndarray,
        h: int | None = None,
        until: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Point forecasts (W, h) and quantiles (W, h, Q) of rows ends .. ends+h-1 from the rows before.

        The transform and the period of each series follow from its rows before `until` (N,); default: the rows before
        the first of its ends.
        """
        self._ready()
        steps = self.h if h is None else h
        series, ends = np.asarray(series, np.int64), np.asarray(ends, np.int64)
        until = earliest(panel, series, ends) if until is None else until
        seasons, chosen = self._choose(panel, np.unique(series), np.minimum(until, panel.lengths), steps)
        point, quantiles = np.empty((series.size, steps)), np.empty((series.size, steps, len(self.quantiles)))
        read = self._read(panel, until)
        for k in np.unique(chosen[series]):
            own = chosen[series] == k
            point[own], quantiles[own] = self._forecast(panel, read, series[own], ends[own], steps, seasons[k])
        if self.partner is not None:
            shared = min(steps, self.h)
            other, others = self.partner.forecast(panel, series, ends, shared, until)
            point[:, :shared] = (point[:, :shared] + other) / 2
            quantiles[:, :shared] = (quantiles[:, :shared] + others) / 2
        return point, quantiles

    def simulate(self, panel: Panel, series: np.ndarray, ends: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Paths (W, P, h) of rows ends .. ends+h-1 from the rows before, each from its normal scores `draws`."""
        _, learned = self._ready()
        steps = draws.shape[2]
        until = earliest(panel, series, ends)
        seasons, chosen = self._choose(panel, np.unique(series), np.minimum(until, panel.lengths), steps)
        paths = np.empty(draws.shape)
        source, transform = self._read(panel, until)
        for k in np.unique(chosen[series]):
            own = chosen[series] == k
            plan, told = self._told(panel, source, steps, seasons[k])
            paths[own] = sample_paths(plan, [learned.theta], panel, told, transform, series[own], ends[own], draws[own])
        return paths

    def _read(self, panel: Panel, until: np.ndarray) -> tuple[SeriesArrays, Transform]:
        """The panel as the network reads it, but for what it is told of a season; and what was done to y."""
        transform = choose(panel, self._given["transform"], until)
        facts = np.zeros((len(panel), pretrained.FACTS), np.float32)
        columns = self._columns(panel)
        return source_of_panel(panel, columns, self._scales, panel.lengths, transform, until, facts), transform

    def _forecast(
        self,
        panel: Panel,
        read: tuple[SeriesArrays, Transform],
        series: np.ndarray,
        ends: np.ndarray,
        steps: int,
        season: tuple[int, ...],
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `forecast`, all with this season; `read` is of `_read`."""
        _, learned = self._ready()
        source, transform = read
        plan, source = self._told(panel, source, steps, season)
        return forecast_windows(plan, [learned.theta], panel, source, transform, series, ends, steps=steps)

    def _told(
        self, panel: Panel, source: SeriesArrays, steps: int, season: tuple[int, ...]
    ) -> tuple[Architecture, SeriesArrays]:
        """The network for this season, and what it reads, with what it is told of the season."""
        plan = replace(self._architecture(self._size, season, self._columns(panel)), n=steps)
        static = source.static.copy()
        static[:, : pretrained.FACTS] = pretrained.about(season)
        return plan, source._replace(static=static)

    def _choose(
        self, panel: Panel, series: np.ndarray, until: np.ndarray, steps: int
    ) -> tuple[list[tuple[int, ...]], np.ndarray]:
        """The seasons that series have, and for each series of the panel the number of its own (N,).

        Unless they were given, seasons are tried on the newest rows of a series: the shortest one of the frequency
        first, then several of them, none where it is long, and the period that the series itself shows.
        """
        chosen = np.zeros(len(panel), np.int64)
        if self._given["seasonality"] is not None or self._given["finetune_steps"]:
            return [self._season], chosen
        first = self._season[:1]
        usual = first[0] if first else 1
        seasons = [first, *([self._season] if len(self._season) > 1 else []), *([()] if usual >= LONG else [])]
        found = np.full(len(panel), usual)
        found[series] = cycles.periods_of(panel, series, until[series], usual)
        own = [(int(period),) for period in np.unique(found) if period not in (usual, *self._season)]
        tried = series[found[series] != usual] if len(seasons) == 1 else series
        # The newest rows, from cutoffs that lie a part of the horizon apart.
        back = steps + max(1, steps // COMPARED) * np.arange(COMPARED)
        known, ends = np.repeat(tried, COMPARED), (until[tried, None] - back).ravel()
        usable = ends >= 2 * np.maximum(found[known], usual)
        known, ends = known[usable], ends[usable]
        if known.size == 0:
            return seasons, chosen
        rows = (panel.starts[known] + ends)[:, None] + np.arange(steps)
        start = np.full(len(panel), np.iinfo(np.int64).max)
        np.minimum.at(start, known, ends)
        read = self._read(panel, start)

        def errors(season: tuple[int, ...], here: np.ndarray) -> np.ndarray:
            """Of each series (N,), infinite where it was not tried."""
            point, _ = self._forecast(panel, read, known[here], ends[here], steps, season)
            missed = np.where(panel.observed[rows[here]], np.abs(point - panel.y[rows[here]]), 0.0).sum(1)
            total = np.bincount(known[here], missed, minlength=len(panel))
            return np.where(np.bincount(known[here], minlength=len(panel)) > 0, total, np.inf)

        least = BETTER * errors(first, np.ones(known.size, bool))
        for k, season in enumerate([*seasons[1:], *own], start=1):
            here = found[known] == season[0] if season in own else np.ones(known.size, bool)
            if here.any():
                error = errors(season, here)
                chosen[error < least] = k
                least = np.minimum(least, error)
        return [*seasons, *own], chosen

    def tensors(self) -> dict[str, np.ndarray]:
        """All arrays that a file must hold."""
        own = {f"scale.{name}": array for name, array in self._scales.items()} | self.parameters
        partner = {} if self.partner is None else self.partner.tensors()
        return own | {f"{PARTNER}{name}": array for name, array in partner.items()}

    @property
    def settings(self) -> dict[str, Any]:
        """The other data that a file must hold, in types of JSON."""
        partner = None if self.partner is None else self.partner.settings
        return {
            "model": type(self).__name__, "arguments": self._given, "size": asdict(self._size), "partner": partner,
        }  # fmt: skip

    @classmethod
    def from_settings(cls, settings: dict[str, Any], tensors: dict[str, np.ndarray], panel: Panel, freq: Freq) -> Self:
        """The fitted model of a file's `settings` and `tensors`, checked against what follows from its arguments."""
        found: Any = settings
        if isinstance(found, dict):  # files of before there were partners do not name one
            found = {"partner": None} | found
        settings = record(found, ("model", "arguments", "size", "partner"))
        check_equal({"model": settings["model"]}, {"model": cls.__name__}, "the class")
        with within("arguments"):
            if not isinstance(settings["arguments"], dict):
                raise ValueError(f"must be an object; got {settings['arguments']!r}")
            model = cls(**settings["arguments"])
            check_equal(settings["arguments"], model._given, "as the constructor takes it")
        with within("size"):
            size = pretrained.size_from(settings["size"])
        columns = model._columns(panel)
        plan = model._architecture(size, model._seasons(freq), columns)
        scales = scales_from(tensors, tuple(len(part) for part in columns))
        model._plan, model._season, model._scales, model._size = plan, model._seasons(freq), scales, size
        if settings["partner"] is not None:
            own = {name.removeprefix(PARTNER): view for name, view in tensors.items() if name.startswith(PARTNER)}
            with within("partner"):
                model.partner = GRU.from_settings(settings["partner"], own, panel, freq)
                check_equal(model.partner._given, model._from_nothing()._given, "by the model's arguments")
        others = ("scale.", PARTNER) if model.partner is not None else "scale."
        weights = {name: view for name, view in tensors.items() if not name.startswith(others)}
        check_tensors(weights, plan.shapes, np.float32)
        theta = np.concatenate([weights[name].ravel() for name in plan.shapes])
        model._learned = TrainingResult(theta, np.zeros_like(theta), np.zeros_like(theta), 0, np.zeros(0), [])
        return model

    def _ready(self) -> tuple[Architecture, TrainingResult]:
        if self._plan is None or self._learned is None:
            raise NotFittedError("You must fit the model before predicting.")
        return self._plan, self._learned

    def _seasons(self, freq: Freq) -> tuple[int, ...]:
        """The shortest and the longest season: given ones, or those of the frequency."""
        given = self._given["seasonality"]
        periods = freq.seasonality if given is None else tuple(given)
        return periods if len(periods) < 3 else (periods[0], periods[-1])

    def _architecture(
        self, size: pretrained.Size, season: tuple[int, ...], columns: tuple[np.ndarray, ...]
    ) -> Architecture:
        return pretrained.plan_for(
            size, season, self.h, seed=self._given["seed"], futr=len(columns[0]), static=len(columns[2])
        )

    def _columns(self, panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which columns of the panel are this model's."""
        return (
            columns_of(panel.futr_names, (*self.futr_exog_list, *(["calendar"] if self.calendar else []))),
            np.zeros(0, np.int64),
            columns_of(panel.static_names, self.stat_exog_list),
        )
