"""What `plot` draws: the lines' data, bands, cutoffs and labels, not pixels."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from bptt.forecast.datasets import generate_series
from bptt.forecast.plotting import plot

matplotlib.use("Agg")

H = 7
DAILY = generate_series(10, "D", 40, 60, seed=1)


def forecasts_of(df: pd.DataFrame, *models: str, levels: tuple[int, ...] = ()) -> pd.DataFrame:
    """A frame as `predict` makes it: a model forecasts 1, 2, 3, ... times its place, bands a level wide."""
    parts = []
    for name, rows in df.groupby("unique_id", sort=False):
        last = rows["ds"].iloc[-1]
        integers = pd.api.types.is_integer_dtype(rows["ds"])
        ds = last + np.arange(1, H + 1) if integers else pd.date_range(last, periods=H + 1, freq="D")[1:]
        columns: dict[str, Any] = {"unique_id": name, "ds": ds}
        for place, model in enumerate(models, 1):
            point = np.arange(1.0, H + 1) * place
            columns |= {model: point}
            columns |= {f"{model}-lo-{level}": point - level for level in reversed(levels)}
            columns |= {f"{model}-hi-{level}": point + level for level in levels}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def lines(axis: Axes) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for line in axis.get_lines():
        found.setdefault(str(line.get_label()), []).append(line)
    return found


def legend(figure: Figure) -> list[str]:
    assert len(figure.legends) == 1
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text()]


def bands(axis: Axes) -> dict[str, Any]:
    return {str(band.get_label()): band for band in axis.collections if isinstance(band, PolyCollection)}


def test_history_and_forecasts_are_the_frames_numbers() -> None:
    figure = plot(DAILY, forecasts_of(DAILY, "GRU", "LSTM"), max_insample_length=20)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(DAILY["unique_id"].unique()[:8])
    for axis, (_, rows) in zip(figure.axes, DAILY.groupby("unique_id", sort=False), strict=False):
        drawn = lines(axis)
        assert set(drawn) == {"y", "GRU", "LSTM"}
        np.testing.assert_array_equal(drawn["y"][0].get_ydata(), rows["y"].tail(20))
        np.testing.assert_array_equal(drawn["y"][0].get_xdata(), rows["ds"].tail(20))
        np.testing.assert_array_equal(drawn["LSTM"][0].get_ydata(), 2 * np.arange(1, H + 1))
        after = pd.Timestamp(drawn["GRU"][0].get_xdata()[0]) - rows["ds"].iloc[-1]
        assert after == pd.Timedelta(days=1)
    assert legend(figure) == ["y", "GRU", "LSTM"]


def test_bands_of_each_level_widest_behind() -> None:
    figure = plot(DAILY, forecasts_of(DAILY, "GRU", levels=(80, 95)), ids=["S3"])
    (axis,) = figure.axes
    found = bands(axis)
    assert list(found) == ["GRU 95%", "GRU 80%"]
    for level in (80, 95):
        heights = found[f"GRU {level}%"].get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (1 - level, H + level)
    assert found["GRU 95%"].get_alpha() < found["GRU 80%"].get_alpha()
    assert legend(figure) == ["y", "GRU", "GRU 80%", "GRU 95%"]


def test_level_and_models_choose() -> None:
    made = forecasts_of(DAILY, "GRU", "LSTM", levels=(80, 95))
    assert set(bands(plot(DAILY, made, level=80).axes[0])) == {"GRU 80%", "LSTM 80%"}
    assert set(bands(plot(DAILY, made, level=[95], models=["LSTM"]).axes[0])) == {"LSTM 95%"}
    figure = plot(DAILY, made, level=[], models=["LSTM"])
    assert bands(figure.axes[0]) == {}
    assert legend(figure) == ["y", "LSTM"]


def test_many_labels_stand_in_a_column_for_each_model() -> None:
    figure = plot(DAILY, forecasts_of(DAILY, "GRU", "LSTM", "RNN", levels=(80, 95)))
    assert figure.legends[0]._ncols == 4
    assert legend(figure) == ["y", *(f"{m}{what}" for m in ("GRU", "LSTM", "RNN") for what in ("", " 80%", " 95%"))]


def test_quantiles_are_bands_too() -> None:
    made = forecasts_of(DAILY, "GRU")
    made = made.assign(**{"GRU_ql0.1": 0.0, "GRU_ql0.5": 1.0, "GRU_ql0.9": 9.0, "GRU-median": 1.0})
    (axis,) = plot(DAILY, made, ids=["S0"]).axes
    assert set(lines(axis)) == {"y", "GRU"}
    assert list(bands(axis)) == ["GRU 80%"]


def test_cross_validation_has_a_line_at_each_cutoff_and_forecasts_apart() -> None:
    parts = []
    for back in (14, 7):
        train = DAILY.groupby("unique_id", sort=False).head(100).groupby("unique_id", sort=False)
        early = DAILY[train.cumcount(ascending=False) >= back]
        cutoffs = early.groupby("unique_id")["ds"].last()
        made = forecasts_of(early, "GRU", levels=(80,))
        parts.append(made.assign(cutoff=made["unique_id"].map(cutoffs)))
    cv = pd.concat(parts, ignore_index=True).merge(DAILY, on=["unique_id", "ds"])
    figure = plot(DAILY, cv, ids=["S1", "S2"])
    for axis, name in zip(figure.axes, ["S1", "S2"], strict=True):
        drawn = lines(axis)
        forecast = [line for line in axis.get_lines() if len(line.get_xdata()) == H]
        assert len(forecast) == 2
        vertical = [line for line in axis.get_lines() if len(set(map(str, line.get_xdata()))) == 1]
        positions = [pd.Timestamp(num2date(axis.convert_xunits(line.get_xdata()[0]))) for line in vertical]
        expected = cv.loc[cv["unique_id"] == name, "cutoff"].unique()
        assert [position.tz_localize(None) for position in positions] == sorted(expected)
        assert len(drawn["cutoff"]) == 1
    assert legend(figure) == ["y", "cutoff", "GRU", "GRU 80%"]


def test_enough_history_but_not_all_of_it() -> None:
    long = generate_series(1, "D", 900, 900)
    assert len(lines(plot(long, forecasts_of(long, "GRU")).axes[0])["y"][0].get_xdata()) == 50
    assert len(lines(plot(long).axes[0])["y"][0].get_xdata()) == 900
    assert len(lines(plot(long, max_insample_length=30).axes[0])["y"][0].get_xdata()) == 30


def test_integer_times_are_whole_numbers_on_the_axis() -> None:
    df = generate_series(1, 1, 9, 9)
    figure = plot(df, forecasts_of(df, "GRU"))
    figure.draw_without_rendering()
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert all(tick.isdigit() for tick in ticks)
    assert figure.axes[0].get_xlabel() == "ds"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_one_axes_a_series_and_it_can_be_saved(count: int) -> None:
    figure = plot(DAILY, ids=list(DAILY["unique_id"].unique()[:count]))
    assert len(figure.axes) == count
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_draws_on_the_users_axes() -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2)
    assert plot(DAILY, ids=["S4", "S5"], ax=axes) is figure
    assert len(axes[1].get_lines()) == 1
    assert axes[0].get_legend() is not None
    pyplot.close(figure)
    with pytest.raises(ValueError, match="ax must hold one Axes for each of 3 series; got 2"):
        plot(DAILY, max_ids=3, ax=axes)


def test_leaves_nothing_open_behind() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot(DAILY)
    assert pyplot.get_fignums() == before


def test_other_names_of_columns_zones_and_missing_values() -> None:
    df = DAILY.rename(columns={"unique_id": "shop", "ds": "day", "y": "sold"})
    df["day"] = df["day"].dt.tz_localize("Europe/Paris")
    df.loc[3, "sold"] = np.nan
    figure = plot(df, id_col="shop", time_col="day", target_col="sold", ids=["S0"])
    assert np.isnan(lines(figure.axes[0])["sold"][0].get_ydata()[3])
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"df": [1, 2]}, "df must be a pandas DataFrame.*got list"),
        ({"df": DAILY.drop(columns="y")}, r"df: The following columns are missing: \['y'\]"),
        ({"df": DAILY.iloc[:0]}, "df has no rows"),
        ({"df": DAILY.assign(ds="soon")}, "time column .'ds'. should have either timestamps or integers"),
        ({"ids": ["S99"]}, r"ids: no series \['S99'\]"),
        ({"ids": []}, "ids names no series"),
        ({"max_ids": 0}, "max_ids"),
        ({"max_insample_length": -1}, "max_insample_length"),
        ({"models": ["TCN"]}, r"models: \['TCN'\] not among"),
        ({"level": 70}, r"level: forecasts has no interval of \[70.0\]"),
        ({"forecasts": DAILY[["unique_id", "ds"]]}, "no column of a model"),
        ({"forecasts": forecasts_of(DAILY, "GRU").assign(unique_id="X")}, "none of the series of df"),
    ],
)
def test_refusals_say_what_is_there(wrong: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"df": DAILY, "forecasts": forecasts_of(DAILY, "GRU", levels=(80,))} | wrong
    with pytest.raises((TypeError, ValueError), match=message):
        plot(**arguments)


def test_without_matplotlib_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.figure'] = None\n"
        "import pandas as pd\n"
        "from bptt.forecast.plotting import plot\n"
        "try:\n    plot(pd.DataFrame())\n"
        "except ImportError as error:\n    assert 'pip install bptt[plot]' in str(error); print('said so')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "said so"


def test_a_notebook_shows_the_picture():
    figure = plot(DAILY)
    assert figure._repr_png_().startswith(b"\x89PNG")
