"""How a character model is trained: the arguments of `CharLM.fit`, checked once and describable."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from bptt import arguments
from bptt.text import corpus
from bptt.training.optimizers import Optimizer, optimizer_from_name
from bptt.training.schedules import Schedule, schedule_from_name
from bptt.unroll.truncation import TBPTT

__all__ = ["FitConfig", "dropout_for"]

MOST_STREAMS = 32
SPLITS = ("tail", "lines")
# Characters of training below which a network quickly overfits the text.
SHORT = 100_000


def dropout_for(characters: int) -> float:
    """The default dropout for this number of training characters."""
    return 0.4 if characters < SHORT else 0.2


@dataclass(frozen=True)
class FitConfig:
    """Arguments of `CharLM.fit`; names are replaced by the objects they stand for.

    Raises
    ------
    ValueError, TypeError
        Naming the argument that is not among those accepted.
    """

    streams: int | None
    window: Any
    epochs: int
    optimizer: Any
    learning_rate: float
    schedule: Any
    warmup: int
    clip_norm: float | None
    clip_value: float | None
    weight_decay: float | None
    average: float | None
    validation_split: float
    split: str
    patience: int | None

    def __post_init__(self) -> None:
        if self.streams is not None:
            arguments.integer("streams", self.streams)
        arguments.integer("epochs", self.epochs)
        arguments.real("learning_rate", self.learning_rate, 0.0, open_ends="min")
        arguments.integer("warmup", self.warmup, 0)
        arguments.fraction("validation_split", self.validation_split)
        arguments.choice("split", self.split, SPLITS)
        if self.clip_norm is not None:
            arguments.real("clip_norm", self.clip_norm, 0.0, open_ends="min")
        if self.clip_value is not None:
            arguments.real("clip_value", self.clip_value, 0.0, open_ends="min")
        if self.average is not None:
            arguments.real("average", self.average, 0.0, 1.0, open_ends="minmax")
        if self.patience is not None:
            arguments.integer("patience", self.patience)
        truncation = TBPTT.from_argument(self.window)
        for name, value in (
            ("window", (truncation.k1, truncation.depth)),
            ("optimizer", self._optimizer()),
            ("schedule", self._schedule()),
        ):
            object.__setattr__(self, name, value)
        if self.validation_split == 0 and (self.patience is not None or self.observes):
            raise ValueError("validation_split must be above 0 for patience and for the schedule 'plateau'; got 0")

    def _optimizer(self) -> Optimizer:
        if isinstance(self.optimizer, Optimizer):
            if self.weight_decay is not None:
                raise ValueError(
                    "weight_decay must be None if optimizer is an object, which sets its own; "
                    f"got {self.weight_decay!r}"
                )
            return self.optimizer
        if self.weight_decay is None:
            return optimizer_from_name(self.optimizer)
        return optimizer_from_name(self.optimizer, weight_decay=self.weight_decay)

    def _schedule(self) -> Schedule:
        return self.schedule if callable(self.schedule) else schedule_from_name(self.schedule)

    def for_length(self, characters: int) -> FitConfig:
        """The recipe for this number of training characters: `streams` is chosen if it is None.

        Twice the streams give half the updates. Some 30 windows a stream make a text of 10,000 characters learn, a
        million have hundreds: the number of streams grows with the square root of the length, in powers of two.
        """
        if self.streams is not None:
            return self
        wanted = 2 ** round(math.log2(max(characters / 1000, 1)) / 2)
        room = max(1, (characters - 1) // self.window[0])
        return replace(self, streams=min(wanted, MOST_STREAMS, room), weight_decay=None)

    def arrange(self, text: str, seed: int) -> str:
        """The text in the order of which the tail is kept apart."""
        return corpus.shuffle_lines(text, seed) if self.split == "lines" else text

    @property
    def split_rule(self) -> str:
        """How the text is split, for reports."""
        return (
            "tail of the text for validation" if self.split == "tail" else "tail of the shuffled lines for validation"
        )

    @property
    def observes(self) -> bool:
        """Whether the schedule wants to hear of each validation loss."""
        return hasattr(self.schedule, "observe")

    def observe(self, nats: float) -> float:
        """The factor for all learning rates still to come."""
        return float(self.schedule.observe(nats)) if self.observes else 1.0

    def rates(self, steps: int) -> np.ndarray:
        """The learning rate of each step, float64 (steps,).

        Raises
        ------
        ValueError
            If the schedule returns something else, or `warmup` takes all the steps.
        """
        rates = np.array(self.schedule(self.learning_rate, steps, self.warmup), np.float64)
        if rates.shape != (steps,) or not np.isfinite(rates).all() or (rates < 0).any():
            raise ValueError(
                f"schedule must return {steps} finite rates of at least 0, one for each window of the run; "
                f"got shape {rates.shape}"
            )
        return rates

    def describe(self) -> dict[str, Any]:
        """The settings in types of JSON, for reports and files."""
        description = {field.name: getattr(self, field.name) for field in fields(self)}
        del description["weight_decay"]  # part of the optimizer by now
        description["optimizer"] = {"name": type(self.optimizer).__name__, **asdict(self.optimizer)}
        description["schedule"] = getattr(self.schedule, "__name__", None) or repr(self.schedule)
        return description
