"""Public holidays as columns, against days that everyone knows."""

import builtins

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import GRU, Forecaster, add_holidays

pytest.importorskip("holidays")


def days(first, periods, **options):
    return pd.DataFrame({"unique_id": "a", "ds": pd.date_range(first, periods=periods, **options)})


def test_days_that_everyone_knows():
    found = add_holidays(days("2024-12-20", 14), ["DE", "US"])
    assert found.columns.tolist() == ["unique_id", "ds", "holiday_DE", "holiday_US"]
    dates = found["ds"].dt.strftime("%m-%d")
    assert dates[found["holiday_DE"] == 1].tolist() == ["12-25", "12-26", "01-01"]
    assert dates[found["holiday_US"] == 1].tolist() == ["12-25", "01-01"]


def test_names_and_regions():
    found = add_holidays(days("2025-01-01", 10), "DE", subdiv="BY", names=True)
    assert found.columns.tolist() == ["unique_id", "ds", "holiday_DE_Epiphany", "holiday_DE_New Year's Day"]
    assert found["holiday_DE_Epiphany"].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert add_holidays(days("2025-01-01", 10), "DE")["holiday_DE"].sum() == 1


def test_the_day_is_that_of_the_clock():
    hours = days("2024-12-24 22:00", 4, freq="h", tz="Europe/Berlin")
    assert add_holidays(hours, "DE")["holiday_DE"].tolist() == [0, 0, 1, 1]
    utc = hours.assign(ds=hours["ds"].dt.tz_convert("UTC"))
    assert add_holidays(utc, "DE")["holiday_DE"].tolist() == [0, 0, 0, 1]


def test_a_model_learns_from_them():
    df = add_holidays(days("2022-01-01", 727), ["DE", "US", "JP"])  # its last week holds Christmas
    names = ["holiday_DE", "holiday_US", "holiday_JP"]
    df["y"] = 10.0 - 8 * df[names].max(axis=1) + np.random.default_rng(0).normal(0, 0.2, len(df))
    past, coming = df[:-7], df[-7:]
    model = GRU(7, strategy="recursive", futr_exog_list=names, max_steps=300, seasonality=7, learning_rate=1e-2)
    found = Forecaster([model], "D").fit(past).predict(futr_df=coming.drop(columns="y"))
    off = coming["holiday_DE"].to_numpy() == 1
    assert off.sum() >= 1
    # Of some twenty days a year not all is learned in so few steps, but the direction is.
    assert found["GRU"][off].mean() < found["GRU"][~off].mean() - 1


@pytest.mark.parametrize(
    ("country", "options", "kind", "message"),
    [
        ("XX", {}, ValueError, "country and subdiv must be known.*XX"),
        ("DE", {"subdiv": "ZZ"}, ValueError, "ZZ"),
        (["DE", "US"], {"subdiv": "BY"}, ValueError, "subdiv is for one country; got 2"),
        (3, {}, TypeError, "country must be a code"),
        ([], {}, TypeError, "country must be a code"),
        ("DE", {"names": 1}, TypeError, "names must be True or False"),
        ("DE", {"time_col": "t"}, ValueError, r"missing: \['t'\]"),
        ("DE", {"time_col": "unique_id"}, TypeError, "column of dates"),
    ],
)
def test_errors(country, options, kind, message):
    with pytest.raises(kind, match=message):
        add_holidays(days("2024-01-01", 3), country, **options)


def test_a_column_that_is_there_is_not_replaced():
    df = add_holidays(days("2024-01-01", 3), "DE")
    with pytest.raises(ValueError, match="'holiday_DE' already"):
        add_holidays(df, "DE")


def test_without_the_package(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "holidays":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'bptt\[holidays\]'"):
        add_holidays(days("2024-01-01", 3), "DE")
