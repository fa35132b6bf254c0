"""Train one network on a panel: windows sampled for each step, validation on the last rows, best weights kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from bptt.errors import NonFiniteError
from bptt.forecast.network.architecture import Architecture, network_of, workspace
from bptt.forecast.network.batches import Batch, SeriesArrays
from bptt.forecast.network.step import Pool, predict, train
from bptt.network.stack import threads_for
from bptt.numerics.threads import run
from bptt.training.loop import Loop
from bptt.training.optimizers import Adam, state_of

__all__ = ["TrainingConfig", "TrainingResult", "learn", "predict_windows", "simulate_windows"]

# Steps of a compiled call; between two of them the bar moves and Ctrl-C is heard.
CALL = 25
# Windows forecast side by side.
TOGETHER = 512


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained.

    Attributes
    ----------
    schedule : int
        Steps after which the learning rate has fallen to 0; `max_steps` unless the training stops before.
    patience : int
        Stop after this many validations in a row without a better one; never if not positive.
    windows : tuple of arrays (N,)
        probabilities (cumulated) of each series, its first and its last window's end.
    validation : tuple of arrays (W,)
        series and ends of the windows to validate on; empty where there is no validation.
    """

    max_steps: int
    schedule: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    val_check_steps: int
    patience: int
    windows: tuple[np.ndarray, np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes
    ----------
    theta, m, v : arrays (P,)
        Weights (with validation the best ones), Adam's moments at the end.
    steps : int
        Steps done, those of a training that was continued included.
    losses : array
        Of each step of this training.
    valid : list of (step, loss)
    """

    theta: np.ndarray
    m: np.ndarray
    v: np.ndarray
    steps: int
    losses: np.ndarray
    valid: list[tuple[int, float]]


def rates(course: TrainingConfig, first: int, last: int) -> np.ndarray:
    """Learning rates of steps first to last - 1: half a cosine from the given rate to 0 (Loshchilov & Hutter 2017)."""
    return course.learning_rate * 0.5 * (1 + np.cos(np.pi * np.arange(first, last) / course.schedule))


def learn(
    plan: Architecture,
    source: SeriesArrays,
    validating: SeriesArrays,
    theta: np.ndarray,
    course: TrainingConfig,
    *,
    member: int = 0,
    before: TrainingResult | None = None,
    threads: int | None = None,
    tick: Callable[[int, float], None],
) -> TrainingResult:
    """Train a network from `theta`, or continue an earlier training.

    Parameters
    ----------
    source, validating : SeriesArrays
        The targets of the second one extend to the end of the validation rows.
    member : int
        Which network of an ensemble it is: its windows and dropout masks are its own.
    before : TrainingResult, optional
        An earlier training to continue.
    threads : int, optional
        Upper limit. Default: automatic.
    tick : function (steps, loss)
        Called after every few steps with their number and their mean loss.

    Raises
    ------
    NonFiniteError
        A loss or a gradient became infinite or NaN; the message names the step.
    MemoryError
        The arrays of a step cannot be allocated; the message names the sizes.
    """
    theta = theta.copy()
    network = network_of(plan, theta, member)
    try:
        work = workspace(plan, network, course.batch_size)
    except (MemoryError, ValueError) as error:  # a ValueError where no array can have this size
        raise MemoryError(
            f"a training step of batch_size={course.batch_size} windows with h={plan.n}, "
            f"input_size={plan.input_size} and hidden_size={plan.hidden_size} needs more memory than there is"
        ) from error
    grad = np.zeros_like(theta)
    optimizer = state_of(Adam(weight_decay=course.weight_decay), theta, limit_norm=course.clip_norm)
    done = 0 if before is None else before.steps
    if before is not None:
        optimizer = optimizer._replace(m=before.m.copy(), v=before.v.copy())
    threads = threads_for(network.stack, course.batch_size * (plan.T + plan.rows)) if threads is None else threads
    losses, norms = np.empty(course.max_steps), np.empty(course.max_steps)
    best: list[np.ndarray] = []
    valid: list[tuple[int, float]] = []

    def advance(steps: range) -> None:
        part = slice(steps.start, steps.stop)
        ran = run(train, network, work, source, Pool(*course.windows), optimizer, grad,
                  rates(course, steps.start, steps.stop), done + steps.start, losses[part], norms[part],
                  threads=threads)  # fmt: skip
        if ran < len(steps):
            bad = steps.start + ran
            raise NonFiniteError(
                f"step {bad + 1}: loss {losses[bad]}, gradient norm {norms[bad]}: not finite. Lower learning_rate, or "
                f"look for series whose values change by many orders of magnitude"
            )
        tick(len(steps), float(losses[part].mean()))

    def validate(step: int) -> float:
        valid.append((done + step, predict_windows(plan, validating, theta, *course.validation, threads=threads)[3]))
        # The first weights are kept even if their loss cannot be measured, so that there are some.
        return valid[-1][1] if np.isfinite(valid[-1][1]) else np.inf

    def keep(step: int, loss: float) -> None:
        best[:] = [theta.copy()]

    validated = course.validation[0].size > 0
    checks = [*range(course.val_check_steps, course.max_steps, course.val_check_steps), course.max_steps]
    loop = Loop(
        advance,
        checks if validated else [course.max_steps],
        validate if validated else lambda step: None,
        keep,
        patience=course.patience if course.patience > 0 else None,
        parts=calls,
    )
    loop.run()
    final = best[0] if best else theta
    return TrainingResult(final, optimizer.m, optimizer.v, done + loop.steps, losses[: loop.steps].copy(), valid)


def calls(steps: int) -> list[range]:
    """The steps of one compiled call each."""
    return [range(first, min(first + CALL, steps)) for first in range(0, steps, CALL)]


def predict_windows(
    plan: Architecture,
    source: SeriesArrays,
    theta: np.ndarray,
    series: np.ndarray,
    ends: np.ndarray,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Forecasts of windows.

    Returns
    -------
    z : array (W, n, Q)
        In the order of `plan.taus`, in each window's own units:
    shift, spread : arrays (W,)
        z times spread plus shift is on the scale of `source.y`.
    loss : float
        Mean loss of the steps whose true values the source has; 0 if it has none.
    """
    W, Q, R = series.size, len(plan.taus), plan.row
    together = min(W, TOGETHER)
    network = network_of(plan, theta)
    team = threads_for(network.stack, together * (plan.T + plan.rows)) if threads is None else threads
    work = workspace(plan, network, together)
    z, shift, spread = np.empty((W, plan.n, Q)), np.empty(W), np.empty(W)
    total = weight = 0.0
    for part, count in batches(work.batch, series, ends):
        run(predict, network, work, source, threads=team)
        f = work.f.reshape(plan.rows, together, Q, R).transpose(1, 0, 3, 2).reshape(together, plan.rows * R, Q)
        z[part] = f[:count, : plan.n]
        shift[part], spread[part] = work.batch.shift[:count], work.batch.spread[:count]
        # The rows' losses are shares of the whole batch's; those of the filling count for nothing.
        losses = work.losses.reshape(plan.rows, together)[:, :count]
        total += losses.sum() * max(work.batch.weights.sum(), 1.0)
        weight += work.batch.weights[:count].sum()
    return z, shift, spread, float(total / weight) if weight else 0.0


def simulate_windows(
    plan: Architecture,
    source: SeriesArrays,
    theta: np.ndarray,
    series: np.ndarray,
    ends: np.ndarray,
    draws: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A path of each window by a network with strategy="recursive", from the normal scores `draws` (W, n).

    Returns
    -------
    z : array (W, n)
        In each window's own units:
    shift, spread : arrays (W,)
        z times spread plus shift is on the scale of `source.y`.
    """
    W = series.size
    plan = replace(plan, marks_forecasts=False)
    network = network_of(plan, theta)
    together = min(W, TOGETHER)
    team = threads_for(network.stack, together * (plan.T + plan.rows))
    work = workspace(plan, network, together)._replace(draws=np.zeros((plan.n, together)))
    z, shift, spread = np.empty((W, plan.n)), np.empty(W), np.empty(W)
    for part, count in batches(work.batch, series, ends):
        work.draws[:, :count] = draws[part].T
        run(predict, network, work, source, threads=team)
        z[part] = work.path[:count, plan.back :]
        shift[part], spread[part] = work.batch.shift[:count], work.batch.spread[:count]
    return z, shift, spread


def batches(batch: Batch, series: np.ndarray, ends: np.ndarray) -> Iterator[tuple[slice, int]]:
    """Fill the batch with some of these windows after the others: which they are, and their number."""
    W, together = series.size, batch.series.size
    for first in range(0, W, together):
        count = min(together, W - first)
        part = slice(first, first + count)
        # A last batch that is not full is filled up with its first window.
        batch.series[:], batch.ends[:] = series[first], ends[first]
        batch.series[:count], batch.ends[:count] = series[part], ends[part]
        yield part, count
