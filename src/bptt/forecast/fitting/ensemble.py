"""The members of an ensemble, trained side by side in threads that end together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from bptt.numerics import compiling

__all__ = ["Members"]

T = TypeVar("T")


class Members:
    """Runs a function for each member; where one fails, or Ctrl-C is pressed, the others give up soon."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def check(self) -> None:
        """Called by a member between two steps of its work: ends it where the others have ended."""
        if self._over.is_set():
            raise compiling.Abandoned

    def run(self, member: Callable[[int], T], numbers: Iterable[int], threads: int) -> list[T]:
        """`member(k)` of every number, in order; raises what the first member to fail raised.

        Parameters
        ----------
        member : function (int)
            What a member does. It calls `check` now and then.
        numbers : iterable of int
            Which members there are.
        threads : int
            How many of them run at the same time.
        """
        with ThreadPoolExecutor(threads) as pool:
            try:
                futures = [pool.submit(member, k) for k in numbers]
                pending: set[Future[T]] = set(futures)
                while pending:  # in turns: not on every system does a signal end a wait
                    ready, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                    for future in ready:
                        future.result()
                return [future.result() for future in futures]
            except BaseException:
                self._over.set()
                compiling.abandon()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
