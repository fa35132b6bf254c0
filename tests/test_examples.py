"""The examples run, on small settings, and show what they say they show."""

import datetime
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import bptt

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SMALL = ["--characters", "8000", "--epochs", "1", "--hidden-size", "12"]


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = {
        "vanishing_gradient", "train_char_model", "forecast_one_series", "forecast_many_series", "adding_problem",
        "classify_sequences", "reconcile_hierarchy",
    }  # fmt: skip
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_train_char_model(capsys, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("it was the best of times, it was the worst of times\n" * 100)
    load("train_char_model").main([str(text), *SMALL])
    printed = capsys.readouterr().out
    assert "bits/char" in printed
    # The last thing printed is the prompt and 300 characters after it.
    assert printed[:-1][-305:-300] == "it wa"


def test_vanishing_gradient_table_and_plot(capsys, tmp_path):
    picture = tmp_path / "by_lag.png"
    load("vanishing_gradient").main([*SMALL, "--steps", "16", "--plot", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("lag"))
    assert lines[start].split() == ["lag", "RNN", "GRU", "LSTM"]
    rows = {int(cells[0]): np.array(cells[1:], float) for cells in map(str.split, lines[start + 1 : start + 8])}
    assert list(rows) == [0, 1, 2, 3, 5, 8, 12]
    assert all((lengths > 0).all() for lengths in rows.values())
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_forecast_one_series(capsys, tmp_path):
    picture = tmp_path / "one.png"
    load("forecast_one_series").main(["--finetune-steps", "5", "--plot", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "730 values of visits, 2023-01-01 to 2024-12-30"
    assert [line.split()[0] for line in lines[1:4]] == ["model", "Pretrained", "SeasonalNaive"]
    assert float(lines[2].split()[1]) < float(lines[3].split()[1])  # MASE
    header = next(number for number, line in enumerate(lines) if line.split()[:1] == ["ds"])
    assert lines[header].split()[1:] == [f"Pretrained{end}" for end in ("", "-lo-95", "-lo-80", "-hi-80", "-hi-95")]
    rows = [line.split() for line in lines[header + 1 : header + 15]]
    assert [row[0] for row in rows] == ["2024-12-31", *(f"2025-01-{day:02}" for day in range(1, 14))]
    for _, *figures in rows:
        point, *bounds = map(float, figures)
        assert bounds == sorted(bounds)
        assert bounds[0] <= point <= bounds[-1]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_forecast_one_series_of_a_file(capsys, tmp_path):
    path = tmp_path / "visits.csv"
    days = [f"{datetime.date(2024, 1, 1) + datetime.timedelta(day)},{day % 7 + day % 5}" for day in range(300)]
    path.write_text("day,visits\n" + "\n".join(days))
    load("forecast_one_series").main([str(path), "--freq", "D", "--h", "14"])
    printed = capsys.readouterr().out
    assert "300 values of visits" in printed
    assert [line.split()[0] for line in printed.splitlines()[-3:]] == ["2024-11-07", "2024-11-08", "2024-11-09"]


def test_series_that_are_too_short_are_refused_before_anything_is_trained(capsys):
    with pytest.raises(SystemExit):
        load("forecast_many_series").main(["--length", "60", "--series", "8", "--max-steps", "10"])
    assert "--length must be at least 126 days" in capsys.readouterr().err


def test_forecast_many_series(capsys, tmp_path):
    picture = tmp_path / "many.png"
    small = ["--series", "12", "--length", "180", "--max-steps", "5"]
    load("forecast_many_series").main([*small, "--plot", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("12 series, ")
    assert "504 forecasts" in lines[0]  # 12 series, 3 cutoffs, 14 days
    errors = {line[2:16].strip(): float(line[16:]) for line in lines[1:4]}
    assert list(errors) == ["GRU, knowing", "GRU", "last week"]
    # Last week's values, but for the trend and the promotions, err as far as values a week apart differ.
    assert errors["last week"] == pytest.approx(1, abs=0.25)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_error_by_lag_is_the_slope_of_the_last_loss(cell):
    """Against central differences: y of step t is moved by hand, and the steps after it run again from there."""
    from bptt.text import CharLM

    example = load("vanishing_gradient")
    text = "the quick brown fox jumps over the lazy dog\n" * 60
    lm = CharLM(cell=cell, hidden_size=6, embedding_size=4, dropout=0.0, dtype="float64", seed=3)
    lm.fit(text, streams=2, window=8, epochs=1, progress=False)
    steps = 5
    lengths = example.error_by_lag(lm, text, steps, rows=1)

    weights = lm.model.parameters
    tokens = lm.vocabulary.encode(text[: steps + 1])
    layer = getattr(bptt, cell.upper())(input_size=4, hidden_size=6, dtype="float64")
    layer.load_state_dict({name[4:]: value for name, value in weights.items() if name.startswith("rnn.")})
    x = weights["embedding.weight"][tokens[:-1]][:, None]

    def last_loss(lag, nudge):
        """The loss at the end, after `nudge` was added to the output `lag` steps before it."""
        _, state = layer(x[: steps - lag])
        h, *c = state if isinstance(state, tuple) else (state,)
        h = h + nudge
        if lag:
            y, _ = layer(x[steps - lag :], (h, *c) if c else h)
            h = y[-1:]
        logits = h[0, 0] @ weights["head.weight"].T + weights["head.bias"]
        return np.log(np.exp(logits).sum()) - logits[tokens[-1]]

    for lag in range(steps):
        slopes = [(last_loss(lag, v) - last_loss(lag, -v)) / 2e-5 for v in 1e-5 * np.eye(6)]
        assert lengths[lag] == pytest.approx(np.linalg.norm(slopes), rel=1e-6)


def test_adding_problem_is_solved_over_20_steps(capsys):
    best = load("adding_problem").main(["--steps", "20", "--epochs", "10"])
    assert best < 0.01  # always answering 1 has 1/6
    assert f"{best:.4f}; always answering 1 has 0.1667" in capsys.readouterr().out


def test_classify_sequences(capsys):
    accuracy = load("classify_sequences").main(["--epochs", "6"])
    assert accuracy > 0.75  # guessing has 0.25
    assert f"{accuracy:.3f}; guessing" in capsys.readouterr().out


def test_reconciled_forecasts_add_up(capsys):
    pytest.importorskip("hierarchicalforecast", reason="pip install hierarchicalforecast")
    errors = load("reconcile_hierarchy").main(["--days", "200"])
    assert errors.columns.tolist() == ["country", "region", "shop"]
    lines = {line.split(":")[0]: line for line in capsys.readouterr().out.splitlines() if "apart" in line}
    apart = {name: float(line.split()[-2]) for name, line in lines.items()}
    assert apart.pop("Pretrained") > 1
    assert len(apart) == 2
    assert max(apart.values()) < 0.01


def test_every_example_of_a_study_is_tested():
    names = {path.stem for path in (EXAMPLES / "study").glob("*.py")}
    assert names == {"linear_rnn", "influence_balancing", "bounded_memory", "chaos"}


def test_the_linear_network(capsys, tmp_path):
    assert abs(load("study/linear_rnn").main(["--plot", str(tmp_path / "linear.png")]) - 0.108) < 1e-12
    assert "factor of 0.9 a step" in capsys.readouterr().out
    assert (tmp_path / "linear.png").exists()


def test_influence_balancing(capsys, tmp_path):
    """Tallec & Ollivier (2017): truncation diverges, ARTBP and long truncations reach -1/6."""
    found = load("study/influence_balancing").main(["--updates", "160", "--plot", str(tmp_path / "influence.png")])
    for name in ("bptt", "50 steps", "100 steps"):
        assert abs(found[name] + 1 / 6) < 1e-6, name
    assert found["10 steps"] > found["20 steps"] * 0.5 > 1
    assert found["30 steps"] > 1
    assert "K =  45:    -0.532" in capsys.readouterr().out


def test_bounded_memory(capsys, tmp_path):
    points = load("study/bounded_memory").main(["--steps", "3000", "--plot", str(tmp_path / "memory.png")])
    assert [share for share, _ in points] == [0.5, 0.2, 0.05, 0.03, 0.02]
    assert "the same bits" in capsys.readouterr().out


def test_chaos(tmp_path):
    found = load("study/chaos").main(["--units", "60", "--plot", str(tmp_path / "chaos.png")])
    assert found[0.5][0] < 0 < found[3.0][0]
    for exponent, slope in found.values():
        assert abs(exponent - slope) < 0.08
