"""What recording errors on the way back costs a training step: forward and backward, with nothing stored and with all.

python benchmarks/study.py
python benchmarks/study.py --markdown --check        # the mark: at most 1.15 times the step without a record
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np

import bptt
from side_by_side import Comparison, Table, in_turns, options, verdict, warn_if_busy

MARK = 1.15
# (B, T, I, H): characters, forecasting, a wide layer.
SIZES = ((32, 64, 64, 128), (64, 32, 16, 64), (32, 50, 128, 256))
# Everything that there is; the usual one.
RECORDS = {"h": ("h",), "all": ("h", "c", "a")}


def step(layer: bptt.RNN | bptt.GRU | bptt.LSTM, x: np.ndarray, dy: np.ndarray, recorded: tuple[str, ...]) -> None:
    _, _, tape = layer.forward(x)
    layer.backward(dy, tape, errors=recorded)


def main() -> int:
    parsed = options(__doc__, budget=4.0).parse_args()
    bptt.set_num_threads(parsed.threads)
    warn_if_busy()
    missed = []
    table = Table({"layer": 5, "B, T, I, H": 16, "recorded": 8, "ms": 8, "without": 8, "ratio": 6, "quartiles": 12},
                  parsed.markdown)  # fmt: skip
    for size in SIZES:
        B, T, I, H = size
        for cls in (bptt.LSTM, bptt.GRU, bptt.RNN):
            layer = cls(I, H, seed=0)
            x = np.random.default_rng(0).standard_normal((T, B, I), dtype="float32")
            dy = np.random.default_rng(1).standard_normal((T, B, H), dtype="float32")
            for what, names in RECORDS.items():
                wanted = tuple(name for name in names if name in (*layer.cell.states, "a"))

                found = in_turns([partial(step, layer, x, dy, ()), partial(step, layer, x, dy, wanted)], parsed.seconds)
                # theirs / ours: with the record, to without.
                each = Comparison.of(found[:, 0], found[:, 1])
                table.row(cls.__name__, ", ".join(map(str, size)), what, f"{1e3 * each.theirs:.3f}",
                          f"{1e3 * each.ours:.3f}", f"{each.ratio:.3f}", each.quartiles)  # fmt: skip
                if what == "all" and each.ratio > MARK:
                    missed.append(f"{cls.__name__} {size}: {each.ratio:.3f} times, mark {MARK}")
    return verdict(missed, parsed.check)


if __name__ == "__main__":
    sys.exit(main())
