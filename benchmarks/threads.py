"""Threads: the same bits from any number of them, and what the second one gains.

Bits: layers forward and backward, and ten windows of the character model, for every cell, with 1 to 8 threads (more
than the machine has, on purpose) at odd sizes, among them batches smaller than the number of threads. Every output,
gradient, loss and weight is compared bit for bit with what one thread computes.

Speed: one thread and two in turns, as `side_by_side.py` says; a training step of an LSTM (forward and backward) at
the sizes of `cells.py`, and of the character model. PyTorch is not needed.

    python benchmarks/threads.py                     # about 2 minutes
    python benchmarks/threads.py --check             # exit code 1 where bits differ or a mark is missed
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import bptt
from bptt.numerics.threads import teams_as_asked
from bptt.text.network.trainer import Trainer
from bptt.training.optimizers import Adam
from characters import CLIP, RATE, SETTINGS, Setting, model_of, ours, tokens_of
from layer_step import BLOCKS, GRID, Row, inputs
from layer_step import ours as our_layer
from side_by_side import Comparison, Table, in_turns, marked, options, verdict, warn_if_busy

MOST_THREADS = 8
# B, I, H of layers; T follows from the work below, so that no layer is too small for more than one thread.
LAYERS = ((1, 20, 7), (1, 20, 300), (3, 13, 65), (5, 33, 300), (13, 1, 65), (37, 17, 7))
MULTIPLY_ADDS = 10_000_000
MODELS = tuple(Setting(B, T, H, 0.2, 10, 0.0) for B, T, H in ((1, 25, 65), (3, 11, 300), (5, 13, 7), (33, 7, 65)))
SPEED_UP = 1.7  # from one thread to two
LEAST_ROWS = 32

Results = dict[str, np.ndarray]


def layer_results(cell: str, size: tuple[int, int, int], dtype: str) -> Results:
    """Everything that two layers with dropout between them compute."""
    B, I, H = size
    T = -(-MULTIPLY_ADDS // (B * (I + H) * BLOCKS[cell] * H))
    x, dy = inputs(Row(B, T, I, H, 2, dtype))
    layer = getattr(bptt, cell)(I, H, 2, dropout=0.3, dtype=dtype, seed=0)
    y, state, tape = layer.forward(x)
    g = layer.backward(dy, tape, errors="h")
    return {
        "y": y,
        "state": np.array(state),
        "dx": g.x,
        "dstate": np.array(g.state),
        "errors": g.errors["h"],
    } | g.parameters


def model_results(cell: str, setting: Setting) -> Results:
    """Losses, norms and weights of ten windows of the character model."""
    model = model_of(setting.H, setting.dropout, cell.lower())
    trainer = Trainer(model, streams=setting.B, window=setting.T, optimizer=Adam(), clip_norm=CLIP, seed=0)
    record = trainer.run(tokens_of(setting), 0, np.full(setting.windows, RATE))
    return {"loss": record.loss, "norm": record.norm} | dict(model.parameters)


def differing(compute: Callable[..., Results], *arguments: Any) -> Iterator[str]:
    """What differs from the result of one thread, and with how many threads."""
    bptt.set_num_threads(1)
    alone = compute(*arguments)
    for threads in range(2, MOST_THREADS + 1):
        bptt.set_num_threads(threads)
        for name, value in compute(*arguments).items():
            if value.tobytes() != alone[name].tobytes():
                apart = np.abs(value - alone[name]).max()
                yield f"{', '.join(map(str, arguments))}: {name} with {threads} threads, by at most {apart:.1e}"


def compare_bits() -> list[str]:
    """Print OK or what differs; returns the latter."""
    found: list[str] = []
    with teams_as_asked():
        for cell in BLOCKS:
            for size in LAYERS:
                for dtype in ("float32", "float64"):
                    found += differing(layer_results, cell, size, dtype)
            for setting in MODELS:
                found += differing(model_results, cell, setting)
    print(f"The same bits with 1 to {MOST_THREADS} threads: {'NO' if found else 'OK'}")
    for line in found:
        print(f"  {line}")
    return found


def compare_speed(markdown: bool, budget: float) -> list[str]:
    """Print the table of the speed-ups; the marks that are missed."""

    def with_threads(n: int, step: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            bptt.set_num_threads(n)
            return step()

        return run

    rows: list[tuple[str, int, Callable[[], Any]]]
    rows = [(f"LSTM, B, T, I, H = {row}", row.B, our_layer("LSTM", row).step) for row in GRID]
    rows += [(f"character model, B, T, H = {setting}", setting.B, ours(setting)) for setting in SETTINGS]
    columns = {"training step": 48, "1 thread, ms": 8, "2 threads, ms": 8}
    table = Table(columns | {"speed-up": 5, "quartiles": 13, "mark": 10}, markdown)
    missed = []
    for name, B, step in rows:
        samples = in_turns([with_threads(2, step), with_threads(1, step)], budget)
        time = Comparison.of(samples[:, 0], samples[:, 1])
        mark = SPEED_UP if B >= LEAST_ROWS else None
        below = mark is not None and time.ratio < mark
        ms = [f"{1e3 * time.theirs:.2f}", f"{1e3 * time.ours:.2f}"]
        table.row(name, *ms, f"{time.ratio:.2f}", time.quartiles, marked(mark, below))
        if below:
            missed.append(f"{name}: {time.ratio:.2f}, mark {mark:g}")
    return missed


def main(arguments: list[str] | None = None) -> int:
    """Compare the bits, then the speeds; returns the exit code."""
    parser = options(__doc__, budget=3.0, threads=False)
    parser.add_argument("--only", choices=("bits", "speed"), help="one of the two (default: both)")
    chosen = parser.parse_args(arguments)
    missed = []
    if chosen.only != "speed":
        missed += [f"other bits: {line}" for line in compare_bits()]
    if chosen.only != "bits":
        warn_if_busy()
        print("\nFrom one thread to two, float32; a chunk of windows of the character model\n")
        missed += compare_speed(chosen.markdown, chosen.seconds)
    return verdict(missed, chosen.check)


if __name__ == "__main__":
    sys.exit(main())
