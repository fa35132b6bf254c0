"""How many kernels each entry point compiled, the last time that an empty cache was filled.

A small file beside the cache folders of all versions, so that the first start of a new version can say "12 of about
31". It is only an estimate: a damaged file counts as no file.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from bptt.numerics import cache_folder, kernel_cache

__all__ = ["NAME", "add", "read"]

NAME = "bptt-kernel-counts"
MOST = 100_000  # kernels; what is beyond was not counted


def read(folder: Path | None) -> dict[str, int]:
    """The counts beside a cache folder, by entry point; empty if there are none that can be trusted."""
    if folder is None:
        return {}
    path = folder.parent / NAME
    try:
        if cache_folder.flaw(path) is not None:
            return {}
        found = json.loads(kernel_cache.read(path) or b"{}")
    except (OSError, ValueError, RecursionError, kernel_cache.Damaged):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: count for name, count in found.items() if type(count) is int and 0 < count < MOST}


def add(folder: Path | None, entrance: str, count: int) -> None:
    """Keep a count, if that is possible."""
    if folder is not None and (counts := read(folder)).get(entrance) != count:
        with contextlib.suppress(OSError):
            kernel_cache.write(folder.parent / NAME, json.dumps({**counts, entrance: count}, indent=1).encode())
