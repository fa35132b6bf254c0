"""One training step of a layer, side by side with PyTorch in one run.

A step is the forward pass and the full backward pass of one layer: gradients of the input, of both weight
matrices and of the biases. Both sides get the same weights, input and output error, in float32, with the same
number of threads, and have to agree before anything is timed. Samples alternate (ours, theirs, ours, ...), so
whatever else the machine does meets both; a row's ratio is the median over the pairs of neighbouring samples,
its spread their quartiles. Above 1 we are faster.

    python benchmarks/cells.py                       # the whole table
    python benchmarks/cells.py --rows 3 --cells LSTM --repeat 50
    python benchmarks/cells.py --check               # exit code 1 where a mark is missed
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import bptt

try:
    import torch
except ImportError:
    sys.exit("benchmarks/cells.py compares with PyTorch: install the extra `peers` (make test-peers does)")

# (B, T, I, H): streaming, character models, wide layers, forecasting.
ROWS = (
    (1, 100, 64, 128),
    (16, 50, 64, 64),
    (32, 50, 64, 128),
    (32, 50, 128, 256),
    (64, 50, 256, 512),
    (64, 50, 512, 1024),
    (128, 100, 1, 32),
    (256, 48, 8, 64),
)
BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}
MARKS = {"RNN": 1.0, "GRU": 1.0, "LSTM": 0.8}
# float32 sums of H + I terms over T steps, in two different orders.
AGREEMENT = 1e-4
SAMPLE_SECONDS = 0.02
SETTLE_SECONDS = 0.004


class Result(NamedTuple):
    """What one row of the table says."""

    cell: str
    row: tuple[int, int, int, int]
    difference: float
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float

    @property
    def flops(self) -> float:
        """Operations of the products of a step: forward, error of the input, gradient of the weights."""
        B, T, I, H = self.row
        return 3 * 2 * T * B * (I + H) * BLOCKS[self.cell] * H

    @property
    def missed(self) -> bool:
        return self.ratio < MARKS[self.cell]


def both_sides(cell: str, row: tuple[int, int, int, int]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The step of each side: a function that returns y, dx and the gradients of the parameters."""
    B, T, I, H = row
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((T, B, I)).astype(np.float32)
    dy = generator.standard_normal((T, B, H)).astype(np.float32)

    peer = getattr(torch.nn, cell)(I, H)
    layer = getattr(bptt, cell)(input_size=I, hidden_size=H, dtype="float32", seed=0)
    layer.load_state_dict({name: p.detach().numpy() for name, p in peer.named_parameters()})
    peer_x, peer_dy = torch.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(dy.copy())

    def ours() -> Any:
        y, _, tape = layer.forward(x)
        g = layer.backward(dy, tape)
        return y, g.x, g.parameters

    def theirs() -> Any:
        peer.zero_grad(set_to_none=True)
        peer_x.grad = None
        y, _ = peer(peer_x)
        y.backward(peer_dy)
        return y, peer_x.grad, {name: p.grad for name, p in peer.named_parameters()}

    return ours, theirs


def largest_difference(ours: Callable[[], Any], theirs: Callable[[], Any]) -> float:
    """The two sides' largest difference, each array's relative to the largest entry of the peer's."""
    y, dx, gradients = ours()
    peer_y, peer_dx, peer_gradients = theirs()
    pairs = [(y, peer_y.detach()), (dx, peer_dx)]
    pairs += [(gradients[name], peer_gradients[name]) for name in peer_gradients]
    return max(float(np.abs(a - b.numpy()).max() / np.abs(b.numpy()).max()) for a, b in pairs)


def seconds(step: Callable[[], Any], calls: int) -> float:
    """The mean time of `calls` steps, after the other side's threads have come to rest."""
    settled = time.perf_counter() + SETTLE_SECONDS
    while True:
        step()
        if time.perf_counter() > settled:
            break
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def measure(cell: str, row: tuple[int, int, int, int], repeat: int) -> Result:
    """Check that both sides compute the same, then time them in turns."""
    ours, theirs = both_sides(cell, row)
    difference = largest_difference(ours, theirs)
    if not difference <= AGREEMENT:
        sys.exit(f"{cell} {row}: the sides differ by {difference:.1e}, allowed {AGREEMENT:.0e}; nothing timed")
    calls = [max(1, round(SAMPLE_SECONDS / seconds(step, 2))) for step in (ours, theirs)]
    pairs = np.array([[seconds(ours, calls[0]), seconds(theirs, calls[1])] for _ in range(repeat)])
    low, ratio, high = np.quantile(pairs[:, 1] / pairs[:, 0], (0.25, 0.5, 0.75))
    ms = 1e3 * np.median(pairs, axis=0)
    return Result(cell, row, difference, ms[0], ms[1], ratio, low, high)


HEADER = "cell;B, T, I, H;bptt ms;PyTorch ms;bptt GF/s;PyTorch GF/s;ratio;quartiles;mark".split(";")
PLAIN = "{:<5} {:<18} {:>9} {:>11} {:>10} {:>13} {:>7} {:>13}  {}"
MARKDOWN = "| " + " | ".join(["{}"] * len(HEADER)) + " |"


def line(result: Result, pattern: str) -> str:
    """One row of the table."""
    return pattern.format(
        result.cell,
        ", ".join(map(str, result.row)),
        f"{result.ours:.2f}",
        f"{result.theirs:.2f}",
        f"{result.flops / result.ours / 1e6:.0f}",
        f"{result.flops / result.theirs / 1e6:.0f}",
        f"{result.ratio:.2f}",
        f"{result.low:.2f} - {result.high:.2f}",
        f"{MARKS[result.cell]:.1f}" + (" missed" if result.missed else ""),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", choices=range(len(ROWS)), help="indices (default: all)")
    parser.add_argument("--cells", nargs="+", choices=list(BLOCKS), default=list(BLOCKS))
    parser.add_argument("--repeat", type=int, default=30, help="pairs of samples a row")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side")
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a mark is missed")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(arguments)

    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > 0.5:
        print(
            f"warning: the machine is not quiet (load {load:.1f}); these ratios will mean little",
            file=sys.stderr,
        )
    torch.set_num_threads(options.threads)
    bptt.set_num_threads(options.threads)
    pattern = MARKDOWN if options.markdown else PLAIN
    print(pattern.format(*HEADER))
    if options.markdown:
        print(pattern.format(*["---"] * len(HEADER)))
    results = []
    for cell in options.cells:
        for row in options.rows or range(len(ROWS)):
            results.append(measure(cell, ROWS[row], options.repeat))
            print(line(results[-1], pattern), flush=True)
    worst = max(result.difference for result in results)
    print(f"\nfloat32, {options.threads} threads, torch {torch.__version__}; the sides agree to {worst:.0e}.")
    missed = [f"{result.cell} {result.row}: {result.ratio:.2f}" for result in results if result.missed]
    if missed:
        print("Marks missed: " + "; ".join(missed))
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
