"""Losses and their gradients, hand-derived.

Softmax cross-entropy: mean over rows of

    -log p_target = log sum e^z - z_target,     d/dz_v = p_v - [v = target],     p = softmax(z) = e^z / sum e^z

Of one error e = f - y, f the forecast of y; where the derivative jumps (at e = 0), it is 0 there:

              l(e)                                        dl/de
    MAE       |e|                                         sign(e)
    MSE       e^2                                         2 e
    HUBER     e^2 / 2           where |e| <= delta        e
              delta (|e| - delta / 2)    elsewhere        delta sign(e)          (Huber 1964)
    PINBALL   -tau e            where e < 0               -tau
              (1 - tau) e       elsewhere                 1 - tau                (Koenker & Bassett 1978)
"""

from bptt.numerics.activations import exp, log_sum_exp
from bptt.numerics.jit import kernel
from bptt.numerics.team import share

__all__ = ["HUBER", "MAE", "MSE", "PINBALL", "cross_entropy_rows", "pointwise", "weighted_mean"]

MAE, MSE, HUBER, PINBALL = 0, 1, 2, 3


@kernel
def cross_entropy_rows(team, z, targets, losses, with_gradient):
    """losses (T*B) of the rows of z (T*B, V); with the gradient, z is overwritten by that of their mean.

    targets (B, T): those of row t*B + b stand at [b, t].
    """
    R = z.shape[0]
    scale = z.dtype.type(1.0 / R)
    first, last = share(R, team)
    for r in range(first, last):
        row = z[r]
        target = targets[r % targets.shape[0], r // targets.shape[0]]
        log_sum = log_sum_exp(row)
        losses[r] = log_sum - row[target]
        if with_gradient:
            for v in range(row.size):
                row[v] = exp(row[v] - log_sum) * scale
            row[target] -= scale


@kernel(strict=True, internal=True)
def pointwise(kind, error, parameter):
    """Value and derivative of a loss at one error, in the error's own type; NaN at NaN.

    parameter: delta of HUBER, tau of PINBALL; the others do not look at it.
    """
    # A bare 0.5 would turn float32 into float64.
    number = type(error)
    half, one, two, p = number(0.5), number(1), number(2), number(parameter)
    size = abs(error)
    if kind == MSE:
        return error * error, two * error
    if kind == HUBER and not size > p:
        return half * error * error, error
    if not size > number(0):
        return error, error  # 0, or NaN
    if kind == HUBER:
        return p * (size - half * p), p if error > 0 else -p
    if kind == PINBALL:
        return (-p * error, -p) if error < 0 else ((one - p) * error, one - p)
    return size, one if error > 0 else -one


@kernel(exact=True)
def weighted_mean(kind, parameters, y_hat, y, weight, total, gradient):
    """Mean loss of y_hat (N, Q), one column for each parameter (Q), and its gradient: float64 sums, in order.

    y, weight (N); total: the sum of the weights. Where a weight is 0, nothing else matters.
    """
    N, Q = y_hat.shape
    loss = 0.0
    for row in range(N):
        part = weight[row] / (total * Q)
        gradient[row] = 0
        for q in range(Q if part > 0 else 0):
            value, slope = pointwise(kind, y_hat[row, q] - y[row], parameters[q])
            loss += part * value
            gradient[row, q] = part * slope
    return loss
