"""Public holidays as columns that are known for the future."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bptt import arguments
from bptt.forecast.frames import columns
from bptt.forecast.frames.native import Native, like

__all__ = ["add_holidays"]


def add_holidays(
    df: pd.DataFrame,
    country: str | Sequence[str],
    *,
    subdiv: str | None = None,
    names: bool = False,
    time_col: str = "ds",
) -> pd.DataFrame:
    """Add a column for the public holidays of each country: 1 on a holiday, else 0.

    Give the columns to a model as `futr_exog_list`, and add them to the frame of `make_future_dataframe`, too.

    Parameters
    ----------
    df : DataFrame
        With a column of times a day or less apart; the day counts that the clock shows. Of pandas, polars, Arrow or
        another package that narwhals knows.
    country : str or list of str
        Codes of ISO 3166, like "DE" or ["US", "CA"].
    subdiv : str, optional
        State or region, like "BY", with one country. Default: holidays of the whole country.
    names : bool
        Whether each holiday has a column of its own, called by its English name where there is one, instead of one
        column for all. Default False.
    time_col : str

    Returns
    -------
    DataFrame
        The columns of `df`, then `holiday_DE`, ...; with `names` as many as have a day between the first and the last
        time, `holiday_DE_Easter Monday`, ...: add them to past and future in one frame, so that both have all.

    Raises
    ------
    ImportError
        The package `holidays` is missing: pip install 'bptt[holidays]'.
    TypeError, ValueError
        The column is missing or has no dates; a country or subdivision is unknown; a column is there already.

    Examples
    --------
    >>> df = pd.DataFrame({"unique_id": "shop", "ds": pd.date_range("2024-12-24", periods=4), "y": 1.0})
    >>> add_holidays(df, "DE")["holiday_DE"].tolist()
    [0, 1, 1, 0]
    """
    try:
        import holidays
    except ImportError:
        raise ImportError("add_holidays needs the package holidays: pip install 'bptt[holidays]'") from None
    columns.check_names(time_col=time_col)
    arguments.boolean("names", names)
    codes = [country] if isinstance(country, str) else list(country) if isinstance(country, list | tuple) else []
    if not codes or not all(isinstance(code, str) for code in codes):
        raise TypeError(f"country must be a code like 'DE', or a list of them; got {country!r}")
    if subdiv is not None and len(codes) > 1:
        raise ValueError(f"subdiv is for one country; got {len(codes)}: {', '.join(codes)}")
    native = Native.of(df)
    df = columns.dated("df", df, time_col)
    columns.check_frame("df", df, [time_col])
    times = df[time_col]
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        raise TypeError(f"time_col must be a column of dates; {time_col!r} has {times.dtype}")
    naive = times.dt.tz_localize(None) if isinstance(times.dtype, pd.DatetimeTZDtype) else times
    days = naive.dt.date
    known = days.dropna()
    years = range(known.min().year, known.max().year + 1) if len(known) else range(0)
    added: dict[str, Any] = {}
    for code in codes:
        try:
            found = holidays.country_holidays(code, subdiv=subdiv, years=years, language="en_US")
        except NotImplementedError as error:
            raise ValueError(f"country and subdiv must be known to the package holidays: {error}") from None
        if not names:
            added[f"holiday_{code}"] = days.isin(list(found)).astype(int)
            continue
        by_name: dict[str, list[Any]] = {}
        for day, all_names in found.items():
            for name in all_names.split("; "):
                by_name.setdefault(name, []).append(day)
        shown = {name: days.isin(of_name).astype(int) for name, of_name in sorted(by_name.items())}
        added |= {f"holiday_{code}_{name}": column for name, column in shown.items() if column.any()}
    if taken := [name for name in added if name in df.columns]:
        raise ValueError(f"df has a column {taken[0]!r} already")
    result: pd.DataFrame = like(native, df.assign(**added))
    return result
