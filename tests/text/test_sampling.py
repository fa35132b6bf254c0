"""The sampler: its choice against a plain one, and its log-probabilities against the scorer's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.text.network.model import SequenceModel
from bptt.text.network.scoring import score
from bptt.text.sampling import choose, generate

pytestmark = pytest.mark.interpreted


def plain_distribution(logits: np.ndarray, unknown: int, temperature: float, top_k: int, top_p: float) -> np.ndarray:
    """Probability of each token, by the definitions."""
    p = np.exp((logits - logits.max()) / temperature)
    if unknown >= 0:
        p[unknown] = 0
    order = sorted(range(len(p)), key=lambda v: (-p[v], v))
    kept = order[: top_k or len(p)]
    p[[v for v in order if v not in kept]] = 0
    p /= p.sum()
    if top_p < 1:
        fewest = next(n for n in range(1, len(kept) + 1) if n == len(kept) or p[kept[:n]].sum() >= top_p)
        p[[v for v in order if v not in kept[:fewest]]] = 0
    return p / p.sum()


@given(
    seed=st.integers(0, 10_000),
    size=st.integers(2, 9),
    unknown=st.booleans(),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_k=st.integers(0, 9),
    top_p=st.sampled_from([1.0, 0.9, 0.5, 1e-9]),
)
def test_the_choice_follows_its_distribution(
    seed: int, size: int, unknown: bool, temperature: float, top_k: int, top_p: float
) -> None:
    """A fine grid of u visits every token in proportion to its probability."""
    logits = np.random.default_rng(seed).normal(0, 2, size)
    never = 0 if unknown else -1
    expected = plain_distribution(logits, never, temperature, top_k, top_p)
    grid = 500
    drawn = [choose(logits, never, temperature, top_k, top_p, (j + 0.5) / grid) for j in range(grid)]
    found = np.bincount(drawn, minlength=size) / grid
    np.testing.assert_allclose(found, expected, atol=1.01 / grid)
    assert (found[expected == 0] == 0).all()


def test_temperature_zero_and_its_neighbourhood() -> None:
    logits = np.array([9.0, 1.0, 3.0, 3.0, 2.0], np.float32)
    for u in (0.0, 0.5, 0.999):
        assert choose(logits, 0, 0.0, 0, 1.0, u) == 2  # the first of equals; 0 is the unknown
        assert choose(logits, 0, 1e-300, 1, 1.0, u) == 2
        assert choose(logits, -1, 1e-3, 0, 1.0, u) == 0


def make(cell: str, dtype: str = "float64") -> SequenceModel:
    return SequenceModel(
        cell=cell,
        vocabulary_size=11,
        embedding_size=5,
        hidden_size=9,
        num_layers=2,
        dropout=0.5,
        input_dropout=0.5,
        dtype=dtype,
        seed=1,
    )


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sampler_and_scorer_agree(cell: str, dtype: str) -> None:
    """A sampler that is off would still write; its probabilities have to be the trainer's."""
    model = make(cell, dtype)
    prompt = np.array([3, 1, 4, 1, 5], np.int32)
    tokens, log_p = generate(model, prompt, length=40, temperature=1.5, top_k=7, seed=5)
    whole = np.concatenate([prompt, tokens])[None]
    nats = score(model, np.ascontiguousarray(whole), window=16)[0] - score(model, prompt[None], window=16)[0]
    np.testing.assert_allclose(-log_p.sum(), nats, rtol=1e-10 if dtype == "float64" else 1e-5)


def test_how_steps_are_grouped_into_calls_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompt = make("lstm"), np.array([1, 2, 3], np.int32)
    tokens, log_p = generate(model, prompt, length=30, seed=7)
    monkeypatch.setattr("bptt.training.pace.SECONDS", 1e-9)
    monkeypatch.setattr("bptt.text.sampling.FIRST", 2)
    again, log_p_again = generate(model, prompt, length=30, seed=7)
    np.testing.assert_array_equal(again, tokens)
    np.testing.assert_array_equal(log_p_again, log_p)
    np.testing.assert_array_equal(generate(model, prompt, length=10, seed=7)[0], tokens[:10])
    assert (generate(model, prompt, length=30, seed=8)[0] != tokens).any()


def test_greedy_takes_the_likeliest_each_time() -> None:
    model, prompt = make("gru"), np.array([2], np.int32)
    greedy, log_p = generate(model, prompt, length=20, temperature=0.0)
    for top in ({"top_k": 1}, {"top_p": 1e-9}):
        np.testing.assert_array_equal(generate(model, prompt, length=20, seed=3, **top)[0], greedy)
    for other in range(11):
        if other != greedy[-1]:
            changed = np.concatenate([prompt, greedy[:-1], [other]]).astype(np.int32)[None]
            assert score(model, changed, window=8)[0] > -log_p.sum()


def test_the_unknown_is_never_written() -> None:
    model = make("lstm")
    model.parameters["head.bias"][0] = 50.0  # the model is sure of it
    tokens, _ = generate(model, np.array([1], np.int32), length=50, unknown=0)
    assert (tokens != 0).all()
    assert (generate(model, np.array([1], np.int32), length=50, temperature=0.0, unknown=0)[0] != 0).all()
    assert (generate(model, np.array([1], np.int32), length=5)[0] == 0).all()


def test_nothing_to_write() -> None:
    tokens, log_p = generate(make("lstm"), np.array([1], np.int32), length=0)
    assert tokens.shape == log_p.shape == (0,)
