"""Writing on, one token at a time: step and choice in one compiled loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt import seeds
from bptt.network.stack import threads_for
from bptt.numerics import threads
from bptt.numerics.activations import exp
from bptt.numerics.jit import borrow, kernel
from bptt.numerics.random import uniform
from bptt.numerics.team import barrier
from bptt.text.network.model import SequenceModel
from bptt.text.network.step import carry, forward, prepare
from bptt.text.network.workspace import network_of, workspace_for
from bptt.training.pace import paced

__all__ = ["choose", "generate", "stream"]

# Steps of the first compiled call; the others take `pace.SECONDS`.
FIRST = 64
ZERO, ONE, NO = np.int64(0), np.int64(1), np.bool_(False)


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
    p, largest = np.empty(V, np.float64), np.float64(logits[best])
    for v in range(V):
        p[v] = exp((np.float64(logits[v]) - largest) / temperature)
    if unknown >= 0:
        p[unknown] = 0
    if top_k > 0 or top_p < 1:
        cut(p, min(top_k, V) if top_k > 0 else V, top_p)
    total = 0.0
    for v in range(V):
        total += p[v]
    reached = 0.0
    for v in range(V):
        reached += p[v]
        if u * total < reached:
            return v
    return best  # rounding alone can lead here


@kernel
def cut(p: Any, top_k: Any, top_p: Any) -> None:
    """0 for all but the top_k largest, and of these but the fewest whose share of their sum reaches top_p."""
    order = np.argsort(-p, kind="mergesort")  # a stable one: ties stay in order
    total = 0.0
    for rank in range(top_k):
        total += p[order[rank]]
    reached, kept = 0.0, 0
    while kept < top_k and (top_p == 1 or reached < top_p * total):
        reached += p[order[kept]]
        kept += 1
    for rank in range(kept, p.size):
        p[order[rank]] = 0


@kernel
def log_probability(logits: Any, token: Any) -> Any:
    """log softmax(logits)[token], in float64."""
    largest = np.float64(logits.max())
    total = 0.0
    for v in range(logits.size):
        total += exp(np.float64(logits[v]) - largest)
    return np.float64(logits[token]) - largest - math.log(total)


@kernel(internal=True, low_opt=True)
def steps(
    team: Any,
    network: Any,
    work: Any,
    tokens: Any,
    given: Any,
    written: Any,
    unknown: Any,
    temperature: Any,
    top_k: Any,
    top_p: Any,
    seed: Any,
    log_p: Any,
) -> None:
    """Read all tokens but the last; from number `given` on, write the next of each and its log-probability.

    `written` tokens were written by calls before this one.
    """
    network, work = borrow(network), borrow(work)
    prepare(team, network, work, NO)
    for t in range(tokens.shape[1] - 1):
        forward(team, network, work, tokens, t, ZERO, ONE, ZERO)
        carry(team, network, work, ONE, ZERO)
        if t >= given:
            if team.index == 0:
                logits = work.z[0, : network.V]
                number = written + t - given
                token = choose(logits, unknown, temperature, top_k, top_p, uniform(seed, ZERO, number))
                tokens[0, t + 1] = token
                log_p[t - given] = log_probability(logits, token)
            barrier(team)


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
    """Tokens that the model writes after a prompt; arguments as those of `stream`.

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
    parts = list(stream(model, prompt, length, temperature, top_k, top_p, unknown, seed))
    if not parts:
        return np.empty(0, np.int32), np.empty(0)
    return np.concatenate([tokens for tokens, _ in parts]), np.concatenate([log_p for _, log_p in parts])


def stream(
    model: SequenceModel,
    prompt: NDArray[np.int32],
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    unknown: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """Tokens that the model writes after a prompt and their log-probabilities, several times a second.

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

    Yields
    ------
    tokens, log_p : int32 (n,), float64 (n,)
        The next n of them; how many depends on the time that they took, which they are does not.
    """
    if not length:
        return
    network = network_of(model, dropout=False)
    work = workspace_for(network, 1, 1, training=False)
    key, threads_here = seeds.key(seed, "sampling"), threads_for(network.stack, FIRST)
    last_read = prompt[-1:]
    # The tokens before the last of the prompt are read, from that one on each step writes the next.
    before, total = len(prompt) - 1, len(prompt) - 1 + length
    for part in paced(total, FIRST):
        tokens = np.zeros((1, len(part) + 1), np.int32)
        given = prompt[part.start : part.stop + 1]
        tokens[0, : len(given)] = given
        if part.start > before:
            tokens[0, 0] = last_read[0]
        written = max(part.start, before)
        log_p = np.empty(max(part.stop - written, 0))
        threads.run(
            steps,
            network,
            work,
            tokens,
            max(before - part.start, 0),
            written - before,
            -1 if unknown is None else unknown,
            float(temperature),
            top_k or 0,
            1.0 if top_p is None else float(top_p),
            key,
            log_p,
            threads=threads_here,
        )
        last_read = tokens[0, -1:]
        if log_p.size:
            yield tokens[0, -log_p.size :], log_p
