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

from bptt.cli.exogenous import Columns, future_of, names_of, static_of
from bptt.cli.options import STANDARD_STREAM, Overwrite, Threads, check_json, check_places, set_threads, write_json

if TYPE_CHECKING:
    import pandas as pd

    from bptt.cli.series_file import Writing

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
    futr_exog: Annotated[
        str | None,
        typer.Option(help="Columns known for the future, like price,promo; last rows without a value have it.", **FILE),
    ] = None,
    future: Annotated[
        str | None, typer.Option(help="CSV with the times to come and the columns of --futr-exog.", **FILE)
    ] = None,
    hist_exog: Annotated[str | None, typer.Option(help="Columns known for the past only.", **FILE)] = None,
    stat_exog: Annotated[str | None, typer.Option(help="Columns of --static.", **FILE)] = None,
    static: Annotated[
        str | None, typer.Option(help="CSV with a row for each series: its name and columns.", **FILE)
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
        str | None, typer.Option(help="File for the forecasts; default: standard output.", **RESULT)
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="File for forecasts and accuracy as JSON; - for stdout.", **RESULT)
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="File for the fitted models, for --load and Forecaster.load.", **RESULT)
    ] = None,
    load: Annotated[
        str | None, typer.Option(help="Fitted models of --save; FILE, if given, is what they continue.", **MODEL)
    ] = None,
    overwrite: Overwrite = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show a progress bar.")] = False,
    threads: Threads = None,
) -> None:
    """Forecast the series of a CSV file."""
    from bptt import arguments

    if not _given(context):
        typer.echo(context.get_help())
        return

    path, levels = _files_and_levels(files or [], level)
    exogenous = Columns(
        names_of("--futr-exog", futr_exog), names_of("--hist-exog", hist_exog), names_of("--stat-exog", stat_exog),
        future, static,
    )  # fmt: skip
    if load is not None:
        trained = {
            "--demo": demo or None, "--model": model, "--season": season, "--val-size": val_size or None,
            "--cross-validate": cross_validate, "--max-steps": max_steps, "--freq": freq, "--hist-exog": hist_exog,
            "--stat-exog": stat_exog, "--save": save, "--plot": plot,
        }  # fmt: skip
        if asked := [option for option, value in trained.items() if value is not None]:
            raise ValueError(f"--load forecasts with models that are trained: leave out {', '.join(asked)}")
    elif (path is None) != demo:
        raise ValueError(
            "give FILE (a CSV of series, or - for standard input) or --demo, one of the two (bptt forecast -h shows "
            "more)"
        )
    if demo and (exogenous.settings or save is not None or json_ is not None):
        raise ValueError(
            "--demo makes its own series and prints a report: leave out --save, --json and options of columns"
        )
    if h is None and not demo and load is None:
        raise ValueError("--h is missing: how many steps to forecast, for example --h 24")
    exogenous.check()
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
    if exogenous.hist and ModelName.PRETRAINED.value in names:
        raise ValueError("--hist-exog is for models that are trained from nothing: add --model GRU, or leave it out")
    if val_size and set(names) == {ModelName.PRETRAINED.value}:
        raise ValueError("--val-size is for models that are trained: add --model GRU, or leave it out")
    set_threads(threads)
    inputs = [*(files or []), *(name for name in (future, static, load) if name is not None)]
    check_places(inputs, {"--output": output, "--plot": plot, "--save": save, "--json": json_})
    _check_names(output, plot)
    check_json(json_, overwrite)
    if save is not None:
        from bptt.files.saving import check_replaceable

        check_replaceable(save, overwrite=overwrite)

    from bptt.numerics import compiling

    kernels_of = f"forecast {' '.join(names)}"
    if demo:
        compiling.announce(kernels_of)
    with _warnings_in_a_line():
        from bptt import forecast as library
        from bptt.cli import series_file

        writing = series_file.Writing(sep, decimal, thousands, encoding, date_format, tz)
        if load is not None:
            compiling.announce("forecast --load")
            forecasts = _continued(load, path, exogenous, writing, h, levels, (id_col, time_col, target_col))
            _write_results(forecasts, None, {"load": load}, output, json_, overwrite)
            return
        if path is None:
            step: Any = freq or "D"
            full = library.generate_series(
                DEMO_SERIES, step, min_length=250, max_length=400, with_trend=True, seed=seed, expected=True
            )
            later = full.groupby("unique_id", sort=False).cumcount(ascending=False) < steps
            df = full.loc[~later, ["unique_id", "ds", "y"]]
            columns: dict[str, Any] = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}
            levels = levels or list(DEMO_LEVELS)
            own_names: dict[str, str] = {}
            futr_df = static_df = None
        else:
            found = series_file.read(
                path,
                freq,
                id_col=id_col,
                time_col=time_col,
                target_col=target_col,
                exogenous=(*exogenous.futr, *exogenous.hist),
                writing=writing,
            )
            df, futr_df = future_of(found, exogenous, writing)
            static_df = static_of(found, exogenous, writing)
            step, columns, own_names = found.freq, found.columns, found.own_names
            for line in found.notes:
                _note(line)

            compiling.announce(kernels_of)
        start = time.perf_counter()
        settings |= exogenous.settings
        made = [getattr(library, name)(**settings | _steps(name, training, bool(exogenous.settings))) for name in names]
        forecaster = library.Forecaster(models=made, freq=step)
        table = None
        if cross_validate is not None:
            cv_df = forecaster.cross_validation(
                df, static_df, n_windows=cross_validate, step_size=steps, level=levels or None, val_size=val_size,
                **columns,
            )  # fmt: skip
            seasonality = settings.get("seasonality")
            table = library.accuracy(cv_df, df, step, seasonality=seasonality, **columns)
            _accuracy(table, cross_validate, steps, cv_df[columns["id_col"]].nunique())
        forecaster.fit(df, static_df, val_size=val_size, verbose=int(verbose), **columns)
        forecasts = forecaster.predict(futr_df=futr_df, level=levels or None)
        seconds = time.perf_counter() - start
        if save is not None:
            forecaster.save(save, overwrite=overwrite)

    if demo:
        _report(full[~later], full[later], forecasts, levels, step, seconds)
    if output is not None or not demo:
        how = {"models": names, "freq": step, "max_steps": training, **settings}
        _write_results(forecasts.rename(columns=own_names), table, how, output, json_, overwrite)
    if plot is not None:
        _write_plot(full if demo else df, forecasts, plot, columns)


def _continued(
    model: str,
    path: str | None,
    exogenous: Columns,
    writing: Writing,
    h: int | None,
    levels: list[int | float],
    names: tuple[str, str, str],
) -> pd.DataFrame:
    """What the models of a file forecast after its series, or after those of `path`."""
    from bptt import forecast as library
    from bptt.cli import series_file

    forecaster = library.Forecaster.load(model)
    own_names: dict[str, str] = {}
    df = futr_df = None
    if path is not None:
        freq = forecaster.freq
        step = str(freq.offset) if freq.is_integer else freq.name
        id_col, time_col, target_col = names
        found = series_file.read(
            path, step, id_col=id_col, time_col=time_col, target_col=target_col, exogenous=exogenous.futr,
            writing=writing,
        )  # fmt: skip
        df, futr_df = future_of(found, exogenous, writing)
        own_names = found.own_names
        for line in found.notes:
            _note(line)
    elif exogenous.futr:
        raise ValueError("--futr-exog needs a FILE with --load: the series to continue, with these columns")
    forecasts = forecaster.predict(df, futr_df=futr_df, level=levels or None, h=h)
    return forecasts.rename(columns=own_names)


def _steps(name: str, training: int | None, exogenous: bool) -> dict[str, int | str]:
    """The argument for the number of training steps, as the model calls it."""
    pretrained = name == ModelName.PRETRAINED.value
    if training is None:
        return {"finetune_steps": "auto"} if pretrained and exogenous else {}
    return {"finetune_steps" if pretrained else "max_steps": training}


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


def _write_results(
    forecasts: pd.DataFrame,
    accuracy: pd.DataFrame | None,
    how: dict[str, Any],
    output: str | None,
    json_: str | None,
    overwrite: bool,
) -> None:
    """The forecasts as CSV, and all figures as JSON: a record for each row of them and of the table of `accuracy`."""
    if output is not None or json_ != STANDARD_STREAM:
        _write_csv(forecasts, output)
    if json_ is not None:
        import bptt

        shown = {} if accuracy is None else {"accuracy": _records(accuracy)}
        report = {"bptt": bptt.__version__, **how, **shown, "forecasts": _records(forecasts)}
        write_json(json_, report, overwrite)


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    times = frame.select_dtypes(["datetime", "datetimetz"]).columns
    written = frame.assign(**{column: frame[column].map(lambda time: time.isoformat()) for column in times})
    # JSON knows no NaN.
    return [dict(record) for record in written.astype(object).where(written.notna(), None).to_dict("records")]


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
