"""A frame of a million rows: what `fit` and `predict` take besides the training itself, in seconds and in memory.

    python benchmarks/million_rows.py                # 1,000 daily series of 1,000 values
    python benchmarks/million_rows.py --check        # exit with code 1 where a mark is missed

A fit of one step is all overhead: reading, sorting, checks, scaling, choosing naive forecasts. Memory is the growth of
the process' peak over that before `fit`, machine code loaded and frame there; it is given in frames, too.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
import pandas as pd

from bptt.forecast import GRU, Forecaster
from side_by_side import verdict, warn_if_busy

OVERHEAD_MARK = 1.0  # seconds


def frame(series: int, length: int) -> pd.DataFrame:
    """Weeks and noise."""
    rng = np.random.default_rng(0)
    week = 10 * np.sin(2 * np.pi * np.arange(length) / 7)
    y = 50 + week + rng.standard_normal((series, length))
    ids = np.repeat([f"series {i}" for i in range(series)], length)
    ds = np.tile(pd.date_range("2022-01-01", periods=length), series)
    return pd.DataFrame({"unique_id": ids, "ds": ds, "y": y.ravel()})


def peak() -> float:
    """Megabytes; Linux counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main(arguments: list[str] | None = None) -> int:
    """Print what was measured; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a mark is missed")
    options = parser.parse_args(arguments)
    warn_if_busy()

    few = frame(5, 200)
    Forecaster(models=[GRU(h=14, max_steps=1)], freq="D").fit(few).predict(level=[80])
    df = frame(options.series, options.length)
    shuffled = df.sample(frac=1, random_state=0)
    size = df.memory_usage(deep=True).sum() / 1e6
    missed = []
    print(f"{len(df):,} rows, {size:.0f} MB\n")
    print("| | seconds | peak memory grew by, MB | in frames |\n| --- | --- | --- | --- |")
    before = peak()
    for name, given, steps in (
        ("fit, 1 step: overhead", df, 1),
        ("the same, rows in no order", shuffled, 1),
        ("fit, defaults", df, None),
    ):
        start = time.perf_counter()
        forecaster = Forecaster(models=[GRU(h=14, max_steps=steps)], freq="D").fit(given)
        seconds = time.perf_counter() - start
        print(f"| {name} | {seconds:.2f} | {peak() - before:.0f} | {(peak() - before) / size:.2f} |")
        if steps == 1 and seconds > OVERHEAD_MARK:
            missed.append(f"{name}: {seconds:.2f} s, mark {OVERHEAD_MARK:g}")
    start = time.perf_counter()
    forecasts = forecaster.predict(level=[80, 95])
    seconds = time.perf_counter() - start
    grown = peak() - before
    print(f"| predict, {len(forecasts):,} rows | {seconds:.2f} | {grown:.0f} | {grown / size:.2f} |")
    return verdict(missed, options.check)


if __name__ == "__main__":
    sys.exit(main())
