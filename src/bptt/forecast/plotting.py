"""A picture of series and their forecasts: history, forecasts, intervals, cutoffs."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bptt import arguments
from bptt.forecast.frames.columns import check_names, dated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]

HISTORY = "#222222"
# Told apart with any colour vision (Okabe & Ito 2008), the strongest contrast to each other first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
CUTOFF = "cutoff"
BOUND = re.compile(r"^(?P<model>.+)-(?P<side>lo|hi)-(?P<level>\d+(\.\d+)?)$")
QUANTILE = re.compile(r"^(?P<model>.+)_ql(?P<quantile>0?\.\d+)$")
# The wider an interval, the fainter.
FAINTEST, STRONGEST = 0.18, 0.32
# Labels that a legend of one row has room for.
IN_A_ROW = 6


class _Columns(NamedTuple):
    """What a frame of forecasts holds: its models, and the levels of the intervals of each, widest first."""

    models: list[str]
    bounds: dict[str, dict[str, dict[str, str]]]  # model -> level -> side -> column


def plot(
    df: pd.DataFrame,
    forecasts: pd.DataFrame | None = None,
    *,
    ids: Sequence[Any] | None = None,
    max_ids: int = 8,
    level: float | Iterable[float] | None = None,
    models: Sequence[str] | None = None,
    max_insample_length: int | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    figsize: tuple[float, float] | None = None,
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
) -> Figure:
    """Draw series and their forecasts with intervals.

    Parameters
    ----------
    df : DataFrame
        The observed values: one row per series and time.
    forecasts : DataFrame, optional
        From `Forecaster.predict` or `Forecaster.cross_validation`. With a column "cutoff", each cutoff gets a vertical
        line, and its forecasts a line of their own.
    ids : sequence, optional
        The series to draw, in this order; default: the first of `df`.
    max_ids : int
        Largest number of series to draw if `ids` is not given. Default 8.
    level : number or sequence of numbers, optional
        The intervals to draw, in percent; default: all that `forecasts` has, none with ``[]``.
    models : sequence of str, optional
        The models to draw; default: all that `forecasts` has.
    max_insample_length : int, optional
        Draw at most this many values of a series before its first forecast; default: five horizons, 50 values at
        least; all where there is no forecast.
    ax : matplotlib Axes or sequence of them, optional
        Where to draw, one for each series; default: a new figure.
    figsize : (width, height), optional
        Of a new figure, in inches.
    id_col, time_col, target_col : str
        Names of the columns.

    Returns
    -------
    matplotlib Figure
        With the axes of the series in order. ``plot(...).savefig("out.png")`` saves it; a notebook shows it as
        the last line of a cell.

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError
        Naming the column, series, model or level that is not there.

    Examples
    --------
    >>> from bptt.forecast import generate_series, plot
    >>> figure = plot(generate_series(2, freq="D", seed=1))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['S0', 'S1']
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plot draws with matplotlib, which is not installed: pip install bptt[plot]") from None

    arguments.integer("max_ids", max_ids)
    if max_insample_length is not None:
        arguments.integer("max_insample_length", max_insample_length, 0)
    check_names(id_col=id_col, time_col=time_col, target_col=target_col)
    df = dated("df", df, time_col)
    _check(df, "df", [id_col, time_col, target_col])
    made = _Columns([], {})
    if forecasts is not None:
        forecasts = dated("forecasts", forecasts, time_col)
        _check(forecasts, "forecasts", [id_col, time_col])
        made = _columns(forecasts, {id_col, time_col, target_col, CUTOFF})
        made = _chosen(made, models, level)
    names = _names(df, forecasts, ids, max_ids, id_col)

    if ax is None:
        axes = _new_axes(len(names), figsize)
    else:
        axes = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) != len(names):
            raise ValueError(f"ax must hold one Axes for each of {len(names)} series; got {len(axes)}")
    for axis, name in zip(axes, names, strict=True):
        history = df[df[id_col] == name].sort_values(time_col, kind="stable")
        future = None
        if forecasts is not None:
            future = forecasts[forecasts[id_col] == name].sort_values(time_col, kind="stable")
            history = _shortened(history, future, max_insample_length, time_col)
        elif max_insample_length is not None:
            history = history.tail(max_insample_length)
        axis.plot(
            _times(history[time_col]),
            history[target_col].to_numpy(np.float64),
            color=HISTORY,
            lw=1.1,
            zorder=2.5,
            label=target_col,
        )
        if future is not None and len(future):
            _draw_forecasts(axis, future, made, time_col)
        _finish(axis, str(name), df[time_col])
    figure = axes[0].get_figure(root=True)
    assert isinstance(figure, Figure)
    _legend(figure, axes, made, target_col, new=ax is None)
    return figure


def _check(df: Any, name: str, columns: list[str]) -> None:
    if missing := [column for column in columns if column not in df.columns]:
        raise ValueError(f"{name}: The following columns are missing: {missing}; it has {list(df.columns)}")
    if df.empty:
        raise ValueError(f"{name} has no rows")
    kind = df[columns[1]].dtype
    if not (pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_integer_dtype(kind)):
        raise TypeError(
            f"{name}: The time column ({columns[1]!r}) should have either timestamps or integers, got {str(kind)!r}: "
            f"convert it with pandas.to_datetime"
        )


def _times(column: pd.Series[Any]) -> Any:
    """As matplotlib takes them; by the clock on the wall where they have a time zone."""
    return (column.dt.tz_localize(None) if isinstance(column.dtype, pd.DatetimeTZDtype) else column).to_numpy()


def _columns(forecasts: pd.DataFrame, others: set[str]) -> _Columns:
    """Sorted out by their names: `GRU`, `GRU-lo-80`, `GRU_ql0.1`."""
    numeric = [c for c in forecasts.columns if c not in others and pd.api.types.is_numeric_dtype(forecasts[c])]
    bounds: dict[str, dict[str, dict[str, str]]] = {}
    models: list[str] = []
    for column in numeric:
        if bound := BOUND.match(column):
            bounds.setdefault(bound["model"], {}).setdefault(bound["level"], {})[bound["side"]] = column
        elif quantile := QUANTILE.match(column):
            share = float(quantile["quantile"])
            if share != 0.5:
                level = f"{round(100 * abs(1 - 2 * share), 6):g}"
                side = "lo" if share < 0.5 else "hi"
                bounds.setdefault(quantile["model"], {}).setdefault(level, {})[side] = column
        elif not column.endswith("-median"):
            models.append(column)
    whole = {
        model: {level: sides for level, sides in levels.items() if len(sides) == 2} for model, levels in bounds.items()
    }
    return _Columns(models, whole)


def _chosen(made: _Columns, models: Sequence[str] | None, level: float | Iterable[float] | None) -> _Columns:
    names = made.models if models is None else ([models] if isinstance(models, str) else list(models))
    if unknown := [name for name in names if name not in made.models]:
        raise ValueError(f"models: {unknown} not among the columns of forecasts; it has {made.models}")
    if not names:
        raise ValueError("forecasts has no column of a model: expected those of Forecaster.predict")
    bounds = {name: made.bounds.get(name, {}) for name in names}
    if level is not None:
        wanted = [float(level)] if isinstance(level, int | float) else [float(one) for one in level]
        there = {float(one) for levels in bounds.values() for one in levels}
        if absent := [one for one in wanted if one not in there]:
            raise ValueError(f"level: forecasts has no interval of {absent}; it has {sorted(there)}")
        bounds = {
            name: {one: sides for one, sides in levels.items() if float(one) in wanted}
            for name, levels in bounds.items()
        }
    widest_first = {
        name: dict(sorted(levels.items(), key=lambda item: -float(item[0]))) for name, levels in bounds.items()
    }
    return _Columns(names, widest_first)


def _names(
    df: pd.DataFrame, forecasts: pd.DataFrame | None, ids: Sequence[Any] | None, max_ids: int, id_col: str
) -> list[Any]:
    known = df[id_col].unique()
    if ids is None:
        if forecasts is not None:
            known = known[pd.Index(known).isin(forecasts[id_col])]
            if not len(known):
                raise ValueError(f"forecasts has none of the series of df (column {id_col!r})")
        return list(known[:max_ids])
    if isinstance(ids, str):
        ids = [ids]
    if not isinstance(ids, Sequence | np.ndarray | pd.Index | pd.Series) or np.ndim(ids) != 1:
        raise TypeError(f"ids must be a sequence of ids; got {ids!r} ({type(ids).__name__})")
    names, known_ids = list(ids), set(known)
    if unknown := [name for name in names if not isinstance(name, Hashable) or name not in known_ids]:
        raise ValueError(f"ids: no series {unknown} in df; it has {list(known[:5])}{' ...' if len(known) > 5 else ''}")
    if not names:
        raise ValueError("ids names no series")
    return names


def _new_axes(count: int, figsize: tuple[float, float] | None) -> list[Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from bptt.forecast.figure import Picture

    columns = 1 if count <= 2 else 2
    rows = -(-count // columns)
    if figsize is not None:
        given = arguments.sequence("figsize", figsize)
        sides = [arguments.real("figsize", side, 0.0, open_ends="min") for side in given]
        if len(sides) != 2:
            raise ValueError(f"figsize must be (width, height); got {figsize!r}")
        figsize = (sides[0], sides[1])
    figure = Picture(figsize=figsize or (9.0 if columns == 1 else 12.0, 0.7 + 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for spare in grid.ravel()[count:]:
        spare.remove()
    return list(grid.ravel()[:count])


def _shortened(
    history: pd.DataFrame, future: pd.DataFrame, max_insample_length: int | None, time_col: str
) -> pd.DataFrame:
    """So much of the history that the forecast can be seen beside it."""
    if not len(future):
        return history if max_insample_length is None else history.tail(max_insample_length)
    before = int((history[time_col] < future[time_col].iloc[0]).sum())
    horizon = future.groupby(CUTOFF).size().max() if CUTOFF in future.columns else len(future)
    keep = max(5 * int(horizon), 50) if max_insample_length is None else max_insample_length
    return history.iloc[max(0, before - keep) :]


def _draw_forecasts(axis: Axes, future: pd.DataFrame, made: _Columns, time_col: str) -> None:
    cutoffs = [future]
    if CUTOFF in future.columns:
        cutoffs = [rows for _, rows in future.groupby(CUTOFF, sort=True)]
        for number, cutoff in enumerate(sorted(future[CUTOFF].unique())):
            label = CUTOFF if number == 0 else "_nolegend_"
            axis.axvline(_times(pd.Series([cutoff]))[0], color="#888888", lw=0.8, ls=(0, (4, 3)), zorder=1, label=label)
    for number, model in enumerate(made.models):
        colour = COLOURS[number % len(COLOURS)]
        levels = made.bounds[model]
        strengths = np.linspace(FAINTEST, STRONGEST, len(levels))
        for part, rows in enumerate(cutoffs):
            times = _times(rows[time_col])
            for (level, sides), strength in zip(levels.items(), strengths, strict=True):
                axis.fill_between(
                    times, rows[sides["lo"]].to_numpy(np.float64), rows[sides["hi"]].to_numpy(np.float64),
                    color=colour, alpha=strength, lw=0, zorder=2,
                    label=f"{model} {level}%" if part == 0 else "_nolegend_",
                )  # fmt: skip
            axis.plot(
                times, rows[model].to_numpy(np.float64), color=colour, lw=1.6, zorder=3,
                marker="o" if len(rows) == 1 else None, markersize=4, label=model if part == 0 else "_nolegend_",
            )  # fmt: skip


def _finish(axis: Axes, title: str, times: pd.Series[Any]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    axis.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#DDDDDD", lw=0.6)
    axis.set_axisbelow(True)
    axis.margins(x=0.01)
    axis.tick_params(labelsize=9)
    if pd.api.types.is_datetime64_any_dtype(times):
        locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    else:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axis.set_xlabel(str(times.name), fontsize=9)
    axis.xaxis.get_offset_text().set_fontsize(9)


def _legend(figure: Figure, axes: list[Axes], made: _Columns, target_col: str, *, new: bool) -> None:
    """One for all series, above them, a column a model; inside the first of the user's own axes."""
    from matplotlib.lines import Line2D

    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    columns = [[label for label in (target_col, CUTOFF) if label in found]]
    for model in made.models:
        levels = reversed(made.bounds[model])  # the narrowest first, as the eye goes outwards
        columns.append([label for label in (model, *(f"{model} {level}%" for level in levels)) if label in found])
    columns = [column for column in columns if column]
    if sum(map(len, columns)) <= IN_A_ROW:
        columns = [[label] for column in columns for label in column]
    rows = max(map(len, columns))
    cells = [label for column in columns for label in column + [""] * (rows - len(column))]
    handles = [found[label] if label else Line2D([], [], linestyle="none") for label in cells]
    if new:
        figure.legend(handles, cells, loc="outside upper left", ncols=len(columns), frameon=False, fontsize=9)
    else:
        axes[0].legend(handles, cells, ncols=len(columns), frameon=False, fontsize=9)
