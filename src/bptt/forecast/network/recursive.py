"""strategy="recursive": one step at a time, each forecast the next step's input; the loss goes back through all of it.

    forward, step s = 0 .. n-1                        backward, step s = n-1 .. 0
        h_s   = layers(x_s, h_{s-1})                      layers down one step: dh_{s-1}, dx_s
        o_s   = dropout(h_s) W_o + b_o                    dh_s += do_s W_o^T
        f_s   = head(o_s, anchors(path))                  df_s += dpath_s;  head: do_s, danchors -> dpath
        path_s = f_s; in training, with the probability   dpath_s = 0 where it is the truth
                 of scheduled sampling, the truth;
                 in a simulation, the quantile of f_s
                 at a drawn normal score
        x_{s+1} = (path_s, m_s, lags of path, future)     dx_{s+1} -> dpath

The first h comes from the window, one step after the other. path holds the values before the window's end and then the
forecasts, so the error of a forecast reaches those it was made from by three ways: the state, the lags, the naive
forecasts of later steps. m_s is 0 where path_s is a forecast: it was not observed, and intervals can grow with the
steps since then. It is 1 where path_s is the truth, and everywhere in a network that learned one step alone, which has
seen no such 0. Scheduled sampling: Bengio, Vinyals, Jaitly & Shazeer (2015).

The naive forecasts are those of `windows.naive` as long as they are made from the window; from the step on where the
value that they repeat is a forecast itself, they repeat that. A network that adds nothing to one of them says what it
says with any other strategy.

A simulation draws each step from the quantiles that follow from the steps drawn before it, so a path is a draw from the
joint distribution of all steps. What was drawn counts as observed: m_s = 1.
"""

from typing import NamedTuple

import numpy as np

from bptt.forecast.network import head
from bptt.forecast.network.batches import CHANGE, DRIFT, LAST, SEASONAL, Batch, WindowSpec
from bptt.network import stack as stacked
from bptt.network.dense_kernels import dense_backward, dense_forward, drop, pack_dense
from bptt.network.stack import Packed, Scratch, Stack, Transposed, Window, clear, matrix, plain_errors, plain_tape
from bptt.numerics.jit import kernel, outlined
from bptt.numerics.matmul import shared_product
from bptt.numerics.random import uniform
from bptt.numerics.team import barrier, share
from bptt.unroll.layer import NEVER

__all__ = ["Network", "Workspace", "backward", "forward", "prepare"]

ZERO = np.int64(0)
YES, NO = np.bool_(True), np.bool_(False)


class Network(NamedTuple):
    """The numbers of a recursive forecaster; offsets point into theta."""

    stack: Stack
    reading: WindowSpec
    n: int  # steps to say
    upper: int  # quantiles above the point forecast
    outputs: int  # Q + K
    head: np.ndarray  # int64 (2,): weight, bias
    theta: np.ndarray
    taus: np.ndarray  # float64 (Q,)
    loss: int
    parameter: float
    quantile_share: float  # of the loss
    dropout: float
    teacher_forced: float  # probability
    marks_forecasts: bool  # with m = 0, as not observed
    windows_key: int
    dropout_key: int
    teacher_key: int


class Workspace(NamedTuple):
    """The arrays of a step, for B windows; batch.x has rows for T + n - 1 steps."""

    batch: Batch
    packed: Packed
    transposed: Transposed
    scratch: Scratch
    head: np.ndarray  # packed
    headT: np.ndarray
    s: np.ndarray  # (L, T+n, B, S*H)
    a: np.ndarray
    v: np.ndarray  # (n*B, H)
    o: np.ndarray  # (n*B, Q + K)
    f: np.ndarray  # (n*B, Q)
    path: np.ndarray  # (B, back + n)
    dpath: np.ndarray
    teacher_forced: np.ndarray  # uint8 (n, B)
    draws: np.ndarray  # float64 (n, B): normal scores of a simulation; else without elements
    scores: np.ndarray  # float64 (Q,): normal scores of the quantiles, 0 of the point forecast
    danchors: np.ndarray  # (B, K)
    losses: np.ndarray  # float64 (n*B,)
    ds: np.ndarray  # (L, B, S*H)
    dv: np.ndarray  # (B, H)
    dx: np.ndarray  # (T*B, max(X, H))


@outlined(low_opt=True)
def prepare(team, network, work, backward):
    """Pack the weights."""
    stacked.pack(team, network.stack, network.theta, work.packed)
    if backward:
        stacked.pack_transposed(team, network.stack, network.theta, work.transposed)
    pack_dense(team, matrix(network.theta, network.head[0], network.outputs, network.stack.H), work.head, work.headT,
               backward)  # fmt: skip
    barrier(team)


@outlined()
def begin_path(team, source, batch, path, n):
    """The values before each window's end, in z; 0 where none was observed, as in x."""
    back = path.shape[1] - n
    zero = path.dtype.type(0)
    first, last = share(path.shape[0], team)
    for b in range(first, last):
        start, end, row = source.starts[batch.series[b]], batch.ends[b], path[b]
        for j in range(back):
            p = end - back + j
            seen = p >= 0 and source.observed[start + p]
            row[j] = (source.y[start + p] - batch.shift[b]) / batch.spread[b] if seen else zero
    barrier(team)


@kernel(internal=True)
def begin_anchors(team, reading, anchors, B):
    """Make CHANGE in anchors (n*B, K) the difference from the step before: `next_anchors` adds forecasts to it."""
    first, last = share(B, team)
    for k in range(reading.kinds.size):
        if reading.kinds[k] == CHANGE:
            period = reading.periods[k]
            for s in range(min(period, anchors.shape[0] // B - 1), 0, -1):
                for b in range(first, last):
                    before = anchors[(s - 1) * B + b, k]
                    anchors[s * B + b, k] = anchors[s * B + b, k] - before if s < period else -before


@kernel(internal=True)
def next_inputs(team, network, s, path, teacher_forced, future, x):
    """x (B, X) of step s >= 1, from the path and the future-known columns (B, F + C)."""
    reading = network.reading
    back = path.shape[1] - future.shape[0] // path.shape[0]
    lags = reading.lags.size
    B = x.shape[0]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    first, last = share(B, team)
    for b in range(first, last):
        here = back + s
        x[b, 0] = path[b, here - 1]
        x[b, 1] = zero if network.marks_forecasts and not teacher_forced[s - 1, b] else one
        for k in range(lags):
            x[b, 2 + k] = path[b, here - reading.lags[k]]
        known = future[s * B + b]
        for k in range(known.size):
            x[b, 2 + lags + k] = known[k]


@kernel(internal=True)
def next_inputs_back(team, reading, here, dx, dpath):
    """The error of x of the step at position `here` of the path, to where its values came from."""
    first, last = share(dpath.shape[0], team)
    for b in range(first, last):
        dpath[b, here - 1] += dx[b, 0]
        for k in range(reading.lags.size):
            dpath[b, here - reading.lags[k]] += dx[b, 2 + k]


@kernel(internal=True)
def next_anchors(team, reading, s, path, slope, anchors):
    """anchors (B, K) of step s, from the path where they go by forecasts; what is of the window is there already."""
    back = path.shape[1] - reading.h
    first, last = share(path.shape[0], team)
    for b in range(first, last):
        before = path[b, back : back + s]
        for k in range(reading.kinds.size):
            kind, period = reading.kinds[k], reading.periods[k]
            if s == 0:
                continue
            if kind == LAST:
                anchors[b, k] = before[s - 1]
            elif kind == DRIFT:
                anchors[b, k] = before[s - 1] + slope[b]
            elif kind == SEASONAL and s >= period:
                anchors[b, k] = before[s - period]
            elif kind == CHANGE and s < period:
                anchors[b, k] += before[s - 1]
            elif kind == CHANGE and s == period:
                anchors[b, k] += before[s - 1] + before[0]
            elif kind == CHANGE:
                anchors[b, k] = before[s - period] + (before[s - 1] - before[s - 1 - period])


@kernel(internal=True)
def next_anchors_back(team, reading, s, danchors, dpath):
    """The error of the anchors of step s, to the forecasts they came from."""
    back = dpath.shape[1] - reading.h
    first, last = share(dpath.shape[0], team)
    for b in range(first, last):
        before = dpath[b, back : back + s]
        for k in range(reading.kinds.size):
            kind, period, error = reading.kinds[k], reading.periods[k], danchors[b, k]
            if s > 0 and (kind == LAST or kind == DRIFT or kind == CHANGE):
                before[s - 1] += error
            if s >= period and (kind == SEASONAL or kind == CHANGE):
                before[s - period] += error
            if s > period and kind == CHANGE:
                before[s - 1 - period] -= error


@kernel(internal=True)
def quantile_at(f, scores, upper, z):
    """The quantile at the normal score z, from those in f (Q): linear between two, the outermost lines go on."""
    first, last = (1, upper) if z >= 0 else (upper + 1, f.size - 1)
    inner, outer = 0, first
    while outer < last and abs(z) > abs(scores[outer]):
        inner, outer = outer, outer + 1
    share_of_outer = (z - scores[inner]) / (scores[outer] - scores[inner])
    return f[inner] + share_of_outer * (f[outer] - f[inner])


@kernel(internal=True)
def continue_path(team, network, work, s, here, step, rate):
    """path[:, here] = the forecast, a draw, or with probability `rate` the truth; `rate` is 0 outside training."""
    batch, f, path = work.batch, work.f, work.path
    B = path.shape[0]
    first, last = share(B, team)
    for b in range(first, last):
        r = s * B + b
        tell = rate > 0 and batch.weight[r, 0] > 0 and uniform(network.teacher_key, step, r) < rate
        work.teacher_forced[s, b] = tell
        if tell:
            path[b, here] = batch.target[r, 0]
        elif work.draws.size > 0:
            path[b, here] = quantile_at(f[r], work.scores, network.upper, work.draws[s, b])
        else:
            path[b, here] = f[r, 0]


@kernel(internal=True)
def collect_path_error(team, teacher_forced, s, here, dpath, df):
    """df += the error that the later steps found in this one's forecast."""
    first, last = share(dpath.shape[0], team)
    for b in range(first, last):
        if not teacher_forced[s, b]:
            df[b, 0] += dpath[b, here]


@outlined(low_opt=True)
def forward(team, network, work, source, step, training):
    """From a gathered batch to forecasts f; `step` addresses the dropout masks."""
    stack, theta, reading, batch = network.stack, network.theta, network.reading, work.batch
    T, B, n = reading.T, work.path.shape[0], network.n
    back = work.path.shape[1] - n
    scratch = work.scratch
    tape = plain_tape(scratch, batch.x, work.s, work.a)
    clear(team, work.s[:, 0])
    begin_path(team, source, batch, work.path, n)
    begin_anchors(team, reading, batch.anchors, B)
    rate, teacher_forced = (network.dropout, network.teacher_forced) if training else (0.0, 0.0)
    bias = theta[network.head[1] : network.head[1] + network.outputs]
    for s in range(n):
        now = T + s
        begin = 0 if s == 0 else now - 1
        if s > 0:
            next_inputs(team, network, s, work.path, work.teacher_forced, batch.future, batch.x[begin * B : now * B])
            barrier(team)
        stacked.forward(team, stack, work.packed, tape, scratch.all_rows, scratch.no_dropout,
                        Window(begin, now, YES, NEVER))  # fmt: skip
        rows = slice(s * B, (s + 1) * B)
        v, o, f, anchors = work.v[rows], work.o[rows], work.f[rows], batch.anchors[rows]
        drop(team, work.s[stack.L - 1, now], v, network.dropout_key, s, step, rate)
        barrier(team)
        dense_forward(team, v, work.head, bias, o)
        next_anchors(team, reading, s, work.path, batch.slope, anchors)
        barrier(team)
        head.forward(team, o, anchors, f, reading.R, network.upper)
        barrier(team)
        continue_path(team, network, work, s, back + s, step, teacher_forced)
        barrier(team)


@outlined(low_opt=True)
def backward(team, network, work, grad, step):
    """From the error of f, left in its place, to the gradient of every parameter, through all steps."""
    stack, H, reading, batch, scratch = network.stack, network.stack.H, network.reading, work.batch, work.scratch
    T, B, n = reading.T, work.path.shape[0], network.n
    back = work.path.shape[1] - n
    tape = plain_tape(scratch, batch.x, work.s, work.a)
    clear(team, work.ds)
    clear(team, work.dpath.reshape(1, B, back + n))
    barrier(team)
    for s in range(n - 1, -1, -1):
        now = T + s
        begin = 0 if s == 0 else now - 1
        rows = slice(s * B, (s + 1) * B)
        o, df = work.o[rows], work.f[rows]
        collect_path_error(team, work.teacher_forced, s, back + s, work.dpath, df)
        barrier(team)
        head.backward(team, o, batch.anchors[rows], df, work.danchors, reading.R, network.upper)
        barrier(team)
        next_anchors_back(team, reading, s, work.danchors, work.dpath)
        shared_product(team, o, work.headT, scratch.nothing[:, :H], work.dv)
        barrier(team)
        drop(team, work.dv, work.dv, network.dropout_key, s, step, network.dropout)
        barrier(team)
        dy = work.dv.reshape(1, B, H)
        stacked.backward(team, stack, work.transposed, scratch, grad, tape,
                         plain_errors(scratch, dy, work.ds, work.dx), scratch.all_rows, scratch.no_dropout,
                         Window(begin, now, s == n - 1, NEVER))  # fmt: skip
        if s > 0:
            next_inputs_back(team, reading, back + s, work.dx, work.dpath)
            barrier(team)
    dense_backward(team, work.v, work.o, work.headT, scratch, matrix(grad, network.head[0], network.outputs, H),
               grad[network.head[1] : network.head[1] + network.outputs], scratch.no_rows)  # fmt: skip
    barrier(team)
