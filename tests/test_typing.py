"""A user's script under `mypy --strict`: right calls pass, a wrong choice is found before it runs."""

import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="mypy is not installed: pip install -e '.[dev]'")

RIGHT = """
import bptt
from bptt.forecast import GRU, Forecaster
from bptt.text import CharLM

lm = CharLM("gru", 64, vocabulary="bytes", dtype="float64")
model = GRU(7, strategy="direct", loss="huber")
forecaster = Forecaster([model], "D")
layer = bptt.LSTM(3, 5, init="orthogonal")
stack = bptt.Sequential(layer, bptt.LastStep(), bptt.Linear(5, 1))
"""
WRONG = {
    'CharLM("gru", 64, vocabulary="bytes"': 'CharLM("gruu", 64, vocabulary="bytes"',
    'strategy="direct"': 'strategy="directly"',
    'init="orthogonal"': 'init="orthogonally"',
    'loss="huber"': 'loss="hubert"',
}


def errors(folder, script):
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "script.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return [line for line in run.stdout.splitlines() if ": error:" in line]


def test_wrong_choices_are_found(tmp_path):
    assert errors(tmp_path, RIGHT) == []
    script = RIGHT
    for good, bad in WRONG.items():
        assert good in script
        script = script.replace(good, bad)
    found = errors(tmp_path, script)
    assert len(found) == len(WRONG)
    assert all("Literal" in line for line in found)
