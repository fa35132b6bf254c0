"""`bptt forecast`: what it prints, what it leaves behind, and how it refuses a file that is no series."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bptt.cli import main, series_file
from bptt.forecast import generate_series

QUICK = ["--max-steps", "3"]


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three daily series in a long frame."""
    path = tmp_path_factory.mktemp("forecast") / "daily.csv"
    generate_series(3, "D", 60, 80, seed=1).to_csv(path, index=False)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[pd.DataFrame, str]:
    """The frame that a command prints, and what it says on standard error."""
    capsys.readouterr()
    assert main(["forecast", *map(str, words), *(QUICK if "--model" in words else [])]) == 0
    out, err = capsys.readouterr()
    return pd.read_csv(io.StringIO(out)), err


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """Run what has to fail as bad usage or input; returns its last line, all of it on standard error."""
    capsys.readouterr()
    assert main(["forecast", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    lines = err.splitlines()
    assert all(line.startswith("bptt: ") for line in lines)
    return lines[-1]


def test_a_long_frame(daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, err = run(capsys, daily, "--h", 5)
    given = pd.read_csv(daily)
    assert list(found.columns) == ["unique_id", "ds", "Pretrained"]
    assert found["unique_id"].tolist() == list(np.repeat(["S0", "S1", "S2"], 5))
    for name, rows in found.groupby("unique_id"):
        last = given.loc[given["unique_id"] == name, "ds"].iloc[-1]
        assert rows["ds"].tolist() == [str(ds.date()) for ds in pd.date_range(last, periods=6)[1:]]
    assert np.isfinite(found["Pretrained"]).all()
    said = [line for line in err.splitlines() if "compiling kernels" not in line]
    assert len(said) == 1
    assert "freq 'D', inferred from series" in said[0]
    again, _ = run(capsys, daily, "--h", 5, "--freq", "D")
    pd.testing.assert_frame_equal(found, again)


@pytest.mark.parametrize("words", [["--level", "80", "95"], ["--level", "80,95"], ["--level", "80", "--level", "95"]])
def test_levels_in_every_spelling(daily: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    found, _ = run(capsys, daily, "--h", 3, *words, "--freq", "D")
    assert list(found.columns[3:]) == ["Pretrained-lo-95", "Pretrained-lo-80", "Pretrained-hi-80", "Pretrained-hi-95"]
    assert (found["Pretrained-lo-95"] <= found["Pretrained-lo-80"]).all()
    assert (found["Pretrained-hi-80"] <= found["Pretrained-hi-95"]).all()


def test_levels_may_stand_before_the_file(daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = run(capsys, "--h", 3, "--level", 80, 90, daily)
    assert "Pretrained-hi-90" in found


def test_cross_validation_is_shown_beside_the_seasonal_naive(daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, err = run(capsys, daily, "--h", 5, "--freq", "D", "--cross-validate", 2, "--level", 80)
    assert len(found) == 15
    lines = [line.removeprefix("bptt: ").split() for line in err.splitlines()]
    header = next(line for line in lines if line[:2] == ["model", "mase"])
    assert header[2:] == ["mae", "smape", "coverage-80"]
    rows = {line[0]: line[1:] for line in lines if line[0] in ("Pretrained", "SeasonalNaive") and len(line) == 5}
    assert set(rows) == {"Pretrained", "SeasonalNaive"}
    assert all(float(number) > 0 for number in rows["Pretrained"])
    assert "Pretrained is worse than the seasonal naive forecast on" in err


def test_what_is_trained_is_validated(daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--val-size is for models that are trained" in refused(capsys, daily, "--h", 3, "--val-size", 6)
    assert "--cross-validate is for a FILE" in refused(capsys, "--demo", "--cross-validate", 2)


def test_models_and_the_other_options(daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--season", "7,14", "--val-size", 6, "--seed", 3, "--threads", 1]
    found, err = run(capsys, daily, "--h", 3, "--model", "gru", "--model", "LSTM", "--model", "RNN", *words)
    assert list(found.columns[2:]) == ["GRU", "LSTM", "RNN"]
    assert err.count("\n") == 1


def test_the_same_seed_prints_the_same(daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = run(capsys, daily, "--h", 3, "--seed", 4)
    second, _ = run(capsys, daily, "--h", 3, "--seed", 4)
    pd.testing.assert_frame_equal(first, second)


def test_output_and_plot_are_files_and_nothing_is_printed(
    daily: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, picture = tmp_path / "out.csv", tmp_path / "out.svg"
    capsys.readouterr()
    words = ["--h", "4", "--freq", "D", "--level", "80", "--output", str(table), "--plot", str(picture)]
    assert main(["forecast", str(daily), *words, *QUICK]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")
    assert len(pd.read_csv(table)) == 12
    assert "<svg" in picture.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.svg"]


@pytest.mark.parametrize(
    "header", ["Month,Passengers\n", "time;value\n", "a\tb\n", ""], ids=["comma", "semicolon", "tab", "none"]
)
def test_two_columns_are_one_series(tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str) -> None:
    mark = next((mark for mark in ";\t" if mark in header), ",")
    path = tmp_path / "one.csv"
    months = pd.date_range("2010-01-01", periods=60, freq="MS")
    rows = [f"{month:%Y-%m}{mark}{100 + n % 12}" for n, month in enumerate(months)]
    path.write_text(header + "\n".join(rows) + "\n")
    found, err = run(capsys, path, "--h", 2)
    time = header.partition(mark)[0] or "ds"
    assert list(found.columns) == ["unique_id", time, "Pretrained"]
    assert found[time].tolist() == ["2015-01-01", "2015-02-01"]
    assert found["unique_id"].unique().tolist() == [header.strip().split(mark)[-1] or "y"]
    assert "freq 'MS'" in err
    assert ("no header" in err) == (header == "")


def test_value_and_time_the_other_way_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.csv"
    pd.DataFrame({"x": np.arange(40.0), "date": pd.date_range("2024-01-01", periods=40)}).to_csv(path, index=False)
    found, _ = run(capsys, path, "--h", 1)
    assert found[["unique_id", "date"]].to_numpy().tolist() == [["x", "2024-02-10"]]


def test_own_names_of_columns_and_ids_as_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shops.csv"
    df = generate_series(2, 1, 40, 40).assign(unique_id=lambda df: df["unique_id"].str.replace("S", "00"), more="x")
    df.rename(columns={"unique_id": "shop", "ds": "week", "y": "sold"}).to_csv(path, index=False)
    names = ["--id-col", "shop", "--time-col", "week", "--target-col", "sold"]
    capsys.readouterr()
    assert main(["forecast", str(path), "--h", "2", "--season", "4", *names]) == 0
    out, _ = capsys.readouterr()
    assert out.splitlines()[0] == "shop,week,Pretrained"
    assert [line.rpartition(",")[0] for line in out.splitlines()[1:]] == ["000,41", "000,42", "001,41", "001,42"]


def test_one_column_of_a_wide_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wide.csv"
    days = pd.date_range("2024-01-01", periods=40)
    pd.DataFrame({"date": days, "a": np.arange(40.0), "b": 1.5}).to_csv(path, index=False)
    found, _ = run(capsys, path, "--h", 1, "--time-col", "date", "--target-col", "a")
    assert found.iloc[0, :2].tolist() == ["a", "2024-02-10"]


@pytest.mark.parametrize(
    ("written", "format", "freq"),
    [
        (["%m/%d/%Y"], "%Y-%m-%d", "D"),
        (["%d/%m/%Y"], "%Y-%m-%d", "D"),
        (["%Y%m%d"], "%Y-%m-%d", "D"),
        (["%Y-%m-%dT%H:%M:%S"], "%Y-%m-%d %H:%M:%S", "h"),
    ],
)
def test_dates_as_people_write_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: list[str], format: str, freq: str
) -> None:
    path = tmp_path / "dates.csv"
    times = pd.date_range("2024-01-01", periods=61, freq=freq)
    pd.DataFrame({"t": times[:-1].strftime(written[0]), "v": np.arange(60.0)}).to_csv(path, index=False)
    found, err = run(capsys, path, "--h", 1)
    assert pd.Timestamp(found["t"].iloc[0]) == times[-1]
    assert f"freq {freq!r}" in err


def test_standard_input(monkeypatch: pytest.MonkeyPatch, daily: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_file, _ = run(capsys, daily, "--h", 2)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(daily.read_bytes())))
    found, _ = run(capsys, "-", "--h", 2)
    pd.testing.assert_frame_equal(found, from_file)


def test_missing_values_and_blank_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "holes.csv"
    days = pd.date_range("2024-01-01", periods=50)
    rows = [f"{day:%Y-%m-%d},{'' if n in (5, 6) else n % 7}" for n, day in enumerate(days)]
    path.write_text("day,visits\n\n" + "\n".join(rows) + "\n\n\n")
    found, _ = run(capsys, path, "--h", 2)
    assert np.isfinite(found["Pretrained"]).all()


def test_gaps_are_warned_of_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gaps.csv"
    df = generate_series(1, "D", 60, 60)
    df.drop(index=[20, 21]).to_csv(path, index=False)
    _, err = run(capsys, path, "--h", 2, "--freq", "D")
    assert err.count("\n") == 1
    assert err.startswith("bptt: warning: ")
    assert "2000-01-21" in err


GOOD = "unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,2\na,2024-01-03,x7\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected a CSV"),
        ("unique_id,ds,y\n", "a header and no rows"),
        ("just\nsome\nwords\n", "one column only ('just')"),
        (
            "a,b\n1,2\n3,4,5,6\n",
            "no table of values separated by commas, semicolons, tabs or | (Expected 2 fields in line 3",
        ),
        (GOOD, "line 4: column 'y' should have numbers; got 'x7'"),
        (GOOD.replace("x7", "3").replace("2024-01-02", "later"), "line 3: column 'ds' should have dates"),
        (GOOD.replace("x7", "3").replace("2024-01-02", ""), "line 3: no time in column 'ds'"),
        ("a,b,c\n1,2,3\n", "The following columns are missing: ['ds', 'y']; it has ['a', 'b', 'c']"),
        ("t,v\n0.5,1\n0.7,2\n", "column 't' should have dates or whole numbers; got 0.5 in line 2"),
        (
            "t,v\n2024-01-01,1\n2024-01-09,2\n2024-01-10,3\n2025-05-10,3\n",
            "the frequency cannot be inferred from the times of series 'v'",
        ),
        ("t,v\n01/02/2024,1\n02/03/2024,2\n05/11/2024,3\n", "month first ('01/02/2024' may be"),
    ],
)
def test_files_that_are_no_series(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    line = refused(capsys, path, "--h", 3)
    assert line.startswith(f"bptt: {path}")
    assert message in line


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path / "none.csv") in refused(capsys, tmp_path / "none.csv", "--h", 3)
    assert str(tmp_path) in refused(capsys, tmp_path, "--h", 3)
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00")
    assert f"bptt: {path}: " in refused(capsys, path, "--h", 3)


def test_usage_errors_name_the_option(daily: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def line(*words: Any) -> str:
        return refused(capsys, *words)

    assert "give FILE" in line("--h", 3)
    assert "one of the two" in line(daily, "--demo")
    assert "--h is missing" in line(daily)
    assert "--h must be" in line(daily, "--h", 0)
    assert "one FILE at a time" in line(daily, daily, "--h", 3)
    assert "'--model': 'TCN' is not one of" in line(daily, "--h", 3, "--model", "TCN")
    assert "no column for --id-col nope" in line(daily, "--h", 3, "--id-col", "nope")
    assert "--output writes CSV" in line(daily, "--h", 3, "--output", tmp_path / "out.xlsx")
    assert "is also an input" in line(daily, "--h", 3, "--output", daily)
    for level in ("high", 100, 0.95):
        assert "--level takes percents" in line(daily, "--h", 3, "--level", level)
    assert "--season takes periods" in line(daily, "--h", 3, "--season", "1")
    assert "--max-steps" in line(daily, "--h", 3, "--max-steps", 0)
    assert "--seed" in line(daily, "--h", 3, "--seed", -1)
    assert "--freq" in line(daily, "--h", 3, "--freq", 1)
    assert "'nonsense'" in line(daily, "--h", 3, "--freq", "nonsense")
    assert "shop" in line(daily, "--h", 3, "--id-col", "shop")
    assert "no such folder" in line(daily, "--h", 3, "--output", tmp_path / "none" / "out.csv")
    assert "must end in .png" in line(daily, "--h", 3, "--plot", tmp_path / "out.docx")


def test_demo_shows_its_accuracy_beside_the_seasonal_naive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, picture = tmp_path / "out.csv", tmp_path / "out.png"
    capsys.readouterr()
    assert main(["forecast", "--demo", "--h", "5", "--output", str(table), "--plot", str(picture), *QUICK]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    figures = {line[:15].strip(): line[15:].split() for line in out.splitlines()[2:5]}
    assert list(figures) == ["GRU", "seasonal naive", "expected value"]
    assert out.splitlines()[1].split("   ")[-2:] == ["inside 80%", "inside 95%"]

    # The same figures from their definition.
    full = generate_series(50, "D", 250, 400, with_trend=True, seed=0, expected=True)
    test = full.groupby("unique_id").tail(5)
    errors: dict[str, list[float]] = {name: [] for name in figures}
    forecasts = pd.read_csv(table)
    for name, rows in test.groupby("unique_id"):
        y = full.loc[full["unique_id"] == name, "y"].to_numpy()[:-5]
        scale = np.abs(y[7:] - y[:-7]).mean()
        actual = rows["y"].to_numpy()
        made = forecasts.loc[forecasts["unique_id"] == name, "GRU"].to_numpy()
        of = {"GRU": made, "seasonal naive": y[-7:-2], "expected value": rows["expected"].to_numpy()}
        for column, values in of.items():
            errors[column].append(np.abs(actual - values).mean() / scale)
    for column, values in errors.items():
        assert float(figures[column][0]) == pytest.approx(np.mean(values), abs=6e-4)
    assert picture.read_bytes().startswith(b"\x89PNG")


MONTHS = pd.date_range("2018-01-01", periods=60, freq="MS")
HOURS = pd.date_range("2023-01-01", periods=700, freq="h")
DAYS = pd.date_range("2023-01-01", periods=100)
WEEKS = pd.date_range("2022-01-03", periods=60, freq="W-MON")
BERLIN = pd.date_range("2023-03-20", periods=400, freq="h", tz="Europe/Berlin")


def found(path: Path, text: str, written: str = "utf-8", **writing: str) -> series_file.SeriesFile:
    path.write_bytes(text.encode(written))
    columns = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}
    return series_file.read(str(path), None, **columns, writing=series_file.Writing(**writing))


@pytest.mark.parametrize(
    ("index", "style"),
    [
        (MONTHS, "%m/%d/%Y"),
        (HOURS, "%m/%d/%Y %I:%M %p"),
        (DAYS, "%d-%m-%y"),
        (DAYS, "%d.%m.%Y"),
        (MONTHS, "%b-%y"),
        (MONTHS, "%Y%m"),
        (WEEKS, "%G-W%V"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_of_several_readings_the_one_without_gaps_is_taken(tmp_path: Path, index: pd.DatetimeIndex, style: str) -> None:
    lines = [f"{time:{style}},{n % 12}" for n, time in enumerate(index)]
    read = found(tmp_path / "x.csv", "ds,y\n" + "\n".join(lines))
    assert read.df["ds"].tolist() == index.tolist()
    assert read.freq == index.freqstr


def test_dates_that_remain_ambiguous_are_refused_and_can_be_said(tmp_path: Path) -> None:
    text = "ds,y\n" + "\n".join(f"{day}/2024,{n}" for n, day in enumerate(("01/02", "02/01", "05/06", "06/05")))
    with pytest.raises(ValueError, match=r"several ways, day first or month first \('01/02/2024' may be"):
        found(tmp_path / "x.csv", text)
    read = found(tmp_path / "x.csv", "ds,y\n05/01/2024,1\n06/01/2024,2\n07/01/2024,3", date_format="%d/%m/%Y")
    assert read.df["ds"].iloc[-1] == pd.Timestamp("2024-01-07")
    with pytest.raises(ValueError, match="line 5: column 'ds' is not written as --date-format '%Y'"):
        found(tmp_path / "x.csv", "ds,y\n2024,1\n2025,2\n2026,3\n24/7,4", date_format="%Y")


def test_offsets_of_a_clock_that_changes(tmp_path: Path) -> None:
    text = pd.Series(1.0, index=BERLIN.rename("ds"), name="y").to_csv()
    read = found(tmp_path / "x.csv", text)
    assert read.df["ds"].tolist() == BERLIN.tolist()
    assert "2 offsets from UTC" in read.notes[0]
    local = found(tmp_path / "x.csv", text, tz="Europe/Berlin")
    assert str(local.df["ds"].dt.tz) == "Europe/Berlin"
    assert local.df["ds"].tolist() == BERLIN.tolist()
    with pytest.raises(ValueError, match=r"--tz must be a time zone.*'Berlin'"):
        found(tmp_path / "x.csv", text, tz="Berlin")


@pytest.mark.parametrize(
    ("value", "number", "sep"),
    [
        ("1.234,5", 1234.5, ";"),
        ("0,5", 0.5, ";"),
        ('"1,234.5"', 1234.5, ","),
        ("1 234,5", 1234.5, "\t"),
        ("1.5", 1.5, "|"),
    ],
)
def test_marks_of_numbers_and_columns(tmp_path: Path, value: str, number: float, sep: str) -> None:
    lines = [f"{day:%Y-%m-%d}{sep}{value}" for day in DAYS]
    read = found(tmp_path / "x.csv", f"ds{sep}y\n" + "\n".join(lines))
    assert (read.df["y"] == number).all()
    assert any("is read as" in note for note in read.notes) == (value != "1.5")


def test_marks_that_are_given(tmp_path: Path) -> None:
    lines = [f"{day:%Y-%m-%d};1.234" for day in DAYS]
    text = "ds;y\n" + "\n".join(lines)
    assert (found(tmp_path / "x.csv", text).df["y"] == 1.234).all()
    assert (found(tmp_path / "x.csv", text, thousands=".", decimal=",").df["y"] == 1234).all()


@pytest.mark.parametrize("header", ["ds;y\n", ""])
@pytest.mark.parametrize(
    ("values", "is_said"),
    [
        (["1.234", "2.500", "987"], True),
        (["1.000", "2.000", "3.000"], True),
        (["1.234", "2.5"], False),
        (["1.234", "0.500"], False),
        (["1.234", "1234.500"], False),
        (["1", "2"], False),
    ],
)
def test_points_that_may_be_thousands_are_said(tmp_path: Path, values: list[str], is_said: bool, header: str) -> None:
    lines = [f"{day:%Y-%m-%d};{values[at % len(values)]}" for at, day in enumerate(DAYS)]
    text = header + "\n".join(lines)
    read = found(tmp_path / "x.csv", text)
    assert read.df["y"].iloc[0] == float(values[0])
    said = f"'{values[0]}' is read as {float(values[0]):g}; if it is {values[0].replace('.', '')}, give --thousands ."
    assert any(said in note for note in read.notes) == is_said
    assert not any("is read as 1" in note for note in found(tmp_path / "x.csv", text, decimal=".").notes)


def test_encodings(tmp_path: Path) -> None:
    text = "Zeit,Größe\n" + "\n".join(f"{day:%Y-%m-%d},{day.day}" for day in DAYS)
    for encoding, noted in (("utf-8", 0), ("utf-8-sig", 0), ("utf-16", 0), ("latin-1", 1)):
        read = found(tmp_path / "x.csv", text, encoding)
        assert read.df["unique_id"].iloc[0] == "Größe"
        assert sum("--encoding" in note for note in read.notes) == noted
    with pytest.raises(ValueError, match=r"--encoding must be one that Python knows.*'utf-99'"):
        found(tmp_path / "x.csv", text, encoding="utf-99")
