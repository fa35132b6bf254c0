"""What is kept of a frame survives being written down."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from made_panels import to_frame

from bptt.forecast.frames.panel import columns_of
from bptt.forecast.frames.reading import future_rows, make_future_dataframe, read
from bptt.forecast.frames.schema import FrameSchema

DS = pd.date_range("2024-01-01", periods=4, freq="D")


def frame(ids, ds=DS):
    return pd.DataFrame({"unique_id": ids, "ds": ds, "y": 1.0, "x": list("pqpq"), "n": [1, 2, 3, 4]})


@pytest.mark.parametrize(
    "df",
    [
        frame(list("abcd")),
        frame([1, 2, 3, 4], DS.tz_localize("Europe/Berlin").as_unit("s")),
        frame(pd.Categorical([1, 2, 3, 5], categories=[5, 3, 2, 1], ordered=True), DS.as_unit("ms")),
        frame(pd.Categorical(list("abcd"))),
        frame(pd.array(["a", "b", "c", "d"], dtype="string"), DS.tz_localize(datetime.UTC)),
        frame(pd.array([1, 2, 3, 4], dtype="Int64"), DS.tz_localize(datetime.timezone(datetime.timedelta(hours=-3)))),
    ],
    ids=range(6),
)
def test_settings_there_and_back(df):
    static = df[["unique_id"]].assign(kind=list("mnnn"))
    panel, encoding = read(df, "d", futr=["x"], hist=["n"], static_df=static, stat=["kind"], calendar=True)
    again = FrameSchema.from_settings(json.loads(json.dumps(encoding.settings)))
    assert again == encoding
    pd.testing.assert_frame_equal(to_frame(panel, again), df[["unique_id", "ds", "y"]])
    future = make_future_dataframe(panel, again, 3)
    longer = future_rows(panel, again, 3, future.assign(x="q"))
    assert longer.futr_names == ("x=p", "x=q", *panel.futr_names[2:])
    reread, _ = read(df, static_df=static, encoding=again)
    np.testing.assert_array_equal(reread.futr, panel.futr)
    np.testing.assert_array_equal(reread.static, [[1, 0], [0, 1], [0, 1], [0, 1]])


def test_integers_there_and_back():
    _, encoding = read(frame(list("abcd"), [1, 2, 3, 4]), 1)
    again = FrameSchema.from_settings(json.loads(json.dumps(encoding.settings)))
    assert again == encoding
    assert again.freq.step(np.array([3]), 2).tolist() == [5]


@pytest.mark.parametrize("freq", ["M", "QE-NOV", "W", "2h", "SME", "B", "15T", "YS-APR"])
def test_frequencies_there_and_back(freq):
    ds = pd.date_range("2024-01-01", periods=1, freq=freq.replace("M", "ME").replace("SMEE", "SME").replace("T", "min"))
    _, encoding = read(pd.DataFrame({"unique_id": "a", "ds": ds, "y": 1.0}), freq)
    assert FrameSchema.from_settings(json.loads(json.dumps(encoding.settings))) == encoding


def test_frequencies_without_a_name():
    offset = pd.offsets.CustomBusinessDay(holidays=["2024-12-25"])
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2024-12-20", periods=6, freq=offset), "y": 1.0})
    panel, encoding = read(df, offset)
    assert panel.lengths.tolist() == [6]
    with pytest.raises(ValueError, match=r"cannot be written to a file: .* has no alias"):
        _ = encoding.settings


def test_kinds_without_a_name():
    df = frame(list("abcd"), pd.Series(DS.tz_localize(datetime.timezone(datetime.timedelta(hours=2), "ship"))))
    _, encoding = read(df, "D")
    with pytest.raises(ValueError, match="column 'ds' cannot be written to a file: its dtype"):
        _ = encoding.settings


def test_columns_of_the_panel_by_name():
    names = ("price", "price_cut", "kind=a", "kind=b=c", "calendar=sin(hour)")
    assert columns_of(names, ["kind", "price"]).tolist() == [0, 2, 3]
    assert columns_of(names, ["calendar"]).tolist() == [4]
    assert columns_of(names, []).dtype == np.int64
