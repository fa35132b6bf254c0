"""A team of threads that runs one compiled function together, and the barrier where its members wait for each other.

Every member runs the same kernel from beginning to end with its own `Team`: it takes its `share` of each loop and
meets the others at a `barrier` where one part needs what another one wrote. Compared with Numba's `prange` a
barrier costs under a microsecond where a parallel region costs five, a kernel is compiled once instead of three
times, any number of threads may be asked for, several Python threads may call in, and a forked process works on.
Which member does what never changes a result: sums have an order of their own (see `numerics.matmul`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from bptt import arguments
from bptt.numerics.jit import kernel

__all__ = ["Team", "barrier", "get_num_threads", "run", "set_num_threads", "share"]

SPINS = 4000  # rounds (some 50 us) before a waiting thread offers its core to others
YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"


class Team(NamedTuple):
    """A member's place in its team."""

    index: int  # type: ignore[assignment]  # a tuple has a method of this name
    size: int
    sync: np.ndarray  # int64 (16,): [0] members waiting, [8] barriers passed, on two cache lines


@kernel
def share(n, team):
    """First and last (exclusive) of the `n` turns of a loop that are this member's."""
    return n * team.index // team.size, n * (team.index + 1) // team.size


@intrinsic
def _wait(typingctx: Any, sync: Any, size: Any) -> Any:
    """Sense-reversing barrier (Mellor-Crummey & Scott 1991) on two counters."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        waiting = context.make_array(signature.args[0])(context, builder, args[0]).data
        passed = builder.gep(waiting, [ir.Constant(word, 8)])
        one, zero = ir.Constant(word, 1), ir.Constant(word, 0)
        before = builder.load_atomic(passed, "acquire", 8)
        arrived = builder.atomic_rmw("add", waiting, one, "acq_rel")
        last = builder.icmp_signed("==", builder.add(arrived, one), args[1])
        spins = cgutils.alloca_once_value(builder, zero)
        go, check, again, rest, end = (builder.append_basic_block(n) for n in ("go", "check", "again", "rest", "end"))
        builder.cbranch(last, go, check)
        builder.position_at_end(go)
        builder.store_atomic(zero, waiting, "release", 8)
        builder.atomic_rmw("add", passed, one, "acq_rel")
        builder.branch(end)
        builder.position_at_end(check)
        now = builder.load_atomic(passed, "acquire", 8)
        builder.cbranch(builder.icmp_signed("!=", now, before), end, again)
        builder.position_at_end(again)
        spun = builder.load(spins)
        builder.store(builder.add(spun, one), spins)
        builder.cbranch(builder.icmp_signed(">", spun, ir.Constant(word, SPINS)), rest, check)
        builder.position_at_end(rest)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), YIELD)
        builder.call(function, [])
        builder.branch(check)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(sync, types.int64), codegen


def barrier(team: Team) -> None:
    """Wait until every member of the team is here."""


@overload(barrier)
def _compiled_barrier(team):
    def compiled(team):
        if team.size > 1:
            _wait(team.sync, team.size)

    return compiled


def available_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class _Worker:
    """One waiting Python thread: it runs what it is handed and says when it is done."""

    def __init__(self) -> None:
        self.start, self.done = threading.Lock(), threading.Lock()
        self.start.acquire()
        self.done.acquire()
        self.task: Callable[[], None] | None = None
        self.error: BaseException | None = None
        threading.Thread(target=self.loop, daemon=True, name="bptt").start()

    def hand(self, task: Callable[[], None]) -> None:
        self.task, self.error = task, None
        self.start.release()

    def wait(self) -> None:
        self.done.acquire()
        self.task = None

    def loop(self) -> None:
        while True:
            self.start.acquire()
            try:
                if self.task is not None:
                    self.task()
            except BaseException as error:
                self.error = error
            self.done.release()


class _Pool:
    def __init__(self) -> None:
        self.workers: list[_Worker] = []
        self.lock = threading.Lock()


_pool = _Pool()


def _after_fork() -> None:
    # Threads do not survive a fork: the child starts its own.
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _asked_threads() -> int:
    asked = os.environ.get("BPTT_NUM_THREADS")
    if asked is None:
        return available_cores()
    if not asked.isdigit() or int(asked) < 1:
        raise ValueError(f"environment variable BPTT_NUM_THREADS={asked!r}: accepted is an integer of at least 1")
    return int(asked)


_threads = _asked_threads()


def set_num_threads(n: int) -> None:
    """Use `n` threads in compiled code from now on; any number of them gives the same bits.

    Parameters
    ----------
    n : int
        At least 1; more than the machine's cores is allowed, and slower.

    Raises
    ------
    TypeError, ValueError
        n is no integer of at least 1.

    Examples
    --------
    >>> import bptt
    >>> bptt.set_num_threads(1)
    """
    global _threads
    _threads = arguments.integer("n", n)


def get_num_threads() -> int:
    """How many threads compiled code uses: `set_num_threads`, BPTT_NUM_THREADS, or every core there is."""
    return 1 if config.DISABLE_JIT else _threads


def run(kernel: Callable[..., Any], *args: Any, threads: int | None = None) -> Any:
    """Call `kernel(team, *args)` in every member of a team; returns what the first member returned.

    Callers from several Python threads take turns.
    """
    size = get_num_threads() if threads is None else min(threads, get_num_threads())
    if size == 1:
        return kernel(Team(0, 1, np.zeros(16, np.int64)), *args)
    with _pool.lock, _interrupts_later():
        while len(_pool.workers) < size - 1:
            _pool.workers.append(_Worker())
        workers = _pool.workers[: size - 1]
        sync = np.zeros(16, np.int64)
        for index, worker in enumerate(workers, 1):
            worker.hand(partial(kernel, Team(index, size, sync), *args))
        try:
            return kernel(Team(0, size, sync), *args)
        finally:
            for worker in workers:
                worker.wait()
            for worker in workers:
                if worker.error is not None:
                    raise worker.error


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hear Ctrl-C when the team is done: one member that leaves early would keep the others at their barrier."""
    before = signal.getsignal(signal.SIGINT)
    # Python runs signal handlers in the main thread only; one that is not Python's could not be put back.
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    heard: list[Any] = []
    signal.signal(signal.SIGINT, lambda *call: heard.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard and callable(before):
        before(*heard[0])
