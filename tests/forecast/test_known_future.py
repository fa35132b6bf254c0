"""A shorter forecast by a model that decodes its whole horizon at once needs what is known of all of it."""

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import GRU, Forecaster, generate_series

H = 6


def few(strategy, **more):
    return GRU(h=H, strategy=strategy, hidden_size=8, max_steps=3, batch_size=8, seasonality=7, **more)


def frames():
    df = generate_series(3, "D", 60, 60, n_futr_exog=1, seed=0)
    later = df.groupby("unique_id").cumcount(ascending=False) < H
    return df[~later], df[later].drop(columns="y")


@pytest.mark.parametrize("strategy", ["segment", "direct", "recursive"])
def test_a_shorter_forecast_is_the_beginning_of_the_whole_one(strategy):
    known, future = frames()
    fc = Forecaster([few(strategy, futr_exog_list=["futr_0"])], "D").fit(known)
    whole = fc.predict(futr_df=future, level=[80])
    rows = fc.make_future_dataframe(h=2)
    short = fc.predict(futr_df=future.merge(rows), level=[80], h=2)
    expected = whole[whole.groupby("unique_id").cumcount() < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(short.reset_index(drop=True), expected)
    assert len(rows) == 3 * (2 if strategy == "recursive" else H)


@pytest.mark.parametrize("strategy", ["segment", "direct"])
def test_fewer_known_rows_are_refused(strategy):
    known, future = frames()
    fc = Forecaster([few(strategy, futr_exog_list=["futr_0"])], "D").fit(known)
    part = future[future.groupby("unique_id").cumcount() < 2]
    with pytest.raises(ValueError, match="missing combinations"):
        fc.predict(futr_df=part, h=2)
    assert len(fc.get_missing_future(part, h=2)) == 3 * (H - 2)


@pytest.mark.parametrize("strategy", ["segment", "direct", "recursive"])
def test_the_calendar_goes_on_by_itself(strategy):
    known, _ = frames()
    fc = Forecaster([few(strategy, calendar=True)], "D").fit(known)
    whole, short = fc.predict(), fc.predict(h=2)
    np.testing.assert_array_equal(short["GRU"], whole[whole.groupby("unique_id").cumcount() < 2]["GRU"])
