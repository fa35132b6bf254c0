"""Optimizers, schedules, and the training of a user's own model."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bptt.training.fit import train
    from bptt.training.optimizers import SGD, Adam, AdamW, RMSprop, clip_grad_norm
    from bptt.training.plotting import plot_history
    from bptt.training.schedules import ReduceOnPlateau, constant, cosine

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "ReduceOnPlateau",
    "clip_grad_norm",
    "constant",
    "cosine",
    "plot_history",
    "train",
]

_MODULE_OF = {
    "train": "fit",
    "plot_history": "plotting",
    **dict.fromkeys(("SGD", "Adam", "AdamW", "RMSprop", "clip_grad_norm"), "optimizers"),
    **dict.fromkeys(("ReduceOnPlateau", "constant", "cosine"), "schedules"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
