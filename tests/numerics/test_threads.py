"""Teams: shares, barriers, errors, several callers, forks."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.numerics import threads
from bptt.numerics.jit import kernel
from bptt.numerics.team import Team, barrier, share
from bptt.numerics.threads import get_num_threads, run, set_num_threads

compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the interpreter knows one thread")


@kernel
def relay(team, x, rounds):
    """Each round every member reads what its neighbour wrote the round before: wrong without barriers."""
    for r in range(rounds):
        for i in range(team.index, x.shape[1], team.size):
            x[r + 1, i] = x[r, (i + 1) % x.shape[1]] + 1
        barrier(team)
    return x[rounds, 0]


@pytest.fixture
def any_number():
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.interpreted
@given(st.integers(0, 1000), st.integers(1, 40))
def test_shares_follow_each_other_without_gap_or_overlap(n, size):
    ends = [share(n, Team(i, size, np.zeros(8 * size, np.int64))) for i in range(size)]
    assert ends[0][0] == 0
    assert ends[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))
    lengths = [last - first for first, last in ends]
    assert max(lengths) - min(lengths) <= 1


@compiled_only
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_no_member_passes_a_barrier_before_the_others(n, any_number):
    set_num_threads(n)
    for _ in range(20):
        x = np.zeros((301, 13))
        assert run(relay, x, 300) == 300
        assert (x == np.arange(301)[:, None]).all()


@compiled_only
def test_several_python_threads_may_call_at_once(any_number):
    set_num_threads(2)
    arrays = [np.zeros((101, 13)) for _ in range(8)]
    callers = [threading.Thread(target=run, args=(relay, x, 100)) for x in arrays]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((x == np.arange(101)[:, None]).all() for x in arrays)


CHANGING_TEAMS = """
import numpy as np
from bptt.numerics.jit import kernel
from bptt.numerics.team import barrier
from bptt.numerics.threads import run, teams_as_asked

@kernel
def count(team, calls):
    calls[team.index] += 1
    barrier(team)

def main():
    with teams_as_asked():
        for size in [2, 3] * 50_000:
            calls = np.zeros(3, np.int64)
            run(count, calls, threads=size)
            assert calls.tolist() == [1] * size + [0] * (3 - size), (size, calls)
"""


@compiled_only
def test_a_thread_that_was_not_of_the_last_team_does_only_its_own_jobs(tmp_path):
    """It may look at the board late, just when the next job is written: then it made half of the old call again."""
    (tmp_path / "changing_teams.py").write_text(CHANGING_TEAMS)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "BPTT_NUM_THREADS": "3", "NUMBA_CACHE_DIR": str(tmp_path)}
    # In a process of its own: what goes wrong may hang.
    # Not while the module is imported: what compiles, in a thread of its own, imports it, too.
    program = [sys.executable, "-c", "import changing_teams; changing_teams.main()"]
    subprocess.run(program, env=environment, check=True, timeout=300)


def _in_child(queue):
    x = np.zeros((101, 13))
    queue.put(float(run(relay, x, 100)))


@compiled_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(any_number):
    set_num_threads(2)
    run(relay, np.zeros((3, 13)), 2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == 100
    child.join()


@compiled_only
def test_an_error_in_a_member_reaches_the_caller_and_the_team_works_on(any_number):
    set_num_threads(2)

    @kernel
    def fails_in_the_second(team):
        if team.index == 1:
            raise RuntimeError("here")

    with pytest.raises(RuntimeError, match="here"):
        run(fails_in_the_second)
    assert run(relay, np.zeros((3, 13)), 2) == 2


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_number_of_threads_that_is_none_is_refused(n, error):
    with pytest.raises(error, match="n must be an integer of at least 1"):
        set_num_threads(n)


@pytest.mark.parametrize("n", [1025, 10**30])
def test_a_number_of_threads_that_no_machine_has_is_refused(n):
    with pytest.raises(ValueError, match="n must be an integer of at least 1 and at most 1024"):
        set_num_threads(n)


@kernel
def members(team, seen):
    seen[team.index] = 1


@compiled_only
def test_more_threads_than_cores_are_reported_and_not_used(monkeypatch, any_number):
    monkeypatch.setattr(threads, "_most", 2)
    set_num_threads(1000)
    assert get_num_threads() == 1000
    seen = np.zeros(1000, np.int64)
    run(members, seen)
    assert seen.sum() <= 2
    with threads.teams_as_asked():
        run(members, seen, threads=5)
    assert seen[:5].all()


IN_A_PROCESS = """
import os, resource, signal, threading, time
import numpy as np
from bptt.numerics.jit import kernel
from bptt.numerics.team import barrier
from bptt.numerics.threads import run, set_num_threads, teams_as_asked

@kernel
def relay(team, x, rounds):
    for r in range(rounds):
        for i in range(team.index, x.shape[1], team.size):
            x[r + 1, i] = x[r, (i + 1) % x.shape[1]] + 1
        barrier(team)
    return x[rounds, 0]

@kernel
def failing(team, x, member, rounds):
    for r in range(rounds):
        if r == rounds // 2 and team.index == member:
            raise RuntimeError("here")
        x[team.index] += 1
        barrier(team)
    return x[0]

@kernel
def allocating(team, x, elements):
    for r in range(3):
        if team.index > 0:
            x[team.index] = np.empty(elements)[r]
        barrier(team)
    x[0] = 1

set_num_threads(3)
"""


def in_a_process(tmp_path, script):
    """What goes wrong here hangs or ends the process."""
    body = "\n".join("        " + line for line in script.strip().splitlines())
    text = f"{IN_A_PROCESS}\ndef main():\n    with teams_as_asked():\n{body}\n"
    (tmp_path / "in_a_process.py").write_text(text)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path)}
    program = [sys.executable, "-c", "import in_a_process; in_a_process.main()"]
    subprocess.run(program, env=environment, check=True, timeout=300)


@compiled_only
def test_an_error_in_one_member_ends_those_that_wait_at_a_barrier(tmp_path):
    in_a_process(
        tmp_path,
        """
for member in (0, 1, 2):
    for _ in range(20):
        x = np.zeros(3)
        try:
            run(failing, x, member, 100)
        except RuntimeError as error:
            assert str(error) == "here"
        else:
            raise AssertionError("no error")
        # Nobody got past the barrier that the one who failed never reached.
        assert x[member] == 50 and x.max() <= 51, x
        assert run(relay, np.zeros((101, 13)), 100) == 100
""",
    )


@compiled_only
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is Linux's")
def test_memory_that_a_member_cannot_have_is_a_memory_error_in_the_caller(tmp_path):
    in_a_process(
        tmp_path,
        """
run(allocating, np.zeros(3), 10)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
for _ in range(5):
    try:
        run(allocating, np.zeros(3), 1 << 30)
    except MemoryError:
        pass
    else:
        raise AssertionError("no error")
    assert run(relay, np.zeros((101, 13)), 100) == 100
""",
    )


@compiled_only
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")
def test_a_signal_handler_may_call_in_while_a_team_works(tmp_path):
    in_a_process(
        tmp_path,
        """
calls = []
def handler(number, frame):
    calls.append(run(relay, np.zeros((11, 13)), 10))
run(relay, np.zeros((3, 13)), 2)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while len(calls) < 200:
    assert run(relay, np.zeros((31, 13)), 30) == 30
signal.setitimer(signal.ITIMER_REAL, 0)
assert set(calls) == {10}, calls
""",
    )


@compiled_only
def test_a_call_within_a_call_runs_alone(any_number, monkeypatch):
    """As a signal handler's does, whatever it interrupts."""
    set_num_threads(2)
    nested, call_in = [], threads._pool.call_in

    def interrupted(size):
        nested.append(run(relay, np.zeros((11, 13)), 10))
        call_in(size)

    monkeypatch.setattr(threads._pool, "call_in", interrupted)
    assert run(relay, np.zeros((3, 13)), 2) == 2
    assert nested == [10]


@compiled_only
def test_where_the_system_gives_no_thread_the_team_is_smaller(any_number, monkeypatch):
    pool = threads._Pool()
    monkeypatch.setattr(threads, "_pool", pool)

    class Refused:
        def __init__(self, *arguments):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_Worker", Refused)
    set_num_threads(3)
    seen = np.zeros(3, np.int64)
    run(members, seen)
    assert seen.tolist() == [1, 0, 0]
