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
) -> tuple[TrainingConfig, few.Blend | None]:
    """Decide how long to train, and how to blend the network with naive forecasts.

    Parameters
    ----------
    source : SeriesArrays
        All rows that may be trained on.
    config : TrainingConfig
        As it is for many windows.
    tried : tuple of (kind, period)
        Naive forecasts to blend.
    train : function (config, ends) -> TrainingResult
        Trains one network on the rows before `ends`, and validates it on the rows from there on.
    alias : str
        Name of the model in a warning.

    Returns
    -------
    TrainingConfig
        With the number of steps; 0 where nothing is left to learn from.
    Blend or None
        None where there are too few rows to hold any out.
    """
    train_ends = source.train_ends
    held = train_ends - few.held_out_rows(train_ends, plan.n)
    late = few.late_windows(train_ends, np.maximum(held, 1))
    if not late[0].size:
        return config, None
    naive, target, weight = few.compared(plan, source, tried, *late)
    if not weight.any():
        return config, None
    missed = [naive[:, :, k] - target for k in range(len(tried))]
    steps = 0
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
        missed.append(predict_windows(plan, source, learned.theta, *late)[0][:, :, 0] - target)
        steps = min(learned.valid, key=lambda check: check[1])[0]
    errors = [few.mean_error(plan, part, weight) for part in missed]
    errors[len(tried) :] = [few.NETWORK * error for error in errors[len(tried) :]]
    K = len(tried)
    alone, weights = few.shares_of(errors[:K]), np.zeros(K + 1)
    weights[: len(errors)] = few.shares_of(errors)
    of_naive, of_all = (
        few.mean_error(plan, np.tensordot(shares, np.stack(missed[: shares.size]), 1), weight)
        for shares in (alone, weights[: len(errors)])
    )
    share = of_all / of_naive if of_naive > 0 else 1.0
    # What the naive forecasts missed in windows that are at least half full.
    usable = np.maximum(train_ends, 0)
    naive, target, weight = few.compared(
        plan, source, tried, *few.late_windows(train_ends, np.maximum(np.minimum(plan.input_size, usable // 2), 1))
    )
    offsets = few.offsets_of(plan, target - naive @ alone, weight, share)
    most = int(np.argmax(weights))
    main = "the network" if most == K else repr(few.name_of(*tried[most]))
    warn(
        f"{alias}: {few.count(config.windows)} windows are few for a network, which is therefore blended with naive "
        f"forecasts by how well each did on the last rows, held out: {100 * weights[K]:.0f}% network, most of all "
        f"{main} ({100 * weights[most]:.0f}%). max_steps=<steps> trains the network alone. Pretrained(h={plan.n}) of "
        f"bptt.forecast needs no training and is likely to be better"
    )
    return replace(config, max_steps=steps, schedule=few.STEPS), few.Blend(tried, weights, offsets)
