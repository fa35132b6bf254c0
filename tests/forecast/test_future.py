"""The rows after the end of a frame."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_panels import to_frame

from bptt.forecast.frames.reading import (
    fill_gaps,
    future_rows,
    get_missing_future,
    make_future_dataframe,
    read,
)

FREQS = ["h", "15min", "D", "B", "W-TUE", "MS", "ME", "2ME", "QS", "QE-NOV", "YE", "SMS"]


def frame(ids="aabbb", freq="D", **columns):
    df = pd.DataFrame({"unique_id": list(ids), "y": np.arange(1.0, 1 + len(ids))}).assign(**columns)
    ds = pd.date_range("2024-01-31", periods=len(ids), freq=freq)
    df["ds"] = ds[df.groupby("unique_id").cumcount()]
    return df


@pytest.fixture
def priced():
    return read(frame(price=[1, 2, 3, 4, 5], kind=list("pqppq")), "D", futr=["price", "kind"], hist=["price"])


def futr(h=2):
    df = pd.DataFrame({"unique_id": ["b"] * h + ["a"] * h, "price": np.arange(10, 10 + 2 * h), "kind": "q"})
    df["ds"] = np.append(
        pd.date_range("2024-02-03", periods=h, freq="D"), pd.date_range("2024-02-02", periods=h, freq="D")
    )
    return df


def refuses(priced, df, *words, h=2, error=ValueError):
    with pytest.raises(error) as raised:
        future_rows(*priced, h, df)
    for word in words:
        assert word in str(raised.value)


def test_every_series_goes_on(priced):
    panel, encoding = priced
    longer = future_rows(panel, encoding, 2, futr().sample(frac=1, random_state=0))
    assert longer.ids is panel.ids
    assert longer.starts.tolist() == [0, 4, 9]
    assert longer.y.tolist() == [1, 2, 0, 0, 3, 4, 5, 0, 0]
    assert longer.observed.tolist() == [True] * 2 + [False] * 2 + [True] * 3 + [False] * 2
    assert longer.futr[:, 0].tolist() == [1, 2, 12, 13, 3, 4, 5, 10, 11]
    assert longer.futr[:, 1:].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]
    assert longer.hist[:, 0].tolist() == [1, 2, 0, 0, 3, 4, 5, 0, 0]
    assert longer.futr_names == panel.futr_names
    days = longer.ds.astype("datetime64[D]").astype(object)
    assert [(day.month, day.day) for day in days[:4]] == [(1, 31), (2, 1), (2, 2), (2, 3)]
    for name in ("starts", "ds", "y", "observed", "futr", "hist", "static"):
        assert getattr(longer, name).dtype == getattr(panel, name).dtype
        assert getattr(longer, name).flags.c_contiguous


def test_the_calendar_goes_on():
    panel, encoding = read(frame("aaaabb", freq="ME"), "ME", calendar=True)
    longer = future_rows(panel, encoding, 3)
    months = longer.ds.astype("datetime64[M]").astype(int) % 12
    np.testing.assert_allclose(longer.futr[:, 0], np.sin(2 * np.pi * months / 12), atol=1e-6)


@pytest.mark.parametrize("freq", FREQS)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), h=st.integers(1, 13))
def test_times_are_those_of_ranges(freq, lengths, h):
    ids = "".join(name * length for name, length in zip("wcab", lengths, strict=False))
    df = frame(ids, freq)
    panel, encoding = read(df, freq)
    made = make_future_dataframe(panel, encoding, h)
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(rows["ds"].max(), periods=h + 1, freq=freq)[1:]})
        for name, rows in df.groupby("unique_id")
    ]
    pd.testing.assert_frame_equal(made, pd.concat(parts, ignore_index=True), check_dtype=False)
    assert made.dtypes.to_dict() == df[["unique_id", "ds"]].dtypes.to_dict()
    longer = future_rows(panel, encoding, h)
    np.testing.assert_array_equal(longer.ds[~longer.observed], made["ds"].to_numpy("datetime64[ns]"))


@pytest.mark.parametrize("freq", ["h", "D", "MS", "ME", "QS", "W-WED", 1, 4])
@given(last=st.lists(st.integers(0, 60), min_size=1, max_size=5), h=st.integers(1, 9))
def test_frames_are_those_of_utilsforecast(freq, last, h):
    processing = pytest.importorskip("utilsforecast.processing")
    grid = pd.RangeIndex(61) * freq if isinstance(freq, int) else pd.date_range("2020-01-01", periods=61, freq=freq)
    df = pd.DataFrame({"unique_id": [f"s{k}" for k in range(len(last))], "ds": grid[last], "y": 1.0})
    made = make_future_dataframe(*read(df, freq), h)
    theirs = processing.make_future_dataframe(df["unique_id"], df["ds"], freq, h)
    pd.testing.assert_frame_equal(made, theirs.reset_index(drop=True), check_dtype=False)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_missing_rows_are_the_others(order, kept):
    panel, encoding = read(frame(), "D")
    wanted = make_future_dataframe(panel, encoding, 3)
    given_rows = wanted.iloc[order[:kept]]
    missing = get_missing_future(panel, encoding, 3, given_rows)
    pd.testing.assert_frame_equal(missing, wanted.iloc[sorted(order[kept:])].reset_index(drop=True))


def test_missing_rows_of_another_kind_of_id():
    panel, encoding = read(frame(), "D")
    other = make_future_dataframe(panel, encoding, 2).assign(unique_id=[1, 1, 2, 2])
    assert len(get_missing_future(panel, encoding, 2, other)) == 4
    with pytest.raises(TypeError, match="futr_df must be a pandas DataFrame"):
        get_missing_future(panel, encoding, 2, None)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_names_and_kinds_are_given_back(zone, unit):
    df = frame("aabb", "D").rename(columns={"unique_id": "shop", "ds": "day"})
    df["day"] = df["day"].dt.as_unit(unit).dt.tz_localize(zone)
    df["shop"] = pd.Categorical(df["shop"], categories=["b", "a", "c"])
    panel, encoding = read(df, "D", id_col="shop", time_col="day")
    made = make_future_dataframe(panel, encoding, 60)
    assert made.dtypes.to_dict() == df[["shop", "day"]].dtypes.to_dict()
    assert (made["day"].dt.hour == 0).all()
    assert get_missing_future(panel, encoding, 60, made.iloc[1:]).dtypes.to_dict() == made.dtypes.to_dict()


def test_days_without_midnight():
    days = pd.Series(pd.date_range("2018-10-30", periods=8, freq="D"))
    days = days.dt.tz_localize("America/Sao_Paulo", nonexistent="shift_forward")
    assert days[5].hour == 1
    df = pd.DataFrame({"unique_id": "a", "ds": days, "y": 1.0, "x": 2.0})
    panel, encoding = read(df, "D")
    assert panel.lengths.tolist() == [8]
    pd.testing.assert_frame_equal(to_frame(panel, encoding), df[["unique_id", "ds", "y"]])
    panel, encoding = read(df.head(4), "D", futr=["x"])
    future = make_future_dataframe(panel, encoding, 4)
    pd.testing.assert_series_equal(future["ds"], days[4:].reset_index(drop=True), check_names=False)
    longer = future_rows(panel, encoding, 4, future.assign(x=3.0))
    assert longer.futr[4:].tolist() == [[3.0]] * 4
    df.loc[2, "ds"] += pd.Timedelta("1h")
    with pytest.raises(ValueError, match="ds 2018-11-01 01:00:00-03:00 is not a time"):
        read(df, "D")


def test_a_step_finer_than_the_unit_is_not_rounded():
    df = pd.DataFrame({"unique_id": ["a"], "ds": np.array(["2024-01-01"], "datetime64[s]"), "y": 1.0})
    made = make_future_dataframe(*read(df, "500ms"), 2)
    assert (made["ds"] - df["ds"][0]).dt.total_seconds().tolist() == [0.5, 1.0]


def test_integers_are_given_back():
    df = pd.DataFrame({"unique_id": [2, 1], "ds": np.array([5, 8], np.int32), "y": 1.0})
    made = make_future_dataframe(*read(df, 2), 2)
    assert made.dtypes.tolist() == [np.int64, np.int32]
    assert made.to_numpy().tolist() == [[1, 10], [1, 12], [2, 7], [2, 9]]


@pytest.mark.parametrize("h", [0, -1, 1.0, None, True])
def test_horizons(priced, h):
    for function in (make_future_dataframe, future_rows):
        with pytest.raises((TypeError, ValueError), match="h must be an integer of at least 1"):
            function(*priced, h)


REQUIRED = (
    "Models require the following future exogenous features: {}. Please provide them through the futr_df argument"
)
COMBINATIONS = (
    "There are missing combinations of ids and times in futr_df. You can run the make_future_dataframe() method to get "
    "the expected combinations or the get_missing_future(futr_df) method to get the missing combinations."
)


def test_future_frames_that_are_wrong(priced):
    refuses(priced, None, REQUIRED.format("{'kind', 'price'}"))
    refuses(priced, futr().drop(columns="price"), REQUIRED.format("{'price'}"))
    refuses(priced, futr().drop(columns="ds"), "The following columns are missing: ['ds']; futr_df has")
    refuses(priced, 3, "futr_df must be a pandas DataFrame", error=TypeError)
    refuses(priced, futr(), COMBINATIONS, "2 of 6 are missing", "series 'a', ds 2024-02-04", h=3)
    refuses(priced, futr().iloc[1:], COMBINATIONS, "1 of 4 are missing", "series 'b', ds 2024-02-03")
    refuses(priced, futr().assign(unique_id=1), "rows of the same id and time")
    refuses(priced, futr().assign(unique_id=[1, 1, 2, 2]), COMBINATIONS, "kind 'integer', those of df 'string'")
    null = futr().assign(price=[10, np.nan, 12, 13])
    refuses(priced, null, "Found null values in futr_df: 1 in column 'price', the first at series 'b', ds 2024-02-04")
    refuses(priced, futr().assign(price=np.inf), "futr_df['price'] must be finite", "inf")
    refuses(priced, futr().assign(price="x"), "futr_df['price'] must be numbers")
    refuses(priced, pd.concat([futr(), futr()]), "4 rows are too many")
    texts = futr()["ds"].dt.strftime("%d of %B")
    refuses(priced, futr().assign(ds=texts), "The time column ('ds') should have either timestamps")
    refuses(priced, futr().assign(ds=futr()["ds"].dt.tz_localize("UTC")), "must have the time zone")


def test_rows_that_are_of_no_use_are_counted(priced):
    with pytest.warns(UserWarning, match="2 of 6 rows of futr_df are not used"):
        longer = future_rows(*priced, 2, futr(3))
    assert longer.futr[[2, 3, 7, 8], 0].tolist() == [13, 14, 10, 11]
    with pytest.warns(UserWarning, match="2 of 6 rows of futr_df are not used"):
        future_rows(*priced, 2, pd.concat([futr(), futr().head(2).assign(unique_id="other", price=np.nan)]))
    with pytest.warns(UserWarning, match="futr_df is not used: no model"):
        future_rows(*read(frame(), "D"), 2, futr())


def test_categories_that_are_new(priced):
    with pytest.warns(UserWarning, match=re.escape("futr_df['kind'] has 'r' (4 rows)")):
        longer = future_rows(*priced, 2, futr().assign(kind="r"))
    assert (longer.futr[~longer.observed, 1:] == 0).all()


def test_a_filled_frame_is_complete():
    df = frame("aaaabbbb").drop(index=[1, 6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        panel, _ = read(fill_gaps(df, "D"), "D")
    assert panel.lengths.tolist() == [4, 4]
