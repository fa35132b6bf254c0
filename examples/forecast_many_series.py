"""Hundreds of series, one model: what is known beforehand, what each series is, and how good the forecasts are.

Daily sales of many shops (generated: a week's rhythm, a trend, noise). `futr_0` marks the days of promotions, which are
planned, so known for the days to forecast, too; `static_0` is the kind of the shop, which never changes. Three times a
fortnight is kept apart and forecast by a model that sees these columns, by one that does not, and by last week's value.

    python examples/forecast_many_series.py
    python examples/forecast_many_series.py --series 500 --plot shops.png      # needs the extra `plot`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from bptt.forecast import GRU, Forecaster, generate_series, plot

H, WEEK = 14, 7


def mean_scaled_error(cv: pd.DataFrame, df: pd.DataFrame, column: str) -> float:
    """MASE (Hyndman & Koehler 2006): the mean error, in units of the mean change from week to week."""
    change = df.groupby("unique_id")["y"].diff(WEEK).abs().groupby(df["unique_id"]).mean()
    error = (cv[column] - cv["y"]).abs().groupby(cv["unique_id"]).mean()
    return float((error / change).mean())


def last_week(cv: pd.DataFrame, df: pd.DataFrame) -> pd.Series:
    """For every row the value of the same weekday in the last week before its cutoff."""
    ahead = (cv["ds"] - cv["cutoff"]).dt.days
    same_day = cv["cutoff"] + pd.to_timedelta((ahead - 1) % WEEK + 1 - WEEK, unit="D")
    values = df.set_index(["unique_id", "ds"])["y"]
    return pd.Series(values.loc[list(zip(cv["unique_id"], same_day, strict=True))].to_numpy(), cv.index)


def main(arguments: list[str] | None = None) -> None:
    """Cross-validate, compare, forecast."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--length", type=int, default=300, help="days of the longest series")
    parser.add_argument("--max-steps", type=int, default=500, help="how long to train")
    parser.add_argument("--plot", type=Path, help="where a picture goes")
    options = parser.parse_args(arguments)
    # Of the shortest series, half as long: a week to compare with, three cutoffs, and the future.
    shortest = 2 * (WEEK + 4 * H)
    if options.length < shortest:
        parser.error(f"--length must be at least {shortest} days for three cutoffs and a future; got {options.length}")

    full = generate_series(
        options.series, "D", min_length=options.length // 2, max_length=options.length,
        with_trend=True, n_futr_exog=1, n_static_features=1, seed=0,
    )  # fmt: skip
    # What a series is goes into a frame of its own, with one row each.
    static_df = full[["unique_id", "static_0"]].drop_duplicates()
    full = full.drop(columns="static_0")
    # The last fortnight is the future: of it we know the promotions, and not what was sold.
    future = full.groupby("unique_id").cumcount(ascending=False) < H
    df, futr_df = full[~future], full.loc[future, ["unique_id", "ds", "futr_0"]]

    knowing = GRU(
        h=H, futr_exog_list=["futr_0"], stat_exog_list=["static_0"], max_steps=options.max_steps, alias="GRU, knowing"
    )
    plain = GRU(h=H, max_steps=options.max_steps, alias="GRU")
    forecaster = Forecaster(models=[knowing, plain], freq="D")

    # One training before the first cutoff; then each of the three fortnights is forecast from all before it.
    cv = forecaster.cross_validation(df, static_df=static_df, n_windows=3, step_size=H, level=[80])
    cv["last week"] = last_week(cv, df)
    print(f"{options.series} series, 3 cutoffs each, {len(cv):,} forecasts: mean scaled error")
    for column in ("GRU, knowing", "GRU", "last week"):
        print(f"  {column:<14}{mean_scaled_error(cv, df, column):.3f}")
    inside = cv["y"].between(cv["GRU, knowing-lo-80"], cv["GRU, knowing-hi-80"]).mean()
    print(f"  {100 * inside:.1f}% of the values inside the 80% interval of the first\n")

    forecaster.fit(df, static_df=static_df)
    missing = forecaster.get_missing_future(futr_df)
    assert missing.empty, "the promotions of each day to forecast have to be known"
    forecasts = forecaster.predict(futr_df=futr_df, level=[80])
    print(forecasts.head(3).to_string(index=False))

    if options.plot:
        shown = list(df["unique_id"].unique()[:4])
        plot(df, cv, ids=shown, models=["GRU, knowing"]).savefig(options.plot, dpi=150)
        print(f"\nplot: {options.plot}")


if __name__ == "__main__":
    main()
