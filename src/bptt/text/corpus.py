"""Reading text, splitting it, and laying it out as contiguous streams.

The split is the tail: the first `int((1 - fraction) * length)` characters train, the rest validates. Other
splits of the same text give other figures, so that every report has to name its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bptt import arguments

__all__ = ["read", "sha256", "split", "standard_library", "streams"]

STANDARD_INPUT = "-"
# Folders of the standard library that are no everyday Python: tests, tables, other people's packages.
LEFT_OUT = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "encodings",
    "pydoc_data",
    "lib2to3",
}

Row = TypeVar("Row", str, NDArray[np.int32])


def _decode(content: bytes, name: str, any_bytes: bool) -> str:
    try:
        return content.decode("utf-8-sig", "surrogateescape" if any_bytes else "strict")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}: not UTF-8 text (byte {error.start}: {error.reason}); "
            "convert it, or model bytes (vocabulary='bytes', on the command line --bytes)"
        ) from None


def _join(texts: Sequence[str]) -> str:
    """One text after the other, each on lines of its own; a single one stays as it is."""
    closed = [text if text.endswith("\n") or not text else text + "\n" for text in texts[:-1]]
    return "".join([*closed, *texts[-1:]])


def read(sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], any_bytes: bool = False) -> str:
    """Read files, folders and standard input into one text.

    Line ends stay as they are; a byte order mark is dropped. Where a file does not end its last line and
    another one follows, a line feed is put between.

    Parameters
    ----------
    sources : path, or sequence of paths
        "-" is standard input. A folder stands for all files below it, in the order of their paths, without
        hidden ones and without those that are no UTF-8 text (unless `any_bytes`).
    any_bytes : bool
        Take bytes that are no UTF-8 as they are (Python's "surrogateescape"), for `ByteVocabulary`.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError, OSError
        Naming the path, if it cannot be read.
    ValueError
        Naming the path: a file that is no UTF-8 text, a folder without text files.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a").write_text("one"), Path(folder, "b").write_text("two")
    ...     read(folder)
    'one\\ntwo'
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    texts = []
    for source in sources:
        if os.fspath(source) == STANDARD_INPUT:
            texts.append(_decode(sys.stdin.buffer.read(), "standard input", any_bytes))
        elif Path(source).is_dir():
            texts.append(_read_folder(Path(source), any_bytes))
        else:
            texts.append(_decode(Path(source).read_bytes(), os.fspath(source), any_bytes))
    return _join(texts)


def _read_folder(folder: Path, any_bytes: bool) -> str:
    texts = []
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            try:
                texts.append(_decode(path.read_bytes(), str(path), any_bytes))
            except ValueError:
                continue
    if not texts:
        raise ValueError(f"{folder}: no text file in this folder")
    return _join(texts)


def standard_library(size: int = 2_000_000) -> str:
    """The Python source of the running interpreter's own standard library: a corpus that every machine has.

    Files come in the order of their paths; tests, tables of character codes and installed packages are left
    out. Another version of Python has another text: compare figures by `sha256`.

    Parameters
    ----------
    size : int
        Number of characters after which the text is cut off.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If this Python came without sources.

    Examples
    --------
    >>> len(standard_library(size=1000))
    1000
    """
    folder = Path(sysconfig.get_path("stdlib"))
    paths: list[Path] = []
    for place, below, names in os.walk(folder):
        below[:] = set(below) - LEFT_OUT
        paths += [Path(place, name) for name in names if name.endswith(".py")]
    texts: list[str] = []
    remaining = size
    for path in sorted(paths, key=lambda path: path.relative_to(folder).parts):
        if remaining <= 0:
            break
        try:
            texts.append(_decode(path.read_bytes(), str(path), any_bytes=False))
        except ValueError:
            continue
        remaining -= len(texts[-1]) + 1
    if not texts:
        raise FileNotFoundError(errno.ENOENT, "this Python has no source files of its standard library", str(folder))
    return _join(texts)[:size]


def sha256(text: str) -> str:
    """Digest of a text's UTF-8 bytes: what `sha256sum` says of the file that it was read from.

    Examples
    --------
    >>> sha256("abc")[:8]
    'ba7816bf'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def split(row: Row, fraction: float) -> tuple[Row, Row]:
    """Cut off the tail of a text (or of a row of tokens) for validation.

    Parameters
    ----------
    row : str or array (N,)
    fraction : float
        Share of the tail, at least 0 and below 1.

    Returns
    -------
    two of what came in
        The first `int((1 - fraction) * N)` entries, and the rest.

    Raises
    ------
    ValueError
        If `fraction` is out of range.

    Examples
    --------
    >>> split("to be or not", 0.25)
    ('to be or ', 'not')
    """
    border = int((1 - arguments.fraction("fraction", fraction)) * len(row))
    return row[:border], row[border:]


def streams(tokens: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Lay a row of tokens out as `count` streams that are read side by side.

    Stream s holds N + 1 tokens from token s N on, N = (len(tokens) - 1) // count: N inputs with the token
    after each as its target, and the last target of one stream is the first input of the next. The at most
    `count - 1` tokens that are left over at the end are not in it.

    Parameters
    ----------
    tokens : int32 (length,)
    count : int
        At least 1, less than `length`.

    Returns
    -------
    int32 (count, N + 1)
        C-contiguous, a copy.

    Raises
    ------
    ValueError
        If there are not enough tokens for one prediction in each stream.

    Examples
    --------
    >>> streams(np.arange(8, dtype=np.int32), 2).tolist()
    [[0, 1, 2, 3], [3, 4, 5, 6]]
    """
    if not 1 <= count < len(tokens):
        raise ValueError(f"count must be at least 1 and less than the {len(tokens)} tokens; got {count!r}")
    length = (len(tokens) - 1) // count
    return np.stack([tokens[s * length : (s + 1) * length + 1] for s in range(count)]).astype(np.int32)
