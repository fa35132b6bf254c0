"""`fill_gaps` against the package whose function it is, and where that one loses rows, against counts by hand."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.forecast.frames.gaps import fill_gaps


def frame(ids, ds, **columns):
    return pd.DataFrame({"unique_id": ids, "ds": ds, "y": np.arange(float(len(ids)))}).assign(**columns)


@st.composite
def frames(draw, freq):
    """Series on one grid (the other package has none of a series' own), some rows away, in any order."""
    grid = np.arange(40) if isinstance(freq, int) else pd.date_range("2019-12-31", periods=40, freq=freq)
    if isinstance(freq, int):
        grid = grid * freq
    parts = []
    for name in draw(st.permutations("abcd"))[: draw(st.integers(1, 4))]:
        kept = sorted(draw(st.lists(st.integers(0, 39), min_size=1, max_size=12, unique=True)))
        parts.append(pd.DataFrame({"unique_id": name, "ds": grid[kept]}, index=kept))
    df = pd.concat(parts, ignore_index=True)
    df["y"], df["n"], df["c"] = np.arange(len(df)) / 2, np.arange(len(df)), df["unique_id"]
    # The other package fails on an end before the beginning of a series.
    bound = grid[draw(st.integers(max(part.index[0] for part in parts), 39))]
    start = draw(st.sampled_from(["per_serie", "global"]))
    end = draw(st.sampled_from(["per_serie", "global", bound]))
    return df.iloc[draw(st.permutations(range(len(df))))], start, end


@pytest.mark.parametrize("freq", ["h", "30min", "2h", "D", "7D", "MS", "ME", "QS", "YS", 1, 3])
@given(data=st.data())
def test_rows_are_those_of_utilsforecast(freq, data):
    preprocessing = pytest.importorskip("utilsforecast.preprocessing")
    df, start, end = data.draw(frames(freq))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = preprocessing.fill_gaps(df, freq, start=start, end=end)
        ours = fill_gaps(df, freq, start=start, end=end)
    assert list(ours["unique_id"].unique()) == [
        name for name in df["unique_id"].unique() if name in set(ours["unique_id"])
    ]
    by_series = ours.sort_values(["unique_id", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(by_series, theirs.astype(ours.dtypes.to_dict()))


@pytest.mark.parametrize("freq", ["B", "W-WED", "QE-NOV", "SME", "BME", "2W-MON", "24h"])
@given(data=st.data())
def test_rows_are_those_of_ranges(freq, data):
    df, start, end = data.draw(frames(freq))
    first, last = df["ds"].min(), df["ds"].max()
    end = last if isinstance(end, pd.Timestamp) else end
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = fill_gaps(df, freq, start=start, end=end)
    for name, rows in df.groupby("unique_id"):
        begin = first if start == "global" else rows["ds"].min()
        finish = rows["ds"].max() if isinstance(end, str) and end == "per_serie" else last
        expected = rows.set_index("ds")["y"].reindex(pd.date_range(begin, finish, freq=freq))
        own = ours[ours["unique_id"] == name]
        np.testing.assert_array_equal(own["ds"], expected.index)
        np.testing.assert_array_equal(own["y"], expected)


def test_kinds_of_columns_stay():
    ds = pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-02"]).as_unit("s").tz_localize("Europe/Berlin")
    df = frame(
        pd.Categorical(["a", "a", "b"]), ds, x=pd.array([1, 2, 3], dtype="Int64"), kind=pd.Categorical(list("pqp"))
    )
    filled = fill_gaps(df, "D")
    assert filled.dtypes.to_dict() == df.dtypes.to_dict()
    assert filled.columns.tolist() == df.columns.tolist()
    assert filled["x"].tolist() == [1, pd.NA, 2, 3, pd.NA]
    assert filled["unique_id"].tolist() == ["a", "a", "a", "b", "b"]
    assert filled["ds"].dt.day.tolist() == [1, 2, 3, 2, 3]
    assert filled.index.tolist() == [0, 1, 2, 3, 4]


def test_series_keep_minutes_of_their_own():
    df = frame(["a", "a", "b"], pd.to_datetime(["2024-01-01 00:00", "2024-01-01 03:00", "2024-01-01 00:30"]))
    assert fill_gaps(df, "h").groupby("unique_id").size().tolist() == [4, 3]
    with pytest.raises(ValueError, match=r"start must be a time of freq='h'.* 'b' has 2024-01-01 00:30:00 \(1 such"):
        fill_gaps(df, "h", start="global")


def test_bounds():
    df = frame(["a", "b"], [3, 6])
    assert fill_gaps(df, 1, start=2, end=np.int64(7))["ds"].tolist() == [2, 3, 4, 5, 6, 7] * 2
    days = df.assign(ds=pd.to_datetime(["2024-01-03", "2024-01-06"]))
    for start in ("2024-01-02", datetime.date(2024, 1, 2), pd.Timestamp("2024-01-02")):
        assert fill_gaps(days, "D", start=start)["ds"].dt.day.tolist() == [2, 3, 4, 5, 6] * 2
    zoned = days.assign(ds=days["ds"].dt.tz_localize("Asia/Tokyo"))
    assert fill_gaps(zoned, "D", end="2024-01-07")["ds"].dt.day.tolist() == [3, 4, 5, 6, 7, 6, 7]
    months = df.assign(ds=pd.to_datetime(["2024-01-31", "2024-02-29"]))
    assert fill_gaps(months, "ME", end="2024-04-15")["ds"].dt.month.tolist() == [1, 2, 3, 2, 3]


def test_rows_outside_the_bounds_are_counted():
    df = frame(["a", "a", "a", "b"], [1, 2, 5, 9])
    with pytest.warns(UserWarning, match="2 of 4 rows of df lie before start or after end"):
        filled = fill_gaps(df, 1, start=2, end=6)
    assert filled["ds"].tolist() == [2, 3, 4, 5, 6, 2, 3, 4, 5, 6]
    assert filled["y"].dropna().tolist() == [1, 2]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"freq": "h", "end": "never"}, ValueError, "end must be 'per_serie', 'global' or a time"),
        ({"freq": "h", "start": 3}, TypeError, "start must be 'per_serie'"),
        ({"freq": "h", "start": None}, ValueError, "start must be 'per_serie'"),
        ({"freq": "ME"}, ValueError, "not a time of freq='ME'"),
        ({"freq": "us"}, ValueError, "mostly 3600000000 steps apart and fit freq='h'"),
        ({"freq": "h", "end": "2200-01-01"}, ValueError, "would make"),
        ({"freq": "h", "id_col": "x"}, ValueError, "The following columns are missing"),
        ({"freq": 1}, ValueError, "timestamps but the specified frequency is an integer"),
    ],
)
def test_refusals(options, error, words):
    df = frame(["a"] * 3, pd.date_range("2024-01-01", periods=3, freq="h"))
    with pytest.raises(error, match=words):
        fill_gaps(df, **options)


def test_integers_have_integer_bounds():
    with pytest.raises(TypeError, match="end must be"):
        fill_gaps(frame(["a"], [1]), 1, end="2024-01-01")
