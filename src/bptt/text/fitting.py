"""The training run of a character model: epochs in short compiled calls, the best weights kept."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from bptt import seeds
from bptt.errors import DivergedError
from bptt.text import corpus
from bptt.text.evaluating import static
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.text.recipe import FitConfig
from bptt.text.vocabulary import ByteVocabulary, Vocabulary
from bptt.training.loop import Loop

__all__ = ["Checkpoint", "TrainingRun", "count_unknown", "divide", "split_tokens"]

# Seconds after which the first epoch leaves a file, for a process that is killed before its first validation.
CHECKPOINT = 60.0
# Times the loss of the first window, or of guessing: beyond it a training has diverged.
DIVERGED = 2.0
# Share of validation characters that the training part lacks from which on a word is said.
MANY_UNKNOWN = 0.01
VALIDATION_STREAMS = 8

logger = logging.getLogger(__name__)


def split_tokens(
    text: str, symbols: str, validation_split: float
) -> tuple[Vocabulary | ByteVocabulary, NDArray[np.int32], NDArray[np.int32]]:
    """The vocabulary of a text, and the tokens of its training and its validation part.

    `symbols` is "characters" or "bytes". Of characters, those of the training part are known: one that only
    the validation part has, nobody could have learnt.
    """
    vocabulary = ByteVocabulary() if symbols == ByteVocabulary.kind else _characters(text, validation_split)
    return vocabulary, *corpus.split(vocabulary.encode(text, errors="unknown"), validation_split)


def _characters(text: str, validation_split: float) -> Vocabulary:
    return Vocabulary(corpus.split(text, validation_split)[0] or text)


def divide(
    text: str, symbols: str, recipe: FitConfig
) -> tuple[FitConfig, Vocabulary | ByteVocabulary, NDArray[np.int32], NDArray[np.int32]]:
    """The recipe for this length, and what `split_tokens` gives, both parts long enough for it.

    What is odd about the validation part is said in the log.

    Raises
    ------
    ValueError
        If there are too few characters for a window in each stream, or for a validation.
    """
    if not text:
        raise ValueError("text is empty; it must have characters to learn from")
    vocabulary, train, validation = split_tokens(text, symbols, recipe.validation_split)
    recipe = recipe.for_length(len(train))
    streams, k1 = recipe.streams, recipe.window[0]
    assert streams is not None
    if len(train) < streams * k1 + 1:
        raise ValueError(
            f"text is too short: it has {len(train)} characters for training, but {streams} streams of "
            f"one window of {k1} take {streams * k1 + 1}; choose fewer streams or a smaller window"
        )
    if recipe.validation_split > 0 and len(validation) < 2:
        raise ValueError(
            f"validation_split must leave at least 2 characters for validation, or be 0; "
            f"got {recipe.validation_split}, which leaves {len(validation)}"
        )
    if len(validation) and recipe.split == "tail" and corpus.has_sorted_lines(text):
        logger.warning(
            "the lines of the text are sorted, so that its tail, used for validation, differs from the rest: "
            "split='lines' (on the command line --split lines) shuffles them first"
        )
    unknown = count_unknown(vocabulary, validation)
    if unknown > MANY_UNKNOWN * len(validation):
        logger.warning(
            "%s of the %s characters for validation do not occur in the training part, so the validation loss "
            "means little; mix the text first, or choose another validation_split",
            f"{unknown:,}",
            f"{len(validation):,}",
        )
    return recipe, vocabulary, train, validation


def count_unknown(vocabulary: Vocabulary | ByteVocabulary, tokens: NDArray[np.int32]) -> int:
    """How many tokens stand for characters that the vocabulary lacks."""
    return 0 if vocabulary.unknown is None else int((tokens == vocabulary.unknown).sum())


@dataclass(frozen=True)
class Checkpoint:
    """The best weights so far."""

    epoch: int  # 0: a checkpoint of the first epoch, which nothing has validated
    nats: float  # on the validation part; NaN without one
    averaged: bool


class TrainingRun:
    """One run of training; `history` and `best` are up to date whenever it is interrupted.

    Each epoch begins its windows at another random offset, so that their borders fall elsewhere each time.

    Parameters
    ----------
    model, trainer
        The trainer updates the model's weights in place.
    recipe : FitConfig
    tokens : int32 (streams, N + 1)
        The training part, N at least one window.
    validation : int32 (M,)
        The validation part, or empty.
    seed : int
        Of the offsets.
    keep
        Called with each new `Checkpoint` and its flat weights, which it has to copy.
    checkpoint
        Called in the same way with weights that nothing has validated, now and then in the first epoch.
    report
        Called with each row of the history.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    ValueError
        If the recipe's schedule or warm-up does not fit the number of windows.
    """

    def __init__(
        self,
        model: SequenceModel,
        trainer: Trainer,
        recipe: FitConfig,
        tokens: NDArray[np.int32],
        validation: NDArray[np.int32],
        *,
        seed: int,
        keep: Callable[[Checkpoint, np.ndarray], None],
        checkpoint: Callable[[Checkpoint, np.ndarray], None],
        report: Callable[[dict[str, Any]], None],
        progress: bool,
    ) -> None:
        self.model, self.trainer, self.recipe = model, trainer, recipe
        self.tokens, self.validation = tokens, validation
        self.keep, self.checkpoint, self.report = keep, checkpoint, report
        self.history: list[dict[str, Any]] = []
        self.best: Checkpoint | None = None
        self.has_checkpoint = False
        self._limit = math.inf

        self.window, length = recipe.window[0], tokens.shape[1] - 1
        last = min(self.window - 1, length - self.window)
        self.offsets = seeds.generator(seed, "windows").integers(0, last, size=recipe.epochs, endpoint=True)
        self.windows = (length - self.offsets) // self.window
        self.rates = recipe.rates(int(self.windows.sum()))
        self._progress = progress

    def run(self) -> None:
        """Train to the end, until early stopping, or until an exception comes through.

        Raises
        ------
        DivergedError
            If every epoch left the model far worse than it began; nothing was kept.
        """
        self._compile()
        self._start = time.perf_counter()
        with tqdm(
            total=int(self.windows.sum()) * self._characters(1),
            unit="char",
            unit_scale=True,
            disable=not self._progress,
            dynamic_ncols=True,
            bar_format="{desc}{percentage:4.0f}%|{bar}|{elapsed}<{remaining} {rate_fmt}{postfix}",
        ) as self._bar:
            checks = self.windows.cumsum().tolist()
            Loop(
                self._advance, checks, self._validate, self._keep, validated=self._report, patience=self.recipe.patience
            ).run()
        if self.best is None:
            raise DivergedError(
                f"training diverged: the loss rose to {self.history[-1]['train_nats']:.4g} nats/char, guessing takes "
                f"{math.log(self.model.vocabulary_size):.4g}; lower learning_rate ({self.recipe.learning_rate:g})"
            )

    def _compile(self) -> None:
        """Let the kernels be compiled or loaded before any clock runs."""
        self.trainer.run(self.tokens, 0, np.empty(0))
        if len(self.validation):
            static(self.model, self.validation[:2])

    def left_behind(self, output: str | os.PathLike[str] | None, in_memory: bool = True) -> str:
        """What a run that was cut short leaves, in one line; `in_memory`: the best model, too."""
        where = "" if output is None else os.fspath(output)
        if self.best is None:
            left = "nothing was kept" if self.history else "stopped before the first validation: nothing was kept"
            return f"{left} but a checkpoint that was not validated, in {where}" if self.has_checkpoint else left
        if not where and not in_memory:
            return "nothing was kept: output=path keeps the best model so far"
        which = f"the best model so far (epoch {self.best.epoch}, {self.best.nats:.4f} nats/char)"
        if math.isnan(self.best.nats):
            which = "the last epoch's model"
        return f"stopped: {which} is kept {f'in {where}' if where else 'in memory: save(path) writes it'}"

    def _characters(self, windows: int) -> int:
        return windows * self.window * len(self.tokens)

    def _advance(self, windows: range) -> None:
        """Train on these windows of the run, all of one epoch."""
        epoch = len(self.history)
        first = int(self.windows[:epoch].sum())
        if windows.start == first:
            self.trainer.reset()
            self._bar.set_description_str(f"epoch {epoch + 1}/{len(self.windows)}")
            self._loss, self._norm = np.empty((2, self.windows[epoch]))
            self._began = self._saved = time.perf_counter()
        here = slice(windows.start - first, windows.stop - first)
        start = int(self.offsets[epoch]) + here.start * self.window
        record = self.trainer.run(self.tokens, start, self.rates[windows.start : windows.stop])
        self._loss[here], self._norm[here] = record.loss, record.norm
        self._trained = time.perf_counter() - self._began
        self._show(record.loss, record.norm)
        if math.isinf(self._limit):
            self._limit = DIVERGED * max(float(self._loss[0]), math.log(self.model.vocabulary_size))
        overdue = not self.history and time.perf_counter() - self._saved > CHECKPOINT
        if overdue and record.loss.mean() < self._limit:
            self.checkpoint(Checkpoint(0, math.nan, False), self.model.flat)
            self.has_checkpoint, self._saved = True, time.perf_counter()

    def _show(self, loss: np.ndarray, norm: np.ndarray) -> None:
        nats, norms = loss.mean(), norm.mean()
        figures = f"loss={nats:.3f} bits/char={nats / math.log(2):.3f} norm={norms:.2f}"
        self._bar.set_postfix_str(figures, refresh=False)
        self._bar.update(self._characters(len(loss)))

    def _scores(self) -> dict[str, Any]:
        """Nats per character of the weights and of their average; `validation_nats` is the better."""
        average = self.trainer.averaged
        if not len(self.validation):
            scores = {"validation_nats": math.nan}
            if average is not None:
                scores |= {"plain_nats": math.nan, "averaged_nats": math.nan}
        else:
            nats, count = static(self.model, self.validation, VALIDATION_STREAMS)
            scores = {"validation_nats": nats / count}
            if average is not None:
                smooth, _ = static(self.model, self.validation, VALIDATION_STREAMS, average)
                scores = {
                    "validation_nats": min(nats, smooth) / count,
                    "plain_nats": nats / count,
                    "averaged_nats": smooth / count,
                }
        return {**scores, "validation_bits": scores["validation_nats"] / math.log(2)}

    def _validate(self, windows: int) -> float | None:
        """Add the epoch to the history; nats per character on the validation part, None where it has diverged."""
        epoch, limit = len(self.history), self.recipe.clip_norm
        loss, norm, scores = self._loss, self._norm, self._scores()
        self.history.append(
            {
                "epoch": epoch + 1,
                "windows": len(loss),
                "characters": self._characters(len(loss)),
                "seconds": time.perf_counter() - self._start,
                "learning_rate": float(self.rates[windows - 1]),
                "train_nats": float(loss.mean()),
                **scores,
                "gradient_norm": float(norm.mean()),
                "gradient_norm_max": float(norm.max()),
                "clipped": 0.0 if limit is None else float((norm > limit).mean()),
                "chars_per_second": self._characters(len(loss)) / self._trained,
            }
        )
        nats: float = scores["validation_nats"]
        diverged = loss.mean() > self._limit or (len(self.validation) and not math.isfinite(nats))
        return None if diverged else nats

    def _keep(self, windows: int, nats: float) -> None:
        # Without a validation part nothing tells the two apart: the average is what was asked for.
        average = self.trainer.averaged
        averaged = average is not None and (math.isnan(nats) or self.history[-1]["averaged_nats"] == nats)
        best = Checkpoint(len(self.history), nats, averaged)
        self.keep(best, average if average is not None and averaged else self.model.flat)
        self.best = best

    def _report(self, windows: int, nats: float | None) -> None:
        row = self.history[-1]
        self.report(row)
        self.rates[windows:] *= self.recipe.observe(row["validation_nats"])
