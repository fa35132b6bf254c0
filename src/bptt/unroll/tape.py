"""What forward leaves for backward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.cells.table import Cell
from bptt.unroll.ragged import Rows

__all__ = ["LayerTape", "Tape"]


@dataclass(frozen=True)
class LayerTape:
    """One layer's part of the tape.

    Its properties have the rows in the order of the batch: views, or copies where sequences of unequal lengths were
    sorted. Beyond a sequence's end all is 0.

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

    @property
    def hidden_size(self) -> int:
        return self.s.shape[2] // len(self.cell.states)

    @property
    def h(self) -> np.ndarray:
        """(T+1, B, H): h[0] is the initial state, h[t + 1] the output of step t, also where it is dropped then."""
        return self.rows.back(self.s[:, :, : self.hidden_size], 1)

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
        return self.rows.back(self.s[:, :, self.hidden_size :], 1)

    @property
    def gates(self) -> dict[str, np.ndarray]:
        """(T, B, H): what each block of pre-activations became, by name."""
        H = self.hidden_size
        return {name: self.rows.back(self.a[:, :, j * H : (j + 1) * H], 1) for j, name in enumerate(self.cell.blocks)}


@dataclass(frozen=True)
class Tape:
    """Everything that a stack of layers computed on the way up: one `LayerTape` a layer, first layer first.

    `masks` is the address of the first step's dropout masks (they are drawn again, not stored), or None where no
    dropout was active.
    """

    layers: tuple[LayerTape, ...]
    masks: int | None

    @property
    def h(self) -> list[np.ndarray]:
        """(T+1, B, H): the outputs of each layer, the initial state before them."""
        return [layer.h for layer in self.layers]
