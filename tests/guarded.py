"""Arrays that end, or begin, exactly where a page of memory begins that nobody may touch.

`Arena` lays arrays: at one edge of each is a page without access, so that a stray read or write ends the process; at
the other edge, and in the gaps between the rows, is a pattern, NaN in float32 and in float64, that must be found again
bit for bit and never reach a result. `Worker` is another process that runs cases (see `memory_cases.py`) on such
arrays, and tells by name the case in which it died.
"""

import contextlib
import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from bptt.numerics.threads import teams_as_asked

EDGES = ("begin", "end")
PATTERN = np.uint64(0x7FF4A5A57FA5A5A5)  # a signalling NaN of 64 bits, and two NaN of 32
MARGIN = 512  # bytes of pattern, at least: more than a few vectors


class Region:
    """Pages to lie in, between two that are not to be touched."""

    def __init__(self, pages):
        self.size = pages * mmap.PAGESIZE
        self.mapping = mmap.mmap(-1, self.size + 2 * mmap.PAGESIZE)
        self.inside = np.frombuffer(self.mapping, np.uint8)[mmap.PAGESIZE : -mmap.PAGESIZE]
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        first = self.inside.ctypes.data
        for guard in (first - mmap.PAGESIZE, first + self.size):
            if mprotect(guard, mmap.PAGESIZE, 0) != 0:  # 0: no access at all
                raise OSError(ctypes.get_errno(), "mprotect")


# By number of pages: they are costly to make.
REGIONS: dict[int, list[Region]] = {}


class Arena:
    """Lays arrays at one edge of regions of memory, which the next arena uses again."""

    def __init__(self, edge):
        self.edge, self.used, self.surroundings = edge, {}, []

    def lay(self, *shape, dtype):
        """An array full of the pattern."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape))
        size = count * dtype.itemsize
        pages = 1 << (-(-(size + MARGIN) // mmap.PAGESIZE) - 1).bit_length()
        regions, used = REGIONS.setdefault(pages, []), self.used.get(pages, 0)
        if used == len(regions):
            regions.append(Region(pages))
        inside = regions[used].inside
        self.used[pages] = used + 1
        inside.view(np.uint64)[...] = PATTERN
        first = 0 if self.edge == "begin" else inside.size - size
        self.watch(inside[size:] if self.edge == "begin" else inside[:first])
        return np.frombuffer(inside.data, dtype, count, first).reshape(shape)

    def copy(self, values):
        """An array of the same values."""
        values = np.asarray(values)
        array = self.lay(*values.shape, dtype=values.dtype)
        array[...] = values
        return array

    def gapped(self, values, gap):
        """The values in rows with a gap between them: the whole array, and where the values' columns begin."""
        rows, columns = values.shape
        whole = self.lay(rows, columns + gap, dtype=values.dtype)
        first = 0 if self.edge == "begin" else gap
        self.watch(whole[:, columns:] if self.edge == "begin" else whole[:, :gap])
        whole[:, first : first + columns] = values
        return whole, first

    def watch(self, part):
        """`check` will see that this part of an array is as it is now."""
        self.surroundings.append((part, part.tobytes()))

    def check(self):
        """Whether everything around the arrays is as it was."""
        for part, before in self.surroundings:
            assert part.tobytes() == before, f"written outside of an array, {self.edge}"


def everywhere(case):
    """Run `case(arena)` with its arrays at either edge; it returns results, which must be the same and finite."""
    seen = []
    for edge in EDGES:
        arena = Arena(edge)
        results = case(arena)
        arena.check()
        seen.append([np.array(result) for result in results])
        for k, result in enumerate(seen[-1]):
            assert np.isfinite(result).all(), f"result {k} is not finite, {edge}"
    for k, (one, other) in enumerate(zip(*seen, strict=True)):
        assert one.tobytes() == other.tobytes(), f"result {k} depends on where the arrays lie"
    return seen[0]


class Worker:
    """A process that runs cases one after the other; another one takes over where it died."""

    def __init__(self, script="memory_cases.py", **environment):
        self.script = Path(__file__).with_name(script)
        folders = [str(self.script.with_name("forecast")), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(filter(None, folders))
        self.environment = os.environ | {"BPTT_NUM_THREADS": "3", "PYTHONPATH": path} | environment
        self.process = None

    def run(self, case, **arguments):
        """AssertionError, with the case's name and arguments, if it fails or ends the process."""
        label = f"{case}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, self.script],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        answer = ""
        with contextlib.suppress(BrokenPipeError):  # it may have ended before the case came
            self.process.stdin.write(json.dumps([case, arguments]) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        if not answer:
            code = self.end()
            raise AssertionError(f"{label} ended by {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")
        failure = json.loads(answer)
        assert failure is None, f"{label}: {failure}"

    def end(self):
        """Close the process; its exit code, negative if a signal ended it."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        return process.wait()


def serve(cases):
    """The other side of `Worker`: cases by name, called with what arrives; answers null or what went wrong."""
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            with teams_as_asked():
                cases[name](**arguments)
            failure = None
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        print(json.dumps(failure), flush=True)
