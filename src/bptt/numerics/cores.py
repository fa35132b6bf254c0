"""How many threads are useful: what the environment sets, and the cores that this process may use.

A process may be bound to some cores (its affinity), and its control group, or one above, may have a quota of their time
(`cpu.max` of cgroup v2, `cpu.cfs_quota_us` of v1), as in containers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["MOST", "available_cores", "quotas", "threads_asked_for"]

MOST = 1024
VARIABLES = ("BPTT_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use at the same time: at least 1.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` are found.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    # A part of a core is a core: it is used for a part of the time.
    return max(1, min([cores, *(-int(-quota // 1) for quota in quotas(root))]))


def quotas(root: Path = Path("/")) -> Iterator[float]:
    """Cores that the control groups of this process allow, its own and those above."""
    for line in lines(root / "proc/self/cgroup"):
        number, controllers, place = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            yield from folders(root / "sys/fs/cgroup", place, quota_v2)
            yield from folders(root / "sys/fs/cgroup/unified", place, quota_v2)
        elif "cpu" in controllers.split(","):
            for name in ("cpu", controllers):
                yield from folders(root / "sys/fs/cgroup" / name, place, quota_v1)


def folders(top: Path, place: str, quota_of: object) -> Iterator[float]:
    """The quotas from a group's folder up to the top's own."""
    group = top / place.lstrip("/")
    # Within a container the path may be the host's: then only the top is there.
    for folder in [group, *group.parents]:
        if (quota := quota_of(folder)) is not None:  # type: ignore[operator]
            yield quota
        if folder == top:
            return


def quota_v2(folder: Path) -> float | None:
    parts = " ".join(lines(folder / "cpu.max")).split()
    return ratio(*parts) if len(parts) == 2 else None


def quota_v1(folder: Path) -> float | None:
    return ratio("".join(lines(folder / "cpu.cfs_quota_us")), "".join(lines(folder / "cpu.cfs_period_us")))


def ratio(quota: str, period: str) -> float | None:
    """None where there is no limit: `max` in v2, -1 in v1."""
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) > 0 else None


def lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def threads_asked_for(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """BPTT_NUM_THREADS; else every core there is, or fewer where OMP_NUM_THREADS or NUMBA_NUM_THREADS say so.

    Raises
    ------
    ValueError
        BPTT_NUM_THREADS is not an integer in 1 .. 1024. The other variables are ignored if they are not integers.
    """
    asked = environment.get("BPTT_NUM_THREADS")
    if asked is not None:
        if not (asked.isascii() and asked.isdigit() and len(asked) < 10 and 1 <= int(asked) <= MOST):
            raise ValueError(f"environment variable BPTT_NUM_THREADS={asked!r}: accepted is an integer in 1 .. {MOST}")
        return int(asked)
    # OpenMP's variable may list a number for each level of nesting.
    others = [environment.get(name, "").split(",")[0].strip() for name in VARIABLES[1:]]
    limits = [int(other) for other in others if other.isascii() and other.isdigit() and len(other) < 10]
    return max(1, min([MOST, available_cores(root), *limits]))
