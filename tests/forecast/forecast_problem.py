"""A small forecasting problem with everything in it: gaps, short series, exogenous columns, lags, several layers."""

from dataclasses import replace

import numpy as np

from bptt import seeds
from bptt.forecast.network.architecture import Architecture, initial, network_of, workspace
from bptt.forecast.network.batches import AVERAGE, CHANGE, DRIFT, LAST, MEAN, SEASONAL, sample, source_of
from bptt.forecast.network.step import Pool, train
from bptt.network.loss_kernels import MSE
from bptt.numerics import updates
from bptt.numerics.threads import run

SGD_RATE = 1e-300  # a step that shows the gradient and moves nothing


def plan_of(strategy: str, cell: str, **changes) -> Architecture:
    plan = Architecture(
        strategy=strategy,
        cell=cell,
        n=5,
        input_size=6,
        segment=2 if strategy == "segment" else 1,
        hidden_size=7,
        num_layers=2,
        kinds=(SEASONAL, CHANGE, LAST, MEAN, DRIFT, AVERAGE),
        periods=(2, 3, 0, 0, 0, 2),
        lags=() if strategy == "segment" else (2, 4),
        futr=2,
        hist=0 if strategy == "recursive" else 1,
        static=1,
        taus=(0.5, 0.7, 0.9, 0.2),
        loss=MSE,
        parameter=1.0,
        scaler=0,
        dropout=0.2,
        told=0.3 if strategy == "recursive" else 0.0,
        seed=3,
        dtype="float64",
    )
    return replace(plan, **changes)


def source_for(plan: Architecture, seed: int = 0):
    """Three series of 30, 4 and 17 rows, some missing."""
    rng = np.random.default_rng(seed)
    lengths = np.array([30, 4, 17])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows = starts[-1]
    observed = rng.random(rows) > 0.15
    observed[starts[:-1]] = True
    y = np.where(observed, rng.standard_normal(rows).cumsum(), 0.0)
    return source_of(
        y,
        observed,
        starts,
        lengths - np.array([0, 0, 2]),
        np.full(3, 0.1),
        rng.standard_normal((rows, plan.futr)),
        rng.standard_normal((rows, plan.hist)),
        rng.standard_normal((3, plan.static)),
    )


def windows_of(plan: Architecture):
    probabilities = np.array([0.5, 0.7, 1.0])
    first = np.array([2, 1, 2])
    last = np.array([25, 3, 12])
    return probabilities, first, last


def start_of(plan: Architecture, seed: int = 1) -> np.ndarray:
    """Weights all of which matter: the head is not at 0."""
    rng = np.random.default_rng(seed)
    parameters = initial(plan)
    for view in parameters.values():
        view += 0.3 * rng.standard_normal(view.shape)
    return np.concatenate([view.ravel() for view in parameters.values()])


def loss_and_gradient(plan: Architecture, theta: np.ndarray, B: int = 6, step: int = 2, threads: int | None = None):
    """The loss of a training step at `theta`, and its gradient."""
    theta = theta.copy()
    network, source = network_of(plan, theta), source_for(plan)
    work = workspace(plan, network, B)
    grad, m, v = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    losses, norms = np.zeros(1), np.zeros(1)
    partial = np.empty(updates.blocks(theta.size))
    # Adam with b1 = 0: its m is the gradient.
    optimizer = updates.Optimizer(updates.ADAM, np.array([0.0, 0.999, 1e-8, 0.0]), m, v, partial, 1e300, 0.0)
    run(train, network, work, source, Pool(*windows_of(plan)), optimizer, grad, np.full(1, SGD_RATE), step, losses,
        norms, threads=threads)  # fmt: skip
    return losses[0], m


def drawn(plan: Architecture, B: int = 6, step: int = 2):
    """The windows of that step."""
    series, ends = np.zeros(B, np.int64), np.zeros(B, np.int64)
    sample(seeds.key(plan.seed, "windows"), step, *windows_of(plan), series, ends)
    return series, ends
