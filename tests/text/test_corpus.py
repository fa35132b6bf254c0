"""Reading, splitting, laying out."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.text import Vocabulary, corpus


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    content = "\ufeffnaïve\r\nlines\n\n".encode()
    (tmp_path / "a").write_bytes(content)
    assert corpus.read(tmp_path / "a") == "naïve\r\nlines\n\n"
    assert corpus.read([str(tmp_path / "a")]) == "naïve\r\nlines\n\n"
    assert corpus.sha256("naïve\r\nlines\n\n") == hashlib.sha256(content[3:]).hexdigest()


def test_files_follow_each_other_on_lines_of_their_own(tmp_path: Path) -> None:
    for name, content in (("a", "one"), ("b", ""), ("c", "two\n"), ("d", "three")):
        (tmp_path / name).write_text(content)
    assert corpus.read([tmp_path / name for name in "abcd"]) == "one\ntwo\nthree"


def test_a_folder_in_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("b/x", "b/a", "a", ".hidden", ".git/config", "c.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff\xfe\x00" if name == "c.bin" else name.encode())
    assert corpus.read(tmp_path) == "a\nb/a\nb/x"
    assert corpus.read(tmp_path, any_bytes=True).encode("utf-8", "surrogateescape") == b"a\nb/a\nb/x\n\xff\xfe\x00"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("né".encode())))
    assert corpus.read("-") == "né"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("né".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin: not UTF-8 text \(byte 1: .*--bytes"):
        corpus.read(tmp_path / "latin")
    with pytest.raises(FileNotFoundError, match="nothing"):
        corpus.read(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no text file"):
        corpus.read(tmp_path / "empty")


def test_another_encoding_is_named_by_its_user(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("né".encode("latin-1"))
    assert corpus.read(tmp_path / "latin", encoding="latin-1") == "né"
    (tmp_path / "utf16").write_bytes("né".encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"utf16: not text: byte 1 is 0, .*UTF-16; .*--encoding"):
        corpus.read(tmp_path / "utf16")
    assert corpus.read(tmp_path / "utf16", encoding="utf-16-le") == "né"
    (tmp_path / "marked").write_bytes("né".encode("utf-16"))
    assert corpus.read(tmp_path / "marked") == "né"
    with pytest.raises(ValueError, match=r"encoding must be the name of one.*'latin-one'"):
        corpus.read(tmp_path / "latin", encoding="latin-one")
    with pytest.raises(ValueError, match="latin: not text in ascii"):
        corpus.read(tmp_path / "latin", encoding="ascii")


def test_gzip_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress("né\n".encode() * 9)
    (tmp_path / "verse.gz").write_bytes(packed)
    (tmp_path / "cut").write_bytes(packed[:-9])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
    assert corpus.read("-") == corpus.read(tmp_path / "verse.gz") == "né\n" * 9
    assert corpus.read(tmp_path / "verse.gz", any_bytes=True) == "né\n" * 9
    with pytest.raises(ValueError, match="cut: not a complete gzip file"):
        corpus.read(tmp_path / "cut")


@pytest.mark.parametrize("encoding", [None, "latin-1"])
def test_what_a_folder_leaves_out_is_named_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, encoding: str | None
) -> None:
    contents = {
        "a": b"one",
        "b.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
        "c": b"t\0w\0",
        "d": b"two",
        "e": "né".encode("latin-1"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    text = corpus.read(tmp_path, encoding=encoding)
    (message,) = caplog.messages
    if encoding is None:
        assert text == "one\ntwo"
        assert "3 of 5 files are not UTF-8 text and were left out: b.jpg, c, e" in message
    else:
        assert text == "one\ntwo\nné"
        assert "2 of 5 files are not latin-1 text and were left out: b.jpg, c" in message


def test_a_corpus_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a né 中 😀\n" * 7 + "\udcff"
    expected = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    tokens = Vocabulary(text).encode(text)
    for chunk in (1, 3, 1000):
        monkeypatch.setattr(corpus, "CHUNK", chunk)
        monkeypatch.setattr("bptt.text.vocabulary.CHUNK", chunk)
        assert corpus.sha256(text) == expected
        vocabulary = Vocabulary(text)
        assert vocabulary.symbols == "".join(sorted(set(text)))
        np.testing.assert_array_equal(vocabulary.encode(text), tokens)
        assert vocabulary.decode(tokens) == text
        assert vocabulary.encode("né?中", errors="unknown").tolist()[2] == 0
        with pytest.raises(ValueError, match=r"outside the vocabulary: '\?'"):
            vocabulary.encode("né?")


@pytest.mark.parametrize("more", ["", "é", "中", "😀"])
def test_a_corpus_takes_six_bytes_a_character(monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    monkeypatch.setattr(corpus, "CHUNK", 1 << 16)
    monkeypatch.setattr("bptt.text.vocabulary.CHUNK", 1 << 16)
    text = ("the quick brown fox jumps over the lazy dog" + more) * 80_000
    tracemalloc.start()
    try:
        corpus.sha256(text)
        vocabulary = Vocabulary(text)
        rows = corpus.streams(vocabulary.encode(text), 32)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(text)
    assert rows.shape[0] == 32


@given(text=st.text(alphabet="ab\n"), seed=st.integers(0, 5))
def test_shuffled_lines_are_the_same_lines(text: str, seed: int) -> None:
    shuffled = corpus.shuffle_lines(text, seed)
    assert sorted(shuffled.split("\n")) == sorted(text.split("\n"))
    assert shuffled.endswith("\n") or not text.endswith("\n")
    assert shuffled == corpus.shuffle_lines(text, seed)


def test_lists_in_order_are_told_from_other_texts() -> None:
    names = [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    assert corpus.has_sorted_lines("\n".join(names))
    assert not corpus.has_sorted_lines(corpus.shuffle_lines("\n".join(names), 0))
    assert not corpus.has_sorted_lines("\n".join(names[:20]))
    assert not corpus.has_sorted_lines("the same line\n" * 200)


def test_the_standard_library_is_a_corpus() -> None:
    text = corpus.standard_library(size=200_000)
    assert len(text) == 200_000
    assert text == corpus.standard_library(size=200_000)
    assert text.startswith(corpus.standard_library(size=1000))
    assert text.count("def ") > 200


@given(text=st.text(), fraction=st.floats(0, 0.99))
def test_split_is_the_tail(text: str, fraction: float) -> None:
    first, rest = corpus.split(text, fraction)
    assert first + rest == text
    assert len(first) == int((1 - fraction) * len(text))


def test_the_split_of_the_published_figures() -> None:
    tokens = np.zeros(1_115_394, np.int32)
    assert [len(part) for part in corpus.split(tokens, 0.1)] == [1_003_854, 111_540]
    for fraction in (-0.1, 1.0):
        with pytest.raises(ValueError, match="fraction"):
            corpus.split(tokens, fraction)


@given(length=st.integers(2, 200), count=st.integers(1, 30))
def test_streams_are_contiguous_and_meet(length: int, count: int) -> None:
    tokens = np.arange(length, dtype=np.int32)
    if count >= length:
        with pytest.raises(ValueError, match="count"):
            corpus.streams(tokens, count)
        return
    rows = corpus.streams(tokens, count)
    assert rows.dtype == np.int32
    assert np.shares_memory(rows, tokens)  # of any length, without a copy
    assert not rows.flags.writeable
    # Read one after the other, each without its last target, they are the text itself.
    read = np.concatenate([*rows[:, :-1], rows[-1, -1:]])
    np.testing.assert_array_equal(read, tokens[: len(read)])
    assert 0 <= length - len(read) < count
