"""How many members a team should have now, from the measured speed of the last ones.

A member without a core keeps all others waiting. The speed of a team is measured as its
rate: the time for which its members computed, waits not counted, by the time that passed. It is the number of cores
that the team really had, at most the team's size. If the rate is below the next smaller size, the smaller team is
tried, and the better of the two is kept. From time to time a larger team is tried again, less and less often while it
is slower.
"""

from __future__ import annotations

import threading

__all__ = ["Pace", "sizes_below"]

WINDOW = 0.1  # seconds that a rate is measured for
BETTER = 1.1  # by so much another size must be better
SOONEST, LATEST = 0.2, 3.2  # seconds from a trial to the next


def sizes_below(most: int) -> tuple[int, ...]:
    """Sizes of teams in descending order: the largest, one less (for one busy core), then halves.

    Examples
    --------
    >>> sizes_below(8)
    (8, 7, 4, 2, 1)
    """
    sizes = [most]
    if most > 2:
        sizes.append(most - 1)
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(sizes)


class Pace:
    """The sizes of one kernel's teams, of at most `most` members."""

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, sizes_below(most)
        self.books = threading.Lock()
        self.rates = [0.0] * len(self.sizes)
        self.at = 0  # the place among the sizes
        self.left: int | None = None  # where we were before the trial that is on
        self.next_trial = [0.0, 0.0]  # down, up
        self.wait = [SOONEST, SOONEST]
        self.used = self.passed = 0.0
        self.doubt = False

    @property
    def calm(self) -> bool:
        """Whether all cores seem to be available: then waiting members spin for longer."""
        return self.at == 0 and self.left is None and not self.doubt

    @property
    def size(self) -> int:
        """Members that the next team should have."""
        return self.sizes[self.at]

    def note(self, size: int, used: float, passed: float, now: float) -> None:
        """A team of this size computed for `used` seconds in all, in `passed` seconds, until now."""
        # One at a time; the call that a signal handler interrupted is not waited for.
        if not self.books.acquire(blocking=False):
            return
        try:
            if size == self.size:
                self.enter(used, passed, now)
        finally:
            self.books.release()

    def enter(self, used: float, passed: float, now: float) -> None:
        self.used += used
        self.passed += passed
        if self.passed < WINDOW:
            return
        rate = self.rates[self.at] = self.used / self.passed
        self.used = self.passed = 0.0
        self.doubt = self.at + 1 < len(self.sizes) and rate < self.sizes[self.at + 1]
        if self.left is not None:
            self.judge(self.left, now)
        elif self.doubt and now >= self.next_trial[0]:
            self.left, self.at = self.at, self.at + 1
        elif self.at > 0 and now >= self.next_trial[1]:
            self.left, self.at = self.at, self.at - 1

    def judge(self, before: int, now: float) -> None:
        """Stay with the size that was tried, or go back to the one before."""
        up = int(self.at < before)
        if self.rates[self.at] > BETTER * self.rates[before]:
            self.wait = [SOONEST, SOONEST]
        else:
            self.at = before
            self.wait[up] = min(LATEST, 2 * self.wait[up])
        self.next_trial = [now + wait for wait in self.wait]
        self.left = None
