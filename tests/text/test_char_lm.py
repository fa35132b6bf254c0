"""`CharLM` from end to end: learning, validation, the best weights, files, errors."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

import bptt
from bptt import seeds
from bptt.text import CharLM, Vocabulary, corpus
from bptt.text.network.model import SequenceModel
from bptt.text.network.trainer import Trainer
from bptt.text.recipe import FitConfig, dropout_for
from bptt.training.optimizers import SGD, AdamW
from reference import REFERENCES
from reference.training import SGD as ReferenceSGD
from reference.training import Training

VERSE = "The owl and the pussy-cat went to sea\nIn a beautiful pea-green boat,\n"
SMALL: dict[str, Any] = {"hidden_size": 16, "embedding_size": 8, "dropout": 0.0, "seed": 3}
QUICK: dict[str, Any] = {"streams": 4, "window": 16, "epochs": 2, "learning_rate": 1e-2, "progress": False}


def fitted(text: str = VERSE * 30, make: dict[str, Any] | None = None, **fit: Any) -> CharLM:
    return CharLM(**{**SMALL, **(make or {})}).fit(text, **{**QUICK, **fit})


@pytest.fixture(scope="module")
def lm() -> CharLM:
    return fitted()


@pytest.mark.parametrize("make", [{"cell": "lstm"}, {"cell": "gru"}, {"cell": "rnn", "num_layers": 2}])
def test_a_repeating_text_is_learnt_by_heart(make: dict[str, Any], jit_disabled: bool) -> None:
    if jit_disabled:
        pytest.skip("some hundred windows take long without a compiler")
    lm = fitted(VERSE * 60, {"hidden_size": 48, **make}, epochs=30, schedule="cosine")
    figures = lm.evaluate(VERSE * 20)
    assert figures["nats_per_char"] < 0.05
    assert lm.sample(prompt=VERSE, length=len(VERSE), temperature=0) == VERSE


def test_history(lm: CharLM) -> None:
    history = lm.history
    assert isinstance(history, pd.DataFrame)
    assert history["epoch"].tolist() == [1, 2]
    length = (int(0.9 * len(VERSE * 30)) - 1) // 4
    assert set(history["windows"]) <= {length // 16, length // 16 - 1}
    assert (history["characters"] == history["windows"] * 16 * 4).all()
    np.testing.assert_allclose(history["validation_bits"], history["validation_nats"] / math.log(2))
    assert (history[["seconds", "chars_per_second", "gradient_norm", "train_nats"]] > 0).all(axis=None)
    assert (history["gradient_norm_max"] >= history["gradient_norm"]).all()
    assert history["clipped"].between(0, 1).all()
    assert history["learning_rate"].is_monotonic_decreasing
    assert "averaged_nats" not in history


def test_the_validation_figure_is_evaluate_of_the_tail(lm: CharLM) -> None:
    _, tail = corpus.split(VERSE * 30, 0.1)
    assert lm.evaluate(tail)["nats_per_char"] == lm.history["validation_nats"].min()


def test_same_seed_same_bits_and_another_seed_others(lm: CharLM) -> None:
    assert lm.model is not None
    again, other = fitted(), fitted(make={"seed": 4})
    assert again.model is not None
    assert other.model is not None
    np.testing.assert_array_equal(again.model.flat, lm.model.flat)
    same = ["epoch", "windows", "train_nats", "validation_nats", "gradient_norm"]
    pd.testing.assert_frame_equal(again.history[same], lm.history[same], check_exact=True)
    assert not np.array_equal(other.model.flat, lm.model.flat)


def test_how_windows_are_grouped_into_calls_changes_no_bit(lm: CharLM, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lm.model is not None
    monkeypatch.setattr("bptt.training.pace.SECONDS", 1e-9)  # one window per call
    again = fitted()
    assert again.model is not None
    np.testing.assert_array_equal(again.model.flat, lm.model.flat)


def test_a_path_is_read_and_a_str_that_names_no_file_is_the_text(tmp_path: Path, lm: CharLM) -> None:
    (tmp_path / "verse").write_text(VERSE * 30)
    again = fitted(tmp_path / "verse")  # type: ignore[arg-type]
    assert again.training == lm.training
    assert again.evaluate(tmp_path / "verse") == lm.evaluate(VERSE * 30)
    assert lm.training["corpus_sha256"] == corpus.sha256(VERSE * 30)
    with pytest.raises(ValueError, match="no such file exists"):
        fitted(str(tmp_path / "verses"))


def test_best_weights_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A rate that ruins the later epochs: the first one's weights are what is left."""

    def ruinous(learning_rate: float, steps: int, warmup: int) -> np.ndarray:
        return np.where(np.arange(steps) < steps // 4, 1.0, 100.0)

    lm = fitted(epochs=4, schedule=ruinous, optimizer="sgd", output=tmp_path / "best")
    nats = lm.history["validation_nats"]
    assert nats.idxmin() == 0
    _, tail = corpus.split(VERSE * 30, 0.1)
    assert lm.evaluate(tail)["nats_per_char"] == nats[0]
    assert lm.training["best"]["epoch"] == 1
    assert CharLM.load(tmp_path / "best").evaluate(tail)["nats_per_char"] == nats[0]


def test_patience_ends_a_run() -> None:
    def rates(learning_rate: float, steps: int, warmup: int) -> np.ndarray:
        return np.where(np.arange(steps) < steps // 10, learning_rate, 0.0)

    lm = fitted(epochs=10, schedule=rates, patience=2)  # the weights stand still after the first epoch
    assert len(lm.history) == 3


def test_plateau_lowers_the_rate_of_later_epochs() -> None:
    class Halving:
        def __call__(self, learning_rate: float, steps: int, warmup: int) -> np.ndarray:
            return np.full(steps, learning_rate)

        def observe(self, loss: float) -> float:
            return 0.5

    lm = fitted(epochs=3, schedule=Halving())
    assert lm.history["learning_rate"].tolist() == [0.01, 0.005, 0.0025]
    assert fitted(epochs=1, schedule="plateau").training["settings"]["schedule"].startswith("ReduceOnPlateau")


def test_averaged_weights_are_validated_and_the_better_kept() -> None:
    lm = fitted(average=0.9, epochs=3, weight_decay=0.01, optimizer="adamw", warmup=5, clip_value=0.5)
    history = lm.history
    better = history[["plain_nats", "averaged_nats"]].min(axis=1)
    np.testing.assert_array_equal(history["validation_nats"], better)
    assert (history["plain_nats"] != history["averaged_nats"]).all()
    _, tail = corpus.split(VERSE * 30, 0.1)
    assert lm.evaluate(tail)["nats_per_char"] == better.min()
    assert lm.training["settings"]["optimizer"]["weight_decay"] == 0.01


def test_without_validation_the_last_weights_are_kept() -> None:
    lm = fitted(validation_split=0)
    assert lm.history["validation_nats"].isna().all()
    assert lm.training["best"] == {
        "epoch": 2,
        "nats": pytest.approx(math.nan, nan_ok=True),
        "averaged": False,
    }
    assert lm.training["split"]["validation_characters"] == 0


def test_a_longer_past_for_the_error(lm: CharLM) -> None:
    assert lm.model is not None
    longer = fitted(window=(16, 48))
    assert longer.model is not None
    assert longer.training["settings"]["window"] == (16, 48)
    assert not np.array_equal(longer.model.flat, lm.model.flat)
    same = fitted(window=(16, 16))
    assert same.model is not None
    np.testing.assert_array_equal(same.model.flat, lm.model.flat)


def test_characters_that_only_the_tail_has_are_unknown() -> None:
    text = "abcd" * 500 + "é" * 20
    lm = fitted(text, validation_split=0.05, epochs=1)
    assert lm.training["split"]["unknown_in_validation"] == 20
    assert lm.evaluate("abé")["nats_per_char"] > lm.evaluate("aba")["nats_per_char"]
    with pytest.raises(ValueError, match=r"prompt has character\(s\) the model never saw: 'é', '中'"):
        lm.sample(prompt="a中é")


def test_bytes() -> None:
    lm = fitted("naïve café, " * 100, {"vocabulary": "bytes"})
    assert lm.model is not None
    assert lm.model.settings["vocabulary_size"] == 256
    assert lm.evaluate("中文")["characters"] == 5
    assert len(lm.sample(prompt="中", length=30).encode()) >= 30  # every broken byte becomes U+FFFD
    assert lm.training["split"]["train_characters"] == int(0.9 * 14 * 100)


# -- interrupted ------------------------------------------------------------


def interrupt_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    run, count = Trainer.run, [0]

    def interrupted(self: Trainer, *arguments: Any) -> Any:
        count[0] += 1
        if count[0] > calls:
            raise KeyboardInterrupt
        return run(self, *arguments)

    monkeypatch.setattr("bptt.training.pace.SECONDS", 1e-9)  # one window per call
    monkeypatch.setattr(Trainer, "run", interrupted)


def test_interrupted_after_a_validation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = fitted(epochs=1, schedule="constant")
    interrupt_after(monkeypatch, int(whole.history["windows"][0]) + 3)
    lm = fitted(epochs=3, schedule="constant", output=tmp_path / "best")
    assert lm.interrupted
    assert len(lm.history) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped: the best model so far (epoch 1, ")
    assert line.endswith(f"is kept in {tmp_path / 'best'}")
    monkeypatch.undo()
    text = VERSE * 3
    assert CharLM.load(tmp_path / "best").evaluate(text) == lm.evaluate(text)


@pytest.mark.parametrize("calls", [0, 1, 4])
def test_interrupted_before_any_validation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: int
) -> None:
    """Nothing is kept, and a model of before stays what it was."""
    before = fitted()
    assert before.model is not None
    flat, vocabulary, training, history = before.model.flat.copy(), before.vocabulary, before.training, before.history
    interrupt_after(monkeypatch, calls)
    for lm in (CharLM(**SMALL), before):
        assert lm.fit(VERSE[::-1] * 40, output=tmp_path / "best", **QUICK) is lm
        assert lm.interrupted
        assert capsys.readouterr().err == "stopped before the first validation: nothing was kept\n"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no weights yet"):
        CharLM(**SMALL).evaluate(VERSE)
    np.testing.assert_array_equal(before.model.flat, flat)
    assert before.vocabulary == vocabulary
    assert before.training is training
    assert before.history is history


def test_the_first_epoch_leaves_a_checkpoint_after_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bptt.text.fitting.CHECKPOINT", 0.0)
    path = tmp_path / "best"
    whole = fitted(output=path)
    assert CharLM.load(path).training["best"] == whole.training["best"]  # later replaced by what was validated
    path.unlink()
    interrupt_after(monkeypatch, 4)
    lm = fitted(output=path)
    assert lm.interrupted
    assert lm.model is None
    assert f"a checkpoint that was not validated, in {path}" in capsys.readouterr().err
    checkpoint = CharLM.load(path)
    assert checkpoint.training["best"]["epoch"] == 0
    assert checkpoint.evaluate(VERSE)["nats_per_char"] < 3.6  # of 28 symbols: better than guessing by then or near it


def assert_as_it_was(lm: CharLM, **fit: Any) -> Exception:
    """A fit that fails, on a model that has learnt something before: what it leaves is what was there."""
    assert lm.model is not None
    model, flat, training, history = lm.model, lm.model.flat.copy(), lm.training, lm.history
    with pytest.raises((ValueError, OSError, ArithmeticError, RuntimeError)) as caught:
        lm.fit(**{"text": VERSE * 30, **QUICK, **fit})
    assert lm.model is model
    assert lm.training is training
    assert lm.history is history
    np.testing.assert_array_equal(lm.model.flat, flat)
    return caught.value


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, where nothing is compiled
def test_a_fit_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    def broken(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise RuntimeError("callback")

    def ruinous(learning_rate: float, steps: int, warmup: int) -> np.ndarray:
        return np.where(np.arange(steps) < steps // 2, 0.1, 1e300)

    lm = fitted()
    assert_as_it_was(lm, text="too short")
    assert_as_it_was(lm, output=tmp_path / "no" / "folder")
    assert_as_it_was(lm, schedule=lambda rate, steps, warmup: np.ones(3))
    assert_as_it_was(lm, callback=broken)
    without = assert_as_it_was(lm, schedule=ruinous, optimizer="sgd", clip_norm=None)
    assert without.__notes__ == ["nothing was kept: output=path keeps the best model so far"]
    kept = assert_as_it_was(lm, schedule=ruinous, optimizer="sgd", clip_norm=None, output=tmp_path / "best")
    assert kept.__notes__[0].startswith("stopped: the best model so far (epoch 1")
    assert CharLM.load(tmp_path / "best").training["best"]["epoch"] == 1


@pytest.mark.parametrize("validation_split", [0.1, 0.0])
def test_a_training_that_diverges_is_no_result(tmp_path: Path, validation_split: float) -> None:
    with pytest.raises(ArithmeticError, match=r"^training diverged: .* lower learning_rate \(1000\)") as caught:
        fitted(learning_rate=1000.0, validation_split=validation_split, output=tmp_path / "best")
    assert caught.value.__notes__ == ["nothing was kept"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, where nothing is compiled
def test_losses_that_are_no_numbers_are_never_silent() -> None:
    lm = CharLM(**{**SMALL, "cell": "rnn", "nonlinearity": "relu"})
    with pytest.raises(bptt.NonFiniteError) as caught:
        lm.fit(VERSE * 30, **{**QUICK, "optimizer": SGD(momentum=0.9), "learning_rate": 1e20, "clip_norm": None})
    assert caught.value.__notes__ == ["stopped before the first validation: nothing was kept"]


# -- files ------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path, lm: CharLM) -> None:
    assert lm.model is not None
    path = tmp_path / "model"
    lm.save(path)
    again = CharLM.load(path)
    assert again.model is not None
    assert again.settings == lm.settings
    assert again.vocabulary == lm.vocabulary
    np.testing.assert_array_equal(again.model.flat, lm.model.flat)
    assert again.evaluate(VERSE) == lm.evaluate(VERSE)
    assert again.sample(length=50, seed=1) == lm.sample(length=50, seed=1)
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert json.loads(json.dumps(lm.training)) == again.training
    refitted = again.fit(VERSE * 30, **QUICK)
    assert refitted.model is not None
    np.testing.assert_array_equal(refitted.model.flat, lm.model.flat)


def test_the_number_of_threads_changes_no_bit_of_the_file(tmp_path: Path) -> None:
    for threads in (1, 2):
        bptt.set_num_threads(threads)
        fitted(make={"dropout": 0.3, "input_dropout": 0.1, "num_layers": 2}, output=tmp_path / str(threads))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_any_reader_of_safetensors_finds_the_tensors(tmp_path: Path, lm: CharLM) -> None:
    assert lm.model is not None
    lm.save(tmp_path / "model")
    tensors = load_file(tmp_path / "model")
    assert tensors.keys() == lm.model.parameters.keys()
    np.testing.assert_array_equal(tensors["rnn.weight_hh_l0"], lm.model.parameters["rnn.weight_hh_l0"])


def test_a_file_is_only_replaced_on_request_and_never_one_of_others(tmp_path: Path, lm: CharLM) -> None:
    novel, model = tmp_path / "novel.txt", tmp_path / "model"
    novel.write_text(VERSE * 30)
    lm.save(model)
    before = model.read_bytes()
    for path, reason in ((model, "pass overwrite=True"), (novel, "not a bptt model")):
        with pytest.raises(FileExistsError, match=reason):
            lm.save(path)
        with pytest.raises(FileExistsError, match=reason):
            fitted(novel, output=path)  # type: ignore[arg-type]
    with pytest.raises(FileExistsError, match="not a bptt model"):
        lm.save(novel, overwrite=True)
    assert (novel.read_text(), model.read_bytes()) == (VERSE * 30, before)
    other = fitted(make={"seed": 4}, output=model, overwrite=True)
    assert CharLM.load(model).evaluate(VERSE) == other.evaluate(VERSE)
    lm.save(model, overwrite=True)
    assert model.read_bytes() == before


def test_two_runs_that_start_together_do_not_replace_each_others_file(tmp_path: Path, lm: CharLM) -> None:
    """The other run's model appears after this one looked, and before its own first validation."""
    path, rows = tmp_path / "model", []

    def schedule(learning_rate: float, steps: int, warmup: int) -> np.ndarray:
        lm.save(path)
        return np.full(steps, learning_rate)

    with pytest.raises(FileExistsError, match="model"):
        fitted(output=path, schedule=schedule, callback=rows.append)
    assert CharLM.load(path).evaluate(VERSE) == lm.evaluate(VERSE)


def metadata_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    result: dict[str, Any] = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["bptt"])
    return result


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t, m: t.pop("head.bias"), "'head.bias' is missing"),
        (lambda t, m: t.pop("rnn.bias_hh_l0"), r"rnn\.bias_hh_l0"),
        (lambda t, m: t.update(extra=np.zeros(1, np.float32)), "extra"),
        (lambda t, m: t.update({"head.weight": t["head.weight"][:, :-1]}), r"head\.weight"),
        (lambda t, m: t.update({"rnn.weight_ih_l0": t["rnn.weight_ih_l0"][:-1]}), r"rnn\.weight_ih_l0"),
        (lambda t, m: t.update({"head.bias": t["head.bias"].astype(np.float64)}), "float64"),
        (lambda t, m: t["head.bias"].__setitem__(0, np.nan), "finite"),
        (lambda t, m: m["model"].update(hidden_size=10**9), r"rnn\.weight_ih_l0. must have shape \(4000000000, "),
        (lambda t, m: m["model"].update(num_layers=2), "num_layers"),
        (lambda t, m: m["model"].update(cell="transformer"), "cell"),
        (lambda t, m: m["model"].update(dropout=2), "dropout"),
        (lambda t, m: m["model"].update(colour="red"), "colour"),
        (lambda t, m: m["vocabulary"]["code_points"].pop(), "vocabulary"),
        (lambda t, m: m.pop("vocabulary"), "vocabulary"),
        (lambda t, m: m.update(model=[]), "model: must be an object with the fields"),
        (lambda t, m: m.update(version=2), "newer bptt"),
        (lambda t, m: m.update(format="bptt.Forecaster"), "bptt.Forecaster"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, lm: CharLM, change: Any, reason: str) -> None:
    path = tmp_path / "model"
    lm.save(path)
    tensors, metadata = {name: array.copy() for name, array in load_file(path).items()}, metadata_of(path)
    change(tensors, metadata)
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, path, {"bptt": json.dumps(metadata)})
    with pytest.raises(ValueError, match=reason) as caught:
        CharLM.load(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_of_the_first_layout_is_read() -> None:
    """Written before there were checksums, and before seeds were drawn by purpose."""
    lm = CharLM.load(Path(__file__).parent.parent / "golden" / "char_lm_v1.safetensors")
    assert lm.evaluate("the cat sat on the mat")["nats_per_char"] == pytest.approx(2.4308552742004395, rel=1e-4)


def test_missing_file_and_unwritable_place(tmp_path: Path, lm: CharLM) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        CharLM.load(tmp_path / "nothing")
    with pytest.raises(OSError, match="no/such/folder"):
        lm.save(tmp_path / "no/such/folder/model")
    calls: list[Any] = []
    with pytest.raises(OSError, match="no/such/folder"):
        fitted(output=tmp_path / "no/such/folder/model", callback=calls.append)
    assert calls == []  # before training


# -- arguments ------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"cell": "transformer"}, "cell"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": -3}, "hidden_size"),
        ({"num_layers": 0}, "num_layers"),
        ({"embedding_size": 0}, "embedding_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"input_dropout": -0.1}, "input_dropout"),
        ({"nonlinearity": "sine"}, "nonlinearity"),
        ({"vocabulary": "words"}, "vocabulary"),
        ({"dtype": "float16"}, "dtype"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_the_constructor_names_what_is_wrong(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must"):
        CharLM(**wrong)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"text": ""}, "text is empty"),
        ({"text": "too short"}, "text is too short"),
        ({"text": VERSE * 30, "streams": 1000}, "text is too short"),
        ({"streams": 0}, "streams"),
        ({"window": 0}, r"window"),
        ({"window": (16, 8)}, "window must be .* k2 of at least k1"),
        ({"window": (1, 2, 3)}, "window"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"optimizer": AdamW(), "weight_decay": 0.1}, "weight_decay"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"schedule": "step"}, "schedule"),
        ({"schedule": lambda rate, steps, warmup: np.ones(3)}, "schedule must return"),
        ({"schedule": lambda rate, steps, warmup: np.full(steps, np.nan)}, "schedule must return"),
        ({"warmup": -1}, "warmup"),
        ({"warmup": 10_000}, "warmup"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"clip_value": -1.0}, "clip_value"),
        ({"average": 1.0}, "average"),
        ({"validation_split": 1.0}, "validation_split"),
        ({"validation_split": 1e-9}, "validation_split must leave"),
        ({"validation_split": 0.0, "patience": 2}, "validation_split"),
        ({"validation_split": 0.0, "schedule": "plateau"}, "validation_split"),
        ({"patience": 0}, "patience"),
    ],
)
def test_fit_names_what_is_wrong(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}"):
        fitted(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": 3},
        {"text": b"bytes"},
        {"streams": 2.5},
        {"schedule": 3},
        {"epochs": True},
        {"progress": 1},
        {"overwrite": "no"},
        {"callback": "row"},
    ],
)
def test_fit_names_what_is_of_another_type(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{next(iter(wrong))} must"):
        fitted(**wrong)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"text": "a"}, "text must have at least 2"),
        ({"streams": 0}, "streams"),
        ({"segment": 0, "dynamic": True}, "segment"),
        ({"learning_rate": 1e-3}, "learning_rate is for dynamic=True"),
        ({"learning_rate": -1e-3, "dynamic": True}, "learning_rate"),
    ],
)
def test_evaluate_names_what_is_wrong(lm: CharLM, wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        lm.evaluate(**{"text": VERSE, **wrong})


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"length": -1}, "length"),
        ({"temperature": -0.5}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"prompt": "中"}, "prompt"),
    ],
)
def test_sample_names_what_is_wrong(lm: CharLM, wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        lm.sample(**wrong)


def test_a_misspelt_keyword_is_answered_with_the_one_that_was_meant(lm: CharLM) -> None:
    for use, wrong, meant in (
        (CharLM, "hiden_size", "hidden_size"),
        (lm.fit, "stream", "streams"),
        (lm.evaluate, "dynamics", "dynamic"),
        (lm.sample, "temprature", "temperature"),
    ):
        with pytest.raises(TypeError, match=f"'{wrong}'; did you mean '{meant}'"):
            use(**{wrong: 1})
    with pytest.raises(TypeError, match=r"^dynamic must be True or False"):
        lm.evaluate(VERSE, dynamic="no")  # type: ignore[arg-type]


def test_nothing_works_before_fit(tmp_path: Path) -> None:
    lm = CharLM(**SMALL)
    for use in (lambda: lm.evaluate("ab"), lambda: lm.sample(), lambda: lm.save(tmp_path / "m")):
        with pytest.raises(ValueError, match="no weights yet: call fit"):
            use()
    assert repr(lm).startswith("CharLM(cell='lstm', hidden_size=16")


def test_a_string_that_names_a_file_is_read_as_that_file_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owl.txt").write_text("ab" * 300)
    settings: dict[str, Any] = {"streams": 2, "window": 8, "epochs": 1, "validation_split": 0.0, "progress": False}
    by_text = CharLM(hidden_size=4, embedding_size=3).fit("ab" * 300, **settings)
    by_path = CharLM(hidden_size=4, embedding_size=3).fit(Path("owl.txt"), **settings)
    assert caplog.messages == []
    by_name = CharLM(hidden_size=4, embedding_size=3).fit("owl.txt", **settings)
    assert "'owl.txt' is the name of a file" in caplog.text
    assert by_text.model is not None
    for lm in (by_name, by_path):
        assert lm.model is not None
        np.testing.assert_array_equal(lm.model.flat, by_text.model.flat)
    assert by_name.evaluate("owl.txt")["characters"] == by_name.evaluate(Path("owl.txt"))["characters"] == 599
    # A prompt is the text itself, whatever files there are.
    with pytest.raises(ValueError, match="prompt has character"):
        by_name.sample("owl.txt")
    assert by_name.sample(Path("owl.txt"), length=9) == by_name.sample("ab" * 300, length=9)


@pytest.mark.parametrize("name", ["plian.txt", "no such file.txt", "data/plain", "~/novel", "C:\\novel", "a.tar.gz"])
def test_a_misspelt_name_is_not_scored(lm: CharLM, name: str) -> None:
    for use in (lm.evaluate, lambda text: CharLM(**SMALL).fit(text, **QUICK)):
        with pytest.raises(ValueError, match="looks like the name of a file, but no such file exists"):
            use(name)
    assert lm.evaluate(name + "\n")["characters"] == len(name)


@pytest.mark.parametrize("text", ["The owl.", "the 3.14 th", "to be, or not", "ab", "...", "and/or it is"])
def test_a_line_is_a_text(lm: CharLM, text: str) -> None:
    assert lm.evaluate(text)["characters"] == len(text) - 1


def test_half_a_surrogate_pair_is_named_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"^text has '\\ud83d' at position 4: "):
        fitted("cut \ud83d x" * 200)


# -- what fits the text ------------------------------------------------------------


@pytest.mark.parametrize(("characters", "streams"), [(600, 1), (2_000, 1), (7_000, 2), (35_000, 4), (1_100_000, 32)])
def test_streams_fit_the_length(characters: int, streams: int) -> None:
    given = {
        "window": 64, "epochs": 1, "optimizer": "adam", "learning_rate": 1e-3, "schedule": "cosine", "warmup": 0,
        "validation_split": 0.1, "split": "tail",
    }  # fmt: skip
    recipe = FitConfig(**{field.name: None for field in fields(FitConfig)} | given)
    train = int(0.9 * characters)
    assert recipe.for_length(train).streams == streams
    assert streams * 64 < train
    assert replace(recipe, streams=7).for_length(train).streams == 7
    assert dropout_for(train) == (0.4 if characters < 100_000 else 0.2)


def test_what_was_chosen_is_in_the_report() -> None:
    lm = CharLM(hidden_size=4, embedding_size=3).fit(VERSE * 30, window=16, epochs=1, progress=False)
    assert lm.model is not None
    assert lm.training["settings"]["streams"] == 1
    assert lm.model.dropout == 0.4
    assert lm.settings["dropout"] is None  # chosen again for the next text


def test_a_seed_is_drawn_and_kept() -> None:
    one, two = CharLM(seed=None), CharLM(seed=None)
    assert one.settings["seed"] != two.settings["seed"]
    first = fitted(make={"seed": None})
    again = fitted(make={"seed": first.settings["seed"]})
    assert first.model is not None
    assert again.model is not None
    np.testing.assert_array_equal(first.model.flat, again.model.flat)
    assert first.sample(seed=None) != first.sample(seed=None)


def test_sorted_lines_are_noticed_and_shuffled_on_request(caplog: pytest.LogCaptureFixture) -> None:
    names = "".join(f"{a}{b}{c}\n" for a in "abcdefghij" for b in "aeiou" for c in "lmnr")
    tail = fitted(names)
    assert "split='lines'" in caplog.text
    caplog.clear()
    mixed = fitted(names, split="lines")
    assert caplog.messages == []
    assert mixed.training["split"]["rule"] == "tail of the shuffled lines for validation"
    assert mixed.training["corpus_sha256"] == tail.training["corpus_sha256"]
    assert tail.training["split"]["unknown_in_validation"] > 0
    assert mixed.training["split"]["unknown_in_validation"] == 0
    with pytest.raises(ValueError, match=r"^split must be one of 'tail', 'lines'"):
        fitted(split="random")


def test_unknown_characters_of_the_validation_are_said(caplog: pytest.LogCaptureFixture) -> None:
    fitted("abcd" * 500 + "д" * 100)
    assert "100 of the 210 characters for validation do not occur in the training part" in caplog.text


def test_starting_over_is_said(caplog: pytest.LogCaptureFixture) -> None:
    lm = fitted()
    assert caplog.messages == []
    lm.fit(VERSE * 30, **QUICK)
    assert "starts from new weights" in caplog.text


# -- against a run written out -------------------------------------------------


@pytest.mark.parametrize("window", [16, (8, 20)])
def test_the_epochs_are_those_of_the_naive_scheme(window: Any) -> None:
    """Offsets that differ from epoch to epoch, and a state that starts at zero in each."""
    text, epochs, streams = VERSE * 6, 4, 3
    make = {"cell": "gru", "hidden_size": 5, "embedding_size": 3, "dropout": 0.0, "dtype": "float64", "seed": 11}
    rule = {"momentum": 0.5, "weight_decay": 0.01}
    lm = CharLM(**make).fit(text, streams=streams, window=window, epochs=epochs, optimizer=SGD(**rule),
                            learning_rate=0.3, warmup=5, clip_norm=0.5, clip_value=0.1, validation_split=0,
                            progress=False)  # fmt: skip
    assert lm.model is not None
    vocabulary = Vocabulary(text)
    k1, k2 = (window, window) if isinstance(window, int) else window
    start = SequenceModel(vocabulary_size=len(vocabulary), init="orthogonal", **make)  # type: ignore[arg-type]
    naive = Training(REFERENCES["gru"], start.parameters, k1, k2, ReferenceSGD(**rule), clip_norm=0.5, clip_value=0.1)
    rows = corpus.streams(vocabulary.encode(text), streams)
    offsets = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(11, spawn_key=(seeds.PURPOSES.index("windows"), 0)))
    ).integers(0, k1, epochs)
    assert len(set(offsets)) > 2
    counts = (rows.shape[1] - 1 - offsets) // k1
    total, done = counts.sum() - 5, 0
    rates = np.concatenate([0.3 * np.arange(1, 6) / 5, 0.15 * (1 + np.cos(np.pi * np.arange(total) / total))])
    for epoch, (offset, windows) in enumerate(zip(offsets, counts, strict=True)):
        losses, norms = naive.run(rows, int(offset), rates[done : done + windows])
        done += windows
        np.testing.assert_allclose(lm.history["train_nats"][epoch], losses.mean(), rtol=1e-9)
        np.testing.assert_allclose(lm.history["gradient_norm_max"][epoch], norms.max(), rtol=1e-7)
        naive.reset()
    for name, value in lm.model.parameters.items():
        np.testing.assert_allclose(value, naive.theta[name], atol=1e-8, err_msg=name)


def test_the_average_is_kept_where_it_is_better() -> None:
    """Steps that are far too large: the mean of the weights they jump between is better than any of them."""
    lm = fitted(average=0.9, epochs=3, optimizer="sgd", learning_rate=30.0, schedule="constant")
    best = lm.training["best"]
    row = lm.history.loc[best["epoch"] - 1]
    assert best["averaged"]
    assert row["averaged_nats"] < row["plain_nats"]
    _, tail = corpus.split(VERSE * 30, 0.1)
    assert lm.evaluate(tail)["nats_per_char"] == row["averaged_nats"] == best["nats"]
    last = fitted(average=0.5, validation_split=0)
    assert last.training["best"]["averaged"]


def test_stream_is_sample_in_parts(lm: CharLM, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lm.sample("The owl", length=50, seed=2)
    monkeypatch.setattr("bptt.training.pace.SECONDS", 1e-9)
    monkeypatch.setattr("bptt.text.sampling.FIRST", 3)
    parts = list(lm.stream("The owl", length=50, seed=2))
    assert "".join(parts) == whole
    assert len(parts) > 40
    with pytest.raises(ValueError, match="length"):  # at once, not at the first part
        lm.stream(length=-1)
