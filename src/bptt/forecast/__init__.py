"""Forecasting: a pandas frame in, forecasts with intervals out."""

from bptt.forecast.datasets import generate_series
from bptt.forecast.evaluation.accuracy import accuracy
from bptt.forecast.evaluation.intervals import ConformalIntervals
from bptt.forecast.evaluation.residuals import residuals
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.frames.gaps import fill_gaps
from bptt.forecast.frames.holidays import add_holidays
from bptt.forecast.importance import permutation_importance
from bptt.forecast.models import GRU, LSTM, RNN
from bptt.forecast.plotting import plot
from bptt.forecast.pretrained import Pretrained
from bptt.forecast.tuning import tune

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "ConformalIntervals",
    "Forecaster",
    "Pretrained",
    "accuracy",
    "add_holidays",
    "fill_gaps",
    "generate_series",
    "permutation_importance",
    "plot",
    "residuals",
    "tune",
]


def __dir__() -> list[str]:
    return list(__all__)
