"""What all tests share: two threads on any machine, reproducible hypothesis runs."""

import os

# Two threads on a machine of one core, too; before the library reads it.
os.environ.setdefault("BPTT_NUM_THREADS", "2")

import hypothesis
import numba
import pytest

hypothesis.settings.register_profile("bptt", deadline=None, derandomize=True, max_examples=25)
# Interpreted loops are some hundred times slower: fewer examples say enough.
hypothesis.settings.register_profile("interpreted", deadline=None, derandomize=True, max_examples=5)
hypothesis.settings.load_profile("interpreted" if numba.config.DISABLE_JIT else "bptt")


@pytest.fixture(scope="session")
def jit_disabled() -> bool:
    """Whether the kernels run as plain Python (NUMBA_DISABLE_JIT=1): tests then take smaller sizes."""
    return bool(numba.config.DISABLE_JIT)


@pytest.fixture(autouse=True)
def _threads_as_they_were():
    """A test that sets the number of threads sets it for itself alone, and its teams have that number of members."""
    from bptt.numerics.threads import get_num_threads, set_num_threads, teams_as_asked

    before = get_num_threads()
    with teams_as_asked():
        yield
    set_num_threads(before)
