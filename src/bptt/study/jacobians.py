"""Jacobians of a step, their products, and Lyapunov exponents.

The whole state of all layers is one vector s_t of n numbers. J_t = ds_t / ds_{t-1} comes from the layer's own backward
pass through one step, all n rows of it at once: a step stands n times in a batch, each with another unit error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.study.lags import norms, slope_of
from bptt.study.problem import Problem, checked
from bptt.study.result import Result

__all__ = ["jacobian_products", "jacobians", "lyapunov_spectrum"]

# Numbers of a batch of errors: some tens of megabytes.
AT_ONCE = 4_000_000


def step_jacobians(p: Problem, row: int) -> np.ndarray:
    """(T, n, n): J_t of one row of the batch; state 0 of layer 0 first, then its other states, then layer 1."""
    return step_derivatives(p, row)[0]


def step_derivatives(p: Problem, row: int) -> tuple[np.ndarray, np.ndarray]:
    """J_t, and (T, n, A*H) ds_t / da_t of the last layer, the state before kept as it is."""
    layer, T = p.layer, p.steps
    L, H, S = layer.num_layers, layer.hidden_size, len(layer.cell.states)
    n = L * S * H
    eye = np.eye(n).reshape(n, L, S, H)
    before = [part.s[:-1, row].reshape(T, S, H) for part in p.tape.layers]
    out, by_a = np.empty((T, n, n)), np.empty((T, n, len(layer.cell.blocks) * H))
    most = max(1, AT_ONCE // n**2)
    for first in range(0, T, most):
        last = min(T, first + most)
        count = last - first
        x = np.repeat(p.x[first:last, row], n, axis=0)[None]
        states = [np.stack([np.repeat(before[l][first:last, k], n, axis=0) for l in range(L)]) for k in range(S)]
        errors = [np.stack([np.tile(eye[:, l, k], (count, 1)) for l in range(L)]) for k in range(S)]
        _, _, tape = layer.forward(x, tuple(states) if S > 1 else states[0])
        g = layer.backward(None, tape, tuple(errors) if S > 1 else errors[0], errors="a")
        back = g.state if isinstance(g.state, tuple) else (g.state,)
        rows = np.stack([np.stack([np.asarray(part)[l] for part in back], axis=1) for l in range(L)], axis=1)
        out[first:last] = rows.reshape(count, n, n)
        by_a[first:last] = g.errors["a"][-1, 0].reshape(count, n, -1)
    return out, by_a


def jacobians(problem: Problem, *, row: int = 0) -> Result:
    """The Jacobian of every step, J_t = ds_t / ds_{t-1}, of one sequence of the batch.

    Parameters
    ----------
    problem : Problem
    row : int
        From 0 to B - 1; default 0.

    Returns
    -------
    Result
        `arrays["jacobians"]` (T, n, n), n = L * S * H: h of layer 0, its c, then layer 1. The frame has t, the largest
        and smallest singular value, their ratio (condition), and the spectral radius.

    Raises
    ------
    TypeError, ValueError
        problem is no Problem; row is outside the batch.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> p = study.Problem(bptt.LSTM(2, 3, seed=0), np.ones((6, 1, 2)), np.ones((6, 1, 3)))
    >>> study.jacobians(p).arrays["jacobians"].shape
    (6, 6, 6)
    """
    p = checked(problem)
    J = step_jacobians(p, arguments.integer("row", row, 0, p.batch_size - 1))
    singular = np.linalg.svd(J, compute_uv=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        condition = singular[:, 0] / singular[:, -1]
    radius = np.abs(np.linalg.eigvals(J)).max(axis=1)
    frame = pd.DataFrame(
        {
            "t": np.arange(p.steps),
            "largest": singular[:, 0],
            "smallest": singular[:, -1],
            "condition": condition,
            "radius": radius,
        }
    )
    finding = f"a step stretches an error by up to {singular[:, 0].max():.3g}; mean spectral radius {radius.mean():.3g}"

    def draw(ax: Any, table: pd.DataFrame) -> None:
        for name in ("largest", "smallest", "radius"):
            ax.semilogy(table["t"], table[name], label=name)
        ax.set(xlabel="step", ylabel="singular values and spectral radius of the Jacobian")
        ax.legend(frameon=False)

    return Result("jacobians", finding, {"jacobians": J, "singular": singular}, frame, draw)


def accumulate(J: np.ndarray) -> np.ndarray:
    """(T, n): log |R_ii| of J_t Q_{t-1} = Q_t R_t, from Q = 1."""
    n = J.shape[1]
    Q, logs = np.eye(n), np.empty((len(J), n))
    for t, J_t in enumerate(J):
        Q, R = np.linalg.qr(J_t @ Q)
        with np.errstate(divide="ignore"):
            logs[t] = np.log(np.abs(np.diag(R)))
    return logs


def jacobian_products(problem: Problem, *, row: int = 0) -> Result:
    """Logarithms of the singular values of J_T ... J_{T-k}, for every number of factors k + 1.

    The largest comes from the product with its scale taken out at every step, the others from a QR decomposition at
    every step, so that factors of 1e-400 and 1e400 do no harm: log |R_ii| summed over the steps is the logarithm of the
    i-th singular value up to a bounded difference (Benettin et al. 1980), and their sum is exactly that of the
    determinant.

    Parameters
    ----------
    problem : Problem
    row : int
        From 0 to B - 1; default 0.

    Returns
    -------
    Result
        `arrays["log_singular"]` (T, n) in falling order; `arrays["log_largest"]` (T,), exact. The frame has lag,
        log_largest, log_smallest and log_condition.

    Raises
    ------
    TypeError, ValueError
        As of `jacobians`.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> layer = bptt.RNN(1, 1, nonlinearity="identity", dtype="float64")
    >>> layer.flat = [1.0, 1e-3, 0.0, 0.0]
    >>> p = study.Problem(layer, np.ones((200, 1, 1)), np.ones((200, 1, 1)))
    >>> float((study.jacobian_products(p).arrays["log_largest"][-1] / np.log(10)).round(6))
    -600.0
    """
    p = checked(problem)
    J = step_jacobians(p, arguments.integer("row", row, 0, p.batch_size - 1))
    # From the last step back: singular values of a product are those of its transpose.
    backwards = J[::-1].swapaxes(1, 2)
    logs = np.cumsum(accumulate(backwards), axis=0)
    largest, scale, product = np.empty(p.steps), 0.0, np.eye(J.shape[1])
    for k, J_t in enumerate(backwards):
        product = J_t @ product
        most = np.abs(product).max()
        if most == 0:
            largest[k:] = -np.inf
            break
        product, scale = product / most, scale + np.log(most)
        largest[k] = scale + np.log(np.linalg.norm(product, 2))
    ordered = -np.sort(-logs, axis=1)
    frame = pd.DataFrame(
        {
            "lag": np.arange(p.steps),
            "log_largest": largest,
            "log_smallest": ordered[:, -1],
            "log_condition": largest - ordered[:, -1],
        }
    )
    finding = f"over {p.steps} steps the most stretched error changes by a factor of e^{largest[-1]:.3g}"

    def draw(ax: Any, table: pd.DataFrame) -> None:
        ax.plot(ordered, color="C0", alpha=0.3, linewidth=0.7)
        ax.plot(table["lag"], table["log_largest"], color="C3", label="largest")
        ax.set(xlabel="lag", ylabel="log of the singular values of the product")
        ax.legend(frameon=False)

    return Result("jacobian_products", finding, {"log_singular": ordered, "log_largest": largest}, frame, draw)


def lyapunov_spectrum(problem: Problem, *, warmup: int | None = None) -> Result:
    """Lyapunov exponents of the state along the sequences, and what they say of gradients.

    lambda_i = mean over t of log |R_ii|, J_t Q_{t-1} = Q_t R_t (Benettin et al. 1980; for recurrent networks
    Engelken et al. 2020, Vogt et al. 2020). Where lambda_1 > 0, gradients grow with the lag whatever the cell (Mikhaeil
    et al. 2022).

    Parameters
    ----------
    problem : Problem
        Every sequence of the batch is one trajectory.
    warmup : int, optional
        Steps at the beginning that are left out, while the axes turn to their places; below T. Default T // 10.

    Returns
    -------
    Result
        `arrays["exponents"]`, `arrays["standard_errors"]` (n,), per step, in falling order, the errors from the
        sequences, or with one sequence from ten blocks of its steps; `arrays["dimension"]`, of Kaplan and Yorke (1979);
        `arrays["slope"]`, the measured slope of log ||dl_T/dh|| by lag, beside lambda_1. The frame has a row for each
        exponent.

    Raises
    ------
    TypeError, ValueError
        problem is no Problem; warmup leaves fewer than 10 steps.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> layer = bptt.RNN(1, 2, nonlinearity="identity", dtype="float64", seed=0)
    >>> layer.parameters["weight_hh_l0"] = [[0.9, 1.0], [0.0, 0.5]]
    >>> p = study.Problem(layer, np.zeros((400, 1, 1)), np.ones((400, 1, 2)))
    >>> study.lyapunov_spectrum(p).arrays["exponents"].round(3), np.log([0.9, 0.5]).round(3)
    (array([-0.105, -0.693]), array([-0.105, -0.693]))
    """
    p = checked(problem)
    T = p.steps
    start = T // 10 if warmup is None else arguments.integer("warmup", warmup, 0)
    if T - start < 10:
        raise ValueError(f"warmup must leave at least 10 of the {T} steps; got {start}")
    logs = np.stack([accumulate(step_jacobians(p, row))[start:] for row in range(p.batch_size)])
    parts = logs.mean(axis=1)
    if p.batch_size == 1:
        parts = np.stack([block.mean(axis=0) for block in np.array_split(logs[0], 10)])
    exponents = logs.mean(axis=(0, 1))
    order = np.argsort(-exponents)
    exponents = exponents[order]
    errors = parts.std(axis=0, ddof=1)[order] / np.sqrt(len(parts))
    dimension = kaplan_yorke(exponents)
    # From the last step alone, sent back: what the exponents speak of.
    last = p.dy[-1] if p.dy[-1].any() else np.ones_like(p.dy[-1])
    errors_h = p.layer.backward(None, p.tape, last=last, errors="h").errors["h"][-1, start:]
    slope = slope_of(np.arange(T - start), norms(errors_h).mean(axis=1)[::-1])
    frame = pd.DataFrame({"i": np.arange(1, exponents.size + 1), "exponent": exponents, "standard_error": errors})
    first = exponents[0]
    finding = (
        f"lambda_1 = {first:.4g} +- {errors[0]:.2g} a step, dimension {dimension:.3g}: gradients "
        f"{'grow' if first > 0 else 'shrink'} by a factor of {np.exp(first * 100):.3g} in 100 steps "
        f"(measured slope {slope:.3g})"
    )

    def draw(ax: Any, table: pd.DataFrame) -> None:
        ax.errorbar(table["i"], table["exponent"], 2 * table["standard_error"], fmt="o-", markersize=3)
        ax.axhline(0, color="grey", linewidth=0.7)
        ax.set(xlabel="i", ylabel="Lyapunov exponent per step")

    arrays = {
        "exponents": exponents,
        "standard_errors": errors,
        "dimension": np.array(dimension),
        "slope": np.array(slope),
    }
    return Result("lyapunov_spectrum", finding, arrays, frame, draw)


def kaplan_yorke(exponents: np.ndarray) -> float:
    """The dimension k + (lambda_1 + ... + lambda_k) / |lambda_{k+1}|, k the last one with a sum of at least 0."""
    sums = np.cumsum(exponents)
    if sums[0] < 0:
        return 0.0
    k = int(np.flatnonzero(sums >= 0)[-1])
    if k + 1 == exponents.size:
        return float(exponents.size)
    return float(k + 1 + sums[k] / abs(exponents[k + 1]))
