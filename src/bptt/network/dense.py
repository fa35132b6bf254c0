"""What stands below and above the recurrent layers: Embedding, Linear, softmax cross-entropy; NumPy does the work."""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt import arguments
from bptt.network import parameters as named
from bptt.network.initialisers import pytorch_uniform

__all__ = ["Embedding", "Linear", "cross_entropy"]


def _indices(name: str, value: Any, size: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers in 0 .. {size - 1}; got dtype {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= size):
        raise ValueError(f"{name} must be integers in 0 .. {size - 1}; got {array.min()} .. {array.max()}")
    return array


def _rows(name: str, value: Any, dtype: np.dtype[Any], features: int) -> np.ndarray:
    array = np.asarray(value)
    rows = array.reshape(-1, array.shape[-1]) if array.size and array.ndim else array
    return arguments.real_array(name, rows, dtype, (None, features), "rows, features")


class Embedding:
    """A table with one row for each symbol.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Symbols, and features of each; at least 1.
    dtype : {"float32", "float64"}
    seed : int
        Of the initial values, N(0, 1) as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or outside its range.

    Examples
    --------
    >>> import bptt
    >>> bptt.Embedding(10, 3).forward([[1, 2], [3, 4]]).shape
    (2, 2, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, dtype: Any = "float32", seed: int = 0) -> None:
        self.num_embeddings = arguments.integer("num_embeddings", num_embeddings)
        self.embedding_dim = arguments.integer("embedding_dim", embedding_dim)
        self.dtype = arguments.dtype("dtype", dtype)
        self.flat, self.parameters = named.allocate({"weight": (num_embeddings, embedding_dim)}, self.dtype)
        rng = np.random.default_rng(arguments.seed("seed", seed))
        self.parameters["weight"][...] = rng.standard_normal((num_embeddings, embedding_dim))

    def forward(self, x: Any) -> np.ndarray:
        """Rows of the table: integers (...) in 0 .. num_embeddings - 1 to (..., embedding_dim)."""
        return self.parameters["weight"][_indices("x", x, self.num_embeddings)]

    def backward(self, dy: np.ndarray, x: Any) -> dict[str, np.ndarray]:
        """{"weight": gradient}: each row the sum of the errors dy (..., embedding_dim) where its symbol stood in x."""
        x = _indices("x", x, self.num_embeddings)
        if np.shape(dy) != (*x.shape, self.embedding_dim):
            raise ValueError(f"dy must have shape {(*x.shape, self.embedding_dim)}; got {np.shape(dy)}")
        rows = np.asarray(dy).reshape(x.size, self.embedding_dim)
        dy = arguments.real_array("dy", rows, self.dtype, (x.size, self.embedding_dim), "N, D")
        dweight = np.zeros_like(self.parameters["weight"])
        np.add.at(dweight, x.ravel(), dy)
        return {"weight": dweight}


class Linear:
    """y = x W^T + b, W of shape (out_features, in_features).

    Parameters
    ----------
    in_features, out_features : int
        At least 1.
    dtype : {"float32", "float64"}
    seed : int
        Of the initial values, U(-1/sqrt(in_features), 1/sqrt(in_features)) as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type or outside its range.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> bptt.Linear(3, 5).forward(np.ones((7, 2, 3), "float32")).shape
    (7, 2, 5)
    """

    def __init__(self, in_features: int, out_features: int, *, dtype: Any = "float32", seed: int = 0) -> None:
        self.in_features = arguments.integer("in_features", in_features)
        self.out_features = arguments.integer("out_features", out_features)
        self.dtype = arguments.dtype("dtype", dtype)
        shapes = {"weight": (out_features, in_features), "bias": (out_features,)}
        self.flat, self.parameters = named.allocate(shapes, self.dtype)
        rng = np.random.default_rng(arguments.seed("seed", seed))
        for view in self.parameters.values():
            view[...] = pytorch_uniform(rng, view.shape, in_features)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """x (..., in_features) to (..., out_features)."""
        rows = _rows("x", x, self.dtype, self.in_features)
        y = rows @ self.parameters["weight"].T + self.parameters["bias"]
        return y.reshape(*np.shape(x)[:-1], self.out_features)

    def backward(self, dy: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dx = dy W, and {"weight": dW = dy^T x, "bias": db = sum of dy}."""
        rows, errors = (
            _rows("x", x, self.dtype, self.in_features),
            _rows("dy", dy, self.dtype, self.out_features),
        )
        if rows.shape[0] != errors.shape[0]:
            raise ValueError(f"dy must have as many rows as x, {rows.shape[0]}; got {errors.shape[0]}")
        dx = (errors @ self.parameters["weight"]).reshape(np.shape(x))
        return dx, {"weight": errors.T @ rows, "bias": errors.sum(0)}


def cross_entropy(logits: np.ndarray, targets: Any) -> tuple[float, np.ndarray]:
    """Mean of -log softmax(logits)[target] over all rows, in nats, and its derivative by the logits.

    Parameters
    ----------
    logits : float array (..., V)
        Finite, float32 or float64.
    targets : integer array (...)
        In 0 .. V - 1.

    Returns
    -------
    loss : float
    dlogits : array like logits
        (softmax(logits) - one-hot(target)) / rows.

    Raises
    ------
    TypeError, ValueError
        The arrays are of another type or shape, logits are not finite, targets lie outside 0 .. V - 1.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> round(bptt.cross_entropy(np.zeros((2, 4)), [0, 3])[0], 6)
    1.386294
    """
    z = np.asarray(logits)
    if z.ndim < 1:
        raise ValueError(f"logits must have shape (..., V); got {z.shape}")
    z = _rows("logits", z, arguments.dtype("logits", z.dtype), z.shape[-1])
    target = _indices("targets", targets, z.shape[1])
    if target.shape != np.shape(logits)[:-1]:
        raise ValueError(f"targets must have shape {np.shape(logits)[:-1]}; got {target.shape}")
    rows = np.arange(z.shape[0])
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dz = np.exp(log_p)
    dz[rows, target.ravel()] -= 1
    return float(-log_p[rows, target.ravel()].mean()), (dz / z.dtype.type(z.shape[0])).reshape(np.shape(logits))
