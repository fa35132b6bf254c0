"""The on-disk cache of machine code: optional, and checked before it is used.

One file holds one compiled function. It begins with a checksum of the rest, which is verified before anything in it is
interpreted: damaged files are deleted and compiled again. Without a trusted folder (`numerics.cache_folder`), or if the
disk is full, kernels are compiled at each start, with one warning.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

from numba import config

from bptt.numerics.cache_folder import PACKAGE, SUFFIX, choose, make
from bptt.numerics.numba_internals import Cache, dumps, packed, unpacked

__all__ = ["CACHE", "KernelCache", "explain"]

MAGIC = b"bptt machine code 1\n"
CHECKSUM = 32  # bytes of a SHA-256 digest

log = logging.getLogger("bptt")
_said: set[str] = set()


def say_once(about: str, message: str, *values: Any) -> None:
    """Log a warning, the first of its kind in this process."""
    if about not in _said:
        _said.add(about)
        log.warning(message, *values)


CACHE = choose()


def explain() -> None:
    """Warn once that each start will compile, or that the folder set by the user is not used."""
    if CACHE.folder is None:
        say_once(
            "nowhere",
            "compiled kernels cannot be kept, so each start will compile them: %s. "
            "Set NUMBA_CACHE_DIR to a folder that only you can write to.",
            "; ".join(CACHE.refused) or "there is no folder to write to",
        )
    elif config.CACHE_DIR and CACHE.refused:
        say_once("refused", "NUMBA_CACHE_DIR is not used: %s. Kernels are kept in %s.", CACHE.refused[0], CACHE.folder)


class Damaged(Exception):
    """A file of the cache is not what was written."""


def read(path: Path) -> bytes | None:
    """The payload of a cache file, verified; None if there is no file."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged("not a file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
    finally:
        os.close(descriptor)
    head = len(MAGIC) + CHECKSUM
    if content[: len(MAGIC)] != MAGIC or hashlib.sha256(content[head:]).digest() != content[len(MAGIC) : head]:
        raise Damaged("wrong checksum")
    return content[head:]


def write(path: Path, payload: bytes) -> None:
    """Write a file of the cache atomically."""
    make(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=path.stem[:100], suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(MAGIC + hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def discard(path: Path) -> None:
    """Remove whatever exists at this path."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@functools.cache
def source_stamp(source: str) -> str | None:
    """A hash of a function's source file; None if there is no file."""
    if Path(source).is_relative_to(PACKAGE):
        return ""  # the fingerprint knows it
    try:
        return hashlib.sha256(Path(source).read_bytes()).hexdigest()
    except OSError:
        return None


class KernelCache(Cache):  # type: ignore[misc]
    """Where a dispatcher of Numba's keeps its machine code.

    Parameters
    ----------
    function : function
        The one that is compiled.
    flags : str
        All that the decorator adds and that changes the machine code.
    folder : Path
        Where the files lie.
    """

    writable = True  # until the first write fails, for all functions

    def __init__(self, function: Any, flags: str, folder: Path) -> None:
        code, self.folder, self.enabled = function.__code__, folder, True
        cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
        self.stamp = source_stamp(code.co_filename)
        self.own = (
            function.__module__,
            function.__qualname__,
            code.co_firstlineno,
            hashlib.sha256(code.co_code).hexdigest(),
            hashlib.sha256(dumps(cells)).hexdigest() if cells else "",
            flags,
            self.stamp,
        )
        self.name = re.sub(r"[^\w.]", "", f"{function.__module__}.{function.__qualname__}")[-120:]

    @property
    def cache_path(self) -> str:
        return str(self.folder)

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def flush(self) -> None:
        for path in self.folder.glob(f"{self.name}-*{SUFFIX}"):
            discard(path)

    def key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), sys.version_info[:2], self.own

    def path(self, key: Any) -> Path:
        return self.folder / f"{self.name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}{SUFFIX}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for these argument types, or None if it has to be compiled."""
        target_context.refresh()
        if not self.enabled or self.stamp is None:
            return None
        key = self.key(sig, target_context.codegen())
        path = self.path(key)
        try:
            payload = read(path)
            if payload is None:
                return None
            found, parts = pickle.loads(payload)
            return unpacked(target_context, parts) if found == key else None
        except Exception as error:  # whatever it is, compiling is the answer
            say_once(
                "damaged",
                "the cache of compiled kernels is damaged; what is, is thrown away and compiled anew: %s (%s)",
                path,
                str(error) or type(error).__name__,
            )
            discard(path)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store what was compiled, if possible."""
        if not (self.enabled and KernelCache.writable) or self.stamp is None:
            return
        parts = packed(data)
        if parts is None:
            return
        key = self.key(sig, data.codegen)
        try:
            write(self.path(key), dumps((key, parts)))
        except OSError as error:
            KernelCache.writable = False
            say_once(
                "unwritable",
                "compiled kernels cannot be kept, so the next start will compile them again: %s (%s)",
                self.folder,
                error.strerror or error,
            )
