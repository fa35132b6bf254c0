"""Streams of random numbers: neighbouring addresses share nothing, equal ones are equal."""

import itertools

import numpy as np
import pytest

import bptt
from bptt import seeds
from bptt.numerics.random import dropout, uniform
from bptt.text.network.model import SequenceModel

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


def dropped(key):
    """One bit for each element: whether dropout at rate 1/2 keeps it."""
    ones = np.ones((1, 4000))
    out = np.empty_like(ones)
    dropout(ones, out, key, 0, 0, 0, 0.5)
    return out[0] > 0


def below_half(key):
    """The same number of draws as a sampler of windows makes them: of stream 0, at each index."""
    return np.array([uniform(key, 0, index) >= 0.5 for index in range(1000)])


def agreement(one, other):
    return float((one == other).mean())


def test_streams_of_compiled_code_agree_by_chance_only():
    """4,000 bits agree in half of the places, with a standard deviation of 0.008; one key for two purposes: in all."""
    mask = dropped(seeds.key(3, "dropout"))
    for other in ((4, "dropout", 0), (3, "windows", 0), (3, "input dropout", 0), (3, "dropout", 1)):
        assert abs(agreement(mask, dropped(seeds.key(*other))) - 0.5) < 0.04, other
    # Word 0 of every four has the first unit of a mask's group and the high bits of a uniform number.
    assert agreement(mask[::4], below_half(seeds.key(3, "dropout"))) == 1.0
    assert abs(agreement(mask[::4], below_half(seeds.key(3, "windows"))) - 0.5) < 0.08


LAYERS = {
    "RNN": lambda **options: bptt.RNN(3, 40, 2, **options),
    "GRU": lambda **options: bptt.GRU(3, 40, 2, **options),
    "LSTM": lambda **options: bptt.LSTM(3, 40, 2, **options),
    "Linear": lambda **options: bptt.Linear(3, 5, **options),
    "Embedding": lambda **options: bptt.Embedding(3, 5, **options),
    "SequenceModel": lambda **options: SequenceModel(vocabulary_size=5, hidden_size=4, **options),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_without_a_seed_differ_and_can_be_made_again(name):
    one, other = LAYERS[name](), LAYERS[name]()
    assert one.seed != other.seed
    assert not np.array_equal(one.flat, other.flat)
    np.testing.assert_array_equal(LAYERS[name](seed=one.seed).flat, one.flat)
    assert not np.array_equal(LAYERS[name](seed=0).flat, LAYERS[name](seed=1).flat)


def kept(layer):
    """Which outputs of the first layer the second one gets to see, in 20 steps of 5 rows."""
    _, _, tape = layer.forward(np.ones((20, 5, 3), "float32"))
    return tape.layers[1].x[:, :40] != 0


def test_layers_without_a_seed_drop_other_units():
    first, second = (bptt.LSTM(3, 40, 2, dropout=0.5) for _ in range(2))
    same = bptt.LSTM(3, 40, 2, dropout=0.5, seed=first.seed)
    mask = kept(first)
    np.testing.assert_array_equal(kept(same), mask)
    assert abs(agreement(kept(second), mask) - 0.5) < 0.04
    assert abs(agreement(kept(first), mask) - 0.5) < 0.04  # nor the same units at the next call
