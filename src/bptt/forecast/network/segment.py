"""strategy="segment": a recurrent layer reads a window in segments, and all future segments are decoded at once.

    forward                                           backward                      (from the bottom up)
        e_t   = relu(x_t W_e + b_e)                       dW_e, db_e from de, where e > 0
        h_t   = layers(e_t, h_{t-1})    t = 1 .. T        layers down, dh_T = sum_k dh_k' , de
        u_k   = position_k + future_k W_f                 dposition_k = sum of du_k over the batch;  dW_f
        v_k   = layers(u_k, h_T)        k = 1 .. n        layers down one step, du
        o_k   = dropout(v_k) W_o + b_o                    dv = do W_o^T
        f_k   = head(o_k, anchors_k)                      df -> do

The decoder is one more step of the same layers from the state after the window, for each segment apart: it sees which
segment it is by a learned vector (Lin et al. 2023, SegRNN), and what is known of the future there. x_t: the values of
segment t, which of them were observed, and exogenous columns (`windows`). The heads start at 0, so training starts
from the mean of the naive forecasts.
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

ZERO, ONE = np.int64(0), np.int64(1)
YES, NO = np.bool_(True), np.bool_(False)


class Network(NamedTuple):
    """The numbers of a segment forecaster; offsets point into theta."""

    stack: Stack
    reading: WindowSpec
    X: int  # columns of x
    D: int  # columns of the future ones
    n: int  # segments to come
    upper: int  # quantiles above the point forecast
    outputs: int  # Q S + K
    embed: np.ndarray  # int64 (2,): weight, bias
    position: int
    decode: int
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
    embed: np.ndarray  # packed
    decode: np.ndarray
    head: np.ndarray
    headT: np.ndarray
    e: np.ndarray  # (T*B, H)
    s: np.ndarray  # (L, T+1, B, S*H)
    a: np.ndarray
    u: np.ndarray  # (n*B, H)
    s_next: np.ndarray  # (L, 2, n*B, S*H)
    a_next: np.ndarray  # (L, 1, n*B, A*H)
    v: np.ndarray  # (n*B, H)
    o: np.ndarray  # (n*B, Q*S + K)
    f: np.ndarray  # (n*B, Q*S)
    losses: np.ndarray  # float64 (n*B,)
    ds: np.ndarray  # (L, B, S*H)
    ds_next: np.ndarray  # (L, n*B, S*H)
    dx: np.ndarray  # (max(T, n)*B, H)


@outlined(low_opt=True)
def prepare(team, network, work, backward):
    """Pack the weights."""
    theta, H = network.theta, network.stack.H
    stacked.pack(team, network.stack, theta, work.packed)
    if backward:
        stacked.pack_transposed(team, network.stack, theta, work.transposed)
    pack_dense(team, matrix(theta, network.embed[0], H, network.X), work.embed, work.embed, NO)
    if network.D > 0:
        pack_dense(team, matrix(theta, network.decode, H, network.D), work.decode, work.decode, NO)
    pack_dense(team, matrix(theta, network.head[0], network.outputs, H), work.head, work.headT, backward)
    barrier(team)


@kernel(internal=True)
def begin_decoding(team, s, s_next):
    """The state after the window, for each segment to come."""
    L, T, B = s.shape[0], s.shape[1] - 1, s.shape[2]
    first, last = share(s_next.shape[2], team)
    for layer in range(L):
        for r in range(first, last):
            copy(s[layer, T, r % B], s_next[layer, 0, r])


@kernel(internal=True)
def collect_errors(team, ds_next, ds):
    """ds (L, B, n) = sums of ds_next (L, segments*B, n) over the segments."""
    L, B = ds.shape[0], ds.shape[1]
    first, last = share(B, team)
    for layer in range(L):
        for b in range(first, last):
            total = ds[layer, b]
            copy(ds_next[layer, b], total)
            for r in range(b + B, ds_next.shape[1], B):
                part = ds_next[layer, r]
                for j in range(total.size):
                    total[j] += part[j]


@kernel(internal=True)
def decoder_inputs(team, network, work):
    """u = position + future W_f."""
    B = work.batch.series.size
    if network.D > 0:
        dense_forward(team, work.batch.future, work.decode, work.scratch.nothing[0, : network.stack.H], work.u)
        barrier(team)
    first, last = share(work.u.shape[0], team)
    for r in range(first, last):
        k = r // B
        position = network.theta[network.position + k * network.stack.H : network.position + (k + 1) * network.stack.H]
        row = work.u[r]
        for j in range(row.size):
            row[j] = row[j] + position[j] if network.D > 0 else position[j]
    barrier(team)


@kernel(internal=True)
def position_gradient(team, du, dposition):
    """dposition (n, H) = sums of du (n*B, H) over the batch."""
    n, H = dposition.shape
    B = du.shape[0] // n
    first, last = share(H, team)
    for k in range(n):
        total = dposition[k, first:last]
        total[:] = 0
        for r in range(k * B, (k + 1) * B):
            part = du[r, first:last]
            for j in range(total.size):
                total[j] += part[j]


@outlined(low_opt=True)
def forward(team, network, work, source, step, training):
    """From a gathered batch to forecasts f; `step` addresses the dropout masks."""
    stack, theta, H = network.stack, network.theta, network.stack.H
    T = network.reading.T
    bias = theta[network.embed[1] : network.embed[1] + H]
    dense_forward(team, work.batch.x, work.embed, bias, work.e)
    clear(team, work.s[:, 0])
    barrier(team)
    relu_forward(team, work.e)
    barrier(team)
    scratch = work.scratch
    tape, window = plain_tape(scratch, work.e, work.s, work.a), Window(ZERO, T, YES, NEVER)
    stacked.forward(team, stack, work.packed, tape, scratch.all_rows, scratch.no_dropout, window)
    begin_decoding(team, work.s, work.s_next)
    decoder_inputs(team, network, work)
    tape, window = plain_tape(scratch, work.u, work.s_next, work.a_next), Window(ZERO, ONE, YES, NEVER)
    stacked.forward(team, stack, work.packed, tape, scratch.all_rows, scratch.no_dropout, window)
    rate = network.dropout if training else 0.0
    drop(team, work.s_next[stack.L - 1, 1], work.v, network.dropout_key, ZERO, step, rate)
    barrier(team)
    bias = theta[network.head[1] : network.head[1] + network.outputs]
    dense_forward(team, work.v, work.head, bias, work.o)
    barrier(team)
    head.forward(team, work.o, work.batch.anchors, work.f, network.reading.R, network.upper)
    barrier(team)


@outlined(low_opt=True)
def backward(team, network, work, grad, step):
    """From the error of f, left in its place, to the gradient of every parameter."""
    stack, H, T = network.stack, network.stack.H, network.reading.T
    batch, scratch = work.batch, work.scratch
    rows = work.u.shape[0]
    head.backward(team, work.o, batch.anchors, work.f, batch.anchors[:0], network.reading.R, network.upper)
    barrier(team)
    dhead = matrix(grad, network.head[0], network.outputs, H)
    dbias = grad[network.head[1] : network.head[1] + network.outputs]
    dv = work.dx[:rows]
    dense_backward(team, work.v, work.o, work.headT, scratch, dhead, dbias, dv[:, :H])
    barrier(team)
    drop(team, dv, dv[:, :H], network.dropout_key, ZERO, step, network.dropout)
    clear(team, work.ds_next)
    barrier(team)
    tape = plain_tape(scratch, work.u, work.s_next, work.a_next)
    dy = dv.reshape(1, rows, work.dx.shape[1])
    stacked.backward(team, stack, work.transposed, scratch, grad, tape,
                     plain_errors(scratch, dy, work.ds_next, work.dx), scratch.all_rows, scratch.no_dropout,
                     Window(ZERO, ONE, YES, NEVER))  # fmt: skip
    position_gradient(team, work.dx[:rows, :H], matrix(grad, network.position, network.n, H))
    if network.D > 0:
        dense_backward(team, batch.future, work.dx[:rows, :H], work.headT, scratch,
                   matrix(grad, network.decode, H, network.D), scratch.total[:H], work.dx[:0])  # fmt: skip
    collect_errors(team, work.ds_next, work.ds)
    barrier(team)
    tape = plain_tape(scratch, work.e, work.s, work.a)
    stacked.backward(team, stack, work.transposed, scratch, grad, tape,
                     plain_errors(scratch, scratch.no_array, work.ds, work.dx), scratch.all_rows, scratch.no_dropout,
                     Window(ZERO, T, NO, NEVER))  # fmt: skip
    de = work.dx[: work.e.shape[0], :H]
    relu_backward(team, work.e, de)
    barrier(team)
    dense_backward(team, batch.x, de, work.headT, scratch, matrix(grad, network.embed[0], H, network.X),
               grad[network.embed[1] : network.embed[1] + H], work.dx[:0])  # fmt: skip
    barrier(team)
