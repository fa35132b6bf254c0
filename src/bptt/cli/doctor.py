"""`bptt doctor` and `bptt cache`: what this installation runs on, and the machine code that it keeps."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections import Counter
from importlib.metadata import PackageNotFoundError, version

import typer

__all__ = ["cache", "doctor"]

PACKAGES = ("numpy", "numba", "llvmlite", "pandas", "safetensors", "tqdm", "typer")
NEXT_LINE = "\n" + " " * 12
VARIABLES = re.compile(r"BPTT_|NUMBA_|XDG_CACHE_HOME$|OMP_NUM_THREADS$|PYTHONPATH$|TMPDIR$")
LEVELS = {
    "x86-64-v2": {"cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"},
    "x86-64-v3": {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"},
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

cache = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@cache.callback(invoke_without_command=True)
def _cache_alone(context: typer.Context) -> None:
    """The compiled kernels on disk."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def doctor() -> None:
    """Show versions, processor, threads and the state of the kernel cache."""
    import bptt
    from bptt.numerics.numba_internals import NEWEST, OLDEST

    tested = {"numba": " (tested: {}.{} to {}.{})".format(*OLDEST, *NEWEST)}
    print(f"{'bptt':12}{bptt.__version__}")
    print(f"{'Python':12}{platform.python_version()} ({platform.python_implementation()}, {sys.platform})")
    for package in PACKAGES:
        print(f"{package:12}{_version(package)}{tested.get(package, '')}")
    print(f"{'processor':12}{_processor()}")
    print(f"{'threads':12}{_threads()}")
    for line in _cache():
        print(line)
    found = [f"{name}={value}" for name, value in sorted(os.environ.items()) if VARIABLES.match(name)]
    print(f"{'environment':12}{NEXT_LINE.join(found) or 'nothing set that matters here'}")


@cache.command()
def info() -> None:
    """Show where compiled kernels lie, how much there is, and which are ready."""
    for line in _cache():
        print(line)


@cache.command()
def clear() -> None:
    """Remove the compiled kernels of every version; the next use compiles them again."""
    from bptt.numerics import cache_folder

    print(f"{_megabytes(cache_folder.clear())} freed")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    from llvmlite import binding

    from bptt.numerics.simd import BITS

    features = {name for name, present in binding.get_host_cpu_features().items() if present}
    level = ""
    needed: set[str] = set()
    for name, adds in LEVELS.items():
        needed |= adds
        level = name if needed <= features else level
    if "neon" in features or platform.machine().lower() in ("arm64", "aarch64"):
        level = "NEON"
    return f"{binding.get_host_cpu_name()}, {level or platform.machine()}, vectors of {BITS} bits"


def _threads() -> str:
    import bptt
    from bptt.numerics.cores import available_cores, quotas

    quota = min(quotas(), default=None)
    limit = "no quota" if quota is None else f"a quota of {quota:g}"
    return f"{bptt.get_num_threads()} used, {available_cores()} available, {limit}, {os.cpu_count()} in the machine"


def _cache() -> list[str]:
    """The cache's folder, state and contents, in lines."""
    from bptt.numerics import cache_folder
    from bptt.numerics.kernel_cache import CACHE

    lines = [f"{'cache':12}{CACHE.folder or 'none: each start compiles'}"]
    lines += [f"{'':12}not used: {why}" for why in CACHE.refused]
    if CACHE.folder is None:
        return lines
    writable = os.access(CACHE.folder, os.W_OK)
    trusted = cache_folder.flaw(CACHE.folder) or "closed to other users"
    files = [path.name for path in CACHE.folder.glob("*" + cache_folder.SUFFIX)]
    lines.append(f"{'':12}{'writable' if writable else 'can only be read'}, {trusted}")
    lines.append(f"{'':12}{len(files)} kernels, {_megabytes(cache_folder.size(CACHE.folder))}")
    others = [folder for folder in cache_folder.folders(CACHE.folder.parent) if folder != CACHE.folder]
    if others:
        total = sum(cache_folder.size(folder) for folder in others)
        lines.append(f"{'':12}{len(others)} folders of other versions, {_megabytes(total)}")
    entrances = Counter(
        name.rpartition("-")[0].removesuffix("_on_a_team").removeprefix("bptt.")
        for name in files
        if "_on_a_team-" in name
    )
    ready = [f"{name} ({count})" if count > 1 else name for name, count in sorted(entrances.items())]
    lines.append(f"{'ready':12}{NEXT_LINE.join(ready) or 'nothing yet: the first use compiles'}")
    return lines


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
