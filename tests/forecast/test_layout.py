"""Which rows are whose, and what is said of times that do not go together."""

import numpy as np
import pandas as pd
import pytest

from bptt.forecast.frames.reading import read


def series(name, n, freq, start="2020-01-06"):
    return pd.DataFrame(
        {"unique_id": name, "ds": pd.date_range(start, periods=n, freq=freq), "y": np.arange(n) % 7 + 10.0}
    )


def test_the_order_of_rows_and_series_changes_nothing():
    df = pd.concat([series("b", 9, "D"), series("a", 12, "D"), series("c", 7, "D")])
    expected, _ = read(df, "D")
    for order in (df.iloc[::-1], df.sample(frac=1, random_state=1), df.sort_values("unique_id", ascending=False)):
        panel, _ = read(order, "D")
        for name in ("ids", "starts", "ds", "y", "observed"):
            np.testing.assert_array_equal(getattr(panel, name), getattr(expected, name))


def test_ids_that_cannot_be_compared_have_an_order_too():
    df = pd.concat([series(name, 3, "D") for name in ("b", 10, "a", 9)])
    expected, _ = read(df, "D")
    panel, _ = read(df.iloc[::-1], "D")
    assert panel.ids.tolist() == expected.ids.tolist()


def test_series_of_different_frequencies_are_told_apart():
    df = pd.concat([series("a", 100, "D"), series("b", 30, "W-MON")])
    with pytest.raises(ValueError, match=r"the times of 1 of 2 series, as 'b',.*'W-MON'.*'a', fit freq='D'"):
        read(df, "D")


@pytest.mark.parametrize(
    ("held", "said", "guess"),
    [("QS-FEB", "QS", "QS-FEB"), ("YE-JUN", "YE", "YE-JUN"), ("QE-NOV", "QE", "QE-NOV"), ("ME", "MS", "ME")],
)
def test_the_alias_that_fits_is_said(held, said, guess):
    with pytest.raises(ValueError, match=f"its times fit freq={guess!r}"):
        read(series("a", 40, held), said)


def test_the_15th_of_every_month():
    df = series("a", 40, "MS", "2020-01-01").assign(ds=lambda df: df["ds"] + pd.Timedelta(days=14))
    with pytest.raises(ValueError, match=r"fit freq='DateOffset\(months=1\)'"):
        read(df, "MS")
    for freq in ("DateOffset(months=1)", pd.DateOffset(months=1)):
        panel, encoding = read(df, freq)
        assert encoding.freq.step(panel.last_ds, 1).astype("datetime64[D]") == np.datetime64("2023-05-15")
        assert encoding.freq.seasonality == (12,)
