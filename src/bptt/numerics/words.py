"""Atomic words shared by threads, and waiting until one of them changes.

A thread that waits spins for some microseconds and then leaves its core to others until it is woken: on Linux by a
futex (Franke, Russell & Kirkwood 2002), elsewhere it offers its core again and again. A thread that sleeps keeps the
right to the time that it has not used; one that spins or yields beside a busy process loses it, and comes back a whole
slice of the scheduler later.
"""

from __future__ import annotations

import platform
import struct
import sys
import time
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bptt.numerics.jit import kernel
from bptt.numerics.numba_internals import cgutils

__all__ = [
    "CALM_IDLE",
    "CALM_SPINS",
    "CPU_CLOCK",
    "FUTEX",
    "GIVEN_UP",
    "SPIN",
    "SPINS",
    "add",
    "await_word",
    "emit_cpu_time",
    "exchange",
    "give_up_if",
    "read",
    "rest",
    "run_signal_handlers",
    "store",
    "swap_if",
    "wake",
]

# Rounds before a waiting thread leaves its core to others, some 5 us: where others want it.
SPINS = 4000
# Where nobody does: as long as it takes to sleep and to be woken; and longer between two jobs, as between two lines of
# Python.
CALM_SPINS, CALM_IDLE = 40_000, 160_000
# Number of the system call, where there is one.
FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine()) if sys.platform == "linux" else None
FUTEX = FUTEX if struct.calcsize("P") == 8 else None
WAIT, WAKE, EVERYONE = 128, 129, 0x7FFFFFFF  # within one process
SPIN = 1.25e-9  # seconds of a round
NAP = 2_000_000  # nanoseconds after which a sleeper looks by itself
CPU_CLOCK = getattr(time, "CLOCK_THREAD_CPUTIME_ID", None)
YIELD = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
# The status of a function that ends because another member of its team has failed; none of Numba's.
GIVEN_UP = -77


def atomic(emit: Any, *, values: int, returns: bool) -> Any:
    """An intrinsic function (array, index, *values) on one word of an int64 array; emit(builder, pointer, *values)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        result = emit(builder, builder.gep(data, [args[1]]), *args[2:])
        return result if returns else context.get_dummy_value()

    result = types.int64 if returns else types.void
    if values == 0:
        return intrinsic(lambda typingctx, array, i: (result(array, types.int64), codegen))
    if values == 1:
        return intrinsic(lambda typingctx, array, i, a: (result(array, types.int64, types.int64), codegen))
    return intrinsic(lambda typingctx, array, i, a, b: (result(array, *[types.int64] * 3), codegen))


def emit_swap(builder: Any, pointer: Any, before: Any, after: Any) -> Any:
    pair = builder.cmpxchg(pointer, before, after, "seq_cst", "seq_cst")
    return builder.zext(builder.extract_value(pair, 1), ir.IntType(64))


def emit_futex(builder: Any, pointer: Any, operation: int, value: Any, timeout: Any) -> None:
    word = ir.IntType(64)
    call = cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, [word], var_arg=True), "syscall")
    number, none = ir.Constant(word, FUTEX), ir.Constant(word, 0)
    builder.call(call, [number, pointer, ir.Constant(word, operation), value, timeout, none, none])


def emit_rest(builder: Any, pointer: Any, seen: Any) -> None:
    """Yield this core while the word has the given value, for a limited time."""
    word = ir.IntType(64)
    if FUTEX is None:
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), YIELD), [])
        return
    nap = cgutils.alloca_once_value(builder, ir.Constant.literal_struct([ir.Constant(word, 0), ir.Constant(word, NAP)]))
    emit_futex(builder, pointer, WAIT, seen, nap)


def emit_cpu_time(builder: Any) -> Any:
    """Nanoseconds for which this thread has computed; 0 where the system has no such clock."""
    word, small = ir.IntType(64), ir.IntType(32)
    if CPU_CLOCK is None:
        return ir.Constant(word, 0)
    spec = cgutils.alloca_once(builder, ir.ArrayType(word, 2))
    kind = ir.FunctionType(small, [small, spec.type])
    clock = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
    builder.call(clock, [ir.Constant(small, CPU_CLOCK), spec])
    seconds, nanoseconds = (builder.load(cgutils.gep_inbounds(builder, spec, 0, k)) for k in (0, 1))
    return builder.add(builder.mul(seconds, ir.Constant(word, 10**9)), nanoseconds)


def emit_wake(builder: Any, pointer: Any) -> None:
    """Wake all threads that wait for this word."""
    if FUTEX is not None:
        word = ir.IntType(64)
        emit_futex(builder, pointer, WAKE, ir.Constant(word, EVERYONE), ir.Constant(word, 0))


read = atomic(lambda b, p: b.load_atomic(p, "seq_cst", 8), values=0, returns=True)
store = atomic(lambda b, p, value: b.store_atomic(value, p, "seq_cst", 8), values=1, returns=False)
add = atomic(lambda b, p, value: b.atomic_rmw("add", p, value, "seq_cst"), values=1, returns=True)
exchange = atomic(lambda b, p, value: b.atomic_rmw("xchg", p, value, "seq_cst"), values=1, returns=True)
swap_if = atomic(emit_swap, values=2, returns=True)
rest_on = atomic(emit_rest, values=1, returns=False)
wake_all = atomic(emit_wake, values=0, returns=False)


@intrinsic
def give_up_if(typingctx: Any, flag: Any) -> Any:
    """End this function and its callers in this member if the flag is not 0."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        with builder.if_then(cgutils.is_not_null(builder, args[0]), likely=False):
            builder.ret(ir.Constant(builder.function.type.pointee.return_type, GIVEN_UP))
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def run_signal_handlers(typingctx: Any) -> Any:
    """Run what Python's signal handlers have to do, as between two lines of Python; what one raises ends the kernel.

    Does nothing but in the main thread, as Python has it.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        python = context.get_python_api(builder)
        state = python.gil_ensure()
        kind = ir.FunctionType(ir.IntType(32), [])
        check = cgutils.get_or_insert_function(builder.module, kind, "PyErr_CheckSignals")
        raised = builder.call(check, [])
        python.gil_release(state)
        with builder.if_then(cgutils.is_not_null(builder, raised), likely=False):
            context.call_conv.return_exc(builder)
        return context.get_dummy_value()

    return types.void(), codegen


# Beside a word stands how many rest on it: who changes the word looks there, and wakes them.


@kernel
def rest(array, i, seen):
    """Sleep until word i no longer has the given value, or a while has passed."""
    add(array, i + 1, 1)
    rest_on(array, i, seen)
    add(array, i + 1, -1)


@kernel
def wake(array, i):
    """Wake the threads that wait for word i, which has changed."""
    if read(array, i + 1) > 0:
        wake_all(array, i)


@kernel
def await_word(array, i, least, stop, patience):
    """Wait until word i reaches a value, spinning for at most `patience` rounds.

    Gives up where word `stop` is not 0. Returns how many rounds it spun.
    """
    spins = 0
    now = read(array, i)
    while now < least:
        give_up_if(read(array, stop))
        if spins < patience:
            spins += 1
        else:
            rest(array, i, now)
        now = read(array, i)
    return spins
