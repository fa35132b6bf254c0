"""One network learns from a panel: windows drawn anew for each step, validation on the ends, best weights kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bptt.forecast.network import STRATEGIES, Plan, network_of, workspace
from bptt.forecast.windows import Source
from bptt.numerics import updates
from bptt.numerics.threads import run
from bptt.training.optimizers import Adam
from bptt.training.trainer import NonFiniteError

__all__ = ["Course", "Learned", "learn", "say", "threads_for"]

# Multiply-adds of a step under which a second thread is in the way.
SMALL = 5_000_000
# Steps of a compiled call; between two of them the bar moves and Ctrl-C is heard.
CALL = 25
# Windows forecast side by side.
TOGETHER = 512


@dataclass(frozen=True)
class Course:
    """How a network is trained.

    Attributes
    ----------
    schedule : int
        Steps after which the learning rate has fallen to 0; `max_steps` unless the training stops before.
    patience : int
        Stop after this many validations in a row without a better one; never if not positive.
    windows : tuple of arrays (N,)
        chances (cumulated) of each series, its first and its last window's end.
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
class Learned:
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


def threads_for(plan: Plan, B: int) -> int | None:
    """One thread for a step of so little work that a second is in its way; else all there are."""
    H = plan.hidden_size
    return 1 if B * (plan.T + plan.rows) * H * 4 * (plan.inputs + plan.num_layers * H) < SMALL else None


def rates(course: Course, first: int, last: int) -> np.ndarray:
    """Learning rates of steps first to last - 1: half a cosine from the given rate to 0 (Loshchilov & Hutter 2017)."""
    return course.learning_rate * 0.5 * (1 + np.cos(np.pi * np.arange(first, last) / course.schedule))


def learn(
    plan: Plan,
    source: Source,
    validating: Source,
    theta: np.ndarray,
    course: Course,
    *,
    member: int = 0,
    before: Learned | None = None,
    threads: int | None = None,
    tick: Callable[[int, float], None],
) -> Learned:
    """Train a network from `theta`, or on from where it was left.

    Parameters
    ----------
    source, validating : Source
        The second one's targets go on to the end of the rows to validate on.
    member : int
        Which network of an ensemble it is: its windows and dropout masks are its own.
    before : Learned, optional
        An earlier training to continue.
    threads : int, optional
        Upper limit; by default a number that fits the work.
    tick : function (steps, loss)
        Called after every few steps with their number and their mean loss.

    Raises
    ------
    NonFiniteError
        A loss or a gradient became infinite or NaN; the message names the step.
    """
    theta = theta.copy()
    network = network_of(plan, theta, member)
    train = STRATEGIES[plan.strategy].train
    work = workspace(plan, network, course.batch_size)
    grad = np.zeros_like(theta)
    m, v = (np.zeros_like(theta), np.zeros_like(theta)) if before is None else (before.m.copy(), before.v.copy())
    done = 0 if before is None else before.steps
    partial = np.empty(updates.blocks(theta.size))
    hyper = Adam(weight_decay=course.weight_decay).hyper
    threads = threads_for(plan, course.batch_size) if threads is None else threads
    losses, norms = np.empty(course.max_steps), np.empty(course.max_steps)
    best, best_loss, waited = None, np.inf, 0
    valid: list[tuple[int, float]] = []
    step = 0
    while step < course.max_steps:
        last = min(course.max_steps, step + CALL, (step // course.val_check_steps + 1) * course.val_check_steps)
        part = slice(step, last)
        ran = run(train, network, work, source, *course.windows, grad, m, v, partial, hyper,
                  rates(course, step, last), course.clip_norm, done + step, losses[part], norms[part],
                  threads=threads)  # fmt: skip
        if ran < last - step:
            raise NonFiniteError(
                f"step {step + ran + 1}: loss {losses[step + ran]}, gradient norm {norms[step + ran]}: not finite. "
                f"Lower learning_rate, or look for series whose values change by many orders of magnitude"
            )
        tick(last - step, float(losses[part].mean()))
        step = last
        if course.validation[0].size and (step % course.val_check_steps == 0 or step == course.max_steps):
            loss = say(plan, validating, theta, *course.validation, threads=threads)[3]
            valid.append((done + step, loss))
            # The first weights are kept even if their loss cannot be measured, so that there are some.
            if loss < best_loss or best is None:
                best, best_loss, waited = theta.copy(), loss, 0
            else:
                waited += 1
                if 0 < course.patience <= waited:
                    break
    final = theta if best is None else best
    return Learned(final, m, v, done + step, losses[:step].copy(), valid)


def say(
    plan: Plan, source: Source, theta: np.ndarray, series: np.ndarray, ends: np.ndarray, threads: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Forecasts of windows.

    Returns
    -------
    z : array (W, n, Q)
        In the order of `plan.taus`, in each window's own units:
    shift, spread : arrays (W,)
        z times spread plus shift is on the scale of `source.y`.
    loss : float
        Mean loss of the steps that the source knows; 0 where it knows none.
    """
    W, Q, R = series.size, len(plan.taus), plan.row
    together = min(W, TOGETHER)
    network = network_of(plan, theta)
    predict = STRATEGIES[plan.strategy].predict
    work = workspace(plan, network, together)
    z, shift, spread = np.empty((W, plan.n, Q)), np.empty(W), np.empty(W)
    total = weight = 0.0
    for first in range(0, W, together):
        count = min(together, W - first)
        # A last batch that is not full is filled up with its first window.
        work.batch.series[:], work.batch.ends[:] = series[first], ends[first]
        work.batch.series[:count], work.batch.ends[:count] = series[first : first + count], ends[first : first + count]
        run(predict, network, work, source, threads=threads_for(plan, together) if threads is None else threads)
        f = work.f.reshape(plan.rows, together, Q, R).transpose(1, 0, 3, 2).reshape(together, plan.rows * R, Q)
        z[first : first + count] = f[:count, : plan.n]
        shift[first : first + count], spread[first : first + count] = (
            work.batch.shift[:count],
            work.batch.spread[:count],
        )
        # The rows' losses are shares of the whole batch's; those of the filling count for nothing.
        losses = work.losses.reshape(plan.rows, together)[:, :count]
        total += losses.sum() * max(work.batch.weights.sum(), 1.0)
        weight += work.batch.weights[:count].sum()
    return z, shift, spread, float(total / weight) if weight else 0.0


def source_of(y: np.ndarray, observed: np.ndarray, starts: np.ndarray, stops: np.ndarray, floor: np.ndarray,
              futr: np.ndarray, hist: np.ndarray, static: np.ndarray) -> Source:  # fmt: skip
    """The series for compiled code, which reads them by index: all of the right kind, in one piece."""
    whole = np.ascontiguousarray
    return Source(
        y=whole(y, np.float64),
        observed=whole(observed, np.uint8),
        starts=whole(starts, np.int64),
        stops=whole(stops, np.int64),
        floor=whole(floor, np.float64),
        futr=whole(futr, np.float32),
        hist=whole(hist, np.float32),
        static=whole(static, np.float32),
    )
