"""How the newest rows decide when windows are few: see `fitting.few` for the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bptt.forecast.fitting import few
from bptt.forecast.fitting.training import TrainingConfig, TrainingResult, predict_windows
from bptt.forecast.fitting.training_windows import windows_of
from bptt.forecast.frames.panel import Panel
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import SeriesArrays
from bptt.network.loss_kernels import MSE
from bptt.user_warnings import warn

__all__ = ["decide"]


def decide(
    plan: Architecture,
    panel: Panel,
    source: SeriesArrays,
    config: TrainingConfig,
    tried: tuple[tuple[int, int], ...],
    train: Callable[[TrainingConfig, np.ndarray], TrainingResult],
    alias: str,
) -> tuple[Architecture, TrainingConfig, np.ndarray | None]:
    """Decide how long to train or which naive forecast to use instead, and the offsets of the quantiles.

    Parameters
    ----------
    source : SeriesArrays
        All rows that may be trained on.
    config : TrainingConfig
        As it is for many windows.
    tried : tuple of (kind, period)
        Naive forecasts to compare with.
    train : function (config, ends) -> TrainingResult
        Trains one network on the rows before `ends`, and validates it on the rows from there on.
    alias : str
        Name of the model in a warning.

    Returns
    -------
    Architecture
        With the one naive forecast that is taken where the network was not better.
    TrainingConfig
        With the number of steps; 0 where a naive forecast is taken.
    array (n, Q) or None
        Offsets of the quantiles; None where there are too few rows to hold any out.
    """
    train_ends = source.train_ends
    held = train_ends - few.held_out_rows(train_ends, plan.n)
    late = few.late_windows(train_ends, np.maximum(held, 1))
    if not late[0].size:
        return plan, config, None
    naive, target, weight = few.compared(plan, source, tried, *late)
    if not weight.any():
        return plan, config, None
    best, error = few.best_naive(plan, tried, naive, target, weight)
    steps, share = 0, None
    try:
        windows = windows_of(panel, held, plan.n, plan.segment)
    except ValueError:  # nothing is left to train on
        windows = None
    if windows is not None:
        watched = replace(
            config, max_steps=few.STEPS, schedule=few.STEPS, val_check_steps=few.CHECK, patience=few.PATIENCE,
            windows=windows, validation=late,
        )  # fmt: skip
        learned = train(watched, held)
        z = predict_windows(plan, source, learned.theta, *late)[0][:, :, 0]
        own = few.mean_error(plan, z - target, weight)
        if own <= few.CLEARLY * error:
            steps = min(learned.valid, key=lambda check: check[1])[0]
            share = float(np.sqrt(own / error)) if error > 0 else 1.0
            share = float(np.sqrt(share)) if plan.loss == MSE else share
    # What the naive forecast missed in windows that are at least half full.
    usable = np.maximum(train_ends, 0)
    naive, target, weight = few.compared(
        plan, source, tried, *few.late_windows(train_ends, np.maximum(np.minimum(plan.input_size, usable // 2), 1))
    )
    offsets = few.offsets_of(plan, target - naive[:, :, best], weight, share)
    if steps == 0:
        kind, period = tried[best]
        plan = replace(plan, kinds=(kind,), periods=(period,))
        warn(
            f"{alias}: {few.count(config.windows)} windows are few for a network: on the last rows, held out, "
            f"it was not better than the naive forecast {few.name_of(kind, period)!r}, which is taken instead. "
            f"max_steps=<steps> trains the network all the same. Pretrained(h={plan.n}) of bptt.forecast needs no "
            f"training and is likely to be better"
        )
    return plan, replace(config, max_steps=steps, schedule=few.STEPS), offsets
