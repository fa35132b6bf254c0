"""Everything that Numba does not promise to keep, in one file: no other one imports `numba.core`.

Numba documents `njit`, `types`, `config`, `typeof` and `numba.extending`. What stands here is used beyond that:

    compiling   the dispatcher's class, the lock that one compiler at a time holds, the events that it reports
    typing      templates that give a function its type, and the registry that they are entered in
    emitting    `cgutils`, and the data model of a type that is a single LLVM value
    caching     the class of an on-disk cache, and how the result of a compilation is pickled and made again

`make test-versions` runs all tests with `OLDEST` and with `NEWEST`. Another release may have changed any of this; then
an import of this file says which releases are tested.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import numba
from numba import types

OLDEST, NEWEST = (0, 61), (0, 68)


def release(version: str) -> tuple[int, ...]:
    """(0, 61) of "0.61.2"."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def known() -> str:
    """What to install, and what is installed, in words."""
    low, high = (".".join(map(str, ends)) for ends in (OLDEST, NEWEST))
    return f"bptt is tested with Numba {low} to {high}, and {numba.__version__} is installed"


def advice() -> str:
    low, above = (".".join(map(str, ends)) for ends in (OLDEST, (NEWEST[0], NEWEST[1] + 1)))
    return f"install one that is tested: python -m pip install 'numba>={low},<{above}'"


if release(numba.__version__) < OLDEST:
    raise ImportError(f"{known()}; {advice()}")
try:
    from numba.core import cgutils, event
    from numba.core.caching import _Cache as Cache
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.datamodel.models import PrimitiveModel
    from numba.core.registry import CPUDispatcher
    from numba.core.serialize import dumps
    from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature
    from numba.misc.appdirs import user_cache_dir
except ImportError as error:
    raise ImportError(f"{known()}, whose internals differ ({error}); {advice()}") from error
if release(numba.__version__) > NEWEST:
    logging.getLogger("bptt").warning("%s: if a kernel fails to compile, %s", known(), advice())

__all__ = [
    "NEWEST",
    "OLDEST",
    "AbstractTemplate",
    "CPUDispatcher",
    "Cache",
    "PrimitiveModel",
    "address_of",
    "cgutils",
    "dumps",
    "event",
    "global_compiler_lock",
    "packed",
    "set_cache",
    "signature",
    "symbols_needed",
    "typed_by",
    "unpacked",
    "user_cache_dir",
]


def typed_by(function: Any, template: type) -> None:
    """Let calls of `function` inside kernels take their types from a template."""
    builtin_registry.globals.append((function, types.Function(template)))


def address_of(overload: Any) -> int:
    """Where the machine code of a compiled function lies in memory."""
    address: int = overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name)
    return address


def set_cache(dispatcher: Any, cache: Cache) -> None:
    """Let a dispatcher ask this cache before it compiles."""
    dispatcher._cache = cache


def symbols_needed(result: CompileResult) -> set[str]:
    """Names of the functions outside itself that the machine code calls."""
    return {function.name for function in result.library._final_module.functions if function.is_declaration}


def packed(result: CompileResult) -> tuple[Any, ...] | None:
    """What `unpacked` makes the result of a compilation from, to be pickled by `dumps`; None where it holds addresses
    of this process.
    """
    if result.library.has_dynamic_globals or any(not lifted.can_cache for lifted in result.lifted):
        return None
    parts: tuple[Any, ...] = result._reduce()
    return parts


def unpacked(target_context: Any, parts: tuple[Any, ...]) -> CompileResult:
    """The result of a compilation in this process."""
    return CompileResult._rebuild(target_context, *parts)
