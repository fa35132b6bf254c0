"""Frames to panels: every way in which a frame can be wrong, and every way in which it may come."""

import datetime
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_panels import to_frame

from bptt.forecast.frames.reading import read, warn_unobserved_ends

FREQS = ["h", "D", "B", "W-SUN", "MS", "ME", "QE", "YS", "SME", "15min", "2D", "2MS"]


def frame(ids="aabbb", freq="D", start="2024-01-31", **columns):
    """Series of one letter each, as many rows as letters."""
    counts = {}
    for name in ids:
        counts[name] = counts.get(name, 0) + 1
    ds = np.concatenate([pd.date_range(start, periods=n, freq=freq).to_numpy() for n in counts.values()])
    df = pd.DataFrame({"unique_id": list(ids), "ds": ds, "y": np.arange(1.0, 1 + len(ids))})
    return df.assign(**columns)


def refuses(df, *words, freq="D", error=ValueError, **options):
    with pytest.raises(error) as raised:
        read(df, freq, **options)
    for word in words:
        assert word in str(raised.value)


def test_series_stand_in_order_of_their_ids():
    df = frame("aaammz")
    panel, _ = read(df.iloc[[5, 0, 4, 2, 1, 3]], "D")
    assert panel.ids.tolist() == ["a", "m", "z"]
    assert len(panel) == 3
    assert panel.starts.tolist() == [0, 3, 5, 6]
    assert panel.lengths.tolist() == [3, 2, 1]
    assert panel.series.tolist() == [0, 0, 0, 1, 1, 2]
    assert panel.y.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(panel.ds, df["ds"].to_numpy("datetime64[ns]"))
    np.testing.assert_array_equal(panel.last_ds, df["ds"].to_numpy("datetime64[ns]")[[2, 4, 5]])
    assert panel.observed.all()
    for array, dtype in [
        (panel.starts, "int64"),
        (panel.ds, "datetime64[ns]"),
        (panel.y, "float64"),
        (panel.observed, "bool"),
        (panel.futr, "float32"),
        (panel.hist, "float32"),
        (panel.static, "float32"),
    ]:
        assert array.dtype == dtype
    assert panel.futr.shape == panel.hist.shape == (6, 0)
    assert panel.static.shape == (3, 0)


def test_the_frame_stays_as_it_is():
    df = frame("bbaa", x=[1, 2, 3, 4], c=list("pqpq")).iloc[[3, 0, 2, 1]]
    before = df.copy(deep=True)
    panel, _ = read(df, "D", futr=["x", "c"])
    pd.testing.assert_frame_equal(df, before)
    for array in (panel.ds, panel.y, panel.futr):
        assert not any(np.shares_memory(array, df[name].to_numpy()) for name in ("ds", "y", "x"))


@st.composite
def ragged(draw):
    """Frames of some series with gaps, rows in any order; and what has to come out, by hand."""
    freq = draw(st.sampled_from(FREQS))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    whole = []
    for name, length in enumerate(lengths):
        start = draw(st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2050, 1, 1)))
        ds = pd.date_range(pd.Timestamp(start).floor("s"), periods=length, freq=freq)
        y = draw(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), min_size=length, max_size=length))
        y[0] = 1.0
        kept = np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)))
        kept[[0, -1]] = True
        if 2 * kept.sum() < length:
            kept[:] = True
        whole.append(pd.DataFrame({"unique_id": f"s{name}", "ds": ds, "y": np.array(y, float), "kept": kept}))
    full = pd.concat(whole, ignore_index=True)
    rows = full[full["kept"]].drop(columns="kept")
    order = draw(st.permutations(range(len(rows))))
    full.loc[~full["kept"], "y"] = np.nan
    return freq, rows.iloc[order], full.drop(columns="kept")


@given(ragged())
def test_there_and_back(case):
    freq, df, full = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        panel, encoding = read(df, freq)
    rank = {name: place for place, name in enumerate(sorted(df["unique_id"].unique()))}
    assert panel.ids.tolist() == list(rank)
    expected = full.assign(rank=full["unique_id"].map(rank)).sort_values(["rank", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(to_frame(panel, encoding), expected.drop(columns="rank"))
    np.testing.assert_array_equal(panel.observed, expected["y"].notna())
    assert (panel.y[~panel.observed] == 0).all()


@given(st.permutations(range(8)), st.integers(-50, 50), st.integers(1, 9))
def test_integers_there_and_back(order, start, stride):
    df = pd.DataFrame({"unique_id": [7, 7, 7, 7, 7, 3, 3, 3], "ds": start + stride * np.arange(8), "y": np.arange(8)})
    panel, encoding = read(df.iloc[order], stride)
    back = to_frame(panel, encoding).sort_values(["unique_id", "ds"], ascending=[False, True], ignore_index=True)
    pd.testing.assert_frame_equal(back, df.astype({"y": float}))
    assert panel.ds.dtype == np.int64


def test_many_series_in_any_order():
    rng = np.random.default_rng(3)
    df = pd.DataFrame({"unique_id": np.repeat(np.arange(70_000), 2), "ds": np.tile([4, 5], 70_000)})
    df = df.assign(y=np.arange(140_000.0)).iloc[rng.permutation(140_000)]
    panel, encoding = read(df, 1)
    rank = {name: place for place, name in enumerate(sorted(df["unique_id"].unique()))}
    expected = df.assign(rank=df["unique_id"].map(rank)).sort_values(["rank", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(to_frame(panel, encoding), expected.drop(columns="rank"))


def test_gaps_are_missing_rows_and_counted_once():
    df = frame("aaaaaabbbb").drop(index=[2, 3, 7])
    with pytest.warns(
        UserWarning, match=r"2 gaps in 2 series, 3 rows in all.*'a' at ds 2024-02-02.*fill_gaps"
    ) as caught:
        panel, _ = read(df, "D", futr=[], hist=[])
    assert len(caught) == 1
    assert panel.observed.tolist() == [True, True, False, False, True, True, True, False, True, True]
    assert panel.y.tolist() == [1, 2, 0, 0, 5, 6, 7, 0, 9, 10]
    np.testing.assert_array_equal(panel.ds, frame("aaaaaabbbb")["ds"].to_numpy("datetime64[ns]"))


def test_columns_repeat_in_a_gap_and_the_calendar_goes_on():
    df = frame("aaaa", freq="ME", x=[1, 2, 3, 4], c=list("pqqp")).drop(index=2)
    with pytest.warns(UserWarning, match="1 gaps in 1 series, 1 rows"):
        panel, _ = read(df.iloc[::-1], "ME", futr=["x"], hist=["c"], calendar=True)
    assert panel.futr[:, 0].tolist() == [1, 2, 2, 4]
    assert panel.hist_names == ("c=p", "c=q")
    assert panel.hist.tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    np.testing.assert_allclose(panel.futr[:, 1], np.sin(2 * np.pi * np.arange(4) / 12), atol=1e-6)


def test_lengths_of_months_are_no_gaps():
    for freq in ("MS", "ME", "QS", "YE", "B", "BME"):
        panel, _ = read(frame("a" * 30, freq=freq, start="2023-12-01"), freq)
        assert panel.lengths.tolist() == [30]


def test_missing_targets_need_no_word():
    panel, _ = read(frame(y=[None, 2, 3, np.nan, 5]), "D")
    assert panel.observed.tolist() == [False, True, True, False, True]
    assert panel.y.tolist() == [0, 2, 3, 0, 5]


def test_series_that_end_in_missing_values_are_named():
    expected = (
        "1 of 2 series end in missing values: the last value of series 'a' is of ds 2024-01-31, its last row of "
        "2024-02-01, and forecasts start after its last row."
    )
    panel, encoding = read(frame(y=[1, None, 3, np.nan, 5]), "D")
    with pytest.warns(UserWarning, match=re.escape(expected)) as caught:
        warn_unobserved_ends(panel, encoding)
    assert [one.filename for one in caught] == [__file__]


def test_series_without_values_are_named():
    with pytest.warns(UserWarning, match="1 of 2 series have no values, the first of them 'b'"):
        panel, _ = read(frame(y=[1, 2, np.nan, np.nan, np.nan]), "D")
    assert panel.ids.tolist() == ["a", "b"]


def test_short_and_constant_series_are_fine():
    panel, _ = read(frame("abc", y=3), "D")
    assert panel.y.tolist() == [3, 3, 3]


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "float32", "Int64", "Float32"])
def test_targets_of_any_kind_of_number(dtype):
    df = frame()
    panel, _ = read(df.astype({"y": dtype}), "D")
    assert panel.y.tolist() == df["y"].tolist()


def test_nullable_targets():
    panel, _ = read(frame(y=pd.array([None, 2, 3, 4, 5], dtype="Int64")), "D")
    assert panel.observed.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_units_and_zones_are_given_back(unit):
    df = frame("aabb", freq="h")
    df["ds"] = df["ds"].dt.as_unit(unit)
    for zone in (None, "Europe/Berlin", datetime.timezone(datetime.timedelta(hours=5)), "UTC"):
        column = df["ds"] if zone is None else df["ds"].dt.tz_localize(zone)
        back = to_frame(*read(df.assign(ds=column), "h"))
        pd.testing.assert_series_equal(back["ds"], column)


def test_hours_go_on_through_the_changes_of_a_clock():
    ds = pd.date_range("2024-03-30 20:00", periods=12, freq="h", tz="Europe/Berlin").append(
        pd.date_range("2024-10-26 20:00", periods=12, freq="h", tz="Europe/Berlin")
    )
    df = pd.DataFrame({"unique_id": ["a"] * 12 + ["b"] * 12, "ds": ds, "y": 1.0})
    panel, encoding = read(df, "h", calendar=True)
    assert panel.lengths.tolist() == [12, 12]
    assert (np.diff(panel.ds)[[0, 5, 15, 20]] == np.timedelta64(1, "h")).all()
    pd.testing.assert_frame_equal(to_frame(panel, encoding), df)
    hour = panel.futr_names.index("calendar=sin(hour)")
    np.testing.assert_allclose(panel.futr[:, hour], np.sin(2 * np.pi * ds.hour / 24), atol=1e-6)


def test_days_follow_the_clock_of_their_zone():
    ds = pd.date_range("2024-03-25", periods=20, freq="D", tz="Europe/Berlin").append(
        pd.date_range("2024-10-20", periods=20, freq="D", tz="Europe/Berlin")
    )
    df = pd.DataFrame({"unique_id": ["a"] * 20 + ["b"] * 20, "ds": ds, "y": 1.0})
    panel, encoding = read(df, "D")
    assert panel.lengths.tolist() == [20, 20]
    pd.testing.assert_frame_equal(to_frame(panel, encoding), df)
    steady = df.assign(ds=ds.tz_localize(None).tz_localize("UTC").tz_convert("Europe/Berlin"))
    refuses(steady, "ds 2024-03-25 01:00:00+01:00 is not a time of freq='D'", "clock of Europe/Berlin", "freq='24h'")
    panel, encoding = read(steady, "24h")
    pd.testing.assert_frame_equal(to_frame(panel, encoding), steady)


@pytest.mark.parametrize(
    "ids",
    [
        [5, 5, 2, 2],
        pd.array(["x", "x", "w", "w"], dtype="string"),
        pd.Categorical(["x", "x", "w", "w"], categories=["v", "w", "x"], ordered=True),
        pd.Categorical([5, 5, 2, 2]),
        pd.array([5, 5, 2, 2], dtype="Int64"),
        np.array([5, 5, 2, 2], np.uint8),
        [1.5, 1.5, 0.5, 0.5],
        np.array(["x", "x", 3, 3], object),
        [True, True, False, False],
        list(pd.to_datetime(["2024-01-01", "2024-01-01", "2023-01-01", "2023-01-01"])),
    ],
    ids=lambda ids: str(getattr(ids, "dtype", type(ids[0]).__name__)),
)
def test_ids_of_any_kind(ids):
    df = frame("aabb").assign(unique_id=ids)
    panel, encoding = read(df, "D")
    plain = pd.Series(ids).drop_duplicates().tolist()
    assert pd.Series(panel.ids).tolist() == sorted(plain, key=lambda value: (type(value).__name__, value))
    back = df["unique_id"].iloc[[2, 3, 0, 1]] if plain[0] != panel.ids[0] else df["unique_id"]
    pd.testing.assert_series_equal(to_frame(panel, encoding)["unique_id"], back.reset_index(drop=True))


def test_names_of_columns_are_given_back():
    df = frame().rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"})
    panel, encoding = read(df, "D", id_col="shop", time_col="day", target_col="sales")
    pd.testing.assert_frame_equal(to_frame(panel, encoding), df, check_dtype=True)
    refuses(df, "three columns", id_col="shop", time_col="shop")


def test_an_index_of_any_kind_does_not_matter():
    df = frame()
    panel, encoding = read(df.set_axis([3, 3, 3, 0, 1]), "D")
    pd.testing.assert_frame_equal(to_frame(panel, encoding), df)


# What is wrong with frames


@pytest.mark.parametrize("df", [None, [1, 2], {"y": [1]}, pd.Series([1.0]), np.zeros(3)])
def test_no_frame(df):
    refuses(df, "df must be a pandas DataFrame", type(df).__name__, error=TypeError)


def test_missing_columns():
    refuses(frame().drop(columns="y"), "The following columns are missing: ['y']", "['unique_id', 'ds']")
    refuses(frame().set_index("unique_id"), "The following columns are missing: ['unique_id']", "df.reset_index()")
    refuses(frame(), "The following columns are missing: ['x', 'z']", futr=["x"], hist=["z"])
    refuses(pd.concat([frame(), frame()], axis=1), "several columns of the same name: ['unique_id', 'ds', 'y']")
    refuses(frame().iloc[:0], "df has no rows")
    refuses(pd.DataFrame(), "The following columns are missing: ['unique_id', 'ds', 'y']")
    wide = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("y", "a"), ("y", "b")]))
    refuses(wide, "The following columns are missing")


@pytest.mark.parametrize("value", [None, np.nan])
def test_ids_that_are_missing(value):
    ids = pd.Series(["a", value, "b", value, "b"], dtype=object)
    refuses(frame(unique_id=ids), "Found missing values in ['unique_id']: 2 rows", "row 1")
    refuses(frame(unique_id=ids.astype("category")), "Found missing values in ['unique_id']: 2 rows", "row 1")


def test_times_that_are_missing():
    df = frame()
    df.loc[3, "ds"] = pd.NaT
    refuses(df, "Found missing values in ['ds']: 1 rows", "row 3")
    integers = df.assign(ds=pd.array([1, 2, 1, None, 3], dtype="Int64"))
    refuses(integers, "Found missing values in ['ds']: 1 rows", "row 3", freq=1)


def test_times_that_are_no_times():
    expected = "The time column ('ds') should have either timestamps or integers, got "
    df = frame()
    texts = df.assign(ds=df["ds"].dt.strftime("%d/%m/%Y"))
    refuses(texts, expected, "'31/01/2024'", "df['ds'] = pd.to_datetime(df['ds'])")
    refuses(texts.astype({"ds": object}), expected + "'object'", "pd.to_datetime")
    refuses(df.assign(ds=[1.0, 2, 1, 2, 3]), expected + "'float64'", "astype('int64')", freq=1)
    refuses(df.assign(ds=df["ds"].dt.to_period("D")), expected + "'period[D]'", ".dt.to_timestamp()")
    refuses(df.assign(ds=[True] * 5), expected + "'bool'")
    refuses(df.assign(ds=None), expected + "'object'")


def test_mixed_zones():
    df = frame("ab").astype({"ds": object})
    df["ds"] = [pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-01", tz="Europe/Paris")]
    df["ds"] = df["ds"].astype(object)
    refuses(df, "mix the time zones ['Europe/Paris', 'UTC']", "utc=True")


def test_kinds_of_time_and_frequency():
    refuses(
        frame(ds=[1, 2, 1, 2, 3]),
        "Time column contains integers but the specified frequency is not an integer",
        "freq=1",
    )
    refuses(frame(), "Time column contains timestamps but the specified frequency is an integer", "freq='D'", freq=1)
    refuses(frame(), "freq must be a pandas alias", "'foo'", freq="foo")
    with pytest.raises(TypeError, match="freq must be"):
        read(frame())


def test_times_out_of_reach():
    df = frame("ab").assign(ds=np.array(["2999-01-01", "2024-01-01"], "datetime64[s]"))
    refuses(df, "years 1677 to 2262", "2999")
    refuses(frame("ab").assign(ds=np.array([2**63, 1], np.uint64)), "64 bit", str(2**63), freq=1)


def test_targets_that_are_no_numbers():
    expected = "The target column ('y') should have a numeric data type, got "
    refuses(
        frame(y=["1", "2", "x", "4", "y"]),
        expected,
        "'x' of series 'b', ds 2024-01-31",
        "2 such values",
        "pd.to_numeric",
    )
    refuses(frame(y=list("12345")), expected, "all values can be read as numbers", "pd.to_numeric")
    refuses(frame(y=np.array([1, 2, 3, 4, None], object)), expected + "'object'", "pd.to_numeric")
    refuses(frame(y=[True, False, True, True, True]), expected + "'bool'", "astype('float64')")
    refuses(frame(y=pd.array([True, False, True, True, None])), expected + "'boolean'")
    refuses(frame(y=np.arange(5) * 1j), expected + "'complex128'")
    refuses(frame(y=pd.date_range("2024-01-01", periods=5)), expected + "'datetime64")
    refuses(frame(y=pd.Categorical([1, 2, 3, 4, 5])), expected + "'category'")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_targets_that_are_not_finite(value):
    df = frame(y=[1, 2, 3, value, value]).iloc[::-1]
    refuses(df, f"must be finite (NaN is a missing value); got {value} at series 'b', ds 2024-02-02 (2 such values)")


def test_rows_that_are_there_twice():
    df = pd.concat([frame(), frame().iloc[[3, 3, 0]]])
    refuses(df, "series 'a' has 2 rows at ds 2024-01-31", "3 rows are too many", "df.drop_duplicates()")
    other = pd.concat([frame(), frame(y=0.0).iloc[[3]]])
    with pytest.raises(ValueError, match="they differ in other columns: add them up or average them") as raised:
        read(other, "D")
    assert "drop_duplicates" not in str(raised.value)


def test_times_beside_the_grid():
    df = frame("aaaabbbb", freq="h", start="2024-01-01")
    df.loc[5, "ds"] = pd.Timestamp("2024-01-01 01:30")
    refuses(
        df, "series 'b': ds 2024-01-01 01:30:00 is not a time of freq='h', 3 of its 4 times are (1 series", freq="h"
    )
    df.loc[5, "ds"] = pd.Timestamp("2024-01-01 01:00")
    df.loc[4, "ds"] = pd.Timestamp("2024-01-01 00:30")
    refuses(df, "series 'b': ds 2024-01-01 00:30:00 is not a time of freq='h', 3 of its 4", freq="h")
    refuses(frame("aabb"), "series 'a': ds 2024-01-31 is not a time of freq='W-SUN'", freq="W-SUN")
    refuses(frame("aaab", freq="MS"), "not a time of freq='M' (that is 'ME')", "its times fit freq='MS'", freq="M")
    refuses(frame("aaa", freq="W-TUE"), "its times fit freq='W-TUE'", freq="W")
    refuses(frame("aaa", freq="h", start="2024-01-01"), "its times fit freq='h'", freq="D")
    refuses(pd.DataFrame({"unique_id": "a", "ds": [1, 3, 4], "y": 1}), "ds 4 is not a time of freq=2", freq=2)
    berlin = frame("aaa", freq="h", start="2024-01-01").assign(ds=lambda d: d["ds"].dt.tz_localize("Europe/Berlin"))
    berlin.loc[1, "ds"] += pd.Timedelta("1min")
    refuses(berlin, "ds 2024-01-01 01:01:00+01:00 is not a time", freq="h")


def test_series_may_have_minutes_of_their_own():
    df = frame("aabb", freq="h", start="2024-01-01")
    df.loc[2:, "ds"] += pd.Timedelta("30min")
    panel, _ = read(df, "h")
    assert panel.lengths.tolist() == [2, 2]


def test_another_frequency_than_the_frame_has():
    refuses(
        frame("a" * 20 + "b"),
        "freq='h' leaves 437 rows missing beside the 21 of df: ",
        "the times of series 'a' are mostly 24 steps apart and fit freq='D'",
        "fill_gaps",
        freq="h",
    )
    refuses(frame("aaaa", freq="MS"), "fit freq='MS'", freq="D")
    refuses(pd.DataFrame({"unique_id": "a", "ds": [1, 8, 15], "y": 1}), "mostly 7 steps apart;", freq=1)


# Columns beside the target


def test_numbers_and_categories():
    df = frame(
        price=[1, 2, 3, 4, 5],
        open=[True, False, True, True, True],
        kind=["n", "m", "n", "n", "m"],
        size=pd.Categorical(["L", "S", "L", "L", "S"], categories=["S", "M", "L"]),
        level=pd.array([1, 2, 3, 4, 5], dtype="Int64"),
    )
    panel, encoding = read(df, "D", futr=["price", "open", "kind"], hist=["size", "level", "price"])
    assert panel.futr_names == ("price", "open=False", "open=True", "kind=m", "kind=n")
    assert panel.futr.tolist() == [[1, 0, 1, 0, 1], [2, 1, 0, 1, 0], [3, 0, 1, 0, 1], [4, 0, 1, 0, 1], [5, 0, 1, 1, 0]]
    assert panel.hist_names == ("size=S", "size=M", "size=L", "level", "price")
    assert panel.hist.tolist() == [[0, 0, 1, 1, 1], [1, 0, 0, 2, 2], [0, 0, 1, 3, 3], [0, 0, 1, 4, 4], [1, 0, 0, 5, 5]]
    assert encoding.categories == {"open": ("False", "True"), "kind": ("m", "n"), "size": ("S", "M", "L")}


def test_a_later_frame_is_read_like_the_first():
    first = frame("aabb", kind=["n", "m", "n", "n"], x=[1, 2, 3, 4])
    _, encoding = read(first, "D", futr=["kind"], hist=["x"], calendar=True)
    later = frame("ccd", kind=["m", "new", "new"], x=[1, 2, 3], unique_id=[4, 4, 5])
    with pytest.warns(UserWarning, match=re.escape("df['kind'] has 'new' (2 rows): 1 categories")) as caught:
        panel, again = read(later, encoding=encoding)
    assert len(caught) == 1
    assert panel.futr[:, :2].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert panel.futr_names[:2] == ("kind=m", "kind=n")
    assert panel.ids.tolist() == [4, 5]
    assert again.id_dtype == np.int64
    assert again.categories == encoding.categories
    refuses(later, "freq must be that of the training data, 'D'; got 'h'", freq="h", encoding=encoding)
    later["kind"] = "n"
    refuses(later.assign(x=list("pqr")), "df['x'] must be numbers", encoding=encoding)
    refuses(later.drop(columns="x"), "The following columns are missing: ['x']", encoding=encoding)
    zoned = later.assign(ds=later["ds"].dt.tz_localize("UTC"))
    refuses(zoned, "must have the time zone of the training data, no time zone; got UTC", encoding=encoding)


def test_a_later_frame_of_another_zone_is_read_by_the_clock_of_the_first():
    berlin = frame("aaa", freq="h").assign(ds=lambda d: d["ds"].dt.tz_localize("Europe/Berlin"))
    panel, encoding = read(berlin, "h")
    other, again = read(berlin.assign(ds=berlin["ds"].dt.tz_convert("Asia/Tokyo")), encoding=encoding)
    np.testing.assert_array_equal(other.ds, panel.ds)
    pd.testing.assert_frame_equal(to_frame(other, again), berlin)
    refuses(frame("aaa", freq="h"), "Europe/Berlin; got no time zone", "tz_localize", freq=None, encoding=encoding)


def test_columns_with_missing_or_infinite_values():
    df = frame(x=[1, 2, np.nan, 4, 5], c=["p", None, "p", "q", "q"])
    refuses(df, "Found missing values in ['x'] of df: 1, the first at series 'b', ds 2024-01-31", "ffill", futr=["x"])
    refuses(df, "Found missing values in ['c'] of df: 1, the first at series 'a', ds 2024-02-01", hist=["c"])
    refuses(
        frame(x=[1, 2, 3, -np.inf, 5]),
        "df['x'] must be finite in float32; got -inf at series 'b', ds 2024-02-01",
        hist=["x"],
    )
    refuses(frame(x=[1, 2, 3, 4, 1e39]), "must be finite in float32; got 1e+39", futr=["x"])


def test_columns_of_other_kinds():
    refuses(
        frame(x=np.array([1, 2, 3, 4, 5], object)),
        "df['x'] has dtype object but holds numbers",
        "pd.to_numeric",
        futr=["x"],
    )
    refuses(frame(x=frame()["ds"]), "df['x'] must be numbers or categories", "datetime64", futr=["x"])
    refuses(frame(x=np.arange(5) * 1j), "df['x'] must be numbers or categories", futr=["x"])
    names = frame("a" * 1500, x=[f"name {k}" for k in range(1500)])
    refuses(names, "1500 different values", "at most 1000", futr=["x"])


@pytest.mark.parametrize("argument", ["futr", "hist", "stat"])
def test_names_of_columns(argument):
    df = frame(x=1.0, **{"x=1": 2.0, "calendar": 1.0})
    refuses(df, f"{argument} must name each column once; got 'x' 2 times", **{argument: ["x", "x"]})
    for reserved in ("unique_id", "ds", "y", "calendar"):
        refuses(df, f"{argument} must name columns other than", f"got {reserved!r}", **{argument: [reserved]})
    refuses(df, "tell 'x=1' apart", **{argument: ["x", "x=1"]})
    refuses(df, f"{argument} must be a sequence", "'x'", error=TypeError, **{argument: "x"})
    refuses(df, f"{argument} must hold names", "3 (int)", error=TypeError, **{argument: [3]})


def static(ids="ab", **columns):
    return pd.DataFrame({"unique_id": list(ids)}).assign(**columns)


def test_static_columns_follow_the_ids():
    table = static("cba", size=[3, 2, 1], kind=["q", "p", "q"])
    panel, encoding = read(frame("bbacc"), "D", static_df=table, stat=["size", "kind"])
    assert panel.ids.tolist() == ["a", "b", "c"]
    assert panel.static_names == ("size", "kind=p", "kind=q")
    assert panel.static.tolist() == [[1, 0, 1], [2, 1, 0], [3, 0, 1]]
    later = static("dx", size=[9, 8], kind=["new", "p"])
    with pytest.warns(UserWarning, match=re.escape("static_df['kind'] has 'new' (1 rows)")):
        panel, _ = read(frame("dd"), static_df=later, encoding=encoding)
    assert panel.static.tolist() == [[9, 0, 0]]


def test_static_frames_that_are_wrong():
    required = (
        "Models require the following static exogenous features: {'size'}. Please provide them through the static_df"
    )
    refuses(frame(), required, stat=["size"])
    refuses(frame(), "The following columns are missing: ['size']; static_df", stat=["size"], static_df=static())
    refuses(
        frame(), "static_df has no row for 1 of 2 series, the first of them 'b'", stat=["x"], static_df=static("a", x=1)
    )
    refuses(frame(), "1 surplus rows: series 'a' has 2", stat=["x"], static_df=static("aab", x=1))
    refuses(
        frame(), "Found missing values in ['x'] of static_df", "series 'b'", stat=["x"], static_df=static(x=[1, np.nan])
    )
    refuses(frame(), "static_df must be a pandas DataFrame", stat=["x"], static_df=[1], error=TypeError)
    refuses(
        frame(unique_id=[1, 1, 2, 2, 2]),
        "kind 'string', those of df 'integer'",
        stat=["x"],
        static_df=static("12", x=1),
    )
    with pytest.warns(UserWarning, match="static_df is not used"):
        read(frame(), "D", static_df=static())
