"""Panels made of arrays, for tests of models without frames."""

import numpy as np

from bptt.forecast.frames.frequency import parse_freq
from bptt.forecast.frames.panel import Panel

DAILY = parse_freq("D")
INTEGER = parse_freq(1)


def panel_of(all_series, future=0, **columns):
    """Series of values (NaN: missing), each followed by `future` rows without one.

    columns: name=list of (rows + future,) arrays, one a series: "futr_price=...", "hist_sales=...", or of numbers,
    "stat_size=...".
    """
    lengths = np.array([len(y) + future for y in all_series])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    y = np.concatenate([np.concatenate([np.asarray(y, float), np.full(future, np.nan)]) for y in all_series])

    def table(kind, rows):
        names = [name for name in columns if name.startswith(kind)]
        join = np.array if kind == "stat_" else np.concatenate
        parts = [join([np.asarray(part) for part in columns[name]]) for name in names]
        return np.stack([np.zeros(rows), *parts], 1)[:, 1:].astype("float32"), tuple(name[5:] for name in names)

    futr, futr_names = table("futr_", y.size)
    hist, hist_names = table("hist_", y.size)
    static, static_names = table("stat_", len(all_series))
    observed = np.isfinite(y)
    return Panel(
        ids=np.array([f"s{i}" for i in range(len(all_series))]),
        starts=starts.astype(np.int64),
        ds=np.concatenate([np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D") for n in lengths]),
        y=np.where(observed, y, 0.0),
        observed=observed,
        futr=futr,
        hist=hist,
        static=static,
        futr_names=futr_names,
        hist_names=hist_names,
        static_names=static_names,
    )


def ends_of(all_series):
    """Every series, at its end."""
    return np.arange(len(all_series)), np.array([len(y) for y in all_series])


def forecast(model, all_series, h=None, **columns):
    """What the model says after the end of each series: point and quantiles."""
    return model.forecast(panel_of(all_series, future=h or model.h, **columns), *ends_of(all_series), h)


def seasonal_series(N=5, length=60, seed=0, level=20.0):
    """Positive series of unequal lengths with a season of 7."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(length // 2, length + 1, N)
    return [
        level + i + 4 * np.sin(2 * np.pi * (np.arange(n) + i) / 7) + rng.standard_normal(n)
        for i, n in enumerate(lengths)
    ]


def to_frame(panel, encoding):
    """Ids, times and targets of a panel as the frame it was read from, with NaN where there is no value."""
    frame = encoding.rows(panel, panel.series, panel.ds)
    frame[encoding.target_col] = np.where(panel.observed, panel.y, np.nan)
    return frame
