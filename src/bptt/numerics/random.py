"""Random numbers by address: a counter goes in, four random words come out, and there is no state to share.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): ten rounds of

    c0 c1 c2 c3  <-  hi(M1 c2) ^ c1 ^ k0,   lo(M1 c2),   hi(M0 c0) ^ c3 ^ k1,   lo(M0 c0)
    k0 k1        <-  k0 + W0,   k1 + W1

A mask element has its address (seed, layer, t, row, unit), so any thread may draw it, and draw it again on the way back.
"""

import numpy as np

from bptt.numerics.jit import kernel

__all__ = ["dropout", "philox", "uniform"]

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, BITS = np.uint64(0xFFFFFFFF), np.uint64(32)
TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE = (np.uint64(n) for n in range(2, 10))


@kernel
def _round(k0, k1, c0, c1, c2, c3):
    p0, p1 = M0 * c0, M1 * c2
    return (p1 >> BITS) ^ c1 ^ k0, p1 & LOW, (p0 >> BITS) ^ c3 ^ k1, p0 & LOW


@kernel
def philox(k0, k1, c0, c1, c2, c3):
    """Four random 32-bit words, from a key of two words and a counter of four; all uint64 below 2^32."""
    # Written out, not looped: only so does LLVM put the counters of a caller's loop side by side in vectors.
    c0, c1, c2, c3 = _round(k0, k1, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0) & LOW, (k1 + W1) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * TWO) & LOW, (k1 + W1 * TWO) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * THREE) & LOW, (k1 + W1 * THREE) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * FOUR) & LOW, (k1 + W1 * FOUR) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * FIVE) & LOW, (k1 + W1 * FIVE) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * SIX) & LOW, (k1 + W1 * SIX) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * SEVEN) & LOW, (k1 + W1 * SEVEN) & LOW, c0, c1, c2, c3)
    c0, c1, c2, c3 = _round((k0 + W0 * EIGHT) & LOW, (k1 + W1 * EIGHT) & LOW, c0, c1, c2, c3)
    return _round((k0 + W0 * NINE) & LOW, (k1 + W1 * NINE) & LOW, c0, c1, c2, c3)


@kernel
def uniform(seed, stream, index):
    """A float64 in [0, 1), of 53 random bits, for each (seed, stream, index) of non-negative integers."""
    seed, index, stream = np.uint64(seed), np.uint64(index), np.uint64(stream)
    c0, c1, _, _ = philox(seed & LOW, seed >> BITS, index & LOW, index >> BITS, stream & LOW, stream >> BITS)
    return np.float64(((c0 << BITS) | c1) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def dropout(x, out, seed, layer, t, first, rate):
    """out (rows, n) = x / (1 - rate), or 0 with probability `rate`; x may be out. Its own backward.

    The mask of an element depends on (seed, layer, t, first + its row, its column) alone.
    """
    n = out.shape[1]
    zero, scale = out.dtype.type(0), out.dtype.type(1.0 / (1.0 - rate))
    threshold = np.uint32(rate * 4294967296.0)
    seed_, time = np.uint64(seed), np.uint64(t)
    k0, k1 = seed_ & LOW, seed_ >> BITS
    c2, c3 = time & LOW, (time >> BITS) ^ (np.uint64(layer) << np.uint64(20))
    # The four words of a counter go to four runs of the row, so that neighbours are drawn together.
    run = (n + 3) // 4
    words = np.empty(4 * run, np.uint32)
    words0, words1, words2, words3 = words[:run], words[run : 2 * run], words[2 * run : 3 * run], words[3 * run :]
    for r in range(out.shape[0]):
        c1 = np.uint64(first + r)
        for q in range(run):
            w0, w1, w2, w3 = philox(k0, k1, np.uint64(q), c1, c2, c3)
            words0[q], words1[q], words2[q], words3[q] = w0, w1, w2, w3
        source, target = x[r], out[r]
        for j in range(n):
            target[j] = source[j] * scale if words[j] >= threshold else zero
