"""What a user waits for: the import, a training, a forecast, a layer, the first word, with an empty and a full cache.

Every figure is the wall time of a fresh process, from its start to the end of the named thing, for an LSTM of 256.
"Empty" means that nothing has been compiled before (an empty folder of machine code of its own): the sum of the imports
and of all compilation, beside which the one window computed is nothing; "full" is the same command again. The first
word is what a command first prints, to a standard error that is not a terminal.

    python benchmarks/startup.py                     # about 3 minutes
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

from side_by_side import Table, marked, verdict, warn_if_busy

# All that a training run compiles: windows of training, validation, the best weights kept.
TRAINING_RUN = """
from bptt.text import CharLM

lm = CharLM(cell="lstm", hidden_size=256, embedding_size=64, dropout=0.2, seed=0)
lm.fit("the quick brown fox jumps over the lazy dog. " * 80, streams=32, window=64, epochs=1, progress=False)
assert lm.history["validation_nats"].notna().all()
"""

FIRST_WINDOW = """
import numpy as np
from bptt.text.network.model import SequenceModel
from bptt.training.optimizers import Adam
from bptt.text.network.trainer import Trainer

model = SequenceModel(
    cell="lstm", vocabulary_size=65, embedding_size=64, hidden_size=256, num_layers=1, dropout=0.2
)
trainer = Trainer(model, streams=32, window=64, optimizer=Adam(), clip_norm=1.0, seed=0)
tokens = np.random.default_rng(0).integers(0, 65, (32, 65)).astype(np.int32)
assert np.isfinite(trainer.run(tokens, 0, np.array([2e-3])).loss).all()
"""

FORECAST = """
from bptt import forecast

df = forecast.generate_series(4, "D", min_length=60, max_length=80, seed=0)
forecaster = forecast.Forecaster(models=[forecast.GRU(h=7, max_steps=1)], freq="D")
forecaster.fit(df)
assert len(forecaster.predict()) == 28
"""

LAYER = """
import numpy as np
import bptt

layer = bptt.LSTM(64, 256, seed=0)
y, _, tape = layer.forward(np.ones((50, 32, 64), np.float32))
assert np.isfinite(layer.backward(np.ones_like(y), tape).x).all()
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


def first_word(cache: str, *command: str) -> float:
    """Seconds from the start of a command to the first thing that it prints, after which it is ended."""
    start = time.perf_counter()
    program = [sys.executable, "-c", "import sys; from bptt.cli import main; sys.exit(main())", *command]
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(
            program,
            cwd=folder,
            env=dict(os.environ, NUMBA_CACHE_DIR=cache, PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert run.stdout is not None
        run.stdout.read(1)
        took = time.perf_counter() - start
        run.kill()
        run.communicate()
    return took


def figures(repeat: int) -> list[Figure]:
    """Measure everything; the best of `repeat` where a process can be repeated."""

    def best(code: str, cache: str) -> float:
        return min(wall(code, cache) for _ in range(repeat))

    def empty(code: str) -> float:
        with tempfile.TemporaryDirectory() as cache:
            return wall(code, cache)

    def word(*command: str) -> float:
        with tempfile.TemporaryDirectory() as cache:
            return min(first_word(cache, *command) for _ in range(repeat))

    with tempfile.TemporaryDirectory() as cache:
        rows = [
            Figure("a whole training run of one window, empty cache", wall(TRAINING_RUN, cache), 20.0),
            Figure("the same, full cache", best(TRAINING_RUN, cache), None),
            Figure("first window of a training, full cache", best(FIRST_WINDOW, cache), 1.0),
            Figure("a forecast after one step of training, empty cache", empty(FORECAST), None),
            Figure("the same, full cache", (wall(FORECAST, cache), best(FORECAST, cache))[1], None),
            Figure("a layer forward and backward, empty cache", empty(LAYER), None),
            Figure("the same, full cache", (wall(LAYER, cache), best(LAYER, cache))[1], None),
            Figure("first word of bptt forecast --demo, empty cache", word("forecast", "--demo"), 2.0),
            Figure("first word of bptt text train --demo, empty cache", word("text", "train", "--demo"), 2.0),
            Figure("import bptt with all its names", best("from bptt import *", cache), 0.7),
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
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(arguments)

    warn_if_busy()
    rows = figures(options.repeat)
    table = Table({"wall time of a process": 48, "seconds": 7, "mark": 10}, options.markdown)
    for row in rows:
        table.row(row.name, f"{row.seconds:.2f}", marked(row.mark, row.missed))
    missed = [f"{row.name}: {row.seconds:.2f} s, mark {row.mark:g}" for row in rows if row.missed]
    return verdict(missed, options.check)


if __name__ == "__main__":
    sys.exit(main())
