"""From text to numbers and back: Unicode characters with an explicit unknown, or bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bptt import arguments

__all__ = ["ByteVocabulary", "Vocabulary", "vocabulary_from_settings"]


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


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
        If there is no character.

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
        self._known = np.unique(_codes(characters))
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
        codes = np.unique(_codes(text))
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
        codes = _codes(text)
        index = np.minimum(np.searchsorted(self._known, codes), len(self._known) - 1)
        known = self._known[index] == codes
        if errors == "raise" and not known.all():
            unseen = self.unseen(text)
            shown = ", ".join(map(repr, unseen[:10])) + (" ..." if len(unseen) > 10 else "")
            raise ValueError(f"text has {len(unseen)} character(s) outside the vocabulary: {shown}")
        return np.where(known, index + 1, self.unknown).astype(np.int32)

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
            content = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ValueError(f"text has a lone surrogate, {text[error.start]!r}, which UTF-8 cannot write") from None
        return np.frombuffer(content, np.uint8).astype(np.int32)

    def decode(self, tokens: ArrayLike) -> str:
        """Turn bytes (integers in 0 .. 255) into text; what is no UTF-8 becomes U+FFFD.

        Raises
        ------
        ValueError
            If a number lies outside.
        """
        return _check_tokens(tokens, len(self)).astype(np.uint8).tobytes().decode("utf-8", "replace")


def _check_tokens(tokens: ArrayLike, size: int) -> NDArray[np.int64]:
    array = np.asarray(tokens)
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
