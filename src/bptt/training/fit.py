"""Training of a user's own model: any layers, any batches, any loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from bptt import arguments
from bptt.errors import NonFiniteError
from bptt.network.module import Module
from bptt.training.loop import Loop
from bptt.training.optimizers import Optimizer, Rule, clip_grad_norm, optimizer_from_name
from bptt.training.schedules import Schedule, schedule_from_name

__all__ = ["train"]

Batch = tuple[Any, Any] | tuple[Any, Any, dict[str, Any]]
Loss = Callable[[np.ndarray, Any], tuple[float, np.ndarray]]


@arguments.known_keywords
def train(
    model: Module,
    batches: Sequence[Batch] | Callable[[int], Sequence[Batch]],
    loss: Loss,
    *,
    epochs: int = 10,
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] | Optimizer = "adam",
    learning_rate: float = 1e-3,
    schedule: Literal["constant", "cosine", "plateau"] | Schedule = "constant",
    warmup: int = 0,
    clip_norm: float | None = None,
    carry_state: bool = False,
    validation: Sequence[Batch] | None = None,
    patience: int | None = None,
    progress: bool = True,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> pd.DataFrame:
    """Train a model on batches: sequence classification, regression at every step, language models alike.

    At the end the model has the parameters with the best validation loss; without `validation`, those of the last
    epoch. It is trained in training mode and validated in evaluation mode, and ends in the mode it had before.

    Parameters
    ----------
    model : Sequential, LSTM, GRU, RNN, Linear or Embedding
        Its parameters are updated in place.
    batches : sequence of (x, target) or (x, target, options), or function (epoch) -> such a sequence
        options is a dict of keyword arguments of `model.forward`, such as {"lengths": lengths}. A function is called
        with the number of the epoch, from 0; each epoch must have as many batches as the first.
    loss : function (y, target) -> (value, dy)
        Such as `bptt.mse_loss`, `bptt.cross_entropy`, or one of your own: dy is the derivative of value by y.
    epochs : int
        Passes over the batches; at least 1, default 10.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or an optimizer
        Default "adam".
    learning_rate : float
        Positive. Default 1e-3.
    schedule : {"constant", "cosine", "plateau"} or function
        See `bptt.training.schedules`. Default "constant".
    warmup : int
        Steps over which the learning rate rises to its value. Default 0.
    clip_norm : float, optional
        Limit of the gradient's norm in each step; default: none.
    carry_state : bool
        Whether a batch starts from the final state of the batch before it, within an epoch: truncated
        back-propagation through time over long sequences (Williams & Peng 1990). Default False: zeros.
    validation : sequence of batches, optional
        Scored after each epoch by the mean of the batches' losses; default: no validation.
    patience : int, optional
        Stop after this many epochs in a row without a better validation; default: never.
    progress : bool
        Whether to show a bar. Default True.
    callback : function (dict), optional
        Called with each row of the history.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch, train_loss, validation_loss (with `validation`), learning_rate, gradient_norm,
        seconds. `bptt.training.plot_history` draws it.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or is outside its range, or a batch does not fit the model.
    NonFiniteError
        A loss or a gradient became infinite or NaN; the parameters are those before that step.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> x = np.random.default_rng(0).uniform(-1, 1, (20, 64, 1)).astype("float32")
    >>> model = bptt.Sequential(bptt.GRU(1, 8, seed=0), bptt.LastStep(), bptt.Linear(8, 1, seed=1))
    >>> history = bptt.train(
    ...     model, [(x, x.mean(0))], bptt.mse_loss, epochs=50, learning_rate=0.02, progress=False
    ... )
    >>> bool(history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] / 10)
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a layer or a Sequential; got {type(model).__name__}")
    if not callable(loss):
        raise TypeError(f"loss must be a function (y, target) -> (value, dy), such as bptt.mse_loss; got {loss!r}")
    epochs = arguments.integer("epochs", epochs)
    rule = optimizer_from_name(optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(rule, Rule):
        raise TypeError(f"optimizer must be a name, or an SGD, RMSprop, Adam or AdamW; got {optimizer!r}")
    limit = None if clip_norm is None else arguments.real("clip_norm", clip_norm, 0.0, open_ends="min")
    carry_state = arguments.boolean("carry_state", carry_state)
    patience = None if patience is None else arguments.integer("patience", patience)
    arguments.boolean("progress", progress)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None; got {callback!r}")
    run = _Run(model, batches, loss, rule, limit, carry_state, validation)
    made = schedule_from_name(schedule) if isinstance(schedule, str) else schedule
    if not callable(made):
        raise TypeError(f"schedule must be a name or a function; got {schedule!r}")
    run.rates = made(learning_rate, epochs * run.count, warmup)
    history: list[dict[str, Any]] = []

    def validated(steps: int, value: float | None) -> None:
        history.append(run.row(len(history), steps, value))
        if callback is not None:
            callback(history[-1])
        if hasattr(made, "observe"):
            run.rates[steps:] *= made.observe(history[-1].get("validation_loss", history[-1]["train_loss"]))

    training = getattr(model, "training", False)
    checks = [run.count * (epoch + 1) for epoch in range(epochs)]
    with tqdm(total=checks[-1], unit="batch", disable=not progress, dynamic_ncols=True) as run.bar:
        loop = Loop(run.advance, checks, run.validate, run.keep, validated=validated, patience=patience)
        try:
            loop.run()
        finally:
            _set_training(model, training)
            if run.best is not None:
                model.flat = run.best
    return pd.DataFrame(history)


def _set_training(model: Module, value: bool) -> None:
    if hasattr(model, "training"):
        model.training = value


class _Run:
    """The steps of one call of `train`."""

    rates: np.ndarray
    bar: tqdm

    def __init__(
        self,
        model: Module,
        batches: Any,
        loss: Loss,
        optimizer: Rule,
        limit: float | None,
        carry_state: bool,
        validation: Any,
    ) -> None:
        self.model, self.loss, self.optimizer, self.limit = model, loss, optimizer, limit
        self.carry_state, self.batches = carry_state, batches
        self.now = self._sequence("batches", batches(0) if callable(batches) else batches)
        self.count = len(self.now)
        self.validation = None if validation is None else self._sequence("validation", validation)
        self.best: np.ndarray | None = None
        self.state: Any = None
        self.start = time.perf_counter()
        self.losses: list[float] = []
        self.norms: list[float] = []

    def _sequence(self, name: str, batches: Any) -> Sequence[Batch]:
        if not isinstance(batches, Sequence) or isinstance(batches, str) or not batches:
            raise TypeError(f"{name} must be a sequence of (x, target) or (x, target, options); got {batches!r:.80}")
        for k, batch in enumerate(batches):
            right = (
                isinstance(batch, tuple) and len(batch) in (2, 3) and (len(batch) == 2 or isinstance(batch[2], dict))
            )
            if not right:
                raise TypeError(f"{name}[{k}] must be (x, target) or (x, target, dict of options); got {batch!r:.80}")
        return batches

    def advance(self, steps: range) -> None:
        for step in steps:
            epoch, k = divmod(step, self.count)
            if k == 0:
                self._begin(epoch)
            loss, norm = self._step(step, self.now[k])
            self.losses.append(loss)
            self.norms.append(norm)
            self.bar.set_postfix_str(f"loss={loss:.4g}", refresh=False)
            self.bar.update()

    def _begin(self, epoch: int) -> None:
        self.state, self.losses, self.norms = None, [], []
        _set_training(self.model, True)
        if callable(self.batches) and epoch > 0:
            self.now = self._sequence("batches", self.batches(epoch))
            if len(self.now) != self.count:
                raise ValueError(
                    f"batches must have the same number in each epoch as in the first, {self.count}; got "
                    f"{len(self.now)} in epoch {epoch}"
                )

    def _step(self, step: int, batch: Batch) -> tuple[float, float]:
        x, target, options = self._parts(batch)
        if self.carry_state and self.state is not None:
            options = {"state": self.state, **options}
        y, *state, tape = self.model.forward(x, **options)  # type: ignore[attr-defined]
        self.state = state[0] if state else None
        loss, dy = self._scored(y, target)
        gradients = self.model.backward(dy, tape)  # type: ignore[attr-defined]
        norm = clip_grad_norm(gradients, np.finfo(np.float64).max if self.limit is None else self.limit)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise NonFiniteError(
                f"step {step + 1}: loss {loss}, gradient norm {norm}: not finite. The parameters are those before this "
                f"step. Lower the learning rate, or set clip_norm"
            )
        self.optimizer.step(self.model, gradients, float(self.rates[step]))
        return loss, norm

    @staticmethod
    def _parts(batch: Batch) -> tuple[Any, Any, dict[str, Any]]:
        return (*batch, {}) if len(batch) == 2 else batch

    def _scored(self, y: np.ndarray, target: Any) -> tuple[float, np.ndarray]:
        found = self.loss(y, target)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(f"loss must return (value, dy); got {type(found).__name__}")
        return float(found[0]), found[1]

    def validate(self, steps: int) -> float | None:
        if self.validation is None:
            return None
        _set_training(self.model, False)
        losses = []
        for batch in self.validation:
            x, target, options = self._parts(batch)
            y = self.model(x, **options)  # type: ignore[operator]
            losses.append(self._scored(y[0] if isinstance(y, tuple) else y, target)[0])
        return float(np.mean(losses)) if np.isfinite(losses).all() else np.inf

    def keep(self, steps: int, loss: float) -> None:
        self.best = self.model.flat.copy()

    def row(self, epoch: int, steps: int, value: float | None) -> dict[str, Any]:
        validated = {} if self.validation is None else {"validation_loss": value}
        return {
            "epoch": epoch + 1,
            "train_loss": float(np.mean(self.losses)),
            **validated,
            "learning_rate": float(self.rates[steps - 1]),
            "gradient_norm": float(np.mean(self.norms)),
            "seconds": time.perf_counter() - self.start,
        }
