"""The tests with the oldest versions of every dependency and with the newest, each on Pythons of its own.

    python .ci/versions.py          all tests, as `make test-versions` does
    python .ci/versions.py --short  what depends most on versions, for the gate

An environment is a folder inside .venv-versions. A Python that the machine has not is skipped, and said. No compiled
extension, so no source, is built: what has no wheel for a Python is skipped, and said.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), ((3, 12), (3, 13), (3, 14))
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "utilsforecast")
# Frames, dates, pictures and the command line meet what changes; kernels are compiled in one of these tests.
SHORT = ("test_frame", "test_columns", "test_layout", "test_future", "test_gaps", "test_plotting", "test_calendar")
SMOKE = """
import numpy as np, pandas as pd, tempfile, pathlib
from bptt.forecast import GRU, Forecaster, generate_series
df = generate_series(3, "D", 60, 60, seed=0)
forecaster = Forecaster([GRU(h=2, hidden_size=8, max_steps=3)], "D").fit(df)
path = pathlib.Path(tempfile.mkdtemp()) / "model"
forecaster.save(path)
pd.testing.assert_frame_equal(Forecaster.load(path).predict(), forecaster.predict())
print("compiled, fitted, saved and loaded with NumPy", np.__version__, "and pandas", pd.__version__)
"""


def python(version: tuple[int, int]) -> str | None:
    """A Python of this version that starts: on the path, or one of pyenv's."""
    name = "python{}.{}".format(*version)
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    found = [sys.executable, shutil.which(name), *sorted(pyenv.glob("{}.{}.*/bin/python".format(*version)))]
    for path in filter(None, found):
        code = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {version})"
        if subprocess.run([path, "-c", code], capture_output=True, check=False).returncode == 0:
            return str(path)
    return None


def oldest() -> list[str]:
    """The declared minimum of every dependency, as pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["plot"], *extras["dev"]]
    pins = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in wanted]
    needed = {re.split(r"[><=]", line)[0] for line in (*project["dependencies"], *extras["plot"])} | set(TOOLS)
    return [f"{pin[1]}=={pin[2]}" for pin in pins if pin and pin[1] in needed]


def run(version: tuple[int, int], kind: str, *, short: bool) -> bool:
    """Make the environment, if it can be made, and run the tests in it; whether all is well."""
    title = f"{kind} versions on Python {version[0]}.{version[1]}"
    base = python(version)
    if base is None:
        print(f"skipped: {title}: no such Python on this machine", flush=True)
        return True
    folder = ROOT / ".venv-versions" / f"{kind}-{version[0]}.{version[1]}"
    own = str(folder / "bin" / "python")
    if not pathlib.Path(own).exists():
        subprocess.run([base, "-m", "venv", folder], check=True)
    wanted = oldest() if kind == "oldest" else [*TOOLS, "matplotlib"]
    install = [own, "-m", "pip", "install", "--quiet", "--upgrade", "--upgrade-strategy", "eager"]
    made = subprocess.run([*install, "--only-binary", ":all:", *wanted, "--editable", str(ROOT)], check=False)
    if made.returncode:
        print(
            f"{'FAILED' if kind == 'oldest' or version < NEWEST[-1] else 'skipped'}: {title}: not installed", flush=True
        )
        return kind != "oldest" and version == NEWEST[-1]
    print(f"{title}:", flush=True)
    tests = [f"tests/forecast/{name}.py" for name in SHORT] if short else ["tests"]
    environment = {**os.environ, **({"NUMBA_DISABLE_JIT": "1"} if short else {})}
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    tested = subprocess.run([own, "-m", "pytest", *options], cwd=ROOT, env=environment, check=False)
    smoked = subprocess.run([own, "-W", "error:::bptt", "-c", SMOKE], cwd=ROOT, check=False)
    well = tested.returncode == smoked.returncode == 0
    print(f"{'passed' if well else 'FAILED'}: {title}", flush=True)
    return well


def main() -> int:
    """Run all; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--short", action="store_true", help="the oldest and the newest Python alone, a part of the tests"
    )
    short = parser.parse_args().short
    newest = [version for version in NEWEST if python(version)][-1:] if short else NEWEST
    if short and not newest:
        print("skipped: newest versions: no Python of 3.12 or later on this machine", flush=True)
    results = [run(OLDEST, "oldest", short=short), *(run(version, "newest", short=short) for version in newest)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
