"""Go on from the pretrained weights on the user's series, for as many steps as help."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from bptt.forecast.fitting.defaults import default_max_steps
from bptt.forecast.fitting.training import TrainingConfig, TrainingResult, learn, predict_windows
from bptt.forecast.fitting.training_windows import validation_windows, windows_of
from bptt.forecast.frames.panel import Panel
from bptt.forecast.network.architecture import Architecture
from bptt.forecast.network.batches import SeriesArrays

__all__ = ["fine_tune"]

# steps="auto": checks on the way, checks without a better one, share of an error that is clearly better.
CHECKS, PATIENCE, CLEARLY = 12, 4, 0.99


def fine_tune(
    plan: Architecture,
    panel: Panel,
    source: SeriesArrays,
    start: TrainingResult,
    *,
    before: TrainingResult | None,
    steps: int | Literal["auto"],
    batch_size: int,
    learning_rate: float,
    title: str,
    verbose: int,
) -> tuple[TrainingResult, np.ndarray]:
    """Train from the weights of `start` on the rows of `source` that are targets.

    With steps="auto" the last horizon of each series is held out first: it decides after how many steps the training
    on all rows stops, or that there is none. The second result is the weights that have not seen these rows, trained
    for as many steps; those of `start` where nothing was held out.
    """
    nothing = np.zeros(0, np.int64)
    try:
        windows = windows_of(panel, source.train_ends, plan.n, 1)
    except ValueError:  # there is nothing to train on
        if steps == "auto":
            return start, start.theta
        raise
    most = default_max_steps(plan, windows, batch_size) if steps == "auto" else steps
    config = TrainingConfig(
        max_steps=most,
        schedule=most,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=0.0,
        clip_norm=1.0,
        val_check_steps=max(1, most // CHECKS),
        patience=PATIENCE,
        windows=windows,
        validation=(nothing, nothing),
    )
    earlier = start.theta
    if steps == "auto":
        best, earlier = best_steps(plan, panel, source, start, config, title, verbose)
        if best == 0:
            return start, earlier
        config = replace(config, max_steps=best)
    return trained(plan, source, source, start, before, config, title, verbose), earlier


def best_steps(
    plan: Architecture,
    panel: Panel,
    source: SeriesArrays,
    start: TrainingResult,
    config: TrainingConfig,
    title: str,
    verbose: int,
) -> tuple[int, np.ndarray]:
    """After how many steps the last horizon, held out, is forecast best, and the weights then; 0 if none is clearly
    better."""
    seen = panel.observed & panel.before(source.train_ends)
    last = np.zeros(len(panel), np.int64)
    np.maximum.at(last, panel.series[seen], panel.position[seen] + 1)
    held = np.maximum(last - plan.n, 0)
    validation = validation_windows(held, last, plan.n)
    try:
        windows = windows_of(panel, held, plan.n, 1)
    except ValueError:  # nothing is left to train on
        return 0, start.theta
    before = predict_windows(plan, source, start.theta, *validation)[3]
    config = replace(config, windows=windows, validation=validation)
    part = source._replace(train_ends=held)
    tried = trained(plan, part, source, start, None, config, f"{title}, held-out rows", verbose)
    steps, loss = min(tried.valid, key=lambda check: check[1])
    return (steps, tried.theta) if loss < CLEARLY * before else (0, start.theta)


def trained(
    plan: Architecture,
    source: SeriesArrays,
    validating: SeriesArrays,
    start: TrainingResult,
    before: TrainingResult | None,
    config: TrainingConfig,
    title: str,
    verbose: int,
) -> TrainingResult:
    """The training, with a bar."""
    with tqdm(total=config.max_steps, desc=title, unit="step", disable=not verbose) as bar:

        def tick(steps: int, loss: float) -> None:
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update(steps)

        return learn(plan, source, validating, start.theta, config, before=before, tick=tick)
