"""Embedding and Linear, the layers below and above the recurrent ones, computed by NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bptt import arguments, seeds
from bptt.network.gradients import Gradients
from bptt.network.initialisers import pytorch_uniform
from bptt.network.module import Module
from bptt.network.parameters import views
from bptt.unroll.tape import Origin

__all__ = ["DenseTape", "Embedding", "Linear"]


@dataclass(frozen=True, eq=False, repr=False)
class DenseTape:
    """What `forward` of a Linear or an Embedding leaves for `backward`.

    Attributes
    ----------
    x : array
        A copy of the input: rows of features, or integers.
    shape : tuple of int
        The input's own shape.
    origin : Origin
        The layer and the parameters.
    """

    x: np.ndarray
    shape: tuple[int, ...]
    origin: Origin

    def __repr__(self) -> str:
        return f"DenseTape(x {self.shape}, {self.x.dtype})"


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
        An argument has another type or is outside its range.

    Examples
    --------
    >>> import bptt
    >>> bptt.Embedding(10, 3)([[1, 2], [3, 4]]).shape
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

    def __call__(self, x: Any) -> np.ndarray:
        """Rows of the table: integers (...) in 0 .. num_embeddings - 1 to (..., embedding_dim)."""
        return self.parameters["weight"][arguments.indices("x", x, self.num_embeddings)]

    def forward(self, x: Any) -> tuple[np.ndarray, DenseTape]:
        """Like a call, and keep what `backward` needs.

        Parameters
        ----------
        x : integers (...) in 0 .. num_embeddings - 1

        Returns
        -------
        y : array (..., embedding_dim)
        tape : DenseTape

        Raises
        ------
        TypeError, ValueError
            x are not integers in that range.
        """
        x = np.array(arguments.indices("x", x, self.num_embeddings))
        return self.parameters["weight"][x], DenseTape(x, x.shape, self._origin())

    def backward(self, dy: np.ndarray, tape: DenseTape) -> Gradients:
        """The gradient of the table: each row is the sum of dy over the positions of its symbol in x.

        Parameters
        ----------
        dy : array like y
            Derivatives of the loss by the outputs.
        tape : DenseTape
            From the `forward` of this layer.

        Raises
        ------
        TypeError, ValueError
            dy has another shape or dtype, or holds NaN or infinity; the tape is another layer's.
        RuntimeError
            The parameters have changed since `forward`.
        """
        self._check_origin(tape, DenseTape)
        x = arguments.indices("tape.x", tape.x, self.num_embeddings)
        dy = arguments.array("dy", dy)
        if dy.shape != (*x.shape, self.embedding_dim):
            raise ValueError(f"dy must have shape {(*x.shape, self.embedding_dim)}; got {dy.shape}")
        rows = dy.reshape(x.size, self.embedding_dim)
        rows = arguments.real_array("dy", rows, self.dtype, (x.size, self.embedding_dim), "N, D")
        flat = np.zeros_like(self._flat)
        named = views(flat, self._shapes)
        np.add.at(named["weight"], x.ravel(), rows)
        return Gradients(None, None, named, flat)


class Linear(Module):
    """y = x W^T + b, W of shape (out_features, in_features).

    Parameters
    ----------
    in_features : int
        Features of x; at least 1.
    out_features : int
        Features of y; at least 1.
    bias : bool
        Whether there is a b. Default True.
    dtype : {"float32", "float64"}
        Of the parameters, of x, dy and what comes out. Default "float32".
    seed : int, optional
        From 0 to 2^63 - 1, of the initial values, U(-1/sqrt(in_features), 1/sqrt(in_features)) as in PyTorch; default:
        drawn and kept in `seed`.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> layer = bptt.Linear(3, 5, bias=False)
    >>> y, tape = layer.forward(np.ones((7, 2, 3), "float32"))
    >>> layer.backward(np.ones_like(y), tape)
    Gradients(x (7, 2, 3), 1 parameters of 15 numbers, float32)
    """

    _fixed: ClassVar[frozenset[str]] = Module._fixed | {"in_features", "out_features", "bias", "seed"}

    @arguments.known_keywords
    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        self.in_features = arguments.integer("in_features", in_features)
        self.out_features = arguments.integer("out_features", out_features)
        self.bias = arguments.boolean("bias", bias)
        dtype = arguments.dtype("dtype", dtype)
        self.seed = seeds.resolve("seed", seed)
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.out_features, self.in_features)}
        super().__init__(shapes | ({"bias": (self.out_features,)} if self.bias else {}), dtype)
        rng = seeds.generator(self.seed, "parameters")
        for view in self.parameters.values():
            view[...] = pytorch_uniform(rng, view.shape, self.in_features)

    def __repr__(self) -> str:
        bias = "" if self.bias else ", bias=False"
        return f"Linear({self.in_features}, {self.out_features}{bias}, dtype={self.dtype.name!r})"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x (..., in_features) to (..., out_features)."""
        return self._outputs(arguments.feature_rows("x", x, self.dtype, self.in_features), np.shape(x))

    def _outputs(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        y = rows @ self.parameters["weight"].T
        if self.bias:
            y += self.parameters["bias"]
        return y.reshape(*shape[:-1], self.out_features)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, DenseTape]:
        """Like a call, and keep what `backward` needs.

        Parameters
        ----------
        x : array (..., in_features)
            Finite, of the layer's dtype. It is copied, so it may be changed before `backward`.

        Returns
        -------
        y : array (..., out_features)
        tape : DenseTape

        Raises
        ------
        TypeError, ValueError
            x has another shape or dtype, or holds NaN or infinity.
        """
        rows = arguments.feature_rows("x", x, self.dtype, self.in_features)
        return self._outputs(rows, np.shape(x)), DenseTape(np.array(rows), np.shape(x), self._origin())

    def backward(self, dy: np.ndarray, tape: DenseTape) -> Gradients:
        """dx = dy W, dW = dy^T x, db = sum of dy.

        Parameters
        ----------
        dy : array like y
            Derivatives of the loss by the outputs.
        tape : DenseTape
            From the `forward` of this layer.

        Raises
        ------
        TypeError, ValueError
            dy has another shape or dtype, or holds NaN or infinity; the tape is another layer's.
        RuntimeError
            The parameters have changed since `forward`.
        """
        self._check_origin(tape, DenseTape)
        rows = arguments.feature_rows("tape.x", tape.x, self.dtype, self.in_features)
        if np.shape(dy) != (*tape.shape[:-1], self.out_features):
            raise ValueError(
                f"dy must have shape {(*tape.shape[:-1], self.out_features)}, as x {tape.shape}; got {np.shape(dy)}"
            )
        errors = arguments.feature_rows("dy", dy, self.dtype, self.out_features)
        flat = np.empty_like(self._flat)
        named = views(flat, self._shapes)
        np.matmul(errors.T, rows, out=named["weight"])
        if self.bias:
            errors.sum(0, out=named["bias"])
        return Gradients((errors @ self.parameters["weight"]).reshape(tape.shape), None, named, flat)
