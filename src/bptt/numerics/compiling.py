"""Compiling in the background: Ctrl-C works meanwhile, and a line shows the progress.

LLVM calls back into Python, and an exception in such a call is dropped: a KeyboardInterrupt too. A single call to LLVM
can also take a second. So the main thread, which handles signals, never compiles or loads: another thread does, and
the main thread waits. If the main thread is interrupted, the other one stops at the next stage of its work.

Compilation is reported: by a moving line on a terminal or in a notebook, by one plain line in a command whose standard
error is not a terminal, and else on the logger "bptt" (level INFO). Setting that logger to WARNING silences all of it.

The number of kernels is not known in advance. If it was counted the last time that an empty cache was filled, perhaps
by another version, the line shows it as "about" so many.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from bptt.numerics import kernel_counts
from bptt.numerics.cache_folder import SUFFIX
from bptt.numerics.kernel_cache import CACHE, explain
from bptt.numerics.numba_internals import event, global_compiler_lock

__all__ = [
    "Abandoned",
    "abandon",
    "announce",
    "busy",
    "check",
    "command_ended",
    "end_at_once",
    "in_progress",
    "seconds",
    "undisturbed",
]

T = TypeVar("T")

TICK = 0.1  # seconds between two signs of life
PATIENCE = 5.0  # seconds that the end of the process waits for LLVM to return

log = logging.getLogger("bptt")


class Abandoned(BaseException):
    """The caller no longer waits for what this thread compiles."""


class Job:
    """Something that is compiled, by this thread or by one of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.abandoned = work, False
        self.result: Any = None
        self.error: BaseException | None = None
        # Held while it runs. A lock, since a KeyboardInterrupt can break an Event's own lock while it waits.
        self.running = threading.Lock()
        self.running.acquire()

    def run(self) -> None:
        _here.job = self
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error
        finally:
            _here.job = None
            _jobs.discard(self)
            self.running.release()

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        ended = self.running.acquire(timeout=seconds)
        if ended:
            self.running.release()
        return ended


_here = threading.local()
_jobs: set[Job] = set()


def undisturbed(work: Callable[[], T]) -> T:
    """`work()`, which compiles or loads; in another thread if this is the main one."""
    # Whoever holds the lock compiles already, and another thread would wait for it for ever.
    if global_compiler_lock.is_locked() or getattr(_here, "job", None) is not None:
        return work()
    job = Job(work)
    _jobs.add(job)
    if threading.current_thread() is not threading.main_thread():
        job.run()
    else:
        try:
            try:
                threading.Thread(target=job.run, name="bptt compiler", daemon=True).start()
            except RuntimeError:  # there can be no more threads
                job.run()
            while not job.wait(TICK):
                _progress.tick()
        except BaseException:
            job.abandoned = True
            _progress.clear()
            raise
    if job.error is not None:
        raise job.error
    return job.result


def check() -> None:
    """Stop compiling in this thread if no caller waits for it any more."""
    job = getattr(_here, "job", None)
    if job is not None and job.abandoned:
        raise Abandoned


def abandon() -> None:
    """Stop all current compilations soon, with `Abandoned` in the threads that requested them."""
    for job in list(_jobs):
        job.abandoned = True


def busy() -> bool:
    """Whether a thread is still compiling, even if no caller waits for it."""
    return bool(_jobs)


def _before_exit() -> None:
    # LLVM is torn down with the process: a thread that still was inside would crash it.
    jobs = list(_jobs)
    abandon()
    for job in jobs:
        job.wait(PATIENCE)
    # CPython ends by the signal what a KeyboardInterrupt has ended, but forgets it when another thread runs `exec`, as
    # a compiling one does. This reminds it.
    if jobs and getattr(sys, "last_type", None) is KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


atexit.register(_before_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_jobs.clear)  # their threads are the parent's


def end_at_once(code: int) -> None:
    """For a command that Ctrl-C has ended: exit without waiting for abandoned compilations."""

    def leave() -> None:
        if busy():
            logging.shutdown()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            os._exit(code)

    if busy():
        atexit.register(leave)


class Progress:
    """What this process has compiled, and the line that says so."""

    def __init__(self) -> None:
        self.kernels = 0  # that were compiled
        self.depth = 0  # kernels being compiled: each compiles those that it calls
        self.began = 0.0
        self.compiling = 0.0  # seconds, until the last time that nothing was being compiled
        self.shown = 0  # width of the line on the screen
        self.signs = 0
        self.said = False  # in one plain line
        self.command: str | None = None  # that runs: standard error is ours to print to
        self.quiet = False  # the command's user wants to hear nothing
        self.cold: bool | None = None  # whether the cache was empty, once it was looked at
        self.entrance = ""  # what the kernels are counted for: the command, or the one that Python called
        self.before = 0  # kernels compiled before this entrance
        self.expected: int | None = None  # kernels of this entrance the last time
        self.lock = threading.RLock()

    def enter(self, entrance: str) -> None:
        """Start counting kernels for an entry point."""
        if self.cold is None:
            self.cold = empty()
        self.entrance, self.before = entrance, self.kernels
        self.expected = kernel_counts.read(CACHE.folder).get(entrance) if self.cold else None

    def count(self) -> str:
        """The number of compiled kernels, and about how many there will be if that is known and not yet exceeded."""
        if self.expected is not None and self.kernels < self.before + self.expected:
            return f"{self.kernels} of about {self.before + self.expected}"
        return f"{self.kernels} so far"

    def keep_count(self) -> None:
        """Store the number of kernels that the entry point needed, if the cache was empty before."""
        if self.cold and self.kernels > self.before:
            kernel_counts.add(CACHE.folder, self.entrance, self.kernels - self.before)

    def start(self, kernel: str) -> None:
        self.depth += 1
        if self.depth == 1:
            self.began = time.perf_counter()
            explain()
            if self.command is None:
                self.enter(kernel)
            if not self.tick():
                self.plain()

    def end(self) -> None:
        self.depth -= 1
        self.kernels += 1
        if self.depth == 0:
            took = time.perf_counter() - self.began
            self.compiling += took
            job = getattr(_here, "job", None)
            if self.command is None and not (job and job.abandoned):
                self.keep_count()
            if not self.clear():
                log.info("compiled kernels: %d so far, %.0f s", self.kernels, self.compiling)
        else:
            self.tick()

    def seconds(self) -> float:
        return self.compiling + (time.perf_counter() - self.began if self.depth else 0.0)

    def plain(self) -> None:
        """Report it once, in a plain line."""
        if self.said:
            return
        self.said = True
        if self.command is not None and not silenced():
            with contextlib.suppress(OSError, ValueError, AttributeError):
                print("bptt: compiling kernels, once; this can take a minute", file=sys.stderr, flush=True)
        else:
            log.info("compiling kernels, once; this can take a minute")

    def tick(self) -> bool:
        """Redraw the line if kernels are being compiled and there is a screen; returns whether it did."""
        if not self.depth or silenced() or not moving():
            return False
        self.signs += 1
        text = f"bptt: compiling kernels, once: {self.count()}, {self.seconds():.0f} s {'|/-'[self.signs % 3]}"
        self.draw(text)
        return True

    def clear(self) -> bool:
        """Take the line away; returns whether there was one."""
        there = self.shown > 0
        if there:
            self.draw("")
        return there

    def draw(self, text: str) -> None:
        with self.lock, contextlib.suppress(OSError, ValueError, AttributeError):
            blank = " " * (self.shown - len(text))
            sys.stderr.write(f"\r{text}{blank}" if text else f"\r{blank}\r")
            sys.stderr.flush()
            self.shown = len(text)


def moving() -> bool:
    """Whether standard error is a terminal or a notebook's."""
    stream = sys.stderr
    if stream is None or stream.closed:
        return False
    return stream.isatty() or type(stream).__module__.startswith("ipykernel")


def silenced() -> bool:
    return _progress.quiet or log.level > logging.INFO


def empty() -> bool:
    """Whether no kernel is ready."""
    return CACHE.folder is None or not any(CACHE.folder.glob("*" + SUFFIX))


class Listener(event.Listener):  # type: ignore[misc]
    """Receives Numba's events about kernels that it compiles; there are none for kernels that it loads."""

    def on_start(self, said: Any) -> None:
        if getattr(said.data["dispatcher"], "effort", None) is not None:
            function = said.data["dispatcher"].py_func
            _progress.start(f"{function.__module__}.{function.__qualname__}")

    def on_end(self, said: Any) -> None:
        if getattr(said.data["dispatcher"], "effort", None) is not None:
            _progress.end()


class Stages(event.Listener):  # type: ignore[misc]
    """Lets a compilation be abandoned between two of its stages."""

    def on_start(self, said: Any) -> None:
        check()

    def on_end(self, said: Any) -> None:
        pass


_progress = Progress()
event.register("numba:compile", Listener())
event.register("numba:run_pass", Stages())


def in_progress() -> bool:
    """Whether kernels are being compiled just now."""
    return _progress.depth > 0


def seconds() -> float:
    """Seconds that this process has spent compiling kernels; clocks and rates exclude them."""
    return _progress.seconds()


def announce(command: str, quiet: bool = False) -> None:
    """Call it at the start of a command that uses kernels: it reports early that they have to be compiled.

    Standard error is the command's until `command_ended`: a line is printed there even where it is not a terminal.

    Parameters
    ----------
    command : str
        What its kernels are counted for: the command, and the options that call for others.
    quiet : bool
        Say nothing, now and later.
    """
    _progress.command, _progress.quiet, _progress.cold = command, quiet, empty()
    _progress.enter(command)
    if _progress.cold:
        _progress.plain()


def command_ended(whole: bool) -> None:
    """Standard error is no longer the command's; `whole`: it came to its end, and so did the count."""
    if _progress.command is not None and whole:
        _progress.keep_count()
    _progress.command, _progress.quiet = None, False
