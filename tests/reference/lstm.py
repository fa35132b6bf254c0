"""LSTM over a whole sequence, in plain NumPy: the oracle of the compiled loops.

PyTorch's form, rows of the weights in the order i f g o:

    a = W_ih x + b_ih + W_hh h_{t-1} + b_hh
    i = s(a_i)    f = s(a_f)    g = tanh(a_g)    o = s(a_o)
    c = f c_{t-1} + i g
    h = o tanh(c)

Every line is complex-analytic, so a complex step through `forward` gives exact derivatives.
"""

from typing import NamedTuple

import numpy as np


class Step(NamedTuple):
    """What `forward` leaves of one time step."""

    x: np.ndarray  # (B, I)
    h_prev: np.ndarray  # (B, H), like all that follow
    c_prev: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray


def sigmoid(a):
    return (1 + np.tanh(a / 2)) / 2


def forward(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    """x (T,B,I), state (h, c) of (B,H) each -> y (T,B,H), state after the last step, list of T steps."""
    h, c = state
    y, trace = [], []
    for x_t in x:
        a = x_t @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh
        a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
        i = sigmoid(a_i)
        f = sigmoid(a_f)
        g = np.tanh(a_g)
        o = sigmoid(a_o)
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        trace.append(Step(x_t, h, c, i, f, g, o, c_new))
        y.append(h_new)
        h, c = h_new, c_new
    return np.array(y), (h, c), trace


def backward(dy, dstate, trace, weight_ih, weight_hh, bias_ih, bias_hh):
    """Errors of y (T,B,H) and of the last state (or None) -> gradients, and dL/dh_t under "errors"."""
    dh, dc = (np.zeros_like(trace[0].h_prev),) * 2 if dstate is None else dstate
    dW, dU = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    db_ih, db_hh = np.zeros_like(bias_ih), np.zeros_like(bias_hh)
    dx, errors = [], []
    for t in reversed(range(len(trace))):
        x, h_prev, c_prev, i, f, g, o, c = trace[t]
        if dy is not None:
            dh = dh + dy[t]
        errors.insert(0, dh)
        do = dh * np.tanh(c)
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        di = dc * g
        df = dc * c_prev
        dg = dc * i
        da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
        dW = dW + da.T @ x
        dU = dU + da.T @ h_prev
        db_ih = db_ih + da.sum(axis=0)
        db_hh = db_hh + da.sum(axis=0)
        dx.insert(0, da @ weight_ih)
        dh = da @ weight_hh
        dc = dc * f
    gradients = {"weight_ih": dW, "weight_hh": dU, "bias_ih": db_ih, "bias_hh": db_hh}
    return gradients | {"x": np.array(dx), "state": (dh, dc), "errors": np.array(errors)}
