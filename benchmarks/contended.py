"""A machine that is shared: beside busy processes, beside another training, beside PyTorch in the same process.

Busy processes: 0, 1, 2 and 6 of them compute without a pause. A fair scheduler leaves k threads beside c of them on n
cores the part n / (c + k) of their full speed, if that is below 1: "share" is that slowdown, and ours, in mean time a
step, may be 1.25 of it, and not above PyTorch's. Both sides run in turns of half a second, so that both meet the same.

Without pauses: one step of ours, one of PyTorch's, and so on; each side's threads are still awake in the other's step.

    python benchmarks/contended.py --skip-fit        # about 3 minutes; with the fits 10
    python benchmarks/contended.py --only fit        # exit code 1 with --check where a mark is missed
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import bptt
from bptt.forecast import GRU, Forecaster
from bptt.numerics.cores import available_cores
from forecast_data import DATA, m4
from layer_step import GRID, Row, ours, theirs
from side_by_side import Table, agree, difference, marked, options, pytorch, verdict, warn_if_busy

COMPETITORS = (0, 1, 2, 6)
ROWS = (Row(1, 100, 64, 128), Row(32, 50, 64, 128))
TURN = 0.5  # seconds
OVER_SHARE, SIDE_BY_SIDE, NO_PAUSES = 1.25, 0.9, 1.0
IDLE_AFTER, IDLE_FOR, IDLE = 1.0, 3.0, 0.001  # seconds, and the part of a core that counts as none
AGREEMENT = 1e-4
PARTS = ("steps", "fit", "two", "idle", "pauses")


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute all the while."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.3 if count else 0)
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def share(competitors: int, threads: int) -> float:
    """The slowdown that a fair scheduler leaves."""
    return max(1.0, (competitors + threads) / available_cores())


def mean_times(steps: list[Callable[[], Any]], budget: float) -> np.ndarray:
    """Mean seconds a step (turns, sides), the sides in turns of half a second."""
    rounds: list[list[float]] = []
    end = time.perf_counter() + budget
    while len(rounds) < 2 or time.perf_counter() < end:
        means = []
        for step in steps:
            step()
            start, count = time.perf_counter(), 0
            while time.perf_counter() < start + TURN:
                step()
                count += 1
            means.append((time.perf_counter() - start) / count)
        rounds.append(means)
    return np.array(rounds)


def spread(times: np.ndarray) -> str:
    low, middle, high = np.quantile(1e3 * times, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} - {high:.2f})"


def compare_steps(torch: Any, table: Table, threads: int, budget: float) -> Iterator[str]:
    """LSTM steps of both sides beside busy processes."""
    for row in ROWS:
        us, them = ours("LSTM", row).step, theirs(torch, "LSTM", row).step
        agree(f"LSTM {row}", difference(us(), them()), AGREEMENT)
        alone = None
        for count in COMPETITORS:
            with busy(count):
                times = mean_times([us, them], budget)
            mean = times.mean(0)
            alone = mean if alone is None else alone
            slower, allowed = mean / alone, share(count, threads)
            missed = count > 0 and (slower[0] > OVER_SHARE * allowed or slower[0] > slower[1])
            table.row(
                f"LSTM step {row}",
                count,
                spread(times[:, 0]),
                spread(times[:, 1]),
                f"{allowed:.2f}",
                f"{slower[0]:.2f}",
                f"{slower[1]:.2f}",
                marked(OVER_SHARE * allowed, missed) if count else "",
            )
            if missed:
                figures = f"{slower[0]:.2f} x slower (share {allowed:.2f}, PyTorch {slower[1]:.2f})"
                yield f"LSTM {row} beside {count}: {figures}"


def compare_fits(table: Table, threads: int, data: Any) -> Iterator[str]:
    """A forecaster with its defaults beside busy processes; no peer has it."""

    def seconds(**settings: Any) -> float:
        model = GRU(h=data.h, seasonality=list(data.seasonality), **settings)
        start = time.perf_counter()
        Forecaster(models=[model], freq=1).fit(data.train)
        return time.perf_counter() - start

    seconds(max_steps=2)  # compiles
    alone = None
    for count in COMPETITORS:
        with busy(count):
            took = seconds()
        alone = took if alone is None else alone
        slower, allowed = took / alone, share(count, threads)
        missed = slower > OVER_SHARE * allowed
        times = f"{1e3 * took:.0f}"
        limit = marked(OVER_SHARE * allowed, missed) if count else ""
        table.row(f"{data.name}, default fit", count, times, "", f"{allowed:.2f}", f"{slower:.2f}", "", limit)
        if missed:
            yield f"{data.name} beside {count}: {slower:.2f} x slower (share {allowed:.2f})"


def train(seconds: float) -> None:
    """What runs side by side: print how many steps of the second row were made."""
    step = ours("LSTM", ROWS[1]).step
    step()
    print("ready", flush=True)
    sys.stdin.readline()
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        step()
        count += 1
    print(count / (time.perf_counter() - start), flush=True)


def trainings(count: int, threads: int, seconds: float) -> float:
    """Steps a second of so many processes together."""
    command = [sys.executable, __file__, "--train", str(seconds), "--threads", str(threads)]
    pipe = subprocess.PIPE
    programs = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    return sum(float(program.communicate()[0]) for program in programs)


def compare_trainings(threads: int, budget: float) -> Iterator[str]:
    ratios = []
    for _ in range(3):
        alone, both = trainings(1, threads, budget), trainings(2, threads, budget)
        ratios.append(both / alone)
        print(
            f"One training: {alone:.0f} steps a second; two side by side: {both:.0f} in sum, {ratios[-1]:.2f} of one."
        )
    ratio = float(np.median(ratios))
    if ratio < SIDE_BY_SIDE:
        yield f"two trainings side by side: {ratio:.2f} of one in sum, mark {SIDE_BY_SIDE:g}"


def compare_idle() -> Iterator[str]:
    step = ours("LSTM", ROWS[0]).step
    for _ in range(50):
        step()
    time.sleep(IDLE_AFTER)
    before = time.process_time()
    time.sleep(IDLE_FOR)
    part = (time.process_time() - before) / IDLE_FOR
    print(f"Idle, {IDLE_AFTER:g} s after the last call: {part:.2%} of a core.")
    if part > IDLE:
        yield f"idle: {part:.2%} of a core, mark 0"


def compare_without_pauses(torch: Any, markdown: bool, budget: float) -> Iterator[str]:
    table = Table({"B, T, I, H": 18, "bptt ms": 22, "PyTorch ms": 22, "ratio": 5, "mark": 10}, markdown)
    for row in GRID:
        sides = [ours("LSTM", row).step, theirs(torch, "LSTM", row).step]
        times: list[list[float]] = []
        end = time.perf_counter() + budget
        while len(times) < 10 or time.perf_counter() < end:
            pair = []
            for step in sides:
                start = time.perf_counter()
                step()
                pair.append(time.perf_counter() - start)
            times.append(pair)
        both = np.array(times[3:])
        ratio = both[:, 1].mean() / both[:, 0].mean()
        missed = ratio < NO_PAUSES
        table.row(row, spread(both[:, 0]), spread(both[:, 1]), f"{ratio:.2f}", marked(NO_PAUSES, missed))
        if missed:
            yield f"without pauses, LSTM {row}: {ratio:.2f}, mark {NO_PAUSES:g}"


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns the exit code."""
    parser = options(__doc__, budget=6.0)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--skip-fit", action="store_true", help="without the forecasts, which take minutes")
    parser.add_argument("--train", type=float, help="a training to run beside others: for this script itself")
    chosen = parser.parse_args(arguments)
    bptt.set_num_threads(chosen.threads)
    if chosen.train is not None:
        train(chosen.train)
        return 0
    warn_if_busy()
    torch = pytorch()
    torch.set_num_threads(chosen.threads)
    missed: list[str] = []
    if "idle" in chosen.only:  # before PyTorch has threads
        missed += compare_idle()
    if {"steps", "fit"} & set(chosen.only):
        print("\nBeside busy processes: mean time, slowdown against none\n")
        columns = {"what": 30, "busy": 4, "bptt ms": 22, "PyTorch ms": 22, "share": 5, "bptt x": 6, "PyTorch x": 9}
        table = Table(columns | {"mark": 12}, chosen.markdown)
        if "steps" in chosen.only:
            missed += compare_steps(torch, table, chosen.threads, chosen.seconds)
        if "fit" in chosen.only and not chosen.skip_fit:
            if DATA.is_dir():
                missed += compare_fits(table, chosen.threads, m4(DATA, "Hourly"))
            else:
                print("The fits are left out: there is no data folder for forecasts.")
    if "two" in chosen.only:
        print()
        missed += compare_trainings(chosen.threads, chosen.seconds)
    if "pauses" in chosen.only:
        print("\nIn turns with PyTorch in one process, without pauses: mean time\n")
        missed += compare_without_pauses(torch, chosen.markdown, chosen.seconds)
    print(f"\nfloat32, {chosen.threads} threads, {available_cores()} cores, {os.cpu_count()} in all.")
    return verdict(missed, chosen.check)


if __name__ == "__main__":
    sys.exit(main())
