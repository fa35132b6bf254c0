"""Estimators of the gradient: each a function of a problem and a random generator that returns a vector like `flat`.

    bptt        all steps back: the gradient
    tbptt       truncated (Williams & Peng 1990)
    artbp       truncated at random, and unbiased (Tallec & Ollivier 2017)
    rtrl        real-time recurrent learning (Williams & Zipser 1989): exact, forward only
    snap1       RTRL with one entry of the influence matrix kept for each parameter (Menick et al. 2021)
    uoro        RTRL with an unbiased random approximation of rank one (Tallec & Ollivier 2018)

The forward ones keep the influence P_t = ds_t / dtheta of one sequence,

    P_t = J_t P_{t-1} + M_t,        g = sum over t of dy_t P_t[h],

J_t = ds_t / ds_{t-1}, and M_t the derivative of s_t by the parameters' use in step t alone. Both come from the layer's
own backward pass, so they are there for every cell, in one layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.network.tangents import PRODUCTS, gather
from bptt.study.jacobians import step_derivatives
from bptt.study.lags import norms
from bptt.study.problem import Problem, checked, one_layer
from bptt.study.result import Result

__all__ = ["Estimator", "artbp", "bptt", "compare_estimators", "rtrl", "rtrl_by_step", "snap1", "tbptt", "uoro"]


class Estimator:
    """A named estimator of the gradient; calling it with a `Problem` and a generator returns a vector like `flat`."""

    def __init__(self, name: str, compute: Callable[[Problem, np.random.Generator], np.ndarray], size: Any) -> None:
        self.name, self._compute, self._size = name, compute, size

    def __repr__(self) -> str:
        return self.name

    def __call__(self, problem: Problem, rng: np.random.Generator) -> np.ndarray:
        return self._compute(checked(problem), rng)

    def numbers(self, problem: Problem) -> int:
        """How many numbers it has to keep for each sequence."""
        return int(self._size(problem))


def tape_numbers(p: Problem, steps: int) -> int:
    return steps * (p.tape.a[:, 0, 0].size + p.tape.s[:, 0, 0].size)


def bptt() -> Estimator:
    """Backpropagation through all steps: the gradient itself."""
    return Estimator("bptt", lambda p, rng: p.gradient(), lambda p: tape_numbers(p, p.steps))


def tbptt(k1: int, k2: int | None = None, *, losses: str = "window") -> Estimator:
    """Truncated backpropagation: every k1 steps, k2 steps back (Williams & Peng 1990: BPTT(k2; k1)).

    Parameters
    ----------
    k1, k2 : int
        At least 1, k2 at least k1; default k2 = k1.
    losses : {"window", "last"}
        "window" (default): the losses of all k1 new steps are sent back. "last": that of the newest step alone, which
        leaves out the others.

    Examples
    --------
    >>> from bptt import study
    >>> study.tbptt(8, 16)
    tbptt(8, 16)
    """
    k1 = arguments.integer("k1", k1)
    k2 = k1 if k2 is None else arguments.integer("k2", k2, k1)
    arguments.choice("losses", losses, ("window", "last"))

    def compute(p: Problem, rng: np.random.Generator) -> np.ndarray:
        total: np.ndarray | None = None
        for stop in range(k1, p.steps + k1, k1):
            start, stop = stop - k1, min(stop, p.steps)
            first = max(0, stop - k2)
            dy = p.dy[first:stop].copy()
            dy[: (start if losses == "window" else stop - 1) - first] = 0
            g = p.layer.backward(dy, p.part(first, stop)).flat
            total = g if total is None else total + g
        assert total is not None
        return total

    name = f"tbptt({k1}, {k2})" if losses == "window" else f"tbptt({k1}, {k2}, losses='last')"
    return Estimator(name, compute, lambda p: tape_numbers(p, min(k2, p.steps)))


def artbp(length: float) -> Estimator:
    """Backpropagation cut at random places, without bias (Tallec & Ollivier 2017).

    Between two steps the error is dropped with probability c = 1 / length, and divided by 1 - c where it is not. Pieces
    have a mean length of `length`.

    Parameters
    ----------
    length : float
        Above 1.
    """
    length = arguments.real("length", length, 1.0, open_ends="min")

    def compute(p: Problem, rng: np.random.Generator) -> np.ndarray:
        c = 1 / length
        total, carried = np.zeros_like(p.layer.flat), None
        for t in range(p.steps - 1, -1, -1):
            g = p.layer.backward(p.dy[t : t + 1], p.part(t, t + 1), carried)
            total += g.flat
            factor = 0.0 if rng.random() < c else 1 / (1 - c)
            state = g.state if isinstance(g.state, tuple) else (g.state,)
            parts = tuple(np.asarray(part) * factor for part in state)
            carried = parts if len(parts) > 1 else parts[0]
        return total

    return Estimator(f"artbp({length:g})", compute, lambda p: tape_numbers(p, min(p.steps, int(length))))


def influence_of_step(p: Problem, da: np.ndarray, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """M_t (n, parameters) from ds_t / da_t (n, A*H): every parameter enters a through one product."""
    n = len(da)
    blocks = da.reshape(n, -1, p.layer.hidden_size).transpose(1, 2, 0)
    parts = gather(p.layer.cell, blocks[..., None] * x, blocks[..., None] * h, blocks)
    named = {f"{name}_l0": part.swapaxes(0, 1) for name, part in zip(PRODUCTS, parts, strict=True)}
    return np.concatenate([named[name].reshape(n, -1) for name in p.layer.parameters], axis=1)


def steps_of(p: Problem, row: int) -> Any:
    """For each t: J_t, M_t, dL/dy_t."""
    J, D = step_derivatives(p, row)
    h = p.tape.h[0]
    for t in range(p.steps):
        yield J[t], influence_of_step(p, D[t], p.x[t, row], h[t, row]), p.dy[t, row]


def rtrl_by_step(problem: Problem) -> np.ndarray:
    """(T, n): what RTRL adds to the gradient at every step; the sum over T is the gradient."""
    p = checked(problem)
    one_layer(p, "rtrl")
    out = np.zeros((p.steps, p.layer.flat.size))
    H = p.layer.hidden_size
    for row in range(p.batch_size):
        P = np.zeros((len(p.layer.cell.states) * H, p.layer.flat.size))
        for t, (J, M, dy) in enumerate(steps_of(p, row)):
            P = J @ P + M
            out[t] += dy @ P[:H]
    return out


def states_times_parameters(p: Problem) -> int:
    return len(p.layer.cell.states) * p.layer.hidden_size * p.layer.flat.size


def rtrl() -> Estimator:
    """Real-time recurrent learning (Williams & Zipser 1989): exact, without a way back, n * parameters numbers."""
    return Estimator("rtrl", lambda p, rng: rtrl_by_step(p).sum(axis=0), states_times_parameters)


def snap1() -> Estimator:
    """RTRL in which each parameter moves the states of its own unit alone (SnAp-1, Menick et al. 2021); biased."""

    def compute(p: Problem, rng: np.random.Generator) -> np.ndarray:
        one_layer(p, "snap1")
        total, H = np.zeros_like(p.layer.flat), p.layer.hidden_size
        S = len(p.layer.cell.states)
        kept = np.arange(S * H)[:, None] % H == unit_of_parameter(p)
        for row in range(p.batch_size):
            P = np.zeros((S * H, total.size))
            for J, M, dy in steps_of(p, row):
                P = (J @ P) * kept + M
                total += dy @ P[:H]
        return total

    return Estimator("snap1", compute, lambda p: len(p.layer.cell.states) * p.layer.flat.size)


def unit_of_parameter(p: Problem) -> np.ndarray:
    """The hidden unit whose pre-activation each parameter enters."""
    H = p.layer.hidden_size
    parts = []
    for value in p.layer.parameters.values():
        unit = np.arange(len(value)) % H
        parts.append(np.repeat(unit, value[0].size if value.ndim > 1 else 1))
    return np.concatenate(parts)


def uoro() -> Estimator:
    """Unbiased online recurrent optimisation (Tallec & Ollivier 2018): the influence as one random outer product.

    P ~ s v^T; s' = p0 J s + p1 nu, v' = v / p0 + (nu^T M) / p1, nu of random signs, and the scales p0, p1 those of
    least variance.
    """

    def compute(p: Problem, rng: np.random.Generator) -> np.ndarray:
        one_layer(p, "uoro")
        total, H = np.zeros_like(p.layer.flat), p.layer.hidden_size
        n, tiny = len(p.layer.cell.states) * H, 1e-12
        for row in range(p.batch_size):
            s, v = np.zeros(n), np.zeros_like(total)
            for J, M, dy in steps_of(p, row):
                nu = rng.choice([-1.0, 1.0], n)
                Js, nuM = J @ s, nu @ M
                p0 = np.sqrt((np.linalg.norm(v) + tiny) / (np.linalg.norm(Js) + tiny))
                p1 = np.sqrt((np.linalg.norm(nuM) + tiny) / (np.linalg.norm(nu) + tiny))
                s, v = p0 * Js + p1 * nu, v / p0 + nuM / p1
                total += (dy @ s[:H]) * v
        return total

    return Estimator("uoro", compute, lambda p: len(p.layer.cell.states) * p.layer.hidden_size + p.layer.flat.size)


def compare_estimators(
    problem: Problem, estimators: Sequence[Estimator], *, samples: int = 100, seed: int = 0
) -> Result:
    """Bias, variance, cosine, time and memory of estimators of the gradient.

    Parameters
    ----------
    problem : Problem
    estimators : sequence of Estimator
        Such as ``[study.tbptt(8), study.artbp(8), study.uoro()]``.
    samples : int
        Draws of each, at least 2; default 100. One that does not draw is called twice.
    seed : int
        Default 0.

    Returns
    -------
    Result
        `arrays["means"]` (estimators, n), `arrays["gradient"]`. The frame has estimator, bias ||mean - g|| / ||g||,
        bias_z (the bias along g in its standard errors: an unbiased estimator is within 3; NaN for one that does not
        draw), deviation (the root of the summed variances, / ||g||), cosine (the mean over the draws), milliseconds a
        draw, and numbers kept for each sequence.

    Raises
    ------
    TypeError, ValueError
        An entry is no Estimator; the layer has more layers than an estimator takes.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> x = np.random.default_rng(0).normal(size=(12, 1, 2))
    >>> p = study.Problem(bptt.RNN(2, 4, seed=0), x, np.ones((12, 1, 4)))
    >>> table = study.compare_estimators(p, [study.rtrl(), study.tbptt(3)]).to_frame()
    >>> table["estimator"].tolist(), float(table["bias"].iloc[0].round(12))
    (['rtrl', 'tbptt(3, 3)'], 0.0)
    """
    p = checked(problem)
    samples = arguments.integer("samples", samples, 2)
    seed = arguments.seed("seed", seed)
    gradient = p.gradient()
    size = float(norms(gradient))
    rows, means = [], []
    for number, estimator in enumerate(arguments.sequence("estimators", estimators)):
        if not isinstance(estimator, Estimator):
            raise TypeError(f"estimators must be such as study.tbptt(8) or study.uoro(); got {estimator!r}")
        rng = np.random.default_rng([seed, number])
        started = time.perf_counter()
        draws = [estimator(p, rng), estimator(p, rng)]
        if not np.array_equal(draws[0], draws[1]):
            draws += [estimator(p, rng) for _ in range(samples - 2)]
        seconds = (time.perf_counter() - started) / len(draws)
        found = np.array(draws)
        mean = found.mean(axis=0)
        along = found @ gradient / size
        error = float(along.std(ddof=1)) / np.sqrt(len(found))
        off = float(along.mean()) - size
        rows.append(
            {
                "estimator": estimator.name,
                "bias": float(norms(mean - gradient)) / size,
                "bias_z": off / error if error > 0 else np.nan,
                "deviation": float(np.sqrt(found.var(axis=0).sum())) / size,
                "cosine": float((along / np.maximum(norms(found), np.finfo(float).tiny)).mean()),
                "milliseconds": 1000 * seconds,
                "numbers": estimator.numbers(p),
            }
        )
        means.append(mean)
    frame = pd.DataFrame(rows)
    best = frame.sort_values("cosine").iloc[-1]
    finding = f"{best['estimator']} is nearest to the gradient: cosine {best['cosine']:.3f}, bias {best['bias']:.2g}"

    def draw(ax: Any, table: pd.DataFrame) -> None:
        ax.barh(table["estimator"], table["cosine"])
        ax.set(xlabel="mean cosine with the gradient")

    return Result("compare_estimators", finding, {"means": np.array(means), "gradient": gradient}, frame, draw)
