"""The networks of the three strategies: which parameters they have, how these begin, and the arrays of a step."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from bptt import seeds
from bptt.cells.table import CELLS
from bptt.forecast.network import direct, recursive, segment
from bptt.forecast.network.batches import Batch, WindowSpec
from bptt.forecast.network.head import SHARE
from bptt.network import parameters as named
from bptt.network.initialisers import initialise, pytorch_uniform
from bptt.network.stack import Scratch, packed_for, scratch_for, stack_of, transposed_for
from bptt.numerics import memory
from bptt.numerics.matmul import panel_shape

__all__ = ["Architecture", "initial", "network_of", "workspace"]

# The compiled steps of each strategy.
# Where the steps between quantiles begin: softplus of it, in units of the window's spread.
FIRST_WIDTH = -1.5


@dataclass(frozen=True)
class Architecture:
    """All numbers of a network, defaults settled; what its arrays follow from.

    Attributes
    ----------
    n : int
        Steps it forecasts: the horizon h; any number with strategy="recursive".
    marks_forecasts : bool
        Whether a recursive network is told that a value is its own forecast: not if it learned one step alone.
    horizon_weight : tuple of float
        Of each step in the loss; 1 for steps beyond, and where it is empty.
    segment : int
        Steps of a segment; 1 where the window is read step by step.
    taus : tuple of float
        Of the point forecast (unused), of those above it outwards, of those under it outwards.
    """

    strategy: str
    cell: str
    n: int
    input_size: int
    segment: int
    hidden_size: int
    num_layers: int
    kinds: tuple[int, ...]
    periods: tuple[int, ...]
    lags: tuple[int, ...]
    futr: int
    hist: int
    static: int
    taus: tuple[float, ...]
    loss: int
    parameter: float
    scaler: int
    dropout: float
    told: float  # probability of teacher forcing; the name that files have
    seed: int
    dtype: str
    quantile_share: float = SHARE
    marks_forecasts: bool = True
    horizon_weight: tuple[float, ...] = ()

    @property
    def T(self) -> int:
        """Steps of the encoder."""
        return self.input_size // self.segment

    @property
    def row(self) -> int:
        """Steps of a row of forecasts."""
        return {"segment": self.segment, "direct": self.n, "recursive": 1}[self.strategy]

    @property
    def rows(self) -> int:
        """Rows of forecasts for a window."""
        return -(-self.n // self.row)

    @property
    def x_columns(self) -> int:
        """Columns of a segment."""
        return self.segment * (2 + len(self.lags) + self.futr + self.hist) + self.static

    @property
    def future_columns(self) -> int:
        """Columns of what is known of the future, for a row of forecasts."""
        return self.row * self.futr + self.static

    @property
    def inputs(self) -> int:
        """What the first recurrent layer reads."""
        return self.hidden_size if self.strategy == "segment" else self.x_columns

    @property
    def outputs(self) -> int:
        """Numbers that the head outputs for a row."""
        return len(self.taus) * self.row + len(self.kinds)

    @property
    def back(self) -> int:
        """Values before the forecasts that a recursion reads: its lags."""
        return max((1, *self.lags))

    @property
    def reading(self) -> WindowSpec:
        """How the network reads windows, for compiled code."""
        lags, kinds, periods = (np.array(values, np.int64) for values in (self.lags, self.kinds, self.periods))
        ahead = 1 if self.strategy == "recursive" else 0
        weights = np.ones(self.n)
        weights[: len(self.horizon_weight)] = self.horizon_weight[: self.n]
        return WindowSpec(
            self.T, self.segment, self.row, self.n, self.scaler, ahead, lags, kinds, periods, weights
        )  # fmt: skip

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters."""
        H = self.hidden_size
        layers = named.layer_shapes(CELLS[self.cell], self.inputs, H, self.num_layers, "rnn.")
        head = {"head.weight": (self.outputs, H), "head.bias": (self.outputs,)}
        if self.strategy == "recursive":
            return layers | head
        if self.strategy == "direct":
            decode = {"decode.weight": (H, H + self.future_columns), "decode.bias": (H,)}
            return layers | decode | head
        embed = {"embed.weight": (H, self.x_columns), "embed.bias": (H,)}
        decode = {"position": (self.rows, H), "decode.weight": (H, self.future_columns)}
        return embed | layers | decode | head


def initial(plan: Architecture, member: int = 0) -> dict[str, np.ndarray]:
    """The parameters before training, of one member of an ensemble: views of one flat vector, `.base` of each.

    Recurrent layers and dense ones as in PyTorch; the head at 0, so that the first forecast is the mean of the naive
    ones; its quantiles a little apart.
    """
    rng = seeds.generator(plan.seed, "parameters", member)
    _, parameters = named.allocate(plan.shapes, np.dtype(plan.dtype))
    H = plan.hidden_size
    for name in ("embed.weight", "embed.bias"):
        if name in parameters:
            parameters[name][...] = pytorch_uniform(rng, parameters[name].shape, plan.x_columns)
    layers = {name: view for name, view in parameters.items() if name.startswith("rnn.")}
    initialise(CELLS[plan.cell], layers, H, "pytorch", rng)
    if "position" in parameters:
        parameters["position"][...] = 0.1 * rng.standard_normal(parameters["position"].shape)
    for name in ("decode.weight", "decode.bias"):
        if name in parameters and parameters[name].size:
            shape = parameters[name].shape
            parameters[name][...] = pytorch_uniform(rng, shape, parameters["decode.weight"].shape[1])
    parameters["head.bias"][plan.row : len(plan.taus) * plan.row] = FIRST_WIDTH
    return parameters


def network_of(plan: Architecture, theta: np.ndarray, member: int = 0) -> Any:
    """The network for compiled code, on this flat vector of parameters; `member` of an ensemble says what it draws."""
    starts = named.starts(plan.shapes)

    def both(name: str) -> np.ndarray:
        return np.array([starts[f"{name}.weight"], starts[f"{name}.bias"]])

    common: dict[str, Any] = {
        "stack": stack_of(CELLS[plan.cell], plan.inputs, plan.hidden_size, plan.num_layers, starts, "rnn."),
        "reading": plan.reading,
        "upper": sum(tau > 0.5 for tau in plan.taus[1:]),
        "outputs": plan.outputs,
        "head": both("head"),
        "theta": theta,
        "taus": np.array(plan.taus),
        "loss": plan.loss,
        "parameter": plan.parameter,
        "quantile_share": plan.quantile_share,
        "dropout": plan.dropout,
        "windows_key": seeds.key(plan.seed, "windows", member),
        "dropout_key": seeds.key(plan.seed, "dropout", member),
    }
    if plan.strategy == "recursive":
        teacher_key = seeds.key(plan.seed, "teacher forcing", member)
        return recursive.Network(
            n=plan.n,
            teacher_forced=plan.told,
            marks_forecasts=plan.marks_forecasts,
            teacher_key=teacher_key,
            **common,
        )
    if plan.strategy == "direct":
        return direct.Network(D=plan.future_columns, decode=both("decode"), **common)
    return segment.Network(
        X=plan.x_columns,
        D=plan.future_columns,
        n=plan.rows,
        embed=both("embed"),
        position=starts["position"],
        decode=starts["decode.weight"],
        **common,
    )


def batch_for(plan: Architecture, B: int) -> Batch:
    """Arrays for B windows."""
    dtype, rows, R = np.dtype(plan.dtype), plan.rows * B, plan.row
    steps = plan.T + (plan.n - 1 if plan.strategy == "recursive" else 0)
    return Batch(
        series=np.zeros(B, np.int64),
        ends=np.zeros(B, np.int64),
        shift=np.zeros(B),
        spread=np.zeros(B),
        slope=np.zeros(B),
        x=memory.zeros((steps * B, plan.x_columns), dtype),
        future=memory.empty((rows, plan.future_columns), dtype),
        anchors=memory.empty((rows, len(plan.kinds) * R), dtype),
        target=memory.empty((rows, R), dtype),
        weight=memory.empty((rows, R), dtype),
        weights=np.zeros(B),
    )


def workspace(plan: Architecture, network: Any, B: int) -> Any:
    """The arrays of a step on B windows."""
    dtype = np.dtype(plan.dtype)
    stack = network.stack
    H, L, S, A = stack.H, stack.L, stack.cell.S, stack.cell.A
    T, rows, Q, D, X = plan.T, plan.rows * B, len(plan.taus), plan.future_columns, plan.x_columns

    def empty(*shape: int) -> np.ndarray:
        return memory.empty(shape, dtype)

    def panels(depth: int, columns: int) -> np.ndarray:
        return memory.zeros(panel_shape(depth, columns, dtype), dtype)

    def scratch(rows: int) -> Scratch:
        return scratch_for(stack, T + plan.n, rows, dtype, dense=(H, plan.outputs), inputs=max(X, H + D))

    common: dict[str, Any] = {
        "batch": batch_for(plan, B),
        "packed": packed_for(stack, dtype),
        "transposed": transposed_for(stack, dtype),
        "head": panels(H, plan.outputs),
        "headT": panels(plan.outputs, H),
        "v": empty(rows, H),
        "o": empty(rows, plan.outputs),
        "f": empty(rows, Q * plan.row),
        "losses": np.zeros(rows),
        "ds": empty(L, B, S * H),
    }
    if plan.strategy == "recursive":
        return recursive.Workspace(
            scratch=scratch(B),
            s=empty(L, T + plan.n, B, S * H),
            a=empty(L, T + plan.n - 1, B, A * H),
            path=empty(B, plan.back + plan.n),
            dpath=empty(B, plan.back + plan.n),
            teacher_forced=np.zeros((plan.n, B), np.uint8),
            draws=np.zeros((0, 0)),
            scores=np.array([NormalDist().inv_cdf(tau) for tau in plan.taus]),
            danchors=empty(B, len(plan.kinds)),
            dv=empty(B, H),
            dx=empty(T * B, max(X, H)),
            **common,
        )
    if plan.strategy == "direct":
        return direct.Workspace(
            scratch=scratch(B),
            decode=panels(H + D, H),
            decodeT=panels(H, H + D),
            s=empty(L, T + 1, B, S * H),
            a=empty(L, T, B, A * H),
            c=empty(B, H + D),
            e=empty(B, H),
            dv=empty(B, H),
            dc=empty(B, H + D),
            dx=empty(T * B, max(X, H)),
            **common,
        )
    return segment.Workspace(
        scratch=scratch(rows),
        embed=panels(X, H),
        decode=panels(D, H),
        e=empty(T * B, H),
        s=empty(L, T + 1, B, S * H),
        a=empty(L, T, B, A * H),
        u=empty(rows, H),
        s_next=empty(L, 2, rows, S * H),
        a_next=empty(L, 1, rows, A * H),
        ds_next=empty(L, rows, S * H),
        dx=empty(max(T * B, rows), H),
        **common,
    )
