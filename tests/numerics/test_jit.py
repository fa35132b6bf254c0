"""The decorator: what the flags keep, and that cached machine code is used, but never when it is stale."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from bptt.numerics import jit, matmul
from bptt.numerics.jit import borrow, kernel

compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])

CALLEE = """
from bptt.numerics.jit import kernel
FACTOR = 2.0

@kernel
def scale(x):
    return FACTOR * x
"""
CALLER = """
import numba
from bptt.numerics.callee import scale
from bptt.numerics.jit import CACHE_DIRECTORY, kernel

@kernel
def scaled_sum(x):
    total = 0.0
    for j in range(x.size):
        total += scale(x[j])
    return total
"""
# Prints the value, how many kernels came from the cache, how many were compiled, and where the cache is.
PROGRAM = """
import numpy as np
from bptt.numerics import caller
value = caller.scaled_sum(np.ones(3))
stats = caller.scaled_sum.stats
print(value, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), caller.CACHE_DIRECTORY)
"""


class Tree:
    """A copy of the package with two files more, and a home of its own."""

    def __init__(self, root: Path):
        self.root, self.home, self.temporary = root, root / "home", root / "tmp"
        self.package = root / "src" / "bptt"
        shutil.copytree(jit.PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.home.mkdir()
        self.temporary.mkdir()
        self.callee = self.package / "numerics" / "callee.py"
        self.callee.write_text(CALLEE)
        (self.package / "numerics" / "caller.py").write_text(CALLER)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_", "BPTT_"))}
        variables |= {
            "PYTHONPATH": str(self.root / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
        }
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            env=variables | environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[float, int, int, str]:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        value, hits, misses, directory = out.split(maxsplit=3)
        return float(value), int(hits), int(misses), directory.strip()

    def run(self, **environment: str) -> tuple[float, int, int, str]:
        return self.finish(self.start(**environment))

    def edit_callee(self, before: str, after: str) -> None:
        text = self.callee.read_text()
        assert before in text
        self.callee.write_text(text.replace(before, after))


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@compiled_only
def test_second_process_hits_and_an_edited_callee_misses(tree):
    value, hits, misses, first = tree.run()
    assert (value, hits, misses) == (6, 0, 1)
    value, hits, misses, again = tree.run()
    assert (value, hits, misses, again) == (6, 1, 0, first)
    # Neither a global nor the body of a function in another file is in Numba's own key.
    tree.edit_callee("FACTOR = 2.0", "FACTOR = 5.0")
    value, hits, misses, second = tree.run()
    assert (value, hits, misses) == (15, 0, 1)
    tree.edit_callee("FACTOR * x", "FACTOR * x + 1")
    value, hits, misses, third = tree.run()
    assert (value, hits, misses) == (18, 0, 1)
    assert len({first, second, third}) == 3
    assert tree.run()[:3] == (18, 1, 0)


@compiled_only
def test_what_is_compiled_apart_is_found_again_and_never_stale(tree):
    """Its callers hold a symbol only: the second process has to load it before them, the edit to reach it."""
    tree.callee.write_text(CALLEE.replace("import kernel", "import apart").replace("@kernel", "@apart()"))
    assert tree.run()[:3] == (6, 0, 1)
    assert tree.run()[:3] == (6, 1, 0)
    tree.edit_callee("FACTOR = 2.0", "FACTOR = 5.0")
    assert tree.run()[:3] == (15, 0, 1)
    assert tree.run()[:3] == (15, 1, 0)


@compiled_only
def test_what_is_compiled_apart_has_no_entrance_for_python():
    with pytest.raises(TypeError, match="strips is compiled for other kernels only"):
        matmul.strips(1)


@compiled_only
def test_other_vectors_are_other_code(tree):
    directories = {tree.run(BPTT_VECTOR_BITS=bits)[3] for bits in ("128", "256")}
    assert len(directories) == 2


@compiled_only
def test_processes_that_start_at_once(tree):
    processes = [tree.start() for _ in range(3)]
    assert [tree.finish(process)[0] for process in processes] == [6, 6, 6]
    assert tree.run()[:3] == (6, 1, 0)


def forbid(directory: Path) -> None:
    """A file where a folder would have to be: nobody can write below it, not even root."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.write_text("")


@compiled_only
def test_package_that_cannot_be_written_to_uses_the_home(tree):
    forbid(tree.package / "__pycache__")
    assert tree.run()[:3] == (6, 0, 1)
    _, hits, _, directory = tree.run()
    assert hits == 1
    assert Path(directory).is_relative_to(tree.home)


@compiled_only
def test_package_and_home_that_cannot_be_written_to_use_the_temporary_folder(tree):
    forbid(tree.package / "__pycache__")
    forbid(tree.home)
    assert tree.run()[:3] == (6, 0, 1)
    _, hits, _, directory = tree.run()
    assert hits == 1
    assert Path(directory).is_relative_to(tree.temporary)


@compiled_only
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_permissions_are_tried_not_guessed(tree):
    tree.package.chmod(0o555)
    tree.home.chmod(0o555)
    try:
        _, _, _, directory = tree.run()
    finally:
        tree.package.chmod(0o755)
        tree.home.chmod(0o755)
    assert Path(directory).is_relative_to(tree.temporary)


def test_nowhere_to_write_means_no_cache(monkeypatch):
    monkeypatch.setattr(jit, "private_directory", lambda path: False)
    assert jit.cache_directory() is None
    monkeypatch.setattr(jit, "CACHE_DIRECTORY", None)

    @kernel
    def twice(x):
        return x + x

    assert twice(1.5) == 3


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert not jit.private_directory(tmp_path / "file" / "below")
    assert jit.private_directory(tmp_path / "new" / "folder")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are a matter of POSIX")
def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert not jit.private_directory(tmp_path)


def test_kernels_of_others_are_cached_where_they_were():
    before = numba.config.CACHE_DIR

    @kernel
    def first(x):
        return x

    assert numba.config.CACHE_DIR == before
    with pytest.raises(ZeroDivisionError), jit.cache_here():
        raise ZeroDivisionError
    assert numba.config.CACHE_DIR == before


@pytest.mark.interpreted
@BOTH
@pytest.mark.parametrize("exact", [False, True])
def test_nan_and_infinity_are_not_assumed_away(dtype, exact, monkeypatch):
    # Numba's cache takes two functions of one name, line and body for one, whatever their flags.
    monkeypatch.setattr(jit, "CACHE_DIRECTORY", None)

    @kernel(exact=exact)
    def verdicts(x, out):
        for j in range(x.size):
            out[0, j] = x[j] != x[j]
            out[1, j] = np.isnan(x[j])
            out[2, j] = np.isinf(x[j])
            out[3, j] = x[j] * x.dtype.type(0) == x.dtype.type(0)

    x = np.array([1, np.nan, np.inf, -np.inf, -np.nan, 0] * 5, dtype)
    out = np.empty((4, x.size), bool)
    with np.errstate(invalid="ignore"):
        verdicts(x, out)
    expected = np.isnan(x), np.isnan(x), np.isinf(x), np.isfinite(x)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.interpreted
@BOTH
def test_exact_keeps_the_order_of_operations(dtype):
    """Fast kernels may cancel the two additions; the rounding by a large number lives on their order."""

    @kernel(exact=True)
    def rounded(x, large):
        return (x + large) - large

    large = dtype(1.5 / np.finfo(dtype).eps)
    assert [rounded(dtype(x), large) for x in (0.4, 0.6, 2.5, -1.2)] == [0, 1, 2, -1]


@pytest.mark.interpreted
def test_division_by_zero_is_that_of_numpy():
    @kernel
    def divide(x, y):
        return x / y

    with np.errstate(divide="ignore"):
        assert divide(np.float64(1), np.float64(0)) == np.inf


@pytest.mark.interpreted
def test_borrowed_array_is_the_same_memory():
    @kernel
    def fill(x):
        x = borrow(x)
        for row in range(x.shape[0]):
            x[row][1:] = row

    x = np.full((3, 4), 7.0)
    owners = sys.getrefcount(x)
    fill(x)
    np.testing.assert_array_equal(x, [[7, 0, 0, 0], [7, 1, 1, 1], [7, 2, 2, 2]])
    assert sys.getrefcount(x) == owners


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the interpreter calls every function")
def test_a_kernel_without_an_entrance_for_python_says_so():
    @kernel(inner=True)
    def inner(x):
        return x + 1

    @kernel
    def outer(x):
        return inner(x)

    assert outer(1) == 2
    with pytest.raises(TypeError, match="inner is compiled for other kernels only"):
        inner(1)
