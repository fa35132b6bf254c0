"""`bptt doctor` and `bptt cache`: what they print is what there is."""

import platform

import numba
import numpy as np
import pytest

import bptt
from bptt.cli import main
from bptt.numerics import cache_folder, kernel_cache
from bptt.numerics.cache_folder import Chosen


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache with two entrances, one for two types, and a kernel without."""
    path = tmp_path / f"kernels-{'a' * 16}"
    path.mkdir(mode=0o700)
    for name in ("bptt.a.train_on_a_team-1", "bptt.a.train_on_a_team-2", "bptt.b.run_on_a_team-1", "bptt.b.inner-1"):
        (path / f"{name}.nbc").write_bytes(bytes(500_000))
    old = tmp_path / f"kernels-{'b' * 16}"
    old.mkdir()
    (old / "old.nbc").write_bytes(bytes(1_000_000))
    monkeypatch.setattr(kernel_cache, "CACHE", Chosen(path, ["elsewhere cannot be written to"]))
    monkeypatch.setattr(cache_folder, "bases", lambda: [tmp_path])
    return path


def test_doctor(folder, capsys, monkeypatch):
    monkeypatch.setenv("BPTT_NUM_THREADS", "3")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert main(["doctor"]) == 0
    rows = {line[:12].strip(): line[12:] for line in capsys.readouterr().out.splitlines() if line[0] != " "}
    assert rows["bptt"] == bptt.__version__
    assert rows["Python"].startswith(platform.python_version())
    assert rows["numpy"] == np.__version__
    assert rows["numba"].startswith(f"{numba.__version__} (tested: 0.61 to ")
    assert "vectors of" in rows["processor"]
    assert rows["threads"].startswith(f"{bptt.get_num_threads()} used")
    assert rows["cache"] == str(folder)


def test_cache_info_and_clear(folder, capsys):
    assert main(["cache", "info"]) == 0
    lines = [line[12:] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        str(folder),
        "not used: elsewhere cannot be written to",
        "writable, closed to other users",
        "4 kernels, 2.0 MB",
        "1 folders of other versions, 1.0 MB",
        "a.train (2)",
        "b.run",
    ]
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "3.0 MB freed\n"
    assert list(folder.parent.iterdir()) == []
    assert main(["cache", "info"]) == 0
    assert "nothing yet" in capsys.readouterr().out


def test_without_a_cache(monkeypatch, capsys):
    monkeypatch.setattr(kernel_cache, "CACHE", Chosen(None, ["here: no", "there: no"]))
    assert main(["cache", "info"]) == 0
    out = capsys.readouterr().out
    assert "each start compiles" in out
    assert out.count("not used") == 2


def test_cache_alone_shows_its_help(capsys):
    assert main(["cache"]) == 0
    assert "clear" in capsys.readouterr().out
