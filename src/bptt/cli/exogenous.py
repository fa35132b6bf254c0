"""The exogenous columns of the command line: in the file of the series, of the future, of what never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from bptt.cli.series_file import SeriesFile, Writing

__all__ = ["Columns", "future_of", "names_of", "static_of"]


class Columns(NamedTuple):
    """Names of exogenous columns, and the files beside that of the series."""

    futr: tuple[str, ...]
    hist: tuple[str, ...]
    stat: tuple[str, ...]
    future: str | None
    static: str | None

    def check(self) -> None:
        """Each file has columns, and static columns have a file."""
        if self.future is not None and not self.futr:
            raise ValueError("--future needs --futr-exog <columns>: the columns to read in it, like --futr-exog price")
        if (self.static is None) != (not self.stat):
            raise ValueError("--stat-exog <columns> and --static <file> go together: the columns, and where they stand")

    @property
    def settings(self) -> dict[str, list[str]]:
        """What the models are told."""
        named = {"futr_exog_list": self.futr, "hist_exog_list": self.hist, "stat_exog_list": self.stat}
        return {name: list(columns) for name, columns in named.items() if columns}


def names_of(option: str, words: str | None) -> tuple[str, ...]:
    """The columns that an option names, separated by commas."""
    if words is None:
        return ()
    names = tuple(part.strip() for part in words.split(","))
    if "" in names or len(set(names)) < len(names):
        raise ValueError(f"{option} takes the names of columns, each once, like {option} price,promo; got {words!r}")
    return names


def future_of(found: SeriesFile, columns: Columns, writing: Writing) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows to learn from, and those of the future: of their own file, or the last rows of a series without values.

    Raises
    ------
    ValueError
        Neither is there.
    """
    from bptt.cli import series_file

    df = found.df
    if not columns.futr:
        return df, None
    id_col, time_col, target_col = found.columns.values()
    if columns.future is not None:
        return df, series_file.read_future(columns.future, found, columns.futr, writing)
    known = df[df[target_col].notna()]
    last = df[id_col].map(known.groupby(id_col)[time_col].max())
    # A series without any value has no end behind which the future would begin.
    later = (df[time_col] > last).to_numpy()
    if not later.any():
        raise ValueError(
            f"--futr-exog {','.join(columns.futr)}: the future values are missing. Add rows with times, these columns "
            f"and no {target_col} at the end of each series, or give them as --future <file>"
        )
    return df[~later].reset_index(drop=True), df.loc[later, [id_col, time_col, *columns.futr]].reset_index(drop=True)


def static_of(found: SeriesFile, columns: Columns, writing: Writing) -> pd.DataFrame | None:
    """The file of the static columns, a row for each series."""
    from bptt.cli import series_file

    if columns.static is None:
        return None
    return series_file.read_static(columns.static, found, columns.stat, writing)
