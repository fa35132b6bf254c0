"""`bptt.train` and the optimizers' steps, against loops written out in NumPy."""

import copy

import numpy as np
import pandas as pd
import pytest

import bptt
from bptt.training import SGD, Adam, AdamW, RMSprop, clip_grad_norm
from bptt.training.schedules import cosine


def model_and_batches(dtype="float64"):
    rng = np.random.default_rng(0)
    model = bptt.Sequential(bptt.GRU(2, 6, dtype=dtype, seed=0), bptt.Linear(6, 1, dtype=dtype, seed=1))
    batches = []
    for T in (5, 8):
        x = rng.normal(size=(T, 3, 2)).astype(dtype)
        batches.append((x, x.sum(2, keepdims=True)))
    return model, batches


def test_adam_as_its_paper_writes_it():
    model, batches = model_and_batches()
    by_hand, adam = copy.deepcopy(model), Adam()
    theta, m, v = by_hand.flat.copy(), 0.0, 0.0
    for k in range(1, 5):
        x, target = batches[k % 2]
        y, _, tape = model.forward(x)
        adam.step(model, model.backward(bptt.mse_loss(y, target)[1], tape), learning_rate=0.1)
        by_hand.flat = theta
        y, _, tape = by_hand.forward(x)
        g = by_hand.backward(bptt.mse_loss(y, target)[1], tape).flat
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theta = theta - 0.1 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
        np.testing.assert_allclose(model.flat, theta, rtol=1e-9, atol=1e-12)
    assert np.abs(theta).max() > 0


def test_each_model_has_moments_of_its_own():
    (one, batches), (two, _) = model_and_batches(), model_and_batches()
    shared, own = SGD(momentum=0.9), SGD(momentum=0.9)
    for _ in range(3):
        for model, optimizer in ((one, shared), (two, own)):
            y, _, tape = model.forward(batches[0][0])
            optimizer.step(model, model.backward(np.ones_like(y), tape), learning_rate=0.01)
        other, _ = model_and_batches()
        y, _, tape = other.forward(batches[0][0])
        shared.step(other, other.backward(-np.ones_like(y), tape), learning_rate=0.01)
    np.testing.assert_array_equal(one.flat, two.flat)
    assert copy.deepcopy(shared) == shared


@pytest.mark.parametrize("rule", [SGD(), RMSprop(), Adam(), AdamW()])
def test_gradients_of_another_model_are_refused(rule):
    model, batches = model_and_batches()
    linear = bptt.Linear(2, 3, dtype="float64")
    y, tape = linear.forward(batches[0][0])
    g = linear.backward(y, tape)
    with pytest.raises(ValueError, match="gradients must be those of the model"):
        rule.step(model, g, learning_rate=0.1)
    with pytest.raises(TypeError, match="gradients must be the Gradients"):
        rule.step(model, g.flat, learning_rate=0.1)
    with pytest.raises(TypeError, match="model must be a layer"):
        rule.step("model", g, learning_rate=0.1)
    for rate in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="learning_rate"):
            rule.step(linear, g, learning_rate=rate)


def test_clip_grad_norm_scales_in_place():
    model, batches = model_and_batches()
    y, _, tape = model.forward(batches[0][0])
    g = model.backward(np.ones_like(y), tape)
    before = g.flat.copy()
    length = clip_grad_norm(g, 0.5)
    assert length == pytest.approx(np.linalg.norm(before))
    np.testing.assert_allclose(g.flat, before * 0.5 / (length + 1e-6), rtol=1e-12)
    np.testing.assert_array_equal(g.parameters["1.bias"], g.flat[-1:])
    assert clip_grad_norm(g, 100.0) == pytest.approx(0.5, abs=1e-6)


def test_train_is_the_loop_written_out():
    (model, batches), (by_hand, _) = model_and_batches(), model_and_batches()
    history = bptt.train(
        model, batches, bptt.mse_loss, epochs=3, learning_rate=0.05, schedule="cosine", clip_norm=0.3, progress=False
    )
    adam, rates, losses = Adam(), cosine(0.05, 6), []
    for step in range(6):
        x, target = batches[step % 2]
        y, _, tape = by_hand.forward(x)
        loss, dy = bptt.mse_loss(y, target)
        g = by_hand.backward(dy, tape)
        clip_grad_norm(g, 0.3)
        adam.step(by_hand, g, learning_rate=rates[step])
        losses.append(loss)
    np.testing.assert_array_equal(model.flat, by_hand.flat)
    assert isinstance(history, pd.DataFrame)
    assert history["train_loss"].tolist() == pytest.approx([np.mean(losses[k : k + 2]) for k in (0, 2, 4)])
    assert history["learning_rate"].tolist() == [rates[1], rates[3], rates[5]]
    assert losses[-1] < losses[0]


def test_the_parameters_that_validate_best_are_kept_and_patience_ends_it():
    model, batches = model_and_batches()
    seen = []

    def worse_and_worse(y, target):
        """The loss rises, whatever the model does, once it has been trained for two epochs."""
        value, dy = bptt.mse_loss(y, target)
        return value, dy

    validation, kept = [(batches[0][0], batches[0][1])], []
    rising = iter([3.0, 1.0, 2.0, 2.5, 0.1])

    def loss(y, target):
        value, dy = worse_and_worse(y, target)
        if not model.training:
            kept.append(model.flat.copy())
            return next(rising), dy
        return value, dy

    history = bptt.train(
        model, batches, loss, epochs=9, validation=validation, patience=2, progress=False, callback=seen.append
    )
    assert history["validation_loss"].tolist() == [3.0, 1.0, 2.0, 2.5]
    assert [row["epoch"] for row in seen] == [1, 2, 3, 4]
    np.testing.assert_array_equal(model.flat, kept[1])
    assert model.training


def test_the_state_is_carried_within_an_epoch():
    model, _ = model_and_batches()
    x = np.random.default_rng(0).normal(size=(12, 3, 2))
    seen = []

    def loss(y, target):
        seen.append(y)
        return 0.0, np.zeros_like(y)

    parts = [(x[k : k + 4], None) for k in (0, 4, 8)]
    bptt.train(model, parts, loss, epochs=2, carry_state=True, progress=False)
    whole = model(x)[0]
    np.testing.assert_array_equal(np.concatenate(seen[:3]), whole)
    np.testing.assert_array_equal(np.concatenate(seen[3:]), whole)
    seen.clear()
    bptt.train(model, parts, loss, epochs=1, progress=False)
    np.testing.assert_array_equal(seen[0], whole[:4])
    assert (seen[1] != whole[4:8]).any()


def test_a_loss_that_is_not_finite_leaves_the_parameters_before_it():
    model, batches = model_and_batches()
    calls = []

    def loss(y, target):
        calls.append(model.flat.copy())
        return (np.nan if len(calls) == 3 else 1.0), np.ones_like(y)

    with pytest.raises(bptt.NonFiniteError, match=r"step 3: loss nan"):
        bptt.train(model, batches, loss, progress=False)
    np.testing.assert_array_equal(model.flat, calls[-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": 3}, "model must be"),
        ({"batches": []}, "batches must be"),
        ({"batches": [(1, 2, 3)]}, r"batches\[0\] must be"),
        ({"loss": 3}, "loss must be"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer": "x"}, "optimizer"),
        ({"optimizer": 3}, "optimizer"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"schedule": "x"}, "schedule"),
        ({"clip_norm": -1}, "clip_norm"),
        ({"patience": 0}, "patience"),
        ({"validation": 3}, "validation"),
        ({"carry_state": 3}, "carry_state"),
        ({"epoch": 3}, "epochs"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    model, batches = model_and_batches()
    given = {"model": model, "batches": batches, "loss": bptt.mse_loss, "progress": False} | change
    with pytest.raises((TypeError, ValueError), match=words):
        bptt.train(**given)
