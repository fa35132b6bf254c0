"""The command line: what it prints, what it leaves behind, its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bptt.cli import main
from bptt.cli.terminal import Printer
from bptt.text import CharLM, corpus

VERSE = "Twinkle, twinkle, little bat!\nHow I wonder what you're at!\n"
SIZES = ["--hidden-size", "12", "--embedding-size", "6", "--streams", "4", "--window", "16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, a model trained on it, and the figures of its training."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "verse.txt").write_text(VERSE * 30)
    train = ["text", "train", str(folder / "verse.txt"), *SIZES, "--epochs", "2", "--learning-rate", "1e-2"]
    kept = ["--output", str(folder / "model"), "--json", str(folder / "metrics.json")]
    code = main([*train, *kept, "--baselines", "--quiet"])
    assert code == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """Run what has to fail as bad usage or input; returns its one line."""
    capsys.readouterr()
    quiet = ["--quiet"] if arguments[1:2] == ("train",) else []
    assert main([*map(str, arguments), *quiet]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def test_train_writes_model_and_metrics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["model"]["hidden_size"] == 12
    assert metrics["training"]["settings"]["window"] == [16, 16]
    assert metrics["training"]["corpus_sha256"] == corpus.sha256(VERSE * 30)
    assert [row["epoch"] for row in metrics["history"]] == [1, 2]
    assert metrics["final"]["validation_nats"] == min(row["validation_nats"] for row in metrics["history"])
    assert metrics["baselines_nats"]["5-gram"] < metrics["baselines_nats"]["unigram"]
    lm = CharLM.load(folder / "model")
    assert lm.training == metrics["training"]
    _, tail = corpus.split(VERSE * 30, 0.1)
    assert lm.evaluate(tail)["nats_per_char"] == metrics["final"]["validation_nats"]


def test_train_says_what_it_does(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["text", "train", str(folder / "verse.txt"), *SIZES, "--epochs", "1"]
    assert main([*command, "--output", str(folder / "other"), "--baselines"]) == 0
    out, err = capfd.readouterr()
    assert "1,770 characters, sha256" in out
    assert "first 1,593 characters train, last 177 validate" in out
    for word in ("epoch   1", "unigram", "trigram", "5-gram", "lstm 12", "bits/char", str(folder / "other")):
        assert word in out
    for word in ("loss=", "bits/char=", "char/s", "norm="):  # the bar
        assert word in err

    assert main([*command, "--output", str(folder / "other"), "--overwrite", "--json", "-"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["final"]["epochs_run"] == 1
    assert "epoch   1" in err


def test_every_option_arrives(folder: Path) -> None:
    options = {
        "--cell": "rnn",
        "--nonlinearity": "relu",
        "--hidden-size": 10,
        "--num-layers": 2,
        "--embedding-size": 5,
        "--dropout": 0.1,
        "--input-dropout": 0.05,
        "--dtype": "float64",
        "--streams": 3,
        "--window": "8,20",
        "--epochs": 2,
        "--optimizer": "adamw",
        "--learning-rate": 0.003,
        "--schedule": "plateau",
        "--warmup": 4,
        "--clip-norm": 0,
        "--clip-value": 0.5,
        "--weight-decay": 0.02,
        "--average": 0.9,
        "--validation-split": 0.2,
        "--patience": 2,
        "--seed": 7,
        "--threads": 1,
        "--output": folder / "all",
        "--json": folder / "all.json",
    }
    words = [str(word) for pair in options.items() for word in pair]
    assert main(["text", "train", str(folder / "verse.txt"), *words, "--bytes", "--quiet"]) == 0
    metrics = json.loads((folder / "all.json").read_text())
    model, settings = metrics["model"], metrics["training"]["settings"]
    for name in (
        "cell",
        "nonlinearity",
        "hidden_size",
        "num_layers",
        "embedding_size",
        "dropout",
        "dtype",
        "seed",
    ):
        assert model[name] == options["--" + name.replace("_", "-")]
    assert model["input_dropout"] == 0.05
    assert model["vocabulary"] == "bytes"
    for name in ("streams", "epochs", "learning_rate", "warmup", "average", "validation_split", "patience"):
        assert settings[name] == options["--" + name.replace("_", "-")]
    assert settings["window"] == [8, 20]
    assert settings["clip_norm"] is None
    assert settings["clip_value"] == 0.5
    assert settings["optimizer"]["name"] == "AdamW"
    assert settings["optimizer"]["weight_decay"] == 0.02
    assert settings["schedule"].startswith("ReduceOnPlateau")


def test_defaults_are_those_of_the_library(folder: Path) -> None:
    """What the issue of a command says without options is what `CharLM().fit(text)` does."""
    import inspect

    from bptt.cli import text as cli

    command = inspect.signature(cli.train).parameters
    for owner in (CharLM, CharLM.fit):
        for name, parameter in inspect.signature(owner).parameters.items():
            if name in command and name not in ("window", "epochs", "output", "clip_value"):
                assert command[name].default == parameter.default, name
    assert cli.EPOCHS == inspect.signature(CharLM.fit).parameters["epochs"].default


def test_demo_learns_the_standard_library(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = corpus.standard_library
    monkeypatch.setattr(corpus, "standard_library", lambda: whole(size=20_000))
    assert main(["text", "train", "--demo", *SIZES, "--epochs", "1", "--output", str(folder / "demo")]) == 0
    out, _ = capsys.readouterr()
    for word in ("standard library", "unigram", "trigram", "5-gram", "lstm 12", "prompt 'def '"):
        assert word in out


def test_sample(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "text",
        "sample",
        str(folder / "model"),
        "--prompt",
        "Twinkle",
        "--length",
        "30",
        "--top-k",
        "5",
    ]
    texts = []
    for seed in (0, 0, 1):
        assert main([*command, "--seed", str(seed), "--temperature", "0.8", "--top-p", "0.9"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert all(len(text) == len("Twinkle") + 30 + 1 for text in texts)
    lm = CharLM.load(folder / "model")
    assert texts[0] == "Twinkle" + lm.sample("Twinkle", 30, temperature=0.8, top_k=5, top_p=0.9, seed=0) + "\n"


def test_eval(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, text = str(folder / "model"), str(folder / "verse.txt")
    before = (folder / "model").read_bytes()
    lm = CharLM.load(model)
    assert main(["text", "eval", model, text, "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.items() >= lm.evaluate(VERSE * 30).items()
    assert main(["text", "eval", model, text, "--tail", "0.1", "--streams", "4"]) == 0
    out = capsys.readouterr().out
    _, tail = corpus.split(VERSE * 30, 0.1)
    assert out.startswith(f"176 characters: {lm.evaluate(tail, streams=4)['nats_per_char']:.4f} nats/char")
    dynamic = ["--dynamic", "--learning-rate", "0.002", "--json", str(folder / "figures")]
    assert main(["text", "eval", model, text, *dynamic]) == 0
    assert "dynamic evaluation" in capsys.readouterr().out
    figures = json.loads((folder / "figures").read_text())
    assert figures["nats_per_char"] == lm.evaluate(VERSE * 30, dynamic=True, learning_rate=0.002)["nats_per_char"]
    assert (folder / "model").read_bytes() == before


def test_a_command_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["text"], ["text", "-h"], ["text", "train", "-h"]):
        assert main(command) == 0
        assert "Usage: bptt text" in capsys.readouterr().out


def test_usage_is_refused_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, model = folder / "verse.txt", folder / "model"
    for arguments, word in (
        (["text", "trian"], "trian"),
        (["text", "train"], "--demo"),
        (["text", "train", text, "--demo"], "--demo"),
        (["text", "train", text, "--colour", "red"], "--colour"),
        (["text", "train", text, "--epochs", "many"], "--epochs"),
        (["text", "train", text, "--epochs"], "--epochs"),
        (["text", "train", text, "--epochs", "0"], "epochs"),
        (["text", "train", text, "--hidden-size", "-1"], "hidden_size"),
        (["text", "train", text, "--cell", "transformer"], "cell"),
        (["text", "train", text, "--window", "64,32"], "k2"),
        (["text", "train", text, "--window", "wide"], "window"),
        (["text", "train", text, "--threads", "0"], "--threads"),
        (["text", "train", text, "--optimizer", "lion"], "'adamw'"),
        (["text", "train", text, "--split", "random"], "'lines'"),
        (["text", "sample"], "MODEL"),
        (["text", "sample", model, "--temperature", "-1"], "temperature"),
        (["text", "sample", model, "--prompt", "中文"], "'中', '文'"),
        (["text", "eval", model], "FILE"),
        (["text", "eval", model, text, "--learning-rate", "1"], "learning_rate"),
        (["text", "eval", model, text, "--tail", "0"], "tail"),
    ):
        assert word in refused(capsys, *arguments), arguments


def test_input_is_refused_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, model = folder / "verse.txt", folder / "model"
    (folder / "empty").write_text("")
    (folder / "short").write_text("short")
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    (folder / "cut").write_bytes(model.read_bytes()[:-10])
    nowhere = folder / "no" / "such" / "folder" / "file"
    for arguments, word in (
        (["text", "train", nowhere], str(nowhere)),
        (["text", "train", folder / "empty"], "empty"),
        (["text", "train", folder / "short"], "too short"),
        (["text", "train", folder / "binary"], "--bytes"),
        (["text", "train", folder / "binary"], "--encoding"),
        (["text", "train", text, "--output", nowhere], str(nowhere)),
        (["text", "train", text, "--output", folder], str(folder)),
        (["text", "train", text, "--json", nowhere], str(nowhere)),
        (["text", "sample", nowhere], str(nowhere)),
        (["text", "sample", text], str(text)),
        (["text", "sample", folder / "cut"], "not a whole safetensors file"),
        (["text", "eval", folder, text], str(folder)),
        (["text", "eval", model, nowhere], str(nowhere)),
        (["text", "eval", model, folder / "empty"], "at least 2 characters"),
    ):
        if arguments[1] == "train" and "--output" not in arguments:
            arguments += ["--output", folder / "unused"]
        assert word in refused(capsys, *arguments), arguments
    assert not (folder / "unused").exists()


def test_lines_fit_a_terminal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["text", "train", str(folder / "verse.txt"), *SIZES, "--epochs", "2", "--average", "0.9"]
    assert main([*command, "--output", str(folder / "narrow"), "--baselines"]) == 0
    out, err = capfd.readouterr()
    epochs = [line for line in out.splitlines() if line.startswith("epoch")]
    assert len(epochs) == 2
    assert max(map(len, epochs)) < 80
    bars = [bar for bar in err.split("\r") if "norm=" in bar]
    assert bars
    assert max(len(bar.strip()) for bar in bars) < 90  # of a bar of 10; on a terminal it gives way
    row = {"epoch": 100, "train_nats": 1.2345, "validation_nats": 1.4889, "validation_bits": 2.148}
    from bptt.cli.text import _epoch_line

    assert len(_epoch_line({**row, "chars_per_second": 130_103.0, "seconds": 14_500.0})) < 80


def test_n_grams_are_counted_after_training(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bptt.cli.text.LONG", 100)
    command = ["text", "train", str(folder / "verse.txt"), *SIZES, "--epochs", "1", "--split", "lines", "--baselines"]
    assert main([*command, "--output", str(folder / "after")]) == 0
    out = capsys.readouterr().out
    assert out.index("epoch   1") < out.index("counting n-grams") < out.index("unigram")


def test_a_training_that_diverges_ends_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["text", "train", str(folder / "verse.txt"), *SIZES, "--epochs", "1", "--learning-rate", "1000"]
    assert main([*command, "--output", str(folder / "diverged"), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bptt: training diverged: ")
    assert err.count("\n") == 1
    assert not (folder / "diverged").exists()


def test_files_in_another_encoding(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.txt").write_bytes((VERSE * 30).replace("little", "petité").encode("latin-1"))
    command = ["text", "train", str(tmp_path / "latin.txt"), *SIZES, "--epochs", "1", "--quiet"]
    assert main([*command, "--encoding", "latin-1", "--output", str(tmp_path / "model")]) == 0
    assert "é" in CharLM.load(tmp_path / "model").vocabulary.symbols  # type: ignore[union-attr]
    evaluate = ["text", "eval", str(tmp_path / "model"), str(tmp_path / "latin.txt"), "--json", "-"]
    assert main([*evaluate, "--encoding", "latin-1"]) == 0
    assert json.loads(capsys.readouterr().out)["characters"] == 30 * len(VERSE) - 1


class Output(io.TextIOWrapper):
    """Standard output with an encoding of its own, perhaps a terminal."""

    def __init__(self, encoding: str, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def written(self) -> str:
        self.flush()
        content = self.buffer.getvalue()  # type: ignore[attr-defined]
        return content.decode(self.encoding)  # type: ignore[no-any-return]


def test_what_an_output_cannot_write_becomes_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output("cp1252", terminal=False)
    monkeypatch.setattr(sys, "stdout", output)
    printer = Printer()
    printer.write("né 😀")
    printer.write("?中")
    printer.close()
    assert output.written() == "né ???\n"
    assert capsys.readouterr().err.startswith("bptt: 2 characters that cp1252 lacks were written as '?'")


@pytest.mark.parametrize("terminal", [False, True])
def test_escape_characters_do_not_reach_a_terminal(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    output = Output("utf-8", terminal)
    monkeypatch.setattr(sys, "stdout", output)
    printer = Printer()
    printer.write("a\tb\nné\x1b[2J\x07\u202e")
    printer.close()
    shown = "\\x1b[2J\\x07\\u202e" if terminal else "\x1b[2J\x07\u202e"
    assert output.written() == f"a\tb\nné{shown}\n"


# -- files that must not be lost ------------------------------------------------------------


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_no_output_replaces_what_bptt_did_not_write(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.txt", "b.txt", "notes.json", "weights.safetensors"):
        (tmp_path / name).write_text("{}" if name == "notes.json" else VERSE * 30)
    (tmp_path / "linked").symlink_to("a.txt")
    os.link(tmp_path / "a.txt", tmp_path / "same")
    shutil.copy(folder / "model", tmp_path / "model")
    before = bytes_of(tmp_path)
    a, b, model = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "model"
    train = ["text", "train", a, *SIZES, "--epochs", "1"]
    for more, word in (
        (["--output", a], "is also an input"),
        (["--output", tmp_path / "linked"], "is also an input"),
        (["--output", tmp_path / "same"], "is also an input"),
        (["--output", tmp_path / "." / "x" / ".." / "a.txt"], "is also an input"),
        (["--output", b], "not a bptt model"),
        (["--output", tmp_path / "weights.safetensors"], "not a bptt model"),
        (["--output", tmp_path / "new", "--json", a], "is also an input"),
        (["--output", tmp_path / "new", "--json", tmp_path / "notes.json"], "not a bptt model"),
        (["--output", tmp_path / "new", "--json", tmp_path / "." / "new"], "is also --output"),
    ):
        for overwrite in ([], ["--overwrite"]):
            assert word in refused(capsys, *train, *more, *overwrite), more
    assert "exists already" in refused(capsys, *train, "--output", model)
    evaluate = ["text", "eval", model, a, "--overwrite", "--json"]
    for target in (model, a):
        assert "is also an input" in refused(capsys, *evaluate, target)
    assert "not a bptt model" in refused(capsys, *evaluate, b)
    assert bytes_of(tmp_path) == before


def test_a_model_is_replaced_on_request_and_the_default_name_is_numbered(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ["text", "train", str(folder / "verse.txt"), *SIZES, "--epochs", "1", "--quiet"]
    for count in (1, 2, 3):
        assert main(train) == 0
        assert len(list(tmp_path.iterdir())) == count
    assert (tmp_path / "model-3.safetensors").exists()
    before = bytes_of(tmp_path)
    assert main([*train, "--seed", "1", "--output", "model-2.safetensors", "--overwrite"]) == 0
    changed = {name for name, content in bytes_of(tmp_path).items() if before[name] != content}
    assert changed == {"model-2.safetensors"}
    report = ["text", "eval", "model.safetensors", str(folder / "verse.txt"), "--json", "figures.json"]
    assert [main(report), main(report), main([*report, "--overwrite"])] == [0, 2, 0]


# -- processes ------------------------------------------------------------


def process(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys; from bptt.cli import main; sys.exit(main())"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_standard_input_and_the_exit_code_of_a_process(folder: Path) -> None:
    run = process("text", "train", "-", *SIZES, "--epochs", 1, "--output", folder / "piped", "--quiet")
    out, err = run.communicate(VERSE * 30)
    assert (run.returncode, out, err) == (0, "", "")
    run = process("text", "eval", folder / "piped", "-", "--json", "-")
    out, err = run.communicate(VERSE)
    assert (run.returncode, err) == (0, "")
    assert json.loads(out)["characters"] == len(VERSE) - 1
    run = process("text", "eval", folder / "nothing", "-")
    out, err = run.communicate("")
    assert (run.returncode, out) == (2, "")
    assert "nothing" in err
    assert err.count("\n") == 1


def test_help_and_version() -> None:
    for arguments, words in (
        (["--help"], ["text"]),
        (["text", "train", "--help"], ["--hidden-size", "--weight-decay", "--demo"]),
        (["--version"], ["bptt 0."]),
    ):
        run = process(*arguments)
        out, err = run.communicate()
        assert (run.returncode, err) == (0, "")
        assert all(word in out for word in words)


def test_names_of_commands_alone_show_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in (
        ([], "forecast"),
        (["text"], "train"),
        (["-h"], "forecast"),
        (["text", "train", "-h"], "--epochs"),
        (["forecast"], "--season"),
    ):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert shown in out
        assert err == ""
    assert "bptt forecast -h shows more" in refused(capsys, "forecast", "--h", 3)


def test_the_package_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bptt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bptt ")
    completion = subprocess.run([sys.executable, "-m", "bptt", "--help"], capture_output=True, text=True, check=True)
    assert "--show-completion" in completion.stdout


def test_an_error_of_our_own_shows_its_traceback_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["text", "sample", "none.safetensors"]
    assert "Traceback" not in refused(capsys, *words)
    monkeypatch.setenv("BPTT_DEBUG", "1")
    assert main(words) == 2
    assert "Traceback" in capsys.readouterr().err


def test_threads_and_memory_name_the_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    for count in (0, 10**30):
        assert "--threads must be" in refused(capsys, "forecast", tmp_path / "x.csv", "--h", 2, "--threads", count)

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("bptt.cli.series_file.read", full)
    line = refused(capsys, "forecast", tmp_path / "x.csv", "--h", 2)
    assert "--h" in line
    assert "hidden" not in line


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_keeps_the_best_model_and_says_where(folder: Path) -> None:
    path = folder / "interrupted"
    # Tests that run in the background of a shell ignore SIGINT, and hand that on to their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = process("text", "train", folder / "verse.txt", *SIZES, "--epochs", 10**6, "--output", path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("epoch   3"):
            break
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in err
    assert err.count("stopped") == 1
    last = err.splitlines()[-1]
    assert last.startswith("stopped: the best model so far (epoch ")
    assert last.endswith(f"is kept in {path}")
    assert CharLM.load(path).evaluate(VERSE)["nats_per_char"] > 0


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_sample_is_written_as_it_is_made_and_ctrl_c_ends_it(folder: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = process("text", "sample", folder / "model", "--prompt", "Twinkle", "--length", 10**9)
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.stdout is not None
    assert run.stdout.read(2000).startswith("Twinkle")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert err.splitlines()[-1] == "bptt: stopped"
    assert err.count("stopped") == 1
    assert "Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_in_the_first_epoch_says_that_nothing_was_kept(folder: Path) -> None:
    path = folder / "nothing kept"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # Large enough that its first epoch takes a minute on any machine.
        run = process("text", "train", "--demo", "--hidden-size", 512, "--output", path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.stderr is not None
    seen, more = "", "-"
    while more and "norm=" not in seen:
        more = run.stderr.read(1)
        seen += more
    assert more, seen
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "nan" not in out
    assert err.splitlines()[-1] == "stopped before the first validation: nothing was kept"
    assert err.count("stopped") == 1
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_ends_a_forecast_with_one_line(tmp_path: Path) -> None:
    rows = [f"2024-{1 + day // 28:02}-{1 + day % 28:02},{day % 7}" for day in range(150)]
    (tmp_path / "series.csv").write_text("ds,y\n" + "\n".join(rows))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = process(
            *("forecast", tmp_path / "series.csv", "--h", 3, "--freq", "D", "--max-steps", 10**7, "--verbose"),
            *("--output", tmp_path / "forecasts.csv"),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.stderr is not None
    seen, more = "", "-"
    while more and not re.search(r"[1-9]\d*/10000000", seen):  # a step is done
        more = run.stderr.read(1)
        seen += more
    assert more, seen
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "bptt: stopped"
    assert (seen + err).count("stopped") == 1
    assert "Traceback" not in seen + err
    assert not (tmp_path / "forecasts.csv").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_reader_that_leaves_early_is_no_error(folder: Path) -> None:
    run = process("text", "sample", folder / "model", "--length", 200_000)
    assert run.stdout is not None
    assert run.stdin is not None
    assert run.stderr is not None
    run.stdout.read(10)
    run.stdout.close()
    assert run.wait(timeout=60) in (0, 1)
    assert run.stderr.read() == ""
    run.stderr.close()
    run.stdin.close()
