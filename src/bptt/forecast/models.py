"""The models of a `Forecaster`: one recurrent network for all series, of three cells, with three ways to look ahead."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from bptt import arguments, seeds
from bptt.forecast.fitting.defaults import LOSSES, SCALERS, anchors_from, seasons_from
from bptt.forecast.fitting.network_model import NetworkModel
from bptt.forecast.fitting.transforms import TRANSFORMS
from bptt.forecast.network.step import STRATEGIES

__all__ = ["GRU", "LSTM", "MODELS", "RNN", "Recurrent"]

QUANTILES = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


class Recurrent(NetworkModel):
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
    history : pandas.DataFrame
        Losses of the last `fit`, a row for each network and step: network (0 to ensemble - 1), step, train_loss (of
        the step's windows) and, with rows used for validation, validation_loss (NaN between two validations). Empty
        before `fit` and after `load`: a file keeps no history. `plot_history` draws it.
    networks : list of TrainingResult
        Weights, state of the optimizer and losses of each network of the ensemble.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or outside its range; the message names it.
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
            anchors_from(anchors)
        if seasonality is not None:
            seasons_from(seasonality)
        self.h, self.calendar = h, calendar
        self.strategy = strategy
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
        self._given = given
        self._plan = None
        self._scales = {}
        self._offsets = None
        self.networks = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(h={self.h}, strategy={self.strategy!r}, alias={self.alias!r})"


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
