"""Forward and backward of stacked layers unit by unit, as a plan of `network.checkpoints` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bptt.network import checkpoints
from bptt.network import stack as stacked
from bptt.network.checkpoints import CheckpointedTape, CheckpointPlan
from bptt.unroll.ragged import Rows
from bptt.unroll.sequence import Record
from bptt.unroll.tape import Tape

if TYPE_CHECKING:
    from bptt.network.layers import Recurrent

__all__ = ["backward", "final_states", "forward"]


def final_states(s: np.ndarray, batch: Rows, T: int) -> np.ndarray:
    """(L, B, S*H): each row's state after its own last step; s has room for T steps, or for fewer in turns."""
    return s[:, batch.ends, np.arange(s.shape[2])] if batch.ragged else last_states(s, T)


def last_states(s: np.ndarray, T: int) -> np.ndarray:
    """(L, B, S*H): the states after step T - 1, 0 in rows that ended before."""
    return s[:, (T - 1) % (s.shape[1] - 1) + 1]


def forward(
    layer: Recurrent, plan: CheckpointPlan, x: np.ndarray, s: np.ndarray, batch: Rows, masks: int | None
) -> tuple[np.ndarray, np.ndarray, dict[int, np.ndarray]]:
    """From the state s (L, B, S*H): all outputs, each row's last states, and the states that the plan keeps."""
    B = s.shape[1]
    out, final = np.empty((plan.steps, B, layer.hidden_size), layer.dtype), np.array(s)
    kept, states = set(plan.kept_by_forward()), {}
    for unit in range(plan.units):
        if unit in kept:
            states[unit] = s
        first, last = plan.start(unit), plan.start(unit + 1)
        here, address = batch.of_steps(first, last), None if masks is None else masks + first
        part = layer._run_forward(x[first * B : last * B], s, here, address, layer.dropout, keep=False)
        out[first:last] = part.out
        s = np.array(last_states(part.s, last - first))
        # A row that ended before this unit has its last state from an earlier one.
        rows = here.ends > 0 if batch.ragged else slice(None)
        final[:, rows] = final_states(part.s, here, last - first)[:, rows]
    return out, final, states


def backward(
    layer: Recurrent,
    tape: CheckpointedTape,
    flat: np.ndarray,
    errors: stacked.Errors,
    names: tuple[str, ...],
    clip: tuple[str, float] | None,
) -> Record:
    """From the last unit to the first, into `flat` and `errors`; the record of all steps."""
    plan, B, states = tape.plan, tape.batch_size, dict(tape.states)
    records: list[Record] = []

    def run_forward(unit: int, keep: bool) -> tuple[stacked.Tape, Tape]:
        first, last = plan.start(unit), plan.start(unit + 1)
        here, address = tape.rows.of_steps(first, last), None if tape.masks is None else tape.masks + first
        x = tape.x[first * B : last * B]
        kept = layer._run_forward(x, states[unit], here, address, tape.dropout, keep=keep)
        part = Tape(tape.cell, x, kept.s, kept.a, kept.y, here, address, tape.dropout, tape.origin, (0, last - first))
        return kept, part

    def walk(first: int, last: int) -> None:
        """Leave the state before unit `last`, from the one before unit `first`."""
        for unit in range(first, last):
            kept, part = run_forward(unit, keep=False)
            states[unit + 1] = np.array(last_states(kept.s, len(part)))
            if unit > first:
                del states[unit]

    def run_backward(unit: int) -> None:
        part = run_forward(unit, keep=True)[1]
        first, last = plan.start(unit), plan.start(unit + 1)
        dx, dy = errors.dx[first * B : last * B], errors.dy[first:last]
        here = errors._replace(dx=dx, dy=dy)
        records.append(layer._run_backward(part, flat, here, names, clip, fresh=last == plan.steps))

    # A list instead of a recursion: there may be thousands of units.
    todo = [(0, plan.units, plan.slots)]
    while todo:
        first, last, slots = todo.pop()
        if last - first == 1:
            run_backward(first)
            if first > 0:
                del states[first]
            continue
        middle = first + checkpoints.split(last - first, slots) if slots > 0 else last - 1
        if middle not in states:
            walk(first, middle)
        todo.append((first, middle, slots))
        todo.append((middle, last, max(0, slots - 1)))
    records.reverse()
    return records[0]._replace(
        s=np.concatenate([record.s for record in records], axis=1),
        a=np.concatenate([record.a for record in records], axis=1),
        clipped=np.concatenate([record.clipped for record in records], axis=1),
    )
