"""GRU over a whole sequence, in plain NumPy: the oracle of the compiled loops.

PyTorch's form (reset gate after the recurrent product), rows of the weights in the order r z n:

    r = s(W_ir x + b_ir + W_hr h' + b_hr)      z = s(W_iz x + b_iz + W_hz h' + b_hz)      h' = h_{t-1}
    u = W_hn h' + b_hn                         n = tanh(W_in x + b_in + r u)
    h = (1 - z) n + z h'

Every line is complex-analytic, so a complex step through `forward` gives exact derivatives.
"""

from typing import NamedTuple

import numpy as np


class Step(NamedTuple):
    """What `forward` leaves of one time step."""

    x: np.ndarray  # (B, I)
    h_prev: np.ndarray  # (B, H), like all that follow
    r: np.ndarray
    z: np.ndarray
    n: np.ndarray
    u: np.ndarray


def sigmoid(a):
    return (1 + np.tanh(a / 2)) / 2


def forward(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    """x (T,B,I), state (h,) of (B,H) -> y (T,B,H), state after the last step, list of T steps."""
    (h,) = state
    y, trace = [], []
    for x_t in x:
        from_x = x_t @ weight_ih.T + bias_ih
        from_h = h @ weight_hh.T + bias_hh
        x_r, x_z, x_n = np.split(from_x, 3, axis=1)
        h_r, h_z, u = np.split(from_h, 3, axis=1)
        r = sigmoid(x_r + h_r)
        z = sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * u)
        h_new = (1 - z) * n + z * h
        trace.append(Step(x_t, h, r, z, n, u))
        y.append(h_new)
        h = h_new
    return np.array(y), (h,), trace


def backward(dy, dstate, trace, weight_ih, weight_hh, bias_ih, bias_hh):
    """Errors of y (T,B,H) and of the last state (or None) -> gradients, and dL/dh_t under "errors"."""
    dh = np.zeros_like(trace[0].h_prev) if dstate is None else dstate[0]
    dW, dU = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    db_ih, db_hh = np.zeros_like(bias_ih), np.zeros_like(bias_hh)
    dx, errors = [], []
    for t in reversed(range(len(trace))):
        x, h_prev, r, z, n, u = trace[t]
        if dy is not None:
            dh = dh + dy[t]
        errors.insert(0, dh)
        dz = dh * (h_prev - n)
        dn = dh * (1 - z)
        da_n = dn * (1 - n**2)
        dr = da_n * u
        du = da_n * r
        da_r = dr * r * (1 - r)
        da_z = dz * z * (1 - z)
        d_from_x = np.concatenate([da_r, da_z, da_n], axis=1)
        d_from_h = np.concatenate([da_r, da_z, du], axis=1)
        dW = dW + d_from_x.T @ x
        dU = dU + d_from_h.T @ h_prev
        db_ih = db_ih + d_from_x.sum(axis=0)
        db_hh = db_hh + d_from_h.sum(axis=0)
        dx.insert(0, d_from_x @ weight_ih)
        dh = dh * z + d_from_h @ weight_hh
    gradients = {"weight_ih": dW, "weight_hh": dU, "bias_ih": db_ih, "bias_hh": db_hh}
    return gradients | {"x": np.array(dx), "state": (dh,), "errors": np.array(errors)}
