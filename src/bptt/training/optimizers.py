"""The optimizers, as the data the compiled update needs: which rule, and its four numbers.

An optimizer here holds settings and no state: the moments live in the trainer, next to the weights, in flat
vectors of the same layout. The rules themselves (PyTorch's) stand in `bptt.numerics.updates`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bptt import arguments
from bptt.numerics import updates

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "optimizer_from_name"]


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum (Polyak, 1964) where asked for.

        m <- momentum m + g        theta <- theta - learning_rate m

    Parameters
    ----------
    momentum : float
        In [0, 1).
    weight_decay : float
        Added to the gradient as `weight_decay * theta`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or no number.

    Examples
    --------
    >>> SGD(momentum=0.9).hyper.tolist()
    [0.9, 0.0, 0.0, 0.0]
    """

    momentum: float = 0.0
    weight_decay: float = 0.0

    kind: ClassVar[int] = updates.SGD

    def __post_init__(self) -> None:
        arguments.fraction("momentum", self.momentum)
        arguments.real("weight_decay", self.weight_decay, 0.0)

    @property
    def hyper(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update: momentum, (unused), (unused), weight_decay."""
        return np.array([self.momentum, 0.0, 0.0, self.weight_decay], np.float64)


@dataclass(frozen=True)
class RMSprop:
    """Steps divided by a running root mean square of the gradient (Tieleman & Hinton, 2012).

        v <- alpha v + (1 - alpha) g^2        theta <- theta - learning_rate g / (sqrt v + eps)

    With momentum, the quotient is accumulated first: m <- momentum m + g / (sqrt v + eps).

    Parameters
    ----------
    alpha, momentum : float
        In [0, 1).
    eps : float
        At least 0.
    weight_decay : float
        Added to the gradient as `weight_decay * theta`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or no number.

    Examples
    --------
    >>> RMSprop(alpha=0.95).hyper.tolist()
    [0.0, 0.95, 1e-08, 0.0]
    """

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    kind: ClassVar[int] = updates.RMSPROP

    def __post_init__(self) -> None:
        arguments.fraction("alpha", self.alpha)
        arguments.real("eps", self.eps, 0.0)
        arguments.fraction("momentum", self.momentum)
        arguments.real("weight_decay", self.weight_decay, 0.0)

    @property
    def hyper(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update: momentum, alpha, eps, weight_decay."""
        return np.array([self.momentum, self.alpha, self.eps, self.weight_decay], np.float64)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba, 2015), with bias correction; weight decay, if any, is part of the gradient.

        m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
        theta <- theta - learning_rate (m / (1 - beta1^n)) / (sqrt(v / (1 - beta2^n)) + eps)

    Parameters
    ----------
    beta1, beta2 : float
        In [0, 1).
    eps : float
        At least 0.
    weight_decay : float
        Added to the gradient as `weight_decay * theta`. `AdamW` keeps it out of the moments.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or no number.

    Examples
    --------
    >>> Adam(beta2=0.99).hyper.tolist()
    [0.9, 0.99, 1e-08, 0.0]
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    kind: ClassVar[int] = updates.ADAM

    def __post_init__(self) -> None:
        arguments.fraction("beta1", self.beta1)
        arguments.fraction("beta2", self.beta2)
        arguments.real("eps", self.eps, 0.0)
        arguments.real("weight_decay", self.weight_decay, 0.0)

    @property
    def hyper(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update: beta1, beta2, eps, weight_decay."""
        return np.array([self.beta1, self.beta2, self.eps, self.weight_decay], np.float64)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter, 2019).

    Before Adam's own step: theta <- theta - learning_rate weight_decay theta.

    Parameters
    ----------
    beta1, beta2 : float
        In [0, 1).
    eps : float
        At least 0.
    weight_decay : float
        Share of the weights taken away per step, in units of the learning rate.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or no number.

    Examples
    --------
    >>> AdamW(weight_decay=0.05).hyper.tolist()
    [0.9, 0.999, 1e-08, 0.05]
    """

    weight_decay: float = 0.01

    kind: ClassVar[int] = updates.ADAMW


Optimizer = SGD | RMSprop | Adam | AdamW

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def optimizer_from_name(name: str, **overrides: Any) -> Optimizer:
    """Make an optimizer from its name.

    Parameters
    ----------
    name : str
        "sgd", "rmsprop", "adam" or "adamw".
    **overrides
        Settings that differ from the optimizer's defaults.

    Returns
    -------
    SGD, RMSprop, Adam or AdamW

    Raises
    ------
    ValueError
        If there is no optimizer of that name, or it has no such setting.

    Examples
    --------
    >>> optimizer_from_name("sgd", momentum=0.9)
    SGD(momentum=0.9, weight_decay=0.0)
    """
    arguments.choice("optimizer", name, tuple(OPTIMIZERS))
    known = [field.name for field in fields(OPTIMIZERS[name])]
    for override in overrides:
        if override not in known:
            raise ValueError(f"optimizer {name!r} has the settings {', '.join(known)}; got {override!r}")
    return OPTIMIZERS[name](**overrides)
