"""Counter-based random numbers: a counter in, four random words out, no shared state.

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): ten rounds of

    c0 c1 c2 c3  <-  hi(M1 c2) ^ c1 ^ k0,   lo(M1 c2),   hi(M0 c0) ^ c3 ^ k1,   lo(M0 c0)
    k0 k1        <-  k0 + W0,   k1 + W1

Each mask element has an address, so any thread can draw it, and draw it again in `backward`. Everything that is
drawn is addressed in the same way:

    key k0, k1     which stream: `bptt.seeds.key(seed, purpose, member)`, a purpose for each thing that is drawn
    counter        where in the stream: (layer, step, row, unit); c0 = unit // 4, c1 = row, c2 and c3 hold step and
                   layer, and the element is word unit % 4 of the four. For `uniform` it is (stream, index).

Two draws under one key read the same words: `dropout` and `uniform` need different keys.
"""

import numpy as np

from bptt.numerics.jit import kernel

__all__ = ["dropout", "philox", "uniform"]

ROUNDS = 10
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
# All words are uint64 below 2^32, for their products of 64 bits.
LOW, BITS = np.uint64(0xFFFFFFFF), np.uint64(32)


@kernel
def one_round(n, k0, k1, c0, c1, c2, c3):
    """Round n, with the first round's key."""
    n = np.uint64(n)
    # LLVM's vector product of 32-bit words wants to see that c0 and c2 are no longer than that.
    p0, p1 = M0 * (c0 & LOW), M1 * (c2 & LOW)
    return (
        (p1 >> BITS) ^ c1 ^ ((k0 + W0 * n) & LOW),
        p1 & LOW,
        (p0 >> BITS) ^ c3 ^ ((k1 + W1 * n) & LOW),
        p0 & LOW,
    )


@kernel
def philox(k0, k1, c0, c1, c2, c3):
    """Four random 32-bit words, from a key of two words and a counter of four; all uint64 below 2^32."""
    for n in range(ROUNDS):
        c0, c1, c2, c3 = one_round(n, k0, k1, c0, c1, c2, c3)
    return c0, c1, c2, c3


@kernel
def draw(words, k0, k1, c1, c2, c3):
    """words (4 N) uint32 = the words of the counters (q, c1, c2, c3) for q = 0 .. N - 1."""
    for q in range(words.size // 4):
        a0, a1, a2, a3 = np.uint64(q), c1, c2, c3
        # No call of `philox`: only a loop written here is unrolled in time for vectors of many q.
        for n in range(ROUNDS):
            a0, a1, a2, a3 = one_round(n, k0, k1, a0, a1, a2, a3)
        words[4 * q], words[4 * q + 1], words[4 * q + 2], words[4 * q + 3] = a0, a1, a2, a3


@kernel
def uniform(key, stream, index):
    """A float64 in [0, 1), of 53 random bits, for each (key, stream, index) of integers."""
    key, stream, index = np.uint64(np.int64(key)), np.uint64(np.int64(stream)), np.uint64(np.int64(index))
    c0, c1, _, _ = philox(key & LOW, key >> BITS, index & LOW, index >> BITS, stream & LOW, stream >> BITS)
    return np.float64(((c0 << BITS) | c1) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def dropout(x, out, key, layer, t, first, rate):
    """out (rows, n) = x (rows, >= n) times 1 / (1 - rate), or times 0 with probability `rate`. Its own backward.

    The factor of an element depends on (key, layer, t, first + its row, its column) alone. x may be out.
    """
    n = out.shape[1]
    zero, scale = out.dtype.type(0), out.dtype.type(1.0 / (1.0 - rate))
    threshold = np.uint32(rate * 4294967296.0)
    key, time = np.uint64(np.int64(key)), np.uint64(np.int64(t))
    k0, k1 = key & LOW, key >> BITS
    c2, c3 = time & LOW, (time >> BITS) ^ (np.uint64(layer) << np.uint64(20))
    words = np.empty((n + 3) // 4 * 4, np.uint32)
    for r in range(out.shape[0]):
        draw(words, k0, k1, np.uint64(first + r), c2, c3)
        source, target = x[r, :n], out[r]
        for j in range(n):
            # A product, not a choice: a NaN that training must see is not dropped.
            target[j] = source[j] * (scale if words[j] >= threshold else zero)
