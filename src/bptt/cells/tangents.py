"""The cells' formulas differentiated once more: how a step forward and a step backward move along a direction.

v. is the derivative of v along the direction, ' means the previous step. With s = sigmoid(a), s. = s (1 - s) a., and
(s (1 - s)). = (1 - 2 s) s.; with t = tanh(a), t. = (1 - t^2) a., and (1 - t^2). = -2 t t.

    RNN     h.   = (1 - h^2) a.                         da.  = dh. (1 - h^2) - 2 dh h h.
            relu: h. = a. [h > 0]                       da.  = dh. [h > 0]

    LSTM    c.   = f. c' + f c'. + i. g + i g.          dc  += dh o (1 - T^2),   T = tanh c
            h.   = o. T + o T.                          dc. += (dh. o + dh o.) (1 - T^2) - 2 dh o T T.
            T.   = (1 - T^2) c.                         da_o = dh T o (1 - o),   da_i = dc g i (1 - i), and so on:
                                                        each product by the product rule
                                                        dc'. = dc. f + dc f.

    GRU     n.   = (1 - n^2) (n_x. + r. n_h + r n_h.)   dz   = dh (h' - n),      dn_x = dh (1 - z) (1 - n^2)
            h.   = (1 - z) n. + z h'. + z. (h' - n)     dn_h = dn_x r,           da_r = dn_x n_h r (1 - r)
                                                        each product by the product rule
                                                        dh'. = dh. z + dh z.

Arguments and results are tuples of arrays, one for each block, one for each state, as in the cells' own files. `ds` are
the whole errors of the states (`table.whole_errors`), ds. what comes to the step, dy. included: for the LSTM's c the
two differ by what comes through h.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["TANGENTS"]


class Tangent(NamedTuple):
    """One cell's two functions."""

    forward: Any  # (a., s'., s', s, gates) -> (gates., s.)
    backward: Any  # (ds, ds., s', s'., s, s., gates, gates.) -> (direct part of ds'., da.)


def rnn_forward(slope):
    def forward(a_dot, s_prev_dot, s_prev, s, gates):
        (a_dot,), (h,) = a_dot, s
        return (np.zeros_like(h),), (slope(h) * a_dot,)

    return forward


def rnn_backward(slope, curvature):
    """`curvature` is the derivative of the slope by h."""

    def backward(ds, ds_dot, s_prev, s_prev_dot, s, s_dot, gates, gates_dot):
        (dh,), (dh_dot,), (h,), (h_dot,) = ds, ds_dot, s, s_dot
        return (np.zeros_like(dh),), (dh_dot * slope(h) + dh * curvature(h) * h_dot,)

    return backward


def rnn(slope, curvature):
    return Tangent(rnn_forward(slope), rnn_backward(slope, curvature))


def lstm_forward(a_dot, s_prev_dot, s_prev, s, gates):
    (i, f, g, o), (_, c_prev), (_, c_prev_dot), (_, c) = gates, s_prev, s_prev_dot, s
    a_i_dot, a_f_dot, a_g_dot, a_o_dot = a_dot
    i_dot, f_dot, o_dot = i * (1 - i) * a_i_dot, f * (1 - f) * a_f_dot, o * (1 - o) * a_o_dot
    g_dot = (1 - g * g) * a_g_dot
    c_dot = f_dot * c_prev + f * c_prev_dot + i_dot * g + i * g_dot
    T = np.tanh(c)
    h_dot = o_dot * T + o * (1 - T * T) * c_dot
    return (i_dot, f_dot, g_dot, o_dot), (h_dot, c_dot)


def lstm_backward(ds, ds_dot, s_prev, s_prev_dot, s, s_dot, gates, gates_dot):
    (dh, dc), (dh_dot, dc_dot), (_, c_prev), (_, c_prev_dot) = ds, ds_dot, s_prev, s_prev_dot
    (_, c), (_, c_dot), (i, f, g, o), (i_dot, f_dot, g_dot, o_dot) = s, s_dot, gates, gates_dot
    T = np.tanh(c)
    T_dot = (1 - T * T) * c_dot
    dc_dot = dc_dot + (dh_dot * o + dh * o_dot) * (1 - T * T) - 2 * dh * o * T * T_dot
    da_o_dot = (dh_dot * T + dh * T_dot) * o * (1 - o) + dh * T * (1 - 2 * o) * o_dot
    da_i_dot = (dc_dot * g + dc * g_dot) * i * (1 - i) + dc * g * (1 - 2 * i) * i_dot
    da_f_dot = (dc_dot * c_prev + dc * c_prev_dot) * f * (1 - f) + dc * c_prev * (1 - 2 * f) * f_dot
    da_g_dot = (dc_dot * i + dc * i_dot) * (1 - g * g) - 2 * dc * i * g * g_dot
    return (np.zeros_like(dh), dc_dot * f + dc * f_dot), (da_i_dot, da_f_dot, da_g_dot, da_o_dot)


def gru_forward(a_dot, s_prev_dot, s_prev, s, gates):
    (n, r, z, n_h), (n_x_dot, a_r_dot, a_z_dot, n_h_dot) = gates, a_dot
    (h_prev,), (h_prev_dot,) = s_prev, s_prev_dot
    r_dot, z_dot = r * (1 - r) * a_r_dot, z * (1 - z) * a_z_dot
    n_dot = (1 - n * n) * (n_x_dot + r_dot * n_h + r * n_h_dot)
    h_dot = (1 - z) * n_dot + z * h_prev_dot + z_dot * (h_prev - n)
    return (n_dot, r_dot, z_dot, n_h_dot), (h_dot,)


def gru_backward(ds, ds_dot, s_prev, s_prev_dot, s, s_dot, gates, gates_dot):
    (dh,), (dh_dot,), (h_prev,), (h_prev_dot,) = ds, ds_dot, s_prev, s_prev_dot
    (n, r, z, n_h), (n_dot, r_dot, z_dot, n_h_dot) = gates, gates_dot
    dn_x = dh * (1 - z) * (1 - n * n)
    dn_x_dot = (dh_dot * (1 - z) - dh * z_dot) * (1 - n * n) - 2 * dh * (1 - z) * n * n_dot
    dz, dz_dot = dh * (h_prev - n), dh_dot * (h_prev - n) + dh * (h_prev_dot - n_dot)
    da_r_dot = (dn_x_dot * n_h + dn_x * n_h_dot) * r * (1 - r) + dn_x * n_h * (1 - 2 * r) * r_dot
    da_z_dot = dz_dot * z * (1 - z) + dz * (1 - 2 * z) * z_dot
    dn_h_dot = dn_x_dot * r + dn_x * r_dot
    return (dh_dot * z + dh * z_dot,), (dn_x_dot, da_r_dot, da_z_dot, dn_h_dot)


# One row for each row of `cells.table.CELLS`.
TANGENTS = {
    "rnn_tanh": rnn(lambda h: 1 - h * h, lambda h: -2 * h),
    "rnn_relu": rnn(lambda h: (h > 0).astype(h.dtype), np.zeros_like),
    "rnn_identity": rnn(np.ones_like, np.zeros_like),
    "gru": Tangent(gru_forward, gru_backward),
    "lstm": Tangent(lstm_forward, lstm_backward),
}
