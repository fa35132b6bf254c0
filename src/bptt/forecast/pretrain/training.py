"""Train the pretrained network on random series alone: drawn a few thousand at a time, seen once, never stored.

Every round of ROUND steps has one season and one horizon, drawn by the shares of `TASKS`, and series of its own. All
that is drawn has the address (seed, round), so a training that was interrupted goes on with the same bits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bptt import seeds
from bptt.errors import NonFiniteError
from bptt.files.saving import read_tensors, write_tensors
from bptt.forecast.fitting.pretrained import FORMAT, VERSION, Size, about, plan_for
from bptt.forecast.fitting.training_windows import least_spread
from bptt.forecast.network.architecture import initial, network_of, workspace
from bptt.forecast.network.batches import SeriesArrays, source_of
from bptt.forecast.network.step import Pool, train
from bptt.forecast.pretrain.prior import draw
from bptt.network.parameters import views
from bptt.numerics.threads import run
from bptt.training.optimizers import Adam, state_of

__all__ = ["Recipe", "pretrain"]

ROUND = 50
CHECKPOINT = "bptt.Pretraining"


@dataclass(frozen=True)
class Task:
    """Seasons, share of the rounds, lengths of the series, horizons, windows of a step."""

    seasons: tuple[int, ...]
    share: float
    lengths: tuple[int, int]
    horizons: tuple[int, ...]
    batch: int = 256


TASKS = (
    Task((), 0.18, (6, 150), (4, 6, 8, 14)),
    Task((4,), 0.13, (10, 120), (8, 8, 12)),
    Task((12,), 0.25, (16, 350), (12, 18, 24)),
    Task((7,), 0.10, (12, 300), (7, 14, 28)),
    Task((24,), 0.05, (40, 700), (24, 48), 160),
    Task((24, 168), 0.10, (100, 900), (24, 48), 160),
    Task((52,), 0.07, (30, 400), (13, 26), 160),
    Task((48, 336), 0.03, (150, 1000), (24, 48), 160),
)
# The other rounds: any season of this range.
OTHER = (2, 60)


@dataclass(frozen=True)
class Recipe:
    """How the network is trained; the file of the weights keeps it.

    Attributes
    ----------
    steps : int
        Updates; the rate rises over the first 1% and falls to 0 along a cosine.
    series : int
        Drawn for each round.
    """

    size: Size = field(default_factory=Size)
    seed: int = 0
    steps: int = 22_000
    series: int = 3072
    learning_rate: float = 2e-3
    clip_norm: float = 1.0

    def rates(self, first: int, last: int) -> np.ndarray:
        """Learning rates of steps first .. last - 1."""
        step = np.arange(first, last)
        warm = np.minimum(1.0, (step + 1) / max(1, self.steps // 100))
        return np.asarray(self.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * step / self.steps)))


def task_of(rng: np.random.Generator) -> Task:
    u, total = rng.random(), 0.0
    for task in TASKS:
        total += task.share
        if u < total:
            return task
    m = int(rng.integers(*OTHER))
    return Task((m,), 1.0, (2 * m + 4, 8 * m + 60), (max(4, m), 12), 256 if m < 20 else 160)


def series_of(rng: np.random.Generator, task: Task, n: int, N: int) -> tuple[SeriesArrays, Pool]:
    """N random series of this task, and the windows to draw from them, each with n steps to come."""
    low, high = task.lengths
    T = high + n
    y = draw(rng, N, T, task.seasons)
    lengths = np.exp(rng.uniform(np.log(low), np.log(high + 1), N)).astype(np.int64) + n
    kept = np.arange(T) >= T - lengths[:, None]
    observed = np.ones((N, T), bool)
    gappy = rng.random((N, 1)) < 0.12
    observed &= ~(gappy & (rng.random((N, T)) < rng.uniform(0, 0.4, (N, 1))))
    # Swings that grow with the level: the root, as forecasts take it, or the logarithm, or neither.
    kind = rng.choice(3, (N, 1), p=[0.6, 0.25, 0.15])
    lowest = np.where(kept, y, np.inf).min(1, keepdims=True)
    roots = np.sqrt(np.maximum(y, 0))
    logs = np.log(np.maximum(y / np.maximum(np.abs(y).mean(1, keepdims=True), 1e-300), 1e-3))
    y = np.where((lowest >= 0) & (kind == 0), roots, np.where((lowest > 0) & (kind == 2), logs, y))
    mean = np.where(kept, y, 0).sum(1) / lengths
    spread = np.where(kept, np.abs(y - mean[:, None]), 0).sum(1) / lengths
    size = np.where(kept, np.abs(y), 0).sum(1) / lengths
    source = source_of(
        y=y[kept],
        observed=observed[kept],
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        train_ends=lengths,
        min_spread=least_spread(spread, size),
        futr=np.zeros((int(lengths.sum()), 0)),
        hist=np.zeros((int(lengths.sum()), 0)),
        static=np.tile(about(task.seasons), (N, 1)),
    )
    first = np.minimum(np.maximum(3, lengths // 3), lengths - n)
    return source, Pool(np.arange(1, N + 1) / N, first, lengths - n)


def pretrain(
    recipe: Recipe,
    path: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    tick: Callable[[int, float], None] = lambda step, loss: None,
    every: float = 60.0,
    threads: int = 2,
) -> None:
    """Train the network and write its weights.

    Parameters
    ----------
    recipe : Recipe
    path : str or path
        The file of the weights; one that exists is replaced.
    checkpoint : str or path, optional
        A file that is written every `every` seconds; if it exists, the training goes on from it.
    tick : function (steps, loss)
        Called after each round with the steps done and its mean loss.
    threads : int

    Raises
    ------
    NonFiniteError
        A loss or a gradient became infinite or NaN; the message names the step.
    ValueError
        The checkpoint is of another recipe.
    """
    plan = plan_for(recipe.size, (), 1, seed=recipe.seed)
    first = initial(plan)
    theta = np.concatenate([view.ravel() for view in first.values()])
    optimizer = state_of(Adam(), theta, limit_norm=recipe.clip_norm)
    grad = np.zeros_like(theta)
    done, settings = 0, asdict(recipe)
    if checkpoint is not None and os.path.exists(checkpoint):
        tensors, metadata = read_tensors(checkpoint, CHECKPOINT, 1)
        if metadata["recipe"] != settings:
            raise ValueError(f"{os.fspath(checkpoint)} is of another recipe: {metadata['recipe']}, not {settings}")
        done = metadata["steps"]
        theta[:], optimizer.m[:], optimizer.v[:] = tensors["theta"], tensors["m"], tensors["v"]
    written = time.monotonic()
    while done < recipe.steps:
        rng = seeds.generator(recipe.seed, "data", done // ROUND)
        task = task_of(rng)
        n = int(rng.choice(task.horizons))
        source, pool = series_of(rng, task, n, recipe.series)
        here = plan_for(recipe.size, task.seasons, n, seed=recipe.seed)
        network = network_of(here, theta)
        steps = min(ROUND, recipe.steps - done)
        losses, norms = np.empty(steps), np.empty(steps)
        ran = run(train, network, workspace(here, network, task.batch), source, pool, optimizer, grad,
                  recipe.rates(done, done + steps), done, losses, norms, threads=threads)  # fmt: skip
        if ran < steps:
            raise NonFiniteError(f"step {done + ran + 1}: loss {losses[ran]}, gradient norm {norms[ran]}")
        done += steps
        tick(done, float(losses.mean()))
        if checkpoint is not None and (time.monotonic() - written > every or done == recipe.steps):
            tensors = {"theta": theta, "m": optimizer.m, "v": optimizer.v}
            write_tensors(checkpoint, CHECKPOINT, 1, tensors, {"recipe": settings, "steps": done}, overwrite=True)
            written = time.monotonic()
    about_it: dict[str, Any] = {"size": asdict(recipe.size), "recipe": settings}
    write_tensors(path, FORMAT, VERSION, views(theta, plan.shapes), about_it, overwrite=True)
