"""Layers without parameters, for `Sequential`."""

from __future__ import annotations

from bptt import arguments

__all__ = ["Dropout", "LastStep"]


class Dropout:
    """Drops inputs with probability p while training, and scales the rest by 1 / (1 - p) (Srivastava et al. 2014).

    Parameters
    ----------
    p : float
        In [0, 1). Default 0.5.

    Raises
    ------
    TypeError, ValueError
        p is not a number in that range.

    Examples
    --------
    >>> import bptt
    >>> bptt.Dropout(0.2)
    Dropout(p=0.2)
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = arguments.fraction("p", p)

    def __repr__(self) -> str:
        return f"Dropout(p={self.p:g})"


class LastStep:
    """The output of each sequence's last step: (T, B, F) to (B, F), for one answer a sequence.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> model = bptt.Sequential(bptt.GRU(3, 8), bptt.LastStep(), bptt.Linear(8, 2))
    >>> y, state, tape = model.forward(np.ones((7, 4, 3), "float32"), lengths=[7, 2, 3, 1])
    >>> y.shape
    (4, 2)
    """

    def __repr__(self) -> str:
        return "LastStep()"
