"""Recurrent networks with hand-derived backward passes, and back-propagation through time in compiled loops.

A name is imported when it is first used: Numba takes most of a second, which `bptt --help` does without.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to type checkers it is true; `typing` itself takes as long as all that `bptt.cli` needs
if TYPE_CHECKING:
    from typing import Any

    from bptt import forecast, losses, study, testing, text, training
    from bptt.errors import DivergedError, NonFiniteError, NotFittedError
    from bptt.losses import cross_entropy, huber_loss, l1_loss, mse_loss, pinball_loss
    from bptt.network.dense import Embedding, Linear
    from bptt.network.gradients import Gradients
    from bptt.network.plain_layers import Dropout, LastStep
    from bptt.network.recurrent import GRU, LSTM, RNN
    from bptt.network.sequential import Sequential
    from bptt.numerics.threads import get_num_threads, set_num_threads
    from bptt.training.fit import train
    from bptt.unroll.tape import Tape
    from bptt.unroll.truncation import TBPTT

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TBPTT",
    "DivergedError",
    "Dropout",
    "Embedding",
    "Gradients",
    "LastStep",
    "Linear",
    "NonFiniteError",
    "NotFittedError",
    "Sequential",
    "Tape",
    "cross_entropy",
    "forecast",
    "get_num_threads",
    "huber_loss",
    "l1_loss",
    "losses",
    "mse_loss",
    "pinball_loss",
    "set_num_threads",
    "study",
    "testing",
    "text",
    "train",
    "training",
]

_MODULES = {
    "errors": ("DivergedError", "NonFiniteError", "NotFittedError"),
    "losses": ("cross_entropy", "huber_loss", "l1_loss", "mse_loss", "pinball_loss"),
    "network.dense": ("Embedding", "Linear"),
    "network.gradients": ("Gradients",),
    "network.recurrent": ("GRU", "LSTM", "RNN"),
    "network.plain_layers": ("Dropout", "LastStep"),
    "network.sequential": ("Sequential",),
    "numerics.threads": ("get_num_threads", "set_num_threads"),
    "training.fit": ("train",),
    "unroll.tape": ("Tape",),
    "unroll.truncation": ("TBPTT",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
_SUBPACKAGES = ("forecast", "losses", "study", "testing", "text", "training")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
