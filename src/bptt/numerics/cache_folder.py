"""Where machine code is kept on disk: one folder per version, which no other user can write to.

Numba's cache knows a function by its own bytecode and argument types; it does not see an edit in a function it
calls, in a global, or in another file. Here the cache of the whole package lies in a folder named after a hash of
every file of the package, of the versions of Python, numba, llvmlite and numpy, and of what the environment says about
vectors: an edit anywhere opens a new folder, and stale machine code is never run. The files that compiled
code depends on cannot be listed: a tuple's fields, a table or a constant may come from any of them.

Loading machine code means running it, so a folder is only used if no one but this user and root can write to it or
replace it. Folders of old versions are removed when a new one is created.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import llvmlite
import numba
import numpy as np
from numba import config

from bptt.numerics.numba_internals import user_cache_dir

__all__ = [
    "PACKAGE",
    "SUFFIX",
    "Chosen",
    "bases",
    "choose",
    "clear",
    "fingerprint",
    "flaw",
    "folders",
    "installation",
    "make",
    "refusal",
    "size",
]

PACKAGE = Path(__file__).resolve().parent.parent
SUFFIX = ".nbc"
FOLDER = re.compile(r"kernels-[0-9a-f]{16}")

HOUR, DAY = 3600.0, 86400.0
KEPT = 30 * DAY  # how long a folder is kept that nobody uses


def fingerprint(package: Path = PACKAGE) -> str:
    """Hash of everything that the machine code depends on and that is not in a function's own key."""
    digest = hashlib.sha256()
    for part in (
        sys.version,
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        os.environ.get("BPTT_VECTOR_BITS", ""),
    ):
        digest.update(part.encode() + b"\0")
    for place, source in sorted((file.relative_to(package).as_posix(), file) for file in package.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts and not source.name.startswith("."):
            content = source.read_bytes()
            digest.update(f"{place}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def steps(path: Path) -> Iterator[Path]:
    """Every folder and symbolic link that the way to an absolute path passes, from the root on."""
    here, rest, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    yield here
    while rest:
        part = rest.pop()
        if part == "..":
            here = here.parent
            continue
        here /= part
        yield here
        if here.is_symlink():
            links += 1
            if links > 40:
                raise OSError(f"{path}: too many symbolic links")
            target = Path(os.readlink(here))
            here = Path(target.anchor) if target.is_absolute() else here.parent
            rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def open_to_others(status: os.stat_result) -> bool:
    """Whether somebody else but root may write to what has this status."""
    if stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o022:
        return False
    if status.st_mode & 0o002:
        return True
    if status.st_gid == 0:
        return False
    import grp
    import pwd

    # Many systems give each user a group of the same name and let that group write.
    try:
        me, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(status.st_gid)
    except KeyError:
        return True
    return group.gr_name != me or not set(group.gr_mem) <= {me}


def flaw(folder: Path) -> str | None:
    """How another user could put code into an absolute folder; None if no one can. It need not exist yet."""
    if not hasattr(os, "getuid"):
        return None  # on Windows the profile's access lists decide
    me = os.getuid()
    with contextlib.suppress(FileNotFoundError):
        for step in steps(folder):
            status = step.lstat()
            if status.st_uid not in (0, me):
                return f"{step} belongs to another user"
            # In a shared folder, such as the temporary one, the sticky bit keeps others from replacing our own.
            if open_to_others(step.parent.lstat()) and (step.is_symlink() or status.st_uid != me):
                return f"{step} is not a folder of this user, and others may write to {step.parent}"
            if open_to_others(status) and (step == folder or not status.st_mode & stat.S_ISVTX):
                return f"others may write to {step}"
    return None


def make(folder: Path) -> None:
    """Make a folder and those above it that are missing, all closed to others."""
    for level in [*reversed(folder.parents), folder]:
        if not level.exists():
            level.mkdir(mode=0o700, exist_ok=True)


def refusal(folder: Path) -> str | None:
    """Why a folder cannot hold the cache; None if it can, and then it exists."""
    if not folder.is_absolute():
        return f"{folder} is not an absolute path"
    try:
        if found := flaw(folder):
            return found
        make(folder)
        if found := flaw(folder):
            return found
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            if not any(folder.glob("*" + SUFFIX)):  # else it can be read at least
                raise
    except OSError as error:
        return f"{folder} cannot be written to ({error.strerror or error})"
    return None


def bases() -> list[Path]:
    """Possible parents of the folders of all versions, in order of preference."""
    found = [Path(os.path.abspath(config.CACHE_DIR))] if config.CACHE_DIR else []
    if sys.platform in ("win32", "darwin"):
        found.append(Path(user_cache_dir("bptt", appauthor=False)))
    else:
        given = os.environ.get("XDG_CACHE_HOME", "")
        with contextlib.suppress(RuntimeError):  # nobody knows the home of this user
            found.append((Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "bptt")
    with contextlib.suppress(FileNotFoundError):  # not one temporary folder can be written to
        user = os.getuid() if hasattr(os, "getuid") else "user"
        found.append(Path(tempfile.gettempdir()).absolute() / f"bptt-{user}")
    return found


class Chosen(NamedTuple):
    """This version's folder, or None, and why preferred ones are not used."""

    folder: Path | None
    refused: list[str]


def choose() -> Chosen:
    """The folder of this version of the compiled code; old ones beside it are removed when it is new."""
    name = "kernels-" + fingerprint()
    refused: list[str] = []
    for base in bases():
        folder = base / name
        why = refusal(folder)
        if why is None:
            with contextlib.suppress(OSError):
                note_use(folder)
            return Chosen(folder, refused)
        refused.append(why)
    return Chosen(None, refused)


def installation() -> str:
    """Identifies the folders of this installation among those of others on the same machine."""
    return f"{PACKAGE}\n{sys.prefix}\n{os.environ.get('BPTT_VECTOR_BITS', '')}\n"


def note_use(folder: Path) -> None:
    """Record that the folder is used today, and remove others if it is new or was not used for a day."""
    owner, now = folder / "installation", time.time()
    used = owner.stat().st_mtime if owner.exists() else 0.0
    if now - used < HOUR / 2:
        return
    owner.write_text(installation())
    if now - used > DAY:
        prune(folder.parent, folder, now)


def prune(base: Path, mine: Path, now: float) -> None:
    """Remove this installation's older versions, and folders that were not used for long.

    A process that uses one of them continues: what it has loaded stays, what it still needs is compiled again. To keep
    this rare, nothing is removed that was used within the last hour.
    """
    for folder in folders(base):
        owner = folder / "installation"
        try:
            age = now - (owner if owner.exists() else folder).stat().st_mtime
            same = owner.exists() and owner.read_text() == installation()
        except OSError:
            continue
        if folder != mine and age > (HOUR if same else KEPT):
            shutil.rmtree(folder, ignore_errors=True)
    for left in mine.glob("*.tmp"):  # of processes that were killed while they wrote
        with contextlib.suppress(OSError):
            if now - left.stat().st_mtime > HOUR:
                left.unlink()


def folders(base: Path) -> list[Path]:
    """The cache folders, of any version, in a place."""
    try:
        return sorted(p for p in base.iterdir() if FOLDER.fullmatch(p.name) and p.is_dir() and not p.is_symlink())
    except OSError:
        return []


def clear() -> int:
    """Remove the compiled kernels of all versions; returns how many bytes that frees."""
    freed = 0
    for folder in (folder for base in bases() if flaw(base) is None for folder in folders(base)):
        freed += size(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return freed


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    with contextlib.suppress(OSError):  # somebody else may be removing it
        for file in folder.iterdir():
            total += file.lstat().st_size
    return total
