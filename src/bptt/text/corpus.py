"""Reading text, splitting it, and laying it out as contiguous streams.

The split is the tail: the first `int((1 - fraction) * length)` characters train, the rest validates. Other
splits of the same text give other figures, so that every report has to name its own.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import gzip
import hashlib
import logging
import os
import sys
import sysconfig
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from bptt import arguments, seeds

__all__ = ["has_sorted_lines", "read", "sha256", "shuffle_lines", "split", "standard_library", "streams"]

logger = logging.getLogger(__name__)

STANDARD_INPUT = "-"
GZIP = b"\x1f\x8b"
# Files that a message lists before it ends in "...".
NAMED = 5
# Folders of the standard library that are not everyday Python: tests, tables, other people's packages.
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

# Characters that are worked on at a time: a corpus is never copied as a whole.
CHUNK = 1 << 20
# A list of fewer lines is not worth a word.
FEWEST_LINES = 50

Row = TypeVar("Row", str, NDArray[np.int32])


def _decode(content: bytes, name: str, any_bytes: bool, encoding: str | None = None) -> str:
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{name}: not a complete gzip file ({error})") from None
    if any_bytes:
        return content.decode("utf-8-sig", "surrogateescape")
    if encoding is not None:
        try:
            text = content.decode(encoding).removeprefix("\ufeff")
        except LookupError:
            raise ValueError(f"encoding must be the name of one, such as 'latin-1'; got {encoding!r}") from None
        except UnicodeError as error:
            raise ValueError(f"{name}: not text in {encoding} ({error})") from None
        if "\0" in text:
            raise ValueError(f"{name}: not text in {encoding}: it has NUL characters, like a binary file")
        return text
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        with contextlib.suppress(UnicodeError):
            return content.decode("utf-16")
    advice = (
        "name its encoding (on the command line --encoding latin-1, in Python corpus.read(path, encoding='latin-1')), "
        "or model bytes (vocabulary='bytes', --bytes)"
    )
    if 0 in content:
        raise ValueError(f"{name}: not text: byte {content.index(0)} is 0, as in a binary file or UTF-16; {advice}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 text (byte {error.start}: {error.reason}); {advice}") from None


def _join(texts: Sequence[str]) -> str:
    """The texts one after the other, each starting on a new line; a single text stays unchanged."""
    closed = [text if text.endswith("\n") or not text else text + "\n" for text in texts[:-1]]
    return "".join([*closed, *texts[-1:]])


def read(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    any_bytes: bool = False,
    encoding: str | None = None,
) -> str:
    """Read files, folders and standard input into one text.

    Line ends stay as they are; a byte order mark is dropped, and says that a file is UTF-16; gzip is unpacked. Where a
    file does not end its last line and another one follows, a line feed is put between.

    Parameters
    ----------
    sources : path, or sequence of paths
        "-" is standard input. A folder stands for all files below it, in the order of their paths, without
        hidden ones and without those that are not text (unless `any_bytes`), which the log names.
    any_bytes : bool
        Take bytes that are not UTF-8 as they are (Python's "surrogateescape"), for `ByteVocabulary`.
    encoding : str or None
        Of all files, such as "latin-1"; None, the default, is UTF-8.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError, OSError
        Naming the path, if it cannot be read.
    ValueError
        Naming the path: a file that is not text in this encoding, a folder without text files.

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
            texts.append(_decode(sys.stdin.buffer.read(), "standard input", any_bytes, encoding))
        elif Path(source).is_dir():
            texts.append(_read_folder(Path(source), any_bytes, encoding))
        else:
            texts.append(_decode(Path(source).read_bytes(), os.fspath(source), any_bytes, encoding))
    return _join(texts)


def _read_folder(folder: Path, any_bytes: bool, encoding: str | None) -> str:
    texts, left_out = [], []
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            content = path.read_bytes()
            try:
                texts.append(_decode(content, str(path), any_bytes, encoding))
            except ValueError:
                left_out.append(str(path.relative_to(folder)))
    if not texts:
        raise ValueError(f"{folder}: no text file in this folder")
    if left_out:
        logger.warning(
            "%s: %d of %d files are not %s text and were left out: %s%s",
            folder,
            len(left_out),
            len(left_out) + len(texts),
            encoding or "UTF-8",
            ", ".join(left_out[:NAMED]),
            ", ..." if len(left_out) > NAMED else "",
        )
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
    """Digest of a text's UTF-8 bytes: the same that `sha256sum` prints for the file it was read from.

    Raises
    ------
    ValueError
        Naming the place of half a surrogate pair, which no file can hold.

    Examples
    --------
    >>> sha256("abc")[:8]
    'ba7816bf'
    """
    digest = hashlib.sha256()
    for start in range(0, len(text), CHUNK):
        try:
            digest.update(text[start : start + CHUNK].encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            at = start + error.start
            raise ValueError(
                f"text has {text[at]!r} at position {at}: one half of a surrogate pair, which is not a character; "
                "put both halves together, or leave it out"
            ) from None
    return digest.hexdigest()


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


def shuffle_lines(text: str, seed: int) -> str:
    """The lines of a text in random order, for lists whose order means nothing; equal seeds give equal texts.

    Examples
    --------
    >>> sorted(shuffle_lines("a\\nb\\nc", seed=0).splitlines())
    ['a', 'b', 'c']
    """
    ended = text.endswith("\n")
    lines = text.removesuffix("\n").split("\n")
    order = seeds.generator(seed, "data").permutation(len(lines))
    return "\n".join(lines[line] for line in order) + ("\n" if ended else "")


def has_sorted_lines(text: str) -> bool:
    """Whether a text is a list in alphabetical order: its tail is then unlike the rest.

    Examples
    --------
    >>> has_sorted_lines("\\n".join(f"name {number:03}" for number in range(100)))
    True
    """
    lines = [line.casefold() for line in text[:CHUNK].splitlines() if line.strip()]
    if len(lines) < FEWEST_LINES:
        return False
    rising = sum(one <= other for one, other in pairwise(lines))
    return rising >= 0.95 * (len(lines) - 1) and len(set(lines)) > len(lines) / 2


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
        A view that cannot be written to: a corpus of any length is not copied.

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
    row = np.ascontiguousarray(tokens, np.int32)
    step = row.itemsize
    return as_strided(row, (count, length + 1), (length * step, step), writeable=False)
