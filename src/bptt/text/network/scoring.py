"""The loss of a model on streams of tokens, without dropout, the state carried from beginning to end."""

from __future__ import annotations

import numpy as np

from bptt import arguments
from bptt.network.stack import threads_for
from bptt.numerics.threads import run
from bptt.text.network import step
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import check_tokens, steps_of
from bptt.text.network.workspace import network_of, workspace_for
from bptt.training.pace import paced

__all__ = ["score"]


def score(
    model: SequenceModel, tokens: np.ndarray, *, window: int = 64, flat: np.ndarray | None = None
) -> tuple[float, int]:
    """Total loss of predicting every token of every stream but the first.

    Parameters
    ----------
    model : SequenceModel
    tokens : integer array (streams, N + 1)
    window : int
        Steps of a compiled pass: a matter of memory and speed, not of the result.
    flat : array, optional
        Weights to use instead of the model's own, such as `Trainer.averaged`.

    Returns
    -------
    nats : float
        Sum of -ln p over all predictions.
    count : int
        Number of predictions, streams * N.

    Raises
    ------
    TypeError, ValueError
        tokens have another shape, are not integers or lie outside the vocabulary; flat has another shape.
    """
    if not isinstance(model, SequenceModel):
        raise TypeError(f"model must be a SequenceModel; got {type(model).__name__}")
    tokens = check_tokens(tokens, None)
    window = arguments.integer("window", window)
    if flat is not None:
        flat = arguments.real_array("flat", flat, model.dtype, model.flat.shape, "P")
    B, N = tokens.shape[0], tokens.shape[1] - 1
    network = network_of(model, flat, dropout=False)
    work = workspace_for(network, B, min(window, N), training=False)
    threads = threads_for(network.stack, B * window)
    whole, rest = divmod(N, window)
    losses, tail = np.empty(whole), np.empty(1 if rest else 0)

    def run_windows(first: int, steps: int, losses: np.ndarray) -> None:
        last = first + steps * losses.size
        part = steps_of(tokens, first, last + 1, model.vocabulary_size)
        run(step.score_chunk, network, work, part, 0, steps, losses, threads=threads)

    for windows in paced(whole):
        run_windows(windows.start * window, window, losses[windows.start : windows.stop])
    if rest:
        run_windows(whole * window, rest, tail)
    return float(losses.sum() * window * B + tail.sum() * rest * B), B * N
