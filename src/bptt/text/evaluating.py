"""How well a model predicts a text: with fixed weights, or while it continues to learn from what it has read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bptt.text import corpus
from bptt.text.network.model import SequenceModel
from bptt.text.network.scoring import score
from bptt.text.network.trainer import Trainer
from bptt.training.optimizers import Adam
from bptt.training.pace import paced

__all__ = ["RATE", "dynamic", "static"]

# Learning rate of the dynamic evaluation where none is given.
RATE = 1e-3

WINDOW = 64
# A stream starts without a past: a short text is read in fewer streams rather than in many cold starts.
SHORTEST_STREAM = 256
# What the few predictions that fill no stream are given to read first.
CONTEXT = 512


def _stream_count(length: int, streams: int) -> int:
    return max(1, min(streams, (length - 1) // SHORTEST_STREAM))


def _tail(model: SequenceModel, rows: NDArray[np.int32], left: int, flat: NDArray[np.floating] | None) -> float:
    """Nats of the last `left` predictions of each row, after reading up to CONTEXT tokens before them."""
    rows = np.ascontiguousarray(rows[:, -(CONTEXT + left + 1) :])
    nats, _ = score(model, rows, window=WINDOW, flat=flat)
    before = np.ascontiguousarray(rows[:, :-left])
    if before.shape[1] > 1:
        nats -= score(model, before, window=WINDOW, flat=flat)[0]
    return nats


def static(
    model: SequenceModel,
    tokens: NDArray[np.int32],
    streams: int = 8,
    flat: NDArray[np.floating] | None = None,
) -> tuple[float, int]:
    """Nats that the model needs for `tokens`, and the number of predictions: all but the first token.

    The tokens are read in `streams` contiguous streams with carried state (fewer for a short text, so that
    each holds at least 256 predictions). The last (at most streams - 1) tokens, which fill no stream, are
    predicted after the 512 tokens before them.

    Parameters
    ----------
    model : SequenceModel
    tokens : int32 (length,)
        At least 2.
    streams : int
    flat : array, optional
        Weights to use in place of the model's own, such as the trainer's averaged ones.
    """
    count = _stream_count(len(tokens), streams)
    nats, _ = score(model, corpus.streams(tokens, count), window=WINDOW, flat=flat)
    left = (len(tokens) - 1) % count
    if left:
        nats += _tail(model, tokens[None], left, flat)
    return nats, len(tokens) - 1


def dynamic(
    model: SequenceModel, tokens: NDArray[np.int32], streams: int, learning_rate: float, segment: int
) -> tuple[float, int]:
    """Nats that the model needs for `tokens` when it learns from each segment after it was scored.

    Dynamic evaluation (Krause, Kahembwe, Murray & Renals, 2018), here with Adam without momentum (beta1 = 0)
    and the gradient's norm clipped at 1. A copy of the weights learns; `model` stays as it was. The streams
    share the copy. What fills no whole segment or stream is predicted last, with the weights as they then
    are, and not learnt from.

    Parameters
    ----------
    model : SequenceModel
    tokens : int32 (length,)
        At least 2.
    streams, segment : int
    learning_rate : float
    """
    student = SequenceModel(**{**model.settings, "dropout": 0.0, "input_dropout": 0.0})
    student.flat[:] = model.flat
    count = _stream_count(len(tokens), streams)
    rows = corpus.streams(tokens, count)
    segments, rest = divmod(rows.shape[1] - 1, segment)
    trainer = Trainer(student, streams=count, window=segment, optimizer=Adam(beta1=0.0), clip_norm=1.0)
    losses = np.empty(segments)
    for part in paced(segments):
        # The loss of a window is the one before its update: scored first, then learnt from.
        record = trainer.run(rows, part.start * segment, np.full(len(part), learning_rate))
        losses[part.start : part.stop] = record.loss
    nats = float(losses.sum()) * count * segment
    if rest:
        nats += _tail(student, rows, rest, None)
    left = (len(tokens) - 1) % count
    if left:
        nats += _tail(student, tokens[None], left, None)
    return nats, len(tokens) - 1
