"""Frames of polars and Arrow: the numbers of the same frame of pandas, in a frame of the kind that came in."""

import datetime

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from bptt.forecast import GRU, Forecaster, Pretrained, accuracy, fill_gaps
from bptt.forecast.frames.native import Native, like

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")


def frame(freq="D", tz=None, rows=60):
    times = pd.date_range("2024-01-01", periods=rows, freq=freq, tz=tz)
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"unique_id": name, "ds": times, "y": 10 + rng.random(rows), "price": rng.random(rows)})
        for name in ("a", "b")
    ]
    return pd.concat(parts, ignore_index=True)


def to_polars(df):
    return nw.from_dict({name: df[name].tolist() for name in df}, backend="polars").to_native()


def to_arrow(df):
    return pa.Table.from_pandas(df, preserve_index=False)


KINDS = {"polars": (to_polars, pl.DataFrame), "arrow": (to_arrow, pa.Table)}
kinds = pytest.mark.parametrize("kind", KINDS)


def plain(df):
    """As pandas, times without a unit of their own."""
    found = nw.from_native(df, eager_only=True).to_pandas() if not isinstance(df, pd.DataFrame) else df
    times = [name for name in ("ds", "cutoff") if name in found and found[name].dtype.kind == "M"]
    return found.astype(dict.fromkeys(times, "datetime64[ns]"))


@kinds
def test_every_result_is_of_the_kind_that_came_in(kind):
    make, type_ = KINDS[kind]
    df = frame()
    models = [Pretrained(3), GRU(3, futr_exog_list=["price"], hidden_size=4, max_steps=3)]
    coming = df.groupby("unique_id").tail(3).assign(ds=lambda df: df["ds"] + pd.Timedelta(days=3)).drop(columns="y")

    def results(of):
        forecaster = Forecaster(models, "D").fit(of(df))
        yield forecaster.predict(futr_df=of(coming), level=[80])
        yield forecaster.predict(of(df), futr_df=of(coming))
        yield forecaster.make_future_dataframe()
        yield forecaster.predict_insample(20)
        yield forecaster.get_missing_future(of(coming.iloc[1:]))
        cv_df = forecaster.cross_validation(of(df), n_windows=2, step_size=3, level=[80])
        yield cv_df
        yield accuracy(cv_df, of(df), "D")
        yield Forecaster(models[:1], "D").fit(of(df)).simulate(n_paths=2)
        yield fill_gaps(of(df.drop(index=5)), "D")

    for theirs, ours in zip(results(make), results(lambda df: df), strict=True):
        assert isinstance(theirs, type_)
        pd.testing.assert_frame_equal(plain(theirs), plain(ours), check_dtype=False)


def test_times_keep_their_dtype():
    df = frame().drop(columns="price")
    for dtype in (pl.Date, pl.Datetime("ms"), pl.Datetime("us")):
        given = to_polars(df).with_columns(pl.col("ds").cast(dtype), pl.col("unique_id").cast(pl.Categorical))
        found = Forecaster([Pretrained(3)], "D").cross_validation(given, n_windows=1)
        assert found.schema["ds"] == dtype
        assert found.schema["unique_id"] == pl.Categorical
    texts = to_polars(df.assign(ds=df["ds"].dt.strftime("%Y-%m-%d")))
    found = Forecaster([Pretrained(3)], "D").fit(texts).predict()
    assert found["ds"][0] == datetime.datetime(2024, 3, 1)


@kinds
def test_times_with_a_zone(kind):
    make, type_ = KINDS[kind]
    df = frame("h", "Europe/Berlin").drop(columns="price")
    found = Forecaster([Pretrained(3)], "h").fit(make(df)).predict()
    expected = Forecaster([Pretrained(3)], "h").fit(df).predict()
    assert isinstance(found, type_)
    back = nw.from_native(found, eager_only=True)
    assert back.schema["ds"].time_zone == "Europe/Berlin"
    assert back["ds"].to_list() == [time.to_pydatetime() for time in expected["ds"]]


def test_integers_and_missing_values():
    given = pl.DataFrame({"unique_id": [7, 7, 7, 7], "ds": [1, 2, 4, 5], "y": [1, 2, None, 3], "n": [1, 2, 3, 4]})
    given = given.with_columns(pl.col("ds").cast(pl.Int32))
    filled = fill_gaps(given, 1)
    assert filled.schema["ds"] == pl.Int32
    assert filled["y"].to_list() == [1, 2, None, None, 3]
    assert filled["n"].to_list() == [1, 2, None, 3, 4]


def test_pandas_stays_pandas_and_lazy_frames_are_explained():
    df = frame()
    assert Native.of(df) is None
    assert like(None, df) is df
    with pytest.raises(TypeError, match=r"got polars\.LazyFrame: collect\(\) it first"):
        Forecaster([Pretrained(3)], "D").fit(to_polars(df).lazy())


def test_after_a_file_results_are_of_pandas(tmp_path):
    forecaster = Forecaster([Pretrained(3)], "D").fit(to_polars(frame()))
    forecaster.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    assert isinstance(loaded.predict(), pd.DataFrame)
    pd.testing.assert_frame_equal(plain(forecaster.predict()), plain(loaded.predict()), check_dtype=False)
