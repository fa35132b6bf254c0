"""What a user waits for: the import, and the first window of a training, with an empty and a full cache.

Every figure is the wall time of a fresh process, from its start to the end of the named thing. "Empty"
means that nothing has been compiled before (an empty folder of machine code of its own); "full" is the
same command again.

    python benchmarks/startup.py
    python benchmarks/startup.py --check             # exit code 1 where a mark is missed
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

FIRST_WINDOW = """
import numpy as np
from bptt.network.sequence_model import SequenceModel
from bptt.training.optimizers import Adam
from bptt.training.trainer import Trainer

model = SequenceModel(
    cell="lstm", vocabulary_size=65, embedding_size=64, hidden_size=256, num_layers=1, dropout=0.2
)
trainer = Trainer(model, streams=32, window=64, optimizer=Adam(), clip_norm=1.0, seed=0)
tokens = np.random.default_rng(0).integers(0, 65, (32, 65)).astype(np.int32)
assert np.isfinite(trainer.run(tokens, 0, np.array([2e-3])).loss).all()
"""


class Figure(NamedTuple):
    """One row of the table."""

    name: str
    seconds: float
    mark: float | None

    @property
    def missed(self) -> bool:
        return self.mark is not None and self.seconds > self.mark


def wall(code: str, cache: str) -> float:
    """Seconds from the start of a new interpreter to the end of `code`."""
    environment = dict(os.environ, NUMBA_CACHE_DIR=cache)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


def figures(repeat: int) -> list[Figure]:
    """Measure everything; the best of `repeat` where a process can be repeated."""

    def best(code: str, cache: str) -> float:
        return min(wall(code, cache) for _ in range(repeat))

    with tempfile.TemporaryDirectory() as cache:
        rows = [
            Figure("first window of an LSTM of 256, empty cache", wall(FIRST_WINDOW, cache), 30.0),
            Figure("first window of an LSTM of 256, full cache", best(FIRST_WINDOW, cache), 3.0),
            Figure("import bptt", best("import bptt", cache), 0.7),
            Figure("the interpreter alone", best("pass", cache), None),
            Figure("import numba", best("import numba", cache), None),
        ]
        if importlib.util.find_spec("torch"):
            rows.append(Figure("import torch", best("import torch", cache), None))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="processes a figure, the best of which counts")
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a mark is missed")
    options = parser.parse_args(arguments)

    rows = figures(options.repeat)
    print("| wall time of a process | seconds | mark |\n| --- | --- | --- |")
    for row in rows:
        mark = "" if row.mark is None else f"{row.mark:g}" + (" missed" if row.missed else "")
        print(f"| {row.name} | {row.seconds:.2f} | {mark} |")
    return int(options.check and any(row.missed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
