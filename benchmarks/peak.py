"""The machine's peak: the library's own register tile on operands that stay in the first-level cache.

No product of these kernels can be faster than that, so a speed divided by it says how much is left to gain. All
threads run at once, each on operands of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bptt.numerics import threads
from bptt.numerics.jit import kernel
from bptt.numerics.matmul import panel_shape, product

# One panel of this depth and one row of tiles take 43 KB with vectors of 512 bits, 25 KB with 256.
ROWS, DEPTH = 8, 192
TIMES = 5000  # some 5 ms: beside that, to wake the threads takes nothing


@kernel
def multiply(team: Any, A: Any, panels: Any, nothing: Any, C: Any, times: Any) -> None:
    """`times` times the same product, by each member its own."""
    a, b, c = A[team.index], panels[team.index], C[team.index]
    for _ in range(times):
        product(a, b, nothing, c)


def peak(dtype: str, members: int) -> tuple[Callable[[], None], float]:
    """A function that computes at the peak in `members` threads, and the floating-point operations of a call."""
    _, _, width = panel_shape(DEPTH, 1, dtype)
    rng = np.random.default_rng(0)
    number: Any = np.dtype(dtype)
    A = rng.standard_normal((members, ROWS, DEPTH), number)
    panels = rng.standard_normal((members, *panel_shape(DEPTH, width, dtype)), number)
    C, nothing = np.empty((members, ROWS, width), number), np.zeros((1, width), number)

    def run() -> None:
        threads.run(multiply, A, panels, nothing, C, TIMES, threads=members)

    return run, 2.0 * members * ROWS * DEPTH * width * TIMES
