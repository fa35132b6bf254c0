"""Stacked recurrent layers of any cell: validation, buffers, and the layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt

from bptt import arguments, seeds
from bptt.cells.table import Cell
from bptt.network import checkpoints, in_units
from bptt.network import parameters as named
from bptt.network import stack as stacked
from bptt.network.checkpoints import CheckpointedTape
from bptt.network.directional import Directional
from bptt.network.gradients import Gradients, State
from bptt.network.initialisers import INITIALISERS, initialise
from bptt.network.module import Module
from bptt.numerics import memory
from bptt.numerics.threads import run
from bptt.unroll import sequence
from bptt.unroll.ragged import Rows, counted, rows_of
from bptt.unroll.tape import Origin, Tape

__all__ = ["Recurrent"]

NO_TOKENS = np.empty((0, 0), np.int32)


class Recurrent(Directional):
    """Stacked recurrent layers of any cell: what `RNN`, `GRU` and `LSTM` share.

    Parameters
    ----------
    cell : Cell
        A row of `bptt.cells.table.CELLS`.
    input_size, hidden_size, num_layers : int
        Features of x, units of each layer, layers; at least 1.
    dropout : float
        Probability in [0, 1) of dropping an output of any layer but the last during training; the others are scaled
        by 1 / (1 - dropout) (Srivastava et al. 2014).
    batch_first : bool
        Whether x, y and their gradients are (B, T, ...) instead of (T, B, ...). States are always (L, B, H).
    dtype : {"float32", "float64"}
        Of the parameters, of all arrays in and out, and of the arithmetic.
    seed : int, optional
        From 0 to 2^63 - 1; determines the initial parameters and the dropout masks. Default: drawn, kept in `seed`.
    init : {"pytorch", "orthogonal"}
        See `bptt.network.initialisers.initialise`.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range; the message names it.
    """

    _fixed: ClassVar[frozenset[str]] = Module._fixed | {
        "cell", "input_size", "hidden_size", "num_layers", "batch_first", "seed",
    }  # fmt: skip
    _own: ClassVar[frozenset[str]] = Module._own | {"_buffers", "_packed", "_scratch", "_stack", "_transposed"}

    @arguments.known_keywords
    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        batch_first: bool = False,
        dtype: Literal["float32", "float64"] | npt.DTypeLike = "float32",
        seed: int | None = None,
        init: Literal["pytorch", "orthogonal"] = "pytorch",
    ) -> None:
        if not isinstance(cell, Cell):
            raise TypeError(f"cell must be a row of bptt.cells.table.CELLS; got {cell!r}")
        self.cell = cell
        self.input_size = arguments.integer("input_size", input_size)
        self.hidden_size = arguments.integer("hidden_size", hidden_size)
        self.num_layers = arguments.integer("num_layers", num_layers)
        self.dropout = dropout
        self.batch_first = arguments.boolean("batch_first", batch_first)
        init_ = arguments.choice("init", init, tuple(INITIALISERS))
        dtype = arguments.dtype("dtype", dtype)
        self.seed = seeds.resolve("seed", seed)
        self.training = True
        shapes = named.layer_shapes(cell, self.input_size, self.hidden_size, self.num_layers)
        super().__init__(shapes, dtype)
        initialise(cell, dict(self.parameters), self.hidden_size, init_, seeds.generator(self.seed, "parameters"))
        self._masks_key = seeds.key(self.seed, "dropout")
        self._masks_drawn = 0

    def _connect(self) -> None:
        super()._connect()
        sizes = self.input_size, self.hidden_size, self.num_layers
        self._stack = stacked.stack_of(self.cell, *sizes, named.starts(self._shapes))
        self._packed: stacked.Packed | None = None
        self._transposed: stacked.Transposed | None = None
        self._scratch = stacked.scratch_for(self._stack, 0, 0, self.dtype)
        self._buffers = memory.BufferPool()

    @property
    def dropout(self) -> float:
        """Probability of dropping an output of any layer but the last during training; may be set."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = arguments.fraction("dropout", value)

    @property
    def training(self) -> bool:
        """Whether dropout is on; may be set, as by `train` and `eval`."""
        return self._training

    @training.setter
    def training(self, value: bool) -> None:
        self._training = arguments.boolean("training", value)

    def __repr__(self) -> str:
        more = f", num_layers={self.num_layers}, dropout={self.dropout:g}, dtype={self.dtype.name!r}"
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}{more})"

    def train(self, mode: bool = True) -> Recurrent:
        """Turn dropout between layers on (`mode=True`, default) or off."""
        self.training = arguments.boolean("mode", mode)
        return self

    def eval(self) -> Recurrent:
        """Turn dropout between layers off."""
        return self.train(False)

    def __call__(
        self, x: np.ndarray, state: State | None = None, *, lengths: Any = None, reset: Any = None
    ) -> tuple[np.ndarray, State]:
        """Return outputs and final state like `forward`, without the memory and time for a tape."""
        return self._forward(x, state, lengths, reset, tape=False)[:2]

    @overload
    def forward(
        self, x: np.ndarray, state: State | None = None, *, lengths: Any = None, reset: Any = None, memory: None = None
    ) -> tuple[np.ndarray, State, Tape]: ...

    @overload
    def forward(
        self,
        x: np.ndarray,
        state: State | None = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        memory: int | Literal["sqrt"],
    ) -> tuple[np.ndarray, State, CheckpointedTape]: ...

    def forward(
        self,
        x: np.ndarray,
        state: State | None = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        memory: int | Literal["sqrt"] | None = None,
    ) -> tuple[np.ndarray, State, Tape | CheckpointedTape]:
        """Run over a batch of sequences and keep what `backward` needs.

        Parameters
        ----------
        x : array (T, B, input_size), or (B, T, input_size) with `batch_first`
            Finite, of the layer's dtype, T and B at least 1. It is copied, so it may be changed before `backward`.
        state : array (L, B, H), for the LSTM a tuple (h, c) of them, optional
            Initial state; default: zeros.
        lengths : integers (B,) in 1 .. T, optional
            Number of steps of each sequence, in any order; default: T each. Values of x after a sequence's end are
            ignored, NaN included; outputs are 0 there, and the returned state is that after the sequence's own last
            step.
        reset : booleans (T, B), or (B, T) with `batch_first`, optional
            Where True, the state of that row is set to 0 in every layer before that step: a new sequence begins. At
            step 0 it replaces the row's initial state.
        memory : int or "sqrt", optional
            Bytes for the states and gates of the tape, x and y not counted; or "sqrt": tapes of about sqrt(T) steps.
            Some states are kept, and `backward` computes the others again (Griewank 1992; Gruslys et al. 2016), with
            the same bits as from a full tape. See `bptt.network.checkpoints`. Default: a full tape.

        Returns
        -------
        y : array (T, B, H), or (B, T, H) with `batch_first`
            Outputs of the last layer.
        state : like the argument
            State after each sequence's last step.
        tape : Tape
            All states and gates, lengths and resets, for `backward`; a `CheckpointedTape` with `memory`.

        Raises
        ------
        TypeError, ValueError
            x or state has another rank, size or dtype, or holds NaN or infinity; lengths are not integers in 1 .. T;
            reset is not boolean; an array has masked entries;
            memory is no such number, or too small for a single chunk of steps.

        Examples
        --------
        >>> import numpy as np
        >>> from bptt import LSTM
        >>> y, (h, c), tape = LSTM(3, 5).forward(np.zeros((7, 2, 3), "float32"))
        >>> y.shape, h.shape
        ((7, 2, 5), (1, 2, 5))
        >>> y, _, _ = LSTM(3, 5).forward(np.ones((7, 2, 3), "float32"), lengths=[4, 7])
        >>> np.count_nonzero(y[4:], axis=(0, 2))
        array([ 0, 15])
        """
        return self._forward(x, state, lengths, reset, tape=True, memory=memory)

    def _forward(
        self, x: np.ndarray, state: State | None, lengths: Any, reset: Any, tape: bool, memory: Any = None
    ) -> tuple[np.ndarray, State, Any]:
        x, batch = self._inputs(x, lengths, reset, own=tape)
        T, B, I = x.shape
        masks = self._masks_drawn if self.training and self.dropout > 0 and self.num_layers > 1 else None
        s = batch.to_tape_order(self._states("state", state, B), 1)
        origin = self._origin() if tape else Origin(self._identity, 0)
        x = x.reshape(T * B, I)
        if memory is None:
            kept = self._run_forward(x, s, batch, masks, self.dropout, keep=tape)
            out, final = kept.out, in_units.final_states(kept.s, batch, T)
            made: Any = Tape(self.cell, x, kept.s, kept.a, kept.y, batch, masks, self.dropout, origin, (0, T))
        else:
            plan = checkpoints.plan(self._checkpoint_sizes(T, B), memory)
            out, final, states = in_units.forward(self, plan, x, s, batch, masks)
            made = CheckpointedTape(self.cell, plan, x, states, batch, masks, self.dropout, origin)
        if masks is not None:
            self._masks_drawn += T
        y = batch.to_batch_order(out, 1)
        y = np.ascontiguousarray(y.swapaxes(0, 1)) if self.batch_first else y
        return y, self._as_state(batch.to_batch_order(final, 1)), made

    def _run_forward(
        self, x: np.ndarray, s: np.ndarray, batch: Rows, masks: int | None, rate: float, *, keep: bool
    ) -> stacked.Tape:
        """The rows x of some steps from the state s (L, B, S*H); without `keep` only the last states are complete."""
        T, B = batch.active.size, s.shape[1]
        H, L, cell, empty = self.hidden_size, self.num_layers, self._stack.cell, self._buffers.empty
        steps = T if keep or batch.ragged else sequence.chunk_steps(T, B)
        through = L == 1 or (keep and masks is None)  # each layer reads what the tape has of the one below
        kept = stacked.Tape(
            x=x,
            tokens=NO_TOKENS,
            s=empty((L, steps + 1, B, cell.S * H), self.dtype),
            a=empty((L, steps, B, cell.A * H), self.dtype),
            y=self._scratch.no_layers if through else empty((L - 1, T, B, H), self.dtype),
            out=empty((T, B, H), self.dtype),
        )
        kept.s[:, 0] = s
        if self._packed is None:
            self._packed = stacked.packed_for(self._stack, self.dtype)
        run(stacked.run_forward, self._stack, self._flat, self._packed, kept, self._rows(batch, 1, B),
            self._masks(masks, rate),
            stacked.steps_between_checks(self._stack, B, 1),
            threads=stacked.threads_for(self._stack, T * B))  # fmt: skip
        return kept

    def _checkpoint_sizes(self, T: int, B: int) -> checkpoints.Sizes:
        H, L, cell, size = self.hidden_size, self.num_layers, self._stack.cell, self.dtype.itemsize
        masked = L - 1 if self.training and self.dropout > 0 else 0
        step = L * (cell.S + cell.A) + masked
        return checkpoints.Sizes(T, sequence.chunk_steps(T, B), L * B * cell.S * H * size, step * B * H * size)

    def backward(
        self,
        dy: np.ndarray | None,
        tape: Tape | CheckpointedTape,
        dstate: State | None = None,
        *,
        last: np.ndarray | None = None,
        errors: str | Sequence[str] = (),
        clip_step: tuple[Literal["value", "norm"], float] | None = None,
    ) -> Gradients:
        """Backpropagate through all steps of the tape and all layers; the tape is not changed.

        Parameters
        ----------
        dy : array like y, or None
            Derivatives of the loss by the outputs; those after a sequence's end are ignored, NaN included. None: 0.
        tape : Tape
            From `forward` of this layer, or of the layer that this one was copied from; or some of its steps,
            `tape[8:24]`.
        dstate : like the state, optional
            Derivatives of the loss by the final state; default: zeros.
        last : array (B, H), optional
            Derivatives of the loss by each sequence's last output, added to those of `dy`. Default: 0.
        errors : str or sequence of str
            Which derivatives to return of every layer and step: states, "h" and for the LSTM "c", and "a" for those
            by all pre-activations. Default: none.
        clip_step : tuple of str and float, optional
            Clip the error at every step of the way back. ("value", 10.0): each derivative by a pre-activation to
            -10 .. 10, as Graves (2013) does. ("norm", 1.0): each row's error of the states, h and c together, is
            scaled to a norm of at most 1 before it goes on to the step before. The result is no longer the gradient of
            the loss. Runs on one thread. Default: no clipping.

        Returns
        -------
        Gradients

        Raises
        ------
        TypeError, ValueError
            An array has another rank, size or dtype, or holds NaN or infinity; the tape is another layer's; the cell
            has no state of a name in `errors`; clip_step is no such pair.
        RuntimeError
            The parameters have changed since `forward`.

        Examples
        --------
        >>> import numpy as np
        >>> from bptt import GRU
        >>> layer = GRU(3, 5)
        >>> y, state, tape = layer.forward(np.ones((7, 2, 3), "float32"))
        >>> layer.backward(np.ones_like(y), tape).parameters["weight_hh_l0"].shape
        (15, 5)
        """
        names = self._error_names(errors)
        clip = self._clipping(clip_step)
        self._check_tape(tape)
        batch = tape.rows_of_steps
        T, B, H = len(tape), tape.batch_size, self.hidden_size
        sizes, letters = ((B, T, H), "B, T, H") if self.batch_first else ((T, B, H), "T, B, H")
        steps = counted(batch.lengths, T, self.batch_first) if batch.ragged else None
        if dy is not None:
            dy = arguments.real_array("dy", dy, self.dtype, sizes, letters, counted=steps)
            dy = batch.to_tape_order(np.ascontiguousarray(dy.swapaxes(0, 1)) if self.batch_first else dy, 1)
        ds = self._states("dstate", dstate, B)
        if last is not None:
            ds[-1, :, :H] += arguments.real_array("last", last, self.dtype, (B, H), "B, H")
        found = stacked.Errors(
            dy=np.empty((0, B, H), self.dtype) if dy is None else dy,
            ds=batch.to_tape_order(ds, 1),
            between=self._scratch.no_rows,
            dx=self._buffers.empty((T * B, self.input_size), self.dtype),
            record=self._scratch.no_record,
        )
        flat = self._buffers.empty(self._flat.shape, self.dtype)
        if isinstance(tape, CheckpointedTape):
            record = in_units.backward(self, tape, flat, found, names, clip)
        else:
            record = self._run_backward(tape, flat, found, names, clip, fresh=True)
        dx = batch.to_batch_order(found.dx.reshape(T, B, self.input_size), 1)
        dx = np.ascontiguousarray(dx.swapaxes(0, 1)) if self.batch_first else dx
        state = self._as_state(batch.to_batch_order(found.ds, 1))
        recorded = self._errors(names, batch, record) if names else {}
        clipped = batch.to_batch_order(record.clipped, 2) if clip else None
        return Gradients(dx, state, named.views(flat, self._shapes), flat, recorded, clipped)

    def _run_backward(
        self,
        tape: Tape,
        flat: np.ndarray,
        errors: stacked.Errors,
        names: tuple[str, ...],
        clip: tuple[str, float] | None,
        *,
        fresh: bool,
    ) -> sequence.Record:
        """The steps of the tape: into `flat`, which is added to if not `fresh`, and into `errors`; returns a record."""
        H, L, cell, empty = self.hidden_size, self.num_layers, self._stack.cell, self._buffers.empty
        T, B = len(tape), tape.a.shape[2]
        scratch = self._scratch._replace(
            da=empty((stacked.chunk_size(self._stack, T, B),), self.dtype),
            strips=empty(self._scratch.strips.shape, self.dtype),
            total=np.empty(self._scratch.total.shape, self.dtype),
        )
        record = scratch.no_record
        if names or clip:
            by, limit = clip or ("", np.inf)
            record = stacked.record_for(
                empty((L, T, B, cell.S * H), self.dtype) if set(names) - {"a"} else scratch.no_layers,
                empty((L, T, B, cell.A * H), self.dtype) if "a" in names else scratch.no_layers,
                np.zeros((L, T, B), np.int64) if clip else None,
                largest_value=limit if by == "value" else np.inf,
                largest_norm=limit if by == "norm" else np.inf,
            )
        errors = errors._replace(
            between=empty((T * B, H), self.dtype) if L > 1 else scratch.no_rows,
            record=record,
        )
        kept = stacked.Tape(tape.x, NO_TOKENS, tape.s, tape.a, tape.y, scratch.no_array)
        if self._transposed is None:
            self._transposed = stacked.transposed_for(self._stack, self.dtype)
        window = stacked.Window(*tape.steps, fresh, stacked.steps_between_checks(self._stack, B, 3))
        run(stacked.run_backward, self._stack, self._flat, self._transposed, scratch, flat, kept, errors,
            self._rows(tape.rows, sequence.chunk_steps(T, B), B), self._masks(tape.masks, tape.dropout), window,
            threads=1 if clip else stacked.threads_for(self._stack, T * B))  # fmt: skip
        return record

    def _turned(self, array: np.ndarray) -> np.ndarray:
        """(T, B, n) as users have it, and back."""
        return array.swapaxes(0, 1) if self.batch_first else array

    def _error_names(self, errors: Any) -> tuple[str, ...]:
        if isinstance(errors, tuple) and not errors:  # the default: small layers call often
            return ()
        accepted = (*self.cell.states, "a")
        if isinstance(errors, bool):
            raise TypeError(f"errors must be names, some of {', '.join(accepted)}; got {errors!r}")
        given = (errors,) if isinstance(errors, str) else arguments.sequence("errors", errors)
        return tuple(arguments.choice("errors", name, accepted) for name in given)

    def _clipping(self, clip_step: Any) -> tuple[str, float] | None:
        """By what, and the limit."""
        if clip_step is None:
            return None
        if not isinstance(clip_step, tuple | list) or len(clip_step) != 2:
            raise TypeError(f'clip_step must be a pair such as ("value", 10.0) or ("norm", 1.0); got {clip_step!r}')
        by, limit = clip_step
        return (
            arguments.choice("clip_step[0]", by, ("value", "norm")),
            arguments.real("clip_step[1]", limit, 0.0, open_ends="min"),
        )

    def _errors(self, names: tuple[str, ...], batch: Rows, record: sequence.Record) -> dict[str, np.ndarray]:
        """What `backward` recorded, by name, its rows in the order of the batch."""
        H, s = self.hidden_size, record.s
        arrays = {state: s[..., j * H : (j + 1) * H] for j, state in enumerate(self.cell.states)}
        arrays["a"] = record.a
        return {name: batch.to_batch_order(arrays[name], 2) for name in names}

    def _rows(self, batch: Rows, steps: int, B: int) -> sequence.Rows:
        """The batch's rows for compiled code, with room for the states before `steps` steps."""
        before = self._scratch.no_array
        if batch.reset.size:
            before = self._buffers.empty((steps, B, self._stack.cell.S * self.hidden_size), self.dtype)
        return sequence.Rows(batch.active, batch.reset, before, batch.order)

    def _masks(self, address: int | None, rate: float) -> stacked.Dropout:
        """Dropout on the outputs of all layers but the last; none without an address."""
        layers = 0 if address is None else self.num_layers - 1
        return stacked.Dropout(layers, rate, self._masks_key, address or 0)

    def _inputs(self, x: Any, lengths: Any, reset: Any, own: bool) -> tuple[np.ndarray, Rows]:
        """x (T, B, I) as it lies on the tape, with `own` in memory of the layer's own; and how its rows lie there."""
        letters = "B, T, I" if self.batch_first else "T, B, I"
        given = arguments.array("x", x)
        steps = None
        if lengths is not None and given.ndim == 3 and min(given.shape) > 0:
            T, B = (given.shape[1], given.shape[0]) if self.batch_first else given.shape[:2]
            lengths = arguments.integer_array("lengths", lengths, (B,), "B", 1, T, "T")
            steps = counted(lengths, T, self.batch_first)
        x = arguments.real_array("x", given, self.dtype, (None, None, self.input_size), letters, counted=steps)
        turned = x.swapaxes(0, 1) if self.batch_first else x
        T, B, I = turned.shape
        if reset is not None:
            sizes, letters = ((B, T), "B, T") if self.batch_first else ((T, B), "T, B")
            reset = arguments.boolean_array("reset", reset, sizes, letters)
            reset = reset.swapaxes(0, 1) if self.batch_first else reset
        batch = rows_of(T, B, lengths, reset)
        if own or self.batch_first:
            x = self._buffers.empty((T, B, I), self.dtype)
            x[...] = turned
        return batch.to_tape_order(x, 1), batch

    def _states(self, name: str, state: State | None, B: int) -> np.ndarray:
        """The cell's states side by side: an array (L, B, S*H) of the layer's own."""
        shape, states = (self.num_layers, B, self.hidden_size), self.cell.states
        if state is None:
            return np.zeros((self.num_layers, B, len(states) * self.hidden_size), self.dtype)
        if len(states) == 1:
            return arguments.real_array(name, state, self.dtype, shape, "L, B, H").copy()
        if not isinstance(state, tuple | list) or len(state) != len(states):
            raise TypeError(f"{name} must be a tuple ({', '.join(states)}) of arrays; got {type(state).__name__}")
        parts = [
            arguments.real_array(f"{name}[{j}]", part, self.dtype, shape, "L, B, H") for j, part in enumerate(state)
        ]
        return np.concatenate(parts, axis=2)

    def _as_state(self, s: np.ndarray) -> State:
        """(L, B, S*H) as users see it: an array, or one for each of the cell's states."""
        H = self.hidden_size
        parts = tuple(s[:, :, j * H : (j + 1) * H].copy() for j in range(len(self.cell.states)))
        return parts if len(parts) > 1 else parts[0]

    def _check_tape(self, tape: Tape | CheckpointedTape) -> None:
        self._check_origin(tape, CheckpointedTape if type(tape) is CheckpointedTape else Tape)
        sizes = self.input_size, self.hidden_size, self.num_layers
        if not tape.fits(self.cell, sizes, self.dtype):
            raise ValueError(f"tape must come from the forward of this layer, {self!r}; got other arrays, {tape!r}")
