"""What every study returns: arrays, a frame, a figure, and the finding in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bptt.training.plotting import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Result"]


class Result:
    """A finding of `bptt.study`.

    Attributes
    ----------
    arrays : dict of str to array
        All numbers, by name; what each is stands in the docstring of the function that made it.

    Examples
    --------
    >>> import numpy as np, bptt
    >>> from bptt import study
    >>> layer = bptt.RNN(1, 1, nonlinearity="identity", dtype="float64")
    >>> layer.flat = [1.0, 0.5, 0.0, 0.0]  # h_t = x_t + h_{t-1} / 2
    >>> found = study.gradient_by_lag(study.Problem(layer, np.ones((9, 1, 1)), np.ones((9, 1, 1))))
    >>> found
    gradient_by_lag: dL/dh changes by a factor of 0.5 a step; after 1.4 steps 1/e of it is left
    >>> found.to_frame().loc[[0, 3], ["lag", "mean"]]
       lag   mean
    0    0  1.000
    3    3  0.125
    """

    def __init__(
        self,
        name: str,
        finding: str,
        arrays: dict[str, np.ndarray],
        frame: pd.DataFrame,
        draw: Callable[[Any, pd.DataFrame], None],
    ) -> None:
        self._name, self._finding, self.arrays = name, finding, arrays
        self._frame, self._draw = frame, draw

    def __repr__(self) -> str:
        return f"{self._name}: {self._finding}"

    def to_frame(self) -> pd.DataFrame:
        """The numbers as a table, a copy."""
        return self._frame.copy()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the finding.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. Default: axes of a new figure.

        Returns
        -------
        matplotlib Axes
            ``.figure.savefig("out.png")`` saves the picture; a notebook shows it.

        Raises
        ------
        ImportError
            Without matplotlib: ``pip install bptt[plot]``.
        """
        ax = axes("plot", ax)
        self._draw(ax, self._frame)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        return ax
