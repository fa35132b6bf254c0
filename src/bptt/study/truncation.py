"""What truncation does to the gradient: its bias, its variance, its cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.study.estimators import tbptt
from bptt.study.lags import contribution_by_lag, norms
from bptt.study.problem import Problem, checked
from bptt.study.result import Result
from bptt.unroll.truncation import TBPTT

__all__ = ["truncation_bias"]


def truncation_bias(
    problem: Problem, *, windows: Sequence[int | tuple[int, int] | TBPTT], largest_bias: float = 0.1
) -> Result:
    """The gradient of TBPTT(k1, k2) beside the whole one (Williams & Peng 1990; Aicher et al. 2019).

    Parameters
    ----------
    problem : Problem
    windows : sequence of int, (k1, k2) or TBPTT
        Truncations to compare; an int k stands for (k, k).
    largest_bias : float
        Above 0: the relative error up to which a truncation is recommended. Default 0.1.

    Returns
    -------
    Result
        `arrays["gradients"]` (windows, n), `arrays["gradient"]` (n,). The frame has k1, k2, mean_horizon (over how many
        steps the mean loss is sent back, itself included), relative_error ||g_K - g|| / ||g||, cosine, sign_agreement
        (share of parameters with the sign of g), bound (the sum of ||g_k|| over the lags k that some loss misses,
        divided by ||g||: by the triangle inequality no error is larger), variance over the sequences divided by
        ||g||^2, seconds, and bytes of the tape that has to be kept.

    Raises
    ------
    TypeError, ValueError
        problem is no Problem; a window is no such pair.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> x = np.random.default_rng(0).normal(size=(40, 4, 2))
    >>> p = study.Problem(bptt.GRU(2, 8, seed=0), x, np.ones((40, 4, 8)))
    >>> found = study.truncation_bias(p, windows=[(1, 5), (1, 40)])
    >>> float(found.to_frame()["relative_error"].iloc[1].round(12))
    0.0
    """
    p = checked(problem)
    T = p.steps
    truncations = [TBPTT.from_argument(window) for window in arguments.sequence("windows", windows)]
    if not truncations:
        raise ValueError("windows must have at least one truncation, such as (8, 16); got none")
    limit = arguments.real("largest_bias", largest_bias, 0.0, open_ends="min")
    rng = np.random.default_rng(0)  # which truncation at fixed steps does not use
    gradient = p.gradient()
    size = float(norms(gradient))
    by_lag = norms(contribution_by_lag(p).arrays["parts"])
    step = p.tape.a[:, 0].nbytes + p.tape.s[:, 0].nbytes
    sequences = [p.of_row(row) for row in range(p.batch_size)]
    rows, gradients = [], []
    for truncation in truncations:
        k1, k2 = min(truncation.k1, T), min(truncation.depth, T)
        estimator = tbptt(k1, k2)
        started = time.perf_counter()
        found = estimator(p, rng)
        seconds = time.perf_counter() - started
        gradients.append(found)
        each = np.stack([estimator(sequence, rng) for sequence in sequences])
        shortest = k2 - k1 + 1
        rows.append(
            {
                "k1": truncation.k1,
                "k2": truncation.depth,
                "mean_horizon": k2 - (k1 - 1) / 2,
                "relative_error": float(norms(found - gradient)) / size,
                "cosine": float(found @ gradient / (norms(found) * size)) if found.any() else 0.0,
                "sign_agreement": float((np.sign(found) == np.sign(gradient)).mean()),
                "bound": float(by_lag[shortest:].sum()) / size if k2 < T else 0.0,
                "variance": float(((each - each.mean(axis=0)) ** 2).sum(axis=1).mean()) * p.batch_size / size**2,
                "seconds": seconds,
                "bytes": min(k2, T) * step,
            }
        )
    frame = pd.DataFrame(rows)
    good = frame[frame["relative_error"] <= limit].sort_values("bytes", kind="stable")
    if len(good):
        best = good.iloc[0]
        finding = (
            f"k1={best['k1']:.0f}, k2={best['k2']:.0f} is the smallest with an error of at most {limit:.0%} "
            f"({best['relative_error']:.2%}); its mean loss goes back {best['mean_horizon']:.1f} steps"
        )
    else:
        finding = f"none of these comes within {limit:.0%}; the nearest is off by {frame['relative_error'].min():.1%}"

    def draw(ax: Any, table: pd.DataFrame) -> None:
        table = table.sort_values("k2")
        ax.semilogy(table["k2"], table["relative_error"], "o-", label="relative error")
        ax.semilogy(table["k2"], table["bound"], "--", label="bound")
        ax.set(xlabel="k2: steps of backpropagation", ylabel="relative error of the gradient")
        ax.legend(frameon=False)

    return Result("truncation_bias", finding, {"gradients": np.array(gradients), "gradient": gradient}, frame, draw)
