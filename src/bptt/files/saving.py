"""Model files: weights in the safetensors format, everything else as JSON inside its header.

They cannot run code. A file of this library is replaced only if the user says so, any other file never.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bptt import arguments
from bptt.files import schema
from bptt.files.replacing import check_writable, plain, write_bytes

__all__ = ["check_replaceable", "kind_of", "read_model", "read_tensors", "write_tensors"]

Model = TypeVar("Model")

# One key only: the format keeps its metadata unordered, and equal models are to give equal files.
KEY = "bptt"
# In the metadata, of everything else.
CHECKSUM = "checksum"
# Bytes of a header, names of series and characters included. The format itself allows 100 MB.
LARGEST_HEADER = 100_000_000
REPORT = "report"


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What a file holds, if this library wrote it.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str or None
        "bptt.CharLM" or "bptt.Forecaster" (only the header is read), "report" for JSON with the key "bptt"; None for
        any other file, a missing one, a folder or a truncated file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "notes.txt").write_text("my only copy")
    ...     print(kind_of(f"{folder}/notes.txt"))
    None
    """
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        return None
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            if start[:1] == b"{":
                return REPORT if KEY in json.loads(start + file.read()) else None
            size = int.from_bytes(start, "little")
            if size > LARGEST_HEADER or not file.read(1) == b"{":
                return None
            file.seek(8)
            header = json.loads(file.read(size))
        metadata = json.loads(header["__metadata__"][KEY])
        kind = metadata["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def check_replaceable(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Check that a model or report may be saved at `path`: the common rule of all `save` methods.

    A file that is not a model or report of this library is never replaced; one that is, only with `overwrite`.
    An empty file counts as none.

    Parameters
    ----------
    path : str or path
    overwrite : bool

    Returns
    -------
    Path
        As of `check_writable`.

    Raises
    ------
    FileExistsError
        Naming the path, and what to do.
    OSError
        As `check_writable`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "notes.txt").write_text("my only copy")
    ...     try:
    ...         check_replaceable(f"{folder}/notes.txt", overwrite=True)
    ...     except FileExistsError as error:
    ...         print(error.strerror)
    exists already and is not a bptt model: choose another name
    """
    overwrite = arguments.boolean("overwrite", overwrite)
    target = check_writable(path)
    if target.exists() and target.stat().st_size:
        if kind_of(target) is None:
            reason = "exists already and is not a bptt model: choose another name"
            raise FileExistsError(errno.EEXIST, reason, os.fspath(path))
        if not overwrite:
            reason = "exists already; pass overwrite=True (on the command line --overwrite) to replace it"
            raise FileExistsError(errno.EEXIST, reason, os.fspath(path))
    return target


def write_tensors(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write arrays and metadata to one safetensors file, atomically.

    Parameters
    ----------
    path : str or path
    kind, version : str, int
        What the file holds, and the version of its layout; `read_tensors` checks both.
    tensors : mapping of str to array
    metadata : mapping
        JSON-able; kept in the file's header beside `kind` and `version`.
    overwrite : bool
        Replace a model file that exists; see `check_replaceable`.

    Raises
    ------
    FileExistsError
        There is a file that may not be replaced.
    OSError
        The file cannot be written; the message names the path.
    ValueError
        The metadata is too large for a header; the message names the path.
    """
    check_replaceable(path, overwrite=overwrite)
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    content = json.loads(json.dumps(plain({"format": kind, "version": version, **metadata})))
    header = json.dumps({**content, CHECKSUM: _checksum(arrays, content)}, sort_keys=True)
    if len(header) > LARGEST_HEADER // 2:  # inside the header it is a string, where quotes are written as two bytes
        raise ValueError(
            f"{os.fspath(path)}: cannot be written: names of series, categories or characters take {len(header):,} "
            f"bytes, at most {LARGEST_HEADER // 2:,} fit into a model file"
        )
    write_bytes(path, save(arrays, metadata={KEY: header}))


def read_tensors(
    path: str | os.PathLike[str], kind: str, version: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file of `write_tensors`.

    Parameters
    ----------
    path : str or path
    kind, version : str, int
        What is expected, and the newest version that is understood.

    Returns
    -------
    dict of arrays, dict
        The tensors and the metadata, as they were written.

    Raises
    ------
    FileNotFoundError, OSError
        If the file does not exist or cannot be read.
    ValueError
        The file is truncated or damaged, of another program or kind, or of a newer version; the message names the path.
    """
    return read_model(path, kind, version, lambda tensors, metadata: (tensors, metadata))


def read_model(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    build: Callable[[dict[str, NDArray[Any]], dict[str, Any]], Model],
) -> Model:
    """Read a file of `write_tensors` and build the model it describes.

    Parameters
    ----------
    path, kind, version
        As for `read_tensors`.
    build : function (tensors, metadata)
        Makes the model. The file may hold anything: `build` has to check all of it before it allocates. What it
        raises is raised again as a ValueError that names the path.

    Returns
    -------
    What `build` returned.

    Raises
    ------
    FileNotFoundError, OSError, ValueError
        As `read_tensors`.
    """
    name = arguments.path("path", path)
    status = os.stat(name)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "expected a model file, got a folder", name)
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise OSError(errno.EINVAL, "expected a model file, got a pipe or a device", name)
    with open(name, "rb") as start:
        _check_start(name, start.read(8), status.st_size)
    try:
        with safe_open(name, framework="np") as file:
            header = (file.metadata() or {}).get(KEY)
            if header is None:
                raise ValueError(f"{name}: a safetensors file, but not one of {kind} (no {KEY!r} in its header)")
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise ValueError(f"{name}: not a whole safetensors file ({error})") from None
    try:
        metadata = schema.parse_json(header)
    except ValueError as error:
        raise ValueError(f"{name}: the {KEY!r} entry of its header is not JSON: {error}") from None
    _check_version(name, metadata, kind, version)
    checksum = metadata.pop(CHECKSUM, None)
    with schema.within(name):
        model = build(tensors, metadata)
    # Last, so that a part that does not fit is named. Files of before there were checksums have none.
    if checksum is not None and checksum != _checksum(tensors, metadata):
        raise ValueError(f"{name}: damaged: its content does not match the {CHECKSUM!r} in its header")
    return model


def _check_start(name: str, start: bytes, size: int) -> None:
    """What the first bytes say about files that are often taken for models."""
    found, header = None, int.from_bytes(start, "little")
    if not start:
        found = "it is empty"
    elif LARGEST_HEADER < header <= size - 8:
        found = f"its header has {header:,} bytes, at most {LARGEST_HEADER:,} are read"
    elif header <= size - 8:  # a length may look like the first bytes of another format: 1152 is b"\x80\x04"
        return
    elif start.startswith(b"\x1f\x8b"):
        found = "it is compressed: unpack it with gunzip"
    elif start.startswith(b"PK\x03\x04"):
        found = "it is a zip archive, as those of PyTorch and NumPy are"
    elif start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        found = "it is a pickle, which is never read, since it could run code"
    if found is not None:
        raise ValueError(f"{name}: not a whole safetensors file ({found})")


def _check_version(name: str, metadata: Any, kind: str, version: int) -> None:
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if found != kind:
        other = isinstance(found, str) and found.startswith("bptt.") and found.removeprefix("bptt.").isidentifier()
        hint = f": load it with {found.removeprefix('bptt.')}.load" if isinstance(found, str) and other else ""
        raise ValueError(f"{name}: holds {schema.shortened(repr(found))}, expected {kind!r}{hint}")
    number = metadata.get("version")
    if type(number) is not int or not 1 <= number <= version:
        raise ValueError(
            f"{name}: has version {schema.shortened(repr(number))} of the {kind} layout; this bptt reads up to "
            f"{version}: use a newer bptt"
        )


def _checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> str:
    """Of all that a file holds; a flipped bit in a weight is a wrong forecast otherwise."""
    digest = hashlib.blake2b(json.dumps(metadata, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
