"""Whatever is passed to the public interface: it works, or the error names the argument. Never a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("public_calls.py")
CALLS = 1500
# Some hundred times what it takes, with kernels to compile: a hang.
SECONDS = 900


def test_awkward_calls_succeed_or_name_the_argument(tmp_path):
    """In a process of its own, whose last words tell which call ended it, and in a folder where it may write."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "11", str(CALLS)],
        capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, env=os.environ | {"MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    wrong = [json.loads(line) for line in run.stdout.splitlines()]
    shown = "\n".join(f"{each['of']}({each['with']}): {each['wrong']}" for each in wrong)
    assert not wrong, f"{len(wrong)} of {CALLS} calls:\n{shown}"
    assert run.stderr.count('"call"') == CALLS
