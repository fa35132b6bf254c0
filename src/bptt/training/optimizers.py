"""The optimizers: which rule, its four numbers, and steps on a model.

The update rules themselves (PyTorch's) are in `bptt.numerics.updates`.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bptt import arguments
from bptt.network.gradients import Gradients
from bptt.network.module import Module
from bptt.numerics import updates
from bptt.numerics.threads import run

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "optimizer_from_name", "state_of"]


class Rule:
    """What the optimizers share: a step on the parameters of a model, and the moments of each model."""

    rule: ClassVar[int]

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update."""
        raise NotImplementedError

    def step(self, model: Module, gradients: Gradients, learning_rate: float) -> None:
        """Update the parameters of a model in place.

        This object keeps the moments of each model; a copy of it starts without them.

        Parameters
        ----------
        model : LSTM, GRU, RNN, Linear, Embedding or Sequential
        gradients : Gradients
            From the `backward` of this model. They are overwritten: weight decay and RMSprop write into them.
        learning_rate : float
            Positive and finite.

        Raises
        ------
        TypeError, ValueError
            gradients belong to another model; learning_rate is not a positive number.

        Examples
        --------
        >>> import bptt, numpy as np
        >>> model, adam = bptt.Linear(3, 1, seed=0), Adam()
        >>> y, tape = model.forward(np.ones((8, 3), "float32"))
        >>> loss, dy = bptt.mse_loss(y, np.zeros_like(y))
        >>> adam.step(model, model.backward(dy, tape), learning_rate=0.01)
        >>> bool(bptt.mse_loss(model(np.ones((8, 3), "float32")), np.zeros_like(y))[0] < loss)
        True
        """
        if not isinstance(model, Module):
            raise TypeError(f"model must be a layer or a Sequential; got {type(model).__name__}")
        rate = arguments.real("learning_rate", learning_rate, 0.0, open_ends="min")
        flat = flat_of(gradients)
        if flat.shape != model.flat.shape or flat.dtype != model.dtype:
            raise ValueError(
                f"gradients must be those of the model, {model.flat.size} numbers in {model.dtype}; got {flat.size} in "
                f"{flat.dtype}"
            )
        states: weakref.WeakKeyDictionary[Module, list[Any]] = self.__dict__.setdefault(
            "_states", weakref.WeakKeyDictionary()
        )
        if model not in states:
            states[model] = [state_of(self, model.flat), 0]  # type: ignore[arg-type]
        states[model][1] += 1
        run(updates.update, states[model][0], model.flat, flat, states[model][1], rate, threads=1)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_states"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def flat_of(gradients: Any) -> np.ndarray:
    """The vector of `Gradients`, as compiled code may write into it."""
    if not isinstance(gradients, Gradients):
        raise TypeError(f"gradients must be the Gradients that backward returned; got {type(gradients).__name__}")
    flat = gradients.flat
    if flat.ndim != 1 or flat.dtype not in (np.float32, np.float64) or not flat.flags.carray:
        raise ValueError(f"gradients.flat must be a contiguous vector of floats; got {flat.dtype} {flat.shape}")
    return flat


def clip_grad_norm(gradients: Gradients, max_norm: float) -> float:
    """Scale gradients down, in place, to a norm of at most `max_norm` (Pascanu, Mikolov & Bengio 2013).

    Parameters
    ----------
    gradients : Gradients
        From a `backward`; `flat` and `parameters` are the same memory.
    max_norm : float
        Positive and finite.

    Returns
    -------
    float
        The norm before scaling.

    Raises
    ------
    TypeError, ValueError
        gradients are not Gradients; max_norm is not a positive number.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> model = bptt.Linear(3, 1, bias=False)
    >>> y, tape = model.forward(np.full((1, 3), 2, "float32"))
    >>> g = model.backward(np.ones_like(y), tape)
    >>> round(clip_grad_norm(g, 1.0), 3), round(float(np.linalg.norm(g.parameters["weight"])), 3)
    (3.464, 1.0)
    """
    flat, limit = flat_of(gradients), arguments.real("max_norm", max_norm, 0.0, open_ends="min")
    return float(run(updates.clip_norm, flat, limit, np.empty(updates.blocks(flat.size)), threads=1))


@dataclass(frozen=True, kw_only=True)
class SGD(Rule):
    """Gradient descent, optionally with momentum (Polyak, 1964).

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
        An argument is not a number or is out of its range.

    Examples
    --------
    >>> SGD(momentum=0.9).coefficients.tolist()
    [0.9, 0.0, 0.0, 0.0]
    """

    momentum: float = 0.0
    weight_decay: float = 0.0

    rule: ClassVar[int] = updates.SGD

    def __post_init__(self) -> None:
        arguments.fraction("momentum", self.momentum)
        arguments.real("weight_decay", self.weight_decay, 0.0)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update: momentum, (unused), (unused), weight_decay."""
        return np.array([self.momentum, 0.0, 0.0, self.weight_decay], np.float64)


@dataclass(frozen=True, kw_only=True)
class RMSprop(Rule):
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
        An argument is not a number or is out of its range.

    Examples
    --------
    >>> RMSprop(alpha=0.95).coefficients.tolist()
    [0.0, 0.95, 1e-08, 0.0]
    """

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    rule: ClassVar[int] = updates.RMSPROP

    def __post_init__(self) -> None:
        arguments.fraction("alpha", self.alpha)
        arguments.real("eps", self.eps, 0.0)
        arguments.fraction("momentum", self.momentum)
        arguments.real("weight_decay", self.weight_decay, 0.0)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update: momentum, alpha, eps, weight_decay."""
        return np.array([self.momentum, self.alpha, self.eps, self.weight_decay], np.float64)


@dataclass(frozen=True, kw_only=True)
class Adam(Rule):
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
        An argument is not a number or is out of its range.

    Examples
    --------
    >>> Adam(beta2=0.99).coefficients.tolist()
    [0.9, 0.99, 1e-08, 0.0]
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    rule: ClassVar[int] = updates.ADAM

    def __post_init__(self) -> None:
        arguments.fraction("beta1", self.beta1)
        arguments.fraction("beta2", self.beta2)
        arguments.real("eps", self.eps, 0.0)
        arguments.real("weight_decay", self.weight_decay, 0.0)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """The four numbers of the compiled update: beta1, beta2, eps, weight_decay."""
        return np.array([self.beta1, self.beta2, self.eps, self.weight_decay], np.float64)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with weight decay decoupled from the gradient (Loshchilov & Hutter, 2019).

    Before Adam's own step: theta <- theta - learning_rate weight_decay theta.

    Parameters
    ----------
    beta1, beta2 : float
        In [0, 1).
    eps : float
        At least 0.
    weight_decay : float
        Fraction of the weights subtracted at each step, as a multiple of the learning rate. Default 0.01.

    Raises
    ------
    ValueError, TypeError
        An argument is not a number or is out of its range.

    Examples
    --------
    >>> AdamW(weight_decay=0.05).coefficients.tolist()
    [0.9, 0.999, 1e-08, 0.05]
    """

    weight_decay: float = 0.01

    rule: ClassVar[int] = updates.ADAMW


Optimizer = SGD | RMSprop | Adam | AdamW

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def state_of(
    optimizer: Optimizer, theta: np.ndarray, *, limit_norm: float = 0.0, limit_value: float = 0.0
) -> updates.Optimizer:
    """The optimizer for compiled code, at the start of a training of these parameters."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    partial = np.empty(updates.blocks(theta.size))
    return updates.Optimizer(optimizer.rule, optimizer.coefficients, m, v, partial, limit_norm, limit_value)


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
        If no optimizer has that name, or it lacks such a setting.

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
