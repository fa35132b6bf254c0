"""By which way an error came: along the cell state alone, or last through the recurrent weights of one gate.

Going back a step, the error of the state that carries is

    LSTM    dc' = f dc + o' (1 - tanh^2 c') (U_i^T da_i + U_f^T da_f + U_g^T da_g + U_o^T da_o)
    GRU     dh' = z dh + U_r^T da_r + U_z^T da_z + U_n^T dn_h

the first term leaves it where it is. An error that was never anywhere else is the carried part; one that has been
through recurrent weights belongs to the gate of the last time. The parts add up to the whole error, exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bptt.study.lags import norms
from bptt.study.problem import Problem, checked, lag_count, one_layer
from bptt.study.result import Result

__all__ = ["path_split"]

# The state that carries an error, and the gate by which it does.
CARRIED = {"lstm": ("c", "f"), "gru": ("h", "z")}


def path_split(problem: Problem, *, max_lag: int | None = None) -> Result:
    """How much of an error by lag came along the cell state alone, and how much last through which gate.

    Parameters
    ----------
    problem : Problem
        Of an LSTM or a GRU of one layer.
    max_lag : int, optional
        From 0 to T - 1; default T - 1.

    Returns
    -------
    Result
        `arrays["parts"]` (ways, lags, T, B, H): of the derivative of step t's loss by the LSTM's c, the GRU's h, `lag`
        steps before, NaN where there is no such step; the ways are "carried" and the gates, in the order of the frame.
        `arrays["whole"]` (lags, T, B, H), their sum. The frame has lag, way, norm (the mean over t and the rows), and
        share: that of the part along the whole error, 1 in the sum over the ways.

    Raises
    ------
    TypeError, ValueError
        problem is no Problem; its layer has no gates, or more than one layer.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> x = np.random.default_rng(0).normal(size=(20, 2, 3))
    >>> found = study.path_split(study.Problem(bptt.LSTM(3, 8, seed=0), x, np.ones((20, 2, 8))), max_lag=5)
    >>> found.to_frame()["way"].unique().tolist()
    ['carried', 'i', 'f', 'g', 'o']
    """
    p = checked(problem)
    cell, T, B, H = p.layer.cell, p.steps, p.batch_size, p.layer.hidden_size
    if cell.name not in CARRIED:
        raise ValueError(f"problem must have a layer with gates, {', '.join(CARRIED)}; got {cell.name}")
    one_layer(p, "path_split")
    lags = lag_count(p, max_lag)
    state, carrying = CARRIED[cell.name]
    gates = [(name, j, row) for j, (name, row) in enumerate(zip(cell.blocks, cell.h_order, strict=True)) if row >= 0]
    weights, kept = p.layer.parameters["weight_hh_l0"], p.tape.layers[0]
    carry = kept.gates[carrying]
    # What an error of h is for the state that carries: for c, which feeds h, the slope of o tanh(c).
    enters = np.ones((T, B, H))
    if state == "c":
        enters = kept.gates["o"] * (1 - np.tanh(kept.c[1:]) ** 2)
    parts = np.full((1 + len(gates), lags, T, B, H), np.nan)
    whole = np.full((lags, T, B, H), np.nan)
    for t in range(T):
        first = max(0, t + 1 - lags)
        errors = p.layer.backward(None, p.part(first, t + 1), last=p.dy[t], errors=(state, "a")).errors
        da = errors["a"][0].reshape(t + 1 - first, B, -1, H)
        now = np.zeros((1 + len(gates), B, H))
        now[0] = p.dy[t] * enters[t]
        for lag in range(t + 1 - first):
            at = t - lag
            parts[:, lag, t], whole[lag, t] = now, errors[state][0, at - first]
            if at > first:
                now = now * carry[at]
                for way, (_, block, row) in enumerate(gates, start=1):
                    now[way] += enters[at - 1] * (da[at - first, :, block] @ weights[row * H : (row + 1) * H])
    names = ["carried", *(name for name, _, _ in gates)]
    total = np.nansum(whole**2, axis=(1, 2, 3))
    rows = [
        {
            "lag": lag,
            "way": name,
            "norm": float(np.nanmean(norms(parts[way, lag]))),
            "share": float(np.nansum(parts[way, lag] * whole[lag]) / total[lag]) if total[lag] > 0 else 0.0,
        }
        for lag in range(lags)
        for way, name in enumerate(names)
    ]
    frame = pd.DataFrame(rows)
    far = frame[frame["lag"] == lags - 1].set_index("way")["share"]
    finding = f"{far['carried']:.0%} of dL/d{state} {lags - 1} steps back came along {state} alone"

    def draw(ax: Any, table: pd.DataFrame) -> None:
        for name in names:
            part = table[table["way"] == name]
            ax.semilogy(part["lag"], part["norm"].where(part["norm"] > 0), label=name)
        ax.set(xlabel="lag: steps before the loss", ylabel=f"length of the part of dL/d{state}")
        ax.legend(frameon=False)

    return Result("path_split", finding, {"parts": parts, "whole": whole}, frame, draw)
