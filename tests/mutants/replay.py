"""Plant each mistake of `planted.json` in a copy of the repository, and see that its tests fail.

    .venv/bin/python tests/mutants/replay.py                  # all of them, some ten minutes
    .venv/bin/python tests/mutants/replay.py quantile state   # those whose description holds one of these words

Exit code 1 where a mistake was not caught, or could not be planted: then the list has to follow the code.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def caught(mutant: dict[str, str], root: Path) -> bool:
    """Whether a test fails in this copy once the mistake is planted; the copy is put right afterwards."""
    path = root / mutant["file"]
    before = path.read_text(encoding="utf-8")
    assert before.count(mutant["old"]) == 1, f"{mutant['old']!r} stands {before.count(mutant['old'])} times"
    path.write_text(before.replace(mutant["old"], mutant["new"]), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant["tests"].split()]
        environment = os.environ | {"PYTHONPATH": str(root / "src")}
        run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=1200)
        assert run.returncode in (0, 1), run.stdout + run.stderr
        return run.returncode == 1
    finally:
        path.write_text(before, encoding="utf-8")


def main(words: list[str]) -> int:
    mutants = json.loads(Path(__file__).with_name("planted.json").read_text(encoding="utf-8"))
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".venv*", ".git", "__pycache__", "demo", ".*_cache")
        shutil.copytree(ROOT, root, ignore=ignored)
        for mutant in mutants:
            if words and not any(word in mutant["what"] for word in words):
                continue
            try:
                result = "caught" if caught(mutant, root) else "NOT CAUGHT"
            except AssertionError as error:
                result = f"NOT PLANTED: {error}"
            missed += result != "caught"
            print(f"{mutant['what']}: {result}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
