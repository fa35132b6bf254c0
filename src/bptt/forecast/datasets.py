"""Series of known structure: level, trend, seasons and noise, for trying things out without data of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.forecast.frames.frequency import Freq, parse_freq

__all__ = ["generate_series"]

CATEGORIES = 4
EVENT_SHARE = 0.1


def generate_series(
    n_series: int,
    freq: str | int | pd.tseries.offsets.BaseOffset = "D",
    min_length: int = 50,
    max_length: int = 500,
    n_static_features: int = 0,
    with_trend: bool = False,
    seed: int = 0,
    *,
    n_futr_exog: int = 0,
    seasonality: Sequence[int] | None = None,
    noise: float = 0.05,
    start: str | int | pd.Timestamp | None = None,
    expected: bool = False,
) -> pd.DataFrame:
    """Generate a long frame of synthetic series.

    A series at its step t = 0, 1, ... is ::

        y = L ((1 + g t / n)  prod_m (1 + a_m w_m(t))  prod_k (1 + b_k x_k(t))  +  noise e(t))
        w_m(t) = (2 sin(2 pi t / m + p_m) + sin(4 pi t / m + 2 p_m + q_m)) / 3

    with a level L, lognormal around 100; a slope g, uniform in -0.4 to 1, or 0 without trend, and n = `max_length`;
    for each seasonal period m an amplitude a, uniform in 0.1 to 0.4, and a shape w that all series share up to a
    shift p (normal, 0.3 radians); events x, 0 or 1, known in advance, whose effects b, uniform in -0.3 to 0.5, are the
    same in all series; and independent standard normal noise e. No model can forecast the noise: compare forecasts
    with the column "expected" to judge them.

    Parameters
    ----------
    n_series : int
        Number of series.
    freq : str, int or offset
        The step between the times, for example "D", "h", "MS" or 1.
    min_length, max_length : int
        Lengths are uniform between these, ends included; all series begin at `start`.
    n_static_features : int
        Adds categorical columns "static_0", ... of 4 categories, constant within a series. The first multiplies the
        level by 1, 1.5, 2 or 2.5; the others have no effect.
    with_trend : bool
        Whether the series have slopes.
    seed : int
        The same seed gives the same series, also when more of them are generated. Default 0.
    n_futr_exog : int
        Adds columns "futr_0", ... of events; each hits a tenth of the steps.
    seasonality : sequence of int, optional
        Periods in steps; default: those of the frequency, none with an integer one.
    noise : float
        Standard deviation of the noise, as a fraction of the level. Default 0.05.
    start : timestamp or int, optional
        The first time, moved to the next one of the frequency. Default: 2000-01-01, or 1 with an integer `freq`.
    expected : bool
        Adds the column "expected", y without its noise.

    Returns
    -------
    DataFrame
        unique_id ("S0", "S1", ..., zero-padded), ds, y (float64), then the requested further columns.

    Raises
    ------
    TypeError, ValueError
        The message names the argument.

    Examples
    --------
    >>> from bptt.forecast import generate_series
    >>> df = generate_series(2, freq="D", min_length=30, max_length=30, seed=1)
    >>> len(df), df["unique_id"].unique().tolist(), str(df["ds"].max().date())
    (60, ['S0', 'S1'], '2000-01-30')
    """
    arguments.integer("n_series", n_series)
    arguments.integer("min_length", min_length)
    arguments.integer("max_length", max_length, min_length)
    arguments.integer("n_static_features", n_static_features, 0)
    arguments.integer("n_futr_exog", n_futr_exog, 0)
    with_trend = arguments.boolean("with_trend", with_trend)
    expected = arguments.boolean("expected", expected)
    arguments.seed("seed", seed)
    arguments.real("noise", noise, 0.0)
    step = parse_freq(freq)
    periods = step.seasonality if seasonality is None else tuple(arguments.sequence("seasonality", seasonality))
    for period in periods:
        arguments.integer("seasonality", period, 2)
    times = step.range(_first(start, step), max_length)

    shared = np.random.default_rng([seed, 0])
    common_phase = shared.uniform(0, 2 * np.pi, (len(periods), 2))
    effects = shared.uniform(-0.3, 0.5, n_futr_exog)
    digits = len(str(n_series - 1))
    parts = []
    for number in range(n_series):
        rng = np.random.default_rng([seed, 1 + number])
        length = int(rng.integers(min_length, max_length, endpoint=True))
        t = np.arange(length)
        level = 100 * np.exp(0.5 * rng.standard_normal())
        slope = rng.uniform(-0.4, 1.0)
        value = 1 + (slope if with_trend else 0.0) * t / max_length
        for period, (phase, second) in zip(periods, common_phase, strict=True):
            amplitude, shift = rng.uniform(0.1, 0.4), phase + 0.3 * rng.standard_normal()
            angle = 2 * np.pi * t / period + shift
            value *= 1 + amplitude * (2 * np.sin(angle) + np.sin(2 * angle + second)) / 3
        error = rng.standard_normal(length)
        categories = rng.integers(0, CATEGORIES, n_static_features)
        if n_static_features:
            level *= 1 + 0.5 * categories[0]
        events = (rng.random((n_futr_exog, length)) < EVENT_SHARE).astype(np.float64)
        value *= (1 + effects[:, None] * events).prod(axis=0)
        columns = {"unique_id": f"S{number:0{digits}d}", "ds": times[:length], "y": level * (value + noise * error)}
        columns |= {f"futr_{k}": event for k, event in enumerate(events)}
        columns |= {f"static_{k}": int(category) for k, category in enumerate(categories)}
        parts.append(pd.DataFrame(columns | ({"expected": level * value} if expected else {})))
    frame = pd.concat(parts, ignore_index=True)
    kinds = pd.CategoricalDtype(list(range(CATEGORIES)))
    return frame.astype({f"static_{k}": kinds for k in range(n_static_features)})


def _first(start: str | int | pd.Timestamp | None, freq: Freq) -> np.generic:
    if isinstance(freq.offset, int):
        return np.int64(1 if start is None else arguments.integer("start", start, -(2**62)))
    try:
        time = pd.Timestamp("2000-01-01" if start is None else start)
    except (TypeError, ValueError):
        raise ValueError(f"start must be a date, like '2000-01-01'; got {start!r}") from None
    if pd.isna(time) or time.tz is not None:
        raise ValueError(f"start must be a date without a time zone; got {start!r}")
    return freq.offset.rollforward(time).to_datetime64().astype("datetime64[ns]")
