"""The models of a `Forecaster`: one recurrent network for all series, with one of three cells and three strategies."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

from bptt import arguments, seeds
from bptt.forecast.fitting.defaults import LOSSES, QUANTILES, SCALERS, anchors_from, seasons_from
from bptt.forecast.fitting.network_model import NetworkModel
from bptt.forecast.fitting.transforms import TRANSFORMS
from bptt.forecast.network.step import STRATEGIES

__all__ = ["GRU", "LSTM", "RNN", "Recurrent"]


class Recurrent(NetworkModel):
    """A recurrent network that learns from all series of a frame: what `RNN`, `GRU` and `LSTM` have in common.

    Parameters
    ----------
    h : int
        Horizon: the number of steps to forecast.
    input_size : int, optional
        Length of the input window in steps. Default: two of the longest seasons, four of the shortest or two horizons,
        whichever is most; four horizons if there is no season. "segment" rounds it up to whole segments. Shorter
        series are padded.
    strategy : {"segment", "recursive", "direct"}
        "segment" (default): the network reads the window in segments and decodes all future segments at once (Lin et
        al. 2023). "recursive": it forecasts one step at a time, each forecast is the next step's input, and training
        goes through all `h_train` steps. "direct": it reads the window step by step, and one dense layer outputs all
        h steps.
    seasonality : int or list of int, optional
        Season lengths in steps. Default: those of the frequency (24 and 168 for hours), none for integer times.
    segment : int, optional
        Steps in a segment, with strategy="segment". Default: the shortest season, or the horizon if there is none.
    anchors : "auto" or list
        Naive forecasts; the network learns a mixture of them and what to add to it. "last": the last value, "mean":
        the mean of the window, "drift": the last value plus the window's slope, an int: the seasonal naive forecast
        of this period, "mean:12": the mean of the window's seasons, "change:12": the seasonal naive forecast plus the
        change over the last period. "auto" (default): the seasonal ones, and each other one except "change" that is
        about as good as the best on windows of the training data. []: none.
    transform : {"auto", "log", "sqrt", "none"}
        Applied to each series without negative values; forecasts are transformed back. "auto" (default) is the square
        root with loss="mae" and none otherwise. loss="mse" refuses "log" and "sqrt": a mean of square roots or
        logarithms, transformed back, is smaller than the mean.
    scaler_type : {"spread", "standard", "mean", "identity"}
        How each window is scaled: by its mean and mean absolute deviation ("spread", default), by its mean and standard
        deviation, by its mean absolute value, or not at all.
    hidden_size : int, optional
        Units in each recurrent layer. Default: 128 if a season has 24 or more steps, else 64.
    num_layers : int
        Recurrent layers. Default 1.
    dropout : float
        Probability in [0, 1) of dropping an input of the output layer during training. Default 0.1.
    quantiles : list of float
        Quantiles to learn; the point forecast takes the place of the median, whatever the loss. Quantiles in between
        are interpolated. Default: 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975.
    loss : {"mae", "mse", "huber"}
        Loss of the point forecast on the scaled values: "mae" (default) forecasts the median, "mse" the mean, "huber"
        something in between, closer to the mean for a larger `huber_delta`.
    huber_delta : float
        Error at which "huber" goes over from squared to absolute. Default 1.
    horizon_weight : list of float, optional
        How much each of the h steps (h_train with strategy="recursive") counts in the loss, at least 0 and not all 0;
        only their ratios matter. Default: all alike.
    futr_exog_list : list of str, optional
        Exogenous columns whose future values are known.
    hist_exog_list : list of str, optional
        Exogenous columns that are known for the past only. Not with strategy="recursive".
    stat_exog_list : list of str, optional
        Columns of `static_df`: one value per series.
    calendar : bool
        Whether to add calendar features (hour, day of week, month ...) as future-known inputs. Default False.
    lags : "auto" or list of int, optional
        Earlier values that each step reads as additional inputs, with strategy="recursive" or "direct". "auto": one
        season before. Default: none.
    h_train : int, optional
        Steps that strategy="recursive" is unrolled for in training. Default: h. With 1 the network never reads a
        forecast of its own in training, and its forecasts of many steps are much worse.
    scheduled_sampling : float
        Probability in [0, 1) that a training step of strategy="recursive" reads the true value instead of the
        network's own forecast (Bengio et al. 2015). Default 0.
    max_steps : int, optional
        Training steps. Default: about ten passes over the windows, at least 200 and at most 600 steps (1200 if
        `hidden_size` is 128 or more). With few windows (5120 or fewer, as from one short series), anchors="auto" and
        neither `max_steps` nor `val_size` given, rows held out at the end decide: training stops where they are
        forecast best, and the network is blended with naive forecasts, each weighted by the inverse square of its
        error there (Bates & Granger 1969), with a warning.
    batch_size : int
        Windows in each training step. Default 256.
    learning_rate : float
        Adam's learning rate at the first step; it decays to 0 along a cosine. Default 0.004.
    weight_decay : float
        Times the weights, it is added to the gradient. Default 0.
    clip_norm : float
        Upper limit of the gradient's norm. Default 1.
    early_stop_patience_steps : int
        With `val_size` in `fit`: stop after this many validations in a row without a lower loss. -1 (default): never.
        It counts validations, as in neuralforecast, not training steps. The weights of the best validation are kept
        in either case.
    val_check_steps : int
        Training steps between two validations. Default 100.
    ensemble : int
        Number of networks, trained side by side, with different initial weights, windows and dropout masks. Default 1.
    ensemble_method : {"median", "mean"}
        How the forecasts of the ensemble are combined. Default "median".
    dtype : {"float32", "float64"}
        Of the weights and of the arithmetic. Default "float32".
    seed : int or None
        Determines the initial weights, the sampled windows, the dropout masks and scheduled sampling. The same seed
        gives the same bits with any number of threads. Default 0. None draws a seed and keeps it: a second fit
        repeats the first.
    alias : str, optional
        Name of the forecast column. Default: the name of the class.

    Attributes
    ----------
    parameters : dict of arrays
        Weights by name after `fit`, of the first network of an ensemble; `members` has those of all.
    history : pandas.DataFrame
        Losses of the last `fit`, a row for each network and step: network (0 to ensemble - 1), step, train_loss (of
        the step's windows) and, with rows used for validation, validation_loss (NaN between two validations). Empty
        before `fit` and after `load`: a file keeps no history. `plot_history` draws it.
    networks : list of TrainingResult
        Weights, state of the optimizer and losses of each network of the ensemble.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range; the message names it.
    """

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
        horizon_weight: Sequence[float] | None = None,
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
        given = {name: arguments.plain(value) for name, value in self._params.items()}
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
                f"the mean. Use transform='none', or loss='mae' for the median"
            )
        arguments.fraction("dropout", dropout)
        arguments.fraction("scheduled_sampling", scheduled_sampling)
        arguments.real("huber_delta", huber_delta, 0, open_ends="min")
        arguments.real("learning_rate", learning_rate, 0, open_ends="min")
        arguments.real("weight_decay", weight_decay, 0)
        arguments.real("clip_norm", clip_norm, 0, open_ends="min")
        steps = (given["h_train"] or h) if strategy == "recursive" else h
        given["horizon_weight"] = _horizon_weight(given["horizon_weight"], steps)
        given["dtype"] = arguments.dtype("dtype", dtype).name
        given["seed"] = seeds.resolve("seed", seed)
        arguments.integer("early_stop_patience_steps", early_stop_patience_steps, -1)
        if not isinstance(calendar, bool):
            raise TypeError(f"calendar must be True or False; got {calendar!r}")
        if anchors != "auto" and anchors is not None:
            anchors_from(anchors)
        if seasonality is not None:
            seasons_from(seasonality)
        self.h, self.calendar = h, calendar
        self.strategy = strategy
        self.early_stop_patience_steps = early_stop_patience_steps
        self.alias = arguments.alias("alias", alias) or type(self).__name__
        self.quantiles = _quantiles(quantiles)
        self.futr_exog_list = arguments.names("futr_exog_list", futr_exog_list)
        self.hist_exog_list = arguments.names("hist_exog_list", hist_exog_list)
        self.stat_exog_list = arguments.names("stat_exog_list", stat_exog_list)
        if strategy == "recursive" and self.hist_exog_list:
            raise ValueError(
                f"hist_exog_list must be empty with strategy='recursive', which would need those columns in the "
                f"future; got {list(self.hist_exog_list)}: use strategy='segment' or 'direct', or forecast them"
            )
        if strategy != "recursive":
            for name, default in (("h_train", None), ("scheduled_sampling", 0.0)):
                if given[name] != default:
                    raise ValueError(f"{name} is for strategy='recursive'; got it with strategy={strategy!r}")
        if strategy != "segment" and segment is not None:
            raise ValueError(f"segment is for strategy='segment'; got it with strategy={strategy!r}")
        if strategy == "segment" and lags is not None:
            raise ValueError("lags are for strategy='recursive' and 'direct'; a segment already contains its lags")
        if lags is not None and lags != "auto":
            if not isinstance(lags, list | tuple):
                raise TypeError(f"lags must be 'auto' or a list of integers of at least 2; got {lags!r}")
            for lag in lags:
                arguments.integer("lags", lag, 2)
        self._given = given
        self._plan = None
        self._scales = {}
        self._blend = None
        self.networks = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(h={self.h}, strategy={self.strategy!r}, alias={self.alias!r})"


def _horizon_weight(value: Any, steps: int) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != steps:
        got = f"{len(value)} numbers" if isinstance(value, list | tuple) else repr(value)
        raise TypeError(f"horizon_weight must be a list of {steps} numbers, one for each step of training; got {got}")
    weights = [arguments.real("each of horizon_weight", weight, 0) for weight in value]
    if not sum(weights) > 0:
        raise ValueError("horizon_weight must have a number above 0; got zeros only")
    return weights


def _quantiles(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"quantiles must be a list of numbers between 0 and 1; got {value!r}")
    found = {arguments.real("quantiles", q, 0, 1, open_ends="minmax") for q in value} | {0.5}
    return tuple(sorted(found))


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
