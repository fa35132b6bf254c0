"""Text to numbers and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.text.vocabulary import ByteVocabulary, Vocabulary, vocabulary_from_settings

any_text = st.text(st.characters())  # lone surrogates included


@given(any_text)
def test_characters_there_and_back(text: str) -> None:
    if not text:
        with pytest.raises(ValueError, match="characters"):
            Vocabulary(text)
        return
    vocabulary = Vocabulary(text)
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [1 + sorted(set(text)).index(character) for character in text]
    assert vocabulary.decode(tokens) == text
    assert len(vocabulary) == len(set(text)) + 1


@given(known=any_text.filter(bool), text=any_text)
def test_what_is_not_known(known: str, text: str) -> None:
    vocabulary = Vocabulary(known)
    unseen = "".join(sorted(set(text) - set(known)))
    assert vocabulary.unseen(text) == unseen
    tokens = vocabulary.encode(text, errors="unknown")
    assert [token == vocabulary.unknown for token in tokens] == [character not in known for character in text]
    assert vocabulary.decode(tokens) == "".join(c if c in known else "\ufffd" for c in text)
    if unseen:
        with pytest.raises(ValueError, match="outside the vocabulary"):
            vocabulary.encode(text)


@given(st.binary())
def test_any_file_passes_through_bytes(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    tokens = ByteVocabulary().encode(text)
    assert tokens.dtype == np.int32
    assert tokens.tolist() == list(content)
    assert ByteVocabulary().decode(tokens) == content.decode("utf-8", "replace")


def test_a_message_names_the_characters() -> None:
    with pytest.raises(ValueError, match=r"2 character\(s\) outside the vocabulary: 'é', '中'"):
        Vocabulary("abc").encode("a中béc")
    with pytest.raises(ValueError, match="surrogate"):
        ByteVocabulary().encode("\ud800")
    with pytest.raises(ValueError, match="errors"):
        Vocabulary("abc").encode("abc", errors="ignore")


@pytest.mark.parametrize("tokens", [[4], [-1], [[1]], [0.5]])
def test_numbers_outside_are_refused(tokens: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"0 \.\. 3"):
        Vocabulary("abc").decode(tokens)


@given(any_text.filter(bool))
def test_settings_survive_json(text: str) -> None:
    for vocabulary in (Vocabulary(text), ByteVocabulary()):
        again = vocabulary_from_settings(json.loads(json.dumps(vocabulary.settings)))
        assert again == vocabulary
        assert hash(again) == hash(vocabulary)


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {},
        {"kind": "words"},
        {"kind": "characters"},
        {"kind": "characters", "code_points": []},
        {"kind": "characters", "code_points": [3, 2]},
        {"kind": "characters", "code_points": [2, 2]},
        {"kind": "characters", "code_points": [-1]},
        {"kind": "characters", "code_points": [0x110000]},
        {"kind": "characters", "code_points": ["a"]},
        {"kind": "characters", "code_points": [True]},
    ],
)
def test_settings_of_no_vocabulary(settings: Any) -> None:
    with pytest.raises(ValueError, match="settings"):
        vocabulary_from_settings(settings)


@pytest.mark.parametrize("wrong", [3, None, b"ab", ["a"]])
def test_what_is_no_text_is_named(wrong) -> None:
    with pytest.raises(TypeError, match="characters must be a str"):
        Vocabulary(wrong)
    for vocabulary in (Vocabulary("ab"), ByteVocabulary()):
        with pytest.raises(TypeError, match="text must be a str"):
            vocabulary.encode(wrong)


def test_a_byte_that_begins_a_character_waits_for_the_rest() -> None:
    tokens = ByteVocabulary().encode("né中😀").tolist()
    for size in range(1, 6):
        parts = [tokens[at : at + size] for at in range(0, len(tokens), size)]
        assert "".join(ByteVocabulary().decode_parts(parts)) == "né中😀"
    assert "".join(ByteVocabulary().decode_parts([tokens[:2]])) == "n\ufffd"
    assert "".join(Vocabulary("ab").decode_parts([[1], [2, 1]])) == "aba"
