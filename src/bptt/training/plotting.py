"""A picture of a training: losses over steps or epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pandas as pd

from bptt.errors import NotFittedError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HasHistory", "plot_history"]

LOSSES = {
    "train_loss": "training",
    "validation_loss": "validation",
    "train_nats": "training",
    "validation_nats": "validation",
}
# Told apart with any colour vision (Okabe & Ito 2008).
COLOURS = {"training": "#0072B2", "validation": "#D55E00"}
# Losses of single steps scatter: of more rows than this, a mean is drawn over the faint line.
MANY = 100
# Up to this many losses, each is marked by a dot.
FEW = 30


def plot_history(history: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the losses of a training.

    Parameters
    ----------
    history : DataFrame
        What `bptt.train` returns, or the `history` of a `CharLM`, of a forecasting model or of a `Forecaster`: a row
        for each epoch or step. With the columns `model` and `network`, each has its own line.
    ax : matplotlib Axes, optional
        Where to draw. Default: axes of a new figure.

    Returns
    -------
    matplotlib Axes
        ``plot_history(history).figure.savefig("out.png")`` saves it; a notebook shows it.

    Raises
    ------
    TypeError, ValueError
        `history` is not a DataFrame, or has no column of losses.
    NotFittedError
        `history` has no rows.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from bptt.training import plot_history
    >>> history = pd.DataFrame({"epoch": [1, 2], "train_loss": [3.0, 1.0], "validation_loss": [3.1, 1.4]})
    >>> ax = plot_history(history)
    >>> ax.get_xlabel(), [line.get_label() for line in ax.lines]
    ('epoch', ['training', 'validation'])
    """
    if not isinstance(history, pd.DataFrame):
        raise TypeError(f"history must be a DataFrame; got {type(history).__name__}")
    if history.empty:
        raise NotFittedError("history has no rows: fit the model first. A file keeps no history")
    columns = [name for name in LOSSES if name in history]
    if not columns:
        raise ValueError(f"history must have a column of losses ({', '.join(LOSSES)}); got {list(history.columns)}")
    ax = axes("plot_history", ax)
    x = "step" if "step" in history else "epoch"
    groups = [name for name in ("model", "network") if name in history and history[name].nunique() > 1]
    parts = list(history.groupby(groups, sort=False)) if groups else [((), history)]
    for number, (names, part) in enumerate(parts):
        dashes = ("-", "--", "-.", ":")[number % 4]
        of = "".join(f", {group} {name}" for group, name in zip(groups, names, strict=True))
        for column in columns:
            losses = part[[x, column]].dropna()
            what = LOSSES[column]
            if len(losses) > MANY:
                ax.plot(losses[x], losses[column], color=COLOURS[what], alpha=0.25, linewidth=0.5)
                losses = losses.rolling(len(losses) // 25, min_periods=1, center=True).mean()
            (line,) = ax.plot(losses[x], losses[column], dashes, color=COLOURS[what], label=what + of, markersize=3)
            line.set_marker("o" if len(losses) <= FEW else "")
    ax.set_xlabel(x)
    ax.set_ylabel("nats per character" if "train_nats" in history else "loss")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def axes(caller: str, ax: Axes | None) -> Axes:
    """The user's axes, or those of a new figure; an ImportError that names the caller without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f"{caller} draws with matplotlib, which is not installed: pip install bptt[plot]") from None
    return Figure(figsize=(7, 4), layout="constrained").subplots() if ax is None else ax


class Trained(Protocol):
    """Something with a history."""

    @property
    def history(self) -> pd.DataFrame: ...


class HasHistory:
    """Gives a class with an attribute `history` its `plot_history`."""

    def plot_history(self: Trained, ax: Axes | None = None) -> Axes:
        """Draw the losses of the last `fit`, over steps or epochs.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. Default: axes of a new figure.

        Returns
        -------
        matplotlib Axes
            ``.figure.savefig("out.png")`` saves the picture.

        Raises
        ------
        NotFittedError
            Before `fit`, and after `load`: a file keeps no history.
        ImportError
            Without matplotlib: ``pip install bptt[plot]``.
        """
        return plot_history(self.history, ax)
