"""Random numbers by purpose: one seed gives as many independent streams as there are things to draw.

A stream has the address (seed, purpose, member of an ensemble). `numpy.random.SeedSequence` mixes the address, so
neighbouring seeds, members and purposes share nothing. What compiled loops draw has its further address (layer, step,
row, unit) in the counter of `numerics.random`, under the `key` of its stream.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

import numpy as np

from bptt import arguments

__all__ = ["Purpose", "generator", "key", "resolve"]

Purpose = Literal["parameters", "dropout", "input dropout", "windows", "teacher forcing", "sampling", "data"]
# The numbers are part of the address: a new purpose goes to the end.
PURPOSES: tuple[Purpose, ...] = (
    "parameters", "dropout", "input dropout", "windows", "teacher forcing", "sampling", "data",
)  # fmt: skip


def resolve(name: str, value: Any) -> int:
    """The seed that a user passed: an integer from 0 to 2^63 - 1, or None to draw one from the operating system.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    value : int or None

    Raises
    ------
    TypeError, ValueError
        value is neither None nor an integer in the range.
    """
    return secrets.randbits(63) if value is None else arguments.seed(name, value)


def _sequence(seed: int, purpose: Purpose, member: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), member))


def generator(seed: int, purpose: Purpose, member: int = 0) -> np.random.Generator:
    """NumPy's generator of this stream."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, purpose, member)))


def key(seed: int, purpose: Purpose, member: int = 0) -> int:
    """The seed below 2^63 under which compiled code (`numerics.random`) draws this stream."""
    return int(_sequence(seed, purpose, member).generate_state(1, np.uint64)[0] >> np.uint64(1))
