"""Frames in and out of a Forecaster, by a model whose forecasts can be worked out by hand."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from fake_model import SeasonalNaive
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from bptt.forecast.evaluation.intervals import ConformalIntervals
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.models import GRU


def series(lengths=(30, 24), *, season=7, seed=0, start="2024-01-31", freq="D", names=("a", "b", "k")):
    rng = np.random.default_rng(seed)
    parts = []
    for at, length in enumerate(lengths):
        y = 100 * (at + 1) + 10 * np.sin(2 * np.pi * np.arange(length) / season) + rng.normal(size=length)
        ds = pd.date_range(start, periods=length, freq=freq)
        parts.append(pd.DataFrame({"unique_id": names[at], "ds": ds, "y": y}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def df():
    return series()


def naive(h=3, season=7, **arguments):
    return SeasonalNaive(h, season, **arguments)


# ------------------------------------------------------------------------------------------------ constructor


def test_models_of_one_class_are_numbered_and_aliases_stay():
    forecaster = Forecaster([naive(), naive(alias="weekly"), naive(), naive()], "D")
    assert forecaster.aliases == ["SeasonalNaive", "weekly", "SeasonalNaive1", "SeasonalNaive2"]
    taken = Forecaster([naive(alias="SeasonalNaive1"), naive(), naive()], "D")
    assert taken.aliases == ["SeasonalNaive1", "SeasonalNaive", "SeasonalNaive2"]


def test_the_models_that_were_passed_stay_untrained(df):
    model = naive()
    forecaster = Forecaster([model, model], "D").fit(df)
    assert not model.is_fitted
    assert all(fitted.is_fitted for fitted in forecaster.models)


def test_repr_says_what_it_holds(df):
    forecaster = Forecaster([naive(), naive(alias="w")], "M")
    assert repr(forecaster) == "Forecaster(models=[SeasonalNaive, w], freq='ME', h=3, not fitted)"
    forecaster = Forecaster([naive()], "D").fit(df)
    assert repr(forecaster) == "Forecaster(models=[SeasonalNaive], freq='D', h=3, fitted to 2 series)"
    assert repr(Forecaster([naive()], 1)) == "Forecaster(models=[SeasonalNaive], freq=1, h=3, not fitted)"


@pytest.mark.parametrize(
    ("models", "kind", "message"),
    [
        ([], ValueError, "models must be a list of at least one model"),
        (naive(), TypeError, "models must be a list of models"),
        ("GRU", TypeError, "models must be a list of models, like .* got 'GRU'"),
        (
            [naive(), SeasonalNaive],
            TypeError,
            r"models\[1\] is the class SeasonalNaive: call it, like SeasonalNaive\(h=12\)",
        ),
        (["GRU"], TypeError, r"models\[0\] must be a model of bptt.forecast, .* got 'GRU' \(str\)"),
        ([naive(3), naive(4, alias="b")], ValueError, "same horizon h; got SeasonalNaive: 3, b: 4"),
        ([naive(alias="a"), naive(alias="a")], ValueError, "its own alias; got 'a' more than once"),
    ],
)
def test_what_are_no_models(models, kind, message):
    with pytest.raises(kind, match=message):
        Forecaster(models, "D")


def test_freq_has_to_be_given():
    with pytest.raises(TypeError, match="freq"):
        Forecaster([naive()])
    with pytest.raises(TypeError, match="freq must be a pandas alias"):
        Forecaster([naive()], None)
    with pytest.raises(ValueError, match="nonsense"):
        Forecaster([naive()], "nonsense")


def test_local_scaler_type_is_one_of_three():
    with pytest.raises(
        ValueError, match=r"local_scaler_type .* must be one of 'standard', 'robust', 'minmax'; got 'box'"
    ):
        Forecaster([naive()], "D", local_scaler_type="box")


# ---------------------------------------------------------------------------------------------------- predict


def test_predict_continues_each_series_in_the_order_of_the_frame(df):
    result = Forecaster([naive()], "D").fit(df).predict()
    assert result.columns.tolist() == ["unique_id", "ds", "SeasonalNaive"]
    assert result["unique_id"].tolist() == ["a"] * 3 + ["b"] * 3
    assert isinstance(result.index, pd.RangeIndex)
    for name, part in df.groupby("unique_id"):
        mine = result[result["unique_id"] == name]
        assert mine["ds"].tolist() == [part["ds"].iloc[-1] + pd.Timedelta(days=day) for day in (1, 2, 3)]
        assert mine["SeasonalNaive"].tolist() == part["y"].iloc[-7:-4].tolist()


def test_rows_may_come_in_any_order(df):
    shuffled = df.sample(frac=1, random_state=3)
    order = shuffled["unique_id"].unique().tolist()
    plain, mixed = (Forecaster([naive()], "D").fit(frame).predict(level=[80]) for frame in (df, shuffled))
    assert mixed["unique_id"].unique().tolist() == order
    assert_frame_equal(
        mixed.sort_values(["unique_id", "ds"], ignore_index=True),
        plain.sort_values(["unique_id", "ds"], ignore_index=True),
    )


def test_columns_of_several_models_with_levels(df):
    forecaster = Forecaster([naive(), naive(season=1, alias="last")], "D").fit(df)
    assert forecaster.predict(level=[95, 80]).columns.tolist()[2:] == [
        *("SeasonalNaive", "SeasonalNaive-lo-95", "SeasonalNaive-lo-80", "SeasonalNaive-hi-80", "SeasonalNaive-hi-95"),
        *("last", "last-lo-95", "last-lo-80", "last-hi-80", "last-hi-95"),
    ]
    assert forecaster.predict(quantiles=[0.9, 0.1]).columns.tolist()[2:] == [
        *("SeasonalNaive", "SeasonalNaive_ql0.1", "SeasonalNaive_ql0.9"),
        *("last", "last_ql0.1", "last_ql0.9"),
    ]


@pytest.mark.parametrize("intervals", [None, ConformalIntervals(4)])
def test_levels_and_quantiles_agree_bit_by_bit(df, intervals):
    forecaster = Forecaster([naive()], "D").fit(df, prediction_intervals=intervals)
    by_level, by_quantile = forecaster.predict(level=[60, 80]), forecaster.predict(quantiles=[0.1, 0.2, 0.8, 0.9])
    assert by_level.iloc[:, 3:].to_numpy().tolist() == by_quantile.iloc[:, 3:].to_numpy().tolist()


def test_quantiles_that_the_model_knows_are_its_own(df):
    forecaster = Forecaster([naive()], "D").fit(df)
    result = forecaster.predict(level=[80])
    # By hand: the quantiles of all seasonal differences, around the season before.
    misses = np.concatenate([part.to_numpy()[7:] - part.to_numpy()[:-7] for _, part in df.groupby("unique_id")["y"]])
    low, high = np.quantile(misses, [0.1, 0.9])
    assert result["SeasonalNaive-lo-80"].to_numpy() == pytest.approx(result["SeasonalNaive"] + low)
    assert result["SeasonalNaive-hi-80"].to_numpy() == pytest.approx(result["SeasonalNaive"] + high)


def test_predict_takes_longer_histories_and_series_it_never_saw(df):
    forecaster = Forecaster([naive()], "D").fit(df)
    other = series((20, 40, 9), seed=9, names=("new", "w", "a"), start="2025-03-01")
    result = forecaster.predict(other)
    assert result["unique_id"].unique().tolist() == ["a", "new", "w"]
    for name, part in other.groupby("unique_id"):
        assert result.loc[result["unique_id"] == name, "SeasonalNaive"].tolist() == part["y"].iloc[-7:-4].tolist()
    assert_frame_equal(forecaster.predict(df, level=[80]), forecaster.predict(level=[80]))
    assert forecaster.models[0].fits == 1


def test_names_of_columns_are_the_users(df):
    renamed = df.rename(columns={"unique_id": "shop", "ds": "day", "y": "sales"})
    names = {"id_col": "shop", "time_col": "day", "target_col": "sales"}
    forecaster = Forecaster([naive()], "D").fit(renamed, **names)
    assert forecaster.predict().columns.tolist() == ["shop", "day", "SeasonalNaive"]
    cv = forecaster.cross_validation(renamed, **names)
    assert cv.columns.tolist() == ["shop", "day", "cutoff", "SeasonalNaive", "sales"]
    assert forecaster.predict(renamed).columns.tolist() == ["shop", "day", "SeasonalNaive"]


def test_integer_ids_and_times_keep_their_types():
    df = pd.DataFrame({"unique_id": np.repeat([3, 7], 10), "ds": np.tile(np.arange(10), 2), "y": np.arange(20.0)})
    result = Forecaster([naive(2, 1)], 1).fit(df).predict()
    assert result.to_dict("list") == {
        "unique_id": [3, 3, 7, 7],
        "ds": [10, 11, 10, 11],
        "SeasonalNaive": [9, 9, 19, 19],
    }
    assert result.dtypes["unique_id"] == df.dtypes["unique_id"]
    assert result.dtypes["ds"] == df.dtypes["ds"]


def test_time_zones_come_back():
    df = series((10,)).assign(ds=pd.date_range("2024-03-30", periods=10, freq="h", tz="Europe/Vienna"))
    forecaster = Forecaster([naive(2, 1)], "h").fit(df)
    assert forecaster.predict()["ds"].tolist() == list(pd.date_range(df["ds"].iloc[-1], periods=3, freq="h")[1:])
    cv = forecaster.cross_validation(df)
    assert cv["cutoff"].tolist() == [df["ds"].iloc[-3]] * 2
    assert cv["cutoff"].dtype == df["ds"].dtype


def test_month_ends_with_the_old_alias():
    df = series((12,), freq="ME")
    assert Forecaster([naive()], "M").fit(df).predict()["ds"].dt.day.tolist() == [31, 28, 31]


def test_a_shorter_horizon_for_all_a_longer_one_for_recursive_models(df):
    forecaster = Forecaster([naive()], "D").fit(df)
    assert_frame_equal(
        forecaster.predict(h=2), forecaster.predict().groupby("unique_id", sort=False).head(2).reset_index(drop=True)
    )
    with pytest.raises(
        ValueError, match=r"h must be at most 3, the horizon of SeasonalNaive \(strategy='direct'\); got 4"
    ):
        forecaster.predict(h=4)
    with pytest.raises(ValueError, match="h must be an integer of at least 1; got 0"):
        forecaster.predict(h=0)
    longer = Forecaster([naive(strategy="recursive")], "D").fit(df, prediction_intervals=ConformalIntervals(4))
    assert (
        longer.predict(h=9, level=[80])["SeasonalNaive"].tolist()[:9]
        == df["y"][23:30].tolist() + df["y"][23:25].tolist()
    )


def test_future_exogenous_columns_come_from_futr_df(df):
    df = df.assign(price=np.arange(len(df), dtype=float))
    forecaster = Forecaster([naive(futr_exog_list=["price"]), naive(alias="without")], "D").fit(df)
    with pytest.raises(ValueError, match="Models require the following future exogenous features"):
        forecaster.predict()
    futr_df = forecaster.make_future_dataframe().assign(price=np.arange(6.0))
    result = forecaster.predict(futr_df=futr_df)
    assert (result["SeasonalNaive"] - result["without"]).tolist() == pytest.approx(range(6))
    missing = forecaster.get_missing_future(futr_df.drop(index=[1, 4]))
    assert_frame_equal(missing, futr_df.loc[[1, 4], ["unique_id", "ds"]].reset_index(drop=True))
    cv = forecaster.cross_validation(df, n_windows=1)
    assert (cv["SeasonalNaive"] - cv["without"]).tolist() == pytest.approx([27, 28, 29, 51, 52, 53])


def test_models_see_the_columns_of_all_of_them(df):
    df = df.assign(price=1.0, sold=2.0, day="mon")
    static_df = pd.DataFrame({"unique_id": ["b", "a"], "size": [1.0, 2.0]})
    models = [
        naive(futr_exog_list=["price"], stat_exog_list=["size"]),
        naive(futr_exog_list=["day", "price"], hist_exog_list=["sold"]),
    ]
    forecaster = Forecaster(models, "D").fit(df, static_df)
    for model in forecaster.models:
        assert model.columns == (("price", "day=mon"), ("sold",), ("size",))
    futr_df = forecaster.make_future_dataframe().assign(price=0.0, day="mon")
    expected = forecaster.predict(futr_df=futr_df)
    assert_frame_equal(forecaster.predict(df, static_df, futr_df=futr_df), expected)
    assert_frame_equal(forecaster.make_future_dataframe(df[["unique_id", "ds", "y"]]), expected[["unique_id", "ds"]])
    with pytest.raises(ValueError, match="static"):
        forecaster.predict(df, futr_df=futr_df)
    # A warm start goes on with the columns there were.
    with pytest.warns(UserWarning, match="categories that the training data does not have"):
        forecaster.fit(df.assign(day="tue"), static_df, warm_start=True)
    assert forecaster.models[0].columns[0] == ("price", "day=mon")
    assert forecaster.fit(df.assign(day="tue"), static_df).models[0].columns[0] == ("price", "day=tue")


def test_frames_of_the_future(df):
    step_by_step = naive(futr_exog_list=["price"], strategy="recursive")
    forecaster = Forecaster([step_by_step], "D").fit(df.assign(price=1.0))
    assert_frame_equal(
        forecaster.make_future_dataframe(),
        forecaster.predict(futr_df=forecaster.make_future_dataframe().assign(price=0))[["unique_id", "ds"]],
    )
    other = series((8,), names=("z",), start="2026-01-01")
    future = forecaster.make_future_dataframe(other, h=2)
    assert future["ds"].tolist() == [pd.Timestamp("2026-01-09"), pd.Timestamp("2026-01-10")]
    assert forecaster.get_missing_future(future, other, h=2).empty
    assert len(forecaster.get_missing_future(future, other)) == 1


def test_static_df_needs_its_series(df):
    forecaster = Forecaster([naive()], "D").fit(df)
    with pytest.raises(ValueError, match="static_df describes the series of df"):
        forecaster.predict(static_df=pd.DataFrame({"unique_id": ["a", "b"]}))


@pytest.mark.parametrize(
    "call",
    [
        lambda forecaster: forecaster.predict(),
        lambda forecaster: forecaster.predict_insample(),
        lambda forecaster: forecaster.make_future_dataframe(),
        lambda forecaster: forecaster.get_missing_future(series()),
        lambda forecaster: forecaster.save("nowhere"),
    ],
)
def test_before_fit(call):
    with pytest.raises(ValueError, match="You must fit the model before"):
        call(Forecaster([naive()], "D"))


def test_predict_before_fit_says_so_in_the_known_words():
    with pytest.raises(ValueError, match=r"You must fit the model before predicting\."):
        Forecaster([naive()], "D").predict()


# -------------------------------------------------------------------------------------------------------- fit


def test_fit_starts_anew_unless_it_is_to_go_on(df):
    forecaster = Forecaster([naive()], "D")
    assert forecaster.fit(df) is forecaster
    first = forecaster.predict(level=[80])
    assert forecaster.fit(df).models[0].fits == 1
    assert_frame_equal(forecaster.predict(level=[80]), first, check_exact=True)
    assert forecaster.fit(df, warm_start=True).models[0].fits == 2
    assert forecaster.fit(df, warm_start=True, prediction_intervals=ConformalIntervals(4)).models[0].fits == 3


def test_an_error_in_fit_leaves_the_earlier_fit(df):
    forecaster = Forecaster([naive(), naive(alias="second")], "D").fit(df)
    before, models = forecaster.predict(level=[80]), copy.copy(forecaster.models)
    forecaster.models[1].fails = True
    with pytest.raises(FloatingPointError):
        forecaster.fit(series(seed=5))
    with pytest.raises(ValueError, match="columns are missing"):
        forecaster.fit(df.drop(columns="y"))
    assert_frame_equal(forecaster.predict(level=[80]), before, check_exact=True)
    assert forecaster.models == models


def test_sizes_of_the_validation_part(df):
    forecaster = Forecaster([naive(early_stop_patience_steps=5)], "D")
    with pytest.raises(ValueError, match="Set val_size>0 if early stopping is enabled: SeasonalNaive has early"):
        forecaster.fit(df)
    with pytest.raises(ValueError, match="Set val_size>0"):
        forecaster.cross_validation(df)
    for size in (1, 2):
        with pytest.raises(
            ValueError, match="val_size must be either 0 or greater than or equal to the horizon: 3; got"
        ):
            forecaster.fit(df, val_size=size)
    with pytest.raises(ValueError, match="val_size must be an integer of at least 0; got -1"):
        forecaster.fit(df, val_size=-1)
    forecaster.fit(df, val_size=3)


def test_silence_unless_verbose(df, capsys):
    forecaster = Forecaster([naive()], "D").fit(df)
    forecaster.cross_validation(df)
    assert capsys.readouterr().out == ""
    forecaster.fit(df, val_size=3, verbose=1)
    forecaster.cross_validation(df, n_windows=2, verbose=1)
    assert capsys.readouterr().out == "SeasonalNaive: holdout 0, val_size 3\nSeasonalNaive: holdout 4, val_size 0\n"


def test_aliases_are_no_other_columns(df):
    with pytest.raises(ValueError, match="alias must not be the name of another column of the results; got 'cutoff'"):
        Forecaster([naive(alias="cutoff")], "D").fit(df)
    with pytest.raises(ValueError, match="got 'sales'"):
        Forecaster([naive(alias="sales")], "D").fit(df.rename(columns={"y": "sales"}), target_col="sales")


def test_arguments_of_other_types_are_named(df):
    forecaster = Forecaster([naive()], "D")
    with pytest.raises(TypeError, match=r"prediction_intervals must be ConformalIntervals\(...\) or None; got 2"):
        forecaster.fit(df, prediction_intervals=2)
    with pytest.raises(TypeError, match="id_col must be a column's name"):
        forecaster.fit(df, id_col=0)
    with pytest.raises(ValueError, match=r"You can't set both level and quantiles\."):
        forecaster.fit(df).predict(level=[80], quantiles=[0.1])


# ------------------------------------------------------------------------------------------------ scaled series


@pytest.mark.parametrize(
    ("kind", "center", "spread"),
    [
        ("standard", np.mean, np.std),
        ("robust", np.median, lambda y: np.median(np.abs(y - np.median(y)))),
        ("minmax", np.min, np.ptp),
    ],
)
def test_series_are_scaled_for_the_models_and_forecasts_scaled_back(kind, center, spread):
    df = series()
    forecaster = Forecaster([naive()], "D", local_scaler_type=kind).fit(df)
    result = forecaster.predict(level=[80])
    plain = Forecaster([naive()], "D").fit(df).predict(level=[80])
    assert result["SeasonalNaive"].to_numpy() == pytest.approx(plain["SeasonalNaive"].to_numpy())
    scaled = {name: (y - center(y)) / spread(y) for name, y in df.groupby("unique_id")["y"]}
    misses = np.concatenate([y.to_numpy()[7:] - y.to_numpy()[:-7] for y in scaled.values()])
    low = np.quantile(misses, 0.1)
    for name, y in df.groupby("unique_id")["y"]:
        mine = result[result["unique_id"] == name]
        assert (mine["SeasonalNaive-lo-80"] - mine["SeasonalNaive"]).to_numpy() == pytest.approx(low * spread(y))


@pytest.mark.parametrize("kind", ["standard", "robust", "minmax"])
def test_new_series_are_scaled_by_their_own_history(kind):
    forecaster = Forecaster([naive()], "D", local_scaler_type=kind).fit(series())
    new = series((20,), seed=4, names=("n",))
    width = forecaster.predict(new, level=[80]).eval("`SeasonalNaive-hi-80` - `SeasonalNaive-lo-80`")
    tenfold = forecaster.predict(new.assign(y=10 * new["y"]), level=[80])
    assert tenfold.eval("`SeasonalNaive-hi-80` - `SeasonalNaive-lo-80`").to_numpy() == pytest.approx(10 * width)


@pytest.mark.parametrize("kind", ["standard", "robust", "minmax"])
def test_constant_and_missing_series_have_a_scale(kind):
    constant = series((20, 20)).assign(y=lambda frame: np.where(frame["unique_id"] == "a", 5.0, frame["y"]))
    constant.loc[3, "y"] = np.nan
    result = Forecaster([naive()], "D", local_scaler_type=kind).fit(constant).predict(level=[80])
    assert np.isfinite(result.iloc[:, 2:].to_numpy()).all()
    assert (result["SeasonalNaive"][:3] == 5).all()


def test_the_order_of_the_series_changes_nothing():
    df = series((30, 24))
    turned = pd.concat([part for _, part in df.groupby("unique_id")][::-1])
    model = GRU(h=3, hidden_size=4, max_steps=3, batch_size=4)
    there, back = (Forecaster([model], "D").fit(frame).predict(level=[80]) for frame in (df, turned))
    assert_frame_equal(there, back, check_exact=True)


@pytest.mark.parametrize("again", [False, True])
def test_trailing_missing_values_are_said_at_the_users_line(df, again):
    cut = df.copy()
    cut.loc[[28, 29], "y"] = np.nan
    forecaster = Forecaster([naive()], "D").fit(df)
    with pytest.warns(UserWarning, match="1 of 2 series end in missing values") as caught:
        forecaster.predict(cut) if again else Forecaster([naive()], "D").fit(cut)
    assert [one.filename for one in caught] == [__file__]
    with pytest.warns(UserWarning, match="1 of 2 series end in missing values.*no y to compare"):
        Forecaster([naive()], "D").cross_validation(cut)


def peak_at_eight(start, days, zone="Europe/Berlin"):
    """Hours of local days, of which the one at 8 o'clock has a peak."""
    ds = pd.date_range(start, pd.Timestamp(start) + pd.Timedelta(days=days), freq="h", tz=zone, inclusive="left")
    return pd.DataFrame({"unique_id": "a", "ds": ds, "y": np.where(ds.hour == 8, 9.0, 1.0)})


@pytest.mark.parametrize(("change", "hour"), [("2024-03-31", 9), ("2024-10-27", 7)])
def test_a_change_of_the_clock_is_said_and_local_times_keep_the_hour(change, hour):
    day = pd.Timestamp(change)
    df = peak_at_eight(day - pd.Timedelta(days=9), 9)
    forecaster = Forecaster([naive(48, 24)], "h").fit(df)
    with pytest.warns(UserWarning, match=rf"clock of Europe/Berlin changes .* series 'a', at ds {change}") as caught:
        result = forecaster.predict()
    assert [one.filename for one in caught] == [__file__]
    assert result.loc[result["SeasonalNaive"] > 5, "ds"].dt.hour.tolist() == [hour, hour]
    # What the warning advises.
    local = df.assign(ds=df["ds"].dt.tz_localize(None))
    result = Forecaster([naive(48, 24)], "h").fit(local).predict()
    assert result.loc[result["SeasonalNaive"] > 5, "ds"].dt.hour.tolist() == [8, 8]


def test_a_change_of_the_clock_before_the_forecasts_is_said_as_long_as_a_season_reaches_it():
    for days, said in ((6, True), (8, False)):
        df = peak_at_eight("2024-03-25", 7 + days)
        forecaster = Forecaster([naive(3, 24)], "h").fit(df)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            forecaster.predict()
            cv = Forecaster([naive(3, 24)], "h").cross_validation(df, n_windows=2)
            forecaster.predict_insample(step_size=len(df))
        assert len(cv) == 6
        assert ["clock of Europe/Berlin" in str(one.message) for one in caught] == [True] * 3 * said


@pytest.mark.parametrize(("freq", "zone"), [("h", None), ("h", "UTC"), ("h", "Asia/Tokyo"), ("D", "Europe/Berlin")])
def test_clocks_that_do_not_change_and_days_need_no_word(freq, zone):
    ds = pd.date_range("2024-03-01", periods=30 * (24 if freq == "h" else 1), freq=freq, tz=zone)
    Forecaster([naive(48)], freq).fit(pd.DataFrame({"unique_id": "a", "ds": ds, "y": 1.0})).predict()


@pytest.mark.parametrize("freq", [1, "YE"])
def test_a_calendar_that_says_nothing_is_refused(freq):
    with pytest.raises(ValueError, match="SeasonalNaive: calendar=True needs times with calendar features"):
        Forecaster([naive(calendar=True)], freq)


# ------------------------------------------------------------------------------------------- cross-validation


def test_windows_end_with_the_series(df):
    cv = Forecaster([naive()], "D").cross_validation(df, n_windows=3, step_size=2)
    assert cv.columns.tolist() == ["unique_id", "ds", "cutoff", "SeasonalNaive", "y"]
    assert cv["unique_id"].tolist() == ["a"] * 9 + ["b"] * 9
    for name, part in df.groupby("unique_id"):
        mine, ds, y = cv[cv["unique_id"] == name], part["ds"].tolist(), part["y"].tolist()
        ends = [len(ds) - 7, len(ds) - 5, len(ds) - 3]
        assert mine["cutoff"].tolist() == [ds[end - 1] for end in ends for _ in range(3)]
        assert mine["ds"].tolist() == [ds[end + step] for end in ends for step in range(3)]
        assert mine["y"].tolist() == [y[end + step] for end in ends for step in range(3)]
        assert mine["SeasonalNaive"].tolist() == [y[end + step - 7] for end in ends for step in range(3)]


@pytest.mark.parametrize(
    ("refit", "expected"), [(False, [7]), (0, [7]), (True, [7, 5, 3]), (1, [7, 5, 3]), (2, [7, 3]), (3, [7]), (5, [7])]
)
def test_trainings_and_what_they_may_see(df, refit, expected, capsys):
    forecaster = Forecaster([naive()], "D")
    cv = forecaster.cross_validation(df, n_windows=3, step_size=2, refit=refit, val_size=3, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"SeasonalNaive: holdout {holdout}, val_size 3" for holdout in expected]
    assert len(cv) == 18


def test_one_training_forecasts_all_cutoffs_in_one_call(df, monkeypatch):
    calls = []
    forecast = SeasonalNaive.forecast

    def counted(self, panel, series, ends, h=None, until=None):
        calls.append(series.size)
        return forecast(self, panel, series, ends, h, until)

    monkeypatch.setattr(SeasonalNaive, "forecast", counted)
    Forecaster([naive()], "D").cross_validation(df, n_windows=4)
    assert calls == [8]


@pytest.mark.parametrize("refit", [False, True, 2])
@pytest.mark.parametrize("kind", [None, "standard"])
@pytest.mark.parametrize("intervals", [None, ConformalIntervals(4, 1)])
def test_nothing_after_a_cutoff_is_known_before_it(refit, kind, intervals):
    """With the rows of the last window changed, the forecasts of all windows stay what they were."""
    df = series((60, 50))
    changed = df.copy()
    changed.loc[df.groupby("unique_id").tail(3).index, "y"] = 1e6
    results = [
        Forecaster([naive()], "D", local_scaler_type=kind).cross_validation(
            frame, n_windows=3, step_size=3, refit=refit, level=[80], prediction_intervals=intervals
        )
        for frame in (df, changed)
    ]
    assert_frame_equal(*(result.drop(columns="y") for result in results), check_exact=True)


def test_refitted_windows_are_what_fit_and_predict_give(df):
    """Each window of refit=True is a fit on the rows before the cutoff, and its prediction."""
    arguments = {"level": [80]}
    cv = Forecaster([naive()], "D", local_scaler_type="robust").cross_validation(
        df, n_windows=2, step_size=4, refit=True, **arguments
    )
    for behind in (7, 3):
        before = pd.concat([part.iloc[:-behind] for _, part in df.groupby("unique_id", sort=False)])
        expected = Forecaster([naive()], "D", local_scaler_type="robust").fit(before).predict(**arguments)
        window = cv.merge(before.groupby("unique_id")["ds"].max().rename("cutoff").reset_index())
        assert_frame_equal(window.drop(columns=["cutoff", "y"]), expected, check_exact=True)


def test_the_forecasters_own_fit_stays_as_it_was(df):
    forecaster = Forecaster([naive()], "D")
    forecaster.cross_validation(df)
    with pytest.raises(ValueError, match=r"You must fit the model before predicting\."):
        forecaster.predict()
    before = forecaster.fit(df).predict(level=[80])
    forecaster.cross_validation(series(seed=8), refit=True, n_windows=2)
    assert_frame_equal(forecaster.predict(level=[80]), before, check_exact=True)


def test_series_too_short_for_a_cutoff_are_left_out_of_it():
    df = series((30, 8, 2))
    forecaster = Forecaster([naive()], "D")
    with pytest.warns(UserWarning, match=r"4 of 9 windows are left out, of 2 series \('b', 'k'\)") as caught:
        cv = forecaster.cross_validation(df, n_windows=3, step_size=3)
    assert len(caught) == 1
    assert cv.groupby("unique_id").size().to_dict() == {"a": 9, "b": 6}
    with pytest.raises(ValueError, match=r"no series has an observed value before .* the longest has 30 rows"):
        forecaster.cross_validation(df, n_windows=20, step_size=3)


def test_a_window_needs_an_observed_value_before_it():
    df = series((30, 12))
    df.loc[30:37, "y"] = np.nan  # of b only the last four values are known
    with pytest.warns(UserWarning, match=r"1 of 4 windows are left out, of 1 series \('b'\)"):
        cv = Forecaster([naive()], "D").cross_validation(df, n_windows=2, step_size=1)
    assert cv.groupby("unique_id").size().to_dict() == {"a": 6, "b": 3}


def test_missing_values_of_a_window_are_nan(df):
    df.loc[29, "y"] = np.nan
    with pytest.warns(UserWarning, match="series 'a' is of ds 2024-02-28, its last row of 2024-02-29"):
        cv = Forecaster([naive()], "D").cross_validation(df)
    assert cv["y"].isna().tolist() == [False, False, True, False, False, False]
    assert cv["SeasonalNaive"].notna().all()


def test_test_size_instead_of_windows(df):
    forecaster = Forecaster([naive()], "D")
    assert_frame_equal(
        forecaster.cross_validation(df, n_windows=None, test_size=7, step_size=2),
        forecaster.cross_validation(df, n_windows=3, step_size=2),
    )
    with pytest.raises(ValueError, match="test_size must be h=3 plus a multiple of step_size=2"):
        forecaster.cross_validation(df, n_windows=None, test_size=6, step_size=2)
    with pytest.raises(ValueError, match="one of n_windows and test_size must be given"):
        forecaster.cross_validation(df, n_windows=None)
    with pytest.raises(ValueError, match="one of n_windows and test_size must be given"):
        forecaster.cross_validation(df, test_size=7)


@pytest.mark.parametrize(
    "arguments", [{"n_windows": 0}, {"step_size": 0}, {"step_size": 1.5}, {"refit": -1}, {"refit": "yes"}, {"h": 4}]
)
def test_arguments_of_cross_validation(df, arguments):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(arguments))} must be"):
        Forecaster([naive()], "D").cross_validation(df, **arguments)


@given(
    st.lists(st.integers(1, 25), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([False, True, 2, 3]),
)
@pytest.mark.filterwarnings("ignore:cross_validation")
def test_every_window_that_has_a_past_is_there_once(lengths, h, n_windows, step_size, refit):
    df = series(lengths, names="abcd")
    expected = [
        (name, ds[end - 1], ds[end + step])
        for name, ds in ((name, part.tolist()) for name, part in df.groupby("unique_id", sort=False)["ds"])
        for end in (len(ds) - h - back * step_size for back in reversed(range(n_windows)))
        if end > 0
        for step in range(h)
    ]
    forecaster = Forecaster([naive(h, 1)], "D")
    if max(lengths) <= h + (n_windows - 1) * step_size:  # nothing to train on
        with pytest.raises(ValueError, match="no series has an observed value"):
            forecaster.cross_validation(df, n_windows=n_windows, step_size=step_size, refit=refit)
        return
    cv = forecaster.cross_validation(df, n_windows=n_windows, step_size=step_size, refit=refit, quantiles=[0.3, 0.7])
    assert list(zip(cv["unique_id"], cv["cutoff"], cv["ds"], strict=True)) == expected
    last = df.set_index(["unique_id", "ds"])["y"]
    assert cv["SeasonalNaive"].tolist() == [last[name, cutoff] for name, cutoff, _ in expected]
    assert (cv["SeasonalNaive_ql0.3"] <= cv["SeasonalNaive_ql0.7"]).all()


# --------------------------------------------------------------------------------------------- in the sample


@pytest.mark.parametrize("step_size", [1, 2, 3, 40])
def test_every_window_of_the_training_data(df, step_size):
    result = Forecaster([naive()], "D").fit(df).predict_insample(step_size, level=[80])
    assert result.columns.tolist()[:3] == ["unique_id", "ds", "cutoff"]
    assert result.columns[-1] == "y"
    for name, part in df.groupby("unique_id"):
        ds, y = part["ds"].tolist(), part["y"].tolist()
        ends = sorted(range(len(ds) - 3, 0, -step_size))
        mine = result[result["unique_id"] == name]
        assert mine["cutoff"].tolist() == [ds[end - 1] for end in ends for _ in range(3)]
        assert mine["ds"].tolist() == [ds[end + step] for end in ends for step in range(3)]
        assert mine["y"].tolist() == [y[end + step] for end in ends for step in range(3)]


def test_a_window_is_forecast_the_same_among_many_and_alone():
    """Positive at first, with zeros later: what is chosen for a series must not hang on the windows of a call."""
    df = series((40, 40))
    df.loc[30:39, "y"] = 0.0
    forecaster = Forecaster([GRU(3, hidden_size=5, max_steps=20, seasonality=7)], "D").fit(df)
    many, alone = (forecaster.predict_insample(step_size) for step_size in (1, 100))
    last = many.merge(alone[["unique_id", "cutoff"]].drop_duplicates(), how="inner")
    assert_frame_equal(last, alone, check_exact=True)


def test_series_without_a_window_are_named():
    forecaster = Forecaster([naive()], "D").fit(series((30, 3)))
    with pytest.warns(UserWarning, match=r"1 series \('b'\) left out"):
        assert forecaster.predict_insample()["unique_id"].unique().tolist() == ["a"]
    with pytest.raises(ValueError, match="no series has h=3 rows with an observed value before"):
        Forecaster([naive()], "D").fit(series((3,))).predict_insample()
    with pytest.raises(ValueError, match="step_size must be an integer of at least 1"):
        forecaster.predict_insample(0)


# -------------------------------------------------------------------------------------------------- intervals


def test_a_model_of_one_quantile_has_no_intervals_until_it_is_calibrated(df, capsys):
    forecaster = Forecaster([naive(quantiles=(0.5,))], "D").fit(df)
    assert forecaster.predict(quantiles=[0.5]).columns[-1] == "SeasonalNaive_ql0.5"
    with pytest.raises(ValueError, match=r"SeasonalNaive forecasts the quantile 0\.5 only"):
        forecaster.predict(level=[80])
    with pytest.raises(ValueError, match=r"SeasonalNaive forecasts the quantile 0\.5 only"):
        forecaster.cross_validation(df, level=[80], verbose=1)
    assert capsys.readouterr().out == ""  # before any training
    result = forecaster.fit(df, prediction_intervals=ConformalIntervals(4)).predict(level=[80])
    assert (result["SeasonalNaive-lo-80"] < result["SeasonalNaive-hi-80"]).all()


def noise(number, length, seed=0):
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 100, size=number)
    ds = np.tile(np.arange(length), number)
    y = (rng.normal(size=(number, length)) * scale[:, None]).ravel()
    return pd.DataFrame({"unique_id": np.repeat(np.arange(number), length), "ds": ds, "y": y})


def coverage(result, level):
    return (
        (result["y"] >= result[f"SeasonalNaive-lo-{level}"]) & (result["y"] <= result[f"SeasonalNaive-hi-{level}"])
    ).mean()


def test_calibration_gives_noise_the_coverage_that_was_asked():
    df = noise(300, 60)
    model = naive(3, 1, narrow=0.01)
    bare = Forecaster([model], 1).cross_validation(df, level=[80, 95])
    assert coverage(bare, 80) < 0.3
    calibrated = Forecaster([model], 1).cross_validation(
        df, level=[80, 95], prediction_intervals=ConformalIntervals(n_windows=4)
    )
    # Three of the steps of a window share its last value: 300 independent windows count.
    for level in (80, 95):
        share = level / 100
        assert coverage(calibrated, level) == pytest.approx(share, abs=3.5 * np.sqrt(share * (1 - share) / 300))
    assert (np.diff(calibrated[[f"SeasonalNaive-{end}" for end in ("lo-95", "lo-80", "hi-80", "hi-95")]]) >= 0).all()


def test_calibration_follows_the_scale_of_each_series():
    df = noise(40, 60)
    forecaster = Forecaster([naive(3, 1)], 1).fit(df, prediction_intervals=ConformalIntervals())
    width = forecaster.predict(level=[80]).eval("`SeasonalNaive-hi-80` - `SeasonalNaive-lo-80`")
    tenfold = Forecaster([naive(3, 1)], 1).fit(df.assign(y=10 * df["y"]), prediction_intervals=ConformalIntervals())
    assert tenfold.predict(level=[80]).eval(
        "`SeasonalNaive-hi-80` - `SeasonalNaive-lo-80`"
    ).to_numpy() == pytest.approx(10 * width)


def test_held_out_rows_are_forecast_by_models_that_did_not_see_them(df, capsys):
    Forecaster([naive()], "D").fit(df, prediction_intervals=ConformalIntervals(3, step_size=2), val_size=4, verbose=1)
    assert capsys.readouterr().out.splitlines() == [
        "SeasonalNaive: holdout 7, val_size 4",
        "SeasonalNaive: holdout 0, val_size 4",
    ]


def test_held_out_rows_lie_before_the_windows_of_cross_validation(df, capsys):
    intervals = ConformalIntervals(2, step_size=1)
    Forecaster([naive()], "D").cross_validation(
        df, n_windows=2, refit=True, level=[60], prediction_intervals=intervals, verbose=1
    )
    holdouts = [line.split()[2] for line in capsys.readouterr().out.splitlines()]
    assert holdouts == ["8,", "4,", "7,", "3,"]


@pytest.mark.parametrize("kind", ["standard", "robust", "minmax"])
def test_calibrated_intervals_move_with_the_units_of_y(df, kind):
    intervals = ConformalIntervals(4)
    plain, other = (
        Forecaster([naive()], "D", local_scaler_type=kind)
        .fit(frame, prediction_intervals=intervals)
        .predict(level=[60, 80])
        for frame in (df, df.assign(y=10 * df["y"] - 3000))
    )
    assert other.iloc[:, 2:].to_numpy() == pytest.approx(10 * plain.iloc[:, 2:].to_numpy() - 3000)


def test_missing_values_calibrate_nothing(df):
    df["y"] += 1e6
    df.loc[[25, 27, 52], "y"] = np.nan
    forecaster = Forecaster([naive(season=1)], "D").fit(df, prediction_intervals=ConformalIntervals(4))
    width = forecaster.predict(level=[80]).eval("`SeasonalNaive-hi-80` - `SeasonalNaive-lo-80`")
    assert (width < 1000).all()


def test_too_few_held_out_values_are_named(df):
    forecaster = Forecaster([naive()], "D").fit(df, prediction_intervals=ConformalIntervals(1))
    forecaster.predict(level=[60])
    with pytest.warns(
        UserWarning, match=r"SeasonalNaive: 6 held-out values are too few for the quantile\(s\) 0.025, 0.975"
    ):
        forecaster.predict(level=[60, 95])


def test_series_too_short_to_calibrate_are_named_and_forecast():
    df = series((30, 4))
    with pytest.warns(UserWarning, match=r"prediction_intervals: 1 of 4 windows are left out, of 1 series \('b'\)"):
        forecaster = Forecaster([naive()], "D").fit(df, prediction_intervals=ConformalIntervals(2))
    assert np.isfinite(forecaster.predict(level=[60]).iloc[:, 2:].to_numpy()).all()
    with pytest.raises(ValueError, match="prediction_intervals: no series has an observed value"):
        forecaster.fit(df, prediction_intervals=ConformalIntervals(20))


@given(
    st.integers(0, 1000),
    st.lists(st.floats(0.02, 0.98), min_size=2, max_size=5, unique=True),
    st.booleans(),
    st.sampled_from([None, "standard", "robust", "minmax"]),
)
@pytest.mark.filterwarnings("ignore:SeasonalNaive. .* held-out values are too few")
def test_quantile_columns_never_cross(seed, quantiles, calibrated, kind):
    forecaster = Forecaster([naive()], "D", local_scaler_type=kind).fit(
        series(seed=seed), prediction_intervals=ConformalIntervals() if calibrated else None
    )
    result = forecaster.predict(quantiles=quantiles)
    assert (np.diff(result.iloc[:, 3:].to_numpy(), axis=1) >= 0).all()


# ---------------------------------------------------------------------------------------------- utilsforecast


def test_utilsforecast_evaluates_predictions(df):
    evaluation = pytest.importorskip("utilsforecast.evaluation")
    losses = pytest.importorskip("utilsforecast.losses")
    from functools import partial

    train = pd.concat([part.iloc[:-3] for _, part in df.groupby("unique_id", sort=False)])
    forecaster = Forecaster([naive(), naive(season=1, alias="last")], "D").fit(train)
    merged = forecaster.predict(level=[80, 95]).merge(df, on=["unique_id", "ds"])
    assert len(merged) == 6
    mase = partial(losses.mase, seasonality=7)
    result = evaluation.evaluate(
        merged,
        [losses.mse, losses.mae, losses.smape, mase, losses.coverage, losses.quantile_loss, losses.scaled_crps],
        level=[80, 95],
        train_df=train,
    )
    by_hand = (merged["SeasonalNaive"] - merged["y"]).abs().groupby(merged["unique_id"]).mean()
    mae = result[result["metric"] == "mae"].set_index("unique_id")
    assert mae["SeasonalNaive"].to_dict() == pytest.approx(by_hand.to_dict())
    assert set(result.columns) == {"unique_id", "metric", "SeasonalNaive", "last"}
    inside = merged.eval("`last-lo-80` <= y <= `last-hi-80`").groupby(merged["unique_id"]).mean()
    covered = result[result["metric"] == "coverage_level80"].set_index("unique_id")["last"]
    assert covered.to_dict() == pytest.approx(inside.to_dict())
    by_quantile = forecaster.predict(quantiles=[0.1, 0.9]).merge(df, on=["unique_id", "ds"])
    loss = losses.mqloss(by_quantile, {"last": ["last_ql0.1", "last_ql0.9"]}, np.array([0.1, 0.9]))
    assert np.isfinite(loss["last"]).all()


@pytest.mark.parametrize("refit", [False, True])
def test_utilsforecast_evaluates_cross_validation(df, refit):
    evaluation = pytest.importorskip("utilsforecast.evaluation")
    losses = pytest.importorskip("utilsforecast.losses")
    from functools import partial

    cv = Forecaster([naive(), naive(season=1, alias="last")], "D").cross_validation(
        df, n_windows=3, step_size=3, refit=refit, level=[80, 95]
    )
    result = evaluation.evaluate(
        cv,
        [
            losses.mse,
            losses.mae,
            losses.smape,
            partial(losses.mase, seasonality=7),
            losses.coverage,
            losses.quantile_loss,
        ],
        level=[80, 95],
        train_df=df,
    )
    assert {"unique_id", "cutoff", "metric", "SeasonalNaive", "last"} == set(result.columns)
    assert len(result[result["metric"] == "mse"]) == 6
    assert np.isfinite(result[["SeasonalNaive", "last"]].to_numpy()).all()
    squares = ((cv["last"] - cv["y"]) ** 2).groupby([cv["unique_id"], cv["cutoff"]]).mean()
    mse = result[result["metric"] == "mse"].set_index(["unique_id", "cutoff"])["last"]
    assert mse.to_dict() == pytest.approx(squares.to_dict())
