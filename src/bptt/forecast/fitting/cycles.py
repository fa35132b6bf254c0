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
# Series whose autocorrelations are computed together.
TOGETHER = 256


def autocorrelation(y: np.ndarray) -> np.ndarray:
    """Autocorrelations of y (..., n) at lags 0 .. n-1 after a straight line is taken out; zeros where nothing is left.

    Each is divided by the number of its products, so that long lags are not smaller than short ones.
    """
    n = y.shape[-1]
    t = np.arange(n) - (n - 1) / 2
    y = y - y.mean(-1, keepdims=True)
    left = y - t * (y @ t / max(t @ t, 1.0))[..., None]
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(left, size)) ** 2
    products = np.fft.irfft(power, size)[..., :n] / np.arange(n, 0, -1)
    first = products[..., :1]
    constant = first <= 1e-20 * np.maximum((y**2).mean(-1, keepdims=True), 1e-300)
    return np.divide(products, first, out=np.zeros_like(products), where=~constant)


def period_of(r: np.ndarray, season: int) -> int:
    """The period of a series with the autocorrelations r (n,), if it is another one than `season` (1: none); else
    `season`."""
    n = r.size
    lags = np.arange(2, n // 3 + 1)
    peaks = lags[(r[lags] > r[lags - 1]) & (r[lags] >= r[lags + 1])]
    peaks = peaks[r[peaks] >= max(LOWEST_PEAK, DEVIATIONS / n**0.5)]
    if peaks.size == 0:
        return season
    lowest = np.minimum.accumulate(r)
    peaks = peaks[r[peaks] - lowest[peaks] >= DEPTH]
    if peaks.size == 0:
        return season
    # Of a period and its multiples the first that is about as high.
    found = int(peaks[r[peaks] >= 0.9 * r[peaks].max()][0])
    usual = r[season] - lowest[season] if 1 < season < n else 0.0
    return found if r[found] - lowest[found] > usual + CLEARLY else season


def periods_of(panel: Panel, series: np.ndarray, ends: np.ndarray, season: int) -> np.ndarray:
    """For each window, the period of the observed values before its end; missing ones are interpolated."""
    found = np.full(series.size, season)
    lengths = np.minimum(ends, LONGEST)
    for n in np.unique(lengths[lengths >= FEWEST]):
        together = np.flatnonzero(lengths == n)
        for first in range(0, together.size, TOGETHER):
            part = together[first : first + TOGETHER]
            rows = (panel.starts[series[part]] + ends[part] - n)[:, None] + np.arange(n)
            y, seen = panel.y[rows], panel.observed[rows]
            for w in np.flatnonzero(~seen.all(1) & seen.any(1)):
                y[w] = np.interp(np.arange(n), np.flatnonzero(seen[w]), y[w, seen[w]])
            enough = seen.sum(1) >= FEWEST
            for w, r in zip(part[enough], autocorrelation(y[enough]), strict=True):
                found[w] = period_of(r, season)
    return found
