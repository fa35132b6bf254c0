"""A character model's recurrent layer on a text, as a problem."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt import arguments
from bptt.errors import NotFittedError
from bptt.losses import cross_entropy
from bptt.network.layers import Recurrent
from bptt.study.problem import Problem
from bptt.text.language_model import LanguageModel

__all__ = ["problem"]


def problem(lm: LanguageModel, text: str, *, steps: int = 64, rows: int = 32, last: bool = False) -> Problem:
    """What a trained `CharLM` does with a text: its recurrent layers, the embedded characters, its loss.

    Parameters
    ----------
    lm : CharLM
        Trained or loaded.
    text : str
        At least steps * rows + 1 characters; its first ones are used, as `rows` pieces that follow each other. A
        character that the model never saw counts as unknown.
    steps, rows : int
        T and B; default 64 and 32.
    last : bool
        Whether the loss is that of each piece's last character alone. Default False: the sum over all.

    Returns
    -------
    Problem
        The loss is the sum over the steps, and the mean over the pieces, of the cross-entropy of the next character,
        in nats.

    Raises
    ------
    TypeError, ValueError
        lm is no CharLM or not trained (`NotFittedError`); the text is too short.

    Examples
    --------
    >>> import bptt
    >>> from bptt import study
    >>> lm = bptt.text.CharLM(hidden_size=8, seed=0).fit("ab" * 500, streams=4, window=16, epochs=1, progress=False)
    >>> study.problem(lm, "ab" * 40, steps=16, rows=4).x.shape[:2]
    (16, 4)
    """
    if not isinstance(lm, LanguageModel):
        raise TypeError(f"lm must be a bptt.text.CharLM; got {type(lm).__name__}")
    if lm.model is None or lm.vocabulary is None:
        raise NotFittedError("lm must be trained or loaded before it is studied")
    text = arguments.text("text", text)
    T, B = arguments.integer("steps", steps), arguments.integer("rows", rows)
    last = arguments.boolean("last", last)
    tokens: Any = lm.vocabulary.encode(text, errors="unknown")
    if len(tokens) < T * B + 1:
        raise ValueError(f"text must have at least steps * rows + 1 = {T * B + 1} characters; got {len(tokens)}")
    weights = {name: np.asarray(value, np.float64) for name, value in lm.model.parameters.items()}
    model = lm.model
    layer = Recurrent(model.cell, model.embedding_size, model.hidden_size, model.num_layers, dtype="float64", seed=0)
    layer.load_state_dict({name[4:]: value for name, value in weights.items() if name.startswith("rnn.")})
    windows = tokens[: T * B].reshape(B, T).T
    targets = tokens[1 : T * B + 1].reshape(B, T).T

    def loss(y: np.ndarray) -> tuple[float, np.ndarray]:
        first = T - 1 if last else 0
        logits = y[first:] @ weights["head.weight"].T + weights["head.bias"]
        value, dlogits = cross_entropy(logits, targets[first:])
        dy = np.zeros_like(y)
        dy[first:] = (T - first) * dlogits @ weights["head.weight"]
        return (T - first) * value, dy

    return Problem(layer, weights["embedding.weight"][windows], loss)
