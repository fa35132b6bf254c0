"""The threads of a team: created once, they run one compiled function together, and sleep in between.

All members but the first are threads that wait in compiled code: they spin for some microseconds after a job, then
sleep. Python calls a kernel's entry function, compiled around the kernel: it writes the addresses of the arguments on
the board that all members watch, runs the first member's part, and waits for the others. Starting a team takes
microseconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import config

from bptt import arguments
from bptt.numerics import memory, team
from bptt.numerics.cores import MOST, available_cores, threads_asked_for
from bptt.numerics.jit import Kernel, borrow, kernel
from bptt.numerics.pace import Pace
from bptt.numerics.team import (
    BOARD,
    IDLE,
    JOB,
    PATIENT,
    SIZE,
    SPUN,
    USED,
    Team,
    ending_of,
    posting_of,
    reset_job,
    want,
    was_asleep,
    worker_loop,
)
from bptt.numerics.words import CALM_IDLE, CALM_SPINS, CPU_CLOCK, SPIN, SPINS

__all__ = ["get_num_threads", "run", "set_num_threads"]


class Entrance(Kernel):
    """While a kernel compiles, workers sleep instead of spinning, which would slow the compiler down."""

    def compile(self, sig: Any) -> Any:
        with _pool.off_duty():
            return super().compile(sig)


ENTRANCE = """
def entrance(board, sync, *args):
    args = borrow(args)  # an error leaves no time to give references back
    outcomes = post(board, sync, args)
    store(board, DONE, 0)
    add(board, JOB, 1)
    wake(board, JOB)
    call_at(read(board, CODE), read(board, DATA), 0)
    await_word(board, DONE, read(board, SIZE) - 1, NEVER, read(board, IDLE))
    return end(outcomes, read(board, SIZE), sync, args)
"""


def entrance_of(member: Any) -> Any:
    """The entry function that makes all members of a team call `member(team, *args)`; made once for each kernel.

    It carries the kernel's file, line and name, under which Numba's cache keeps it.
    """
    if not hasattr(member, "entrance"):
        plain = member.py_func.__code__
        names = vars(team) | {"borrow": borrow, "post": posting_of(member), "end": ending_of(member)}
        exec(compile(ENTRANCE, plain.co_filename, "exec"), names)
        function = names["entrance"]
        name = f"{member.__name__}_on_a_team"
        function.__code__ = function.__code__.replace(co_firstlineno=plain.co_firstlineno, co_name=name)
        function.__name__, function.__qualname__, function.__module__ = name, name, member.__module__
        in_module = getattr(sys.modules.get(member.__module__), member.__name__, None) is member
        member.entrance = kernel(function, low_opt=True, cache=in_module)
        member.entrance.__class__ = Entrance
        member.entrance.paces = {}
    return member.entrance


class _Worker:
    """One Python thread: it works for its team, and sleeps after a while without a job."""

    def __init__(self, board: np.ndarray, index: int) -> None:
        self.board, self.index, self.state = board, index, memory.zeros((8,), np.int64)
        self.last = int(board[JOB])
        self.alarm = threading.Lock()
        self.alarm.acquire()
        threading.Thread(target=self.loop, daemon=True, name="bptt").start()

    def wake(self) -> None:
        if was_asleep(self.state):
            self.alarm.release()

    def loop(self) -> None:
        while True:
            self.last = worker_loop(self.board, self.state, self.index, self.last)
            self.alarm.acquire()


class _Pool:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.board = memory.zeros((BOARD,), np.int64)
        self.workers: list[_Worker] = []
        self.caller: int | None = None

    def call_in(self, size: int) -> None:
        want(self.board, 1)
        for worker in self.workers[: size - 1]:
            worker.wake()

    @contextlib.contextmanager
    def off_duty(self) -> Iterator[None]:
        """Let the workers that this thread has woken sleep for a while."""
        mine = self.caller == threading.get_ident()
        if mine:
            want(self.board, 0)
        try:
            yield
        finally:
            if mine:
                self.call_in(int(self.board[SIZE]))

    def run(self, entrance: Any, pace: Pace, size: int, args: Any) -> Any:
        # Whoever finds a team at work does its own alone. To wait for it could be for ever: a signal handler may have
        # interrupted the very call that holds the lock.
        if not self.lock.acquire(blocking=False):
            return alone(entrance, pace, args)
        try:
            size = self.hire(size)
            reset_job(self.board, size)
            self.caller = threading.get_ident()
            self.call_in(size)
            return timed(entrance, pace, self.board, size, args)
        finally:
            want(self.board, 0)
            self.caller = None
            self.lock.release()

    def hire(self, size: int) -> int:
        """Start the workers that a team of this size needs; returns the size that is possible."""
        with contextlib.suppress(RuntimeError):  # the system gives no more threads
            while len(self.workers) < size - 1:
                self.workers.append(_Worker(self.board, len(self.workers) + 1))
        return min(size, len(self.workers) + 1)


def alone(entrance: Any, pace: Pace, args: Any) -> Any:
    """Run a team of one, without workers or barriers."""
    board = np.zeros(BOARD, np.int64)
    board[SIZE] = 1
    return timed(entrance, pace, board, 1, args)


def timed(entrance: Any, pace: Pace, board: np.ndarray, size: int, args: Any) -> Any:
    """Run the job on a team, and record its speed."""
    if size == 1:
        sync = np.zeros(16, np.int64)
    else:
        sync = memory.zeros((8 * size + 8,), np.int64)
        calm = pace.calm and _most != MOST
        sync[8 * size + PATIENT], board[IDLE] = (CALM_SPINS, CALM_IDLE) if calm else (SPINS, SPINS)
    if pace.most == 1 or CPU_CLOCK is None:
        return entrance(board, sync, *args)
    compiled = len(entrance.overloads)
    start = time.perf_counter()
    result = entrance(board, sync, *args)
    end = time.perf_counter()
    if len(entrance.overloads) > compiled:  # which took its time
        return result
    used, spun = (sum(sync[word : 8 * size : 8].tolist()) for word in (USED, SPUN))
    pace.note(size, 1e-9 * used - SPIN * spun, end - start, end)
    return result


_pool = _Pool()


def _after_fork() -> None:
    # Threads do not survive a fork: the child starts its own.
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_threads = threads_asked_for()
# More members than cores bring nothing. Of these, `numerics.pace` chooses as many as the cores that are free.
_most = available_cores()


@contextlib.contextmanager
def teams_as_asked() -> Iterator[None]:
    """Within this context a team has the requested number of members, even without cores for them.

    For tests, which compare the bits of teams larger than the machine.
    """
    global _most
    before, _most = _most, MOST
    try:
        yield
    finally:
        _most = before


def set_num_threads(n: int) -> None:
    """Set the maximum number of threads in compiled code; any number gives the same bits.

    Parameters
    ----------
    n : int
        From 1 to 1024. A call uses fewer if fewer cores are available.

    Raises
    ------
    TypeError, ValueError
        n is not an integer from 1 to 1024.

    Examples
    --------
    >>> import bptt
    >>> bptt.set_num_threads(1)
    """
    global _threads
    _threads = arguments.integer("n", n, 1, MOST)


def get_num_threads() -> int:
    """Return the maximum number of threads in compiled code.

    It is the value of `set_num_threads`, else of the environment variable BPTT_NUM_THREADS, else the number of cores
    that affinity and the control group's quota leave to this process, or OMP_NUM_THREADS or NUMBA_NUM_THREADS if less.
    """
    return 1 if config.DISABLE_JIT else _threads


def run(member: Any, *args: Any, threads: int | None = None) -> Any:
    """Call the kernel `member(team, *args)` in every member of a team; returns what the first member returned.

    The team has at most `threads` members. If another call is using the team, this one runs in one thread.
    """
    if config.DISABLE_JIT:
        return member(Team(0, 1, np.zeros(16, np.int64)), *args)
    most = min(get_num_threads(), _most, threads or MOST)
    entrance = entrance_of(getattr(member, "dispatcher", member))
    pace = entrance.paces.get(most) or entrance.paces.setdefault(most, Pace(most))
    size = most if _most == MOST else pace.size
    return alone(entrance, pace, args) if size == 1 else _pool.run(entrance, pace, size, args)
