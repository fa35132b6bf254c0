"""One series from a CSV file: read it, see how good the forecasts are, forecast with intervals.

Writes a small file of its own, two years of daily visits, unless given one with two columns, time and value:

    python examples/forecast_one_series.py
    python examples/forecast_one_series.py sales.csv --freq h --h 24 --plot sales.png     # needs the extra `plot`
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from bptt.forecast import Forecaster, Pretrained, accuracy, generate_series, plot


def example_file(folder: Path) -> Path:
    """A CSV as one finds them: a time, a value, no series' name."""
    df = generate_series(1, freq="D", min_length=730, max_length=730, with_trend=True, start="2023-01-01", seed=5)
    path = folder / "visits.csv"
    df[["ds", "y"]].rename(columns={"ds": "day", "y": "visits"}).to_csv(path, index=False)
    return path


def read(path: Path) -> pd.DataFrame:
    """The long frame that a forecaster takes: which series, when, how much."""
    df = pd.read_csv(path)
    time, value = df.columns[:2]
    return pd.DataFrame({"unique_id": value, "ds": pd.to_datetime(df[time]), "y": df[value]})


def main(arguments: list[str] | None = None) -> None:
    """From a file to a forecast."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="a CSV of two columns, time and value")
    parser.add_argument("--freq", default="D", help="the step of the times (default: %(default)s, days)")
    parser.add_argument("--h", type=int, default=14, help="how many steps to forecast")
    parser.add_argument("--finetune-steps", type=int, default=0, help="how long to train on the series (default: not)")
    parser.add_argument("--plot", type=Path, help="where a picture goes")
    options = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory() as folder:
        df = read(options.file or example_file(Path(folder)))
    print(f"{len(df)} values of {df['unique_id'].iloc[0]}, {df['ds'].min().date()} to {df['ds'].max().date()}")

    # The network has learned from random series and comes with the library: nothing has to be trained.
    model = Pretrained(h=options.h, finetune_steps=options.finetune_steps)
    forecaster = Forecaster(models=[model], freq=options.freq)

    # How good is it? Four cutoffs, the forecasts from each, and the last season repeated beside them.
    cv = forecaster.cross_validation(df, n_windows=4, step_size=options.h, level=[80])
    print(accuracy(cv, df, options.freq).drop(columns="loses").to_string(index=False, float_format="%.2f"), end="\n\n")

    # The forecast itself, out of all the values.
    forecaster.fit(df)
    forecasts = forecaster.predict(level=[80, 95])
    print(forecasts.drop(columns="unique_id").to_string(index=False, float_format="%.1f"))

    if options.plot:
        plot(df, forecasts).savefig(options.plot, dpi=150)
        print(f"\nplot: {options.plot}")


if __name__ == "__main__":
    main()
