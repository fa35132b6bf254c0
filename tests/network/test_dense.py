"""Embedding, Linear and cross-entropy: values by hand, gradients against central differences."""

import math

import numpy as np
import pytest

import bptt
from problem import slopes


def test_linear_is_the_derivative_of_itself():
    rng = np.random.default_rng(0)
    linear, x, dy = bptt.Linear(3, 5, dtype="float64"), rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 5))
    np.testing.assert_allclose(
        linear.forward(x), np.einsum("tbi,oi->tbo", x, linear.parameters["weight"]) + linear.parameters["bias"]
    )
    dx, gradients = linear.backward(dy, x)

    def loss():
        return float((linear.forward(x) * dy).sum())

    np.testing.assert_allclose(dx, slopes(loss, x), rtol=1e-7, atol=1e-8)
    for name, view in linear.parameters.items():
        np.testing.assert_allclose(gradients[name], slopes(loss, view), rtol=1e-7, atol=1e-8)
        assert np.abs(gradients[name]).min() > 1e-3


def test_embedding_adds_up_where_a_symbol_stands_twice():
    rng = np.random.default_rng(1)
    embedding, x, dy = bptt.Embedding(4, 3, dtype="float64"), np.array([[1, 3], [1, 0]]), rng.normal(size=(2, 2, 3))

    def loss():
        return float((embedding.forward(x) * dy).sum())

    gradient = embedding.backward(dy, x)["weight"]
    np.testing.assert_allclose(gradient, slopes(loss, embedding.parameters["weight"]), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(gradient[1], dy[0, 0] + dy[1, 0])
    assert (gradient[2] == 0).all()


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
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 2, 3\); got"):
        bptt.Embedding(4, 3).backward(np.zeros(shape, "float32"), [[1, 3], [1, 0]])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 4)])
def test_an_input_of_another_shape_is_named(shape):
    with pytest.raises(ValueError, match="x must have"):
        bptt.Linear(3, 5).forward(np.zeros(shape, "float32"))
