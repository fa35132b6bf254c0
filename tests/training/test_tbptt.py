"""The compiled training step against the naive TBPTT(k1, k2) and against differences of its own loss."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import bptt
from bptt.numerics.threads import run
from bptt.text.network.model import SequenceModel
from bptt.text.network.scoring import score
from bptt.text.network.trainer import Trainer
from bptt.training.optimizers import SGD, Adam, AdamW, RMSprop
from bptt.training.pace import paced
from reference import REFERENCES, training

CELLS = {
    "rnn_tanh": {"cell": "rnn", "nonlinearity": "tanh"},
    "rnn_relu": {"cell": "rnn", "nonlinearity": "relu"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
}
WINDOWS = [(4, 4), (4, 8), (3, 7), (1, 5), (1, 1), (5, 6)]
OPTIMIZERS = {
    "sgd": (SGD(), 0.3),
    "momentum": (SGD(momentum=0.9, weight_decay=0.01), 0.05),
    "rmsprop": (RMSprop(), 0.01),
    "rmsprop-momentum": (RMSprop(alpha=0.9, momentum=0.5, weight_decay=0.01), 0.01),
    "adam": (Adam(weight_decay=0.01), 0.02),
    "adamw": (AdamW(weight_decay=0.1), 0.02),
}
every_cell = pytest.mark.parametrize("name", CELLS)


def make_model(name, V=5, E=3, H=6, L=1, seed=0, **options):
    model = SequenceModel(vocabulary_size=V, embedding_size=E, hidden_size=H, num_layers=L, dtype="float64",
                          **CELLS[name], **options)  # fmt: skip
    rng = np.random.default_rng(seed)
    for value in model.parameters.values():
        value[...] = rng.normal(scale=0.5, size=value.shape)
    return model


def make_tokens(V, streams, steps, seed=1):
    return np.random.default_rng(seed).integers(V, size=(streams, steps + 1)).astype(np.int32)


def make_pair(name, window, optimizer="momentum", L=1, clip_norm=0.3, clip_value=None):
    """A trainer and its naive twin with the same weights; and the learning rate."""
    model = make_model(name, L=L)
    rule, learning_rate = OPTIMIZERS[optimizer]
    trainer = Trainer(model, streams=3, window=window, optimizer=rule, clip_norm=clip_norm, clip_value=clip_value)
    twin = getattr(training, type(rule).__name__)(**dataclasses.asdict(rule))
    naive = training.Training(
        REFERENCES[name], model.parameters, *window, twin, clip_norm=clip_norm, clip_value=clip_value
    )
    return trainer, naive, model, learning_rate


def assert_same(record, expected, model, naive, rtol=1e-10):
    np.testing.assert_allclose(record.loss, expected[0], rtol=rtol)
    np.testing.assert_allclose(record.norm, expected[1], rtol=100 * rtol)
    for key, value in model.parameters.items():
        np.testing.assert_allclose(value, naive.theta[key], rtol=0, atol=100 * rtol, err_msg=key)


@every_cell
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_against_the_naive_scheme(name, window, num_layers):
    trainer, naive, model, learning_rate = make_pair(name, window, L=num_layers)
    tokens = make_tokens(5, 3, 9 * window[0])
    rates = learning_rate * np.linspace(1, 0.2, 9)
    record = trainer.run(tokens, 0, rates)
    expected = naive.run(tokens, 0, rates)
    assert (expected[1] > 0.3).any()
    assert_same(record, expected, model, naive)


@pytest.mark.interpreted
@every_cell
def test_a_few_windows_interpreted(name):
    trainer, naive, model, learning_rate = make_pair(name, (2, 3))
    tokens = make_tokens(5, 3, 6)
    assert_same(
        trainer.run(tokens, 0, np.full(3, learning_rate)),
        naive.run(tokens, 0, [learning_rate] * 3),
        model,
        naive,
    )


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(name, optimizer):
    trainer, naive, model, learning_rate = make_pair(name, (3, 5), optimizer)
    tokens = make_tokens(5, 3, 36)
    rates = np.full(12, learning_rate)
    assert_same(trainer.run(tokens, 0, rates), naive.run(tokens, 0, rates), model, naive)


@pytest.mark.parametrize(("clip_norm", "clip_value"), [(None, None), (0.05, None), (None, 0.01), (0.05, 0.01)])
def test_clipping(clip_norm, clip_value):
    trainer, naive, model, learning_rate = make_pair("lstm", (3, 3), clip_norm=clip_norm, clip_value=clip_value)
    tokens = make_tokens(5, 3, 18)
    rates = np.full(6, learning_rate)
    expected = naive.run(tokens, 0, rates)
    assert_same(trainer.run(tokens, 0, rates), expected, model, naive)
    assert (expected[1] > (clip_norm or clip_value or 0)).all()


@every_cell
@pytest.mark.parametrize("window", [(3, 3), (2, 5)], ids=str)
def test_reset_forgets_state_and_tape(name, window):
    trainer, naive, model, learning_rate = make_pair(name, window, L=2)
    tokens = make_tokens(5, 3, 5 * window[0])
    for first in (0, window[0]):
        rates = np.full(4, learning_rate)
        record = trainer.run(tokens, first, rates)
        expected = naive.run(tokens, first, rates)
        assert_same(record, expected, model, naive)
        trainer.reset()
        naive.reset()
    assert trainer.steps == 8


@every_cell
@pytest.mark.parametrize("window", [(3, 3), (2, 5), (1, 4)], ids=str)
def test_chunks_are_one_run(name, window):
    tokens = make_tokens(5, 3, 7 * window[0])
    rates = np.linspace(0.02, 0.01, 7)
    whole, _, whole_model, _ = make_pair(name, window, "adam")
    parts, _, parts_model, _ = make_pair(name, window, "adam")
    record = whole.run(tokens, 0, rates)
    pieces = [parts.run(tokens, a * window[0], rates[a:b]) for a, b in ((0, 1), (1, 3), (3, 7))]
    np.testing.assert_array_equal(record.loss, np.concatenate([piece.loss for piece in pieces]))
    np.testing.assert_array_equal(record.norm, np.concatenate([piece.norm for piece in pieces]))
    np.testing.assert_array_equal(whole_model.flat, parts_model.flat)


@every_cell
def test_a_longer_memory_is_another_gradient(name):
    tokens = make_tokens(5, 3, 8)
    short, _, short_model, _ = make_pair(name, (2, 2), "sgd", clip_norm=None)
    long, _, long_model, _ = make_pair(name, (2, 6), "sgd", clip_norm=None)
    for trainer in (short, long):
        trainer.run(tokens, 0, np.full(1, 0.3))
    # The first window has no past yet.
    np.testing.assert_allclose(short_model.flat, long_model.flat, rtol=1e-13)
    for trainer in (short, long):
        trainer.run(tokens, 2, np.full(3, 0.3))
    assert np.abs(short_model.parameters["rnn.weight_hh_l0"] - long_model.parameters["rnn.weight_hh_l0"]).max() > 1e-5


def gradient(model, tokens, window, **options):
    """What one step of plain descent with rate 1 takes away."""
    before = model.flat.copy()
    record = Trainer(model, streams=len(tokens), window=window, optimizer=SGD(), clip_norm=None, **options).run(
        tokens, 0, np.ones(1)
    )
    grad = before - model.flat
    model.flat[:] = before
    return grad, record


@every_cell
@pytest.mark.parametrize("num_layers", [1, 2])
def test_one_window_is_full_bptt(name, num_layers):
    # Against differences of `score`, which knows no backward pass: every parameter, in a random direction.
    N = 9
    model = make_model(name, L=num_layers, seed=3)
    tokens = make_tokens(5, 4, N, seed=4)
    grad, record = gradient(model, tokens, (N, N))
    nats, count = score(model, tokens, window=N)
    assert count == 4 * N
    np.testing.assert_allclose(record.loss[0], nats / count, rtol=1e-13)
    np.testing.assert_allclose(record.norm[0], np.linalg.norm(grad), rtol=1e-12)
    before, rng, start = model.flat.copy(), np.random.default_rng(5), 0
    for key, value in model.parameters.items():
        v = np.zeros_like(before)
        v[start : start + value.size] = rng.normal(size=value.size)
        start += value.size
        both = []
        for sign in (1, -1):
            nats, _ = score(model, tokens, window=N, flat=before + sign * 1e-5 * v)
            both.append(nats / count)
        error = abs((both[0] - both[1]) / 2e-5 - grad @ v)
        assert error <= 1e-6 * np.abs(grad * v).sum() + 1e-10, key
    np.testing.assert_array_equal(model.flat, before)


@every_cell
def test_gradient_under_dropout(name):
    # The masks depend on seed and step only, so the loss of the first window is a function of the weights.
    N = 6
    tokens = make_tokens(5, 4, N, seed=4)
    options = {"V": 5, "E": 4, "H": 7, "L": 2, "seed": 6, "dropout": 0.4, "input_dropout": 0.3}
    model = make_model(name, **options)
    grad, record = gradient(model, tokens, (N, N), seed=7)
    plain = make_model(name, V=5, E=4, H=7, L=2, seed=6)
    _, undropped = gradient(plain, tokens, (N, N), seed=7)
    assert abs(record.loss[0] - undropped.loss[0]) > 1e-3
    before, rng, start = model.flat.copy(), np.random.default_rng(8), 0
    for key, value in model.parameters.items():
        v = np.zeros_like(before)
        v[start : start + value.size] = rng.normal(size=value.size)
        start += value.size
        both = []
        for sign in (1, -1):
            model.flat[:] = before + sign * 1e-5 * v
            both.append(gradient(model, tokens, (N, N), seed=7)[1].loss[0])
        error = abs((both[0] - both[1]) / 2e-5 - grad @ v)
        assert error <= 1e-6 * np.abs(grad * v).sum() + 1e-10, key


@every_cell
def test_input_dropout_drops_embedding_units_for_a_whole_window(name):
    # With one stream, a unit that the mask dropped has no gradient at any token; the others count 1 / (1 - rate).
    N, rate = 12, 0.4
    tokens = make_tokens(5, 1, N, seed=4)
    model = make_model(name, V=5, E=16, seed=6, input_dropout=rate)
    grad, record = gradient(model, tokens, (N, N), seed=7)
    moved, seen = grad[: 5 * 16].reshape(5, 16) != 0, np.unique(tokens[0, :N])
    kept = moved.any(axis=0)
    assert 0 < kept.sum() < 16
    np.testing.assert_array_equal(moved[seen], np.tile(kept, (len(seen), 1)))
    plain = make_model(name, V=5, E=16, seed=6)
    plain.parameters["embedding.weight"][:] *= kept / (1 - rate)
    np.testing.assert_allclose(record.loss[0], gradient(plain, tokens, (N, N))[1].loss[0], rtol=1e-12)


def test_score_does_not_depend_on_the_window():
    model = make_model("lstm", L=2)
    tokens = make_tokens(5, 3, 24)
    whole = score(model, tokens, window=24)
    for window in (1, 5, 8, 100):
        nats, count = score(model, tokens, window=window)
        assert count == whole[1] == 72
        np.testing.assert_allclose(nats, whole[0], rtol=1e-13)


def test_float32_follows_float64():
    tokens = make_tokens(5, 3, 60)
    records = []
    for dtype in ("float64", "float32"):
        model = SequenceModel(vocabulary_size=5, embedding_size=3, hidden_size=6, dtype=dtype, seed=2)
        trainer = Trainer(model, streams=3, window=(3, 5), optimizer=Adam(), clip_norm=1.0)
        records.append(trainer.run(tokens, 0, np.full(20, 0.01)))
        assert model.flat.dtype == dtype
    np.testing.assert_allclose(records[1].loss, records[0].loss, atol=2e-6)


def test_averaged_weights():
    # The first mean is the weights themselves; from then on each step counts for 1 - decay.
    model = make_model("gru")
    trainer = Trainer(model, streams=3, window=2, optimizer=SGD(), clip_norm=None, average=0.75)
    tokens = make_tokens(5, 3, 12)
    mean = model.flat.copy()
    for w in range(6):
        trainer.run(tokens, 2 * w, np.full(1, 0.3))
        mean = 0.75 * mean + 0.25 * model.flat
    np.testing.assert_allclose(trainer.averaged, mean, rtol=1e-12)
    assert Trainer(model, streams=3, window=2, optimizer=SGD()).averaged is None


@every_cell
def test_nothing_is_learnt_from_a_window_that_is_not_finite(name):
    # Symbol 4 has a broken embedding and appears for the first time in window 4 (step 5).
    trainer, naive, model, learning_rate = make_pair(name, (2, 6), "adam", L=2, clip_norm=None)
    tokens = make_tokens(4, 3, 12)
    tokens[1, 9] = 4
    model.parameters["embedding.weight"][4, 0] = np.nan
    naive.theta["embedding.weight"][4, 0] = np.nan
    with pytest.raises(bptt.NonFiniteError, match=r"step 5\b.*layer 0 .*time index 5 ") as raised:
        trainer.run(tokens, 0, np.full(6, learning_rate))
    assert isinstance(raised.value, ArithmeticError)
    assert trainer.steps == 4
    naive.run(tokens, 0, [learning_rate] * 4)
    for key, value in model.parameters.items():
        np.testing.assert_allclose(value, naive.theta[key], rtol=0, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("clip_value", [None, 1.0])
def test_an_infinite_gradient_is_not_clipped_away(clip_norm, clip_value):
    # The head's weights are so large that the error they send down is not; the loss itself is finite.
    trainer, _, model, _ = make_pair("lstm", (3, 3), clip_norm=clip_norm, clip_value=clip_value)
    tokens = make_tokens(5, 3, 3)
    model.parameters["head.weight"][:, 0] = [1e308, 1e308, 1e308, 1e308, 1e308]
    model.parameters["rnn.weight_hh_l0"][:] = 1e200
    before = model.flat.copy()
    with np.errstate(all="ignore"), pytest.raises(bptt.NonFiniteError, match=r"step 1\b"):
        trainer.run(tokens, 0, np.full(1, 0.1))
    np.testing.assert_array_equal(model.flat, before)


def long_run():
    """50 windows with everything on, wide enough for two threads to share it; a hash of all that came out."""
    digest = hashlib.sha256()
    for cell, window in (("lstm", (16, 16)), ("gru", (8, 20)), ("rnn", (16, 16))):
        model = SequenceModel(vocabulary_size=40, embedding_size=24, hidden_size=70, num_layers=2, cell=cell,
                              dropout=0.2, input_dropout=0.1, seed=3)  # fmt: skip
        trainer = Trainer(model, streams=13, window=window, optimizer=Adam(), clip_norm=0.5, average=0.9, seed=4)
        tokens = make_tokens(40, 13, 50 * window[0])
        record = trainer.run(tokens, 0, np.full(50, 3e-3))
        assert np.isfinite(record.loss).all()
        for array in (record.loss, record.norm, model.flat, trainer.averaged):
            digest.update(array.tobytes())
    return digest.hexdigest()


def another_history():
    """Run every kernel by other ways first: which copy of a compiled function is used may depend on that."""
    for make in (bptt.LSTM, bptt.GRU, bptt.RNN):
        layer = make(24, 70)
        y, _, tape = layer.forward(np.ones((3, 13, 24), "float32"))
        layer.backward(y, tape)
    return long_run()


def test_same_seed_same_bits(jit_disabled):
    if jit_disabled:
        pytest.skip("the interpreter knows one thread, and takes an hour")
    here = []
    for threads in (1, 2):
        bptt.set_num_threads(threads)
        here.append(long_run())
    assert here[0] == here[1]
    environment = os.environ | {"BPTT_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    for function in ("long_run", "another_history"):
        there = subprocess.run(
            [sys.executable, "-c", f"import test_tbptt; print(test_tbptt.{function}())"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.split() == here[:1], function


def test_another_seed_is_another_run():
    runs = []
    for seed in (0, 1):
        model = make_model("lstm", dropout=0.3)
        trainer = Trainer(model, streams=3, window=4, optimizer=SGD(), seed=seed)
        runs.append(trainer.run(make_tokens(5, 3, 8), 0, np.full(2, 0.1)).loss)
    assert np.abs(runs[0] - runs[1]).max() > 1e-4


def test_a_call_looks_at_its_own_steps_only():
    """Whatever the length of the corpus: symbols outside the vocabulary lie on both sides of the windows."""
    tokens = make_tokens(5, 3, 40)
    expected, records = make_model("gru"), []
    inside = tokens.copy()
    inside[:, :8], inside[:, 21:] = 99, -1
    for model, rows in ((expected, tokens), (make_model("gru"), inside)):
        trainer = Trainer(model, streams=3, window=4, optimizer=SGD())
        records.append(trainer.run(rows, 8, np.full(3, 0.1)).loss)
    np.testing.assert_array_equal(records[0], records[1])
    for first in (7, 9):
        with pytest.raises(ValueError, match=r"tokens must lie in 0 \.\. 4; got"):
            Trainer(make_model("gru"), streams=3, window=4).run(inside, first, np.full(3, 0.1))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint64, ">i4"])
def test_tokens_of_any_integer_type_and_layout(dtype):
    tokens = make_tokens(5, 3, 12)
    losses = []
    for rows in (tokens, np.asfortranarray(tokens).astype(dtype), np.repeat(tokens, 2, axis=1)[:, ::2]):
        trainer = Trainer(make_model("gru"), streams=3, window=4, optimizer=SGD())
        losses.append(trainer.run(rows, 0, np.full(3, 0.1)).loss)
        assert score(make_model("gru"), rows) == score(make_model("gru"), tokens)
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(losses[0], losses[2])
    huge = np.full((3, 13), 2**32 + 1, np.uint64)  # which int32 would take for 1
    with pytest.raises(ValueError, match="tokens must lie in"):
        Trainer(make_model("gru"), streams=3, window=4).run(huge, 0, np.full(3, 0.1))


def test_no_window_changes_nothing():
    trainer, model = Trainer(make_model("lstm"), streams=3, window=4, average=0.5), make_model("lstm")
    record = trainer.run(make_tokens(5, 3, 12), 0, np.empty(0))
    assert record.loss.size == record.norm.size == trainer.steps == 0
    np.testing.assert_array_equal(trainer.model.flat, model.flat)
    np.testing.assert_array_equal(trainer.averaged, model.flat)


def test_a_seed_is_drawn_and_kept():
    one, two = (Trainer(make_model("lstm", dropout=0.5), streams=3, window=4, seed=None) for _ in range(2))
    assert one.seed != two.seed
    again = Trainer(make_model("lstm", dropout=0.5), streams=3, window=4, seed=one.seed)
    tokens, rates = make_tokens(5, 3, 8), np.full(2, 0.1)
    np.testing.assert_array_equal(one.run(tokens, 0, rates).loss, again.run(tokens, 0, rates).loss)


def test_calls_are_paced_by_the_time_they_take(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("bptt.training.pace.time.perf_counter", lambda: now[0])
    sizes = []
    for part in paced(1000):
        sizes.append(len(part))
        now[0] += 30 if len(sizes) == 1 else 0.01 * len(part)  # the first call compiles
    assert sizes[:3] == [1, 1, 4]
    assert set(sizes[3:-1]) <= {9, 10}  # 0.1 s of 0.01 s each
    assert sum(sizes) == 1000


def test_a_long_evaluation_is_many_calls_and_ctrl_c_ends_it(monkeypatch):
    model, tokens = make_model("gru"), make_tokens(5, 3, 43)
    whole, calls = score(model, tokens, window=4), []

    def counted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == limit:
            raise KeyboardInterrupt
        return run(*arguments, **options)

    monkeypatch.setattr("bptt.training.pace.SECONDS", 1e-9)
    monkeypatch.setattr("bptt.text.network.scoring.run", counted)
    limit = None
    assert score(model, tokens, window=4) == whole
    assert len(calls) == 11  # each window of 4 steps, and the rest
    calls.clear()
    limit = 5
    with pytest.raises(KeyboardInterrupt):
        score(model, tokens, window=4)
