"""What `backward` of every layer returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Gradients", "State"]

State = np.ndarray | tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Gradients:
    """Derivatives of the loss.

    Attributes
    ----------
    x : array like the layer's input, or None
        None for integers, which have no derivative.
    state : array (L, B, H), for the LSTM a tuple (h, c) of them, or None
        For the initial state; None for layers without one; of a `Sequential` a tuple, one for each recurrent layer.
    parameters : dict of arrays
        Under the names of `layer.parameters`: views into `flat`.
    flat : array
        All of them as one vector, in the order of `layer.flat`.
    errors : array (L, T, B, H) or None
        With `errors=True`: the whole derivative dL/dh_t for the output of every layer at every step t, what
        arrives from above and from the step after together.
    """

    x: np.ndarray | None
    state: State | tuple[State, ...] | None
    parameters: dict[str, np.ndarray]
    flat: np.ndarray
    errors: np.ndarray | None = None

    def __repr__(self) -> str:
        parts = [] if self.x is None else [f"x {self.x.shape}"]
        if isinstance(self.state, np.ndarray):
            parts.append(f"state {self.state.shape}")
        elif self.state is not None:
            parts.append(f"state {' '.join(str(np.shape(part)) for part in self.state)}")
        parts.append(f"{len(self.parameters)} parameters of {self.flat.size} numbers")
        if self.errors is not None:
            parts.append(f"errors {self.errors.shape}")
        return f"Gradients({', '.join(parts)}, {self.flat.dtype})"
