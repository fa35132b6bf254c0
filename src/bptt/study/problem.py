"""What is studied: a recurrent layer, its inputs, and a loss of its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bptt import arguments
from bptt.network.gradients import State
from bptt.network.layers import Recurrent
from bptt.unroll.tape import Tape

__all__ = ["Loss", "Problem", "checked", "lag_count", "one_layer"]

Loss = np.ndarray | Callable[[np.ndarray], tuple[float, np.ndarray]]


class Problem:
    """A recurrent layer with inputs and a loss; everything is computed in float64.

    Parameters
    ----------
    layer : RNN, GRU, LSTM
        With any number of layers; it is copied, in float64 and without dropout.
    x : array (T, B, I), or (B, T, I) for a layer with `batch_first`
        Inputs.
    loss : array or callable
        dL/dy, an array like y: the loss sum(dy * y), linear in the outputs. Or a function of the outputs y that returns
        the loss and dL/dy, such as ``lambda y: bptt.mse_loss(y, target)``.
    state : array (L, B, H), for the LSTM a tuple (h, c) of them, optional
        Initial state; default: zeros.

    Attributes
    ----------
    layer : Recurrent
        The copy, time-major.
    x : array (T, B, I)
    y : array (T, B, H)
        Outputs.
    dy : array (T, B, H)
        Derivatives of the loss by them.
    value : float
        The loss.
    tape : Tape

    Raises
    ------
    TypeError, ValueError
        layer is not a recurrent layer; shapes disagree; the loss returns something else; a number is not finite.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> layer = bptt.GRU(2, 3, seed=0)
    >>> target = np.zeros((5, 4, 3))
    >>> study.Problem(layer, np.ones((5, 4, 2)), lambda y: bptt.mse_loss(y, target))
    Problem(GRU(2, 3), T=5, B=4, loss 0.118)
    """

    def __init__(self, layer: Recurrent, x: Any, loss: Loss, state: State | None = None) -> None:
        if not isinstance(layer, Recurrent):
            raise TypeError(f"layer must be an RNN, GRU or LSTM of bptt; got {type(layer).__name__}")
        self._name = f"{type(layer).__name__}({layer.input_size}, {layer.hidden_size}" + (
            f", num_layers={layer.num_layers})" if layer.num_layers > 1 else ")"
        )
        double = np.dtype(np.float64)
        self.layer = Recurrent(
            layer.cell, layer.input_size, layer.hidden_size, layer.num_layers, dtype="float64", seed=0
        )
        self.layer.flat = layer.flat.astype(np.float64)
        sizes = (None, None, layer.input_size)
        letters = "B, T, I" if layer.batch_first else "T, B, I"
        x = arguments.real_array("x", _double("x", x), double, sizes, letters)
        self.x = np.ascontiguousarray(x.swapaxes(0, 1)) if layer.batch_first else x.copy()
        if isinstance(state, tuple | list):
            state = tuple(_double(f"state[{k}]", part) for k, part in enumerate(state))
        elif state is not None:
            state = _double("state", state)
        self.state = state
        self.y, _, self.tape = self.layer.forward(self.x, self.state)
        turned = self.y.swapaxes(0, 1) if layer.batch_first else self.y
        value, dy = self._loss(loss, turned)
        name, letters = "loss" if value is None else "dy of the loss", letters.replace("I", "H")
        dy = arguments.real_array(name, _double(name, dy), double, turned.shape, letters)
        self.dy = np.ascontiguousarray(dy.swapaxes(0, 1)) if layer.batch_first else dy.copy()
        self.value = float((self.dy * self.y).sum()) if value is None else arguments.real("loss", value)

    def __repr__(self) -> str:
        return f"Problem({self._name}, T={self.steps}, B={self.batch_size}, loss {self.value:.3g})"

    @staticmethod
    def _loss(loss: Loss, y: np.ndarray) -> tuple[Any, Any]:
        """The loss, None where it is linear, and its derivative as given."""
        if not callable(loss):
            return None, loss
        found = loss(np.array(y))
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise TypeError(f"loss must return the loss and dL/dy; got {type(found).__name__}")
        return found[0], found[1]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.tape)

    @property
    def batch_size(self) -> int:
        """B."""
        return self.tape.batch_size

    def gradient(self) -> np.ndarray:
        """The whole derivative of the loss by all parameters, as one vector."""
        return self.layer.backward(self.dy, self.tape).flat

    def of_row(self, row: int) -> Problem:
        """One sequence of the batch, its loss being its own part."""
        row = arguments.integer("row", row, 0, self.batch_size - 1)
        state = tuple(part[:, row : row + 1] for part in self.state) if isinstance(self.state, tuple) else self.state
        state = state[:, row : row + 1] if isinstance(state, np.ndarray) else state
        return Problem(self.layer, self.x[:, row : row + 1], self.dy[:, row : row + 1], state)

    def part(self, first: int, last: int) -> Tape:
        """The tape of steps first to last - 1."""
        return self.tape[first:last]


def _double(name: str, value: Any) -> np.ndarray:
    """Real numbers of any kind in float64."""
    array = arguments.array(name, value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}")
    return array.astype(np.float64)


def checked(problem: Any) -> Problem:
    """A Problem, or an error that says how one is made."""
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a study.Problem(layer, x, loss); got {type(problem).__name__}")
    return problem


def one_layer(problem: Problem, name: str) -> None:
    """For what is defined for a single layer alone."""
    if problem.layer.num_layers != 1:
        raise ValueError(f"{name} takes layers with num_layers=1; got {problem.layer.num_layers}")


def lag_count(problem: Problem, max_lag: Any) -> int:
    """Lags 0 to max_lag; None for all T."""
    return problem.steps if max_lag is None else arguments.integer("max_lag", max_lag, 0, problem.steps - 1) + 1
