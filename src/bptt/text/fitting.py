"""The training run of a character model: epochs in short compiled calls, the best weights kept."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from bptt.network.sequence_model import SequenceModel
from bptt.text import corpus
from bptt.text.evaluating import static
from bptt.text.recipe import Recipe
from bptt.text.vocabulary import ByteVocabulary, Vocabulary
from bptt.training.trainer import Trainer

__all__ = ["Best", "Fitting", "divide", "split_tokens"]

# Seconds of one compiled call: how long the bar stands still and Ctrl-C is not heard.
INTERVAL = 0.1
VALIDATION_STREAMS = 8


def split_tokens(
    text: str, symbols: str, validation_split: float
) -> tuple[Vocabulary | ByteVocabulary, NDArray[np.int32], NDArray[np.int32]]:
    """The vocabulary of a text, and the tokens of its training and its validation part.

    `symbols` is "characters" or "bytes". Of characters, those of the training part are known: one that only
    the validation part has, nobody could have learnt.
    """
    if symbols == ByteVocabulary.kind:
        vocabulary = ByteVocabulary()
        return vocabulary, *corpus.split(vocabulary.encode(text), validation_split)
    first, rest = corpus.split(text, validation_split)
    known = Vocabulary(first or text)
    return known, known.encode(first), known.encode(rest, errors="unknown")


def divide(
    text: str, symbols: str, recipe: Recipe
) -> tuple[Vocabulary | ByteVocabulary, NDArray[np.int32], NDArray[np.int32]]:
    """What `split_tokens` gives, both parts long enough for the recipe.

    Raises
    ------
    ValueError
        If there are too few characters for a window in each stream, or for a validation.
    """
    if not text:
        raise ValueError("text is empty: there is nothing to learn from")
    vocabulary, train, validation = split_tokens(text, symbols, recipe.validation_split)
    streams, k1 = recipe.streams, recipe.window[0]
    if len(train) < streams * k1 + 1:
        raise ValueError(
            f"text is too short: it has {len(train)} characters for training, but {streams} streams of "
            f"one window of {k1} take {streams * k1 + 1}; choose fewer streams or a smaller window "
            "(a str that names no existing file is the text itself)"
        )
    if recipe.validation_split > 0 and len(validation) < 2:
        raise ValueError(
            f"validation_split must leave at least 2 characters to validate on, or be 0; "
            f"got {recipe.validation_split}, which leaves {len(validation)}"
        )
    return vocabulary, train, validation


@dataclass(frozen=True)
class Best:
    """Which weights a run has to show so far."""

    epoch: int  # 0: kept before the first validation
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
        report: Callable[[dict[str, Any]], None],
        progress: bool,
    ) -> None:
        self.model, self.trainer, self.recipe = model, trainer, recipe
        self.tokens, self.validation = tokens, validation
        self.keep, self.report = keep, report
        self.history: list[dict[str, Any]] = []
        self.best: Best | None = None

        self.window, length = recipe.window[0], tokens.shape[1] - 1
        last = min(self.window - 1, length - self.window)
        self.offsets = np.random.default_rng(seed).integers(0, last, size=recipe.epochs, endpoint=True)
        self.windows = (length - self.offsets) // self.window
        self.rates = recipe.rates(int(self.windows.sum()))
        self._chunk = 1
        self._progress = progress

    def run(self) -> None:
        """Train to the end, until patience is lost, or until an exception comes through."""
        start, step = time.perf_counter(), 0
        total = int(self.windows.sum()) * self._characters(1)
        with tqdm(total=total, unit="char", unit_scale=True, disable=not self._progress, dynamic_ncols=True) as bar:
            for epoch, windows in enumerate(self.windows.tolist(), 1):
                bar.set_description_str(f"epoch {epoch}/{len(self.windows)}")
                rates = self.rates[step : step + windows]
                began = time.perf_counter()
                loss, norm = self._epoch(int(self.offsets[epoch - 1]), rates, bar)
                trained = time.perf_counter() - began
                step += windows
                scores = self._validate()
                self._note(epoch, scores)
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

    def keep_current(self) -> None:
        """Take the weights as they stand for the best: where a run ends before anything was validated."""
        self.best = Best(0, math.nan, False)
        self.keep(self.best, self.model.flat)

    def left_behind(self, output: str | os.PathLike[str] | None) -> str:
        """What a run that was cut short leaves, in one line."""
        if self.best is None:
            return "stopped before there was a model to keep"
        which = f"the best model so far (epoch {self.best.epoch}, {self.best.nats:.4f} nats/char)"
        if math.isnan(self.best.nats):
            which = "the model as it stands (not validated)" if self.best.epoch == 0 else "the last epoch's model"
        place = "in memory: save(path) writes it" if output is None else f"in {os.fspath(output)}"
        return f"stopped: {which} is kept {place}"

    def _characters(self, windows: int) -> int:
        return windows * self.window * len(self.tokens)

    def _epoch(self, offset: int, rates: np.ndarray, bar: tqdm) -> tuple[np.ndarray, np.ndarray]:
        """Loss and gradient norm of each window of one epoch."""
        self.trainer.reset()
        loss, norm = np.empty(len(rates)), np.empty(len(rates))
        done = 0
        while done < len(rates):
            now = slice(done, min(done + self._chunk, len(rates)))
            first_call = self.trainer.steps == 0
            began = time.perf_counter()
            record = self.trainer.run(self.tokens, offset + done * self.window, rates[now])
            elapsed = time.perf_counter() - began
            loss[now], norm[now] = record.loss, record.norm
            self._show(bar, loss[now], norm[now])
            done = now.stop
            if not first_call:  # that one may have compiled, and tells nothing of the speed
                self._chunk = max(1, min(4 * self._chunk, int(len(record.loss) * INTERVAL / elapsed)))
        return loss, norm

    def _show(self, bar: tqdm, loss: np.ndarray, norm: np.ndarray) -> None:
        figures = {
            "loss": f"{loss.mean():.3f}",
            "bits/char": f"{loss.mean() / math.log(2):.3f}",
            "norm": f"{norm.mean():.2f}",
        }
        if self.best is not None and not math.isnan(self.best.nats):
            figures["best"] = f"{self.best.nats:.4f}"
        bar.set_postfix(figures, refresh=False)
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

    def _note(self, epoch: int, scores: dict[str, Any]) -> None:
        nats = scores["validation_nats"]
        if self.best is not None and len(self.validation) and not nats < self.best.nats:
            return
        # Without a validation part nothing tells the two apart: the average is what was asked for.
        average = self.trainer.averaged
        averaged = average is not None and (math.isnan(nats) or scores["averaged_nats"] == nats)
        self.best = Best(epoch, nats, averaged)
        self.keep(self.best, average if average is not None and averaged else self.model.flat)

    def _stop(self, epoch: int) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.best is not None and epoch - self.best.epoch >= patience
