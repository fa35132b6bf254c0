"""The one decorator of every compiled function, and the guard of its on-disk cache.

Numba's cache knows a function by its own bytecode and argument types; it does not see an edit in a function it
calls, in a global, or in another file. Here the cache of the whole package lies in a folder named after a hash of
every compiled source file, of the versions of numba and llvmlite, and of what the environment says about vectors:
an edit anywhere in the compiled code opens a new folder, and stale machine code is never run.

A kernel that calls another one contains it: LLVM optimizes and translates the inner one anew for each caller, and for
the caller's callers. What is large and called from many places is therefore compiled `apart`, once, and called through
a symbol that each process binds to it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba import config, njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature
from numba.extending import lower_builtin
from numba.misc.appdirs import user_cache_dir

__all__ = ["Kernel", "apart", "bind", "borrow", "emit_call", "instructions", "kernel"]

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
        if source.parent.name == "numerics" or b"numerics.jit import" in text:
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


# How hard LLVM is to try. Numba knows one setting for all functions: each kernel sets it while it is compiled.
MUCH = config.OPT
LITTLE = type(config.OPT)(min(1, int(config.OPT)))


class Kernel(CPUDispatcher):  # type: ignore[misc]
    """What `kernel` makes of a function."""

    def compile(self, sig: Any) -> Any:
        before, config.OPT = config.OPT, self.effort
        try:
            return super().compile(sig)
        finally:
            config.OPT = before


class InnerKernel(Kernel):
    """A kernel without an entrance for Python: to go in all the same would end the process."""

    def __call__(self, *arguments: Any) -> None:
        raise TypeError(f"{self.__name__} is compiled for other kernels only: call it from a function under @kernel")


# Symbols of what is compiled apart: those that this process has bound, and to what.
APART: dict[str, tuple[str, str, tuple[Any, ...]]] = {}


def symbol(function: Any, argtypes: tuple[Any, ...]) -> str:
    """The name under which the machine code for these types is called."""
    digest = hashlib.sha256("".join(str(type_) for type_ in argtypes).encode()).hexdigest()[:16]
    return f"bptt.{function.__module__}.{function.__name__}.{digest}"


def bind(dispatcher: Any, argtypes: tuple[Any, ...]) -> Any:
    """Have the function compiled, or loaded from the cache, and its symbol point to it; returns the return type."""
    key = symbol(dispatcher, argtypes)
    dispatcher.compile(argtypes)
    overload_ = dispatcher.overloads[argtypes]
    llvm.add_symbol(key, overload_.library.get_pointer_to_function(overload_.fndesc.llvm_func_name))
    APART[key] = dispatcher.__module__, dispatcher.__name__, argtypes
    return overload_.signature.return_type


def bind_again(module: str, name: str, argtypes: tuple[Any, ...]) -> None:
    """`bind` in another process."""
    function = getattr(importlib.import_module(module), name)
    bind(getattr(function, "dispatcher", function), argtypes)


def emit_call(context: Any, builder: Any, function: Any, sig: Any, args: Any) -> Any:
    """Call what `bind` has bound; returns its status and its result."""
    kind = context.call_conv.get_function_type(sig.return_type, sig.args)
    callee = cgutils.get_or_insert_function(builder.module, kind, symbol(function, sig.args))
    return context.call_conv.call_function(builder, callee, sig.return_type, sig.args, args)


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Keeps with the machine code the list of symbols to bind before it is loaded."""

    def save_overload(self, sig: Any, data: Any) -> None:
        needed = [f.name for f in data.library._final_module.functions if f.is_declaration and f.name in APART]
        binds = [functools.partial(bind_again, *APART[name]) for name in needed]
        super().save_overload(sig, data._replace(reload_init=[*data.reload_init, *binds]))


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    exact: bool = False,
    strict: bool = False,
    inner: bool = False,
    glue: bool = False,
    cache: bool = True,
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
    glue : bool
        It only calls others: optimized less, which takes less time, and costs none where all loops are theirs.
    cache : bool
        Whether to keep the machine code on disk.
    """
    kept = cache and CACHE_DIRECTORY is not None

    def decorate(function: Callable[..., Any]) -> Any:
        with cache_here():
            compiled = njit(
                nogil=True,
                error_model="numpy",
                cache=kept,
                fastmath=STRICT if strict else EXACT if exact else FASTMATH,
                no_cfunc_wrapper=True,
                no_cpython_wrapper=inner,
            )(function)
            if kept and not config.DISABLE_JIT:
                compiled._cache = KernelCache(function)
        if not config.DISABLE_JIT:
            compiled.__class__ = InnerKernel if inner else Kernel
            compiled.effort = LITTLE if glue else MUCH
        return compiled

    return decorate if function is None else decorate(function)


def apart(*, plain: Any = None, **flags: bool) -> Callable[..., Any]:
    """Like `kernel(inner=True, **flags)` for what many others call: compiled once for all of them.

    Arrays of two and more dimensions are taken with any strides, and so are not a reason to compile it twice; loops
    over them gain nothing from neighbours (`numerics.lanes` and `numerics.matmul` know theirs to be ones). Arguments
    by position only. `plain` takes its place where nothing is compiled.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:
            return plain or function

        @functools.wraps(function)
        def stub(*arguments: Any) -> None:
            raise TypeError(f"{function.__name__} is compiled for other kernels only: call it from one")

        dispatcher = stub.dispatcher = kernel(function, inner=True, **flags)  # type: ignore[attr-defined]

        class Template(AbstractTemplate):  # type: ignore[misc]
            key = stub

            def generic(self, args: Any, kws: Any) -> Any:
                argtypes = tuple(any_strides(types.unliteral(type_)) for type_ in args)
                return signature(bind(dispatcher, argtypes), *argtypes)

        builtin_registry.globals.append((stub, types.Function(Template)))

        @lower_builtin(stub, types.VarArg(types.Any))
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            status, result = emit_call(context, builder, function, sig, args)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return stub

    return decorate


def instructions(function: Any) -> Callable[..., Any]:
    """Decorate define(*argument types) -> (signature, codegen): what `function` is inside kernels.

    An `@overload` would be a function more to compile, for each set of types.
    """

    def decorate(define: Callable[..., Any]) -> Callable[..., Any]:
        class Template(AbstractTemplate):  # type: ignore[misc]
            key = function

            def generic(self, args: Any, kws: Any) -> Any:
                return define(*args)[0]

        builtin_registry.globals.append((function, types.Function(Template)))

        @lower_builtin(function, types.VarArg(types.Any))
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return define(*sig.args)[1](context, builder, sig, args)

        return define

    return decorate


def any_strides(type_: Any) -> Any:
    if isinstance(type_, types.Array) and type_.ndim > 1:
        return type_.copy(layout="A")
    return type_


def borrow(array: Any) -> Any:
    """The same array, or tuple of arrays, without a part in its memory's reference count.

    Each view of a row otherwise counts up and down with locked instructions, which costs as much as computing a
    short row, and many times that where several threads count at once. The caller's own argument keeps the memory
    alive.
    """
    return array


def without_owner(context: Any, builder: Any, type_: Any, value: Any) -> Any:
    if isinstance(type_, types.BaseTuple):
        parts = cgutils.unpack_tuple(builder, value)
        borrowed = [without_owner(context, builder, t, part) for t, part in zip(type_.types, parts, strict=True)]
        return context.make_tuple(builder, type_, borrowed)
    if not isinstance(type_, types.Array):
        return value
    view = context.make_array(type_)(context, builder, value)
    view.meminfo = view.meminfo.type(None)
    view.parent = view.parent.type(None)
    return view._getvalue()


@instructions(borrow)
def _borrow(array: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return without_owner(context, builder, sig.args[0], args[0])

    return signature(array, array), codegen
