"""The optimizers' settings; what the compiled update makes of them is tested with `bptt.numerics.updates`."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from bptt.numerics import updates
from bptt.training.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop, optimizer_from_name


@pytest.mark.parametrize(
    ("optimizer", "kind", "hyper"),
    [
        (SGD(momentum=0.9, weight_decay=0.1), updates.SGD, [0.9, 0.0, 0.0, 0.1]),
        (RMSprop(alpha=0.95, eps=1e-6, momentum=0.5, weight_decay=0.1), updates.RMSPROP, [0.5, 0.95, 1e-6, 0.1]),
        (Adam(beta1=0.8, beta2=0.99, eps=1e-7, weight_decay=0.1), updates.ADAM, [0.8, 0.99, 1e-7, 0.1]),
        (AdamW(beta1=0.8, beta2=0.99, eps=1e-7), updates.ADAMW, [0.8, 0.99, 1e-7, 0.01]),
    ],
)
def test_kind_and_numbers(optimizer: Optimizer, kind: int, hyper: list[float]) -> None:
    assert optimizer.rule == kind
    assert optimizer.coefficients.tolist() == hyper
    with pytest.raises(FrozenInstanceError):
        optimizer.weight_decay = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (SGD, "momentum", 1.0),
        (SGD, "momentum", -0.1),
        (SGD, "weight_decay", math.inf),
        (RMSprop, "alpha", 1.5),
        (RMSprop, "eps", -1e-8),
        (Adam, "beta1", 1.0),
        (Adam, "beta2", math.nan),
        (AdamW, "weight_decay", -0.1),
    ],
)
def test_a_setting_out_of_range_is_named(make: type[Optimizer], name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        make(**{name: value})


def test_a_setting_that_is_no_number_is_named() -> None:
    with pytest.raises(TypeError, match="beta1"):
        Adam(beta1="0.9")  # type: ignore[arg-type]


def test_from_name() -> None:
    assert optimizer_from_name("adamw", weight_decay=0.05) == AdamW(weight_decay=0.05)
    assert optimizer_from_name("rmsprop") == RMSprop()
    with pytest.raises(ValueError, match="'sgd', 'rmsprop', 'adam', 'adamw'; got 'lion'"):
        optimizer_from_name("lion")
    with pytest.raises(ValueError, match="momentum"):
        optimizer_from_name("adam", momentum=0.9)
