"""States, gates and their errors row by row, some units of each: copied, added, cleared."""

import numpy as np

from bptt.numerics.jit import kernel
from bptt.numerics.simd import lane_count, load, store, zero

__all__ = ["add_units", "any_of", "clear_units", "clip_norms", "clip_values", "copy", "copy_units", "drop_states"]

# A bare 0 has a type of its own for Numba, and each function it is passed to would be compiled once more.
ZERO = np.int64(0)
ONE = (0,)


@kernel
def copy(source, target):
    for j in range(target.size):
        target[j] = source[j]


@kernel(internal=True)
def copy_units(source, target, first, last):
    """Columns first to last - 1 of all rows."""
    for row in range(target.shape[0]):
        for j in range(first, last, lane_count(target)):
            store(target, row, load(source, row, ONE, ZERO, j, last - j), ZERO, j, last - j)


@kernel(strict=True, internal=True)
def add_units(source, target, first, last):
    """target += source in columns first to last - 1 of all rows."""
    for row in range(target.shape[0]):
        for j in range(first, last, lane_count(target)):
            (new,), (old,) = load(source, row, ONE, ZERO, j, last - j), load(target, row, ONE, ZERO, j, last - j)
            store(target, row, (old + new,), ZERO, j, last - j)


@kernel(internal=True)
def clear_units(target, n, first, last):
    """0 in units first to last - 1 of every block of n, of all rows."""
    for row in range(target.shape[0]):
        for start in range(0, target.shape[1], n):
            for j in range(start + first, start + last, lane_count(target)):
                left = start + last - j
                (old,) = load(target, row, ONE, ZERO, j, left)
                store(target, row, (zero(old),), ZERO, j, left)


@kernel(internal=True)
def drop_states(source, reset, target, n, first, last):
    """target = source in units first to last - 1 of every block of n, and 0 in the rows where `reset` is set."""
    for row in range(target.shape[0]):
        if reset[row]:
            clear_units(target[row : row + 1], n, first, last)
        else:
            for start in range(0, target.shape[1], n):
                copy_units(source[row : row + 1], target[row : row + 1], start + first, start + last)


@kernel(internal=True)
def any_of(flags):
    for row in range(flags.shape[0]):
        for column in range(flags.shape[1]):
            if flags[row, column]:
                return True
    return False


@kernel(internal=True, low_opt=True)
def clip_values(rows, largest, clipped):
    """Every number to -largest .. largest; clipped[row] += how many were outside."""
    largest = rows.dtype.type(largest)
    for row in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            if rows[row, j] > largest:
                rows[row, j] = largest
                clipped[row] += 1
            elif rows[row, j] < -largest:
                rows[row, j] = -largest
                clipped[row] += 1


@kernel(internal=True, low_opt=True)
def clip_norms(rows, largest, clipped):
    """Rows longer than `largest` are scaled to it; clipped[row] += 1 for them."""
    for row in range(rows.shape[0]):
        # Divided by the largest entry first: the squares of 1e20 are infinite in float32.
        most = 0.0
        for j in range(rows.shape[1]):
            most = max(most, abs(rows[row, j]))
        square = 0.0
        for j in range(rows.shape[1] if most > 0 else 0):
            square += (rows[row, j] / most) ** 2
        norm = most * np.sqrt(square)
        if norm > largest:
            factor = rows.dtype.type(largest / norm)
            for j in range(rows.shape[1]):
                rows[row, j] *= factor
            clipped[row] += 1
