"""Search for the arguments of a model by cross-validation, with Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from bptt import arguments
from bptt.forecast.evaluation.accuracy import NAIVE, accuracy
from bptt.forecast.fitting.interface import Model
from bptt.forecast.forecaster import Forecaster
from bptt.forecast.models import GRU

if TYPE_CHECKING:
    import optuna

__all__ = ["TuningResult", "tune"]

ALIAS = "tuned"
SPACES = "a list of values, a pair (low, high) of numbers, or (low, high, 'log')"


@dataclass(frozen=True)
class TuningResult:
    """The result of `tune`.

    Attributes
    ----------
    params : dict
        The best arguments found, for the constructor of the model.
    score : float
        Their score; smaller is better.
    naive_score : float
        That of the seasonal naive forecast on the same windows.
    trials : DataFrame
        A row for each trial, in the order in which they began: score, seconds and the arguments.
    model : Model
        A model with the best arguments, not fitted.
    """

    params: dict[str, Any]
    score: float
    naive_score: float
    trials: pd.DataFrame
    model: Model

    def __repr__(self) -> str:
        return (
            f"TuningResult(score={self.score:.4g}, seasonal naive {self.naive_score:.4g}, {len(self.trials)} trials, "
            f"params={self.params})"
        )


def tune(
    df: pd.DataFrame,
    space: Mapping[str, Any] | Callable[[optuna.Trial], dict[str, Any]],
    budget: float,
    *,
    h: int,
    freq: Any,
    model: Callable[..., Model] = GRU,
    n_trials: int | None = None,
    n_jobs: int = 1,
    n_windows: int = 1,
    metric: Literal["mase", "mae", "smape"] = "mase",
    static_df: pd.DataFrame | None = None,
    seed: int = 0,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> TuningResult:
    """Search for the arguments of a model that forecast the last windows of a frame best.

    Every trial trains on the rows before the last `n_windows` windows of h steps, and forecasts them. The sampler is
    Optuna's tree-structured Parzen estimator (Bergstra et al. 2011). The windows that chose the arguments say nothing
    about later ones: keep rows for that out of `df`.

    Parameters
    ----------
    df : DataFrame
        As for `Forecaster.fit`.
    space : dict or function
        For each argument of the model a list of values, a pair (low, high) of integers or floats, or (low, high,
        "log") for a logarithmic scale; or a function that takes an `optuna.Trial` and returns the arguments.
    budget : float
        Seconds after which no trial begins. Trials that run end first.
    h : int
        Horizon.
    freq : str, int or pandas offset
    model : class
        Of bptt.forecast. Default: GRU.
    n_trials : int, optional
        Stop after this many trials, too. Default: no limit.
    n_jobs : int
        Trials side by side, in threads. Default 1: the same seed then gives the same trials.
    n_windows : int
        Windows of each series. Default 1.
    metric : {"mase", "mae", "smape"}
        What is minimised; see `accuracy`.
    static_df : DataFrame, optional
    seed : int
        Of the sampler. Default 0.
    id_col, time_col, target_col : str

    Returns
    -------
    TuningResult

    Raises
    ------
    ImportError
        Optuna is not installed.
    TypeError, ValueError
        An argument is wrong, or a trial raises it.

    Examples
    --------
    >>> from bptt.forecast import generate_series
    >>> df = generate_series(2, freq="D", min_length=60, seed=0)
    >>> space = {"hidden_size": [4, 8], "learning_rate": (1e-3, 1e-2, "log"), "max_steps": [3]}
    >>> found = tune(df, space, budget=60, h=7, freq="D", n_trials=2)  # doctest: +SKIP
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("tune needs Optuna: pip install 'bptt[tune]'") from None
    arguments.real("budget", budget, 0, open_ends="min")
    arguments.integer("h", h)
    arguments.integer("n_jobs", n_jobs)
    arguments.integer("n_windows", n_windows)
    if n_trials is not None:
        arguments.integer("n_trials", n_trials)
    arguments.choice("metric", metric, ("mase", "mae", "smape"))
    columns: Any = {"id_col": id_col, "time_col": time_col, "target_col": target_col}
    draw: Callable[[Any], dict[str, Any]] = space if callable(space) else _drawing(space)
    naive: dict[str, float] = {}

    def score_of(trial: optuna.Trial) -> float:
        forecaster = Forecaster([model(h=h, alias=ALIAS, **draw(trial))], freq)
        cv_df = forecaster.cross_validation(df, static_df, n_windows=n_windows, step_size=h, **columns)
        table = accuracy(cv_df, df, freq, **columns).set_index("model")[metric]
        naive["score"] = float(table[NAIVE])
        return float(table[ALIAS])

    quiet = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=arguments.seed("seed", seed)))
        study.optimize(score_of, n_trials=n_trials, timeout=budget, n_jobs=n_jobs)
    finally:
        optuna.logging.set_verbosity(quiet)
    done: list[Any] = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if not done:
        raise ValueError(f"budget must be long enough for one trial to begin; got {budget} seconds")
    best = draw(optuna.trial.FixedTrial(study.best_params))
    trials = pd.DataFrame(
        {"score": [trial.value for trial in done], "seconds": [trial.duration.total_seconds() for trial in done]}
    ).join(pd.DataFrame([trial.params for trial in done]))
    return TuningResult(best, float(study.best_value), naive["score"], trials, model(h=h, **best))


def _drawing(space: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """Draws every argument of the space."""
    if not isinstance(space, Mapping):
        raise TypeError(f"space must be a dict of arguments, or a function of a trial; got {space!r}")
    for name, values in space.items():
        choices = isinstance(values, list) and len(values) > 0
        pair = isinstance(values, tuple) and len(values) in (2, 3) and values[2:] in ((), ("log",))
        numbers = pair and all(isinstance(end, int | float) and not isinstance(end, bool) for end in values[:2])
        if not choices and not (numbers and values[0] < values[1]):
            raise ValueError(f"space: {name!r} must be {SPACES}; got {values!r}")

    def drawn(trial: Any) -> dict[str, Any]:
        return {name: _drawn(trial, name, values) for name, values in space.items()}

    return drawn


def _drawn(trial: Any, name: str, values: list[Any] | Sequence[Any]) -> Any:
    if isinstance(values, list) and _nested(values):  # Optuna's choices are plain values
        return values[trial.suggest_categorical(f"{name} (number)", list(range(len(values))))]
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    suggest = trial.suggest_int if all(isinstance(end, int) for end in values[:2]) else trial.suggest_float
    return suggest(name, values[0], values[1], log=len(values) == 3)


def _nested(values: list[Any]) -> bool:
    return any(isinstance(value, list | tuple | dict) for value in values)
