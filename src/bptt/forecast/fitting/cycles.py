"""Periods that a series itself shows: peaks of the autocorrelation of what a straight line leaves.

A period counts if the series holds at least three of it, the autocorrelation fell before (a slow trend has no peak
behind a valley), and the peak is higher than chance and rises higher above its valley than that of the season which the
frequency suggests.
"""

from __future__ import annotations

import numpy as np

from bptt.forecast.frames.panel import Panel

__all__ = ["autocorrelation", "period_of", "periods_of"]

# A lower peak is no period, nor one of fewer standard deviations of white noise's, 1 / sqrt(n); a valley lies at least
# so much below its peak.
LOWEST_PEAK, DEVIATIONS, DEPTH = 0.3, 4.0, 0.3
# A period replaces the season of the frequency if it rises higher above its valley by so much.
CLEARLY = 0.1
# Fewer values show no period; of longer series the newest rows are looked at.
FEWEST, LONGEST = 24, 1 << 14


def autocorrelation(y: np.ndarray) -> np.ndarray:
    """Autocorrelations of y (n,) at lags 0 .. n-1 after a straight line is taken out; zeros where nothing is left.

    Each is divided by the number of its products, so that long lags are not smaller than short ones.
    """
    n = y.size
    t = np.arange(n) - (n - 1) / 2
    y = y - y.mean()
    left = y - t * (t @ y) / max(t @ t, 1.0)
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(left, size)) ** 2
    products = np.fft.irfft(power, size)[:n] / np.arange(n, 0, -1)
    constant = products[0] <= 1e-20 * max(float(y @ y) / n, 1e-300)
    return np.zeros(n) if constant else products / products[0]


def period_of(y: np.ndarray, season: int) -> int:
    """The period of y (n,), if it is another one than `season` (1: none); else `season`."""
    if y.size < FEWEST:
        return season
    r = autocorrelation(y)
    lags = np.arange(2, y.size // 3 + 1)
    if lags.size == 0:
        return season
    peaks = lags[(r[lags] > r[lags - 1]) & (r[lags] >= r[lags + 1])]
    lowest = np.minimum.accumulate(r)
    least = max(LOWEST_PEAK, DEVIATIONS / y.size**0.5)
    peaks = peaks[(r[peaks] >= least) & (r[peaks] - lowest[peaks] >= DEPTH)]
    if peaks.size == 0:
        return season
    # Of a period and its multiples the first that is about as high.
    found = int(peaks[r[peaks] >= 0.9 * r[peaks].max()][0])
    usual = r[season] - lowest[season] if 1 < season < y.size else 0.0
    return found if r[found] - lowest[found] > usual + CLEARLY else season


def periods_of(panel: Panel, series: np.ndarray, ends: np.ndarray, season: int) -> np.ndarray:
    """For each window, the period of the observed values before its end; missing ones are interpolated."""
    found = np.full(series.size, season)
    for w, (i, end) in enumerate(zip(series, ends, strict=True)):
        rows = slice(panel.starts[i] + max(0, end - LONGEST), panel.starts[i] + end)
        seen = panel.observed[rows]
        if seen.sum() >= FEWEST:
            y, t = panel.y[rows], np.arange(seen.size)
            found[w] = period_of(y if seen.all() else np.interp(t, t[seen], y[seen]), season)
    return found
