"""What `backward` of every layer returns."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    errors : dict of arrays (L, T, B, H)
        What the argument `errors` asked for, by name: the whole derivatives by the states of every layer and step
        ("h", for the LSTM "c"), what arrives from above and from the step after together; and by its pre-activations
        ("a", (L, T, B, A*H), one block for each of `tape.layers[0].gates`), which make the gradients of the weights.
    clipped : int array (L, T, B) or None
        With `clip_step`: how many numbers of a row's error were clipped at a step; 0 or 1 for a clipped norm.
    """

    x: np.ndarray | None
    state: State | tuple[State, ...] | None
    parameters: dict[str, np.ndarray]
    flat: np.ndarray
    errors: dict[str, np.ndarray] = field(default_factory=dict)
    clipped: np.ndarray | None = None

    def __repr__(self) -> str:
        parts = [] if self.x is None else [f"x {self.x.shape}"]
        if isinstance(self.state, np.ndarray):
            parts.append(f"state {self.state.shape}")
        elif self.state is not None:
            parts.append(f"state {' '.join(str(np.shape(part)) for part in self.state)}")
        parts.append(f"{len(self.parameters)} parameters of {self.flat.size} numbers")
        parts += [f"errors {name} {array.shape}" for name, array in self.errors.items()]
        if self.clipped is not None:
            parts.append(f"{np.count_nonzero(self.clipped)} of {self.clipped.size} steps clipped")
        return f"Gradients({', '.join(parts)}, {self.flat.dtype})"
