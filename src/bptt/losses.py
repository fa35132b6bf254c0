"""Losses and their gradients: weighted means over all values that a mask leaves in, and softmax cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bptt import arguments
from bptt.network import loss_kernels

__all__ = ["cross_entropy", "huber_loss", "l1_loss", "mse_loss", "pinball_loss"]


def l1_loss(y_hat: Any, y: Any, *, mask: Any = None, weight: Any = None) -> tuple[float, np.ndarray]:
    """Mean absolute error, sum(weight |y_hat - y|) / sum(weight) over what is counted, and its derivative by y_hat.

    Parameters
    ----------
    y_hat : float array (...)
        Forecasts; finite, float32 or float64, of at least one dimension.
    y : float array (...)
        Observed values, of y_hat's shape and dtype; finite where they are not ignored.
    mask : bool array (...), optional
        Of y's shape; False entries are ignored, and y may hold anything there, NaN included. Default: none is ignored.
    weight : real numbers, optional
        At least 0 and finite, of any shape that broadcasts to y's. Default: 1.

    Returns
    -------
    loss : float
    dy_hat : array like y_hat
        0 where nothing is counted, and where y_hat = y.

    Raises
    ------
    TypeError, ValueError
        An array has another shape or dtype or is not finite; a weight is negative; nothing is left to count.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> bptt.l1_loss(np.array([1.0, 2.0, 3.0]), np.array([1.5, np.nan, 1.0]), mask=np.array([True, False, True]))
    (1.25, array([-0.5,  0. ,  0.5]))
    """
    return _of_equal_shapes(loss_kernels.MAE, 0.0, y_hat, y, mask, weight)


def mse_loss(y_hat: Any, y: Any, *, mask: Any = None, weight: Any = None) -> tuple[float, np.ndarray]:
    """Mean squared error, sum(weight (y_hat - y)^2) / sum(weight), and its derivative by y_hat.

    Arguments, results and errors are those of `l1_loss`.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> bptt.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
    (0.5, array([1., 0.]))
    """
    return _of_equal_shapes(loss_kernels.MSE, 0.0, y_hat, y, mask, weight)


def huber_loss(
    y_hat: Any, y: Any, *, mask: Any = None, weight: Any = None, delta: float = 1.0
) -> tuple[float, np.ndarray]:
    """Half the squared error up to an error of delta, linear beyond (Huber 1964), and its derivative by y_hat.

    Arguments, results and errors are those of `l1_loss`; delta is finite and above 0.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> bptt.huber_loss(np.array([1.0, 5.0]), np.array([0.0, 2.0]), delta=2.0)
    (2.25, array([0.5, 1. ]))
    """
    delta = arguments.real("delta", delta, 0.0, open_ends="min")
    return _of_equal_shapes(loss_kernels.HUBER, delta, y_hat, y, mask, weight)


def pinball_loss(
    y_hat: Any, y: Any, quantiles: Sequence[float], *, mask: Any = None, weight: Any = None
) -> tuple[float, np.ndarray]:
    """Mean pinball loss of quantile forecasts (Koenker & Bassett 1978), and its derivative by y_hat.

    max(tau (y - f), (tau - 1) (y - f)) of the forecast f of the quantile tau is least where y falls below f with
    probability tau. The mean is one over the quantiles, too.

    Parameters
    ----------
    y_hat : float array (..., Q)
        Forecasts of each quantile.
    y : float array (...)
        What came.
    quantiles : sequence of Q floats
        Each above 0 and below 1.
    mask, weight
        Of y's shape; like the other arguments, and results and errors, as of `l1_loss`.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> loss, dy_hat = bptt.pinball_loss(np.array([[1.0, 3.0]]), np.array([2.0]), quantiles=[0.25, 0.75])
    >>> loss, dy_hat
    (0.25, array([[-0.125,  0.125]]))
    """
    given = arguments.sequence("quantiles", quantiles)
    taus = np.array([arguments.real("quantiles", tau, 0.0, 1.0, open_ends="minmax") for tau in given])
    forecasts = _forecasts(y_hat)
    if taus.size == 0 or forecasts.shape[-1] != taus.size:
        raise ValueError(
            f"y_hat must have shape (..., Q={taus.size}), quantiles {taus.tolist()}; got {forecasts.shape}"
        )
    return _mean(loss_kernels.PINBALL, taus, forecasts, forecasts.shape[:-1], y, mask, weight)


def cross_entropy(logits: np.ndarray, targets: Any) -> tuple[float, np.ndarray]:
    """Mean of -log softmax(logits)[target] over all rows, in nats, and its derivative by the logits.

    Parameters
    ----------
    logits : float array (..., V)
        Finite, float32 or float64.
    targets : integer array (...)
        In 0 .. V - 1.

    Returns
    -------
    loss : float
    dlogits : array like logits
        (softmax(logits) - one-hot(target)) / rows.

    Raises
    ------
    TypeError, ValueError
        The arrays are of another type or shape, logits are not finite, targets lie outside 0 .. V - 1.

    Examples
    --------
    >>> import bptt, numpy as np
    >>> round(bptt.cross_entropy(np.zeros((2, 4)), [0, 3])[0], 6)
    1.386294
    """
    z = arguments.array("logits", logits)
    if z.ndim < 1:
        raise ValueError(f"logits must have shape (..., V); got {z.shape}")
    z = arguments.feature_rows("logits", z, arguments.dtype("logits", z.dtype), z.shape[-1])
    target = arguments.indices("targets", targets, z.shape[1])
    if target.shape != np.shape(logits)[:-1]:
        raise ValueError(f"targets must have shape {np.shape(logits)[:-1]}; got {target.shape}")
    rows = np.arange(z.shape[0])
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dz = np.exp(log_p)
    dz[rows, target.ravel()] -= 1
    return float(-log_p[rows, target.ravel()].mean()), (dz / z.dtype.type(z.shape[0])).reshape(np.shape(logits))


def _of_equal_shapes(
    kind: int, parameter: float, y_hat: Any, y: Any, mask: Any, weight: Any
) -> tuple[float, np.ndarray]:
    forecasts = _forecasts(y_hat)
    return _mean(kind, np.array([parameter]), forecasts, forecasts.shape, y, mask, weight)


def _forecasts(y_hat: Any) -> np.ndarray:
    array = arguments.array("y_hat", y_hat)
    if array.ndim == 0:
        raise ValueError(f"y_hat must have at least one dimension; got {array}")
    return _finite("y_hat", array, arguments.dtype("y_hat", array.dtype))


def _finite(name: str, array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return arguments.real_array(name, array, dtype, array.shape, ", ".join("N" * array.ndim))


def _mean(
    kind: int, parameters: np.ndarray, y_hat: np.ndarray, shape: tuple[int, ...], y: Any, mask: Any, weight: Any
) -> tuple[float, np.ndarray]:
    """y_hat has this shape, or one dimension more, of one forecast for each parameter."""
    y = arguments.array("y", y)
    counted = np.ones(shape, np.bool_) if mask is None else arguments.array("mask", mask)
    if counted.dtype != np.bool_:
        raise TypeError(f"mask must have dtype bool; got {counted.dtype}")
    for name, array in (("y", y), ("mask", counted)):
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, like y_hat {y_hat.shape}; got {array.shape}")
    if y.dtype == y_hat.dtype:  # else it is refused for that
        y = np.where(counted, y, y.dtype.type(0))
    y = _finite("y", y.reshape(shape or (1,)), y_hat.dtype)
    weights = np.where(counted, _weights(weight, shape), 0.0)
    total = float(weights.sum())
    if not total > 0:
        raise ValueError("no value is left: mask is False, or weight is 0, everywhere")
    rows = y_hat.reshape(y.size, parameters.size)
    gradient = np.empty_like(rows)
    loss = loss_kernels.weighted_mean(kind, parameters, rows, y.reshape(-1), weights.reshape(-1), total, gradient)
    return float(loss), gradient.reshape(y_hat.shape)


def _weights(weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    """float64 of this shape: sums of many weights are made in it."""
    array = arguments.array("weight", 1.0 if weight is None else weight)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"weight must be real numbers of at least 0; got dtype {array.dtype}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise ValueError(f"weight must be finite numbers of at least 0; got {array.min()} .. {array.max()}")
    try:
        return np.broadcast_to(array.astype(np.float64), shape)
    except ValueError:
        raise ValueError(f"weight must broadcast to the shape of y, {shape}; got {array.shape}") from None
