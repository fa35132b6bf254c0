"""strategy="direct": a recurrent layer reads a window step by step, one dense layer outputs all h steps at once.

    forward                                           backward                      (from the bottom up)
        h_t = layers(x_t, h_{t-1})      t = 1 .. L        layers down, from dh_L
        c   = [h_L, future]
        v   = dropout(relu(c W_d + b_d))                  dc = dv W_d^T where v > 0;  dW_d, db_d
        o   = v W_o + b_o                                 dv = do W_o^T
        f   = head(o, anchors)                            df -> do

x_t: the value of step t, whether it was observed, lags and exogenous columns (`windows`). future: the future-known
columns of all h steps.
"""

from typing import NamedTuple

import numpy as np

from bptt.forecast.network import head
from bptt.forecast.network.batches import Batch, WindowSpec
from bptt.network import stack as stacked
from bptt.network.dense_kernels import dense_backward, dense_forward, drop, pack_dense, relu_backward, relu_forward
from bptt.network.stack import Packed, Scratch, Stack, Transposed, Window, clear, matrix, plain_errors, plain_tape
from bptt.numerics.jit import kernel, outlined
from bptt.numerics.team import barrier, share
from bptt.unroll.layer import NEVER
from bptt.unroll.units import copy

__all__ = ["Network", "Workspace", "backward", "forward", "prepare"]

ZERO = np.int64(0)
YES, NO = np.bool_(True), np.bool_(False)


class Network(NamedTuple):
    """The numbers of a direct forecaster; offsets point into theta."""

    stack: Stack
    reading: WindowSpec
    D: int  # columns of the future ones
    upper: int  # quantiles above the point forecast
    outputs: int  # Q h + K
    decode: np.ndarray  # int64 (2,): weight, bias
    head: np.ndarray  # int64 (2,): weight, bias
    theta: np.ndarray
    taus: np.ndarray  # float64 (Q,)
    loss: int
    parameter: float
    quantile_share: float  # of the loss
    dropout: float
    windows_key: int
    dropout_key: int


class Workspace(NamedTuple):
    """The arrays of a step, for B windows."""

    batch: Batch
    packed: Packed
    transposed: Transposed
    scratch: Scratch
    decode: np.ndarray  # packed
    decodeT: np.ndarray
    head: np.ndarray
    headT: np.ndarray
    s: np.ndarray  # (L, T+1, B, S*H)
    a: np.ndarray
    c: np.ndarray  # (B, H + D)
    e: np.ndarray  # (B, H)
    v: np.ndarray  # (B, H)
    o: np.ndarray  # (B, Q*h + K)
    f: np.ndarray  # (B, Q*h)
    losses: np.ndarray  # float64 (B,)
    ds: np.ndarray  # (L, B, S*H)
    dv: np.ndarray  # (B, H)
    dc: np.ndarray  # (B, H + D)
    dx: np.ndarray  # (T*B, max(X, H))


@outlined(low_opt=True)
def prepare(team, network, work, backward):
    """Pack the weights."""
    theta, H = network.theta, network.stack.H
    stacked.pack(team, network.stack, theta, work.packed)
    if backward:
        stacked.pack_transposed(team, network.stack, theta, work.transposed)
    pack_dense(team, matrix(theta, network.decode[0], H, H + network.D), work.decode, work.decodeT, backward)
    pack_dense(team, matrix(theta, network.head[0], network.outputs, H), work.head, work.headT, backward)
    barrier(team)


@kernel(internal=True)
def join(team, h, future, c):
    """c = [h, future]."""
    D = future.shape[1]
    H = c.shape[1] - D
    first, last = share(c.shape[0], team)
    for b in range(first, last):
        copy(h[b, :H], c[b, :H])
        copy(future[b], c[b, H:])


@outlined(low_opt=True)
def forward(team, network, work, source, step, training):
    """From a gathered batch to forecasts f; `step` addresses the dropout masks."""
    stack, theta, T = network.stack, network.theta, network.reading.T
    clear(team, work.s[:, 0])
    barrier(team)
    scratch, window = work.scratch, Window(ZERO, T, YES, NEVER)
    tape = plain_tape(scratch, work.batch.x, work.s, work.a)
    stacked.forward(team, stack, work.packed, tape, scratch.all_rows, scratch.no_dropout, window)
    join(team, work.s[stack.L - 1, T], work.batch.future, work.c)
    barrier(team)
    dense_forward(team, work.c, work.decode, theta[network.decode[1] : network.decode[1] + stack.H], work.e)
    barrier(team)
    relu_forward(team, work.e)
    barrier(team)
    drop(team, work.e, work.v, network.dropout_key, ZERO, step, network.dropout if training else 0.0)
    barrier(team)
    dense_forward(team, work.v, work.head, theta[network.head[1] : network.head[1] + network.outputs], work.o)
    barrier(team)
    head.forward(team, work.o, work.batch.anchors, work.f, network.reading.R, network.upper)
    barrier(team)


@outlined(low_opt=True)
def backward(team, network, work, grad, step):
    """From the error of f, left in its place, to the gradient of every parameter."""
    stack, H, batch, scratch = network.stack, network.stack.H, work.batch, work.scratch
    head.backward(team, work.o, batch.anchors, work.f, batch.anchors[:0], network.reading.R, network.upper)
    barrier(team)
    dense_backward(team, work.v, work.o, work.headT, scratch, matrix(grad, network.head[0], network.outputs, H),
               grad[network.head[1] : network.head[1] + network.outputs], work.dv)  # fmt: skip
    barrier(team)
    drop(team, work.dv, work.dv, network.dropout_key, ZERO, step, network.dropout)
    barrier(team)
    relu_backward(team, work.e, work.dv)
    barrier(team)
    dense_backward(team, work.c, work.dv, work.decodeT, scratch, matrix(grad, network.decode[0], H, H + network.D),
               grad[network.decode[1] : network.decode[1] + H], work.dc)  # fmt: skip
    clear(team, work.ds)
    barrier(team)
    dy = work.dc.reshape(1, work.dc.shape[0], work.dc.shape[1])[:, :, :H]
    tape, errors = plain_tape(scratch, batch.x, work.s, work.a), plain_errors(scratch, dy, work.ds, work.dx)
    stacked.backward(team, stack, work.transposed, scratch, grad, tape, errors, scratch.all_rows, scratch.no_dropout,
                     Window(ZERO, network.reading.T, YES, NEVER))  # fmt: skip
