"""Static and dynamic evaluation against plain NumPy in float64, text after text of awkward length."""

from __future__ import annotations

import numpy as np
import pytest

from bptt.text import corpus
from bptt.text.evaluating import dynamic, static
from bptt.text.network.model import SequenceModel
from reference import REFERENCES
from reference.training import SGD, Adam, Training

pytestmark = pytest.mark.interpreted

SYMBOLS = 7


def make(cell: str = "gru", seed: int = 0, **settings) -> SequenceModel:
    return SequenceModel(
        cell=cell,
        vocabulary_size=SYMBOLS,
        embedding_size=3,
        hidden_size=5,
        dtype="float64",
        seed=seed,
        **settings,
    )


def some_tokens(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(0, SYMBOLS, length).astype(np.int32)


def naive(model: SequenceModel, rows: np.ndarray, length: int) -> np.ndarray:
    """Nats of each of the first `length` predictions of each row, (length, rows): windows of one step."""
    cell = REFERENCES["rnn_tanh" if model.settings["cell"] == "rnn" else model.settings["cell"]]
    nats = np.empty((length, len(rows)))
    for row in range(len(rows)):
        training = Training(cell, model.parameters, 1, 1, SGD())
        nats[:, row], _ = training.run(rows[row : row + 1], 0, np.zeros(length))
    return nats


@pytest.mark.parametrize("length", [2, 3, 65, 255, 300, 514])
@pytest.mark.parametrize("streams", [1, 8])
def test_static(length: int, streams: int) -> None:
    model, tokens = make(), some_tokens(length)
    nats, count = static(model, tokens, streams)
    assert count == length - 1
    used = max(1, min(streams, (length - 1) // 256))
    rows = corpus.streams(tokens, used)
    expected = naive(model, rows, rows.shape[1] - 1).sum()
    left = (length - 1) % used
    if left:
        expected += naive(model, tokens[None], length - 1)[-left:].sum()
    np.testing.assert_allclose(nats, expected, rtol=1e-9)


def test_static_of_other_weights() -> None:
    model, other, tokens = make(), make(seed=1), some_tokens(300)
    assert static(model, tokens, 1, other.flat) == static(other, tokens, 1)
    assert static(model, tokens, 1) != static(other, tokens, 1)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(("length", "segment"), [(41, 10), (48, 10), (9, 20), (522, 100)])
def test_dynamic_scores_first_and_learns_then(cell: str, length: int, segment: int) -> None:
    model, tokens = make(cell, dropout=0.5, input_dropout=0.5), some_tokens(length)
    before = model.flat.copy()
    nats, count = dynamic(model, tokens, streams=2, learning_rate=0.01, segment=segment)
    assert count == length - 1
    np.testing.assert_array_equal(model.flat, before)

    rows = corpus.streams(tokens, max(1, min(2, (length - 1) // 256)))
    reference = REFERENCES["rnn_tanh" if cell == "rnn" else cell]
    training = Training(reference, model.parameters, segment, segment, Adam(beta1=0.0), clip_norm=1.0)
    segments, rest = divmod(rows.shape[1] - 1, segment)
    expected = 0.0
    if segments:
        losses, _ = training.run(rows, 0, np.full(segments, 0.01))
        expected += losses.sum() * segment * len(rows)
    learnt = make(cell)
    learnt.load_state_dict(training.theta)
    if rest:
        expected += naive(learnt, rows, rows.shape[1] - 1)[-rest:].sum()
    left = (length - 1) % len(rows)
    if left:
        expected += naive(learnt, tokens[None, -(512 + left + 1) :], min(length - 1, 512 + left))[-left:].sum()
    np.testing.assert_allclose(nats, expected, rtol=1e-7)
