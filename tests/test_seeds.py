"""Streams of random numbers: neighbouring addresses share nothing, equal ones are equal."""

import itertools

import numpy as np
import pytest

from bptt import seeds

ADDRESSES = list(itertools.product(range(4), seeds.PURPOSES, range(4)))


def test_every_address_has_a_key_and_a_stream_of_its_own():
    keys = {seeds.key(*address) for address in ADDRESSES}
    firsts = {seeds.generator(*address).integers(2**63) for address in ADDRESSES}
    assert len(keys) == len(firsts) == len(ADDRESSES)
    assert all(0 <= key < 2**63 for key in keys)


def test_streams_are_not_correlated():
    draws = np.array([seeds.generator(*address).standard_normal(4000) for address in ADDRESSES])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    # The largest of n (n - 1) / 2 correlations of independent draws lies near sqrt(2 log(n^2 / 2) / 4000) = 0.066.
    assert np.abs(correlation).max() < 0.1


def test_the_same_address_gives_the_same_numbers():
    assert seeds.key(7, "dropout", 2) == seeds.key(7, "dropout", 2)
    a, b = (seeds.generator(7, "windows", 1).random(5) for _ in range(2))
    assert np.array_equal(a, b)


def test_none_draws_and_a_number_stays():
    assert seeds.resolve("seed", 5) == 5
    assert len({seeds.resolve("seed", None) for _ in range(20)}) == 20


@pytest.mark.parametrize("bad", [-1, 2**63, 1.0, "1", True])
def test_other_seeds_are_refused_by_name(bad):
    with pytest.raises((TypeError, ValueError), match="random_seed"):
        seeds.resolve("random_seed", bad)
