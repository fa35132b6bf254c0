"""Forecasting: a pandas frame in, forecasts with intervals out."""

from bptt.forecast.datasets import generate_series
from bptt.forecast.evaluation.accuracy import accuracy
from bptt.forecast.evaluation.intervals import ConformalIntervals
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.frames.gaps import fill_gaps
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
    "fill_gaps",
    "generate_series",
    "plot",
    "tune",
]


def __dir__() -> list[str]:
    return list(__all__)
