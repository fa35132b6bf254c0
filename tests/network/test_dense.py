"""Embedding, Linear and cross-entropy: values by hand, gradients against central differences."""

import math

import numpy as np
import pytest

import bptt
from problem import slopes


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_derivative_of_itself(bias):
    rng = np.random.default_rng(0)
    linear, x, dy = (
        bptt.Linear(3, 5, bias=bias, dtype="float64"),
        rng.normal(size=(4, 2, 3)),
        rng.normal(size=(4, 2, 5)),
    )
    y, tape = linear.forward(x)
    b = linear.parameters["bias"] if bias else 0
    np.testing.assert_allclose(y, np.einsum("tbi,oi->tbo", x, linear.parameters["weight"]) + b)
    np.testing.assert_array_equal(linear(x), y)
    g = linear.backward(dy, tape)

    def loss():
        return float((linear(x) * dy).sum())

    np.testing.assert_allclose(g.x, slopes(loss, x), rtol=1e-7, atol=1e-8)
    assert list(g.parameters) == list(linear.parameters)
    np.testing.assert_array_equal(g.flat, np.concatenate([part.ravel() for part in g.parameters.values()]))
    for name, view in linear.parameters.items():
        np.testing.assert_allclose(g.parameters[name], slopes(loss, view), rtol=1e-7, atol=1e-8)
        assert np.abs(g.parameters[name]).min() > 1e-3


def test_embedding_adds_up_where_a_symbol_stands_twice():
    rng = np.random.default_rng(1)
    embedding, x, dy = bptt.Embedding(4, 3, dtype="float64"), np.array([[1, 3], [1, 0]]), rng.normal(size=(2, 2, 3))
    y, tape = embedding.forward(x)
    np.testing.assert_array_equal(y, embedding.parameters["weight"][x])
    np.testing.assert_array_equal(embedding(x), y)

    def loss():
        return float((embedding(x) * dy).sum())

    g = embedding.backward(dy, tape)
    assert g.x is None
    gradient = g.parameters["weight"]
    np.testing.assert_allclose(gradient, slopes(loss, embedding.parameters["weight"]), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(gradient[1], dy[0, 0] + dy[1, 0])
    assert (gradient[2] == 0).all()
    np.testing.assert_array_equal(g.flat, gradient.ravel())


def test_a_tape_holds_a_copy_of_x_and_refuses_changed_parameters():
    linear, x = bptt.Linear(3, 5), np.ones((4, 3), "float32")
    y, tape = linear.forward(x)
    expected = linear.backward(y, tape).flat.copy()
    x[:] = 7
    np.testing.assert_array_equal(linear.backward(y, tape).flat, expected)
    with pytest.raises(ValueError, match="tape must come from the forward of this layer"):
        bptt.Linear(3, 5).backward(y, tape)
    with pytest.raises(TypeError, match="tape must be the DenseTape"):
        linear.backward(y, x)
    linear.parameters["bias"] = np.zeros(5)
    with pytest.raises(RuntimeError, match="have changed since the forward"):
        linear.backward(y, tape)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_cross_entropy_is_the_mean_of_minus_log_softmax(scale):
    rng = np.random.default_rng(2)
    z, targets = scale * rng.normal(size=(3, 2, 5)), rng.integers(0, 5, (3, 2))
    by_hand = np.mean(
        [
            math.log(sum(math.exp(v - row[target]) for v in row))
            for row, target in zip(z.reshape(6, 5), targets.ravel(), strict=True)
        ]
    )
    loss, dz = bptt.cross_entropy(z, targets)
    assert loss == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(dz, slopes(lambda: bptt.cross_entropy(z, targets)[0], z), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dz.sum(axis=-1), 0, atol=1e-15)


@pytest.mark.parametrize("shape", [(2, 2, 4), (3, 3), (2, 3), (0,)])
def test_an_error_of_another_shape_is_named(shape):
    embedding = bptt.Embedding(4, 3)
    _, tape = embedding.forward([[1, 3], [1, 0]])
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 2, 3\); got"):
        embedding.backward(np.zeros(shape, "float32"), tape)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 4)])
def test_an_input_of_another_shape_is_named(shape):
    with pytest.raises(ValueError, match="x must have"):
        bptt.Linear(3, 5).forward(np.zeros(shape, "float32"))
