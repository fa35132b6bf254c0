"""Backpropagation through 1000 steps in a twentieth of the memory (Gruslys et al. 2016), and through a million.

python examples/study/bounded_memory.py
python examples/study/bounded_memory.py --steps 100000 --plot memory.png        # needs the extra `plot`
"""

import argparse
import time
from pathlib import Path

import numpy as np

import bptt


def seconds_of(layer: bptt.LSTM, x: np.ndarray, memory: int | None) -> tuple[float, np.ndarray, str]:
    """The least of three runs forward and backward, the gradient, and the tape in words."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        if memory is None:
            y, _, whole = layer.forward(x)
            g, words = layer.backward(y, whole), repr(whole)
        else:
            y, _, bounded = layer.forward(x, memory=memory)
            g, words = layer.backward(y, bounded), repr(bounded.plan)
        taken.append(time.perf_counter() - started)
    return min(taken), g.flat, words


def main(arguments: list[str] | None = None) -> list[tuple[float, float]]:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="of the long sequence")
    parser.add_argument("--plot", type=Path, help="draw time against memory into this file")
    options = parser.parse_args(arguments)
    layer = bptt.LSTM(16, 128, seed=0)
    x = np.random.default_rng(0).standard_normal((1000, 32, 16), dtype="float32")
    full, gradient, _ = seconds_of(layer, x, None)
    whole = 1000 * 32 * 6 * 128 * 4  # bytes of two states and four gates
    print(f"1000 steps, full tape: {whole / 1e6:.0f} MB, {full:.2f} s")
    points = []
    for share in (0.5, 0.2, 0.05, 0.03, 0.02):
        taken, found, words = seconds_of(layer, x, int(share * whole))
        assert np.array_equal(found, gradient), "the bits must be those of the full tape"
        points.append((share, taken / full))
        print(f"{share:4.0%} of the memory: {taken / full:.2f} times the time; the same bits; {words}")

    long = bptt.LSTM(1, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((options.steps, 1, 1), dtype="float32")
    started = time.perf_counter()
    y, _, tape = long.forward(x, memory=50_000_000)
    print(f"{options.steps} steps forward: {time.perf_counter() - started:.1f} s, {tape.plan!r}", flush=True)
    dy = np.zeros_like(y)
    dy[-1] = 1
    g = long.backward(dy, tape)
    print(f"and back: {time.perf_counter() - started:.1f} s in all, gradient of length {np.linalg.norm(g.flat):.3g}")
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axis = figure.subplots()
        axis.plot([share for share, _ in points], [ratio for _, ratio in points], "o-")
        axis.axhline(4 / 3, color="grey", linewidth=0.7)
        axis.set(xlabel="memory, share of a full tape", ylabel="time, times that with a full tape", xscale="log")
        figure.savefig(options.plot)
    return points


if __name__ == "__main__":
    main()
