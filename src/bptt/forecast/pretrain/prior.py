"""Random time series: what the pretrained network learns from. No real series is among them.

Each generator is a function `(rng, n, T, seasons) -> float64 (n, T)`: n series of T steps around 0 or 1, seasons the
periods with a pattern, the shortest first, () for none. `draw` mixes them, and adds what happens to any series: level
shifts, outliers, rounding, a unit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["GENERATORS", "draw"]

Rng = np.random.Generator
Series = NDArray[np.float64]
Seasons = tuple[int, ...]


def log_uniform(rng: Rng, low: float, high: float, size: tuple[int, ...]) -> Series:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def some(rng: Rng, share: float, n: int) -> NDArray[np.bool_]:
    """For each of n series whether it is one of this share, (n, 1)."""
    return rng.random((n, 1)) < share


def noise(rng: Rng, n: int, T: int) -> Series:
    """Independent shocks of spread 1, in three of ten series with the heavy tails of Student's t with 4 degrees."""
    heavy = some(rng, 0.3, n)
    return np.where(heavy, rng.standard_t(4, (n, T)) / np.sqrt(2), rng.standard_normal((n, T)))


def standardised(y: Series) -> Series:
    """Each row with mean 0 and standard deviation 1; rows that do not move become 0."""
    y = y - y.mean(1, keepdims=True)
    spread = y.std(1, keepdims=True)
    return np.divide(y, spread, out=np.zeros_like(y), where=spread > 1e-9)


def patterns(rng: Rng, n: int, m: int) -> Series:
    """Shapes of a season (n, m): waves with decaying harmonics, single peaks, two levels, or any values."""
    harmonics = np.arange(1, max(1, m // 2) + 1)
    power = rng.standard_normal((n, harmonics.size)) / harmonics ** rng.uniform(0.3, 2.5, (n, 1))
    phase = rng.uniform(0, 2 * np.pi, (n, harmonics.size))
    angle = 2 * np.pi * harmonics[:, None] * np.arange(m) / m
    # cos(angle + phase), as two products of matrices
    waves = (power * np.cos(phase)) @ np.cos(angle) - (power * np.sin(phase)) @ np.sin(angle)
    distance = np.abs((np.arange(m) - rng.integers(0, m, (n, 1)) + m // 2) % m - m // 2)
    peaks = rng.choice([-1, 1], (n, 1)) * np.exp(-0.5 * (distance / log_uniform(rng, 0.3, max(1, m / 6), (n, 1))) ** 2)
    levels = ((np.arange(m) + rng.integers(0, m, (n, 1))) % m < rng.integers(1, max(2, m), (n, 1))).astype(float)
    anything = rng.standard_normal((n, m))
    kind = rng.choice(4, (n, 1), p=[0.55, 0.15, 0.1, 0.2])
    kinds = [standardised(shapes) for shapes in (waves, peaks, levels)]
    shapes = np.select([kind == 0, kind == 1, kind == 2], kinds, standardised(anything))
    mixed = np.where(some(rng, 0.25, n), shapes + rng.uniform(0, 1, (n, 1)) * standardised(peaks), shapes)
    return standardised(mixed)


def seasonal(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Sums of patterns that repeat; some change their shape or size slowly; a long season goes by whole short ones."""
    total = np.zeros((n, T))
    t = np.arange(T)
    for k, m in enumerate(seasons):
        if k > 0 and m % seasons[0] == 0:  # as days of a week, each with its own level and its own size of the day
            blocks = patterns(rng, n, m // seasons[0])
            place = blocks[:, (t % m) // seasons[0]]
            total = total * (1 + np.where(some(rng, 0.5, n), rng.uniform(0, 0.6, (n, 1)) * place, 0))
            part = place
        else:
            part = patterns(rng, n, m)[:, t % m]
            other = patterns(rng, n, m)[:, t % m]
            share = np.where(some(rng, 0.2, n), rng.uniform(0, 1, (n, 1)) * t / T, 0)
            part = (1 - share) * part + share * other
        size = log_uniform(rng, 0.1, 1, (n, 1)) if k > 0 else 1.0
        total = total + np.where(some(rng, 0.85, n), size * part, 0)
    growth = np.where(some(rng, 0.3, n), rng.uniform(-0.7, 1.5, (n, 1)), 0)
    return total * np.maximum(1 + growth * t / T, 0.1)


def trends(rng: Rng, n: int, T: int) -> Series:
    """Straight, bent, damped, exponential, logistic lines, random walks and none, with an end some units from 0."""
    t = np.arange(T) / T
    size = rng.standard_t(3, (n, 1)) * 0.6
    corners = np.sort(rng.random((n, 2)), axis=1)
    bent = t + sum(
        rng.standard_normal((n, 1)) * np.maximum(t - corners[:, k : k + 1], 0) for k in range(2)
    )  # piecewise linear, as Taylor & Letham (2018)
    damped = 1 - np.exp(-t * rng.uniform(1, 8, (n, 1)))
    rate = rng.uniform(0.5, 3, (n, 1))
    exponential = np.expm1(rate * t) / np.expm1(rate)
    logistic = 1 / (1 + np.exp(-rng.uniform(5, 25, (n, 1)) * (t - rng.random((n, 1)))))
    walk = np.cumsum(rng.standard_normal((n, T)), 1) / np.sqrt(T)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((n, T)), 1), 1) / T**1.5
    kind = rng.choice(8, (n, 1), p=[0.2, 0.17, 0.15, 0.1, 0.06, 0.08, 0.12, 0.12])
    shapes = [np.broadcast_to(t, (n, T)), bent, damped, exponential, logistic, walk, smooth]
    return size * np.select([kind == k for k in range(7)], shapes, 0.0)


def autoregression(rng: Rng, n: int, T: int, order: int = 3) -> Series:
    """Stationary autoregressions with a moving average, spread 1; by partial autocorrelations (Barndorff-Nielsen &
    Schou 1973), so that every draw is stationary."""
    partial = rng.uniform(-1, 1, (n, order)) * rng.beta(1.5, 1.5, (n, order)) * np.array([1.3, 0.7, 0.5])[:order]
    partial[:, 0] = np.where(rng.random(n) < 0.7, np.abs(partial[:, 0]), partial[:, 0])
    partial = np.clip(partial, -0.98, 0.98)
    phi = np.zeros((n, order))
    for k in range(order):
        before = phi[:, :k].copy()
        phi[:, :k] = before - partial[:, k : k + 1] * before[:, ::-1]
        phi[:, k] = partial[:, k]
    warm = 50
    shocks = noise(rng, n, T + warm)
    shocks[:, 1:] += rng.uniform(-0.6, 0.6, (n, 1)) * some(rng, 0.3, n) * shocks[:, :-1]
    y = np.zeros((n, T + warm))
    for t in range(order, T + warm):
        y[:, t] = shocks[:, t] + sum(phi[:, k] * y[:, t - 1 - k] for k in range(order))
    y = y[:, warm:]
    return y / np.maximum(y.std(1, keepdims=True), 1e-9)


def composed(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Trend plus (or times) season plus noise, each with its share of the whole (after Dooley et al. 2023)."""
    trend = trends(rng, n, T) * log_uniform(rng, 0.1, 1.5, (n, 1))
    season = seasonal(rng, n, T, seasons) * log_uniform(rng, 0.02, 0.6, (n, 1))
    coloured = np.where(some(rng, 0.5, n), autoregression(rng, n, T), noise(rng, n, T))
    rest = coloured * log_uniform(rng, 0.003, 0.25, (n, 1))
    added = 1 + trend + season + rest
    multiplied = np.exp(np.clip(trend + season + rest, -5, 5))
    return np.where(some(rng, 0.5, n), added, multiplied)


def exponential_smoothing(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """The state spaces of exponential smoothing (Hyndman et al. 2008): level, damped slope and season, with errors
    added to them or in proportion to them."""
    m = seasons[0] if seasons else 1
    column = rng.random
    relative = column(n) < 0.5
    alpha = np.where(column(n) < 0.25, rng.uniform(0, 0.05, n), rng.beta(1.2, 2.0, n))
    sloping = column(n) < 0.75
    beta = np.where(sloping & (column(n) < 0.5), alpha * rng.beta(1, 12, n), 0)
    gamma = np.where(column(n) < 0.5, (1 - alpha) * rng.beta(1, 12, n), 0)
    phi = np.where(column(n) < 0.5, 1.0, rng.uniform(0.8, 0.99, n))
    b = np.where(sloping, rng.standard_t(3, n) * 0.5 / max(T, 24), 0.0)
    sigma = log_uniform(rng, 0.003, 0.3, (n,))
    size = np.where((column(n) < 0.8) & (m > 1), log_uniform(rng, 0.01, 0.8, (n,)), 0.0)
    s = patterns(rng, n, m) * size[:, None]
    shocks = noise(rng, n, T) * sigma[:, None]
    level, y = np.ones(n), np.empty((n, T))
    for t in range(T):
        j = t % m
        base = level + phi * b
        expected = np.where(relative, base * (1 + s[:, j]), base + s[:, j])
        error = shocks[:, t] * np.where(relative, np.abs(expected), 1.0)
        y[:, t] = expected + error
        moved = np.where(relative, error / np.maximum(np.abs(1 + s[:, j]), 0.2), error)
        level = np.clip(base + alpha * moved, -1e4, 1e4)
        b = phi * b + beta * moved
        s[:, j] += gamma * np.where(relative, error / np.maximum(np.abs(base), 0.2), error)
    return y


def integrated(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """ARIMA and seasonal ARIMA (Box & Jenkins 1970): autoregressions summed once, twice, or over seasons."""
    y = autoregression(rng, n, T)
    drift = rng.standard_normal((n, 1)) * 0.1 * some(rng, 0.4, n)
    once = np.cumsum(y + drift, 1)
    kind = rng.choice(4, (n, 1), p=[0.2, 0.4, 0.1, 0.3])
    twice = np.cumsum(once, 1) / T * rng.uniform(0.3, 3, (n, 1))
    over = y + drift
    for m in seasons[:1]:
        over = over * (1 - np.array(rng.uniform(0, 1, (n, 1))) * 0.5)
        start = patterns(rng, n, m) * log_uniform(rng, 0.5, 8, (n, 1))
        over[:, :m] += start[:, : min(m, T)]
        for t in range(m, T):
            over[:, t] += over[:, t - m]
    out = np.select([kind == 0, kind == 1, kind == 2], [y, once, twice], over)
    season = seasonal(rng, n, T, seasons) * log_uniform(rng, 0.1, 2, (n, 1)) * some(rng, 0.6, n) if seasons else 0.0
    return standardised(out) * log_uniform(rng, 0.02, 0.5, (n, 1)) + 1 + season * 0.1


def gaussian_process(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Draws from Gaussian processes with random sums and products of kernels (Ansari et al. 2024, KernelSynth)."""
    groups = max(1, n // 64)
    t = np.arange(T)[:, None] / T
    apart = t - t.T
    out = []
    for part in np.array_split(np.arange(n), groups):
        total: Series | None = None
        for _ in range(rng.integers(1, 5)):
            kind = rng.integers(0, 6)
            if kind == 0:
                kernel = np.exp(-0.5 * (apart / log_uniform(rng, 0.02, 1, ())) ** 2)
            elif kind == 1:
                kernel = (1 + 0.5 * (apart / log_uniform(rng, 0.02, 1, ())) ** 2) ** -1.0
            elif kind == 2:
                c = rng.random()
                kernel = (t - c) * (t.T - c) * 2
            elif kind == 3 and seasons:
                m = seasons[rng.integers(0, len(seasons))]
                kernel = np.exp(-2 * np.sin(np.pi * apart * T / m) ** 2 / log_uniform(rng, 0.3, 3, ()) ** 2)
            elif kind == 4:
                kernel = np.exp(-np.abs(apart) / log_uniform(rng, 0.01, 1, ()))
            else:
                kernel = np.eye(T) * log_uniform(rng, 0.01, 0.5, ())
            if total is None:
                total = kernel
            else:
                total = total + kernel if rng.random() < 0.6 else total * kernel
        assert total is not None
        values, vectors = np.linalg.eigh(total + 1e-6 * np.eye(T))
        root = vectors * np.sqrt(np.maximum(values, 0))
        out.append((root @ rng.standard_normal((T, part.size))).T)
    y = standardised(np.concatenate(out)) * log_uniform(rng, 0.03, 0.5, (n, 1))
    season = seasonal(rng, n, T, seasons) * log_uniform(rng, 0.03, 0.5, (n, 1)) * some(rng, 0.5, n) if seasons else 0.0
    return 1 + y + season + noise(rng, n, T) * log_uniform(rng, 0.001, 0.1, (n, 1))


def regimes(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Levels, slopes and swings that change at random times (Hamilton 1989)."""
    switch = rng.random((n, T)) < rng.uniform(1, 6, (n, 1)) / T
    number = np.cumsum(switch, 1)
    most = int(number.max()) + 1
    row = np.arange(n)[:, None]
    level = (rng.standard_normal((n, most)) * 0.4)[row, number]
    slope = np.cumsum((rng.standard_normal((n, most)) * some(rng, 0.5, n))[row, number], 1) / T
    swing = log_uniform(rng, 0.3, 3, (n, most))[row, number]
    coloured = np.where(some(rng, 0.5, n), autoregression(rng, n, T), noise(rng, n, T))
    y = level + slope + swing * coloured * log_uniform(rng, 0.01, 0.3, (n, 1))
    season = seasonal(rng, n, T, seasons) * log_uniform(rng, 0.03, 0.5, (n, 1)) if seasons else 0.0
    return 1 + y + season


def counts(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Demand by counts, often 0: negative binomial with a rate that follows trend and season, or sizes at intervals
    (Croston 1972)."""
    trend = trends(rng, n, T)
    season = seasonal(rng, n, T, seasons) * log_uniform(rng, 0.05, 1, (n, 1)) if seasons else 0
    rate = np.exp(np.clip(trend + season, -4, 4))
    rate *= log_uniform(rng, 0.1, 30, (n, 1))
    spread = log_uniform(rng, 0.3, 20, (n, 1))
    sold = rng.poisson(rng.gamma(spread, rate / spread))
    arrives = rng.random((n, T)) < rng.uniform(0.1, 0.7, (n, 1))
    lumps = arrives * (1 + rng.poisson(log_uniform(rng, 0.5, 20, (n, 1)), (n, T)))
    return np.where(some(rng, 0.7, n), sold, lumps).astype(float)


def cycles(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Cycles whose length and height vary (Yule 1927), and deterministic chaos (May 1976: the logistic map)."""
    length = log_uniform(rng, 4, max(8, T / 3), (n, 1))
    phase = np.cumsum(2 * np.pi / length * (1 + 0.3 * rng.random((n, 1)) * rng.standard_normal((n, T))), 1)
    height = np.exp(np.cumsum(rng.standard_normal((n, T)), 1) / length * rng.random((n, 1)))
    wave = height * np.sin(phase + rng.uniform(0, 2 * np.pi, (n, 1)))
    steep = np.exp(rng.uniform(0, 1.5, (n, 1)) * np.clip(wave, -2, 2))
    x, r = rng.random(n), rng.uniform(3.5, 3.99, n)
    chaos = np.empty((n, T))
    for t in range(T):
        x = np.clip(r * x * (1 - x), 1e-9, 1.0)
        chaos[:, t] = x
    kind = rng.choice(3, (n, 1), p=[0.4, 0.5, 0.1])
    y = np.select([kind == 0, kind == 1], [wave, steep], chaos)
    season = seasonal(rng, n, T, seasons) * log_uniform(rng, 0.03, 0.5, (n, 1)) * some(rng, 0.3, n) if seasons else 0.0
    return 1.5 + 0.4 * standardised(y) + season + noise(rng, n, T) * log_uniform(rng, 0.003, 0.15, (n, 1))


def calendar(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """Sums over months with their days and weekdays, and single days (Easter, holidays) that move about a season."""
    y = composed(rng, n, T, seasons)
    m = seasons[0] if seasons else 1
    days = np.where(np.arange(m) % 2 == 0, 31.0, 30.0)[np.arange(T) % m] / 30.5
    weekdays = 1 + rng.uniform(0, 0.06, (n, 1)) * np.sin(2 * np.pi * np.arange(T) * rng.uniform(0.05, 0.45, (n, 1)))
    y = y * days * weekdays
    if m > 1:
        place = rng.integers(0, m, (n, 1)) + rng.integers(0, 2, (n, T // m + 1)).repeat(m, axis=1)[:, :T]
        y = y * np.where(np.arange(T) % m == place % m, 1 + rng.uniform(-0.4, 0.6, (n, 1)), 1.0)
    return y


GENERATORS: dict[Callable[[Rng, int, int, Seasons], Series], float] = {
    exponential_smoothing: 0.34,
    composed: 0.26,
    integrated: 0.11,
    gaussian_process: 0.07,
    regimes: 0.05,
    counts: 0.06,
    cycles: 0.05,
    calendar: 0.06,
}


def draw(rng: Rng, n: int, T: int, seasons: Seasons) -> Series:
    """n series of T steps from all generators, with level shifts, outliers, and units.

    Parameters
    ----------
    rng : numpy.random.Generator
    n, T : int
    seasons : tuple of int
        The shortest first.

    Returns
    -------
    float64 (n, T)
        In random order.

    Examples
    --------
    >>> draw(np.random.default_rng(0), 5, 30, (4,)).shape
    (5, 30)
    """
    share = np.array(list(GENERATORS.values()))
    numbers = rng.multinomial(n, share / share.sum())
    parts = [make(rng, int(k), T, seasons) for make, k in zip(GENERATORS, numbers, strict=True) if k > 0]
    y = np.concatenate(parts)[rng.permutation(n)]
    t = np.arange(T)
    spread = np.maximum(y.std(1, keepdims=True), 1e-9)
    shift = some(rng, 0.1, n) & (t >= rng.integers(0, T, (n, 1)))
    y = y + shift * rng.standard_normal((n, 1)) * spread
    outlying = some(rng, 0.25, n) & (rng.random((n, T)) < 0.015)
    y = y + outlying * rng.standard_t(3, (n, T)) * 2 * spread
    lowest = y.min(1, keepdims=True)
    lifted = y - lowest + rng.uniform(0, 1, (n, 1)) * (y.max(1, keepdims=True) - lowest)
    y = np.where((lowest < 0) & some(rng, 0.85, n), lifted, y)
    still = some(rng, 0.03, n)  # short pieces of real series often repeat one value
    y = np.where(still & (t < rng.integers(0, T, (n, 1))), y[:, :1], y)
    return np.asarray(y * log_uniform(rng, 1, 1e4, (n, 1)))
