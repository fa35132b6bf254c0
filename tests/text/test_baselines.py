"""Witten-Bell against a naive version, and against figures computed elsewhere on the same split."""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt.text.baselines import witten_bell
from bptt.text.corpus import split
from bptt.text.vocabulary import Vocabulary


def naive(train: list[int], test: list[int], symbols: int, order: int) -> float:
    """The formula of the module's head, one symbol at a time."""
    counts: Counter[tuple[int, ...]] = Counter()
    for n in range(1, order + 1):
        counts.update(tuple(train[i : i + n]) for i in range(len(train) - n + 1))

    def p(context: tuple[int, ...], symbol: int, n: int) -> float:
        if n == 0:
            return 1 / symbols
        lower = p(context[1:], symbol, n - 1)
        following = [counts[(*context, other)] for other in range(symbols) if (*context, other) in counts]
        if not following:
            return lower
        return (counts[(*context, symbol)] + len(following) * lower) / (sum(following) + len(following))

    nats = 0.0
    for i, symbol in enumerate(test):
        context = tuple(test[max(0, i - order + 1) : i])
        nats -= math.log(p(context, symbol, len(context) + 1))
    return nats / len(test)


rows = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@settings(deadline=None)
@given(train=rows, test=rows)
def test_against_the_formula_itself(train: list[int], test: list[int]) -> None:
    result = witten_bell(np.array(train), np.array(test), symbols=4, order=4)
    np.testing.assert_allclose(result, [naive(train, test, 4, n) for n in range(1, 5)], rtol=1e-12)


def test_many_symbols_and_long_grams() -> None:
    generator = np.random.default_rng(0)
    text = generator.integers(0, 30_000, 2000)
    nats = witten_bell(text, text, symbols=30_000, order=12)  # 30,000^12 fits no integer of the machine
    assert np.isfinite(nats).all()
    assert nats[-1] < nats[0]


@pytest.mark.parametrize("wrong", [([], [1], 2, 1), ([1], [], 2, 1), ([2], [1], 2, 1), ([1], [1], 2, 0)])
def test_refuses(wrong: tuple[list[int], list[int], int, int]) -> None:
    train, test, symbols, order = wrong
    with pytest.raises(ValueError, match=r"train|test|order"):
        witten_bell(np.array(train, int), np.array(test, int), symbols, order)


@pytest.mark.parametrize(
    "wrong", [{"train": "a text"}, {"test": 2}, {"train": [0.5]}, {"symbols": "2"}, {"order": 1.5}]
)
def test_what_is_of_another_type_is_named(wrong: dict) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        witten_bell(**{"train": np.array([0, 1]), "test": np.array([0, 1]), "symbols": 2, "order": 1, **wrong})


def tiny_shakespeare() -> Path | None:
    """The corpus of the published figures, where this machine has it."""
    for folder in (os.environ.get("BPTT_DATA", ""), Path(__file__).parents[3] / "shared" / "data" / "text"):
        path = Path(folder) / "tinyshakespeare.txt"
        if folder and path.exists():
            return path
    return None


@pytest.mark.skipif(tiny_shakespeare() is None, reason="tinyshakespeare.txt is not on this machine (BPTT_DATA)")
def test_the_published_figures_of_tiny_shakespeare() -> None:
    path = tiny_shakespeare()
    assert path is not None
    text = path.read_text()
    train, validation = split(text, 0.1)
    vocabulary = Vocabulary(train)
    nats = witten_bell(vocabulary.encode(train), vocabulary.encode(validation), len(vocabulary), order=6)
    assert nats.round(3).tolist() == [3.347, 2.486, 2.049, 1.774, 1.669, 1.698]
