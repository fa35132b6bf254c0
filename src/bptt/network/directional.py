"""Products of a layer's Jacobian, and of its Hessian, with a vector; the mathematics is in `network.tangents`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bptt import arguments
from bptt.cells.table import Cell
from bptt.cells.tangents import TANGENTS
from bptt.network import parameters as named
from bptt.network import tangents
from bptt.network.gradients import Gradients, State
from bptt.network.module import Module
from bptt.unroll.tape import Tape

__all__ = ["Directional"]


class Directional(Module):
    """The part of `Recurrent` that has the two products."""

    cell: Cell
    input_size: int
    num_layers: int
    dropout: float
    training: bool
    batch_first: bool

    if TYPE_CHECKING:  # `Recurrent` has them
        forward: Any
        backward: Any
        _states: Any
        _as_state: Any
        _turned: Any

    def jvp(
        self,
        x: np.ndarray,
        state: State | None = None,
        *,
        dx: np.ndarray | None = None,
        dstate: State | None = None,
        dparameters: Mapping[str, np.ndarray] | np.ndarray | None = None,
    ) -> tuple[tuple[np.ndarray, State], tuple[np.ndarray, State]]:
        """Outputs, and their derivatives along a direction: the product of the Jacobian and a vector, forward mode.

        Parameters
        ----------
        x, state
            As of `forward`.
        dx, dstate : like x and state, optional
            The direction's part in x and in the initial state. Default: 0.
        dparameters : mapping of str to array, or array like `flat`, optional
            Its part in the parameters, under their names; those left out do not move. Default: 0.

        Returns
        -------
        (y, state), (dy, dstate)
            As `forward` returns them, and their derivatives.

        Raises
        ------
        TypeError, ValueError
            An array has another rank, size or dtype, or holds NaN or infinity; a parameter is unknown; dropout is on.
        NotImplementedError
            The cell is not in `bptt.cells.tangents`.

        Examples
        --------
        >>> import numpy as np, bptt
        >>> layer = bptt.RNN(1, 1, nonlinearity="identity", dtype="float64")
        >>> layer.flat = [1.0, 0.5, 0.0, 0.0]  # h_t = x_t + h_{t-1} / 2
        >>> (y, h), (dy, dh) = layer.jvp(np.ones((3, 1, 1)), dx=np.array([[[1.0]], [[0.0]], [[0.0]]]))
        >>> y.ravel(), dy.ravel()
        (array([1.  , 1.5 , 1.75]), array([1.  , 0.5 , 0.25]))
        """
        y, last, tape = self._plain_forward(x, state)
        moved = self._tangents(tape, dx, dstate, dparameters)
        return (y, last), (self._turned(moved[-1].s[0][1:]), self._last_tangents(moved))

    def hvp(
        self,
        x: np.ndarray,
        dy: np.ndarray,
        state: State | None = None,
        *,
        ddy: np.ndarray | Callable[[np.ndarray], np.ndarray] | None = None,
        dx: np.ndarray | None = None,
        dstate: State | None = None,
        dparameters: Mapping[str, np.ndarray] | np.ndarray | None = None,
    ) -> Gradients:
        """The derivative of `backward`'s gradients along a direction: the Hessian times a vector (Pearlmutter 1994).

        Parameters
        ----------
        x, state
            As of `forward`.
        dy : array like y
            Derivatives of the loss by the outputs.
        ddy : array like y, or callable, optional
            How dy moves along the direction; a callable gets the derivative of y and returns that of dy, for the mean
            squared error of N numbers `lambda v: 2 * v / N`. Default: 0, a loss that is linear in y.
        dx, dstate, dparameters
            The direction, as of `jvp`.

        Returns
        -------
        Gradients
            Derivatives of those by x, by the initial state and by the parameters.

        Raises
        ------
        TypeError, ValueError, NotImplementedError
            As of `jvp`.

        Examples
        --------
        >>> import numpy as np, bptt
        >>> layer = bptt.RNN(1, 1, nonlinearity="identity", dtype="float64")
        >>> layer.flat = [1.0, 0.5, 0.0, 0.0]
        >>> x, dy = np.array([[[1.0]], [[0.0]], [[0.0]]]), np.array([[[0.0]], [[0.0]], [[1.0]]])
        >>> v = {"weight_hh_l0": np.ones((1, 1))}  # the loss is U^2: its second derivative is 2
        >>> layer.hvp(x, dy, dparameters=v).parameters["weight_hh_l0"]
        array([[2.]])
        """
        y, _, tape = self._plain_forward(x, state)
        moved = self._tangents(tape, dx, dstate, dparameters)
        if callable(ddy):
            ddy = ddy(self._turned(moved[-1].s[0][1:]))
        if ddy is None:
            ddy = np.zeros_like(y)
        letters = "B, T, H" if self.batch_first else "T, B, H"
        ddy = arguments.real_array("ddy", ddy, self.dtype, y.shape, letters)
        g = self.backward(dy, tape, errors=(*self.cell.states, "a"))
        weights, moving = dict(self.parameters), self._direction(dparameters)
        error, named_dots = self._turned(ddy), {}
        state_dots: list[np.ndarray] = []
        for layer in range(self.num_layers - 1, -1, -1):
            error, carried, parts = tangents.backward(
                tape.layers[layer],
                moved[layer],
                np.concatenate([g.errors[name][layer] for name in self.cell.states], axis=-1),
                g.errors["a"][layer],
                error,
                tangents.spread(self.cell, weights, layer),
                tangents.spread(self.cell, moving, layer),
            )
            state_dots.insert(0, np.concatenate(carried, axis=-1))
            for name, part in zip(tangents.PRODUCTS, parts, strict=True):
                named_dots[f"{name}_l{layer}"] = part
        flat = np.empty_like(self._flat)
        for name, view in named.views(flat, self._shapes).items():
            view[...] = named_dots[name]
        dots = np.ascontiguousarray(self._turned(error))
        return Gradients(dots, self._as_state(np.stack(state_dots)), named.views(flat, self._shapes), flat)

    def _plain_forward(self, x: np.ndarray, state: State | None) -> tuple[np.ndarray, State, Tape]:
        if self.cell.name not in TANGENTS:
            raise NotImplementedError(
                f"derivatives along a direction need a row of bptt.cells.tangents for the cell {self.cell.name}; there "
                f"are rows for {', '.join(TANGENTS)}"
            )
        if self.training and self.dropout > 0 and self.num_layers > 1:
            raise ValueError(f"dropout must be off for derivatives along a direction; call eval() of {self!r} first")
        return self.forward(x, state)

    def _direction(self, dparameters: Any) -> dict[str, np.ndarray]:
        """The parameters' part of a direction, all names."""
        flat = np.zeros_like(self._flat)
        views = named.views(flat, self._shapes)
        if isinstance(dparameters, Mapping):
            for name, value in dparameters.items():
                arguments.choice("dparameters", name, tuple(views))
                shape = views[name].shape
                views[name][...] = arguments.real_array(
                    f"dparameters[{name!r}]", value, self.dtype, shape, "rows, columns" if len(shape) == 2 else "rows"
                )
        elif dparameters is not None:
            flat[...] = arguments.real_array("dparameters", dparameters, self.dtype, flat.shape, "parameters")
        return views

    def _tangents(self, tape: Tape, dx: Any, dstate: Any, dparameters: Any) -> list[tangents.LayerTangent]:
        """Layer by layer, how all states and gates move."""
        T, B, I = len(tape), tape.batch_size, self.input_size
        sizes, letters = ((B, T, I), "B, T, I") if self.batch_first else ((T, B, I), "T, B, I")
        dx = np.zeros(sizes, self.dtype) if dx is None else arguments.real_array("dx", dx, self.dtype, sizes, letters)
        moving, weights = self._direction(dparameters), dict(self.parameters)
        states, x_dot, found = self._states("dstate", dstate, B), self._turned(dx), []
        for layer, kept in enumerate(tape.layers):
            first = tangents.split(self.cell, states[layer], self.cell.states)
            found.append(
                tangents.forward(
                    kept,
                    x_dot,
                    first,
                    tangents.spread(self.cell, weights, layer),
                    tangents.spread(self.cell, moving, layer),
                )
            )
            x_dot = found[-1].s[0][1:]
        return found

    def _last_tangents(self, moved: list[tangents.LayerTangent]) -> State:
        return self._as_state(np.stack([np.concatenate([part[-1] for part in layer.s], axis=-1) for layer in moved]))
