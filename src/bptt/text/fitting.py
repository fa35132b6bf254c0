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
from bptt.network.sequence_model import SequenceModel
from bptt.text import corpus
from bptt.text.evaluating import static
from bptt.text.recipe import Recipe
from bptt.text.vocabulary import ByteVocabulary, Vocabulary
from bptt.training.pace import paced
from bptt.training.trainer import DivergedError, Trainer

__all__ = ["Best", "Fitting", "count_unknown", "divide", "split_tokens"]

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
    text: str, symbols: str, recipe: Recipe
) -> tuple[Recipe, Vocabulary | ByteVocabulary, NDArray[np.int32], NDArray[np.int32]]:
    """The recipe for this length, and what `split_tokens` gives, both parts long enough for it.

    What is odd about the validation part is said in the log.

    Raises
    ------
    ValueError
        If there are too few characters for a window in each stream, or for a validation.
    """
    if not text:
        raise ValueError("text is empty: there is nothing to learn from")
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
            f"validation_split must leave at least 2 characters to validate on, or be 0; "
            f"got {recipe.validation_split}, which leaves {len(validation)}"
        )
    if len(validation) and recipe.split == "tail" and corpus.has_sorted_lines(text):
        logger.warning(
            "the lines of the text are sorted, so that its tail, kept apart for validation, is unlike the rest: "
            "split='lines' (on the command line --split lines) shuffles them first"
        )
    unknown = count_unknown(vocabulary, validation)
    if unknown > MANY_UNKNOWN * len(validation):
        logger.warning(
            "%s of the %s characters for validation do not occur in the training part: the validation is of little "
            "use; mix the text first, or choose another validation_split",
            f"{unknown:,}",
            f"{len(validation):,}",
        )
    return recipe, vocabulary, train, validation


def count_unknown(vocabulary: Vocabulary | ByteVocabulary, tokens: NDArray[np.int32]) -> int:
    """How many tokens stand for characters that the vocabulary lacks."""
    return 0 if vocabulary.unknown is None else int((tokens == vocabulary.unknown).sum())


@dataclass(frozen=True)
class Best:
    """The best weights so far."""

    epoch: int  # 0: a checkpoint of the first epoch, which nothing has validated
    nats: float  # on the validation part; NaN without one
    averaged: bool


class Fitting:
    """One run of training; `history` and `best` are up to date whenever it is interrupted.

    Each epoch begins its windows at another random offset, so that their borders fall elsewhere each time.

    Parameters
    ----------
    model, trainer
        The trainer updates the model's weights in place.
    recipe : Recipe
    tokens : int32 (streams, N + 1)
        The training part, N at least one window.
    validation : int32 (M,)
        The validation part, or empty.
    seed : int
        Of the offsets.
    keep
        Called with each new `Best` and its flat weights, which it has to copy.
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
        recipe: Recipe,
        tokens: NDArray[np.int32],
        validation: NDArray[np.int32],
        *,
        seed: int,
        keep: Callable[[Best, np.ndarray], None],
        checkpoint: Callable[[Best, np.ndarray], None],
        report: Callable[[dict[str, Any]], None],
        progress: bool,
    ) -> None:
        self.model, self.trainer, self.recipe = model, trainer, recipe
        self.tokens, self.validation = tokens, validation
        self.keep, self.checkpoint, self.report = keep, checkpoint, report
        self.history: list[dict[str, Any]] = []
        self.best: Best | None = None
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
        start, step = time.perf_counter(), 0
        total = int(self.windows.sum()) * self._characters(1)
        with tqdm(
            total=total,
            unit="char",
            unit_scale=True,
            disable=not self._progress,
            dynamic_ncols=True,
            bar_format="{desc}{percentage:4.0f}%|{bar}|{elapsed}<{remaining} {rate_fmt}{postfix}",
        ) as bar:
            for epoch, windows in enumerate(self.windows.tolist(), 1):
                bar.set_description_str(f"epoch {epoch}/{len(self.windows)}")
                rates = self.rates[step : step + windows]
                began = time.perf_counter()
                loss, norm = self._epoch(int(self.offsets[epoch - 1]), rates, bar)
                trained = time.perf_counter() - began
                step += windows
                scores = self._validate()
                self._note(epoch, float(loss.mean()), scores)
                limit = self.recipe.clip_norm
                row = {
                    "epoch": epoch,
                    "windows": windows,
                    "characters": self._characters(windows),
                    "seconds": time.perf_counter() - start,
                    "learning_rate": float(rates[-1]),
                    "train_nats": float(loss.mean()),
                    **scores,
                    "gradient_norm": float(norm.mean()),
                    "gradient_norm_max": float(norm.max()),
                    "clipped": 0.0 if limit is None else float((norm > limit).mean()),
                    "chars_per_second": self._characters(windows) / trained,
                }
                self.history.append(row)
                self.report(row)
                self.rates[step:] *= self.recipe.observe(row["validation_nats"])
                if self._stop(epoch):
                    break
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

    def _epoch(self, offset: int, rates: np.ndarray, bar: tqdm) -> tuple[np.ndarray, np.ndarray]:
        """Loss and gradient norm of each window of one epoch."""
        self.trainer.reset()
        loss, norm = np.empty(len(rates)), np.empty(len(rates))
        saved = time.perf_counter()
        for windows in paced(len(rates)):
            now = slice(windows.start, windows.stop)
            record = self.trainer.run(self.tokens, offset + now.start * self.window, rates[now])
            loss[now], norm[now] = record.loss, record.norm
            self._show(bar, record.loss, record.norm)
            if math.isinf(self._limit):
                self._limit = DIVERGED * max(float(loss[0]), math.log(self.model.vocabulary_size))
            if not self.history and time.perf_counter() - saved > CHECKPOINT and record.loss.mean() < self._limit:
                self.checkpoint(Best(0, math.nan, False), self.model.flat)
                self.has_checkpoint, saved = True, time.perf_counter()
        return loss, norm

    def _show(self, bar: tqdm, loss: np.ndarray, norm: np.ndarray) -> None:
        nats, norms = loss.mean(), norm.mean()
        figures = f"loss={nats:.3f} bits/char={nats / math.log(2):.3f} norm={norms:.2f}"
        bar.set_postfix_str(figures, refresh=False)
        bar.update(self._characters(len(loss)))

    def _validate(self) -> dict[str, Any]:
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

    def _note(self, epoch: int, trained: float, scores: dict[str, Any]) -> None:
        """Keep the weights of this epoch where they are the best so far, and are of any use."""
        nats = scores["validation_nats"]
        if trained > self._limit or (len(self.validation) and not math.isfinite(nats)):
            return
        if self.best is not None and len(self.validation) and not nats < self.best.nats:
            return
        # Without a validation part nothing tells the two apart: the average is what was asked for.
        average = self.trainer.averaged
        averaged = average is not None and (math.isnan(nats) or scores["averaged_nats"] == nats)
        best = Best(epoch, nats, averaged)
        self.keep(best, average if average is not None and averaged else self.model.flat)
        self.best = best

    def _stop(self, epoch: int) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.best is not None and epoch - self.best.epoch >= patience
