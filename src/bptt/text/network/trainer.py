"""Truncated back-propagation through time over contiguous streams of tokens, many windows a compiled call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt import arguments, seeds
from bptt.errors import NonFiniteError
from bptt.network.parameters import views
from bptt.network.stack import threads_for
from bptt.numerics.threads import run
from bptt.text.network import step
from bptt.text.network.model import SequenceModel
from bptt.text.network.workspace import network_of, windows_between_checks, workspace_for
from bptt.training.optimizers import Adam, Optimizer, state_of
from bptt.unroll.truncation import TBPTT

__all__ = ["Record", "Trainer"]


@dataclass(frozen=True)
class Record:
    """What a call of `Trainer.run` saw.

    Attributes
    ----------
    loss : array (windows,)
        Mean loss in nats of the window's new steps, before its update.
    norm : array (windows,)
        Norm of the gradient before it was clipped.
    """

    loss: np.ndarray
    norm: np.ndarray


def check_tokens(tokens: Any, streams: int | None) -> np.ndarray:
    """Tokens as an integer array (streams, N + 1); `steps_of` checks their values, part by part."""
    array = arguments.array("tokens", tokens)
    if array.dtype.kind not in "iu":
        raise TypeError(f"tokens must be integers; got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] < 2 or array.shape[0] < 1 or array.shape[0] != (streams or array.shape[0]):
        wanted = "streams" if streams is None else str(streams)
        raise ValueError(f"tokens must have shape ({wanted}, at least 2); got {array.shape}")
    return array


def steps_of(tokens: np.ndarray, first: int, last: int, vocabulary_size: int) -> np.ndarray:
    """Steps first to last - 1 of `check_tokens`, each known to be an index in range, as compiled code takes them.

    A copy: nobody else can change it while compiled code uses it. What is checked is what is used, however long the
    corpus is.
    """
    steps = tokens[:, first:last].copy()
    if steps.size and (steps.min() < 0 or steps.max() >= vocabulary_size):
        raise ValueError(f"tokens must lie in 0 .. {vocabulary_size - 1}; got {steps.min()} .. {steps.max()}")
    return steps.astype(np.int32, order="C", copy=False)


class Trainer:
    """Trains a model on streams of tokens, window after window, the state carried from each to the next.

    With `window=(k1, k2)` and k2 > k1 this is BPTT(h; h') of Williams & Peng (1990) with h' = k1, h = k2: every k1
    steps, the losses of those steps are sent back through the last k2. The older part of the tape is not recomputed:
    its states, gates and embeddings stay as they were computed, with the weights of their time, while the error runs
    down through today's weights. (With a learning rate of 0 the two agree and the gradient is exact up to truncation.)

    Parameters
    ----------
    model : SequenceModel
        Its parameters are updated in place.
    streams : int
        Rows of tokens trained side by side.
    window : int or (int, int) or TBPTT
        k1 = k2, or (k1, k2).
    optimizer : SGD, RMSprop, Adam or AdamW
    clip_norm, clip_value : float, optional
        Limit of the gradient's global norm (after `clip_value`), and of each element; default: no limit.
    average : float, optional
        Decay in [0, 1) of an exponential average of the weights, kept in `averaged`.
    seed : int or None
        Of the dropout masks; None draws one.

    Attributes
    ----------
    steps : int
        Updates so far.
    averaged : array or None
        Flat averaged weights.
    seed : int
        The one that was passed, or drawn.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range.
    """

    @arguments.known_keywords
    def __init__(
        self,
        model: SequenceModel,
        *,
        streams: int,
        window: Any = 64,
        optimizer: Optimizer | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        average: float | None = None,
        seed: int | None = 0,
    ) -> None:
        if not isinstance(model, SequenceModel):
            raise TypeError(f"model must be a SequenceModel; got {type(model).__name__}")
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an SGD, RMSprop, Adam or AdamW; got {optimizer!r}")
        self.model = model
        self.streams = arguments.integer("streams", streams)
        self.window = TBPTT.from_argument(window)
        self.optimizer = Adam() if optimizer is None else optimizer
        self.clip_norm = 0.0 if clip_norm is None else arguments.real("clip_norm", clip_norm, 0, open_ends="min")
        self.clip_value = 0.0 if clip_value is None else arguments.real("clip_value", clip_value, 0, open_ends="min")
        self.decay = 0.0 if average is None else arguments.fraction("average", average)
        self.averaged = None if average is None else model.flat.copy()
        self.steps = 0
        self._older = 0
        self.seed = seeds.resolve("seed", seed)
        self._network = network_of(model)._replace(seed=seeds.key(self.seed, "dropout"))
        k1, k2 = self.window.k1, self.window.depth
        self._work = workspace_for(self._network, self.streams, k2, older=k2 - k1)
        self._grad = np.zeros_like(model.flat)
        limits = {"limit_norm": self.clip_norm, "limit_value": self.clip_value}
        self._state = state_of(self.optimizer, model.flat, **limits)

    def reset(self) -> None:
        """Forget the carried state and the older steps, as at the start of an epoch."""
        self._work.tape.s[:, 0] = 0
        self._older = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In a copy, too, compiled code updates the memory of the model.
        self.__dict__.update(state)
        self._network = self._network._replace(theta=self.model.flat)

    def run(self, tokens: np.ndarray, first: int, learning_rates: np.ndarray) -> Record:
        """Train on consecutive windows, some tenths of a second of them a compiled call.

        Parameters
        ----------
        tokens : integer array (streams, N + 1)
            The target of each token is the next one of its stream. Only the steps of these windows are looked at.
        first : int
            Step at which the first window begins.
        learning_rates : array (windows,)
            One for each window. With none of them nothing is trained, but all is compiled.

        Returns
        -------
        Record

        Raises
        ------
        NonFiniteError
            Loss or gradient became infinite or NaN; the weights are those before that window.
        TypeError, ValueError
            tokens have another shape, are not integers or lie outside the vocabulary; the windows end after the
            tokens; learning_rates are not a vector of finite numbers.
        """
        tokens = check_tokens(tokens, self.streams)
        rates = arguments.array("learning_rates", learning_rates)
        if rates.ndim != 1:
            raise ValueError(
                f"learning_rates must be a vector, one entry for each window (np.full(windows, rate) for a constant "
                f"one); got shape {rates.shape}"
            )
        if rates.dtype.kind not in "fiu":
            raise TypeError(f"learning_rates must be numbers; got dtype {rates.dtype}")
        rates = np.ascontiguousarray(rates, np.float64)
        if not np.isfinite(rates).all() or (rates < 0).any():
            raise ValueError(f"learning_rates must be finite numbers of at least 0; got {learning_rates!r}")
        k1, k2 = self.window.k1, self.window.depth
        first = arguments.integer("first", first, 0)
        end = first + k1 * rates.size
        if end > tokens.shape[1] - 1:
            raise ValueError(f"tokens must hold first + windows * k1 + 1 = {end + 1} steps; got {tokens.shape[1]}")
        steps = steps_of(tokens, first, end + 1, self.model.vocabulary_size)
        losses, norms = np.full((2, rates.size), np.nan)
        mean = np.empty(0, self.model.dtype) if self.averaged is None else self.averaged
        average = step.Average(mean, self.decay)
        most = windows_between_checks(self._network, self.streams * k1, 3)
        for start in range(0, rates.size, most):
            part = slice(start, min(start + most, rates.size))
            try:
                position = step.Position(start * k1, k1, k2, self._older, self.steps)
                run(step.train_chunk, self._network, self._work, self._state, average, self._grad, steps, position,
                    rates[part], losses[part], norms[part],
                    threads=threads_for(self._network.stack, self.streams * k1))  # fmt: skip
            finally:
                # Ctrl-C comes out of `run`, too: the weights have moved, and that has to be counted.
                done = int((np.isfinite(losses[part]) & np.isfinite(norms[part])).sum())
                self._older = min(self._older + done * k1, k2 - k1)
                self.steps += done
            if done < part.stop - start:
                raise NonFiniteError(self._explain(losses[start + done], norms[start + done]))
        return Record(losses, norms)

    def _explain(self, loss: float, norm: float) -> str:
        """Where the first infinity or NaN of the window that failed stands."""
        where = "nowhere in the states"
        stop = self._older + self.window.k1
        bad = ~np.isfinite(self._work.tape.s[:, 1 : stop + 1]).all(axis=(2, 3))
        if bad.any():
            layer, t = min(np.argwhere(bad), key=lambda index: (index[1], index[0]))
            where = f"first in the state of layer {layer} at time index {t} of the window"
        elif not np.isfinite(loss):
            t = int(np.argmin(np.isfinite(self._work.losses[: self.window.k1 * self.streams]))) // self.streams
            where = f"first in the loss at time index {t} of the window (the layers' states are finite)"
        else:
            names = [name for name, view in views(self._grad, self.model.shapes).items() if not np.isfinite(view).all()]
            where = f"on the way back, in the gradient of {', '.join(names)}"
        return (
            f"step {self.steps + 1}: loss {loss}, gradient norm {norm}: not finite, {where}. The weights are those "
            f"before this step. Lower the learning rate, or set clip_norm"
        )
