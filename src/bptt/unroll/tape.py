"""What forward leaves for backward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt.cells.table import Cell
from bptt.unroll.ragged import Rows, writable

__all__ = ["LayerTape", "Origin", "Tape"]


@dataclass(frozen=True, eq=False, repr=False)
class LayerTape:
    """One layer's part of the tape.

    Its properties have the rows in the order of the batch: read-only views, or copies where sequences of unequal
    lengths were sorted. Beyond a sequence's end all is 0.

    Attributes
    ----------
    x : array (T*B, I)
        What the layer read, the mask of the dropout below it applied.
    s : array (T+1, B, S*H)
        States, slot 0 the initial one; for the LSTM h, then c.
    a : array (T, B, A*H)
        Gates, block after block.
    rows : Rows
        How long each row is, where its state was reset, and the order of the rows in these three arrays.
    """

    cell: Cell
    x: np.ndarray
    s: np.ndarray
    a: np.ndarray
    rows: Rows

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(writable(state))

    def __repr__(self) -> str:
        T, B = self.a.shape[:2]
        return f"LayerTape({self.cell.name}, T={T}, B={B}, H={self.hidden_size}, {self.a.dtype})"

    @property
    def hidden_size(self) -> int:
        return self.s.shape[2] // len(self.cell.states)

    @property
    def h(self) -> np.ndarray:
        """(T+1, B, H): h[0] is the initial state, h[t + 1] the output of step t, also where it is dropped then."""
        return self._shown(self.s[:, :, : self.hidden_size])

    @property
    def c(self) -> np.ndarray:
        """(T+1, B, H): the LSTM's cell states.

        Raises
        ------
        AttributeError
            The cell has no state of this name.
        """
        if "c" not in self.cell.states:
            raise AttributeError(f"a tape of {self.cell.name} has no c; its states are {', '.join(self.cell.states)}")
        return self._shown(self.s[:, :, self.hidden_size :])

    @property
    def gates(self) -> dict[str, np.ndarray]:
        """(T, B, H): what each block of pre-activations became, by name."""
        H = self.hidden_size
        return {name: self._shown(self.a[:, :, j * H : (j + 1) * H]) for j, name in enumerate(self.cell.blocks)}

    def _shown(self, array: np.ndarray) -> np.ndarray:
        # Not to be written to: backward reads the same memory.
        shown = self.rows.to_batch_order(array, 1)
        shown.flags.writeable = False
        return shown


@dataclass(frozen=True)
class Origin:
    """Which layer made a tape, with which parameters."""

    layer: int
    checksum: int


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """Everything that `forward` of L layers computed.

    Attributes
    ----------
    x : array (T*B, I)
        What the first layer read.
    s : array (L, T+1, B, S*H)
        States, slot 0 the initial ones.
    a : array (L, T, B, A*H)
        Gates.
    y : array (L-1, T, B, H) or (0, 0, 0, 0)
        The outputs that went through dropout, as the next layer read them; none without dropout.
    rows : Rows
        How long each row is, where its state was reset, and the order of the rows in these arrays.
    masks : int or None
        Address of the first step's dropout masks (they are drawn again, not stored); None without dropout.
    dropout : float
        Probability of the dropout.
    origin : Origin
        The layer and the parameters.
    steps : tuple of int
        First step and the one after the last; see `Tape.__getitem__`.
    """

    cell: Cell
    x: np.ndarray
    s: np.ndarray
    a: np.ndarray
    y: np.ndarray
    rows: Rows
    masks: int | None
    dropout: float
    origin: Origin
    steps: tuple[int, int]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(writable(state))

    def __repr__(self) -> str:
        first, last = self.steps
        part = "" if last - first == self.a.shape[1] else f"steps {first} to {last - 1} of "
        return f"Tape({self.cell.name}, {part}x {self.x.shape}, s {self.s.shape}, a {self.a.shape}, {self.a.dtype})"

    def __len__(self) -> int:
        """The number of steps."""
        return self.steps[1] - self.steps[0]

    def __getitem__(self, steps: slice) -> Tape:
        """The tape of some consecutive steps, without a copy: `backward` goes through these alone.

        Parameters
        ----------
        steps : slice
            Like `8:24`, counted within this tape; at least one step.

        Returns
        -------
        Tape

        Raises
        ------
        TypeError, ValueError
            It is not a slice, skips steps, or holds none.

        Examples
        --------
        The error of the last step, sent back four steps and no further:

        >>> import numpy as np, bptt
        >>> layer = bptt.GRU(2, 3, dtype="float64")
        >>> y, state, tape = layer.forward(np.ones((10, 1, 2)))
        >>> len(tape[-4:]), layer.backward(None, tape[-4:], last=np.ones((1, 3))).x.shape
        (4, (4, 1, 2))
        """
        if not isinstance(steps, slice):
            raise TypeError(f"steps of a tape must be a slice, such as tape[8:24]; got {steps!r}")
        first, last, stride = steps.indices(len(self))
        if stride != 1 or first >= last:
            raise ValueError(f"steps of a tape must be at least one of its {len(self)}, and consecutive; got {steps!r}")
        start = self.steps[0]
        return replace(self, steps=(start + first, start + last))

    @property
    def batch_size(self) -> int:
        """B."""
        return self.a.shape[2]

    @property
    def rows_of_steps(self) -> Rows:
        """`rows` of these steps alone."""
        return self.rows if len(self) == self.a.shape[1] else self.rows.of_steps(*self.steps)

    @property
    def layers(self) -> tuple[LayerTape, ...]:
        """Each layer's part, first layer first."""
        (first, last), B, H = self.steps, self.a.shape[2], self.s.shape[3] // len(self.cell.states)
        inputs = [self.x[first * B : last * B]]
        for layer in range(len(self.a) - 1):
            outputs = self.y[layer, first:last] if len(self.y) else self.s[layer, first + 1 : last + 1]
            inputs.append(outputs[..., :H].reshape((last - first) * B, H))
        arrays = zip(inputs, self.s[:, first : last + 1], self.a[:, first:last], strict=True)
        return tuple(LayerTape(self.cell, *each, self.rows_of_steps) for each in arrays)

    @property
    def h(self) -> list[np.ndarray]:
        """(T+1, B, H): the outputs of each layer, the initial state before them."""
        return [layer.h for layer in self.layers]

    def fits(self, cell: Cell, sizes: tuple[int, int, int], dtype: np.dtype[np.floating]) -> bool:
        """Whether compiled code may read these arrays as those of layers of these sizes (inputs, units, layers)."""
        I, H, L = sizes
        if self.cell != cell or self.a.ndim != 4:
            return False
        T, B = self.a.shape[1:3]
        return (
            self.a.shape == (L, T, B, len(cell.blocks) * H)
            and self.s.shape == (L, T + 1, B, len(cell.states) * H)
            and self.x.shape == (T * B, I)
            and self.y.shape == ((0, 0, 0, 0) if self.masks is None else (L - 1, T, B, H))
            and all(array.dtype == dtype and array.flags.carray for array in (self.a, self.s, self.x, self.y))
            and self.rows.fits(T, B)
            and 0 <= self.steps[0] < self.steps[1] <= T
        )
