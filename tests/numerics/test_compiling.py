"""Compiling: Ctrl-C is heard meanwhile, what is going on is said, and nothing of the process is left changed."""

import io
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest

from bptt.numerics import compiling, jit, kernel_cache, kernel_counts
from bptt.numerics.cache_folder import Chosen
from bptt.numerics.jit import kernel

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


def fresh(**flags):
    """A kernel that no process has compiled before."""

    def inner(x):
        return x + 1

    called = kernel(inner, internal=True, cache=False)

    def outer(x):
        return called(x) * 2

    return kernel(outer, cache=False, **flags)


# Compiles kernels in turn, loads one, and so on until it is interrupted; and then once more, undisturbed.
INTERRUPTED = """
import signal, sys
import numpy as np
from pathlib import Path
from bptt.numerics import cache_folder, compiling, jit
from bptt.numerics.jit import kernel

jit.CACHE = cache_folder.Chosen(Path(sys.argv[1]), [])

# As a module keeps its own: Python drops an exception in a finalizer, and Numba gives a dropped kernel one.
kept = []

def once(cached):
    def total(x):
        out = np.zeros(3)
        for i in range(x.shape[0]):
            out[i % 3] += np.exp(x[i]) + np.sqrt(np.abs(x[i])) ** 1.5
        return out + np.cumsum(out)
    kept.append(kernel(total, cache=cached))
    return kept[-1](np.ones(5))

expected = once(True)
heard = 0
print("go", flush=True)
try:
    while True:
        for cached in (True, False):
            once(cached)
except KeyboardInterrupt:
    heard += 1
try:
    assert (once(False) == expected).all()
except KeyboardInterrupt:
    heard += 1
print(heard)
sys.exit(130)
"""


def interrupt(program, folder, wait):
    """Run the program, send SIGINT so many seconds after it has begun to compile; output, errors, exit code."""
    # Tests that run in the background of a shell ignore SIGINT, and hand that on to their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.stdout.readline() == "go\n"
    time.sleep(wait)
    run.send_signal(signal.SIGINT)
    try:
        return *run.communicate(timeout=120), run.returncode
    except subprocess.TimeoutExpired:
        run.kill()
        out, err = run.communicate()
        raise AssertionError(f"SIGINT after {wait} s did not end it: {out!r}, {err!r}") from None


# Nothing is caught: Python prints the KeyboardInterrupt and ends as shells expect it.
UNCAUGHT = INTERRUPTED.replace("except KeyboardInterrupt", "except ZeroDivisionError")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="other systems have no SIGINT to send")
@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_ctrl_c_that_nobody_catches_ends_the_process_by_its_signal(wait, tmp_path):
    out, err, code = interrupt(UNCAUGHT, tmp_path, wait)
    assert (out, code) == ("", -signal.SIGINT)
    assert err.count("KeyboardInterrupt") == 1
    assert "ignored" not in err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="other systems have no SIGINT to send")
def test_ctrl_c_is_heard_once_at_any_instant(tmp_path):
    for wait in np.linspace(0.0, 1.2, 7):
        assert interrupt(INTERRUPTED, tmp_path, wait) == ("1\n", "", 130)


def test_the_main_thread_leaves_while_llvm_works_on():
    """Here the work is a sleep that no signal ends: only another thread's can be left."""
    entered, leave = threading.Event(), threading.Event()

    def work():
        entered.set()
        leave.wait(60)
        compiling.check()

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        threading.Thread(target=lambda: entered.wait(60) and signal.raise_signal(signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            compiling.undisturbed(work)
        assert compiling.busy()
    finally:
        leave.set()
        signal.signal(signal.SIGINT, before)
    while compiling.busy():
        time.sleep(0.001)


def test_what_nobody_waits_for_is_given_up():
    job = compiling.Job(lambda: fresh()(1))
    job.abandoned = True
    thread = threading.Thread(target=job.run)
    thread.start()
    thread.join(60)
    assert isinstance(job.error, compiling.Abandoned)
    assert fresh()(1) == 4


def test_other_threads_can_be_told_to_give_up():
    entered, leave, seen = threading.Event(), threading.Event(), []

    def work():
        entered.set()
        leave.wait(60)
        compiling.check()

    def caller():
        try:
            compiling.undisturbed(work)
        except compiling.Abandoned as error:
            seen.append(error)

    thread = threading.Thread(target=caller)
    thread.start()
    entered.wait(60)
    compiling.abandon()
    leave.set()
    thread.join(60)
    assert len(seen) == 1
    assert not compiling.busy()
    assert fresh()(1) == 4


def test_errors_arrive_where_the_kernel_was_called():
    @kernel(cache=False)
    def wrong(x):
        return x.nothing

    with pytest.raises(numba.errors.TypingError, match="nothing"):
        wrong(1)
    assert not compiling.in_progress()


def test_a_function_of_the_user_may_call_a_kernel():
    called = fresh()

    @numba.njit
    def theirs(x):
        return called(x)

    assert theirs(1) == 4


def test_the_effort_of_one_kernel_is_not_left_to_others():
    before = numba.config.OPT
    threads = [
        threading.Thread(target=lambda low_opt=low_opt: fresh(low_opt=low_opt)(1)) for low_opt in [True, False] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numba.config.OPT is before


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def progress(monkeypatch):
    new = compiling.Progress()
    new.cold = False  # whatever the user's cache is
    monkeypatch.setattr(compiling, "_progress", new)
    return new


def test_a_terminal_shows_a_moving_line_and_then_none(progress, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "root")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert fresh()(1) == 4
    lines = [line.strip() for line in terminal.getvalue().split("\r")]
    assert lines[1].startswith("bptt: compiling kernels, once: 0 so far, ")
    assert any(line.startswith("bptt: compiling kernels, once: 1 so far, ") for line in lines)
    assert len({line[-1] for line in lines if line}) > 1  # the sign moves
    assert max(map(len, lines)) < 80
    assert terminal.getvalue().endswith(" \r")
    assert "\n" not in terminal.getvalue()
    assert not caplog.records
    assert progress.kernels == 2
    assert compiling.seconds() > 0
    assert not compiling.in_progress()


def test_a_library_logs_and_prints_nothing(progress, capfd, caplog):
    with caplog.at_level(logging.INFO, "bptt"):
        fresh()(1)
    assert [record.getMessage()[:17] for record in caplog.records] == ["compiling kernels", "compiled kernels:"]
    assert capfd.readouterr() == ("", "")


def test_a_command_prints_one_line(progress, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "CACHE", Chosen(tmp_path, []))
    (tmp_path / "x.nbc").write_text("")
    compiling.announce("command")
    assert capfd.readouterr().err == ""
    fresh()(1)
    fresh()(1)
    assert capfd.readouterr().err == "bptt: compiling kernels, once; this can take a minute\n"


def test_a_command_without_a_cache_says_it_before_it_compiles(progress, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(compiling, "CACHE", Chosen(tmp_path, []))
    compiling.announce("command")
    assert capfd.readouterr().err == "bptt: compiling kernels, once; this can take a minute\n"
    fresh()(1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("command", [False, True])
def test_the_logger_silences(command, progress, capfd, caplog, monkeypatch):
    progress.command = "command" if command else None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with caplog.at_level(logging.WARNING, "bptt"):
        fresh()(1)
    assert not caplog.records
    assert sys.stderr.getvalue() == ""


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Begins as a process with an empty cache does; returns a terminal, to which it writes."""
    monkeypatch.setattr(compiling, "CACHE", Chosen(tmp_path / "kernels", []))

    def begin():
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(compiling, "_progress", compiling.Progress())
        return terminal

    return begin


def counts(terminal):
    """What the moving line said, without repetition."""
    found = re.findall(r"once: (.*?), ", terminal.getvalue())
    return list(dict.fromkeys(found))


def test_a_second_start_with_an_empty_cache_knows_about_how_many(start):
    folder = compiling.CACHE.folder
    terminal = start()
    fresh()(1)
    assert counts(terminal) == ["0 so far", "1 so far"]
    [name] = kernel_counts.read(folder)
    assert kernel_counts.read(folder) == {name: 2}
    terminal = start()
    fresh()(1)
    fresh()(1)
    assert counts(terminal) == ["0 of about 2", "1 of about 2", "2 of about 4", "3 of about 4"]
    folder.mkdir()
    (folder / "x.nbc").write_text("")
    terminal = start()
    fresh()(1)
    assert counts(terminal) == ["0 so far", "1 so far"]  # the cache is not empty: there may be fewer


def test_a_count_that_is_too_small_is_dropped(start):
    start()
    fresh()(1)
    [name] = kernel_counts.read(compiling.CACHE.folder)
    kernel_counts.add(compiling.CACHE.folder, name, 1)
    terminal = start()
    fresh()(1)
    assert counts(terminal) == ["0 of about 1", "1 so far"]
    assert kernel_counts.read(compiling.CACHE.folder) == {name: 2}


def test_a_command_is_counted_as_a_whole_and_only_if_it_ends(start):
    folder = compiling.CACHE.folder
    for whole in (False, True):
        terminal = start()
        compiling.announce("forecast")
        fresh()(1)
        fresh()(1)
        compiling.command_ended(whole)
        assert counts(terminal)[-1] == "3 so far"
        assert kernel_counts.read(folder) == ({"forecast": 4} if whole else {})
    terminal = start()
    compiling.announce("forecast")
    fresh()(1)
    assert counts(terminal) == ["0 of about 4", "1 of about 4"]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_quiet_command_says_nothing_and_leaves_nothing_quiet(terminal, start, capfd, caplog):
    screen = start()
    if not terminal:
        screen.isatty = lambda: False
    compiling.announce("text train", quiet=True)
    fresh()(1)
    assert screen.getvalue() == ""
    compiling.command_ended(True)
    with caplog.at_level(logging.INFO, "bptt"):
        fresh()(1)
    assert bool(screen.getvalue()) == terminal
    assert bool(caplog.records) != terminal


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"a": "1", "b": -1, "c": true, "d": 1e9, "e": 1000000}', b"[" * 10**5, b"\xff"]
)
def test_wrong_counts_are_no_counts(content, tmp_path):
    folder = tmp_path / "kernels"
    assert kernel_counts.read(folder) == {}
    kernel_cache.write(tmp_path / kernel_counts.NAME, content)
    assert kernel_counts.read(folder) == {}
    kernel_counts.add(folder, "forecast", 3)
    assert kernel_counts.read(folder) == {"forecast": 3}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="on Windows the profile's access lists decide")
def test_counts_that_others_can_write_are_not_read(tmp_path):
    folder = tmp_path / "kernels"
    kernel_counts.add(folder, "forecast", 3)
    (tmp_path / kernel_counts.NAME).chmod(0o666)
    assert kernel_counts.read(folder) == {}


def test_counts_need_no_folder():
    kernel_counts.add(None, "forecast", 3)
    assert kernel_counts.read(None) == {}


def test_nothing_is_said_where_machine_code_is_loaded(progress, capfd, caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "CACHE", Chosen(tmp_path, []))

    def made():
        def twice(x):
            return x + x

        return kernel(twice)

    assert made()(1) == 2
    monkeypatch.setattr(sys, "stderr", Terminal())
    caplog.clear()
    with caplog.at_level(logging.INFO, "bptt"):
        assert made()(1) == 2
    assert not caplog.records
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_process_without_a_standard_error_compiles(stream, progress, monkeypatch):
    terminal = Terminal()
    terminal.close()
    monkeypatch.setattr(sys, "stderr", None if stream is None else terminal)
    progress.command = "command"
    assert fresh()(1) == 4


# Imports, trains a layer and an ensemble, and runs a command; prints what of the process has changed.
PROCESS = """
import os, signal, sys, warnings

import numba, numpy, pandas, typer, tqdm  # theirs is theirs

def state():
    handlers = {n: signal.getsignal(n) for n in signal.valid_signals()}
    config = {name: value for name, value in vars(numba.config).items() if name.isupper()}
    return {"handlers": handlers, "config": config, "filters": list(warnings.filters), "environment": dict(os.environ),
            "print": numpy.get_printoptions(), "errors": numpy.geterr(), "hook": sys.excepthook,
            "recursion": sys.getrecursionlimit(), "folder": os.getcwd()}

before = state()
import bptt
import bptt.cli
from bptt import forecast

df = forecast.generate_series(4, "D", min_length=40, max_length=50, seed=0)
model = forecast.GRU(h=2, max_steps=4, hidden_size=8, ensemble=3)
made = forecast.Forecaster(models=[model], freq="D")
made.fit(df)
made.predict()
bptt.cli.main(["--version"])
df.to_csv("series.csv", index=False)
assert bptt.cli.main(["forecast", "series.csv", "--h", "2", "--max-steps", "2", "--output", "out.csv"]) == 0
after = state()
print([name for name in before if before[name] != after[name]])
"""


def test_the_process_is_left_as_it_was(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=tmp_path,
        env=dict(os.environ, BPTT_NUM_THREADS="2"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "[]"
