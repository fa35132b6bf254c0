"""From text to numbers and back: Unicode characters with an explicit unknown, or bytes."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bptt import arguments

__all__ = ["ByteVocabulary", "Vocabulary", "vocabulary_from_settings"]


# Characters that are worked on at a time: a corpus is never copied as a whole.
CHUNK = 1 << 20
CODE_POINTS = 0x110000


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def _distinct(text: str) -> NDArray[np.uint32]:
    """The code points of a text, each once, in rising order."""
    seen = np.zeros(CODE_POINTS, np.bool_)
    for start in range(0, len(text), CHUNK):
        seen[_codes(text[start : start + CHUNK])] = True
    return np.flatnonzero(seen).astype(np.uint32)


class Vocabulary:
    """The Unicode characters of a text, each a number; 0 stands for every character that is not among them.

    Numbers 1, 2, ... are the characters in the order of their code points, so that equal sets of characters
    give equal vocabularies. `len` counts the unknown as well.

    Parameters
    ----------
    characters : str
        The characters to know; order and repetition do not matter.

    Raises
    ------
    ValueError
        If there are no characters.

    Examples
    --------
    >>> vocabulary = Vocabulary("banana")
    >>> len(vocabulary), vocabulary.symbols
    (4, 'abn')
    >>> vocabulary.encode("nab").tolist(), vocabulary.decode([3, 1, 2])
    ([3, 1, 2], 'nab')
    >>> vocabulary.encode("nub", errors="unknown").tolist()
    [3, 0, 2]
    """

    kind = "characters"
    unknown = 0

    def __init__(self, characters: str) -> None:
        if not isinstance(characters, str):
            raise TypeError(f"characters must be a str; got {type(characters).__name__}")
        self._known = _distinct(characters)
        if not len(self._known):
            raise ValueError("characters must hold at least one character, got an empty text")
        self.symbols: str = self._known.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def __len__(self) -> int:
        return len(self._known) + 1

    def __repr__(self) -> str:
        return f"Vocabulary({self.symbols!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    @property
    def settings(self) -> dict[str, Any]:
        """What `vocabulary_from_settings` makes it from again, JSON-able."""
        return {"kind": self.kind, "code_points": self._known.tolist()}

    def unseen(self, text: str) -> str:
        """The characters of `text` that are not known, each once, in the order of their code points."""
        codes = _distinct(_checked("text", text))
        return "".join(map(chr, codes[~np.isin(codes, self._known)]))

    def encode(self, text: str, errors: str = "raise") -> NDArray[np.int32]:
        """Turn a text into numbers.

        Parameters
        ----------
        text : str
        errors : {"raise", "unknown"}
            What to do about a character that is not known: refuse the text, or write 0.

        Returns
        -------
        int32 (len(text),)

        Raises
        ------
        ValueError
            Naming the characters, if some are unknown and `errors` is "raise".
        """
        arguments.choice("errors", errors, ("raise", "unknown"))
        table = np.zeros(CODE_POINTS, np.int32)
        table[self._known] = np.arange(1, len(self))
        tokens, complete = np.empty(len(_checked("text", text)), np.int32), True
        for start in range(0, len(text), CHUNK):
            part = tokens[start : start + CHUNK]
            # Of numbers that are in range by construction; any other mode makes a copy first.
            np.take(table, _codes(text[start : start + CHUNK]), out=part, mode="clip")
            complete = complete and bool(part.all())
        if errors == "raise" and not complete:
            unseen = self.unseen(text)
            shown = ", ".join(map(repr, unseen[:10])) + (" ..." if len(unseen) > 10 else "")
            raise ValueError(f"text has {len(unseen)} character(s) outside the vocabulary: {shown}")
        return tokens

    def decode(self, tokens: ArrayLike) -> str:
        """Turn numbers (any integers in 0 .. len - 1) into text; the unknown becomes U+FFFD.

        Raises
        ------
        ValueError
            If a number lies outside.
        """
        tokens = _check_tokens(tokens, len(self))
        table = np.concatenate([[0xFFFD], self._known]).astype("<u4")
        return table[tokens].tobytes().decode("utf-32-le", "surrogatepass")

    def decode_parts(self, parts: Iterable[ArrayLike]) -> Iterator[str]:
        """`decode` of each part of a row of numbers."""
        return map(self.decode, parts)


class ByteVocabulary:
    """The 256 bytes: every text can be written in them (as UTF-8), none is ever unknown.

    A file that is no UTF-8 passes unchanged, too, if it was read with `errors="surrogateescape"`.

    Examples
    --------
    >>> ByteVocabulary().encode("né").tolist()
    [110, 195, 169]
    >>> ByteVocabulary().decode([110, 195, 169, 195])
    'né\ufffd'
    """

    kind = "bytes"
    unknown = None

    def __len__(self) -> int:
        return 256

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteVocabulary)

    def __hash__(self) -> int:
        return hash(self.kind)

    @property
    def settings(self) -> dict[str, Any]:
        """What `vocabulary_from_settings` makes it from again, JSON-able."""
        return {"kind": self.kind}

    def unseen(self, text: str) -> str:
        """The characters of `text` that cannot be written: none."""
        return ""

    def encode(self, text: str, errors: str = "raise") -> NDArray[np.int32]:
        """Turn a text into the bytes of its UTF-8 form, int32 `(bytes,)`; none is ever unknown."""
        arguments.choice("errors", errors, ("raise", "unknown"))
        try:
            content = _checked("text", text).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text has a lone surrogate, {text[error.start]!r}, at position {error.start}, not valid in UTF-8"
            ) from None
        return np.frombuffer(content, np.uint8).astype(np.int32)

    def decode(self, tokens: ArrayLike) -> str:
        """Turn bytes (integers in 0 .. 255) into text; what is no UTF-8 becomes U+FFFD.

        Raises
        ------
        ValueError
            If a number lies outside.
        """
        return _check_tokens(tokens, len(self)).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def decode_parts(self, parts: Iterable[ArrayLike]) -> Iterator[str]:
        """`decode` of a row of numbers in parts: a character may begin in one and end in the next."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for part in parts:
            yield decoder.decode(_check_tokens(part, len(self)).astype(np.uint8).tobytes())
        yield decoder.decode(b"", True)


def _checked(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str; got {type(text).__name__}")
    return text


def _check_tokens(tokens: ArrayLike, size: int) -> NDArray[np.int64]:
    array = arguments.array("tokens", tokens)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= size:
        raise ValueError(f"tokens must be a row of integers in 0 .. {size - 1}; got {tokens!r}")
    return array.astype(np.int64)


def vocabulary_from_settings(settings: Mapping[str, Any]) -> Vocabulary | ByteVocabulary:
    """Make a vocabulary again from its `settings`.

    Raises
    ------
    ValueError
        If they describe none.

    Examples
    --------
    >>> vocabulary_from_settings(Vocabulary("ab").settings)
    Vocabulary('ab')
    """
    kind = settings.get("kind") if isinstance(settings, Mapping) else None
    if kind == ByteVocabulary.kind:
        return ByteVocabulary()
    codes = settings.get("code_points") if kind == Vocabulary.kind else None
    if not isinstance(codes, list) or not all(type(code) is int and 0 <= code < 0x110000 for code in codes):
        raise ValueError("settings must describe a vocabulary of 'characters' (with 'code_points') or of 'bytes'")
    if not codes or codes != sorted(set(codes)):
        raise ValueError("settings: the code points of a vocabulary must be distinct, in rising order, and not none")
    return Vocabulary(np.array(codes, "<u4").tobytes().decode("utf-32-le", "surrogatepass"))
