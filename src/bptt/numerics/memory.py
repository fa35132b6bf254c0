"""Arrays that begin on a cache line, and a stock of memory that is used again.

Vectors that cross cache lines cost up to a tenth of a product's time. Fresh memory costs more: the system hands it out
page by page, each on first touch, which for a layer of 256 units takes longer than all its gates.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np

__all__ = ["LINE", "Stock", "empty", "zeros"]

LINE = 64  # bytes of a cache line
# Bytes under which the allocator has memory at hand anyway.
SMALL = 1 << 15


def aligned(size: int) -> np.ndarray:
    """So many bytes from the beginning of a cache line on."""
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`np.empty` on a cache line."""
    dtype = np.dtype(dtype)
    return aligned(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`np.zeros` on a cache line."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


class Stock:
    """Hands out arrays, and takes their memory back when the last view of one is gone.

    It never holds more, in use or not, than was once in use at the same time.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[np.ndarray]] = {}
        self._in_use = self._kept = self._most = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of any contents."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL:
            return empty(shape, dtype)
        waiting = self._free.get(size)
        if waiting:
            block = waiting.pop()
            self._kept -= size
        else:
            block = aligned(size)
        self._in_use += size
        self._most = max(self._most, self._in_use)
        self._shrink()
        # Views of an array share its base; this one's is no array, so they keep the array itself alive.
        owner = np.frombuffer(block.data, dtype)
        weakref.finalize(owner, self._give_back, block).atexit = False
        return owner.reshape(shape)

    def _give_back(self, block: np.ndarray) -> None:
        self._in_use -= block.size
        self._free.setdefault(block.size, []).append(block)
        self._kept += block.size
        self._shrink()

    def _shrink(self) -> None:
        while self._kept and self._in_use + self._kept > self._most:
            size = next(size for size, blocks in self._free.items() if blocks)
            self._free[size].pop()
            self._kept -= size
            if not self._free[size]:
                del self._free[size]
