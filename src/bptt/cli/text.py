"""`bptt text train`, `bptt text sample`, `bptt text eval`: character-level language models."""

from __future__ import annotations

import math
import os
import sys
from typing import Annotated, Any, Literal

import typer

from bptt.cli.options import (
    STANDARD_STREAM,
    Overwrite,
    Threads,
    check_json,
    check_places,
    set_threads,
    write_json,
)
from bptt.cli.terminal import Printer

app = typer.Typer(rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]})

DEMO_EPOCHS, EPOCHS = 6, 15
# Characters from which on n-grams take some seconds to count.
LONG = 500_000
OUTPUT = "model.safetensors"

Cell = Literal["lstm", "gru", "rnn"]
Nonlinearity = Literal["tanh", "relu"]
Precision = Literal["float32", "float64"]
OptimizerName = Literal["adam", "adamw", "rmsprop", "sgd"]
ScheduleName = Literal["cosine", "constant", "plateau"]
Split = Literal["tail", "lines"]

MODEL, TEXT, TRAINING, RESULTS = "The model", "The text", "Training", "Results"

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A file that `bptt text train` wrote.")]
Encoding = Annotated[
    str | None,
    typer.Option(help="Encoding of the files, like latin-1; default UTF-8.", show_default=False, rich_help_panel=TEXT),
]


def option(panel: str, help: str, *names: str, show_default: bool = True) -> Any:
    """An option of `train` in one of its panels."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=show_default)


@app.callback(invoke_without_command=True)
def _alone(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Text files, folders of them, or - for stdin."),
    ] = None,
    demo: Annotated[bool, option(TEXT, "Train on Python's standard library.", "--demo")] = False,
    encoding: Encoding = None,
    bytes_: Annotated[bool, option(TEXT, "Model bytes instead of characters.", "--bytes")] = False,
    validation_split: Annotated[float, option(TEXT, "Fraction of the text used for validation.")] = 0.1,
    split: Annotated[Split, option(TEXT, "tail: the end validates; lines: shuffled lines.")] = "tail",
    cell: Annotated[Cell, option(MODEL, "Recurrent cell.")] = "lstm",
    nonlinearity: Annotated[Nonlinearity, option(MODEL, "Activation of cell rnn.")] = "tanh",
    hidden_size: Annotated[int, option(MODEL, "Units per layer.")] = 256,
    num_layers: Annotated[int, option(MODEL, "Recurrent layers.")] = 1,
    embedding_size: Annotated[int, option(MODEL, "Width of the embedding.")] = 64,
    dropout: Annotated[
        float | None,
        option(MODEL, "Dropout after every layer; default 0.4 for short texts, else 0.2.", show_default=False),
    ] = None,
    input_dropout: Annotated[float, option(MODEL, "Dropout of the embedding, one mask per window.")] = 0.0,
    dtype: Annotated[Precision, option(MODEL, "Precision of all numbers.")] = "float32",
    seed: Annotated[int, option(MODEL, "The same seed gives the same model.")] = 0,
    streams: Annotated[
        int | None,
        option(TRAINING, "Parts of the text read side by side; default: automatic.", show_default=False),
    ] = None,
    window: Annotated[str, option(TRAINING, "Steps per update, or k1,k2.")] = "64",
    epochs: Annotated[
        int | None,
        option(TRAINING, f"Passes; default {EPOCHS}, with --demo {DEMO_EPOCHS}.", show_default=False),
    ] = None,
    optimizer: Annotated[OptimizerName, option(TRAINING, "Update rule.")] = "adam",
    learning_rate: Annotated[float, option(TRAINING, "Highest learning rate.")] = 2e-3,
    schedule: Annotated[ScheduleName, option(TRAINING, "Learning rate schedule.")] = "cosine",
    warmup: Annotated[int, option(TRAINING, "Steps in which the learning rate rises at the start.")] = 0,
    clip_norm: Annotated[float, option(TRAINING, "Limit of the gradient's norm; 0: none.")] = 1.0,
    clip_value: Annotated[float, option(TRAINING, "Limit of each gradient entry; 0: none.")] = 0.0,
    weight_decay: Annotated[float | None, option(TRAINING, "Default: the optimizer's own.", show_default=False)] = None,
    average: Annotated[
        float | None, option(TRAINING, "Decay of averaged weights, such as 0.998.", show_default=False)
    ] = None,
    patience: Annotated[
        int | None, option(TRAINING, "Stop after this many epochs without a better loss.", show_default=False)
    ] = None,
    output: Annotated[
        str | None,
        option(
            RESULTS,
            f"Where the best model so far is kept; default {OUTPUT}, with a number where that exists.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    json_: Annotated[
        str | None, option(RESULTS, "JSON file for settings, history and metrics; - is stdout.", "--json")
    ] = None,
    baselines: Annotated[
        bool, option(RESULTS, "Compare with n-grams on the same split; on with --demo.", "--baselines")
    ] = False,
    quiet: Annotated[bool, option(RESULTS, "Print nothing.", "--quiet")] = False,
    threads: Threads = None,
) -> int:
    """Train a model on text and keep the best one by validation loss."""
    if bool(files) == demo:
        raise ValueError("give FILE... (a text file, a folder, or - for standard input) or --demo, one of the two")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")  # a log wants no bar redrawn ten times a second
    from tqdm.auto import tqdm

    from bptt.files.replacing import unused
    from bptt.files.saving import check_replaceable
    from bptt.numerics import compiling
    from bptt.text import CharLM, corpus

    set_threads(threads)
    output = str(unused(OUTPUT)) if output is None else output
    check_places(files or [], {"--output": output, "--json": json_})
    check_replaceable(output, overwrite=overwrite)
    check_json(json_, overwrite)

    def say(line: str = "") -> None:
        if not quiet:
            tqdm.write(line, file=sys.stderr if json_ == STANDARD_STREAM else sys.stdout)

    lm = CharLM(
        cell=cell,
        hidden_size=hidden_size,
        num_layers=num_layers,
        embedding_size=embedding_size,
        dropout=dropout,
        input_dropout=input_dropout,
        nonlinearity=nonlinearity,
        vocabulary="bytes" if bytes_ else "characters",
        dtype=dtype,
        seed=seed,
    )
    if demo:
        compiling.announce(f"text train {cell}", quiet)
    content = corpus.standard_library() if demo else corpus.read(files or [], bytes_, encoding)
    name = "the standard library's source" if demo else " ".join(files or [])
    say(f"text        {name}: {len(content):,} characters, sha256 {corpus.sha256(content)[:12]}")
    if not demo:
        compiling.announce(f"text train {cell}", quiet)
    lm.fit(
        content,
        streams=streams,
        window=_window(window),
        epochs=(DEMO_EPOCHS if demo else EPOCHS) if epochs is None else epochs,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        clip_norm=clip_norm or None,
        clip_value=clip_value or None,
        weight_decay=weight_decay,
        average=average,
        validation_split=validation_split,
        split=split,
        patience=patience,
        output=output,
        overwrite=overwrite,
        progress=not quiet,
        callback=lambda row: say(_epoch_line(row)),
    )
    if lm.model is not None:
        grams = {}
        if (demo or baselines) and not lm.interrupted:
            if len(content) > LONG:
                say("counting n-grams of the same split, for comparison ...")
            grams = _baselines(content, lm)
        report = _training_report(lm, grams, output)
        for line in _summary(report):
            say(line)
        if demo and not lm.interrupted:
            say("\na sample, after the prompt 'def ':\n")
            say("def " + lm.sample("def ", length=400, temperature=0.8, seed=seed))
        write_json(json_, report, overwrite)
    return 130 if lm.interrupted else 0


@app.command()
def sample(
    model: Model,
    prompt: Annotated[str, typer.Option(help="Text to continue.")] = "",
    length: Annotated[int, typer.Option(help="Characters to generate.")] = 200,
    temperature: Annotated[float, typer.Option(help="Below 1 more conservative, above 1 more random.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k most likely only.", show_default=False)] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Sample from the most likely up to this probability.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
    threads: Threads = None,
) -> None:
    """Print a prompt and what the model writes after it."""
    from bptt.numerics import compiling
    from bptt.text import CharLM

    set_threads(threads)
    lm = CharLM.load(model)
    compiling.announce("text sample")
    parts = lm.stream(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    printer = Printer()
    printer.write(prompt)
    for part in parts:
        printer.write(part)
    printer.close()


@app.command(name="eval")
def evaluate(
    model: Model,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text file, a folder, or - for stdin.")],
    streams: Annotated[int, typer.Option(help="Parts of the text read side by side.")] = 8,
    tail: Annotated[float, typer.Option(help="Evaluate this fraction at the end only.")] = 1.0,
    dynamic: Annotated[
        bool,
        typer.Option("--dynamic", help="Learn from each segment after scoring it; MODEL does not change."),
    ] = False,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Learning rate of --dynamic; default 0.001.", show_default=False),
    ] = None,
    encoding: Encoding = None,
    json_: Annotated[str | None, typer.Option("--json", help="JSON file for the results; - is stdout.")] = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
) -> None:
    """Measure how well a model predicts a text."""
    import bptt
    from bptt import arguments
    from bptt.numerics import compiling
    from bptt.text import CharLM, corpus, evaluating

    set_threads(threads)
    arguments.real("tail", tail, 0.0, 1.0, open_ends="min")
    check_places([model, file], {"--json": json_})
    check_json(json_, overwrite)
    lm = CharLM.load(model)
    content = corpus.read(file, lm.symbols == "bytes", encoding)
    if tail < 1:
        content = corpus.split(content, tail)[1]
    compiling.announce("text eval --dynamic" if dynamic else "text eval")
    figures = lm.evaluate(content, streams=streams, dynamic=dynamic, learning_rate=learning_rate)
    if json_ != STANDARD_STREAM:
        print(
            f"{figures['characters']:,} characters: {figures['nats_per_char']:.4f} nats/char, "
            f"{figures['bits_per_char']:.4f} bits/char, perplexity {figures['perplexity']:.3f}"
        )
        if figures["unknown"]:
            print(f"({figures['unknown']:,} of them the model never saw)")
        if dynamic:
            print(
                "(dynamic evaluation: a copy of the model learned from each segment of this text after "
                "scoring it; compare with dynamic results only)"
            )
    rate = (evaluating.RATE if learning_rate is None else learning_rate) if dynamic else None
    how = {"streams": streams, "dynamic": dynamic, "learning_rate": rate}
    write_json(
        json_, {"bptt": bptt.__version__, "model": model, "file": file, "tail": tail, **how, **figures}, overwrite
    )


def _window(window: str) -> int | tuple[int, int]:
    try:
        numbers = [int(part) for part in window.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise ValueError(f"window must be a number, or k1,k2; got {window!r}")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _baselines(content: str, lm: Any) -> dict[str, float]:
    """Nats per character of counting n-grams up to 5, on the split that the model trained on."""
    from bptt.text.baselines import witten_bell
    from bptt.text.corpus import shuffle_lines
    from bptt.text.fitting import split_tokens

    settings = lm.training["settings"]
    if settings["split"] == "lines":
        content = shuffle_lines(content, lm.settings["seed"])
    vocabulary, train, validation = split_tokens(content, lm.symbols, settings["validation_split"])
    if not (len(train) and len(validation)):
        return {}
    nats = witten_bell(train, validation, symbols=len(vocabulary), order=5)
    return {"unigram": float(nats[0]), "trigram": float(nats[2]), "5-gram": float(nats[4])}


def _epoch_line(row: dict[str, Any]) -> str:
    """An epoch in a line of fewer than 80 characters."""
    from tqdm import tqdm

    speed = tqdm.format_sizeof(row["chars_per_second"])
    return (
        f"epoch {row['epoch']:3}  train {row['train_nats']:.4f}  validation {row['validation_nats']:.4f} "
        f"({row['validation_bits']:.3f} bits)  {speed} chars/s  {row['seconds']:.0f} s"
    )


def _training_report(lm: Any, baselines: dict[str, float], output: str) -> dict[str, Any]:
    """What `--json` writes."""
    import bptt

    history = lm.history.to_dict("records")
    return {
        "bptt": bptt.__version__,
        "model": {**lm.model.settings, "parameters": int(lm.model.flat.size), "vocabulary": lm.symbols},
        "training": lm.training,
        "history": history,
        "baselines_nats": baselines,
        "final": {
            "epoch": lm.training["best"]["epoch"],
            "epochs_run": len(history),
            "validation_nats": lm.training["best"]["nats"],
            "validation_bits": lm.training["best"]["nats"] / math.log(2),
            "seconds": history[-1]["seconds"] if history else None,
            "interrupted": lm.interrupted,
            "output": output,
        },
    }


def _summary(report: dict[str, Any]) -> list[str]:
    """The report on a finished training, for people."""
    split, final = report["training"]["split"], report["final"]
    lines = [
        f"split       first {split['train_characters']:,} characters train, "
        f"last {split['validation_characters']:,} validate"
        + (f" ({split['unknown_in_validation']:,} of them unknown)" if split["unknown_in_validation"] else ""),
    ]
    model = report["model"]
    rows = {**report["baselines_nats"], f"{model['cell']} {model['hidden_size']}": final["validation_nats"]}
    for name, nats in rows.items():
        lines.append(f"{name:<10}  {nats:.4f} nats/char  {nats / math.log(2):.4f} bits/char")
    lines.append(f"model       {final['output']} ({model['parameters']:,} parameters, epoch {final['epoch']})")
    return lines
