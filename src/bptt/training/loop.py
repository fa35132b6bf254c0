"""The training loop: steps, validations, the best weights, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from bptt.training.pace import paced

__all__ = ["Loop"]


class Loop:
    """Runs the steps of a training and validates after some of them.

    Text models, forecasters and users' own models are trained by it; each passes in what a step is and where weights
    are kept. An exception, Ctrl-C included, ends the loop; the weights kept until then remain.

    Parameters
    ----------
    advance : function (range)
        Runs these steps, counted from 0; each call takes a fraction of a second.
    checks : sequence of int
        Numbers of steps after which to validate, rising; the last one ends the training.
    validate : function (int) -> float or None
        The loss after the given number of steps: lower is better. NaN (nothing could be measured) counts as better than
        anything before.
        None: these weights are of no use.
    keep : function (int, float)
        Keeps the weights after the given number of steps, the best so far.
    validated : function (int, float or None), optional
        Called after each validation, when the weights are kept.
    patience : int, optional
        Stop after this many validations in a row without a better one, once there is a best one; default: never.
    parts : function (int) -> iterable of range, optional
        Divides a number of steps into calls of `advance`; default: by time, see `training.pace.paced`.

    Attributes
    ----------
    best : float or None
        The loss of the weights that were kept last.
    steps : int
        Steps done.
    """

    def __init__(
        self,
        advance: Callable[[range], None],
        checks: Sequence[int],
        validate: Callable[[int], float | None],
        keep: Callable[[int, float], None],
        *,
        validated: Callable[[int, float | None], None] | None = None,
        patience: int | None = None,
        parts: Callable[[int], Iterable[range]] = paced,
    ) -> None:
        self.advance, self.checks, self.validate, self.keep = advance, checks, validate, keep
        self.validated, self.patience, self.parts = validated, patience, parts
        self.best: float | None = None
        self.steps = 0

    def run(self) -> None:
        """Train to the last check, or until patience is used up."""
        waited = 0
        for check in self.checks:
            first = self.steps
            for part in self.parts(check - first):
                self.advance(range(first + part.start, first + part.stop))
                self.steps = first + part.stop
            loss = self.validate(check)
            if loss is not None and (self.best is None or math.isnan(loss) or loss < self.best):
                self.keep(check, loss)
                self.best, waited = loss, 0
            else:
                waited += 1
            if self.validated is not None:
                self.validated(check, loss)
            if self.patience is not None and self.best is not None and waited >= self.patience:
                break
