"""The same GRU forecaster here and in neuralforecast: seconds to fit, to the first forecast, and the size installed.

    python benchmarks/vs_neuralforecast.py                       # about 10 minutes, most of them installing
    python benchmarks/vs_neuralforecast.py --folder FOLDER       # keep the two environments there, or use those it has

Each side gets an environment of its own, made with pip: this package with its core dependencies, and neuralforecast
with the torch that pip finds: a build for the CPU where pip has a source of it, else PyPI's, which on Linux brings CUDA
along. `--published` makes a third one with PyPI's, for its size alone: what `pip install neuralforecast` takes.

Both learn 200 generated daily series of 300 values, the last 14 kept apart: 2 layers of 128 units, windows of 56 + 14,
32 windows a step, 200 steps, two threads; the rest are the defaults of either side, and the error on the values kept
apart stands beside the times.

Processes are fresh and alternate (ours, theirs, ours, ...); each side has run once before, untimed, so that its files
are in the memory and our machine code is in its cache: what the first run of all takes, compilation included, is told
apart. A forecast from a new process is what a service does that starts: it imports, loads a saved forecaster,
forecasts, and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bptt.forecast import generate_series
from side_by_side import Comparison, Table, marked, verdict, warn_if_busy

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ("neuralforecast==3.3.0", "torch==2.13.0")
# Three signs: the build that PyPI has, and no other of this version that pip may know of.
PUBLISHED = ("neuralforecast==3.3.0", "torch===2.13.0")
SERIES, LENGTH, H, WINDOW, SEASON = 200, 300, 14, 56, 7
STEPS, LAYERS, HIDDEN, BATCH = 200, 2, 128, 32
FIT_MARK, START_MARK, SIZE_MARK = 3.0, 20.0, 20.0

SETTINGS = f"h={H}, input_size={WINDOW}, max_steps={STEPS}, batch_size={BATCH}"

OURS_FIT = f"""
import bptt
from bptt.forecast import GRU, Forecaster
bptt.set_num_threads(threads)
def make():
    model = GRU({SETTINGS}, strategy="direct", num_layers={LAYERS}, hidden_size={HIDDEN})
    return Forecaster(models=[model], freq="D")
def save(forecaster):
    forecaster.save(saved + ".safetensors", overwrite=True)
"""

OURS_LOAD = """
import bptt
from bptt.forecast import Forecaster
bptt.set_num_threads(threads)
forecasts = Forecaster.load(saved + ".safetensors").predict()
"""

# Without bars, logs and folders, which would cost it time.
THEIRS_FIT = f"""
import torch
from neuralforecast import NeuralForecast
from neuralforecast.models import GRU
torch.set_num_threads(threads)
def make():
    model = GRU(
        {SETTINGS}, windows_batch_size={BATCH}, encoder_n_layers={LAYERS}, encoder_hidden_size={HIDDEN},
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )
    return NeuralForecast(models=[model], freq="D")
def save(forecaster):
    forecaster.save(saved, overwrite=True)
"""

THEIRS_LOAD = """
import torch
from neuralforecast import NeuralForecast
torch.set_num_threads(threads)
forecasts = NeuralForecast.load(saved).predict()
"""

# Python gives the process's arguments; the last line printed is what the parent reads.
HEAD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
data, saved, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
"""
FIT_TAIL = """
import pandas as pd
df = pd.read_csv(data, parse_dates=["ds"])
forecaster = make()
start = time.perf_counter()
forecaster.fit(df)
seconds = time.perf_counter() - start
save(forecaster)
forecasts = forecaster.predict()
print(json.dumps({"seconds": seconds, "forecasts": forecasts["GRU"].tolist()}))
"""
LOAD_TAIL = """
print(json.dumps({"forecasts": forecasts["GRU"].tolist()}))
"""


class Side(NamedTuple):
    """An environment, and the two programs that run in it."""

    name: str
    python: Path
    fit: str
    load: str
    saved: str


def environment(folder: Path, name: str, requirements: list[str]) -> Path:
    """The interpreter of an environment with these requirements, made where it is not there yet."""
    place = folder / name
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = place / "installed.txt"
    wanted = "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        print(f"installing {' '.join(requirements)} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        done.write_text(wanted)
    return python


def megabytes(python: Path) -> float:
    """The files of an environment's packages, without pip and setuptools, which either side has from Python."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    total = 0
    for path in packages.rglob("*"):
        tool = path.relative_to(packages).parts[0].startswith(("pip", "setuptools", "_distutils_hack"))
        if not tool and path.is_file() and not path.is_symlink():
            total += path.stat().st_size
    return total / 1e6


def torch_of(python: Path) -> str:
    code = "from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in ('neuralforecast', 'torch')))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def process(side: Side, code: str, data: Path, threads: int, folder: Path) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a fresh process, and what its last line says."""
    command = [str(side.python), "-c", HEAD + code, str(data), side.saved, str(threads)]
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_DISABLE_JIT")}
    environ |= {"NUMBA_CACHE_DIR": str(folder / "machine-code"), "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=folder)
    seconds = time.perf_counter() - start
    if run.returncode:
        sys.exit(f"{side.name} ended with code {run.returncode}:\n{run.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return seconds, result


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--folder", type=Path, help="of the environments, kept; default: a temporary one")
    parser.add_argument("--repeat", type=int, default=5, help="processes of each side and kind (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of either side (default: %(default)s)")
    parser.add_argument("--requirement", action="append", help=f"of their side (default: {' '.join(REQUIREMENTS)})")
    parser.add_argument("--published", action="store_true", help="measure the size of PyPI's own build, too (5 GB)")
    parser.add_argument("--check", action="store_true", help="exit with code 1 where a mark is missed")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(arguments)

    warn_if_busy()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        ours = Side("bptt", environment(folder, "bptt", [str(ROOT)]), OURS_FIT + FIT_TAIL, OURS_LOAD + LOAD_TAIL,
                    str(Path(temporary) / "ours"))  # fmt: skip
        requirements = options.requirement or list(REQUIREMENTS)
        theirs = Side("neuralforecast", environment(folder, "neuralforecast", requirements), THEIRS_FIT + FIT_TAIL,
                      THEIRS_LOAD + LOAD_TAIL, str(Path(temporary) / "theirs"))  # fmt: skip
        published = environment(folder, "published", list(PUBLISHED)) if options.published else None
        return compare(ours, theirs, published, Path(temporary), options)


def compare(ours: Side, theirs: Side, published: Path | None, folder: Path, options: argparse.Namespace) -> int:
    df = generate_series(SERIES, "D", LENGTH, LENGTH, seed=0)
    later = df.groupby("unique_id", sort=False).cumcount(ascending=False) < H
    train, test = df[~later], df[later]
    data = folder / "series.csv"
    train.to_csv(data, index=False)
    sides = (ours, theirs)

    first: dict[str, float] = {}
    errors: dict[str, float] = {}
    for side in sides:
        first[side.name], result = process(side, side.fit, data, options.threads, folder)
        process(side, side.load, data, options.threads, folder)
        errors[side.name] = mase(train, test, result["forecasts"])
    fits, starts = [], []
    for _ in range(options.repeat):
        fits.append([process(side, side.fit, data, options.threads, folder)[1]["seconds"] for side in sides])
        starts.append([process(side, side.load, data, options.threads, folder)[0] for side in sides])
    print(
        f"GRU, {LAYERS} layers of {HIDDEN}, {BATCH} windows of {WINDOW} + {H} a step, {STEPS} steps; {SERIES} daily "
        f"series of {LENGTH - H}; {options.threads} threads; {torch_of(theirs.python)}\n"
    )
    columns = {"": 44, "bptt": 10, "neuralforecast": 14, "ratio": 6, "quartiles": 12, "mark": 10}
    table = Table(columns, options.markdown)
    missed = []
    for name, samples, mark in (
        ("seconds to fit", fits, FIT_MARK),
        ("seconds of a new process, load and forecast", starts, START_MARK),
    ):
        found = Comparison.of(*np.array(samples).T)
        quartiles = found.quartiles if len(samples) > 1 else ""
        below = found.ratio < mark
        if below:
            missed.append(f"{name}: {found.ratio:.2f} times, mark {mark:g}")
        ratio = f"{found.ratio:.1f}"
        table.row(name, f"{found.ours:.2f}", f"{found.theirs:.2f}", ratio, quartiles, marked(mark, below))
    size = megabytes(ours.python)
    builds = {torch_of(theirs.python).split()[-1]: theirs.python}
    if published is not None:
        builds["PyPI's"] = published
    for build, python in builds.items():
        their_size = megabytes(python)
        limit = SIZE_MARK if python == published else None
        below = limit is not None and their_size / size < limit
        if below:
            missed.append(f"packages installed: {their_size / size:.1f} times, mark {SIZE_MARK:g}")
        name = f"packages installed, MB (torch {build})"
        table.row(name, f"{size:.0f}", f"{their_size:.0f}", f"{their_size / size:.1f}", "", marked(limit, below))
    ratio = f"{first['neuralforecast'] / first['bptt']:.1f}"
    table.row("seconds of the first process of all, with fit", *(f"{first[side.name]:.1f}" for side in sides),
              ratio, "", "")  # fmt: skip
    table.row("MASE of the values kept apart", *(f"{errors[side.name]:.3f}" for side in sides), "", "", "")
    return verdict(missed, options.check)


def mase(train: pd.DataFrame, test: pd.DataFrame, forecasts: list[float]) -> float:
    """Of forecasts in the order of the test rows; scaled by the weekly difference of the training part."""
    scale = train.groupby("unique_id")["y"].diff(SEASON).abs().groupby(train["unique_id"]).mean()
    error = (test["y"] - np.array(forecasts)).abs().groupby(test["unique_id"]).mean()
    return float((error / scale).mean())


if __name__ == "__main__":
    sys.exit(main())
