"""From (series, end) to what a network reads, and what it has to say: nothing of it lives longer than a batch.

    window     the L = T S values before `end`; m = 1 where one was observed, else 0
    z          (v - shift) / spread of the window, 0 where m = 0; of all values before `end` where no m is 1
    x          row t*B + b: of the S steps of segment t the z, m, lags, past and future-known columns; the static ones
    anchors    naive forecasts of the steps from `end` on:
                   LAST        the last observed value              MEAN      the mean of the window
                   DRIFT       the last one, and on at the window's mean slope
                   SEASONAL p  the value p, 2p, ... steps before    CHANGE p  that, plus the change over the last p
                   AVERAGE p   the mean of those in the window
    target     z of those steps; its weight is that of the step, 0 where there is nothing to compare with, or nothing
               known before `end`

A value that a naive forecast asks for and that was not observed is looked for one period earlier, then replaced by the
last one. Steps are counted within a series; arrays are described in `SeriesArrays`, `WindowSpec` and `Batch`.
"""

from typing import NamedTuple

import numpy as np

from bptt.numerics.jit import borrow, kernel, outlined
from bptt.numerics.random import uniform
from bptt.numerics.team import barrier, share

__all__ = [
    "AVERAGE",
    "CHANGE",
    "DRIFT",
    "LAST",
    "MEAN",
    "SEASONAL",
    "Batch",
    "SeriesArrays",
    "WindowSpec",
    "gather",
    "sample",
    "source_of",
]

LAST, MEAN, SEASONAL, CHANGE, DRIFT, AVERAGE = 0, 1, 2, 3, 4, 5
# Scalers: (shift, spread) of a window.
SPREAD, STANDARD, BY_MEAN, IDENTITY = 0, 1, 2, 3


class SeriesArrays(NamedTuple):
    """All series, one after the other."""

    y: np.ndarray  # float64 (rows,), transformed
    observed: np.ndarray  # uint8 (rows,)
    starts: np.ndarray  # int64 (N + 1,)
    train_ends: np.ndarray  # int64 (N,): steps from here on are no targets
    min_spread: np.ndarray  # float64 (N,): no window's spread is smaller
    futr: np.ndarray  # float32 (rows, F), scaled
    hist: np.ndarray  # float32 (rows, G)
    static: np.ndarray  # float32 (N, C)


class WindowSpec(NamedTuple):
    """How a network reads windows."""

    T: int  # segments
    S: int  # steps of a segment
    R: int  # steps of a row of forecasts
    h: int  # steps that count
    scaler: int
    ahead: int  # x shows future-known columns so many steps later than z
    lags: np.ndarray  # int64: channels z of so many steps before the one after
    kinds: np.ndarray  # int64 (K,): of the anchors
    periods: np.ndarray  # int64 (K,)
    horizon_weight: np.ndarray  # float64 (h,): of each step in the loss


class Batch(NamedTuple):
    """B windows, and the steps after each, in n rows of R steps."""

    series: np.ndarray  # int64 (B,)
    ends: np.ndarray  # int64 (B,)
    shift: np.ndarray  # float64 (B,)
    spread: np.ndarray  # float64 (B,)
    slope: np.ndarray  # float64 (B,): of z, from the first to the last observed value
    x: np.ndarray  # (T*B, X)
    future: np.ndarray  # (n*B, R*F + C): the future-known columns of the steps that count, and the static ones
    anchors: np.ndarray  # (n*B, K*R)
    target: np.ndarray  # (n*B, R)
    weight: np.ndarray  # (n*B, R)
    weights: np.ndarray  # float64 (B,): sums of weight


def source_of(y: np.ndarray, observed: np.ndarray, starts: np.ndarray, train_ends: np.ndarray, min_spread: np.ndarray,
              futr: np.ndarray, hist: np.ndarray, static: np.ndarray) -> SeriesArrays:  # fmt: skip
    """The series for compiled code, which reads them by index: contiguous arrays of the right types."""
    whole = np.ascontiguousarray
    return SeriesArrays(
        y=whole(y, np.float64),
        observed=whole(observed, np.uint8),
        starts=whole(starts, np.int64),
        train_ends=whole(train_ends, np.int64),
        min_spread=whole(min_spread, np.float64),
        futr=whole(futr, np.float32),
        hist=whole(hist, np.float32),
        static=whole(static, np.float32),
    )


@kernel
def sample(seed, step, probabilities, first_end, last_end, series, ends):
    """Draw windows: a series by its probability (cumulated, the last one 1), an end from first_end to last_end."""
    for b in range(series.size):
        u = uniform(seed, 2 * step, b)
        low, high = 0, probabilities.size - 1
        while low < high:
            middle = (low + high) // 2
            if probabilities[middle] > u:
                high = middle
            else:
                low = middle + 1
        series[b] = low
        choices = last_end[low] - first_end[low] + 1
        ends[b] = first_end[low] + np.int64(uniform(seed, 2 * step + 1, b) * choices)


@kernel(internal=True)
def scale_of(y, m, scaler, min_spread):
    """Number of observed values, their mean, shift and spread of a window."""
    n, total, size = 0, 0.0, 0.0
    for j in range(y.size):
        if m[j]:
            n += 1
            total += y[j]
            size += abs(y[j])
    mean = total / max(n, 1)
    if scaler == IDENTITY or n == 0:
        return n, mean, 0.0, 1.0
    if scaler == BY_MEAN:
        return n, mean, 0.0, max(size / n, min_spread)
    around = 0.0
    for j in range(y.size):
        if m[j]:
            d = y[j] - mean
            around += d * d if scaler == STANDARD else abs(d)
    around /= n
    return n, mean, mean, max(np.sqrt(around) if scaler == STANDARD else around, min_spread)


@kernel(internal=True)
def naive(y, m, begin, end, kind, period, step, last):
    """The naive forecast for position end + step; NaN where a seasonal one has no observed value."""
    if kind == LAST:
        return y[last]
    position = end + step - (step // period + 1) * period
    if kind == AVERAGE:
        n, total = 0, 0.0
        for p in range(position, begin - 1, -period):
            if m[p]:
                n += 1
                total += y[p]
        return total / n if n > 0 else np.nan
    while position >= 0 and not m[position]:
        position -= period
    if position < 0:
        return np.nan
    if kind == CHANGE and last - period >= 0 and m[last - period]:
        return y[position] + y[last] - y[last - period]
    return y[position]


@outlined()
def gather(team, source, reading, batch):
    """Fill a batch from its `series` and `ends`; ends with a barrier."""
    source, reading, batch = borrow(source), borrow(reading), borrow(batch)
    B, T, S, R = batch.series.size, reading.T, reading.S, reading.R
    F, G, C, lags = source.futr.shape[1], source.hist.shape[1], source.static.shape[1], reading.lags.size
    n = batch.target.shape[0] // B
    number, zero, one = batch.x.dtype.type, batch.x.dtype.type(0), batch.x.dtype.type(1)
    first_row, last_row = share(B, team)
    for b in range(first_row, last_row):
        i, end = batch.series[b], batch.ends[b]
        start = source.starts[i]
        rows = source.starts[i + 1] - start
        y, m = source.y[start : start + rows], source.observed[start : start + rows]
        begin = end - T * S
        old = max(0, begin)
        known, mean, shift, spread = scale_of(y[old:end], m[old:end], reading.scaler, source.min_spread[i])
        if known == 0:
            known, mean, shift, spread = scale_of(y[:old], m[:old], reading.scaler, source.min_spread[i])
        batch.shift[b], batch.spread[b] = shift, spread
        for t in range(T):
            x = batch.x[t * B + b]
            for s in range(S):
                p = begin + t * S + s
                seen = p >= 0 and m[p]
                x[s] = number((y[p] - shift) / spread) if seen else zero
                x[S + s] = one if seen else zero
                channel = 2
                for k in range(lags):
                    q = p + 1 - reading.lags[k]
                    x[channel * S + s] = number((y[q] - shift) / spread) if q >= 0 and m[q] else zero
                    channel += 1
                for k in range(G):
                    x[channel * S + s] = number(source.hist[start + p, k]) if p >= 0 else zero
                    channel += 1
                q = p + reading.ahead
                for k in range(F):
                    x[channel * S + s] = number(source.futr[start + q, k]) if 0 <= q < rows else zero
                    channel += 1
            for k in range(C):
                x[(2 + lags + G + F) * S + k] = number(source.static[i, k])
        last = end - 1
        while last > 0 and not m[last]:
            last -= 1
        latest = (y[last] - shift) / spread if known else 0.0
        middle = (mean - shift) / spread
        earliest = old
        while earliest < last and not m[earliest]:
            earliest += 1
        slope = (y[last] - y[earliest]) / spread / (last - earliest) if last > earliest else 0.0
        batch.slope[b] = slope
        total = 0.0
        for t in range(n):
            future, anchors = batch.future[t * B + b], batch.anchors[t * B + b]
            target, weight = batch.target[t * B + b], batch.weight[t * B + b]
            for s in range(R):
                step = t * R + s
                p = end + step
                for k in range(F):
                    future[k * R + s] = number(source.futr[start + p, k]) if step < reading.h and p < rows else zero
                for k in range(reading.kinds.size):
                    kind, value = reading.kinds[k], middle
                    if kind == DRIFT:
                        value = latest + (step + 1) * slope
                    elif kind != MEAN:
                        value = (naive(y, m, old, end, kind, reading.periods[k], step, last) - shift) / spread
                        if not np.isfinite(value) or not known:
                            value = latest
                    anchors[k * R + s] = number(value)
                seen = known > 0 and step < reading.h and p < source.train_ends[i] and m[p]
                target[s] = number((y[p] - shift) / spread) if seen else zero
                weight[s] = number(reading.horizon_weight[step]) if seen else zero
                total += weight[s]
            for k in range(C):
                future[F * R + k] = number(source.static[i, k])
        batch.weights[b] = total
    barrier(team)
