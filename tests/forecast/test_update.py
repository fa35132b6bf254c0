"""`Forecaster.update`: new rows count as if they had been in the frame from the beginning."""

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import GRU, Forecaster

TINY = {"hidden_size": 4, "max_steps": 3, "batch_size": 8, "seasonality": 7, "input_size": 14}


def frame(ids=("a", "b"), rows=40, seed=0, **columns):
    rng = np.random.default_rng(seed)
    parts = []
    for name in ids:
        days = pd.date_range("2024-01-01", periods=rows, freq="D")
        parts.append(
            pd.DataFrame({"unique_id": name, "ds": days, "y": 5 + rng.random(rows), "price": rng.random(rows)})
        )
    return pd.concat(parts, ignore_index=True)


def split(df, days):
    late = df["ds"] >= df["ds"].min() + pd.Timedelta(days=days)
    return df[~late], df[late]


@pytest.mark.parametrize("scaler", [None, "standard"])
def test_forecasts_are_those_of_the_whole_history(scaler):
    old, new = split(frame(), 30)
    forecaster = Forecaster([GRU(3, **TINY)], "D", local_scaler_type=scaler).fit(old)
    if scaler is None:
        expected = forecaster.predict(df=frame(), level=[80])
        found = forecaster.update(new).predict(level=[80])
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    else:
        before = forecaster.predict()
        found = forecaster.update(new).predict()
        assert found["ds"].min() == before["ds"].min() + pd.Timedelta(days=10)
        assert found["GRU"].between(4, 7).all()


def test_row_by_row_is_the_same_as_at_once():
    old, new = split(frame(), 36)
    once, slowly = (Forecaster([GRU(3, **TINY)], "D").fit(old) for _ in range(2))
    once.update(new)
    for _, rows in new.groupby("ds"):
        slowly.update(rows)
    pd.testing.assert_frame_equal(once.predict(), slowly.predict(), check_exact=True)


def test_new_series_and_series_without_news():
    forecaster = Forecaster([GRU(3, **TINY)], "D").fit(frame())
    before = forecaster.predict()
    found = forecaster.update(frame(("aa",), 20, seed=5)).predict()
    assert found["unique_id"].unique().tolist() == ["a", "aa", "b"]
    kept = found[found["unique_id"] != "aa"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_exact=True)
    assert forecaster.predict_insample(5)["unique_id"].nunique() == 3


def test_gaps_and_calendar():
    whole = frame()
    old, new = split(whole, 30)
    new = new[new["ds"] >= new["ds"].min() + pd.Timedelta(days=2)]
    forecaster = Forecaster([GRU(3, calendar=True, **TINY)], "D").fit(old)
    with pytest.warns(UserWarning, match="4 rows are missing between the old and the new ones of 2 series"):
        found = forecaster.update(new).predict()
    with pytest.warns(UserWarning, match="df has 2 gaps"):
        expected = forecaster.predict(df=pd.concat([old, new]))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_exogenous_columns(tmp_path):
    old, new = split(frame(), 30)
    static = pd.DataFrame({"unique_id": ["a", "b"], "size": [1.0, 2.0]})
    model = GRU(3, futr_exog_list=["price"], stat_exog_list=["size"], **TINY)
    forecaster = Forecaster([model], "D").fit(old, static)
    forecaster.update(new)
    future = forecaster.make_future_dataframe().assign(price=0.5)
    found = forecaster.predict(futr_df=future)
    expected = forecaster.predict(df=frame(), static_df=static, futr_df=future)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    with pytest.raises(ValueError, match="static_df must hold the new series c"):
        forecaster.update(frame(("c",)))
    forecaster.save(tmp_path / "model")
    pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "model").predict(futr_df=future), found, check_exact=True)


def test_rows_that_are_there_are_refused_and_nothing_changes():
    old, new = split(frame(), 30)
    forecaster = Forecaster([GRU(3, **TINY)], "D").fit(old)
    before = forecaster.predict()
    with pytest.raises(ValueError, match=r"rows after those that are there.* of 1 series is not, the first of them a"):
        forecaster.update(old.tail(5).assign(unique_id="a"))
    pd.testing.assert_frame_equal(forecaster.predict(), before, check_exact=True)
    with pytest.raises(ValueError, match="You must fit"):
        Forecaster([GRU(3, **TINY)], "D").update(new)
