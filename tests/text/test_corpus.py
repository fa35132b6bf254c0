"""Reading, splitting, laying out."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.text import corpus


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
    assert rows.flags.c_contiguous
    # Read one after the other, each without its last target, they are the text itself.
    read = np.concatenate([*rows[:, :-1], rows[-1, -1:]])
    np.testing.assert_array_equal(read, tokens[: len(read)])
    assert 0 <= length - len(read) < count
