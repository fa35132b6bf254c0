"""How many cores and threads: affinity, control groups of both versions, the environment and its order."""

import os

import pytest

from bptt.numerics import cores

pytestmark = pytest.mark.interpreted


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of eight cores whose files are written here."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


GROUP = "proc__self__cgroup"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({GROUP: "0::/a/b\n"}, 8),
        ({GROUP: "0::/a/b\n", "sys__fs__cgroup__a__b__cpu_DOT_max": "max 100000\n"}, 8),
        ({GROUP: "0::/a/b\n", "sys__fs__cgroup__a__b__cpu_DOT_max": "250000 100000\n"}, 3),
        ({GROUP: "0::/a/b\n", "sys__fs__cgroup__a__b__cpu_DOT_max": "50000 100000\n"}, 1),
        # The quota of a group above.
        ({GROUP: "0::/a/b\n", "sys__fs__cgroup__a__cpu_DOT_max": "200000 100000\n"}, 2),
        ({GROUP: "0::/\n", "sys__fs__cgroup__cpu_DOT_max": "400000 100000\n"}, 4),
        # A path of the host, seen from inside a container.
        ({GROUP: "0::/host/path\n", "sys__fs__cgroup__cpu_DOT_max": "100000 100000\n"}, 1),
        ({GROUP: "3:cpu,cpuacct:/x\n", "sys__fs__cgroup__cpu__x__cpu_DOT_cfs_quota_us": "-1",
          "sys__fs__cgroup__cpu__x__cpu_DOT_cfs_period_us": "100000"}, 8),
        ({GROUP: "3:cpu,cpuacct:/x\n", "sys__fs__cgroup__cpu__x__cpu_DOT_cfs_quota_us": "150000\n",
          "sys__fs__cgroup__cpu__x__cpu_DOT_cfs_period_us": "100000\n"}, 2),
        ({GROUP: "3:cpu,cpuacct:/x\n", "sys__fs__cgroup__cpu,cpuacct__cpu_DOT_cfs_quota_us": "100000\n",
          "sys__fs__cgroup__cpu,cpuacct__cpu_DOT_cfs_period_us": "100000\n"}, 1),
        ({GROUP: "nonsense\n\n0:\n", "sys__fs__cgroup__cpu_DOT_max": "many few\n"}, 8),
    ],
)  # fmt: skip
def test_quotas_of_the_control_group_and_those_above(system, files, expected):
    assert cores.available_cores(system(**files)) == expected


def test_the_affinity_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5}, raising=False)
    assert cores.available_cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "100"}, 8),
        ({"OMP_NUM_THREADS": "nonsense"}, 8),
        ({"NUMBA_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "0"}, 1),
        ({"BPTT_NUM_THREADS": "5", "OMP_NUM_THREADS": "3"}, 5),
        ({"BPTT_NUM_THREADS": "12"}, 12),
    ],
)
def test_the_order_of_the_variables(system, environment, expected):
    assert cores.threads_asked_for(environment, system()) == expected


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5", "", "1025", "9" * 30])
def test_a_number_of_threads_that_is_none(value):
    with pytest.raises(ValueError, match=f"BPTT_NUM_THREADS='{value}'.*1 .. 1024"):
        cores.threads_asked_for({"BPTT_NUM_THREADS": value})
