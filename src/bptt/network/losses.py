"""Softmax cross-entropy and its gradient, hand-derived.

loss = mean over rows of  -log p_target,    p = softmax(z) = e^z / sum e^z
-log p_target = log sum e^z - z_target,     d/dz_v = p_v - [v = target]
"""

from bptt.numerics.activations import exp, log_sum_exp
from bptt.numerics.jit import kernel
from bptt.numerics.threads import share

__all__ = ["cross_entropy_rows"]


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
