"""Arrays that begin on a cache line, and a pool of memory that is reused.

Vectors that cross cache lines cost up to a tenth of a product's time. Fresh memory costs more: the system hands it out
page by page, each on first touch, which for a layer of 256 units takes longer than all its gates.
"""

from __future__ import annotations

import collections
import math
import threading
import weakref
from typing import Any

import numpy as np

__all__ = ["LINE", "BufferPool", "empty", "zeros"]

LINE = 64  # bytes of a cache line
# Bytes under which the allocator has memory at hand anyway.
SMALL = 1 << 15


def aligned(size: int) -> np.ndarray:
    """`size` bytes that start on a cache line."""
    raw = np.empty(size + LINE, np.uint8)
    start = first_line(raw)
    return raw[start : start + size]


def first_line(raw: np.ndarray) -> int:
    """Bytes up to the first cache line that begins in `raw`. (`raw.ctypes` takes four times as long.)"""
    return int(-raw.__array_interface__["data"][0] % LINE)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`np.empty` on a cache line."""
    dtype = np.dtype(dtype)
    raw = np.empty(math.prod(shape) * dtype.itemsize + LINE, np.uint8)
    return np.ndarray(shape, dtype, raw, first_line(raw))


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`np.zeros` on a cache line."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


class BufferPool:
    """Allocates arrays, and reuses their memory when the last view of one is gone.

    It never holds more memory, in use or not, than was in use at one time.

    An array may be freed at any moment: in the middle of `empty`, in another thread, when the garbage collector runs.
    Its finalizer only appends to a queue, which is atomic. The books are kept by the callers of `empty`, one at a time;
    a caller that finds them locked (by another thread, or by the call that a signal handler interrupted, which cannot
    be waited for) gets fresh memory, which the pool does not count.
    """

    def __init__(self) -> None:
        self._books = threading.Lock()
        self._back: collections.deque[np.ndarray] = collections.deque()
        self._free: dict[int, list[np.ndarray]] = {}
        self._in_use = self._kept = self._most = 0

    def __reduce__(self) -> tuple[type[BufferPool], tuple[()]]:
        """A copy starts empty."""
        return BufferPool, ()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialized array."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL or not self._books.acquire(blocking=False):
            return empty(shape, dtype)
        try:
            block = self._take(size)
        finally:
            self._books.release()
        # Views of an array share its base; this one's is no array, so they keep the array itself alive.
        owner = np.frombuffer(block.data, dtype)
        weakref.finalize(owner, self._back.append, block).atexit = False
        return owner.reshape(shape)

    def _take(self, size: int) -> np.ndarray:
        self._take_back()
        waiting = self._free.get(size)
        if waiting:
            block = waiting.pop()
            self._kept -= size
        else:
            block = aligned(size)
        self._in_use += size
        self._most = max(self._most, self._in_use)
        self._shrink()
        return block

    def _take_back(self) -> None:
        """Record the memory that was freed since the last call."""
        while self._back:
            block = self._back.popleft()
            self._in_use -= block.size
            self._kept += block.size
            self._free.setdefault(block.size, []).append(block)

    def _shrink(self) -> None:
        """Free unused memory while there is more than was ever in use at one time."""
        while self._free and self._in_use + self._kept > self._most:
            size = next(iter(self._free))
            waiting = self._free[size]
            if waiting:
                waiting.pop()
                self._kept -= size
            if not waiting:
                del self._free[size]
