"""The cache of machine code: it is used, never stale, never trusted unchecked, and never needed."""

import errno
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numba
import pytest

from bptt.numerics import cache_folder, jit, kernel_cache
from bptt.numerics.cache_folder import Chosen, choose, flaw, folders
from bptt.numerics.jit import kernel
from bptt.numerics.kernel_cache import KernelCache

compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
posix_only = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are a matter of POSIX")

CALLEE = """
from bptt.numerics.jit import kernel
FACTOR = 2.0

@kernel
def scale(x):
    return FACTOR * x
"""
CALLER = """
import numba
from bptt.numerics.callee import scale
from bptt.numerics.jit import kernel
from bptt.numerics.kernel_cache import CACHE

@kernel
def scaled_sum(x):
    total = 0.0
    for j in range(x.size):
        total += scale(x[j])
    return total
"""
# Prints the value, how many kernels came from the cache, how many were compiled, and where the cache is.
PROGRAM = """
import numpy as np
from bptt.numerics import caller
value = caller.scaled_sum(np.ones(3))
stats = caller.scaled_sum.stats
print(value, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), caller.CACHE.folder)
"""


class Tree:
    """A copy of the package with two files more, and a home of its own."""

    def __init__(self, root: Path):
        self.root, self.home, self.temporary = root, root / "home", root / "tmp"
        self.package = root / "src" / "bptt"
        shutil.copytree(cache_folder.PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.home.mkdir()
        self.temporary.mkdir()
        self.callee = self.package / "numerics" / "callee.py"
        self.callee.write_text(CALLEE)
        (self.package / "numerics" / "caller.py").write_text(CALLER)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_", "BPTT_"))}
        variables |= {
            "PYTHONPATH": str(self.root / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
        }
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            env=variables | environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[float, int, int, str]:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        value, hits, misses, directory = out.split(maxsplit=3)
        return float(value), int(hits), int(misses), directory.strip()

    def run(self, **environment: str) -> tuple[float, int, int, str]:
        return self.finish(self.start(**environment))

    def edit_callee(self, before: str, after: str) -> None:
        text = self.callee.read_text()
        assert before in text
        self.callee.write_text(text.replace(before, after))


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@compiled_only
def test_second_process_hits_and_an_edited_callee_misses(tree):
    value, hits, misses, first = tree.run()
    assert (value, hits, misses) == (6, 0, 1)
    value, hits, misses, again = tree.run()
    assert (value, hits, misses, again) == (6, 1, 0, first)
    # Neither a global nor the body of a function in another file is in Numba's own key.
    tree.edit_callee("FACTOR = 2.0", "FACTOR = 5.0")
    value, hits, misses, second = tree.run()
    assert (value, hits, misses) == (15, 0, 1)
    tree.edit_callee("FACTOR * x", "FACTOR * x + 1")
    value, hits, misses, third = tree.run()
    assert (value, hits, misses) == (18, 0, 1)
    assert len({first, second, third}) == 3
    assert tree.run()[:3] == (18, 1, 0)


@compiled_only
def test_what_is_compiled_apart_is_found_again_and_never_stale(tree):
    """Its callers hold a symbol only: the second process has to load it before them, the edit to reach it."""
    tree.callee.write_text(CALLEE.replace("import kernel", "import outlined").replace("@kernel", "@outlined()"))
    assert tree.run()[:3] == (6, 0, 1)
    assert tree.run()[:3] == (6, 1, 0)
    tree.edit_callee("FACTOR = 2.0", "FACTOR = 5.0")
    assert tree.run()[:3] == (15, 0, 1)
    assert tree.run()[:3] == (15, 1, 0)


FIELDS = """
from typing import NamedTuple

class Fields(NamedTuple):
    factor: float
    offset: float
"""
READER = """
from bptt.network.fields import Fields
from bptt.numerics.jit import kernel
from bptt.numerics.kernel_cache import CACHE

@kernel
def read(fields):
    return 10 * fields.factor + fields.offset

def scaled_sum(x):
    return read(Fields(factor=1.0, offset=2.0))

scaled_sum.stats = read.stats
"""


@compiled_only
def test_exchanged_fields_of_a_tuple_in_a_file_that_compiles_nothing_are_seen(tree):
    """The type that Numba sees has the same name and the same parts; only the places differ."""
    fields = tree.package / "network" / "fields.py"
    fields.write_text(FIELDS)
    (tree.package / "numerics" / "caller.py").write_text(READER)
    first = tree.run()
    assert first[:3] == (12, 0, 1)
    assert tree.run() == (12, 1, 0, first[3])
    fields.write_text(FIELDS.replace("factor", "f").replace("offset", "factor").replace("f:", "offset:"))
    second = tree.run()
    assert second[:3] == (12, 0, 1)
    assert second[3] != first[3]


def test_every_file_of_the_package_is_in_the_fingerprint(tmp_path):
    package = tmp_path / "bptt"
    shutil.copytree(cache_folder.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    first = cache_folder.fingerprint(package)
    assert first == cache_folder.fingerprint()
    files = [file for file in package.rglob("*") if file.is_file()]
    assert len(files) > 60
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"#")
        assert cache_folder.fingerprint(package) != first, file
        file.write_bytes(content)
    (package / "numerics" / "new.py").write_text("")
    assert cache_folder.fingerprint(package) != first
    (package / "numerics" / "new.py").rename(package / "new.py")
    assert cache_folder.fingerprint(package) != first
    (package / "new.py").unlink()
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "jit.pyc").write_text("")
    assert cache_folder.fingerprint(package) == first


@pytest.mark.parametrize("library", ["numba", "llvmlite", "numpy"])
def test_versions_are_in_the_fingerprint(library, monkeypatch):
    before = cache_folder.fingerprint()
    monkeypatch.setattr(f"{library}.__version__", "0.0.1")
    assert cache_folder.fingerprint() != before


@compiled_only
def test_other_vectors_are_other_code(tree):
    directories = {tree.run(BPTT_VECTOR_BITS=bits)[3] for bits in ("128", "256")}
    assert len(directories) == 2


@compiled_only
def test_processes_that_start_at_once(tree):
    processes = [tree.start() for _ in range(4)]
    assert [tree.finish(process)[0] for process in processes] == [6, 6, 6, 6]
    assert tree.run()[:3] == (6, 1, 0)


@compiled_only
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="other systems have no such signal")
def test_a_process_that_is_killed_while_it_compiles_leaves_a_cache_that_works(tree):
    for number in (signal.SIGKILL, signal.SIGINT):
        process = tree.start()
        while not folders(tree.home / ".cache" / "bptt") and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=300)
    assert tree.run()[0] == 6
    assert tree.run()[:3] == (6, 1, 0)


@compiled_only
def test_another_processor_is_other_code(tree):
    tree.run()
    # "generic" has no instructions that any processor of the architecture lacks.
    assert tree.run(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")[:3] == (6, 0, 1)
    assert tree.run()[:3] == (6, 1, 0)


def forbid(directory: Path) -> None:
    """A file where a folder would have to be: nobody can write below it, not even root."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.write_text("")


@compiled_only
def test_kernels_lie_in_the_home_and_nothing_in_the_package(tree):
    before = sorted(tree.package.rglob("*"))
    assert Path(tree.run()[3]).parent == tree.home / ".cache" / "bptt"
    assert sorted(tree.package.rglob("*")) == before


@compiled_only
def test_a_home_that_cannot_be_written_to_leaves_the_temporary_folder(tree):
    forbid(tree.home)
    assert tree.run()[:3] == (6, 0, 1)
    _, hits, _, directory = tree.run()
    assert hits == 1
    assert Path(directory).is_relative_to(tree.temporary)


@compiled_only
def test_nowhere_to_write_is_said_and_survived(tree):
    forbid(tree.home)
    forbid(tree.temporary)
    process = tree.start(TMP="", TEMP="")
    out, err = process.communicate(timeout=300)
    if "/kernels-" in out:
        pytest.skip("this user may write to the system's own temporary folder")
    assert (process.returncode, out.split()) == (0, ["6.0", "0", "1", "None"])
    assert err.count("each start will compile them") == 1


@compiled_only
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_permissions_are_tried_not_guessed(tree):
    tree.home.chmod(0o555)
    try:
        _, _, _, directory = tree.run()
    finally:
        tree.home.chmod(0o755)
    assert Path(directory).is_relative_to(tree.temporary)


# --- one folder, in this process ---


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own for kernels that the test decorates."""
    monkeypatch.setattr(jit, "CACHE", Chosen(tmp_path / "kernels", []))
    monkeypatch.setattr(kernel_cache, "_said", set())
    monkeypatch.setattr(KernelCache, "writable", True)
    return tmp_path / "kernels"


def decorated(flags=None):
    def twice(x):
        return x + x

    return kernel(twice, **flags or {})


def use(expected):
    """Call the kernel as a new process would; whether its machine code came from the cache."""
    function = decorated()
    assert function(1.5) == 3
    hits = sum(function.stats.cache_hits.values())
    assert hits + sum(function.stats.cache_misses.values()) == 1
    assert hits == expected


def only_file(folder):
    (path,) = folder.glob("*.nbc")
    return path


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def cut_to_forty(path):
    path.write_bytes(path.read_bytes()[:40])


def flip_first(path):
    path.write_bytes(b"\xe3" + path.read_bytes()[1:])


def flip_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"x")


def make_folder(path):
    path.unlink()
    (path / "below").mkdir(parents=True)


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_link(path):
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def of_another_shape(path):
    payload = pickle.dumps("not a kernel")
    kernel_cache.write(path, payload)


DAMAGES = [empty, cut, cut_to_forty, flip_first, flip_middle, lengthen, make_folder, of_another_shape]
DAMAGES += [make_pipe, make_link] if hasattr(os, "mkfifo") else []


@compiled_only
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_compiled_anew_and_said_once(damage, folder, caplog):
    use(expected=0)
    use(expected=1)
    damage(only_file(folder))
    with caplog.at_level(logging.WARNING, "bptt"):
        use(expected=0)
        use(expected=1)
        damage(only_file(folder))
        use(expected=0)
    (record,) = caplog.records
    assert "compiled anew" in record.getMessage()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@compiled_only
def test_nothing_is_unpickled_before_its_checksum_is_right(folder, tmp_path):
    use(expected=0)
    path, mark = only_file(folder), tmp_path / "mark"
    content = path.read_bytes()
    path.write_bytes(content[: len(kernel_cache.MAGIC) + kernel_cache.CHECKSUM] + pickle.dumps(Bomb(mark)))
    use(expected=0)
    assert not mark.exists()


@compiled_only
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_failed_write_is_said_once_and_nothing_is_left(code, folder, caplog, monkeypatch):
    def replace(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", replace)
    with caplog.at_level(logging.WARNING, "bptt"):
        use(expected=0)
        use(expected=0)
    (record,) = caplog.records
    assert os.strerror(code) in record.getMessage()
    assert list(folder.iterdir()) == []


@compiled_only
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_ends_nothing(folder, monkeypatch, caplog):
    monkeypatch.setattr(
        tempfile, "mkstemp", lambda dir, **_: (os.open("/dev/full", os.O_WRONLY), str(dir / "full.tmp"))
    )
    use(expected=0)
    assert "No space left" in caplog.text


@compiled_only
def test_a_folder_that_is_removed_meanwhile_is_made_again(folder):
    use(expected=0)
    shutil.rmtree(folder)
    use(expected=0)
    use(expected=1)


@compiled_only
def test_a_folder_that_can_only_be_read_is_read(folder, monkeypatch):
    use(expected=0)

    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert cache_folder.refusal(folder) is None
    only_file(folder).unlink()
    assert os.strerror(errno.EROFS) in cache_folder.refusal(folder)


@compiled_only
def test_flags_and_types_are_part_of_the_key(folder):
    assert decorated()(1.5) == 3
    for function in (decorated({"exact": True}), decorated({"low_opt": True}), decorated()):
        assert function(2) == 4
        assert not function.stats.cache_hits
    assert len(list(folder.glob("*.nbc"))) == 4


def test_no_cache_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(jit, "CACHE", Chosen(None, []))
    assert decorated()(1.5) == 3


# --- whom the folder belongs to ---


@pytest.fixture
def shared(tmp_path):
    """A folder like the system's temporary one."""
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o1777)
    return path


def give_away(path, monkeypatch):
    """Make a folder somebody else's."""
    if os.getuid() == 0:
        os.chown(path, 12345, -1)
    else:
        me = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: me + 1)


@posix_only
def test_a_closed_folder_is_trusted_whether_it_exists_or_not(tmp_path, shared):
    assert flaw(tmp_path) is None
    assert flaw(tmp_path / "a" / "b") is None
    cache_folder.make(shared / "mine" / "below")
    assert flaw(shared / "mine" / "below") is None
    assert (shared / "mine").stat().st_mode & 0o777 == 0o700


@posix_only
@pytest.mark.parametrize("level", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("mode", [0o777, 0o707, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(level, mode, tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / level).chmod(mode)
    if mode == 0o1777 and level != "a/b/c":  # nobody can replace our own folder in it
        assert flaw(tmp_path / "a" / "b" / "c") is None
    else:
        assert "others may write" in flaw(tmp_path / "a" / "b" / "c")


@posix_only
@pytest.mark.parametrize("level", ["a", "a/b"])
def test_a_folder_of_somebody_else_is_refused(level, tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    give_away(tmp_path / level, monkeypatch)
    assert "another user" in flaw(tmp_path / "a" / "b")


@posix_only
def test_a_link_is_followed_where_only_we_could_have_made_it(tmp_path, shared):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert flaw(tmp_path / "link" / "below") is None
    (tmp_path / "real").chmod(0o777)
    assert "others may write" in flaw(tmp_path / "link" / "below")
    (tmp_path / "real").chmod(0o700)
    (shared / "link").symlink_to(tmp_path / "real")
    assert "not a folder of this user" in flaw(shared / "link")
    (tmp_path / "turn").symlink_to("turn")
    with pytest.raises(OSError, match="symbolic links"):
        flaw(tmp_path / "turn")


@posix_only
@pytest.mark.parametrize("how", ["open", "foreign", "link"])
def test_a_folder_made_beforehand_in_the_temporary_folder_is_no_cache(how, shared, tmp_path, monkeypatch):
    (tmp_path / "no home").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no home"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    place = shared / f"bptt-{os.getuid()}"
    assert choose().folder.parent == place
    shutil.rmtree(place)
    if how == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        place.chmod(0o777 if how == "open" else 0o755)
        if how == "foreign":
            give_away(place, monkeypatch)
            place = shared / f"bptt-{os.getuid()}"
    chosen = choose()
    assert chosen.folder is None
    assert len(chosen.refused) == 2
    assert how != "link" or list((tmp_path / "elsewhere").iterdir()) == []


def test_the_folder_that_the_user_names_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert choose().folder.parent == tmp_path / "named"
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    assert str(tmp_path / "file") in choose().refused[0]


# --- old folders ---


def test_old_versions_are_removed_when_a_new_one_opens(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    names = {"stale": "a" * 16, "running": "b" * 16, "foreign": "c" * 16, "forgotten": "d" * 16}
    made = {name: tmp_path / f"kernels-{digits}" for name, digits in names.items()}
    ages = {"stale": 2, "running": 0, "foreign": 48, "forgotten": 24 * 40}
    for name, path in made.items():
        path.mkdir(mode=0o700)
        (path / "kernel.nbc").write_text("")
        mine = name in ("stale", "running")
        owner = path / "installation"
        owner.write_text(cache_folder.installation() if mine else "another\n")
        os.utime(owner, (time.time() - 3600 * ages[name],) * 2)
    (tmp_path / "else").mkdir()
    chosen = choose().folder
    assert set(folders(tmp_path)) == {chosen, made["running"], made["foreign"]}
    assert (tmp_path / "else").exists()
    (chosen / "left.tmp").write_text("")
    os.utime(chosen / "left.tmp", (0, 0))
    os.utime(chosen / "installation", (0, 0))
    assert choose().folder == chosen
    assert not (chosen / "left.tmp").exists()


def test_clear_removes_kernels_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_folder, "bases", lambda: [tmp_path, tmp_path / "missing"])
    (tmp_path / f"kernels-{'a' * 16}").mkdir()
    (tmp_path / f"kernels-{'a' * 16}" / "x.nbc").write_bytes(b"12345")
    (tmp_path / "kernels-of-mine").mkdir()
    assert cache_folder.clear() == 5
    assert [path.name for path in tmp_path.iterdir()] == ["kernels-of-mine"]
