"""First values of the parameters; every one is drawn in float64 and rounded, so both dtypes start alike."""

from __future__ import annotations

import numpy as np

from bptt.cells.table import Cell

__all__ = ["INITIALISERS", "glorot_uniform", "initialise", "orthogonal", "pytorch_uniform"]


def pytorch_uniform(rng: np.random.Generator, shape: tuple[int, ...], hidden_size: int) -> np.ndarray:
    """U(-1/sqrt(H), 1/sqrt(H)) for weights and biases alike: PyTorch's start of recurrent layers."""
    bound = 1.0 / np.sqrt(hidden_size)
    return rng.uniform(-bound, bound, shape)


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """U(-b, b), b = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010), for one gate's block or a dense layer."""
    bound = np.sqrt(6.0 / sum(shape))
    return rng.uniform(-bound, bound, shape)


def orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random orthogonal matrix, uniformly distributed (Saxe, McClelland & Ganguli 2014; Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def _pytorch(cell: Cell, rng: np.random.Generator, name: str, view: np.ndarray, hidden_size: int) -> None:
    view[...] = pytorch_uniform(rng, view.shape, hidden_size)


def _orthogonal(cell: Cell, rng: np.random.Generator, name: str, view: np.ndarray, hidden_size: int) -> None:
    for first in range(0, view.shape[0], hidden_size):
        block = view[first : first + hidden_size]
        if "weight_ih" in name:
            block[...] = glorot_uniform(rng, (hidden_size, view.shape[1]))
        elif "weight_hh" in name:
            block[...] = orthogonal(rng, hidden_size)
        else:
            # Only one of the two biases: they are added, and the forget gate is to start at 1, not 2.
            forget = cell.forget_block is not None and first == cell.forget_block * hidden_size
            block[...] = 1.0 if forget and "bias_ih" in name else 0.0


INITIALISERS = {"pytorch": _pytorch, "orthogonal": _orthogonal}


def initialise(
    cell: Cell, parameters: dict[str, np.ndarray], hidden_size: int, init: str, rng: np.random.Generator
) -> None:
    """Fill the parameters of recurrent layers, in their order.

    Parameters
    ----------
    init : {"pytorch", "orthogonal"}
        "pytorch": U(-1/sqrt(H), 1/sqrt(H)) everywhere. "orthogonal": Glorot-uniform input weights and orthogonal
        recurrent weights for each gate's block, biases 0, the forget gate's 1 (Jozefowicz et al. 2015).
    """
    for name, view in parameters.items():
        INITIALISERS[init](cell, rng, name, view, hidden_size)
