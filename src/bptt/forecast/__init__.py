"""Forecasts of many time series: a pandas frame in, forecasts with intervals out."""
