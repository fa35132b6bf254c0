"""Teams: shares, barriers, errors, several callers, forks."""

import itertools
import multiprocessing
import os
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
from bptt.numerics.threads import Team, barrier, get_num_threads, run, set_num_threads, share

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
from bptt.numerics.threads import barrier, run

@kernel
def count(team, calls):
    calls[team.index] += 1
    barrier(team)

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
    subprocess.run([sys.executable, "-c", "import changing_teams"], env=environment, check=True, timeout=120)


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


def test_the_environment_sets_the_number(monkeypatch):
    monkeypatch.setenv("BPTT_NUM_THREADS", "3")
    assert threads._asked_threads() == 3
    monkeypatch.setenv("BPTT_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="BPTT_NUM_THREADS='many'"):
        threads._asked_threads()
