"""Signals during long calls: Python's handlers run meanwhile, not after, and what one raises ends the call.

No time is asserted. A timer sends signals all the while; those that arrive before a handler could run count as one. So
a handler runs once in a call that hears nothing before its end, and many times in one that does.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys

import numba
import numpy as np
import pytest

import bptt
from bptt.text.network.model import SequenceModel
from bptt.text.network.scoring import score
from bptt.text.network.trainer import Trainer

pytestmark = [
    pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the interpreter hears everything"),
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers"),
]


@contextlib.contextmanager
def signals(most=None):
    """Send signals; yields a list that grows with each that was heard. After `most` of them, KeyboardInterrupt."""
    heard = []

    def handler(number, frame):
        heard.append(number)
        if most is not None and len(heard) >= most:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        yield heard
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def layer_calls():
    """Forward without a tape, and backward, of a layer, each of many billions of multiply-adds."""
    layer = bptt.LSTM(8, 512, seed=0)
    x = np.random.default_rng(0).uniform(-1, 1, (2500, 4, 8)).astype("float32")
    y, _, tape = layer.forward(x[:1200])
    return layer, [lambda: layer(x)[0], lambda: layer.backward(y, tape).x]


@pytest.mark.parametrize("threads", [1, 2])
def test_handlers_run_while_a_layer_computes(threads):
    bptt.set_num_threads(threads)
    layer, calls = layer_calls()
    for call in calls:
        expected = call()
        with signals() as heard:
            result = call()
        assert len(heard) >= 3  # a few, beside those between two lines of Python
        assert result.tobytes() == expected.tobytes()
        with signals(most=3), pytest.raises(KeyboardInterrupt):
            call()
        # It works on, with the same bits, and the memory of what was ended has come back.
        assert call().tobytes() == expected.tobytes()
    del calls, call, result, expected
    gc.collect()
    layer._buffers._take_back()
    assert layer._buffers._in_use == 0


def model_and_tokens(steps):
    model = SequenceModel(vocabulary_size=30, hidden_size=256, embedding_size=8, seed=0)
    return model, np.random.default_rng(0).integers(0, 30, (8, steps + 1))


def test_handlers_run_while_a_model_is_evaluated():
    model, tokens = model_and_tokens(12_288)
    expected = score(model, tokens)
    with signals() as heard:
        assert score(model, tokens) == expected
    assert len(heard) >= 3
    with signals(most=3), pytest.raises(KeyboardInterrupt):
        score(model, tokens)
    assert score(model, tokens) == expected


def test_an_interrupted_training_has_counted_what_it_did():
    model, tokens = model_and_tokens(4096)
    trainer = Trainer(model, streams=8, window=16)
    trainer.run(tokens, 0, np.full(1, 1e-3))
    with signals(most=4), pytest.raises(KeyboardInterrupt):
        trainer.run(tokens, 16, np.full(255, 1e-3))
    assert 1 < trainer.steps < 256
    again, _ = model_and_tokens(4096)
    other = Trainer(again, streams=8, window=16)
    other.run(tokens, 0, np.full(trainer.steps, 1e-3))
    assert model.flat.tobytes() == again.flat.tobytes()


ENSEMBLE = """
import threading
import numpy as np, pandas as pd
from bptt.forecast import LSTM, Forecaster

y = np.sin(np.arange(200))
df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020", periods=200, freq="h"), "y": y})
model = LSTM(h=4, ensemble=4, max_steps=2, hidden_size=8)
Forecaster([model], freq="h").fit(df)  # compiles
forecaster = Forecaster([LSTM(h=4, ensemble=4, max_steps=10**7, hidden_size=8)], freq="h")
print("ready", flush=True)
try:
    forecaster.fit(df)
except KeyboardInterrupt:
    print("heard", flush=True)
assert threading.active_count() < 4, threading.enumerate()  # the members have ended, too
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="other systems have no SIGINT to send")
def test_an_ensemble_ends_with_all_its_members():
    # Tests that run in the background of a shell ignore SIGINT, and hand that on to their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(
            [sys.executable, "-c", ENSEMBLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with run:
        assert run.stdout.readline() == "ready\n", run.stderr.read()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(1)  # by then it trains
        run.send_signal(signal.SIGINT)
        try:
            output, errors = run.communicate(timeout=120)
        finally:
            run.kill()
    assert output == "heard\n", errors
    assert run.returncode == 0, errors
