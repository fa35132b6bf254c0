"""Backpropagation through time in bounded memory: some states are kept, and what lies between is computed again.

The steps are cut into units. A unit goes backward from a tape of its own, made again from the state at its start. With
room for `slots` states besides the initial one, the way back through n units is the recursion of Griewank (1992), which
Gruslys et al. (2016) brought to recurrent networks: walk y units ahead, keep the state there, go back through the n - y
units after it with one slot less, then through the first y with that slot free again. The y with the least work

    C(1, m) = 1        C(n, 0) = n (n + 1) / 2        C(n, m) = min over y of  y + C(n - y, m - 1) + C(y, m)

(in units run forward, the last run with the tape included) has a closed form (Griewank & Walther 2000): with m slots
and r repetitions, binomial(m + 1 + r, r) units can be reversed.

Units are whole chunks of `unroll.layer`, counted from the end, so sums are made in the same order and all gradients
have the same bits as from a full tape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt import arguments
from bptt.cells.table import Cell
from bptt.unroll.ragged import Rows
from bptt.unroll.tape import Origin

__all__ = ["CheckpointPlan", "CheckpointedTape", "Sizes", "forward_units", "plan", "split"]


@dataclass(frozen=True)
class Sizes:
    """What a plan depends on: steps, steps of a chunk, and bytes of one state of all layers and of one step's tape."""

    steps: int
    chunk: int
    state: int
    step: int


@dataclass(frozen=True)
class CheckpointPlan:
    """How a backward pass keeps within its memory.

    Attributes
    ----------
    steps : int
        T.
    unit : int
        Steps of which a whole tape exists at a time.
    slots : int
        States kept besides the initial one.
    forward_steps : int
        Steps run forward in all: those of `forward`, and those that `backward` runs again (a little fewer where the
        first unit is shorter than the others).
    bytes : int
        The most memory for states and gates at any time.
    full_bytes : int
        The same of a tape of all steps.
    """

    steps: int
    unit: int
    slots: int
    forward_steps: int
    bytes: int
    full_bytes: int

    @property
    def units(self) -> int:
        return -(-self.steps // self.unit)

    def start(self, unit: int) -> int:
        """The first step of a unit; the first unit may be shorter than the others."""
        return max(0, self.steps - (self.units - unit) * self.unit)

    def kept_by_forward(self) -> list[int]:
        """The units whose first states `forward` keeps, the initial one among them."""
        kept, first, slots = [0], 0, self.slots
        while slots > 0 and self.units - first > 1:
            first += split(self.units - first, slots)
            kept.append(first)
            slots -= 1
        return kept

    def __repr__(self) -> str:
        return (
            f"CheckpointPlan({self.steps} steps: units of {self.unit}, {self.slots} states kept; "
            f"{self.bytes / 1e6:.3g} MB instead of {self.full_bytes / 1e6:.3g} MB, "
            f"{self.forward_steps / self.steps:.2f} times the steps forward)"
        )


def repetitions(n: int, slots: int) -> int:
    """The least r for which binomial(slots + 1 + r, r) units can be reversed."""
    if slots == 0:
        return n - 1
    r = 0
    while math.comb(slots + 1 + r, r) < n:
        r += 1
    return r


def forward_units(n: int, slots: int) -> int:
    """C(n, slots): units run forward while n units are reversed from their first state."""
    r = repetitions(n, slots)
    return n + r * n - (math.comb(slots + 1 + r, r - 1) if r > 0 else 0)


def split(n: int, slots: int) -> int:
    """The y of least work, the largest one: where the next state is kept."""

    def work(y: int) -> int:
        return y + forward_units(n - y, slots - 1) + forward_units(y, slots)

    low, high = 1, n - 1  # the work is convex in y
    while low < high:
        middle = (low + high + 1) // 2
        if work(middle) <= work(middle - 1):
            low = middle
        else:
            high = middle - 1
    return low


def plan(sizes: Sizes, memory: Any) -> CheckpointPlan:
    """The fastest plan within `memory`: "sqrt", or bytes for states and gates."""
    T, chunk = sizes.steps, sizes.chunk
    chunks = -(-T // chunk)
    full = T * sizes.step + sizes.state

    def planned(unit: int, slots: int) -> CheckpointPlan:
        unit = min(unit, T)
        units = -(-T // unit)
        slots = min(slots, units - 1)
        # `forward` runs all units, and keeps the states that the first walks of `backward` would have made.
        ahead = CheckpointPlan(T, unit, slots, 0, 0, 0).kept_by_forward()[-1]
        steps = T + unit * (forward_units(units, slots) - ahead)
        return CheckpointPlan(T, unit, slots, steps, unit * sizes.step + (2 + slots) * sizes.state, full)

    if isinstance(memory, str):
        arguments.choice("memory", memory, ("sqrt",))
        unit = chunk * math.isqrt(chunks - 1) + chunk if chunks > 1 else chunk
        return planned(unit, chunks)
    budget = arguments.integer("memory", memory)
    least = planned(chunk, 0)
    if budget < least.bytes:
        raise ValueError(
            f"memory must be at least {least.bytes} bytes for these sizes, a tape of {least.unit} steps and two "
            f"states; got {budget}"
        )
    best = least
    unit = chunk
    while unit < T + chunk:
        room = budget - min(unit, T) * sizes.step - 2 * sizes.state
        if room < 0:
            break
        candidate = planned(unit, room // max(1, sizes.state))
        if candidate.forward_steps < best.forward_steps:
            best = candidate
        unit = max(unit + chunk, unit * 5 // 4 // chunk * chunk)
    return best


@dataclass(frozen=True, eq=False, repr=False)
class CheckpointedTape:
    """What `forward(..., memory=...)` leaves for `backward`: the inputs and some states.

    Attributes
    ----------
    plan : CheckpointPlan
    x : array (T*B, I)
        What the first layer read.
    states : dict of int to array (L, B, S*H)
        States before the first step of some units.
    rows : Rows
        How long each row is, where its state was reset, and the order of the rows in these arrays.
    masks, dropout, origin
        As of `Tape`.
    """

    cell: Cell
    plan: CheckpointPlan
    x: np.ndarray
    states: dict[int, np.ndarray]
    rows: Rows
    masks: int | None
    dropout: float
    origin: Origin

    def __repr__(self) -> str:
        return f"CheckpointedTape({self.cell.name}, x {self.x.shape}, {self.x.dtype}, {self.plan!r})"

    def __len__(self) -> int:
        """The number of steps."""
        return self.plan.steps

    @property
    def batch_size(self) -> int:
        """B."""
        return int(self.states[0].shape[1])

    @property
    def rows_of_steps(self) -> Rows:
        """`rows`: there are no such tapes of some steps."""
        return self.rows

    @property
    def nbytes(self) -> int:
        """Bytes of the states that are kept between forward and backward; x, T*B*I numbers, is not counted."""
        return sum(state.nbytes for state in self.states.values())

    def fits(self, cell: Cell, sizes: tuple[int, int, int], dtype: np.dtype[np.floating]) -> bool:
        """Whether compiled code may read these arrays as those of layers of these sizes (inputs, units, layers)."""
        I, H, L = sizes
        T = self.plan.steps
        if self.cell != cell or 0 not in self.states or self.states[0].ndim != 3:
            return False
        B = self.states[0].shape[1]
        return (
            self.x.shape == (T * B, I)
            and all(state.shape == (L, B, len(cell.states) * H) for state in self.states.values())
            and all(array.dtype == dtype and array.flags.carray for array in (self.x, *self.states.values()))
            and self.rows.fits(T, B)
            and set(self.states) <= set(range(self.plan.units))
        )
