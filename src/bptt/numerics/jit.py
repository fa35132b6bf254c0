"""The one decorator of every compiled function.

Its machine code is kept on disk: see `numerics.kernel_cache`.

A kernel that calls another one contains it: LLVM optimizes and compiles the inner one again for each caller, and for
the caller's callers. A large function with many callers is therefore `outlined`: compiled once, and called through a
symbol that each process binds to it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from numba import config, njit, types
from numba.extending import lower_builtin

from bptt.numerics import compiling
from bptt.numerics.kernel_cache import CACHE, KernelCache
from bptt.numerics.numba_internals import (
    AbstractTemplate,
    CPUDispatcher,
    address_of,
    cgutils,
    global_compiler_lock,
    set_cache,
    signature,
    symbols_needed,
    typed_by,
)

__all__ = ["Kernel", "bind", "borrow", "chosen_by_type", "emit_call", "instructions", "kernel", "outlined"]

# Never "nnan" or "ninf": training must see the NaN that they would let LLVM assume away.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
# For formulas whose order of operations carries the accuracy (range reduction, compensated sums).
EXACT = {"nsz", "contract"}
# For results that must have the same bits wherever they are computed. In a b + c d the compiler chooses which
# product is fused, in a b c which two are multiplied first. It optimizes a function again inside every caller
# and may choose differently there, and which copy runs depends on what the process compiled or ran before.
STRICT = {"nsz"}

# How hard LLVM is to try.
FULL_OPT = config.OPT
LOW_OPT = type(config.OPT)(min(1, int(config.OPT)))


class Kernel(CPUDispatcher):  # type: ignore[misc]
    """What `kernel` makes of a function."""

    def compile(self, sig: Any) -> Any:
        if isinstance(sig, tuple) and (made := self.overloads.get(sig)) is not None:
            return made.entry_point
        return compiling.undisturbed(functools.partial(self.compile_here, sig))

    def compile_here(self, sig: Any) -> Any:
        # Numba knows one effort for all functions. What reads it holds this lock, in whichever thread.
        with global_compiler_lock:
            compiling.check()
            before, config.OPT = config.OPT, self.effort
            try:
                return super().compile(sig)
            finally:
                config.OPT = before


class InternalKernel(Kernel):
    """A kernel without a Python wrapper: calling it from Python would crash the process."""

    def __call__(self, *arguments: Any) -> None:
        raise TypeError(f"{self.__name__} is compiled for other kernels only: call it from a function under @kernel")


# Symbols of outlined kernels: those that this process has bound, and to what.
OUTLINED: dict[str, tuple[str, str, tuple[Any, ...]]] = {}


def symbol(function: Any, argtypes: tuple[Any, ...]) -> str:
    """The name under which the machine code for these types is called."""
    digest = hashlib.sha256("".join(str(type_) for type_ in argtypes).encode()).hexdigest()[:16]
    return f"bptt.{function.__module__}.{function.__name__}.{digest}"


def bind(dispatcher: Any, argtypes: tuple[Any, ...]) -> Any:
    """Have the function compiled, or loaded from the cache, and its symbol point to it; returns the return type."""
    key = symbol(dispatcher, argtypes)
    dispatcher.compile(argtypes)
    overload_ = dispatcher.overloads[argtypes]
    llvm.add_symbol(key, address_of(overload_))
    OUTLINED[key] = dispatcher.__module__, dispatcher.__name__, argtypes
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


class Binding(KernelCache):
    """Keeps with the machine code the list of symbols to bind before it is loaded."""

    def save_overload(self, sig: Any, data: Any) -> None:
        needed = sorted(symbols_needed(data) & OUTLINED.keys())
        binds = [functools.partial(bind_again, *OUTLINED[name]) for name in needed]
        super().save_overload(sig, data._replace(reload_init=[*data.reload_init, *binds]))


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    exact: bool = False,
    strict: bool = False,
    internal: bool = False,
    low_opt: bool = False,
    cache: bool = True,
) -> Any:
    """Compile a function of arrays and scalars; it validates nothing.

    Parameters
    ----------
    exact : bool
        Keep the written order of floating-point operations (used where that order is the method).
    strict : bool
        Fix all rounding, for elementwise formulas that sum products. There the cost is not measurable; a sum over a
        loop would no longer be vectorized.
    internal : bool
        Only other kernels call it, never Python. It gets no Python wrapper, which for a function of many arrays takes
        as long to compile as the function itself.
    low_opt : bool
        Optimize it less, which compiles faster; for kernels that only call others, where it costs no speed.
    cache : bool
        Whether to keep the machine code on disk.
    """
    folder = CACHE.folder if cache else None

    def decorate(function: Callable[..., Any]) -> Any:
        fastmath = STRICT if strict else EXACT if exact else FASTMATH
        compiled = njit(
            nogil=True,
            error_model="numpy",
            fastmath=fastmath,
            no_cfunc_wrapper=True,
            no_cpython_wrapper=internal,
        )(function)
        if not config.DISABLE_JIT:
            compiled.__class__ = InternalKernel if internal else Kernel
            compiled.effort = LOW_OPT if low_opt else FULL_OPT
            if folder is not None:
                flags = f"{sorted(fastmath)} {internal} {int(compiled.effort)}"
                set_cache(compiled, Binding(function, flags, folder))
        return compiled

    return decorate if function is None else decorate(function)


def outlined(*, plain: Any = None, **flags: bool) -> Callable[..., Any]:
    """Like `kernel(internal=True, **flags)` for a function with many callers: compiled once for all of them.

    Arrays of two and more dimensions are taken with any strides, and so are not a reason to compile it twice; loops
    over them gain nothing from neighbours (`numerics.simd` and `numerics.matmul` know theirs to be ones). Arguments
    by position only. `plain` takes its place where nothing is compiled.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:
            return plain or function

        @functools.wraps(function)
        def stub(*arguments: Any) -> None:
            raise TypeError(f"{function.__name__} is compiled for other kernels only: call it from one")

        dispatcher = stub.dispatcher = kernel(function, internal=True, **flags)  # type: ignore[attr-defined]

        class Template(AbstractTemplate):  # type: ignore[misc]
            key = stub

            def generic(self, args: Any, kws: Any) -> Any:
                argtypes = tuple(any_strides(types.unliteral(type_)) for type_ in args)
                return signature(bind(dispatcher, argtypes), *argtypes)

        typed_by(stub, Template)

        @lower_builtin(stub, types.VarArg(types.Any))
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            status, result = emit_call(context, builder, function, sig, args)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return stub

    return decorate


def chosen_by_type(position: int, choices: dict[type, Any]) -> Callable[..., Any]:
    """The outlined kernel of `choices` for the named tuple at this position of the arguments, chosen when compiling."""

    def stub(*arguments: Any) -> Any:
        return choices[type(arguments[position])](*arguments)

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = stub

        def generic(self, args: Any, kws: Any) -> Any:
            argtypes = tuple(any_strides(types.unliteral(type_)) for type_ in args)
            return signature(bind(choices[args[position].instance_class].dispatcher, argtypes), *argtypes)

    typed_by(stub, Template)

    @lower_builtin(stub, types.VarArg(types.Any))
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        status, result = emit_call(context, builder, choices[sig.args[position].instance_class], sig, args)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return stub


def instructions(function: Any) -> Callable[..., Any]:
    """Decorate define(*argument types) -> (signature, codegen): what `function` is inside kernels.

    `define` returns None for types that do not fit. An `@overload` would be one more function to compile for each set
    of types.
    """

    def decorate(define: Callable[..., Any]) -> Callable[..., Any]:
        class Template(AbstractTemplate):  # type: ignore[misc]
            key = function

            def generic(self, args: Any, kws: Any) -> Any:
                defined = define(*args)
                return defined and defined[0]

        typed_by(function, Template)

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
    """The same array, or tuple of arrays, without a reference count on its memory.

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
