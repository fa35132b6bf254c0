"""Files with one thing changed are refused by name, or work: no crash, no endless wait, no memory without end."""

import os

import numba
import pytest

from guarded import Worker

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits of memory are set by /proc")

# Interpreted loops are slow, and hold no addresses.
MUTANTS = 40 if numba.config.DISABLE_JIT else 500


@pytest.fixture(scope="module")
def worker():
    worker = Worker("file_cases.py", BPTT_NUM_THREADS="1")
    yield worker
    worker.end()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("waits", "exit code 1"), ("ends", "SIGSEGV"), ("fills the memory", "MemoryError")],
)
def test_the_harness_notices(worker, kind, answer):
    with pytest.raises(AssertionError, match=answer):
        worker.run("fault", kind=kind)
    worker.end()


@pytest.mark.parametrize("case", ["forecaster", "characters", "layers"])
def test_files_with_one_thing_changed(worker, case):
    failures = []
    for number in range(MUTANTS):
        try:
            worker.run(case, number=number)
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, f"{len(failures)} of {MUTANTS}:\n" + "\n".join(failures)
