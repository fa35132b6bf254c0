"""No forecast and no interval changes in a bit when what comes after its cutoff changes, whatever the options."""

import itertools

import numpy as np
import pandas as pd
import pytest
from made_panels import DAILY, panel_of

from bptt.forecast import GRU, ConformalIntervals, Forecaster
from bptt.forecast.evaluation.fitted import train
from bptt.forecast.network.step import STRATEGIES

# Series end in missing values here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.* series end in missing values:UserWarning")
H, ROWS = 3, 40
EVERY_ANCHOR = ["last", "mean", "drift", 7, "change:7", "mean:7", "change:2", 1]
# What may stand after a cutoff: nothing, another order of absolute, another sign.
AFTER = {"missing": np.nan, "huge": 1e30, "negative": -5.0}
OPTIONS = {
    "defaults": {},
    "log": {"transform": "log"},
    "none, standard": {"transform": "none", "scaler_type": "standard"},
    "sqrt, mean": {"transform": "sqrt", "scaler_type": "mean"},
    "identity": {"scaler_type": "identity", "loss": "huber"},
    "mse": {"loss": "mse"},
    "every anchor": {"anchors": EVERY_ANCHOR},
    "ensemble": {"ensemble": 2, "num_layers": 2},
}
OF_STRATEGY = {
    "recursive": {
        "scheduled_sampling": {"scheduled_sampling": 0.9},
        "scheduled_sampling, lags": {"scheduled_sampling": 0.5, "lags": [2, 7], "anchors": EVERY_ANCHOR, "h_train": 5},
    },
    "direct": {"lags": {"lags": "auto"}},
    "segment": {"segment": {"segment": 2, "input_size": 9}},
}
CASES = [
    pytest.param(strategy, options, id=f"{strategy}-{name}")
    for strategy in STRATEGIES
    for name, options in (OPTIONS | OF_STRATEGY[strategy]).items()
]


def model_of(strategy, **options):
    exogenous = {"futr_exog_list": ["price"], "stat_exog_list": ["size"]}
    if strategy != "recursive":
        exogenous["hist_exog_list"] = ["sales"]
    tiny = {"h": H, "input_size": 8, "seasonality": 7, "hidden_size": 4, "max_steps": 3, "batch_size": 8}
    return GRU(strategy=strategy, **exogenous, **tiny | {"learning_rate": 0.05, "quantiles": [0.1, 0.9]} | options)


def frames():
    """Two series that are never negative, one of them with gaps, and their static column."""
    rng = np.random.default_rng(0)
    parts = []
    for name, rows in (("a", ROWS), ("b", ROWS - 9)):
        y = 20 + 4 * np.sin(2 * np.pi * np.arange(rows) / 7) + rng.standard_normal(rows)
        if name == "b":
            y[rng.random(rows) < 0.2] = np.nan
            y[0] = 3.0
        days = pd.date_range("2024-01-01", periods=rows, freq="D")
        columns = {"price": rng.standard_normal(rows), "sales": rng.standard_normal(rows)}
        parts.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y, **columns}))
    return pd.concat(parts, ignore_index=True), pd.DataFrame({"unique_id": ["a", "b"], "size": [1.0, 2.0]})


def changed_after(df, last, value):
    """The last rows of each series with another y and another past-only column."""
    other = df.copy()
    late = other.groupby("unique_id").cumcount(ascending=False) < last
    other.loc[late, "y"] = value
    other.loc[late, "sales"] = 1e6
    return other


def numbers_of(result):
    return result.drop(columns=["y"]).set_index(["unique_id", "ds", "cutoff"])


def assert_same_bits(one, other):
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def cross_validated(df, static, strategy, options, local=None, **arguments):
    forecaster = Forecaster([model_of(strategy, **options)], "D", local_scaler_type=local)
    result = forecaster.cross_validation(df, static, n_windows=2, step_size=H, level=[80], **arguments)
    return numbers_of(result)


@pytest.mark.parametrize(("strategy", "options"), CASES)
def test_cross_validation(strategy, options):
    df, static = frames()
    said = cross_validated(df, static, strategy, options)
    first = said.groupby("unique_id").head(H)
    assert_same_bits(said, cross_validated(changed_after(df, H, 1e30), static, strategy, options))
    for value in AFTER.values():
        # The later window goes by rows that come after the first one's cutoff.
        other = cross_validated(changed_after(df, 2 * H, value), static, strategy, options)
        assert_same_bits(first, other.groupby("unique_id").head(H))


@pytest.mark.parametrize("local", ["standard", "robust", "minmax"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cross_validation_scaled_validated_and_calibrated(strategy, local):
    df, static = frames()
    options = {"scheduled_sampling": 0.9} if strategy == "recursive" else {}
    fitting = {"local": local, "val_size": H, "prediction_intervals": ConformalIntervals(n_windows=5)}
    said = cross_validated(df, static, strategy, options | {"val_check_steps": 1}, **fitting)
    for value in AFTER.values():
        other = cross_validated(
            changed_after(df, H, value), static, strategy, options | {"val_check_steps": 1}, **fitting
        )
        assert_same_bits(said, other)


@pytest.mark.parametrize(("strategy", "options"), CASES)
def test_forecasts_of_windows_inside_a_panel(strategy, options):
    """Those of `predict_insample`: the panel holds what came after each window."""
    rng = np.random.default_rng(1)
    series = [np.abs(20 + 3 * rng.standard_normal(n)) for n in (ROWS, ROWS - 12)]
    columns = {"futr_price": [rng.standard_normal(len(y)) for y in series], "stat_size": [0.0, 1.0]}
    if strategy != "recursive":
        columns["hist_sales"] = [rng.standard_normal(len(y)) for y in series]
    panel = panel_of(series, **columns)
    model = model_of(strategy, **options)
    model.fit(panel, freq=DAILY)
    numbers, ends = np.arange(2), np.array([len(y) - 6 for y in series])
    said = model.forecast(panel, numbers, ends)
    after = panel.position >= ends[panel.series]
    for value, seen in itertools.product((1e30, -5.0), (True, False)):
        other = panel_of(series, **columns)
        other.y[after], other.observed[after], other.hist[after] = value, seen, 1e6
        for one, again in zip(said, model.forecast(other, numbers, ends), strict=True):
            np.testing.assert_array_equal(one, again)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_insample(strategy):
    """The models stay as they are, and so does what they take for the smallest spread of a series: that counts where a
    window holds a single value, at a series' beginning. All else is from before the cutoff."""
    df, static = frames()
    options = {"scheduled_sampling": 0.9} if strategy == "recursive" else {}
    forecaster = Forecaster([model_of(strategy, **options)], "D").fit(df, static)
    trained, panel, encoding = forecaster._fitted("testing")
    said = numbers_of(forecaster.predict_insample(step_size=H, level=[80])).query("cutoff > '2024-01-08'")
    late = panel.position >= (panel.lengths - H)[panel.series]
    panel.y[late], panel.hist[late] = 40.0, 1e6
    forecaster._keep(trained, panel, encoding)
    again = numbers_of(forecaster.predict_insample(step_size=H, level=[80])).query("cutoff > '2024-01-08'")
    assert_same_bits(said, again)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_errors_that_intervals_are_calibrated_by(strategy):
    """Those of the first held-out window know nothing of the second."""
    rng = np.random.default_rng(2)
    series = [20 + 3 * rng.standard_normal(ROWS) for _ in range(2)]
    other = [np.concatenate([y[:-H], 7 * y[-H:]]) for y in series]
    options = {"scheduled_sampling": 0.9} if strategy == "recursive" else {}
    model = GRU(strategy=strategy, h=H, input_size=8, hidden_size=4, max_steps=3, batch_size=8, **options)
    errors = []
    for values in (series, other):
        trained = train(
            [model], ["GRU"], panel_of(values), DAILY, local_scaler_type="standard",
            prediction_intervals=ConformalIntervals(n_windows=2),
        )  # fmt: skip
        calibration = trained.calibrations[0]
        assert calibration is not None
        errors.append(calibration.errors)
    np.testing.assert_array_equal(errors[0][::2], errors[1][::2])
    assert (errors[0][1::2] != errors[1][1::2]).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_predictions_of_another_history(strategy):
    """`predict(df)` of a history that ends at the cutoff is that of the window in a longer one."""
    df, static = frames()
    options = {"scheduled_sampling": 0.9} if strategy == "recursive" else {}
    known = df[df.groupby("unique_id").cumcount(ascending=False) >= H]
    future = df[df.groupby("unique_id").cumcount(ascending=False) < H][["unique_id", "ds", "price"]]
    forecaster = Forecaster([model_of(strategy, **options)], "D").fit(known, static)
    said = forecaster.predict(futr_df=future, level=[80])
    window = forecaster.cross_validation(df, static, level=[80]).drop(columns=["cutoff", "y"])
    pd.testing.assert_frame_equal(said, window, check_exact=True)
