"""Forecasting of many series with recurrent networks."""
