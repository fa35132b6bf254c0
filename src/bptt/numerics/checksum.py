"""A number that tells whether an array has changed: one pass over its bits, as fast as they can be read.

    sum over i of (low_i + i + K) (high_i + i + K) mod 2^64,   low_i and high_i the halves of the i-th 64 bits,

each factor mod 2^32: the NH family of hash functions (Black, Halevi, Krawczyk, Krovetz & Rogaway 1999, "UMAC"). One
changed word changes it (but for one value in 2^32 of the other factor), a change of sign or of places does, too.
"""

import numpy as np

from bptt.numerics.jit import kernel

__all__ = ["checksum"]

LOW, BITS, K = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(0x9E3779B9)


@kernel
def checksum(team, words):
    """The sum above over words, uint64, or uint32 that stand for whole ones; the first member does it alone."""
    total = np.uint64(0)
    for i in range(words.size if team.index == 0 else 0):
        word, key = np.uint64(words[i]), np.uint64(i) + K
        total += ((word + key) & LOW) * (((word >> BITS) + key) & LOW)
    return total
