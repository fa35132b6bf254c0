"""Recurrent networks with hand-derived backward passes, and back-propagation through time in compiled loops.

A name is imported when it is first used: Numba takes most of a second, which `bptt --help` does without.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to type checkers it is true; `typing` itself takes as long as all that `bptt.cli` needs
if TYPE_CHECKING:
    from typing import Any

    from bptt.network.criteria import huber_loss, l1_loss, mse_loss, pinball_loss
    from bptt.network.dense import Embedding, Linear, cross_entropy
    from bptt.network.layers import Gradients
    from bptt.network.recurrent import GRU, LSTM, RNN
    from bptt.numerics.threads import get_num_threads, set_num_threads
    from bptt.training.trainer import NonFiniteError
    from bptt.unroll.tape import Tape
    from bptt.unroll.windows import TBPTT

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TBPTT",
    "Embedding",
    "Gradients",
    "Linear",
    "NonFiniteError",
    "Tape",
    "cross_entropy",
    "get_num_threads",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "pinball_loss",
    "set_num_threads",
]

_MODULES = {
    "network.criteria": ("huber_loss", "l1_loss", "mse_loss", "pinball_loss"),
    "network.dense": ("Embedding", "Linear", "cross_entropy"),
    "network.layers": ("Gradients",),
    "network.recurrent": ("GRU", "LSTM", "RNN"),
    "numerics.threads": ("get_num_threads", "set_num_threads"),
    "training.trainer": ("NonFiniteError",),
    "unroll.tape": ("Tape",),
    "unroll.windows": ("TBPTT",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
