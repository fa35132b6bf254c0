"""A layer side by side with PyTorch in one run: a training step, and the forward pass alone.

A step is the forward pass and the full backward pass: gradients of the input, of both weight matrices and of the
biases. The forward pass alone is what inference needs (PyTorch in its inference mode). Both sides get the same
weights, input and output error, with the same number of threads, and have to agree before anything is timed;
`side_by_side.py` says how. GF/s counts the operations of the matrix products only; "of peak" divides it by what the
same register tile reaches beside each row on operands in the first-level cache, its best sample (`peak.py`).

    python benchmarks/cells.py                       # both tables, about 10 minutes
    python benchmarks/cells.py --rows 5 --cells LSTM --passes step --seconds 20
    python benchmarks/cells.py --check               # exit code 1 where a mark is missed
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import bptt
from layer_step import BLOCKS, GRID, Row, ours, theirs
from peak import peak
from side_by_side import (
    Comparison,
    Table,
    agree,
    difference,
    in_turns,
    load,
    marked,
    options,
    pytorch,
    verdict,
    warn_if_busy,
)

DEEP = tuple(row._replace(layers=2) for row in (Row(16, 50, 64, 64), Row(32, 50, 128, 256), Row(256, 48, 8, 64)))
DOUBLE = tuple(
    row._replace(dtype="float64") for row in (Row(1, 100, 64, 128), Row(32, 50, 64, 128), Row(32, 50, 128, 256))
)
ROWS = GRID + DEEP + DOUBLE

PASSES = {"step": "Forward and backward", "forward": "Forward alone"}
# Ratios: of each row of the step; the geometric mean over the grid, of the step and of the forward pass.
EACH = {"LSTM": 1.05, "GRU": 2.0, "RNN": 1.5}
MEAN = {
    "step": {"LSTM": 1.45, "GRU": 4.8, "RNN": 3.6},
    "forward": {"LSTM": 1.35, "GRU": 3.5, "RNN": 3.0},
}
SHARE_OF_PEAK = 0.75  # of the LSTM's step in float32, where B and H are at least:
LARGE = (32, 256)
UNDISTURBED = 0.85  # of the run's best peak
# Sums of H + I terms over T steps, in two different orders.
AGREEMENT = {"float32": 1e-4, "float64": 1e-11}


class Result(NamedTuple):
    """What one row of a table says."""

    cell: str
    row: Row
    passes: str
    difference: float
    time: Comparison
    peak: float  # operations a second

    @property
    def flops(self) -> int:
        return self.row.flops(self.cell) * (3 if self.passes == "step" else 1)

    @property
    def share(self) -> float:
        return self.flops / self.time.ours / self.peak

    @property
    def mark(self) -> float | None:
        return EACH[self.cell] if self.passes == "step" else None

    @property
    def below(self) -> bool:
        return self.mark is not None and self.time.ratio < self.mark

    @property
    def below_peak(self) -> bool:
        large = self.row.B >= LARGE[0] and self.row.H >= LARGE[1] and self.row.dtype == "float32"
        return self.passes == "step" and self.cell == "LSTM" and large and self.share < SHARE_OF_PEAK

    @property
    def attainable(self) -> float:
        """The ratio of a step that did nothing but products, at the peak."""
        return self.time.theirs * self.peak / self.flops

    def __str__(self) -> str:
        return f"{self.cell} {self.row}"


def measure(torch: Any, cell: str, row: Row, passes: str, budget: float, threads: int) -> Result:
    """Check that both sides compute the same, then time them and the peak in turns."""
    us, them = (getattr(side, passes) for side in (ours(cell, row), theirs(torch, cell, row)))
    found = agree(f"{cell} {row}", difference(us(), them()), AGREEMENT[row.dtype])
    at_peak, operations = peak(row.dtype, threads)
    samples = in_turns([us, them, at_peak], budget)
    time = Comparison.of(samples[:, 0], samples[:, 1])
    return Result(cell, row, passes, found, time, operations / samples[:, 2].min())


COLUMNS = {"cell": 4, "B, T, I, H": 26, "bptt ms": 8, "PyTorch ms": 8, "bptt GF/s": 5, "PyTorch GF/s": 5}
COLUMNS |= {"of peak": 4, "ratio": 5, "quartiles": 13, "mark": 10}


def print_row(table: Table, result: Result) -> None:
    time, giga = result.time, result.flops / 1e9
    table.row(
        result.cell,
        result.row,
        f"{1e3 * time.ours:.2f}",
        f"{1e3 * time.theirs:.2f}",
        f"{giga / time.ours:.0f}",
        f"{giga / time.theirs:.0f}",
        f"{result.share:.0%}" + (" missed" if result.below_peak else ""),
        f"{time.ratio:.2f}",
        time.quartiles,
        marked(result.mark, result.below),
    )


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def print_means(results: list[Result]) -> Iterator[str]:
    """The geometric means over the grid, one layer in float32; yields the marks that they miss."""
    for passes, marks in MEAN.items():
        for cell, mark in marks.items():
            grid = [r for r in results if (r.passes, r.cell) == (passes, cell) and r.row in GRID]
            if not grid:
                continue
            mean = geometric_mean([r.time.ratio for r in grid])
            limit = geometric_mean([r.attainable for r in grid])
            print(
                f"{PASSES[passes]}, {cell}: geometric mean {mean:.2f} over {len(grid)} of the grid's {len(GRID)} rows "
                f"(mark {mark:g}; {limit:.2f} if every row ran at the machine's peak)"
            )
            if len(grid) == len(GRID) and mean < mark:
                yield f"{PASSES[passes]}, {cell}: geometric mean {mean:.2f}, mark {mark:g}"


def print_disturbed(results: list[Result]) -> None:
    """Name the rows beside which the machine itself was slow: something else ran, and their ratios say nothing."""
    best = {dtype: max((r.peak for r in results if r.row.dtype == dtype), default=0.0) for dtype in AGREEMENT}
    disturbed = [r for r in results if r.peak < UNDISTURBED * best[r.row.dtype]]
    if disturbed:
        print("\nDisturbed, to be measured again: the peak beside these rows is far from the best of the run.")
    for r in disturbed:
        print(f"  {PASSES[r.passes]}, {r}: {r.peak / 1e9:.0f} of {best[r.row.dtype] / 1e9:.0f} GF/s")


def print_limits(results: list[Result]) -> None:
    """Name the rows whose mark asks for more than the machine has."""
    above = [r for r in results if r.mark is not None and r.mark > r.attainable]
    if above:
        print("\nNot attainable here: the mark asks for more GF/s than the machine's peak, measured beside the row.")
    for r in above:
        asked = r.flops / r.time.theirs * (r.mark or 0)
        print(
            f"  {r}: mark {r.mark:g} is {asked / 1e9:.0f} GF/s, the peak {r.peak / 1e9:.0f}: "
            f"at most {r.attainable:.2f}, here {r.time.ratio:.2f}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns the exit code."""
    parser = options(__doc__, budget=4.0)
    parser.add_argument("--rows", type=int, nargs="+", choices=range(len(ROWS)), help="indices (default: all)")
    parser.add_argument("--cells", nargs="+", choices=list(BLOCKS), default=list(BLOCKS))
    parser.add_argument("--passes", nargs="+", choices=list(PASSES), default=list(PASSES))
    chosen = parser.parse_args(arguments)

    warn_if_busy()
    load_before = load()
    torch = pytorch()
    torch.set_num_threads(chosen.threads)
    bptt.set_num_threads(chosen.threads)
    rows = ROWS if chosen.rows is None else [ROWS[index] for index in chosen.rows]
    results = []
    for passes in chosen.passes:
        print(f"\n{PASSES[passes]}\n")
        table = Table(COLUMNS, chosen.markdown)
        for cell in chosen.cells:
            for row in rows:
                results.append(measure(torch, cell, row, passes, chosen.seconds, chosen.threads))
                print_row(table, results[-1])

    print(f"\nfloat32 unless stated, {chosen.threads} threads, torch {torch.__version__}.")
    print(
        f"The machine's load was {load_before} before and {load()} after; this benchmark makes {chosen.threads} itself."
    )
    for dtype in AGREEMENT:
        found = [r for r in results if r.row.dtype == dtype]
        if found:
            print(
                f"{dtype}: the sides agree to {max(r.difference for r in found):.0e}; "
                f"the machine's peak, best of the run: {max(r.peak for r in found) / 1e9:.0f} GF/s."
            )
    print()
    missed = list(print_means(results))
    print_limits(results)
    print_disturbed(results)
    missed += [f"{r}: {r.time.ratio:.2f}, mark {r.mark:g}" for r in results if r.below]
    missed += [f"{r}: {r.share:.0%} of the peak, mark {SHARE_OF_PEAK:.0%}" for r in results if r.below_peak]
    return verdict(missed, chosen.check)


if __name__ == "__main__":
    sys.exit(main())
