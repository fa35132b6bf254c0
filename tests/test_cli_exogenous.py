"""`bptt forecast` with exogenous columns, saved models, and figures as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bptt.forecast import GRU, Forecaster
from test_cli_forecast import refused, run

H = 4
QUICK = ("--model", "GRU", "--freq", "D", "--h", H)


def priced(path: Path, *, later: bool = True) -> pd.DataFrame:
    """Two series that follow a price, in a file; with `later` its last rows have no y."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=60 + H, freq="D")
    parts = []
    for name in ("a", "b"):
        price = rng.standard_normal(days.size).round(3)
        y = np.where(np.arange(days.size) < 60, (10 + 2 * price).round(3), np.nan)
        parts.append(pd.DataFrame({"unique_id": name, "ds": days, "y": y, "price": price, "note": "x"}))
    df = pd.concat(parts, ignore_index=True)
    (df if later else df[df["y"].notna()]).to_csv(path, index=False)
    return df


def test_future_rows_at_the_end_or_in_their_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    df = priced(tmp_path / "both.csv")
    priced(tmp_path / "past.csv", later=False)
    coming = df.loc[df["y"].isna(), ["unique_id", "ds", "price"]]
    coming.to_csv(tmp_path / "future.csv", index=False)
    one, _ = run(capsys, tmp_path / "both.csv", *QUICK, "--futr-exog", "price")
    two, _ = run(capsys, tmp_path / "past.csv", *QUICK, "--futr-exog", "price", "--future", tmp_path / "future.csv")
    pd.testing.assert_frame_equal(one, two)
    assert one["ds"].tolist() == [str(day.date()) for day in coming["ds"]]
    library = Forecaster([GRU(H, futr_exog_list=["price"], max_steps=3)], "D")
    library.fit(df[df["y"].notna()].drop(columns="note"))
    np.testing.assert_allclose(one["GRU"], library.predict(futr_df=coming)["GRU"], rtol=1e-6)


def test_the_default_model_learns_from_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    df = priced(tmp_path / "both.csv")
    found, _ = run(capsys, tmp_path / "both.csv", "--freq", "D", "--h", H, "--futr-exog", "price", "--max-steps", 60)
    df["price"] = -df["price"].where(df["y"].isna(), -df["price"])
    df.to_csv(tmp_path / "other.csv", index=False)
    other, _ = run(capsys, tmp_path / "other.csv", "--freq", "D", "--h", H, "--futr-exog", "price", "--max-steps", 60)
    assert (found["Pretrained"] - other["Pretrained"]).abs().max() > 1e-3


def test_past_and_static_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    priced(tmp_path / "past.csv", later=False)
    (tmp_path / "shops.csv").write_text("unique_id;size;kind\na;1,5;corner\nb;2,5;mall\n")
    words = ("--hist-exog", "price", "--stat-exog", "size,kind", "--static", tmp_path / "shops.csv")
    found, _ = run(capsys, tmp_path / "past.csv", *QUICK, *words)
    plain, _ = run(capsys, tmp_path / "past.csv", *QUICK)
    assert len(found) == 2 * H
    assert (found["GRU"] != plain["GRU"]).all()


def test_a_saved_model_forecasts_the_same_and_continues_another_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    df = priced(tmp_path / "past.csv", later=False)
    model = tmp_path / "model"
    first, _ = run(capsys, tmp_path / "past.csv", *QUICK, "--level", 80, "--save", model)
    again, _ = run(capsys, "--load", model, "--level", 80)
    pd.testing.assert_frame_equal(first, again)
    shorter = df[df["y"].notna() & (df["ds"] < "2024-02-20")]
    shorter.to_csv(tmp_path / "shorter.csv", index=False)
    found, _ = run(capsys, tmp_path / "shorter.csv", "--load", model, "--h", 2)
    assert found["ds"].tolist() == ["2024-02-20", "2024-02-21"] * 2
    assert "exists" in refused(capsys, tmp_path / "past.csv", *QUICK, "--save", model)
    run(capsys, tmp_path / "past.csv", *QUICK, "--save", model, "--overwrite")


def test_a_saved_model_with_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    priced(tmp_path / "both.csv")
    model, words = tmp_path / "model", ("--futr-exog", "price")
    first, _ = run(capsys, tmp_path / "both.csv", *QUICK, *words, "--save", model)
    again, _ = run(capsys, tmp_path / "both.csv", "--load", model, *words)
    pd.testing.assert_frame_equal(first, again)


def test_json_has_what_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    priced(tmp_path / "past.csv", later=False)
    report = tmp_path / "report.json"
    found, _ = run(capsys, tmp_path / "past.csv", *QUICK, "--level", 80, "--cross-validate", 1, "--json", report)
    told = json.loads(report.read_text())
    assert told["models"] == ["GRU"]
    assert told["h"] == H
    assert [record["model"] for record in told["accuracy"]][-1] == "SeasonalNaive"
    said = pd.DataFrame(told["forecasts"])
    assert said["ds"].str[:10].tolist() == found["ds"].tolist()
    np.testing.assert_allclose(said["GRU-lo-80"], found["GRU-lo-80"], rtol=1e-6)


def test_json_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bptt.cli import main

    priced(tmp_path / "past.csv", later=False)
    assert main(["forecast", str(tmp_path / "past.csv"), "--freq", "D", "--h", "2", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["forecasts"]) == 4


def test_the_columns_keep_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = pd.date_range("2024-01-01", periods=60, freq="D").strftime("%Y-%m-%d")
    pd.DataFrame({"Day": days, "Sales": np.arange(60) % 7}).to_csv(tmp_path / "own.csv", index=False)
    found, _ = run(capsys, tmp_path / "own.csv", "--h", 2)
    assert found.columns.tolist() == ["unique_id", "Day", "Pretrained"]
    assert found["unique_id"].tolist() == ["Sales"] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--futr-exog", "cost"], "The following columns are missing: ['cost']; it has"),
        (["--futr-exog", "price,price"], "--futr-exog takes the names of columns, each once"),
        (["--futr-exog", "price,"], "--futr-exog takes the names of columns"),
        (["--futr-exog", "price"], "the future values are missing. Add rows"),
        (["--future", "x.csv"], "--future needs --futr-exog"),
        (["--futr-exog", "price", "--future", "nothing.csv"], "nothing.csv"),
        (["--stat-exog", "size"], "--stat-exog <columns> and --static <file> go together"),
        (["--hist-exog", "price"], "--hist-exog is for models that are trained from nothing: add --model GRU"),
        (["--load", "nothing"], "nothing"),
        (["--load", "m", "--model", "GRU", "--save", "n"], "leave out --model, --save"),
        (["--save", "FILE"], "--save FILE is also an input"),
    ],
)
def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    path = tmp_path / "past.csv"
    priced(path, later=False)
    more = [] if "--load" in words else ["--h", 2, "--freq", "D"]
    given = [str(path) if word == "FILE" else word for word in words]
    assert message.replace("FILE", str(path)) in refused(capsys, path, *more, *given)
