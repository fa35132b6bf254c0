"""Studying backpropagation through time: where gradients go, what truncation takes from them, what else estimates them.

    problem = study.Problem(layer, x, loss)
    study.gradient_by_lag(problem)              # a result: .arrays, .to_frame(), .plot(), and the finding in words

Everything is computed in float64, by the layer's own backward pass, for every cell.
"""

from __future__ import annotations

from bptt.study import tasks
from bptt.study.estimators import (
    Estimator,
    artbp,
    bptt,
    compare_estimators,
    rtrl,
    rtrl_by_step,
    snap1,
    tbptt,
    uoro,
)
from bptt.study.gates import gate_statistics
from bptt.study.jacobians import jacobian_products, jacobians, lyapunov_spectrum
from bptt.study.lags import contribution_by_lag, gradient_by_lag
from bptt.study.of_text import problem
from bptt.study.paths import path_split
from bptt.study.problem import Problem
from bptt.study.result import Result
from bptt.study.truncation import truncation_bias

__all__ = [
    "Estimator",
    "Problem",
    "Result",
    "artbp",
    "bptt",
    "compare_estimators",
    "contribution_by_lag",
    "gate_statistics",
    "gradient_by_lag",
    "jacobian_products",
    "jacobians",
    "lyapunov_spectrum",
    "path_split",
    "problem",
    "rtrl",
    "rtrl_by_step",
    "snap1",
    "tasks",
    "tbptt",
    "truncation_bias",
    "uoro",
]
