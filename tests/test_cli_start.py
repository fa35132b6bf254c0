"""The first moments of a command: what it imports, that Ctrl-C is heard meanwhile, and its first word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

# Runs a command; first, whatever the test adds.
PROGRAM = """
import sys
{}
from bptt.cli import main
{}
sys.exit(main())
"""

# Ctrl-C comes in the middle of the import of a module.
FINDER = """
class Finder:
    def find_spec(name, path, target=None):
        if name == "{}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder)
"""

# Instead of compiling, say so and what is imported, and leave.
INSTEAD = """
from bptt.numerics import compiling, jit

def compile_here(*_):
    print("compiles", file=sys.stderr, flush=True)
    raise OSError("left")

def plain(self, before=compiling.Progress.plain):
    print("pandas" in sys.modules, file=sys.stderr, flush=True)
    before(self)

jit.Kernel.compile_here = compile_here
compiling.Progress.plain = plain
"""


def run(folder: Path, *command: str, first: str = "", then: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first, then), *command],
        cwd=folder,
        env=dict(os.environ, NUMBA_CACHE_DIR=str(folder / "cache")),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_nothing_large_is_imported_before_main(tmp_path: Path) -> None:
    """So that `main` hears Ctrl-C, from the beginning."""
    then = "print(sorted({'typing', 'typer', 'numpy', 'numba', 'pandas'} & {*sys.modules} - before)); sys.exit()"
    assert run(tmp_path, first="before = {*sys.modules}", then=then).stdout == "[]\n"


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["--help"], ["numpy", "numba", "pandas"]),
        (["forecast", "--help"], ["numpy", "numba", "pandas"]),
        (["text", "train", "--help"], ["numpy", "numba", "pandas"]),
        (["--version"], ["numpy", "numba", "pandas"]),
        (["doctor"], ["pandas", "safetensors"]),
        (["cache", "info"], ["pandas", "safetensors"]),
    ],
)
def test_a_command_imports_what_it_needs(command: list[str], absent: list[str], tmp_path: Path) -> None:
    then = f"code = main()\nprint(code, [name for name in {absent} if name in sys.modules])\nsys.exit()"
    assert run(tmp_path, *command, then=then).stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("name", ["typer", "bptt.cli.text", "numpy", "llvmlite", "numba", "numba.core", "pandas"])
def test_ctrl_c_while_a_module_is_imported(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, "forecast", "--demo", first=FINDER.format(name))
    assert done.returncode == 130
    assert [line for line in done.stderr.splitlines() if "compiling kernels, once" not in line] == ["bptt: stopped"]
    assert done.stdout == ""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("command", "pandas"),
    [(["forecast", "--demo"], False), (["text", "train", "--demo"], True)],
)
def test_the_first_word_comes_before_the_first_kernel(command: list[str], pandas: bool, tmp_path: Path) -> None:
    lines = run(tmp_path, *command, then=INSTEAD).stderr.splitlines()
    assert lines[0] == str(pandas)
    assert lines[1].startswith("bptt: compiling kernels, once")
    assert "compiles" in lines[2:]


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_quiet_training_does_not_say_that_it_compiles(tmp_path: Path) -> None:
    done = run(tmp_path, "text", "train", "--demo", "--quiet", then=INSTEAD)
    assert "compiles" in done.stderr
    assert "kernels" not in done.stderr


def test_the_package_has_its_names(tmp_path: Path) -> None:
    then = """
import bptt
assert "numba" not in sys.modules
assert set(bptt.__all__) <= set(dir(bptt))
try:
    bptt.LTSM
except AttributeError as error:
    print(error)
from bptt import *
named = [getattr(bptt, name).__name__ for name in bptt.__all__]
print(LSTM is bptt.LSTM, [name for name in named if name.removeprefix("bptt.") not in bptt.__all__])
sys.exit()
"""
    assert run(tmp_path, then=then).stdout == "module 'bptt' has no attribute 'LTSM'\nTrue []\n"
