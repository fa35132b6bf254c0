"""Releases of Numba that were not tested: what importing the package says."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bptt.numerics import numba_internals


def imported(version, *changes):
    """Import the package in a process in which Numba has this version and these changes."""
    use = "import bptt, numpy; bptt.RNN(1, 1)(numpy.ones((1, 1, 1), 'float32'))"
    code = "\n".join(["import numba, numba.core.caching", f"numba.__version__ = {version!r}", *changes, use])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("version", "changes"), [("0.60.0", []), ("0.99.1", ["del numba.core.caching._Cache"])], ids=["older", "newer"]
)
def test_a_release_that_cannot_work_is_named_with_those_that_do(version, changes):
    ended = imported(version, *changes)
    message = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert message.startswith("ImportError: bptt is tested with Numba 0.61 to ")
    assert f"and {version} is installed" in message
    assert "python -m pip install 'numba>=0.61,<0." in message


def test_a_newer_release_that_works_gets_one_warning():
    ended = imported("0.99.1")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("0.99.1 is installed") == 1


def test_the_oldest_release_is_the_declared_one():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = next(re.fullmatch(r"numba>=(\d+)\.(\d+)", line) for line in project["dependencies"] if "numba" in line)
    assert tuple(map(int, declared.groups())) == numba_internals.OLDEST < numba_internals.NEWEST
