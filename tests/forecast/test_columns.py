"""Frames and times of other kinds that are taken, and what is advised where they are not."""

import numpy as np
import pandas as pd
import pytest
from made_panels import to_frame

from bptt.forecast import Forecaster, plot
from bptt.forecast.frames.columns import as_pandas, dated
from bptt.forecast.frames.reading import fill_gaps, read

BERLIN = "timestamp[us, tz=Europe/Berlin][pyarrow]"


class Other:
    """A frame of another package: it makes one of pandas, or, without pyarrow, lists of its columns."""

    def __init__(self, df, arrow=True):
        self.df, self.arrow, self.columns = df, arrow, list(df.columns)

    def to_pandas(self):
        if not self.arrow:
            raise ModuleNotFoundError("pyarrow is required")
        return self.df

    def __getitem__(self, column):
        return Column(self.df[column])


class Column:
    def __init__(self, series):
        self.series = series

    def to_list(self):
        return self.series.tolist()


def frame(ds=None, n=20, **columns):
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=n), "y": np.arange(n) % 7 + 1.0})
    return df.assign(**({} if ds is None else {"ds": ds}), **columns)


def same(df, freq="D", **options):
    panel, encoding = read(df, freq, **options)
    expected, _ = read(frame(), "D")
    np.testing.assert_array_equal(panel.ds, expected.ds)
    np.testing.assert_array_equal(panel.y, expected.y)
    return to_frame(panel, encoding)


@pytest.mark.parametrize("arrow", [True, False])
def test_frames_of_other_packages(arrow):
    same(Other(frame(), arrow))
    assert len(fill_gaps(Other(frame(), arrow), "D")) == 20
    pytest.importorskip("matplotlib")
    assert plot(Other(frame(), arrow)).axes


def test_frames_of_polars():
    polars = pytest.importorskip("polars")
    same(polars.DataFrame({name: frame()[name].to_list() for name in frame()}))


def test_what_is_no_frame_is_named():
    for wrong in (3, "df", [1], Other):
        with pytest.raises(TypeError, match="futr_df must be a pandas DataFrame, or one with a method to_pandas"):
            as_pandas("futr_df", wrong)


@pytest.mark.parametrize(
    "kind",
    [str, object, lambda ds: ds.dt.date, lambda ds: ds.dt.strftime("%Y/%m/%d")],
)
def test_dates_that_are_texts_or_objects(kind):
    ds = frame()["ds"]
    back = same(frame(ds.astype(kind) if isinstance(kind, type) else kind(ds)))
    assert pd.api.types.is_datetime64_any_dtype(back["ds"])


def test_arrow_timestamps():
    pytest.importorskip("pyarrow")
    df = frame().convert_dtypes(dtype_backend="pyarrow")
    same(df)
    berlin = frame(frame()["ds"].dt.tz_localize("Europe/Berlin")).astype(
        {"ds": "timestamp[us, tz=Europe/Berlin][pyarrow]"}
    )
    panel, encoding = read(berlin, "D")
    assert str(encoding.zone) == "Europe/Berlin"
    assert len(panel.ds) == 20


def test_texts_that_can_be_read_in_two_ways_are_not_guessed():
    df = frame(frame()["ds"].dt.strftime("%d/%m/%Y"))
    assert dated("df", df, "ds") is df
    with pytest.raises(ValueError, match="first value is '01/01/2024'"):
        read(df, "D")


def test_a_wide_frame_is_told_to_melt():
    wide = frame().rename(columns={"y": "shop"}).drop(columns="unique_id").assign(kiosk=2.0)
    for df in (wide, wide.set_index("ds"), wide.rename(columns={"ds": "date"})):
        with pytest.raises(ValueError, match=r"wide frame.*\.melt\(") as raised:
            read(df, "D")
        advice = str(raised.value).split("made long by ")[1]
        time_col = "date" if "date" in df else "ds"
        read(eval(advice, {"df": df}), "D", time_col=time_col)


def test_dates_written_as_integers_are_told_to_convert():
    months = pd.date_range("2018-01-01", periods=40, freq="MS")
    df = frame(months.year * 100 + months.month, 40)
    for freq in (1, "MS"):
        with pytest.raises(ValueError, match="if they are dates, convert") as raised:
            read(df, freq)
        converted = df.copy()
        exec(str(raised.value).split("if they are dates, convert: ")[1], {"pd": pd, "df": converted})
        read(converted, "MS")


def test_fractions_are_not_told_to_be_integers():
    with pytest.raises(ValueError, match=r"0\.1 is not a whole number") as raised:
        read(frame(np.arange(20) / 10), 1)
    assert "astype" not in str(raised.value)


def test_a_static_column_is_not_filled_forward():
    static = pd.DataFrame({"unique_id": ["a"], "size": [np.nan]})
    with pytest.raises(ValueError, match=r"Found missing values in .'size'. of static_df") as raised:
        read(frame(), "D", static_df=static, stat=["size"])
    assert "ffill" not in str(raised.value)


def test_an_argument_that_is_no_frame_is_named_though_it_is_not_used():
    from fake_model import SeasonalNaive

    forecaster = Forecaster([SeasonalNaive(h=2)], "D").fit(frame())
    with pytest.raises(TypeError, match=r"futr_df must be a pandas DataFrame.*got int"):
        forecaster.predict(futr_df=3)
    with pytest.raises(TypeError, match=r"static_df must be a pandas DataFrame.*got int"):
        forecaster.fit(frame(), static_df=3)
