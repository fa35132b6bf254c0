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

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(writable(state))

    def __repr__(self) -> str:
        return f"Tape({self.cell.name}, x {self.x.shape}, s {self.s.shape}, a {self.a.shape}, {self.a.dtype})"

    @property
    def layers(self) -> tuple[LayerTape, ...]:
        """Each layer's part, first layer first."""
        T, B = self.a.shape[1:3]
        inputs = [self.x]
        for layer in range(len(self.a) - 1):
            outputs = self.y[layer] if len(self.y) else self.s[layer, 1:]
            inputs.append(outputs.reshape(T * B, outputs.shape[2]))
        return tuple(LayerTape(self.cell, *arrays, self.rows) for arrays in zip(inputs, self.s, self.a, strict=True))

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
        )
