"""What the benchmarks share: sampling in turns, comparing, tables, options.

Two things are only ever compared within one run. Their samples alternate (ours, theirs, ours, ...), so that whatever
else the machine does meets both; a ratio is the median over the pairs of neighbouring samples, its spread their
quartiles. Before each sample a few untimed calls let the other side's threads come to rest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

SAMPLE_SECONDS = 0.02
SETTLE_SECONDS = 0.004
LEAST_ROUNDS = 5

Step = Callable[[], Any]


class Comparison(NamedTuple):
    """Median seconds of a call on either side, and quartiles of theirs / ours: above 1 we are faster."""

    ours: float
    theirs: float
    low: float
    ratio: float
    high: float

    @classmethod
    def of(cls, ours: np.ndarray, theirs: np.ndarray) -> Comparison:
        """Two columns of `in_turns`."""
        low, ratio, high = np.quantile(theirs / ours, (0.25, 0.5, 0.75))
        return cls(float(np.median(ours)), float(np.median(theirs)), low, ratio, high)

    @property
    def quartiles(self) -> str:
        return f"{self.low:.2f} - {self.high:.2f}"


def seconds(step: Step, calls: int) -> float:
    """The mean time of `calls` calls, after the other side's threads have come to rest."""
    settled = time.perf_counter() + SETTLE_SECONDS
    while True:
        step()
        if time.perf_counter() > settled:
            break
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def in_turns(steps: Sequence[Step], budget: float, least: int = LEAST_ROUNDS) -> np.ndarray:
    """Seconds a call (rounds, steps), sampled in turns for `budget` seconds, at least `least` rounds."""
    calls = [max(1, round(SAMPLE_SECONDS / seconds(step, 1))) for step in steps]
    rounds: list[list[float]] = []
    end = time.perf_counter() + budget
    while len(rounds) < least or time.perf_counter() < end:
        rounds.append([seconds(step, n) for step, n in zip(steps, calls, strict=True)])
    return np.array(rounds)


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """The two sides' largest difference, each array's relative to the largest entry of the peer's."""
    pairs = [(np.asarray(ours[name]), np.asarray(theirs[name])) for name in theirs]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def agree(what: str, found: float, allowed: float) -> float:
    """`found`; ends the program where two sides that should compute the same do not."""
    if not found <= allowed:
        sys.exit(f"{what}: the sides differ by {found:.1e}, allowed {allowed:.0e}; nothing timed")
    return found


class Table:
    """Rows printed as they come: aligned for a terminal, or as Markdown."""

    def __init__(self, columns: Mapping[str, int], markdown: bool) -> None:
        self.widths = [max(width, len(title)) for title, width in columns.items()]
        self.markdown = markdown
        self.row(*columns)
        if markdown:
            self.row(*["---"] * len(columns))

    def row(self, *values: Any) -> None:
        texts = [str(value) for value in values]
        if self.markdown:
            print("| " + " | ".join(texts) + " |", flush=True)
        else:
            aligned = [text.rjust(width) for text, width in zip(texts, self.widths, strict=True)]
            print("  ".join(aligned).rstrip(), flush=True)


def marked(mark: float | None, missed: bool) -> str:
    """A mark as it stands in a table."""
    return "" if mark is None else f"{mark:g}" + (" missed" if missed else "")


def options(document: str | None, budget: float, *, threads: bool = True) -> argparse.ArgumentParser:
    """The options that the scripts have in common; `budget` is the default of --seconds."""
    parser = argparse.ArgumentParser(description=str(document).split("\n")[0])
    parser.add_argument("--seconds", type=float, default=budget, help="sampling time a row (default: %(default)s)")
    if threads:
        parser.add_argument("--threads", type=int, default=2, help="threads of either side (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a mark is missed")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    return parser


def verdict(missed: Iterable[str], check: bool) -> int:
    """Say which marks are missed; the exit code."""
    missed = list(missed)
    print("\nMarks missed:\n  " + "\n  ".join(missed) if missed else "\nEvery mark of what was measured is met.")
    return int(check and bool(missed))


def load() -> str:
    """How many threads wanted to run in the last minute, on average."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def warn_if_busy() -> None:
    """Say so where something else is running."""
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        print(f"warning: the machine is not quiet (load {load()}); these figures will mean little", file=sys.stderr)


def pytorch() -> Any:
    """The peer; ends the program where it is not installed."""
    try:
        import torch
    except ImportError:
        sys.exit("this benchmark compares with PyTorch: install the extra `peers` (make test-peers does)")
    return torch
