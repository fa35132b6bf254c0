"""A training step, and a forecast, of a network of any strategy.

    windows -> x, naive forecasts, targets -> network -> forecasts f -> loss     forward
    theta <- update(clip(gradient))        <- network <- df                      backward

Every function is run by all members of a team.
"""

from typing import NamedTuple

import numpy as np

from bptt.forecast.network import direct, head, recursive, segment
from bptt.forecast.network.batches import gather, sample
from bptt.numerics import updates
from bptt.numerics.jit import borrow, chosen_by_type, kernel

__all__ = ["STRATEGIES", "Pool", "predict", "train"]

ZERO = np.int64(0)
YES, NO = np.bool_(True), np.bool_(False)

STRATEGIES = {"segment": segment, "direct": direct, "recursive": recursive}
MODULES = {strategy.Network: strategy for strategy in STRATEGIES.values()}

prepare = chosen_by_type(1, {network: strategy.prepare for network, strategy in MODULES.items()})
forward = chosen_by_type(1, {network: strategy.forward for network, strategy in MODULES.items()})
backward = chosen_by_type(1, {network: strategy.backward for network, strategy in MODULES.items()})


class Pool(NamedTuple):
    """The windows that a training draws from."""

    probabilities: np.ndarray  # float64 (N,) of each series, cumulated
    first_end: np.ndarray  # int64 (N,): where its first window ends
    last_end: np.ndarray


@kernel(internal=True, low_opt=True)
def train(team, network, work, source, pool, optimizer, grad, rates, steps_before, losses, norms):
    """rates.size steps on windows drawn anew for each. Returns the number of steps done: fewer where a loss or a norm
    was not finite; that step changed no weight."""
    network, work, grad = borrow(network), borrow(work), borrow(grad)
    for w in range(rates.size):
        step = steps_before + w
        if team.index == 0:
            sample(network.windows_key, step, pool.probabilities, pool.first_end, pool.last_end, work.batch.series,
                   work.batch.ends)  # fmt: skip
        prepare(team, network, work, YES)
        gather(team, source, network.reading, work.batch)
        forward(team, network, work, source, step, YES)
        losses[w] = head.score(team, network, work, YES)
        backward(team, network, work, grad, step)
        norms[w] = updates.clip(team, optimizer, grad)
        if not (np.isfinite(losses[w]) and np.isfinite(norms[w])):
            return w
        updates.update(team, optimizer, network.theta, grad, step + 1, rates[w])
    return rates.size


@kernel(internal=True, low_opt=True)
def predict(team, network, work, source):
    """Forecasts f of the batch's windows, in z; returns their loss where the source has later values."""
    network, work = borrow(network), borrow(work)
    prepare(team, network, work, NO)
    gather(team, source, network.reading, work.batch)
    forward(team, network, work, source, ZERO, NO)
    return head.score(team, network, work, NO)
