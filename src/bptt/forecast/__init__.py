"""Forecasting: a pandas frame in, forecasts with intervals out."""

from bptt.forecast.forecaster import Forecaster
from bptt.forecast.gaps import fill_gaps
from bptt.forecast.generating import generate_series
from bptt.forecast.intervals import ConformalIntervals
from bptt.forecast.models import GRU, LSTM, RNN
from bptt.forecast.plotting import plot

__all__ = ["GRU", "LSTM", "RNN", "ConformalIntervals", "Forecaster", "fill_gaps", "generate_series", "plot"]
