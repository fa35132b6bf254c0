"""Files: whole or not at all, and nothing foreign gets in."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bptt.files.replacing import check_writable, plain, unused, write_bytes, write_json
from bptt.files.saving import check_replaceable, kind_of, read_tensors, write_tensors

TENSORS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([np.pi])}
root_may_write_anywhere = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind the superuser"
)


def written(folder: Path) -> Path:
    path = folder / "model.safetensors"
    write_tensors(path, "test.Model", 2, TENSORS, {"words": ["né", "\ud800"], "window": (64, 128)})
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    tensors, metadata = read_tensors(path, "test.Model", 2)
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)
    assert metadata == {"format": "test.Model", "version": 2, "words": ["né", "\ud800"], "window": [64, 128]}
    assert os.listdir(tmp_path) == [path.name]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert written(tmp_path).read_bytes() == written(tmp_path / "other").read_bytes()


def test_the_layout_is_plain_safetensors(tmp_path: Path) -> None:
    """Read by hand after the format's description: 8 bytes of length, JSON, raw little-endian numbers."""
    content = written(tmp_path).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header["__metadata__"]["bptt"])["format"] == "test.Model"
    first, last = header["a.weight"]["data_offsets"]
    raw = np.frombuffer(content[8 + size + first : 8 + size + last], "<f4")
    np.testing.assert_array_equal(raw, np.arange(6))


@pytest.mark.parametrize("keep", [0, 7, 8, 60, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
        read_tensors(path, "test.Model", 2)


@pytest.mark.parametrize(
    "content", [b"", b"hello, world, this is no model", b"\x80\x04\x95" + bytes(100), b"\xff" * 64]
)
def test_a_file_of_another_program_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="foreign"):
        read_tensors(path, "test.Model", 2)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "not one of test.Model"),
        ({"format": "pt"}, "not one of test.Model"),
        ({"bptt": "no json"}, "is not JSON"),
        ({"bptt": "[1]"}, "holds None, expected 'test.Model'"),
        ({"bptt": json.dumps({"format": "other", "version": 1})}, "holds 'other'"),
        ({"bptt": json.dumps({"format": "test.Model", "version": 3})}, "reads up to 2: use a newer"),
        ({"bptt": json.dumps({"format": "test.Model", "version": "1"})}, "version '1'"),
        ({"bptt": json.dumps({"format": "test.Model"})}, "version None"),
    ],
)
def test_a_foreign_safetensors_file_is_refused(tmp_path: Path, metadata: Any, reason: str) -> None:
    path = tmp_path / "m"
    save_file(TENSORS, path, metadata=metadata)
    with pytest.raises(ValueError, match=reason):
        read_tensors(path, "test.Model", 2)


DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (DEEP, "nested more than 32 deep"),
        ('{"format": ' * 40 + "1" + "}" * 40, "nested more than 32 deep"),
        ('{"format": "test.Model", "version": 1, "x": NaN}', "has no NaN"),
        ('{"format": "test.Model", "version": 1, "x": 1e999}', "outside of float64: 1e999"),
        ('{"format": "test.Model", "version": 1, "x": ' + "9" * 5_000 + "}", "an integer of more than 64 bits: 99"),
        ('{"format": "test.Model", "version": 1, "version": 1}', "the key 'version' twice"),
        ("[" + "[]," * 1_100_000 + "0]", "more than 1,000,000 objects and lists"),
        ('{"format": "test.Model", "version": true}', "version True"),
    ],
    ids=lambda value: value[:20],
)
def test_a_header_is_bounded(tmp_path: Path, header: str, reason: str) -> None:
    save_file(TENSORS, tmp_path / "m", metadata={"bptt": header})
    with pytest.raises(ValueError, match=f"m: .*{reason}") as caught:
        read_tensors(tmp_path / "m", "test.Model", 1)
    assert len(str(caught.value)) < 500


def test_brackets_inside_of_strings_do_not_count(tmp_path: Path) -> None:
    names = ["[{" * 30 + '\\"' for _ in range(20_000)]
    write_tensors(tmp_path / "m", "test.Model", 1, {}, {"names": names})
    assert read_tensors(tmp_path / "m", "test.Model", 1)[1]["names"] == names


def test_a_header_that_could_not_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bptt.files.saving.LARGEST_HEADER", 1000)
    with pytest.raises(ValueError, match=r"m: cannot be written: names .* take 1,\d\d\d bytes"):
        write_tensors(tmp_path / "m", "test.Model", 1, {}, {"names": ["x" * 1000]})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "it is empty"),
        (gzip.compress(b"model"), "it is compressed: unpack it with gunzip"),
        (pickle.dumps([1]), "it is a pickle, which is never read"),
        (b"PK\x03\x04" + bytes(100), "it is a zip archive"),
        ((10**8 + 1).to_bytes(8, "little") + bytes(10**8 + 1), "its header has 100,000,001 bytes"),
    ],
    ids=["empty", "gzip", "pickle", "zip", "header"],
)
def test_what_is_often_taken_for_a_model_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match=rf"m: not a whole safetensors file \({found}"):
        read_tensors(tmp_path / "m", "test.Model", 1)


def test_a_header_of_any_length_is_read(tmp_path: Path) -> None:
    """The first bytes are its length: 640 and 1152 look like the beginning of a pickle."""
    lengths = set()
    for padding in range(300, 1200, 8):
        names = ["x" * padding]
        write_tensors(tmp_path / "m", "test.Model", 1, {}, {"names": names}, overwrite=True)
        lengths.add(int.from_bytes((tmp_path / "m").read_bytes()[:8], "little"))
        assert read_tensors(tmp_path / "m", "test.Model", 1)[1]["names"] == names
    assert {640, 1152} <= lengths


def test_a_model_of_another_kind_says_what_reads_it(tmp_path: Path) -> None:
    write_tensors(tmp_path / "m", "bptt.CharLM", 1, {}, {})
    with pytest.raises(ValueError, match=r"holds 'bptt.CharLM', expected 'test.Model': load it with CharLM\.load"):
        read_tensors(tmp_path / "m", "test.Model", 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="expected a model file, got a pipe"):
        read_tensors(tmp_path / "pipe", "test.Model", 1)


@pytest.mark.parametrize("part", ["tensor", "metadata"])
def test_a_changed_file_is_damaged(tmp_path: Path, part: str) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    assert content.count(b"128") == 1
    changed = content.replace(b"128", b"129") if part == "metadata" else content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"model\.safetensors: damaged"):
        read_tensors(path, "test.Model", 2)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        read_tensors(tmp_path / "nothing-here", "test.Model", 1)
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        read_tensors(tmp_path, "test.Model", 1)


@pytest.mark.parametrize("path", ["no/such/folder/model", "folder", "pipe"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    elif path == "pipe":
        pytest.skip("no pipes here")
    for write in (check_writable, lambda where: write_bytes(where, b"x")):
        with pytest.raises(OSError, match="cannot write") as caught:
            write(tmp_path / path)
        assert caught.value.filename == str(tmp_path / path)


def test_a_name_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write here"):
        check_writable(tmp_path / ("x" * 250))


@root_may_write_anywhere
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="model"):
        check_writable(tmp_path / "model")
    tmp_path.chmod(0o700)


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new")
    assert os.listdir(tmp_path) == []


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_a_failure_while_writing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "content",
    [
        b"my only copy",
        b"\x80\x04\x95" + bytes(100),
        (2**60).to_bytes(8, "little") + b"{}",
        b"a",
        b"{",
        b'{"a": 1}',
        b"[" * 9999,
        b'{"a":' * 9999,
        b"\x02" + bytes(7) + b"[]      ",
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_is_no_model_is_never_replaced(tmp_path: Path, content: bytes, overwrite: bool) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    (tmp_path / "link").symlink_to("notes")
    for name in ("notes", "link"):
        with pytest.raises(FileExistsError, match=rf"not a bptt model: choose another name.*{name}"):
            write_tensors(tmp_path / name, "test.Model", 1, TENSORS, {}, overwrite=overwrite)
    assert path.read_bytes() == content
    assert kind_of(path) is None


def test_a_foreign_safetensors_file_is_never_replaced(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights")
    with pytest.raises(FileExistsError, match="not a bptt model"):
        check_replaceable(tmp_path / "weights", overwrite=True)


def test_a_model_is_replaced_on_request(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert kind_of(path) == "test.Model"
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        write_tensors(path, "test.Model", 1, {}, {})
    assert path.read_bytes() == before
    write_tensors(path, "test.Other", 1, {}, {}, overwrite=True)
    assert kind_of(path) == "test.Other"


def test_a_report_is_replaced_on_request(tmp_path: Path) -> None:
    write_json(tmp_path / "report", {"bptt": "0.1.0"})
    (tmp_path / "link").symlink_to("report")
    with pytest.raises(FileExistsError, match="--overwrite"):
        check_replaceable(tmp_path / "link", overwrite=False)
    assert check_replaceable(tmp_path / "link", overwrite=True) == tmp_path / "report"


def test_a_name_with_a_number_is_one_that_is_free(tmp_path: Path) -> None:
    for expected in ("model.bin", "model-2.bin", "model-3.bin"):
        assert unused(tmp_path / "model.bin").name == expected
        (tmp_path / expected).symlink_to("nowhere")  # taken, though it leads nowhere


def test_an_empty_file_holds_nothing_to_lose(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.touch()
    write_tensors(path, "test.Model", 1, TENSORS, {})
    assert kind_of(path) == "test.Model"


def test_what_is_not_there_or_not_a_file_is_of_no_kind(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "nothing") is None
    assert kind_of(tmp_path) is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert kind_of(tmp_path / "pipe") is None


WRITER = """
import sys
import numpy as np
from bptt.files.saving import write_tensors
print("ready", flush=True)
number = 0
while True:
    number += 1
    a = np.full(300_000, number, np.float32)
    write_tensors(sys.argv[1], "test.Model", 1, {"a": a}, {"number": number}, overwrite=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for delay in (0.05, 0.11, 0.17):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        while not path.exists():
            time.sleep(0.01)
        process.kill()
        process.wait()
        process.stdout.close()
        tensors, metadata = read_tensors(path, "test.Model", 1)
        assert (tensors["a"] == metadata["number"]).all()


KILLED = """
import os, sys, time
from bptt.files.replacing import write_bytes
def wait(descriptor):
    print("writing", flush=True)
    time.sleep(600)
os.fsync = wait
write_bytes(sys.argv[1], b"new" * 100_000)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_bytes(path, b"old")
    other = tmp_path / ".model-2.0123abcd.tmp"
    other.write_bytes(b"of another file")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    (leftover,) = tmp_path.glob(".model.*.tmp")
    write_bytes(path, b"newer")  # its writer is at work: the file is not touched
    assert leftover.exists()
    process.kill()
    process.wait()
    process.stdout.close()
    assert path.read_bytes() == b"newer"
    assert leftover.exists()
    write_bytes(path, b"newest")
    assert sorted(os.listdir(tmp_path)) == [other.name, "model"]
    assert path.read_bytes() == b"newest"


LIMITED = """
import os, resource, signal, sys
from bptt.files.replacing import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_bytes(sys.argv[1], bytes(5000))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="no limit of a file's size here")
def test_a_file_that_finds_no_room_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_bytes(path, b"old")
    result = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True)
    assert "cannot write here: File too large" in result.stdout, result.stderr
    assert str(path) in result.stdout
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]


def test_processes_that_save_to_one_path_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    said = [open(tmp_path.parent / f"{tmp_path.name}-{k}", "w+") for k in range(3)]
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=file, stderr=subprocess.STDOUT)
        for file in said
    ]
    try:
        for _ in range(20):
            while not path.exists() and all(process.poll() is None for process in processes):
                time.sleep(0.01)
            tensors, metadata = read_tensors(path, "test.Model", 1)
            assert (tensors["a"] == metadata["number"]).all()
            time.sleep(0.02)
        alive = [process.poll() is None for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for file in said:
            file.seek(0)
        texts = [file.read() for file in said]
        for file in said:
            file.close()
    assert all(alive), "a writer was disturbed by another: " + "\n".join(texts)
    write_bytes(path, b"")
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "model", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="the superuser alone gives files away")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_bytes(path, b"old")
    os.chown(path, 12345, 54321)
    write_bytes(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_json_holds_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "figures", {"worst": np.float32(np.nan), "steps": np.int64(3), "window": (1, 2)})
    assert json.loads((tmp_path / "figures").read_text()) == {"worst": None, "steps": 3, "window": [1, 2]}
    assert plain([float("inf"), True, None, "x"]) == [None, True, None, "x"]
