"""What stands below and above the recurrent layers: Embedding, Linear, softmax cross-entropy; NumPy does the work."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bptt import arguments, seeds
from bptt.network.initialisers import pytorch_uniform
from bptt.network.module import Module

__all__ = ["Embedding", "Linear", "cross_entropy"]


def _indices(name: str, value: Any, size: int) -> np.ndarray:
    array = arguments.array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers in 0 .. {size - 1}; got dtype {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= size):
        raise ValueError(f"{name} must be integers in 0 .. {size - 1}; got {array.min()} .. {array.max()}")
    return array


def _rows(name: str, value: Any, dtype: np.dtype[Any], features: int) -> np.ndarray:
    array = arguments.array(name, value)
    rows = array.reshape(-1, array.shape[-1]) if array.size and array.ndim else array
    return arguments.real_array(name, rows, dtype, (None, features), "rows, features")


class Embedding(Module):
    """A table with one row for each symbol.

    Parameters
    ----------
    num_embeddings : int
        Symbols; at least 1.
    embedding_dim : int
        Features of each symbol; at least 1.
    dtype : {"float32", "float64"}
        Of the table and of what comes out. Default "float32".
    seed : int, optional
        From 0 to 2^63 - 1, of the initial values, N(0, 1) as in PyTorch; default: drawn and kept in `seed`.

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

    _fixed: ClassVar[frozenset[str]] = Module._fixed | {"num_embeddings", "embedding_dim", "seed"}

    @arguments.known_keywords
    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self.num_embeddings = arguments.integer("num_embeddings", num_embeddings)
        self.embedding_dim = arguments.integer("embedding_dim", embedding_dim)
        dtype = arguments.dtype("dtype", dtype)
        self.seed = seeds.resolve("seed", seed)
        super().__init__({"weight": (self.num_embeddings, self.embedding_dim)}, dtype)
        rng = seeds.generator(self.seed, "parameters")
        self.parameters["weight"] = rng.standard_normal((self.num_embeddings, self.embedding_dim))

    def __repr__(self) -> str:
        return f"Embedding({self.num_embeddings}, {self.embedding_dim}, dtype={self.dtype.name!r})"

    def forward(self, x: Any) -> np.ndarray:
        """Rows of the table: integers (...) in 0 .. num_embeddings - 1 to (..., embedding_dim)."""
        return self.parameters["weight"][_indices("x", x, self.num_embeddings)]

    def backward(self, dy: np.ndarray, x: Any) -> dict[str, np.ndarray]:
        """{"weight": gradient}: each row the sum of the errors dy (..., embedding_dim) where its symbol stood in x."""
        x = _indices("x", x, self.num_embeddings)
        dy = arguments.array("dy", dy)
        if dy.shape != (*x.shape, self.embedding_dim):
            raise ValueError(f"dy must have shape {(*x.shape, self.embedding_dim)}; got {dy.shape}")
        rows = dy.reshape(x.size, self.embedding_dim)
        dy = arguments.real_array("dy", rows, self.dtype, (x.size, self.embedding_dim), "N, D")
        dweight = np.zeros_like(self.parameters["weight"])
        np.add.at(dweight, x.ravel(), dy)
        return {"weight": dweight}


class Linear(Module):
    """y = x W^T + b, W of shape (out_features, in_features).

    Parameters
    ----------
    in_features : int
        Features of x; at least 1.
    out_features : int
        Features of y; at least 1.
    dtype : {"float32", "float64"}
        Of the parameters, of x, dy and what comes out. Default "float32".
    seed : int, optional
        From 0 to 2^63 - 1, of the initial values, U(-1/sqrt(in_features), 1/sqrt(in_features)) as in PyTorch; default:
        drawn and kept in `seed`.

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

    _fixed: ClassVar[frozenset[str]] = Module._fixed | {"in_features", "out_features", "seed"}

    @arguments.known_keywords
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self.in_features = arguments.integer("in_features", in_features)
        self.out_features = arguments.integer("out_features", out_features)
        dtype = arguments.dtype("dtype", dtype)
        self.seed = seeds.resolve("seed", seed)
        super().__init__({"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}, dtype)
        rng = seeds.generator(self.seed, "parameters")
        for view in self.parameters.values():
            view[...] = pytorch_uniform(rng, view.shape, self.in_features)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features}, dtype={self.dtype.name!r})"

    def forward(self, x: np.ndarray) -> np.ndarray:
        """x (..., in_features) to (..., out_features)."""
        rows = _rows("x", x, self.dtype, self.in_features)
        y = rows @ self.parameters["weight"].T + self.parameters["bias"]
        return y.reshape(*np.shape(x)[:-1], self.out_features)

    def backward(self, dy: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dx = dy W, and {"weight": dW = dy^T x, "bias": db = sum of dy}."""
        x, dy = arguments.array("x", x), arguments.array("dy", dy)
        rows, errors = _rows("x", x, self.dtype, self.in_features), _rows("dy", dy, self.dtype, self.out_features)
        if x.shape[:-1] != dy.shape[:-1]:
            raise ValueError(f"dy must have shape {(*x.shape[:-1], self.out_features)}, as x {x.shape}; got {dy.shape}")
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
    z = arguments.array("logits", logits)
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
