"""Forecasting: a pandas frame in, forecasts with intervals out."""

from bptt.forecast.datasets import generate_series
from bptt.forecast.evaluation.intervals import ConformalIntervals
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.frames.gaps import fill_gaps
from bptt.forecast.models import GRU, LSTM, RNN
from bptt.forecast.plotting import plot

__all__ = ["GRU", "LSTM", "RNN", "ConformalIntervals", "Forecaster", "fill_gaps", "generate_series", "plot"]


def __dir__() -> list[str]:
    return list(__all__)
