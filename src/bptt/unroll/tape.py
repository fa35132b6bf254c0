"""What forward leaves for backward."""

from __future__ import annotations

from dataclasses import dataclass
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
        How long each row is, where its state was dropped, and in which order they lie in these three arrays.
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

    def fits(self, cell: Cell, inputs: int, hidden_size: int, dtype: np.dtype[np.floating]) -> bool:
        """Whether compiled code may read these arrays as those of such a layer: a tape may come from anywhere."""
        if self.cell != cell or self.a.ndim != 3 or self.s.ndim != 3 or self.x.ndim != 2:
            return False
        T, B = self.a.shape[:2]
        return (
            self.a.shape[2] == len(cell.blocks) * hidden_size
            and self.s.shape == (T + 1, B, len(cell.states) * hidden_size)
            and self.x.shape[0] == T * B
            and self.x.shape[1] >= inputs
            and all(array.dtype == dtype and array.flags.carray for array in (self.a, self.s, self.x))
            and self.rows.fits(T, B)
        )


@dataclass(frozen=True)
class Origin:
    """Which layer made a tape, with which parameters."""

    layer: int
    checksum: int


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """Everything that a stack of layers computed on the way up: one `LayerTape` a layer, first layer first.

    `masks` is the address of the first step's dropout masks (they are drawn again, not stored), or None where no
    dropout was active; `dropout` is its probability; `origin` tells the layer and the parameters.
    """

    layers: tuple[LayerTape, ...]
    masks: int | None
    dropout: float
    origin: Origin

    def __repr__(self) -> str:
        return f"Tape({', '.join(map(repr, self.layers))})"

    @property
    def h(self) -> list[np.ndarray]:
        """(T+1, B, H): the outputs of each layer, the initial state before them."""
        return [layer.h for layer in self.layers]
