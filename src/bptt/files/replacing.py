"""Files that are replaced atomically.

A file is written next to its final place, flushed to the disk and then renamed over it, so that readers see the
complete old file or the complete new one. A process that is killed in between leaves the old file unchanged and a
hidden `.NAME.xxxxxxxx.tmp` beside it, which the next save under that name removes. An active writer holds a lock on its
own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bptt import arguments

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["check_writable", "plain", "unused", "write_bytes", "write_json"]


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Check that a file can be written at `path`, before hours of work for it.

    Parameters
    ----------
    path : str or path
        The file need not exist, its folder must. An existing file is not changed.

    Returns
    -------
    Path
        The path that will be written: `path` with symbolic links resolved.

    Raises
    ------
    OSError
        The folder is missing, the path is a folder or device, permission is missing, or the disk is read-only; the
        message names the path.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_writable(f"{folder}/model").name
    'model'
    """
    target = Path(os.path.realpath(arguments.path("path", path)))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "cannot write a file where a folder is", os.fspath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "cannot write here: not a regular file", os.fspath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "cannot write here: no such folder", os.fspath(path))
    try:
        trial = _temporary(target)
        trial.touch(exist_ok=False)
        trial.unlink(missing_ok=True)  # another writer may have taken it for a leftover
    except OSError as error:
        raise type(error)(error.errno, f"cannot write here: {error.strerror}", os.fspath(path)) from None
    return target


def unused(path: str | os.PathLike[str]) -> Path:
    """`path`, or with the first number from 2 on before its suffix under which no file exists.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "model.safetensors").touch()
    ...     unused(f"{folder}/model.safetensors").name
    'model-2.safetensors'
    """
    path, number, found = Path(path), 1, Path(path)
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _locked(file: BinaryIO, *, wait: bool) -> bool:
    """Whether the lock of a temporary file could be taken; never on a system without locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (OSError, AttributeError):  # held by its writer; a file system or a platform without locks
        return False
    return True


def _open_temporary(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the target, locked while it is open."""
    while True:
        temporary = _temporary(target)
        file = open(temporary, "xb")
        if not _locked(file, wait=True) or os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # removed as a leftover before it was locked


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of this target whose writers are gone."""
    for name in os.listdir(target.parent):
        if re.fullmatch(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.tmp", name):
            with contextlib.suppress(OSError), open(target.with_name(name), "rb+") as file:
                if _locked(file, wait=False):
                    os.unlink(file.name)


def _keep_access(temporary: Path, old: os.stat_result) -> None:
    """Keep owner and permissions of the replaced file, or only its permissions."""
    new = temporary.stat()
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(temporary, old.st_uid, old.st_gid)
    temporary.chmod(old.st_mode & 0o777)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: an existing file is replaced in one step.

    Parameters
    ----------
    path : str or path
        Where to; symbolic links are followed.
    content : bytes

    Raises
    ------
    OSError
        The file cannot be written; the message names the path.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(f"{folder}/a", b"one")
    ...     write_bytes(f"{folder}/a", b"two")
    ...     Path(f"{folder}/a").read_bytes()
    b'two'
    """
    target = check_writable(path)
    temporary = None
    try:
        _remove_leftovers(target)
        temporary, file = _open_temporary(target)
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                _keep_access(temporary, target.stat())
            if fcntl is None:  # Windows renames no open file; elsewhere the lock is held until it has its name
                file.close()
            os.replace(temporary, target)
    except OSError as error:
        raise type(error)(error.errno, f"cannot write here: {error.strerror}", os.fspath(path)) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the new name itself has to reach the disk, too
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity become null.

    Parameters
    ----------
    path : str or path
    value
        Anything made of dicts, lists, strings, numbers (also NumPy's), booleans and None.

    Raises
    ------
    OSError
        The file cannot be written; the message names the path.
    """
    write_bytes(path, (json.dumps(plain(value), indent=2) + "\n").encode())


def plain(value: Any) -> Any:
    """`value` with NumPy's numbers as Python's, and NaN and infinity, which JSON lacks, as None.

    Examples
    --------
    >>> plain({"loss": np.float32(1.5), "worst": float("nan"), "window": (64, 128)})
    {'loss': 1.5, 'worst': None, 'window': [64, 128]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
