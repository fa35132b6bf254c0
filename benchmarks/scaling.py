"""How time and memory grow with the length, the batch and the width.

Time: a training step of a layer (forward and backward) while one of T, B and H grows and the others stay, PyTorch
beside it where that is installed and takes less than LIMIT seconds a step. The table has the slopes on log-log axes,
fitted over all points and over the upper half of them: 1 is linear, 2 quadratic. Linear in T means here that a time
step costs at most 1.3 times as much at T = 100,000 as at T = 1,000.

Memory: a process of its own for each T warms up at T = 2, then runs one forward and backward. "Peak" is how much its
peak resident memory grew by that; it holds x, dy, y and dx, which are the user's own, the tape, and whatever else the
library takes. "Tape" is what has to be remembered: the bytes of x, s and a of `tape.layers`. The mark is on the
quotient (peak - y - dx - dy) / tape, which is 1 where nothing but the tape is needed.

    python benchmarks/scaling.py --plot scaling.png  # about 4 minutes
    python benchmarks/scaling.py --check             # exit code 1 where a mark is missed
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bptt
from layer_step import BLOCKS, Row, ours, theirs
from side_by_side import Table, in_turns, marked, options, pytorch, verdict, warn_if_busy

# The symbol that grows: all sizes (its own is replaced), its values, the slope that the work grows with.
LONGEST = 100_000
SWEEPS: dict[str, tuple[Row, tuple[int, ...], int]] = {
    "T": (Row(4, 0, 16, 64), (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, LONGEST), 1),
    "B": (Row(0, 32, 64, 64), tuple(2**n for n in range(11)), 1),
    "H": (Row(32, 16, 64, 0), tuple(2**n for n in range(4, 12)), 2),
}
NAMES = {"T": "time steps T", "B": "batch B", "H": "hidden units H"}
LIMIT = 2.0
LINEAR_MARK, LINEAR_FROM = 1.3, 1000

REMEMBERED = (1000, 10_000, LONGEST)
MEMORY_MARK = 1.3
MEMORY = """
import json, resource, sys
import numpy as np
import bptt

def peak(anew=False):
    # On Linux ru_maxrss is no less than the peak of the process that started this one, and cannot begin anew.
    try:
        if anew:
            with open("/proc/self/clear_refs", "w") as control:
                control.write("5")
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def step(T):
    x = rng.standard_normal((T, B, I), np.float32)
    dy = rng.standard_normal((T, B, H), np.float32)
    y, _, tape = layer.forward(x)
    g = layer.backward(dy, tape)
    kept = [array.nbytes for part in tape.layers for array in (part.x, part.s, part.a)]
    return {"tape": sum(kept), "given": y.nbytes + dy.nbytes + g.x.nbytes}

cell, B, T, I, H, threads = json.loads(sys.argv[1])
bptt.set_num_threads(threads)
rng = np.random.default_rng(0)
layer = getattr(bptt, cell)(I, H, seed=0)
step(2)
before = peak(anew=True)
print(json.dumps({**step(T), "peak": peak() - before}))
"""


def others(symbol: str) -> str:
    """The sizes that stay while this one grows."""
    sizes = zip("BTIH", SWEEPS[symbol][0], strict=False)
    return ", ".join(f"{name} = {size}" for name, size in sizes if name != symbol)


class Curve(NamedTuple):
    """Seconds of a step at each value of the symbol."""

    cell: str
    symbol: str
    side: str
    values: list[int]
    seconds: list[float]

    def slope(self, part: float = 1.0) -> float:
        """On log-log axes, fitted over the upper `part` of the points."""
        first = len(self.values) - max(2, math.ceil(part * len(self.values)))
        return float(np.polyfit(np.log(self.values[first:]), np.log(self.seconds[first:]), 1)[0])


def curves_of(torch: Any, cell: str, symbol: str, budget: float) -> list[Curve]:
    """Ours and PyTorch's, sampled in turns."""
    base, values, _ = SWEEPS[symbol]
    curves = [Curve(cell, symbol, "bptt", [], [])]
    if torch is not None:
        curves.append(Curve(cell, symbol, "PyTorch", [], []))
    active = list(curves)
    for value in values:
        grown: dict[str, Any] = {symbol: value}
        row = base._replace(**grown)
        sides = [ours(cell, row) if curve.side == "bptt" else theirs(torch, cell, row) for curve in active]
        samples = in_turns([side.step for side in sides], budget, least=3)
        for curve, median in zip(active, np.median(samples, axis=0), strict=True):
            curve.values.append(value)
            curve.seconds.append(float(median))
        # The next value takes some four times as long.
        active = [curve for curve in active if curve.side == "bptt" or curve.seconds[-1] < LIMIT / 4]
    return curves


def measure_time(torch: Any, markdown: bool, budget: float) -> tuple[list[Curve], list[str]]:
    """Print the table of the slopes; the curves, and the marks that are missed."""
    columns = {"cell": 4, "grows": 5, "others": 20, "side": 7, "from - to": 12, "slope": 5, "upper half": 5}
    table = Table(columns | {"work": 4, "us a step, first": 9, "last": 9}, markdown)
    curves = []
    for symbol, (_, _, work) in SWEEPS.items():
        for cell in BLOCKS:
            for curve in curves_of(torch, cell, symbol, budget):
                curves.append(curve)
                ends = f"{curve.values[0]:,} - {curve.values[-1]:,}"
                times = [f"{1e6 * curve.seconds[end]:,.0f}" for end in (0, -1)]
                slopes = [f"{curve.slope():.2f}", f"{curve.slope(0.5):.2f}"]
                table.row(cell, symbol, others(symbol), curve.side, ends, *slopes, work, *times)
    print(f"\nA time step at T = {LONGEST:,} against one at T = {LINEAR_FROM:,} (mark: at most {LINEAR_MARK:g}):")
    missed = []
    for curve in (curve for curve in curves if (curve.symbol, curve.side) == ("T", "bptt")):
        each = dict(zip(curve.values, np.array(curve.seconds) / curve.values, strict=True))
        quotient = each[LONGEST] / each[LINEAR_FROM]
        print(f"  {curve.cell}: {1e6 * each[LONGEST]:.2f} us, {1e6 * each[LINEAR_FROM]:.2f} us: {quotient:.2f}")
        if quotient > LINEAR_MARK:
            missed.append(f"{curve.cell}: {quotient:.2f} times as long a time step, mark {LINEAR_MARK:g}")
    return curves, missed


def measure_memory(threads: int, markdown: bool) -> list[str]:
    """Print the table of the memory; the marks that are missed."""
    columns = {"cell": 4, "T": 7, "peak MB": 7, "of it y, dx, dy": 7, "tape": 7, "peak / tape": 5}
    table = Table(columns | {"without y, dx, dy": 6, "mark": 10}, markdown)
    base, missed = SWEEPS["T"][0], []
    for cell in BLOCKS:
        ours(cell, base._replace(T=2)).step()  # to compile takes memory too: not in the processes that are measured
        for T in REMEMBERED:
            arguments = json.dumps([cell, *base._replace(T=T)[:4], threads])
            command = [sys.executable, "-c", MEMORY, arguments]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            peak, given, tape = found["peak"], found["given"], found["tape"]
            quotient = (peak - given) / tape
            megabytes = [f"{size / 1e6:.1f}" for size in (peak, given, tape)]
            mark = marked(MEMORY_MARK, quotient > MEMORY_MARK)
            table.row(cell, f"{T:,}", *megabytes, f"{peak / tape:.2f}", f"{quotient:.2f}", mark)
            if quotient > MEMORY_MARK:
                missed.append(f"{cell}, T = {T:,}: {quotient:.2f} times the tape, mark {MEMORY_MARK:g}")
    return missed


def plot(curves: list[Curve], threads: int, path: Path) -> None:
    """A panel for each cell and symbol, with a line of the slope that the work grows with."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(BLOCKS), len(SWEEPS), figsize=(11, 9), sharex="col", sharey="col", layout="constrained"
    )
    for axes_row, cell in zip(axes, BLOCKS, strict=True):
        for axis, (symbol, (_, _, work)) in zip(axes_row, SWEEPS.items(), strict=True):
            for curve in (curve for curve in curves if (curve.cell, curve.symbol) == (cell, symbol)):
                style = "C0o-" if curve.side == "bptt" else "C1s--"
                axis.loglog(curve.values, curve.seconds, style, markersize=3.5, linewidth=1.2, label=curve.side)
                if curve.side == "bptt":
                    # Through the last point, as far down as there are times.
                    values = np.array(curve.values)
                    line = curve.seconds[-1] * (values / values[-1]) ** work
                    seen = line > 0.5 * min(curve.seconds)
                    axis.loglog(values[seen], line[seen], "0.6", linewidth=0.8, zorder=0, label=f"slope {work}")
            axis.set_title(f"{cell}: {others(symbol)}", fontsize=9)
            axis.grid(alpha=0.3)
        axes_row[0].set_ylabel("seconds")
    for axis, symbol in zip(axes[-1], SWEEPS, strict=True):
        axis.set_xlabel(NAMES[symbol])
    for axis in axes[0]:
        axis.legend(fontsize=8)
    figure.suptitle(f"Forward and backward of one layer, float32, {threads} threads")
    figure.savefig(path, dpi=120)
    print(f"\nplot: {path}")


def main(arguments: list[str] | None = None) -> int:
    """Print both tables, draw the plot; returns the exit code."""
    parser = options(__doc__, budget=0.5)
    parser.add_argument("--plot", type=Path, help="an image file to draw the curves into (needs the extra `plot`)")
    parser.add_argument("--only", choices=("time", "memory"), help="one of the two (default: both)")
    chosen = parser.parse_args(arguments)

    missed = []
    if chosen.only != "time":
        base = SWEEPS["T"][0]
        print(f"\nMemory of forward and backward, B = {base.B}, I = {base.I}, H = {base.H}, {chosen.threads} threads\n")
        missed += measure_memory(chosen.threads, chosen.markdown)
    if chosen.only != "memory":
        warn_if_busy()
        bptt.set_num_threads(chosen.threads)
        torch = pytorch() if importlib.util.find_spec("torch") else None
        if torch is not None:
            torch.set_num_threads(chosen.threads)
        print(f"\nTime of forward and backward, float32, {chosen.threads} threads\n")
        curves, found = measure_time(torch, chosen.markdown, chosen.seconds)
        missed += found
        if chosen.plot:
            plot(curves, chosen.threads, chosen.plot)
    return verdict(missed, chosen.check)


if __name__ == "__main__":
    sys.exit(main())
