"""How far back an error reaches, and which lags make the gradient of the weights."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.study.problem import Problem, checked, lag_count
from bptt.study.result import Result

__all__ = ["contribution_by_lag", "gradient_by_lag"]


def norms(array: np.ndarray) -> np.ndarray:
    """Euclidean norms along the last axis, without overflow or underflow of the squares."""
    most = np.abs(array).max(axis=-1, keepdims=True)
    scaled = np.divide(array, most, out=np.zeros_like(array), where=most > 0)
    return most[..., 0] * np.sqrt((scaled**2).sum(axis=-1))


def slope_of(lags: np.ndarray, values: np.ndarray) -> float:
    """The slope of log(values) by least squares, over the values above 0; NaN for fewer than two."""
    used = values > 0
    if used.sum() < 2:
        return float("nan")
    return float(np.polyfit(lags[used], np.log(values[used]), 1)[0])


def gradient_by_lag(
    problem: Problem,
    *,
    wrt: Literal["h", "c", "a", "x"] = "h",
    per: Literal["loss", "sum"] = "loss",
    max_lag: int | None = None,
    layer: int = -1,
) -> Result:
    """The length of the derivative of the loss by what came `lag` steps before (Hochreiter 1991; Bengio et al. 1994).

    Parameters
    ----------
    problem : Problem
    wrt : {"h", "c", "a", "x"}
        By the outputs, by the LSTM's cell states, by all pre-activations or by the inputs. Default "h".
    per : {"loss", "sum"}
        "loss" (default): ||d l_t / d v_{t - lag}|| of each step's own loss l_t = dy_t y_t, over all t that have such a
        step. "sum": ||d L / d v_{T - 1 - lag}|| of the whole loss, whose later terms add up.
    max_lag : int, optional
        From 0 to T - 1; default T - 1.
    layer : int
        Which of the stacked layers; default -1, the last one.

    Returns
    -------
    Result
        `arrays["norms"]` (lags, T, B) with NaN where there is no such step, or (lags, B) for "sum";
        `arrays["slope"]`, of the logarithm of the mean per step. The frame has lag, mean, q05, q50, q95.

    Raises
    ------
    TypeError, ValueError
        An argument is outside what is accepted; the cell has no `wrt`.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> p = study.Problem(bptt.LSTM(2, 8, seed=0), np.ones((20, 1, 2)), np.ones((20, 1, 8)))
    >>> study.gradient_by_lag(p, wrt="c").to_frame().shape
    (20, 5)
    """
    p = checked(problem)
    T, B, L = p.steps, p.batch_size, p.layer.num_layers
    arguments.choice("wrt", wrt, (*p.layer.cell.states, "a", "x"))
    arguments.choice("per", per, ("loss", "sum"))
    lags = lag_count(p, max_lag)
    at = arguments.integer("layer", layer, -L, L - 1) % L
    names = () if wrt == "x" else (wrt,)
    if per == "sum":
        g = p.layer.backward(p.dy, p.tape, errors=names)
        found = norms(_chosen(g, wrt, at))[::-1][:lags]
        columns = found
    else:
        found = np.full((lags, T, B), np.nan)
        for t in range(T):
            first = max(0, t + 1 - lags)
            g = p.layer.backward(None, p.part(first, t + 1), last=p.dy[t], errors=names)
            found[: t + 1 - first, t] = norms(_chosen(g, wrt, at))[::-1]
        columns = found.reshape(lags, T * B)
    with np.errstate(all="ignore"):
        frame = pd.DataFrame({"lag": np.arange(lags), "mean": np.nanmean(columns, axis=1)})
        for name, share in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95)):
            frame[name] = np.nanquantile(columns, share, axis=1)
    slope = slope_of(np.arange(lags), frame["mean"].to_numpy())
    finding = f"dL/d{wrt} changes by a factor of {np.exp(slope):.3g} a step"
    if slope < 0:
        finding += f"; after {-1 / slope:.1f} steps 1/e of it is left"
    elif slope > 0:
        finding += f"; it grows tenfold in {np.log(10) / slope:.1f} steps"

    def draw(ax: Any, table: pd.DataFrame) -> None:
        ax.semilogy(table["lag"], table["mean"], label="mean")
        ax.fill_between(table["lag"], table["q05"], table["q95"], alpha=0.2, label="5% to 95%")
        ax.set(xlabel="lag: steps before the loss", ylabel=f"length of dL/d{wrt}")
        ax.legend(frameon=False)

    return Result("gradient_by_lag", finding, {"norms": found, "slope": np.array(slope)}, frame, draw)


def _chosen(g: Any, wrt: str, layer: int) -> np.ndarray:
    return np.asarray(g.x if wrt == "x" else g.errors[wrt][layer])


def contribution_by_lag(problem: Problem, *, parameter: str | None = None, max_lag: int | None = None) -> Result:
    """What each lag adds to the gradient of the weights: dL/dtheta = sum over lags k of g_k.

    g_k holds, for every step's loss, the terms of the parameters' use k steps before it. The sum over k < K is the
    gradient that is left when every error is cut off after K steps.

    Parameters
    ----------
    problem : Problem
    parameter : str, optional
        A name of `layer.parameters`; default: all of them as one vector.
    max_lag : int, optional
        From 0 to T - 1; default T - 1.

    Returns
    -------
    Result
        `arrays["parts"]` (lags, n), `arrays["gradient"]` (n,). The frame has lag, norm, cosine with the whole gradient,
        and share: (g_0 + ... + g_k) . g / g . g.

    Raises
    ------
    TypeError, ValueError
        An argument is outside what is accepted.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> p = study.Problem(bptt.GRU(2, 8, seed=0), np.ones((20, 1, 2)), np.ones((20, 1, 8)))
    >>> float(study.contribution_by_lag(p).to_frame()["share"].iloc[-1].round(6))
    1.0
    """
    p = checked(problem)
    T = p.steps
    lags = lag_count(p, max_lag)
    names = tuple(p.layer.parameters)
    if parameter is not None:
        arguments.choice("parameter", parameter, names)
    parts = []
    whole = p.layer.backward(p.dy, p.tape)
    chosen = whole.flat if parameter is None else whole.parameters[parameter].ravel()
    # Every use of the parameters k steps before a loss: the errors of all losses, sent back k steps, then one more.
    carried: list[tuple[np.ndarray | None, Any]] = [(p.dy[t], None) for t in range(T)]
    for k in range(lags):
        total = np.zeros_like(chosen)
        for t in range(k, T):
            last, dstate = carried[t]
            g = p.layer.backward(None, p.part(t - k, t - k + 1), dstate, last=last)
            total += g.flat if parameter is None else g.parameters[parameter].ravel()
            carried[t] = (None, g.state)
        parts.append(total)
    found = np.array(parts)
    size = float(norms(chosen))
    each = norms(found)
    with np.errstate(all="ignore"):
        cosine = np.where(each > 0, found @ (chosen / size) / each, 0.0)
    share = np.cumsum(found @ chosen) / size**2
    frame = pd.DataFrame({"lag": np.arange(lags), "norm": each, "cosine": cosine, "share": share})
    inside = np.abs(share - 1) <= 0.1
    outside = np.flatnonzero(~inside)
    reached = int(outside[-1]) + 1 if outside.size else 0
    finding = (
        f"lags 0 to {reached} make the gradient to within 10%"
        if reached < lags
        else f"lags up to {lags - 1} do not make the gradient to within 10%"
    )

    def draw(ax: Any, table: pd.DataFrame) -> None:
        ax.semilogy(table["lag"], table["norm"], label="length")
        ax.set(xlabel="lag: steps before the loss", ylabel="length of the part of dL/dtheta")
        other = ax.twinx()
        other.plot(table["lag"], table["share"], color="C1", label="share so far")
        other.set_ylabel("share of the gradient so far")

    return Result("contribution_by_lag", finding, {"parts": found, "gradient": chosen}, frame, draw)
