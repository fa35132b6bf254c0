"""How much work one compiled call gets, so that progress bars move and Ctrl-C is handled."""

from __future__ import annotations

import time
from collections.abc import Iterator

__all__ = ["SECONDS", "paced"]

# Seconds that a compiled call should take: so long nothing is shown and no signal is heard.
SECONDS = 0.1
# A call may take this many times the turns of the call before it.
GROWTH = 4


def paced(turns: int, first: int = 1) -> Iterator[range]:
    """Divide `turns` of a loop into calls of about `SECONDS` each, by the time that the caller takes for each range.

    Parameters
    ----------
    turns : int
    first : int
        Turns of the first call; its time is ignored, as it may include compilation.

    Examples
    --------
    >>> turns = [turn for part in paced(1000) for turn in part]
    >>> turns == list(range(1000))
    True
    """
    done, size, measured = 0, first, False
    while done < turns:
        part = range(done, min(done + size, turns))
        began = time.perf_counter()
        yield part
        elapsed = time.perf_counter() - began
        done = part.stop
        if measured:
            size = max(1, min(GROWTH * size, int(len(part) * SECONDS / max(elapsed, 1e-9))))
        measured = True
