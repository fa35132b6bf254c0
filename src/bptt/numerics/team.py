"""Teams of threads: a member's index, the barrier where members wait for each other, and the board for their jobs.

Every member runs the same kernel from beginning to end with its own `Team`: it takes its `share` of each loop and
meets the others at a `barrier` where one part needs what another one wrote. Compared with Numba's `prange` a
barrier costs under a microsecond where a parallel region costs five, a kernel is compiled once instead of three
times, any number of threads may be asked for, several Python threads may call in, and a forked process works on.
Which member does what never changes a result: sums have an order of their own (see `numerics.matmul`).

`numerics.threads` makes the threads and has them run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from bptt.numerics.jit import bind, emit_call, kernel
from bptt.numerics.numba_internals import cgutils, signature
from bptt.numerics.words import (
    FUTEX,
    GIVEN_UP,
    add,
    await_word,
    emit_cpu_time,
    exchange,
    give_up_if,
    read,
    rest,
    run_signal_handlers,
    store,
    swap_if,
    wake,
)

__all__ = ["Team", "barrier", "check_signals", "share"]

# How often a worker that has nothing to do leaves its core to others before it goes to sleep.
RESTS = 2000 if FUTEX is None else 10


class Team(NamedTuple):
    """A member's place in its team."""

    index: int  # type: ignore[assignment]  # a tuple has a method of this name
    size: int
    sync: np.ndarray  # int64 (8 * size + 8,): how many barriers each has come to, one on a cache line; who has failed


@kernel
def share(n, team):
    """First and last (exclusive) of the `n` turns of a loop that are this member's."""
    return n * team.index // team.size, n * (team.index + 1) // team.size


# Words beside a member's count of barriers (and of those who rest on it): rounds that it spun, nanoseconds of its job.
SPUN, USED = 2, 3
# Beside the word that says who has failed: rounds that a member spins at a barrier.
PATIENT = 1


@kernel
def barrier_wait(sync, index, size):
    """Each member counts its barriers on its own cache line, and waits until all others have reached the same count."""
    here = read(sync, 8 * index) + 1
    store(sync, 8 * index, here)
    wake(sync, 8 * index)
    spins, patience = 0, sync[8 * size + PATIENT]
    for other in range(size):
        spins += await_word(sync, 8 * other, here, 8 * size, patience)
    sync[8 * index + SPUN] += spins


def barrier(team: Team) -> None:
    """Wait until every member of the team has reached this line."""


@overload(barrier)
def _compiled_barrier(team):
    def compiled(team):
        if team.size > 1:
            barrier_wait(team.sync, team.index, team.size)

    return compiled


def check_signals(team: Team) -> None:
    """Run Python's signal handlers, and end the job if one raises, as that of Ctrl-C does.

    All members call it, a few times per second, in jobs that may be left half done: never within a training step.
    """


@overload(check_signals)
def _compiled_check_signals(team):
    def compiled(team):
        if team.index == 0:
            run_signal_handlers()
        give_up_if(read(team.sync, 8 * team.size))

    return compiled


# Words of the board on which a job is posted for the workers; each is alone on its cache line.
JOB, DONE, WANTED, CODE, DATA, SIZE, NEVER, IDLE = 0, 8, 16, 24, 32, 40, 48, 56
BOARD = 64
AWAKE, ASLEEP = 0, 1


@intrinsic
def call_at(typingctx: Any, code: Any, data: Any, index: Any) -> Any:
    """Call the function at address `code` on (data, index): what `fork` has posted."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte, word = ir.PointerType(ir.IntType(8)), ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.PointerType(ir.FunctionType(ir.VoidType(), [byte, word])))
        builder.call(pointer, [builder.inttoptr(args[1], byte), args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@kernel
def worker_loop(board, state, index, last):
    """Do the jobs posted after number `last`; returns the number of the last one when there was none for a while."""
    idle = 0
    while True:
        job = read(board, JOB)
        if job != last and job % 2 == 0:
            code, data, size = read(board, CODE), read(board, DATA), read(board, SIZE)
            if read(board, JOB) == job:  # else these three may be of the next one
                if index < size:
                    call_at(code, data, index)
                    add(board, DONE, 1)
                    wake(board, DONE)
                last, idle = job, 0
        idle += 1
        patience = read(board, IDLE)
        if idle > patience:
            rest(board, JOB, job)
        if idle > patience + RESTS and swap_if(state, 0, AWAKE, ASLEEP) == 1:
            # Whoever wants a team sets WANTED before it looks for sleepers: one of the two sees the other.
            if read(board, JOB) | 1 == last | 1 and read(board, WANTED) == 0:
                return last
            if swap_if(state, 0, ASLEEP, AWAKE) == 0:
                return last
            idle = 0


@kernel
def want(board, yes):
    store(board, WANTED, yes)


@kernel
def reset_job(board, size):
    """Before anything of the next job is written: an odd number, which `entrance` makes even when all of it is there.

    A worker that was not of the last team may be reading just now; it would take the old code with the new size.
    """
    store(board, JOB, read(board, JOB) | 1)
    store(board, SIZE, size)


@kernel
def was_asleep(state):
    """Whether this worker must be woken; from now on it counts as awake."""
    return exchange(state, 0, AWAKE) == ASLEEP


def member_of_team(member: Any, sync: Any, args: Any) -> Any:
    """The signature with which `member` is called for these further arguments."""
    argtypes = (types.NamedTuple((types.int64, types.int64, sync), Team), *args)
    return signature(bind(member, argtypes), *argtypes)


def outcome_type(context: Any, inner: Any) -> Any:
    """A member's result: status, exception, value."""
    exception = context.call_conv.get_function_type(inner.return_type, inner.args).args[1].pointee
    return ir.LiteralStructType([ir.IntType(32), exception, context.get_value_type(inner.return_type)])


def part_of(builder: Any, outcome: Any, k: int) -> Any:
    return builder.gep(outcome, [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), k)])


def posting_of(member: Any) -> Any:
    """An intrinsic function (board, sync, args) that writes the call `member(team, *args)` on the board.

    Returns the address of the members' outcomes. Everything lies in the frame of the function that calls it.
    """

    @intrinsic
    def post(typingctx: Any, board: Any, sync: Any, args: Any) -> Any:
        inner = member_of_team(member, sync, args)

        def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            word, byte = ir.IntType(64), ir.PointerType(ir.IntType(8))
            words = context.make_array(sig.args[0])(context, builder, values[0]).data
            size = builder.load(builder.gep(words, [ir.Constant(word, SIZE)]))
            outcomes = builder.alloca(outcome_type(context, inner), size=size)
            arguments = cgutils.unpack_tuple(builder, values[2])
            data = cgutils.alloca_once_value(
                builder, cgutils.pack_struct(builder, [size, values[1], outcomes, *arguments])
            )

            # The member's call as a function of its index, which any thread can make at its address.
            name = builder.module.get_unique_name("member")
            thunk = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte, word]), name)
            thunk.linkage = "internal"
            inside = ir.IRBuilder(thunk.append_basic_block("entry"))
            shared = inside.load(inside.bitcast(thunk.args[0], data.type))
            its_size, its_sync, its_outcomes, *its_arguments = cgutils.unpack_tuple(inside, shared)
            team = context.make_tuple(inside, inner.args[0], [thunk.args[1], its_size, its_sync])
            before = emit_cpu_time(inside)
            status, result = emit_call(context, inside, member, inner, [team, *its_arguments])
            own = inside.gep(
                context.make_array(sync)(context, inside, its_sync).data,
                [inside.add(inside.mul(thunk.args[1], ir.Constant(word, 8)), ir.Constant(word, USED))],
            )
            inside.store(inside.sub(emit_cpu_time(inside), before), own)
            outcome = inside.gep(its_outcomes, [thunk.args[1]])
            for k, part in enumerate((status.code, status.excinfoptr, result)):
                inside.store(part, part_of(inside, outcome, k))
            with cgutils.if_unlikely(inside, status.is_error):
                # The others would wait for this member at the next barrier for ever.
                flags = context.make_array(sync)(context, inside, its_sync).data
                at = inside.gep(flags, [inside.mul(its_size, ir.Constant(word, 8))])
                inside.store_atomic(ir.Constant(word, 1), at, "seq_cst", 8)
            inside.ret_void()

            for place, pointer in ((CODE, thunk), (DATA, data)):
                at = builder.gep(words, [ir.Constant(word, place)])
                builder.store_atomic(builder.ptrtoint(pointer, word), at, "seq_cst", 8)
            return builder.ptrtoint(outcomes, word)

        return types.int64(board, sync, args), codegen

    return post


def ending_of(member: Any) -> Any:
    """An intrinsic function (outcomes, size, sync, args) that raises what a member raised, else returns its result."""

    @intrinsic
    def end(typingctx: Any, outcomes: Any, size: Any, sync: Any, args: Any) -> Any:
        inner = member_of_team(member, sync, args)

        def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            first = builder.inttoptr(values[0], ir.PointerType(outcome_type(context, inner)))
            with cgutils.for_range(builder, values[1]) as loop:
                outcome = builder.gep(first, [loop.index])
                code = builder.load(part_of(builder, outcome, 0))
                # Those that gave up did so because of one that failed by itself.
                failed = builder.icmp_signed("!=", code, ir.Constant(code.type, 0))
                by_itself = builder.icmp_signed("!=", code, ir.Constant(code.type, GIVEN_UP))
                with builder.if_then(builder.and_(failed, by_itself), likely=False):
                    builder.store(builder.load(part_of(builder, outcome, 1)), builder.function.args[1])
                    builder.ret(code)
            return builder.load(part_of(builder, first, 2))

        return inner.return_type(outcomes, size, sync, args), codegen

    return end
