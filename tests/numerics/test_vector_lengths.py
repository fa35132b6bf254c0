"""Every length of vectors, and processors without AVX-512, AVX2 and FMA, on any machine.

BPTT_VECTOR_BITS chooses vectors (LLVM takes apart what the processor does not have), NUMBA_CPU_NAME and
NUMBA_CPU_FEATURES hide a part of the processor from Numba. Each choice is a process of its own that compiles anew.
"""

import os
import platform
import subprocess
import sys
from typing import NamedTuple

import llvmlite.binding as llvm
import numba
import pytest

from guarded import Worker
from problem import every_cell

pytestmark = [
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="compiled vectors only"),
    pytest.mark.skipif(os.name != "posix", reason="guard pages are made with mprotect"),
]

SSE2 = "+sse,+sse2,+fxsr,+cmov,+cx8,+mmx,+64bit"
AVX = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+sahf,+xsave,+avx,+avx2,+bmi,+bmi2,+lzcnt,+movbe,+f16c"


class Machine(NamedTuple):
    """What to tell a process of its processor."""

    dtype: str
    bits: int
    fused: bool | None  # whether it multiplies and adds in one instruction; None for what this processor does
    cpu: str = ""
    features: str = ""
    asked: bool = True  # by BPTT_VECTOR_BITS, else found from the features

    def environment(self):
        said = {"BPTT_VECTOR_BITS": str(self.bits)} if self.asked else {}
        return said | ({"NUMBA_CPU_NAME": self.cpu, "NUMBA_CPU_FEATURES": self.features} if self.cpu else {})

    def runs_here(self):
        if not self.cpu:
            return True
        has = llvm.get_host_cpu_features()
        return platform.machine().lower() in ("x86_64", "amd64") and all(
            has.get(feature[1:], False) for feature in self.features.split(",")
        )


MACHINES = {
    "128 bits": Machine("float64", 128, None),
    "256 bits": Machine("float32", 256, None),
    "512 bits": Machine("float64", 512, None),
    "SSE2": Machine("float32", 128, False, "generic", SSE2, asked=False),
    "AVX2 without FMA": Machine("float64", 256, False, "generic", SSE2 + "," + AVX, asked=False),
    "AVX2": Machine("float32", 256, True, "haswell", SSE2 + "," + AVX + ",+fma", asked=False),
    "AVX2, 512 bits": Machine("float32", 512, True, "haswell", SSE2 + "," + AVX + ",+fma"),
}


@pytest.fixture(scope="module", params=MACHINES)
def machine(request, tmp_path_factory):
    """A running process of this kind, and its record."""
    machine = MACHINES[request.param]
    if not machine.runs_here():
        pytest.skip(f"this processor has not all of {machine.features}")
    cache = str(tmp_path_factory.mktemp("cache"))
    worker = Worker("vector_cases.py", NUMBA_CACHE_DIR=cache, **machine.environment())
    yield worker, machine
    worker.end()


def test_the_process_is_what_it_is_told(machine):
    worker, said = machine
    if said.fused is not None:
        worker.run("is_compiled_for", bits=said.bits, fused=said.fused)


def test_nonlinearities(machine):
    worker, said = machine
    worker.run("nonlinearities", dtype=said.dtype)


def test_products_between_guard_pages(machine):
    worker, said = machine
    lanes = said.bits // (32 if said.dtype == "float32" else 64)
    for N in (*range(1, 3 * lanes + 2), 70):
        for M in (*range(1, 10), 17):
            worker.run("product", dtype=said.dtype, M=M, N=N, depths=[0, 1, 3], kinds=["row", "itself"])
        worker.run("product", dtype=said.dtype, M=5, N=N, depths=[7], kinds=["matrix"], columns=[0, 1, 2, 3])
        for flip in (False, True):
            worker.run("pack", dtype=said.dtype, K=3, N=N, above=1, left=N % 5, flip=flip, threads=2)
        for n in (1, 3, 4, 5, 8, 9, 33):
            worker.run("transposed_products", dtype=said.dtype, R=5, n=n, N=N, N2=3, blocks=2, threads=2)


@every_cell
def test_cells_between_guard_pages(machine, name):
    worker, said = machine
    for n in range(1, 36):
        worker.run("cell", name=name, dtype=said.dtype, n=n, ranges=[(0, n), (n - 1, n), (n // 2, n), (0, 1)])
    for T, B, I, H in ((3, 5, 1, 9), (2, 25, 4, 17)):
        worker.run("passes", name=name, dtype=said.dtype, T=T, B=B, I=I, H=H, without_dy=1, threads=2)


@every_cell
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (4, 3, 5, 7, 2), (7, 17, 9, 33, 1), (3, 33, 34, 19, 2)], ids=str)
def test_layers_match_the_naive_loops(machine, name, sizes):
    worker, said = machine
    worker.run("layer", name=name, dtype=said.dtype, sizes=sizes)


def test_a_vector_length_that_does_not_exist_is_refused():
    environment = os.environ | {"BPTT_VECTOR_BITS": "300"}
    done = subprocess.run(
        [sys.executable, "-c", "from bptt import LSTM"], env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "BPTT_VECTOR_BITS='300': accepted are 128, 256 and 512" in done.stderr
