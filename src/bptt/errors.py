"""Errors of the library's own."""

__all__ = ["DivergedError", "NonFiniteError", "NotFittedError"]


class NonFiniteError(ArithmeticError):
    """A loss or a gradient became infinite or NaN; the message names the step, layer and time index."""


class DivergedError(ArithmeticError):
    """Every epoch of a training ended with a loss far above that of its beginning."""


class NotFittedError(ValueError):
    """A model was used before `fit`."""
