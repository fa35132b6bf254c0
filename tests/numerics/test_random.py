"""Philox against its authors' known answers and against plain Python; masks against their addresses."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.numerics.random import dropout, philox, uniform

pytestmark = pytest.mark.interpreted

BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
WORD = st.integers(0, 2**32 - 1)


def plain_philox(key, counter):
    """Philox4x32-10 as the paper's figure has it, in integers of any length."""
    k0, k1 = key
    a, b, c, d = counter
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * a, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c, 2**32)
        a, b, c, d = high1 ^ b ^ k0, low1, high0 ^ d ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return a, b, c, d


def words(key, counter):
    return tuple(int(word) for word in philox(*(np.uint64(number) for number in (*key, *counter))))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    counter, key, expected = ([int(word, 16) for word in text.split()] for text in (counter, key, expected))
    assert words(key, counter) == tuple(expected)
    assert plain_philox(key, counter) == tuple(expected)


@given(key=st.tuples(WORD, WORD), counter=st.tuples(WORD, WORD, WORD, WORD))
def test_philox_is_the_plain_one(key, counter):
    assert words(key, counter) == plain_philox(key, counter)


@given(seed=st.integers(-(2**63), 2**63 - 1), stream=st.integers(0, 2**63 - 1), index=st.integers(0, 2**63 - 1))
def test_uniform_is_53_bits_of_its_address(seed, stream, index):
    key = divmod(seed % 2**64, 2**32)[::-1]
    counter = (*divmod(index, 2**32)[::-1], *divmod(stream, 2**32)[::-1])
    high, low, _, _ = plain_philox(key, counter)
    got = uniform(np.int64(seed), np.int64(stream), np.int64(index))
    assert got == ((high * 2**32 + low) >> 11) / 2**53
    assert 0 <= got < 1


def test_uniform_is_uniform(jit_disabled):
    n = 2_000 if jit_disabled else 100_000
    draws = np.array([uniform(5, 0, index) for index in range(n)])
    assert abs(draws.mean() - 1 / 2) < 5 / math.sqrt(12 * n)
    counts = np.histogram(draws, bins=16, range=(0, 1))[0]
    # Chi square of 15 degrees of freedom: mean 15, standard deviation sqrt(30).
    assert ((counts - n / 16) ** 2 / (n / 16)).sum() < 15 + 5 * math.sqrt(30)
    assert not np.array_equal(draws[:50], [uniform(6, 0, index) for index in range(50)])
    assert not np.array_equal(draws[:50], [uniform(5, 1, index) for index in range(50)])


def plain_mask(shape, seed, layer, t, first, rate):
    """Whether each element stays, element by element."""
    key = divmod(seed % 2**64, 2**32)[::-1]
    time_high, time_low = divmod(t, 2**32)
    stays = np.empty(shape, bool)
    for row, column in np.ndindex(shape):
        counter = column // 4, first + row, time_low, time_high ^ (layer << 20)
        stays[row, column] = plain_philox(key, counter)[column % 4] >= int(rate * 2**32)
    return stays


def masked(x, seed=3, layer=0, t=0, first=0, rate=0.3):
    out = np.full_like(x, 7)
    dropout(x, out, np.int64(seed), np.int64(layer), np.int64(t), np.int64(first), rate)
    return out


@BOTH
@given(
    rows=st.integers(0, 3),
    n=st.integers(0, 21),
    seed=st.integers(-(2**63), 2**63 - 1),
    layer=st.integers(0, 7),
    t=st.integers(0, 2**50),
    first=st.integers(0, 1000),
    rate=st.sampled_from([0.0, 0.1, 0.5, 0.999]),
)
def test_mask_is_the_plain_one(dtype, rows, n, seed, layer, t, first, rate):
    x = np.random.default_rng(0).normal(size=(rows, n)).astype(dtype)
    stays = plain_mask(x.shape, seed, layer, t, first, rate)
    expected = np.where(stays, x * dtype(1 / (1 - rate)), 0)
    np.testing.assert_array_equal(masked(x, seed, layer, t, first, rate), expected)


@BOTH
@given(n=st.integers(1, 70), cuts=st.lists(st.integers(0, 9), max_size=3))
def test_any_cut_of_the_rows_gives_the_same_bits(dtype, n, cuts):
    x = np.random.default_rng(1).normal(size=(9, n)).astype(dtype)
    whole = masked(x, t=12)
    edges = sorted({0, 9, *cuts})
    parts = [masked(x[a:b], t=12, first=a) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    # Nor does a row know how long it is.
    np.testing.assert_array_equal(masked(x[:, : n // 2].copy(), t=12), whole[:, : n // 2])


@BOTH
def test_in_place_and_in_wider_rows(dtype):
    x = np.random.default_rng(2).normal(size=(5, 3, 40)).astype(dtype)
    expected = masked(x[:, 0, :33].copy())
    np.testing.assert_array_equal(masked(x[:, 0, :33]), expected)
    inside = x[:, 0, :33]
    before = x.copy()
    dropout(inside, inside, 3, 0, 0, 0, 0.3)
    np.testing.assert_array_equal(inside, expected)
    before[:, 0, :33] = expected
    np.testing.assert_array_equal(x, before)


@BOTH
def test_backward_is_the_transpose(dtype):
    """<v, D u> = <D v, u> for a diagonal D, and D is not the identity."""
    u, v = np.random.default_rng(3).normal(size=(2, 4, 50)).astype(dtype)
    np.testing.assert_allclose(np.vdot(v, masked(u)), np.vdot(masked(v), u), rtol=0, atol=200 * np.finfo(dtype).eps)
    assert 0 < (masked(u) == 0).sum() < u.size


@BOTH
def test_rate_zero_copies(dtype):
    x = np.random.default_rng(4).normal(size=(3, 17)).astype(dtype)
    np.testing.assert_array_equal(masked(x, rate=0.0), x)


@BOTH
def test_nan_is_not_dropped(dtype):
    assert np.isnan(masked(np.full((4, 33), np.nan, dtype))).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_and_independence_of_the_masks(rate, jit_disabled):
    rows, n = (10, 50) if jit_disabled else (200, 500)
    ones = np.ones((rows, n))
    masks = {"first": masked(ones, rate=rate) == 0}
    for other in ({"seed": 4}, {"layer": 1}, {"t": 1}, {"t": 2**32}, {"first": rows}):
        masks[str(other)] = masked(ones, rate=rate, **other) == 0
    sigma = math.sqrt(rate * (1 - rate) / ones.size)
    for mask in masks.values():
        assert abs(mask.mean() - rate) < 5 * sigma
        if mask is not masks["first"]:
            both = (mask & masks["first"]).mean()
            assert abs(both - rate**2) < 5 * math.sqrt(rate**2 * (1 - rate**2) / ones.size)
