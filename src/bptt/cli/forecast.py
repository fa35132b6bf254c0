"""`bptt forecast`: a CSV in, a CSV of forecasts out; `bptt forecast --demo` needs no file."""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bptt.cli.options import Threads, check_places, set_threads

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["forecast"]

# Panels of the help.
INPUT, TRAINING = "The file", "Model and training"
FILE: dict[str, Any] = {"rich_help_panel": INPUT, "show_default": False}
RESULT: dict[str, Any] = {"rich_help_panel": "The result", "show_default": False}
MODEL: dict[str, Any] = {"rich_help_panel": TRAINING, "show_default": False}
DEMO_SERIES, DEMO_H, DEMO_STEPS, DEMO_LEVELS = 50, 14, 400, (80, 95)


class ModelName(StrEnum):
    """The models that `--model` names."""

    PRETRAINED = "Pretrained"
    GRU = "GRU"
    LSTM = "LSTM"
    RNN = "RNN"


def forecast(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="A CSV: unique_id, ds, y; or time and value of one series; - for stdin."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Forecast generated series and show the accuracy.")] = False,
    h: Annotated[
        int | None, typer.Option("--h", help=f"How many steps to forecast; with --demo {DEMO_H}.", show_default=False)
    ] = None,
    freq: Annotated[
        str | None,
        typer.Option(help="Step of the times: h, D, W, MS, ...; default: inferred.", **FILE),
    ] = None,
    model: Annotated[
        list[ModelName] | None,
        typer.Option(help="Default: Pretrained; with --demo GRU; may be repeated.", case_sensitive=False, **MODEL),
    ] = None,
    level: Annotated[list[str] | None, typer.Option(help="Intervals in percent: 80 95 or 80,95.", **RESULT)] = None,
    season: Annotated[
        str | None, typer.Option(help="Season lengths in steps, like 24,168; default: by --freq.", **MODEL)
    ] = None,
    val_size: Annotated[
        int,
        typer.Option(help="Last steps of each series, used for validation.", rich_help_panel="Model and training"),
    ] = 0,
    cross_validate: Annotated[
        int | None,
        typer.Option(help="First measure so many last windows of h steps, beside the seasonal naive.", **RESULT),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Training steps; default: the model's own, none for Pretrained.", **MODEL)
    ] = None,
    id_col: Annotated[str, typer.Option(help="Column of the series' names.", rich_help_panel=INPUT)] = "unique_id",
    time_col: Annotated[str, typer.Option(help="Column of the times.", rich_help_panel=INPUT)] = "ds",
    target_col: Annotated[str, typer.Option(help="Column of the values.", rich_help_panel=INPUT)] = "y",
    sep: Annotated[str | None, typer.Option(help="Column separator; default: , ; tab or |.", **FILE)] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal separator; default: inferred.", **FILE)] = None,
    thousands: Annotated[str | None, typer.Option(help="Thousands separator; default: inferred.", **FILE)] = None,
    encoding: Annotated[str | None, typer.Option(help="Default: UTF-8, UTF-16 or cp1252.", **FILE)] = None,
    date_format: Annotated[str | None, typer.Option(help="Like %d.%m.%Y; default: inferred.", **FILE)] = None,
    tz: Annotated[str | None, typer.Option(help="Time zone of the times, like Europe/Berlin.", **FILE)] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same forecasts.", rich_help_panel=TRAINING)] = 0,
    plot: Annotated[str | None, typer.Option(help="File for a plot (.png, .svg, .pdf).", **RESULT)] = None,
    output: Annotated[
        str | None, typer.Option(help="CSV file for the forecasts; default: standard output.", **RESULT)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show a progress bar.")] = False,
    threads: Threads = None,
) -> None:
    """Forecast the series of a CSV file."""
    from bptt import arguments

    if not _given(context):
        typer.echo(context.get_help())
        return

    path, levels = _files_and_levels(files or [], level)
    if (path is None) != demo:
        raise ValueError(
            "give FILE (a CSV of series, or - for standard input) or --demo, one of the two (bptt forecast -h shows "
            "more)"
        )
    if h is None and not demo:
        raise ValueError("--h is missing: how many steps to forecast, for example --h 24")
    steps = arguments.integer("--h", DEMO_H if h is None else h)
    arguments.integer("--val-size", val_size, 0)
    if cross_validate is not None:
        arguments.integer("--cross-validate", cross_validate)
        if demo:
            raise ValueError("--cross-validate is for a FILE; --demo measures the last values anyway")
    settings: dict[str, Any] = {"h": steps, "seed": arguments.seed("--seed", seed)}
    training = DEMO_STEPS if demo else None
    if max_steps is not None:
        training = arguments.integer("--max-steps", max_steps)
    if season is not None:
        settings["seasonality"] = _periods(season)
    names = [name.value for name in model or [ModelName.GRU if demo else ModelName.PRETRAINED]]
    if val_size and set(names) == {ModelName.PRETRAINED.value}:
        raise ValueError("--val-size is for models that are trained: add --model GRU, or leave it out")
    set_threads(threads)
    check_places(files or [], {"--output": output, "--plot": plot})
    _check_names(output, plot)

    from bptt.numerics import compiling

    kernels_of = f"forecast {' '.join(names)}"
    if demo:
        compiling.announce(kernels_of)
    with _warnings_in_a_line():
        from bptt import forecast as library

        if path is None:
            step: Any = freq or "D"
            full = library.generate_series(
                DEMO_SERIES, step, min_length=250, max_length=400, with_trend=True, seed=seed, expected=True
            )
            later = full.groupby("unique_id", sort=False).cumcount(ascending=False) < steps
            df = full.loc[~later, ["unique_id", "ds", "y"]]
            columns: dict[str, Any] = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}
            levels = levels or list(DEMO_LEVELS)
        else:
            from bptt.cli import series_file

            found = series_file.read(
                path,
                freq,
                id_col=id_col,
                time_col=time_col,
                target_col=target_col,
                writing=series_file.Writing(sep, decimal, thousands, encoding, date_format, tz),
            )
            df, step, columns = found.df, found.freq, found.columns
            for line in found.notes:
                _note(line)

            compiling.announce(kernels_of)
        start = time.perf_counter()
        made = [getattr(library, name)(**settings | _steps(name, training)) for name in names]
        forecaster = library.Forecaster(models=made, freq=step)
        if cross_validate is not None:
            cv_df = forecaster.cross_validation(
                df, n_windows=cross_validate, step_size=steps, level=levels or None, val_size=val_size, **columns
            )
            seasonality = settings.get("seasonality")
            table = library.accuracy(cv_df, df, step, seasonality=seasonality, **columns)
            _accuracy(table, cross_validate, steps, cv_df[columns["id_col"]].nunique())
        forecaster.fit(df, val_size=val_size, verbose=int(verbose), **columns)
        forecasts = forecaster.predict(level=levels or None)
        seconds = time.perf_counter() - start

    if demo:
        _report(full[~later], full[later], forecasts, levels, step, seconds)
    if output is not None or not demo:
        _write_csv(forecasts, output)
    if plot is not None:
        _write_plot(full if demo else df, forecasts, plot, columns)


def _steps(name: str, training: int | None) -> dict[str, int]:
    """The argument for the number of training steps, as the model calls it."""
    if training is None:
        return {}
    return {"finetune_steps" if name == ModelName.PRETRAINED.value else "max_steps": training}


def _given(context: typer.Context) -> bool:
    """Whether anything stands behind the name of the command."""
    sources = (context.get_parameter_source(name) for name in context.params)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def _files_and_levels(positional: list[str], given: list[str] | None) -> tuple[str | None, list[int | float]]:
    """The file among the positional arguments; the numbers beside it are what stood behind `--level 80`."""
    levels, files = [_level(part) for words in given or [] for part in words.replace(",", " ").split()], []
    for word in positional:
        if given and word.replace(".", "", 1).isdigit():
            levels.append(_level(word))
        else:
            files.append(word)
    if len(files) > 1:
        raise ValueError(f"one FILE at a time; got {len(files)}: {', '.join(files)}")
    return (files[0] if files else None), levels


def _level(word: str) -> int | float:
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 1 <= number < 100:
        raise ValueError(f"--level takes percents from 1 to below 100, like --level 80 95; got {word!r}")
    return int(number) if number == int(number) else number


def _periods(season: str) -> list[int]:
    try:
        periods = [int(part) for part in season.replace(",", " ").split()]
    except ValueError:
        periods = []
    if not periods or min(periods) < 2:
        raise ValueError(f"--season takes periods of at least 2 steps, like --season 24,168; got {season!r}")
    return periods


def _check_names(output: str | None, plot: str | None) -> None:
    """Before anything is trained: both can be written, in the format that their names say."""
    from bptt.files.replacing import check_writable

    for path in (output, plot):
        if path is not None:
            check_writable(path)
    if output is not None and Path(output).suffix.lower() not in ("", ".csv", ".txt"):
        raise ValueError(
            f"--output writes CSV: the name must end in .csv or .txt, or have no extension; got {output!r}"
        )
    if plot is not None:
        try:
            from matplotlib.backend_bases import FigureCanvasBase
        except ImportError:
            raise ValueError("--plot draws with matplotlib, which is not installed: pip install bptt[plot]") from None
        if _suffix(plot) not in FigureCanvasBase.get_supported_filetypes():
            raise ValueError(f"--plot: the name must end in .png, .svg or .pdf; got {plot!r}")


def _suffix(path: str) -> str:
    return path.rpartition(".")[2].lower()


def _note(line: str) -> None:
    print(f"bptt: {line}", file=sys.stderr)


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """What the library warns of, in a line each and without the place in its source."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)

        def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            _note("warning: " + " ".join(str(message).split()))

        warnings.showwarning = show
        yield


def _accuracy(table: pd.DataFrame, windows: int, h: int, series: int) -> None:
    """The table of `accuracy`, and on how many series each model is worse than the seasonal naive forecast."""
    _note(f"{windows} last windows of {h} steps of {series} series:")
    shown = table.drop(columns="loses").round(3)
    for line in shown.to_string(index=False).splitlines():
        _note(line)
    for name, loses in zip(table["model"][:-1], table["loses"], strict=False):
        _note(f"{name} is worse than the seasonal naive forecast on {loses} of {series} series")


def _write_csv(forecasts: pd.DataFrame, output: str | None) -> None:
    text = forecasts.to_csv(index=False, float_format="%.8g", lineterminator="\n")
    if output is None:
        sys.stdout.write(text)
    else:
        from bptt.files.replacing import write_bytes

        write_bytes(output, text.encode())


def _write_plot(df: pd.DataFrame, forecasts: pd.DataFrame, path: str, columns: dict[str, Any]) -> None:
    from bptt import forecast as library
    from bptt.files.replacing import write_bytes

    picture = io.BytesIO()
    library.plot(df, forecasts, **columns).savefig(picture, format=_suffix(path), dpi=150)
    write_bytes(path, picture.getvalue())


def _report(
    train: pd.DataFrame,
    test: pd.DataFrame,
    forecasts: pd.DataFrame,
    levels: list[int | float],
    freq: str,
    seconds: float,
) -> None:
    """The demo's accuracy: MASE (Hyndman & Koehler 2006) beside the seasonal naive's and that of the expected value."""
    from bptt.forecast.frames.frequency import parse_freq

    season = (*parse_freq(freq).seasonality, 1)[0]
    series = train.groupby("unique_id", sort=False)["y"]
    scale = series.diff(season).abs().groupby(train["unique_id"], sort=False).mean()
    rows = test.merge(forecasts, on=["unique_id", "ds"], how="left").set_index("unique_id")
    last = {name: y.to_numpy()[-season:] for name, y in series}
    place = rows.groupby(level=0, sort=False).cumcount()
    rows["seasonal naive"] = [last[name][step % season] for name, step in zip(rows.index, place, strict=True)]
    bounds = {name for name in forecasts.columns if "-lo-" in name or "-hi-" in name}
    models = [name for name in forecasts.columns if name not in ("unique_id", "ds") and name not in bounds]

    def mase(column: str) -> float:
        error = (rows[column] - rows["y"]).abs().groupby(level=0, sort=False).mean()
        return float((error / scale).mean())

    h = int(place.max()) + 1
    print(f"{train['unique_id'].nunique()} generated series (freq {freq}), the last {h} values of each forecast")
    width = max(len(name) for name in (*models, "seasonal naive", "expected value"))
    print(f"{'':{width}}  MASE" + "".join(f"   inside {level}%" for level in levels))
    for name in models:
        inside = [rows["y"].between(rows[f"{name}-lo-{level}"], rows[f"{name}-hi-{level}"]).mean() for level in levels]
        shares = "".join(f"{100 * share:{len(f'   inside {level}%') - 1}.1f}%"
                         for share, level in zip(inside, levels, strict=True))  # fmt: skip
        print(f"{name:{width}} {mase(name):5.3f}{shares}")
    print(f"{'seasonal naive':{width}} {mase('seasonal naive'):5.3f}")
    print(f"{'expected value':{width}} {mase('expected'):5.3f}   (the rest is noise)")
    print(f"{seconds:.1f} s to train and forecast")
