"""The one decorator of every compiled function, and the guard of its on-disk cache.

Numba's cache knows a function by its own bytecode and argument types; it does not see an edit in a function it
calls, in a global, or in another file. Here the cache of the whole package lies in a folder named after a hash of
every compiled source file, of the versions of numba and llvmlite, and of what the environment says about vectors:
an edit anywhere in the compiled code opens a new folder, and stale machine code is never run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config, njit
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload
from numba.misc.appdirs import user_cache_dir

__all__ = ["borrow", "kernel"]

# Never "nnan" or "ninf": training must see the NaN that they would let LLVM assume away.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
# For formulas whose order of operations carries the accuracy (range reduction, compensated sums).
EXACT = {"nsz", "contract"}
# For results that must have the same bits wherever they are computed. In a b + c d the compiler chooses which
# product is fused, in a b c which two are multiplied first. It optimizes a function again inside every caller
# and may choose differently there, and which copy runs depends on what the process compiled or ran before.
STRICT = {"nsz"}

PACKAGE = Path(__file__).resolve().parent.parent


def fingerprint() -> str:
    """Hash of all that the machine code depends on and that Numba's own cache key leaves out."""
    digest = hashlib.sha256()
    for part in (
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        os.environ.get("BPTT_VECTOR_BITS", ""),
    ):
        digest.update(part.encode() + b"\0")
    for source in sorted(PACKAGE.rglob("*.py")):
        text = source.read_bytes()
        if source.name == "jit.py" or b"numerics.jit import" in text:
            digest.update(source.relative_to(PACKAGE).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()[:16]


def private_directory(path: Path) -> bool:
    """Whether `path` exists or could be made, can be written to, and belongs to this user alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        # Cached machine code is executed: a folder that somebody else made in a shared place is no cache.
        return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    except OSError:
        return False


def cache_directory() -> str | None:
    """Where this version of the compiled code is kept, or None where nothing can be written."""
    name = "kernels-" + fingerprint()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    candidates = [Path(config.CACHE_DIR)] if config.CACHE_DIR else []
    try:
        temporary = [Path(tempfile.gettempdir()) / f"bptt-{user}"]
    except FileNotFoundError:  # not one temporary folder can be written to
        temporary = []
    candidates += [
        PACKAGE / "__pycache__",
        Path(user_cache_dir("bptt")),
        *temporary,
    ]
    return next((str(path / name) for path in candidates if private_directory(path / name)), None)


CACHE_DIRECTORY = cache_directory()


@contextlib.contextmanager
def cache_here() -> Iterator[None]:
    """Point Numba's cache at this package's folder while one function is being decorated, and only then."""
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE_DIRECTORY or before
    try:
        yield
    finally:
        config.CACHE_DIR = before


class InnerKernel(CPUDispatcher):  # type: ignore[misc]
    """A kernel without an entrance for Python: to go in all the same would end the process."""

    def __call__(self, *arguments: Any) -> None:
        raise TypeError(f"{self.__name__} is compiled for other kernels only: call it from a function under @kernel")


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    exact: bool = False,
    strict: bool = False,
    inner: bool = False,
) -> Any:
    """Compile a function of arrays and scalars; it validates nothing.

    Parameters
    ----------
    exact : bool
        Keep the written order of floating-point operations (used where that order is the method).
    strict : bool
        Leave no choice of rounding at all: for elementwise formulas that sum products. There it costs nothing
        that can be measured; a sum over a loop would no longer be made with vectors.
    inner : bool
        Only other kernels call it, never Python: compiled without the entrance for Python, which for a function of
        many arrays takes as long to compile as the function.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        with cache_here():
            compiled = njit(
                nogil=True,
                error_model="numpy",
                cache=CACHE_DIRECTORY is not None,
                fastmath=STRICT if strict else EXACT if exact else FASTMATH,
                no_cfunc_wrapper=True,
                no_cpython_wrapper=inner,
            )(function)
        if inner and not config.DISABLE_JIT:
            compiled.__class__ = InnerKernel
        return compiled

    return decorate if function is None else decorate(function)


def borrow(array: Any) -> Any:
    """The same array without a part in its memory's reference count.

    Each view of a row otherwise counts up and down with locked instructions, which costs as much as computing a
    short row. The caller's own argument keeps the memory alive.
    """
    return array


@intrinsic
def _borrow(typingctx: Any, array: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        view.meminfo = view.meminfo.type(None)
        view.parent = view.parent.type(None)
        return view._getvalue()

    return array(array), codegen


@overload(borrow)
def _compiled_borrow(array):
    return lambda array: _borrow(array)
