"""From a network's last layer to forecasts: a mixture of naive ones, what is added to it, and quantiles around it.

Of each row, o holds (Q S + K) numbers, S steps, Q forecasts, K anchors:

    forward                                                  backward              (df: error of f)
        w   = softmax(o_mix)                                     df_below(j) += df_j, from the outside in
        f_0 = sum_a w_a anchor_a + o_0      the point forecast   do_0   = df_0
        f_j = f_below(j) + softplus(o_j)    quantiles above it   do_j   = df_j sigmoid(o_j)
        f_j = f_below(j) - softplus(o_j)    quantiles under it   do_j   = -df_j sigmoid(o_j)
                                                                 dw_a   = sum_s df_0 anchor_a
                                                                 do_mix = w (dw - sum_a w_a dw_a)
                                                                 danchor_a = w_a df_0

Quantiles cannot cross: each is a positive step away from the one nearer to the middle. They stand in the order 0,
1 .. up (above, outwards), then those under it, outwards. The loss is the mean over the steps of all windows, missing
ones left out, of  l(f_0 - y)  plus a small share of the quantiles' mean  2 pinball(f_j - y; tau_j)  (Koenker & Bassett
1978): enough for them to find their places, too little to pull the point forecast from its own.
"""

from bptt.network.loss_kernels import PINBALL, pointwise
from bptt.numerics.activations import exp, sigmoid, softplus
from bptt.numerics.jit import borrow, kernel, outlined
from bptt.numerics.team import barrier, share
from bptt.unroll.units import copy

# The quantiles' part of the loss. With equal parts the point forecasts of few, short series get worse by some percent;
# of as many series as one likes they do not, and the quantiles find their places sooner.
SHARE = 0.05

__all__ = ["backward", "forward", "loss", "score", "total_loss"]


@kernel(strict=True, internal=True)
def forward_row(o, anchors, f, S, Q, up):
    """f (Q*S) from o; the mixture's numbers in o become its weights."""
    K = anchors.size // S
    mix = o[Q * S :]
    if K > 0:
        largest = mix[0]
        for k in range(1, K):
            largest = max(largest, mix[k])
        total = mix.dtype.type(0)
        for k in range(K):
            mix[k] = exp(mix[k] - largest)
            total += mix[k]
        for k in range(K):
            mix[k] /= total
    middle, residual = f[:S], o[:S]
    for s in range(S):
        middle[s] = residual[s]
    for k in range(K):
        anchor = anchors[k * S : (k + 1) * S]
        for s in range(S):
            middle[s] += mix[k] * anchor[s]
    for j in range(1, Q):
        below = 0 if j == up + 1 else j - 1
        inner, outer, width = f[below * S : (below + 1) * S], f[j * S : (j + 1) * S], o[j * S : (j + 1) * S]
        for s in range(S):
            step = softplus(width[s])
            outer[s] = inner[s] + step if j <= up else inner[s] - step


@kernel(strict=True, internal=True)
def backward_row(o, anchors, df, danchors, S, Q, up):
    """o becomes its own error; df is used up. danchors (K*S) may be empty."""
    K = anchors.size // S
    mix, middle = o[Q * S :], df[:S]
    for j in range(Q - 1, 0, -1):
        below = 0 if j == up + 1 else j - 1
        inner, outer, width = df[below * S : (below + 1) * S], df[j * S : (j + 1) * S], o[j * S : (j + 1) * S]
        for s in range(S):
            inner[s] += outer[s]
            slope = outer[s] * sigmoid(width[s])
            width[s] = slope if j <= up else -slope
    copy(middle, o[:S])
    mean = mix.dtype.type(0)
    for k in range(K):
        anchor = anchors[k * S : (k + 1) * S]
        slope = mix.dtype.type(0)
        for s in range(S):
            slope += middle[s] * anchor[s]
        mean += mix[k] * slope
        if danchors.size > 0:
            for s in range(S):
                danchors[k * S + s] = mix[k] * middle[s]
    # Once more, since the weights are needed until their mean error is known.
    for k in range(K):
        anchor = anchors[k * S : (k + 1) * S]
        slope = mix.dtype.type(0)
        for s in range(S):
            slope += middle[s] * anchor[s]
        mix[k] *= slope - mean


@outlined()
def forward(team, o, anchors, f, S, up):
    """f (R, Q*S) from o (R, Q*S + K) and anchors (R, K*S). The caller sets the barriers."""
    o, anchors, f = borrow(o), borrow(anchors), borrow(f)
    Q = f.shape[1] // S
    first, last = share(o.shape[0], team)
    for r in range(first, last):
        forward_row(o[r], anchors[r], f[r], S, Q, up)


@outlined()
def backward(team, o, anchors, df, danchors, S, up):
    """From df (R, Q*S) to the error of o, in its place; danchors (R, K*S), or of no rows: those of the anchors."""
    o, anchors, df, danchors = borrow(o), borrow(anchors), borrow(df), borrow(danchors)
    Q = df.shape[1] // S
    first, last = share(o.shape[0], team)
    for r in range(first, last):
        backward_row(o[r], anchors[r], df[r], danchors[r] if danchors.shape[0] > 0 else anchors[r, :0], S, Q, up)


@outlined(strict=True)
def loss(team, f, target, weight, weights, kind, parameter, taus, quantile_share, losses, with_gradient):
    """losses (R) of the rows, whose sum is the loss; with the gradient f (R, Q*S) becomes its own error.

    target, weight (R, S); weights float64 (B): sums of all weights; taus float64 (Q): of each forecast, the first one
    unused. The caller sets the barriers.
    """
    S = target.shape[1]
    Q = f.shape[1] // S
    total = 0.0
    for b in range(weights.size):
        total += weights[b]
    scale = 1.0 / max(total, 1.0)
    quantile = 2 * quantile_share / max(1, Q - 1) * scale
    first, last = share(f.shape[0], team)
    for r in range(first, last):
        row = 0.0
        for j in range(Q):
            here, tau = (kind, parameter) if j == 0 else (PINBALL, taus[j])
            factor = f.dtype.type(scale if j == 0 else quantile)
            for s in range(S):
                value, slope = pointwise(here, f[r, j * S + s] - target[r, s], tau)
                row += value * factor * weight[r, s]
                if with_gradient:
                    f[r, j * S + s] = slope * factor * weight[r, s]
        losses[r] = row
    barrier(team)


@kernel
def total_loss(losses):
    total = 0.0
    for part in losses:
        total += part
    return total


@kernel(internal=True, low_opt=True)
def score(team, network, work, with_gradient):
    """The loss of a step's forecasts `work.f`, of any strategy; with the gradient they become their own error."""
    batch = work.batch
    loss(team, work.f, batch.target, batch.weight, batch.weights, network.loss, network.parameter, network.taus,
         network.quantile_share, work.losses, with_gradient)  # fmt: skip
    return total_loss(work.losses)
