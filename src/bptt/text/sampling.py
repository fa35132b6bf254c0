"""Writing on, one token at a time: step and choice in one compiled loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.network.sequence_model import SequenceModel
from bptt.numerics import threads
from bptt.numerics.jit import kernel
from bptt.numerics.random import uniform
from bptt.training.step import carry, prepare, up
from bptt.training.workspace import network_of, workspace_for

__all__ = ["choose", "generate"]

# Steps of one compiled call, so that Ctrl-C is heard.
CHUNK = 2000
# Which of the seed's streams of random numbers: dropout has others.
STREAM = 1


@kernel
def choose(logits: Any, unknown: Any, temperature: Any, top_k: Any, top_p: Any, u: Any) -> Any:
    """The token at `u` (uniform in [0, 1)) of softmax(logits / temperature), cut to the likeliest.

    The top_k likeliest stay (0: all), and of these the fewest whose share of the probability reaches top_p.
    Of equal logits the first comes first. `unknown` (-1: none) is never chosen. Temperature 0: the likeliest.
    """
    V = logits.size
    best = -1
    for v in range(V):
        if v != unknown and (best < 0 or logits[v] > logits[best]):
            best = v
    if temperature == 0:
        return best
    p = np.zeros(V, np.float64)
    for v in range(V):
        below = np.float64(logits[v]) - np.float64(logits[best])
        if v != unknown and below > -745 * temperature:  # further down e^x is 0
            p[v] = math.exp(below / temperature)
    order = np.argsort(-p, kind="mergesort")  # a stable one: ties stay in order
    kept = V if top_k == 0 else min(top_k, V)
    total = 0.0
    for rank in range(kept):
        total += p[order[rank]]
    if top_p < 1:
        reached, limit = 0.0, top_p * total
        for rank in range(kept):
            reached += p[order[rank]]
            if reached >= limit:
                kept, total = rank + 1, reached
                break
    reached = 0.0
    for rank in range(kept):
        reached += p[order[rank]]
        if u * total < reached:
            return order[rank]
    return best  # rounding alone can lead here


@kernel
def log_probability(logits: Any, token: Any) -> Any:
    """log softmax(logits)[token], in float64."""
    largest = np.float64(logits.max())
    total = 0.0
    for v in range(logits.size):
        total += math.exp(np.float64(logits[v]) - largest)
    return np.float64(logits[token]) - largest - math.log(total)


@kernel(inner=True)
def steps(
    team: Any,
    network: Any,
    work: Any,
    tokens: Any,
    first: Any,
    last: Any,
    prompt: Any,
    unknown: Any,
    temperature: Any,
    top_k: Any,
    top_p: Any,
    seed: Any,
    log_p: Any,
) -> None:
    """Read tokens first to last - 1; from the prompt's last on, write the next and its log-probability."""
    prepare(team, network, work, False)
    for t in range(first, last):
        up(team, network, work, tokens, t, 0, 1, 0)
        carry(team, work, 1, 0)
        written = t + 1 - prompt
        if written >= 0:
            logits = work.z[0, : network.V]
            token = choose(logits, unknown, temperature, top_k, top_p, uniform(seed, STREAM, written))
            tokens[0, t + 1] = token
            log_p[written] = log_probability(logits, token)


def generate(
    model: SequenceModel,
    prompt: NDArray[np.int32],
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    unknown: int | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Tokens that the model writes after a prompt.

    Parameters
    ----------
    model : SequenceModel
    prompt : int32 (P,)
        At least one token; read first, from a zero state, without dropout.
    length : int
        Tokens to write.
    temperature : float
        Divides the logits; 0 takes the likeliest each time.
    top_k, top_p : int, float or None
        Draw among the k likeliest; of these, among the fewest whose probabilities reach p.
    unknown : int or None
        A token that is never written.
    seed : int

    Returns
    -------
    tokens : int32 (length,)
    log_p : float64 (length,)
        Log-probability (nats) of each under the model itself: before temperature, top_k, top_p and `unknown`.

    Examples
    --------
    >>> model = SequenceModel(vocabulary_size=5, embedding_size=4, hidden_size=8)
    >>> tokens, log_p = generate(model, np.array([1, 2], np.int32), length=3)
    >>> tokens.shape, bool((log_p < 0).all())
    ((3,), True)
    """
    network = network_of(model, dropout=False)
    work = workspace_for(network, 1, 1, training=False)
    tokens = np.zeros((1, len(prompt) + length), np.int32)
    tokens[0, : len(prompt)] = prompt
    log_p = np.empty(length)
    end = tokens.shape[1] - 1
    for first in range(0, end if length else 0, CHUNK):
        threads.run(
            steps,
            network,
            work,
            tokens,
            first,
            min(first + CHUNK, end),
            len(prompt),
            -1 if unknown is None else unknown,
            float(temperature),
            top_k or 0,
            1.0 if top_p is None else float(top_p),
            seed,
            log_p,
            threads=1,
        )
    return tokens[0, len(prompt) :], log_p
