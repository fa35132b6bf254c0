"""Frequencies against pandas' own ranges, and the calendar against its own fields."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.forecast.frames.frequency import GUESSES, calendar_features, guess_freq, parse_freq

ALIASES = [
    *("YS", "YE", "YS-APR", "YE-JUN", "QS", "QE", "QS-FEB", "QE-NOV", "MS", "ME", "2MS", "3ME", "2QE", "6MS"),
    *("W", "W-MON", "W-SAT", "2W-WED", "B", "2B", "D", "3D", "7D", "h", "6h", "24h", "30min", "15min", "min", "s"),
    *("ms", "us", "BMS", "BME", "BQS", "BQE", "BQE-NOV", "BYS", "BYE", "2BME", "SMS", "SME", "2SME", "C", "WOM-3TUE"),
    *("bh", "2bh", "cbh"),
]
NANOSECONDS = "datetime64[ns]"
starts = st.datetimes(datetime.datetime(1890, 1, 1), datetime.datetime(2100, 1, 1))


def times(index):
    return index.as_unit("ns").to_numpy()


def offset_of(alias):
    return pd.tseries.frequencies.to_offset(alias)


def on_grid(alias, start):
    """The start of a range of pandas, so that it is one of the frequency's times."""
    if alias in ("bh", "2bh", "cbh"):
        start = start.replace(hour=9, minute=0, second=0, microsecond=0)
    return offset_of(alias).rollforward(pd.Timestamp(start).floor("s"))


@pytest.mark.parametrize("alias", ALIASES)
@given(start=starts, periods=st.integers(1, 30), n=st.integers(0, 40), back=st.integers(0, 5))
def test_steps_are_those_of_pandas(alias, start, periods, n, back):
    freq = parse_freq(alias)
    expected = times(pd.date_range(on_grid(alias, start), periods=periods + n, freq=alias))
    np.testing.assert_array_equal(freq.range(expected[0], periods + n), expected)
    np.testing.assert_array_equal(freq.step(expected[:periods], n), expected[n:])
    back = min(back, n)
    np.testing.assert_array_equal(freq.step(expected[n:], -back), expected[n - back : len(expected) - back])


@pytest.mark.parametrize("alias", ALIASES)
@given(start=starts, kept=st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True).map(sorted))
def test_positions_count_the_steps_between_times(alias, start, kept):
    ds = times(pd.date_range(on_grid(alias, start), periods=61, freq=alias))[kept]
    ordinal, phase, valid = parse_freq(alias).positions(ds)
    assert valid.all()
    assert (phase == phase[0]).all()
    np.testing.assert_array_equal(np.diff(ordinal), np.diff(kept))


@pytest.mark.parametrize("alias", [alias for alias in ALIASES if alias not in ("bh", "2bh", "cbh")])
@given(start=starts)
def test_invalid_times_are_those_pandas_has_not(alias, start):
    stamp = pd.Timestamp(start).floor("s")
    valid = parse_freq(alias).positions(times(pd.DatetimeIndex([stamp]))).valid
    assert valid[0] == offset_of(alias).is_on_offset(stamp)


@pytest.mark.parametrize(
    ("alias", "odd"),
    [
        ("h", "2024-01-01 03:30"),
        ("D", "2024-01-03 06:00"),
        ("W-SUN", "2024-01-22"),
        ("ME", "2024-02-28"),
        ("MS", "2024-03-02"),
        ("QE", "2024-05-31"),
        ("YE", "2024-12-30"),
        ("B", "2024-01-06"),
        ("2MS", "2024-02-01"),
        ("SME", "2024-01-16"),
    ],
)
def test_a_time_beside_the_grid_differs(alias, odd):
    regular = times(pd.date_range("2024-01-01", periods=3, freq=alias))
    _, phase, valid = parse_freq(alias).positions(np.append(regular, np.datetime64(odd, "ns")))
    assert valid[:3].all()
    assert not valid[3] or phase[3] != phase[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("M", "ME"), ("Q", "QE-DEC"), ("Y", "YE-DEC"), ("A", "YE-DEC"), ("A-JUN", "YE-JUN"), ("AS", "YS-JAN")),
        *(
            ("BM", "BME"),
            ("BQ", "BQE-DEC"),
            ("BA", "BYE-DEC"),
            ("BAS", "BYS-JAN"),
            ("SM", "SME-15"),
            ("Q-NOV", "QE-NOV"),
        ),
        *(("H", "h"), ("T", "min"), ("S", "s"), ("L", "ms"), ("U", "us"), ("N", "ns"), ("2H", "2h"), ("15T", "15min")),
        *(
            ("1H30T", "90min"),
            ("2M", "2ME"),
            ("d", "D"),
            ("w", "W-SUN"),
            ("BH", "bh"),
            ("w-sun", "W-SUN"),
            ("MIN", "min"),
        ),
    ],
)
def test_old_names_mean_what_they_meant(old, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        freq = parse_freq(old)
    assert freq.name == new
    assert parse_freq(freq.name) == parse_freq(new)
    assert f"{old!r} (that is {new!r})" in str(freq)


@pytest.mark.parametrize(
    ("freq", "seasons"),
    [
        ("h", (24, 168)),
        ("30min", (48, 336)),
        ("15min", (96, 672)),
        ("min", (60, 1440)),
        ("D", (7,)),
        ("B", (5,)),
        ("C", (5,)),
        ("W", (52,)),
        ("7D", (52,)),
        ("MS", (12,)),
        ("BME", (12,)),
        ("QE", (4,)),
        ("YE", ()),
        ("s", (60,)),
        (1, ()),
        ("2D", ()),
        ("6MS", (2,)),
        ("4W", (13,)),
        ("SME", (24,)),
        ("ms", ()),
        ("12h", (2, 14)),
    ],
)
def test_seasons(freq, seasons):
    assert parse_freq(freq).seasonality == seasons


def test_other_ways_to_write_a_frequency():
    for freq in (pd.offsets.Hour(2), datetime.timedelta(hours=2), pd.Timedelta("2h"), "2h", pd.DateOffset(hours=2)):
        assert parse_freq(freq).range(np.datetime64("2024-01-01", "ns"), 2)[1] == np.datetime64("2024-01-01T02", "ns")
    assert parse_freq(np.int32(3)).range(np.int64(4), 3).tolist() == [4, 7, 10]
    freq = parse_freq("D")
    assert parse_freq(freq) is freq
    assert parse_freq(pd.offsets.Week()).positions(times(pd.date_range("2024-01-01", periods=3, freq="7D")))[2].all()


@pytest.mark.parametrize("offset", [pd.DateOffset(months=1), pd.DateOffset(years=1), 2 * pd.DateOffset(months=3)])
@given(start=starts, periods=st.integers(1, 30), n=st.integers(0, 40))
def test_the_same_day_of_every_month(offset, start, periods, n):
    freq = parse_freq(offset)
    expected = times(
        pd.date_range(pd.Timestamp(start.replace(day=start.day % 28 + 1)), periods=periods + n, freq=offset)
    )
    np.testing.assert_array_equal(freq.range(expected[0], periods + n), expected)
    np.testing.assert_array_equal(freq.step(expected[n:], -n), expected[:periods])
    ordinal, phase, valid = freq.positions(expected)
    assert valid.all()
    assert (phase == phase[0]).all()
    assert (np.diff(ordinal) == 1).all()
    assert parse_freq(freq.name).name == freq.name  # as it is written to a file


def test_the_29th_is_no_day_of_every_month():
    assert not parse_freq(pd.DateOffset(months=1)).positions(np.array(["2024-01-29"], NANOSECONDS)).valid.any()


def test_holidays_are_no_days():
    offset = pd.offsets.CustomBusinessDay(holidays=["2024-01-01", "2024-12-25"])
    expected = times(pd.date_range("2023-12-20", periods=300, freq=offset))
    np.testing.assert_array_equal(parse_freq(offset).range(expected[0], 300), expected)


@pytest.mark.parametrize(
    "freq", ["foo", "", "m", "-1D", "0D", 0, -3, "2.5", "1 fortnight", pd.DateOffset(months=1, days=1)]
)
def test_no_frequency(freq):
    with pytest.raises(ValueError, match=r"freq.*(accepted|must be)"):
        parse_freq(freq)


@pytest.mark.parametrize("freq", [None, True, 1.5, ["D"]])
def test_no_frequency_by_type(freq):
    with pytest.raises(TypeError, match="freq must be a pandas alias"):
        parse_freq(freq)


def test_what_was_read_is_said():
    with pytest.raises(ValueError, match="'Q-FOO' \\(read as 'QE-FOO'\\)"):
        parse_freq("Q-FOO")
    with pytest.raises(ValueError, match="'min' is minutes"):
        parse_freq("m")


@pytest.mark.parametrize("freq", ["h", "D", "ME", "W-SUN", "B", "YE", "SME", "bh"])
def test_no_step_past_the_last_time(freq):
    last = times(pd.date_range("2262-01-01", periods=3, freq="D"))
    with pytest.raises(ValueError, match="years 1677 to 2262"):
        parse_freq(freq).step(last, 10**7)


def test_no_step_past_the_last_integer():
    with pytest.raises(ValueError, match="64 bit"):
        parse_freq(2).step(np.array([2**63 - 3]), 2)


@pytest.mark.parametrize("alias", GUESSES)
def test_guesses(alias):
    ds = times(pd.date_range("2021-03-05", periods=40, freq=parse_freq(alias).offset))
    assert guess_freq(ds) == alias
    assert guess_freq(np.delete(ds, [3, 17])) == alias


def test_days_without_a_weekend_are_days():
    assert guess_freq(times(pd.date_range("2024-01-01", periods=5, freq="D"))) == "D"


def test_no_guess():
    assert guess_freq(np.array(["2024-01-01"], NANOSECONDS)) is None
    assert guess_freq(np.array(["2024-01-01", "2024-01-01T00:00:00.123", "2024-05-03"], NANOSECONDS)) is None


FIELDS = {
    "second": lambda s: (s.second + s.microsecond / 1e6) / 60,
    "minute": lambda s: (s.minute + s.second / 60) / 60,
    "hour": lambda s: (s.hour + s.minute / 60 + s.second / 3600) / 24,
    "weekday": lambda s: s.day_of_week / 7,
    "day": lambda s: (s.day - 1) / s.days_in_month,
    "yearday": lambda s: (s.day_of_year - 1) / (366 if s.is_leap_year else 365),
    "month": lambda s: (s.month - 1) / 12,
}


@pytest.mark.parametrize(
    ("freq", "cycles"),
    [
        ("s", ["second", "minute", "hour", "weekday", "day", "yearday"]),
        ("15min", ["minute", "hour", "weekday", "day", "yearday"]),
        ("h", ["hour", "weekday", "day", "yearday"]),
        ("D", ["weekday", "day", "yearday"]),
        ("B", ["weekday", "day", "yearday"]),
        ("W", ["yearday"]),
        ("ME", ["month"]),
        ("QS", ["month"]),
        ("YE", []),
    ],
)
@given(start=starts)
def test_calendar_features(freq, cycles, start):
    stamp = pd.Timestamp(start).floor("s")
    features, names = calendar_features(times(pd.DatetimeIndex([stamp])), freq)
    assert features.dtype == np.float32
    assert names == tuple(f"calendar={f}({cycle})" for cycle in cycles for f in ("sin", "cos"))
    angle = 2 * np.pi * np.array([FIELDS[cycle](stamp) for cycle in cycles])
    np.testing.assert_allclose(features[0], np.stack([np.sin(angle), np.cos(angle)], axis=-1).ravel(), atol=2e-6)


def test_integers_have_no_calendar():
    features, names = calendar_features(np.arange(5), 1)
    assert features.shape == (5, 0)
    assert names == ()
