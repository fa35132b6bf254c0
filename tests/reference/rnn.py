"""Elman RNN over a whole sequence, in plain NumPy: the oracle of the compiled loops.

    h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)        phi = tanh, relu or nothing

Every line is complex-analytic (relu looks at the real part only), so a complex step through `forward` gives
exact derivatives.
"""

from typing import NamedTuple

import numpy as np

PHI = {
    "tanh": np.tanh,
    "relu": lambda a: np.where(a.real <= 0, 0 * a, a),
    "identity": lambda a: a,
}
SLOPE = {  # by h
    "tanh": lambda h: 1 - h**2,
    "relu": lambda h: np.where(h.real <= 0, 0 * h, 1),
    "identity": lambda h: np.ones_like(h),
}


class Step(NamedTuple):
    """What `forward` leaves of one time step."""

    x: np.ndarray  # (B, I)
    h_prev: np.ndarray  # (B, H)
    h: np.ndarray  # (B, H)


def forward(x, state, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity="tanh"):
    """x (T,B,I), state (h,) of (B,H) -> y (T,B,H), state after the last step, list of T steps."""
    (h,) = state
    y, trace = [], []
    for x_t in x:
        a = x_t @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh
        h_new = PHI[nonlinearity](a)
        trace.append(Step(x_t, h, h_new))
        y.append(h_new)
        h = h_new
    return np.array(y), (h,), trace


def backward(dy, dstate, trace, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity="tanh"):
    """Errors of y (T,B,H) and of the last state (or None) -> gradients, and dL/dh_t under "errors"."""
    dh = np.zeros_like(trace[0].h_prev) if dstate is None else dstate[0]
    dW, dU = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    db_ih, db_hh = np.zeros_like(bias_ih), np.zeros_like(bias_hh)
    dx, errors = [], []
    for t in reversed(range(len(trace))):
        step = trace[t]
        if dy is not None:
            dh = dh + dy[t]
        errors.insert(0, dh)
        da = dh * SLOPE[nonlinearity](step.h)
        dW = dW + da.T @ step.x
        dU = dU + da.T @ step.h_prev
        db_ih = db_ih + da.sum(axis=0)
        db_hh = db_hh + da.sum(axis=0)
        dx.insert(0, da @ weight_ih)
        dh = da @ weight_hh
    gradients = {"weight_ih": dW, "weight_hh": dU, "bias_ih": db_ih, "bias_hh": db_hh}
    return gradients | {"x": np.array(dx), "state": (dh,), "errors": np.array(errors)}
