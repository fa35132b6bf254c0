"""Bad input: every message names the argument, says what came and what is accepted."""

import inspect

import numpy as np
import pytest

import bptt
from bptt.text.network.model import SequenceModel
from bptt.text.network.scoring import score
from bptt.text.network.trainer import Trainer
from bptt.training.optimizers import Adam

ONES = np.ones((4, 2, 3), "float32")
STATE = np.zeros((2, 2, 5), "float32")


def lstm(**options):
    return bptt.LSTM(input_size=3, hidden_size=5, num_layers=2, **options)


def refuses(kinds, *words):
    """Raises one of these errors, with all of the words in its message."""
    return pytest.raises(kinds, match="".join(f"(?=.*{word})" for word in words))


def with_value(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (with_value(ONES, (1, 0, 2), np.nan), ValueError, ("finite", "nan", r"\(1, 0, 2\)")),
        (with_value(ONES, (3, 1, 0), np.inf), ValueError, ("finite", "inf", r"\(3, 1, 0\)")),
        (ONES[0], ValueError, ("3 dimensions", r"\(2, 3\)", "T, B, I")),
        (ONES[None], ValueError, ("3 dimensions", r"\(1, 4, 2, 3\)")),
        (np.ones((4, 2, 4), "float32"), ValueError, ("I=3", r"\(4, 2, 4\)")),
        (np.ones((0, 2, 3), "float32"), ValueError, (r"\(0, 2, 3\)",)),
        (np.ones((4, 0, 3), "float32"), ValueError, (r"\(4, 0, 3\)",)),
        (ONES.astype("float64"), TypeError, ("float32", "float64")),
        (ONES.astype("int64"), TypeError, ("float32", "int64")),
        (ONES.astype("complex64"), TypeError, ("float32", "complex64")),
        (ONES.astype(">f4"), TypeError, ("float32",)),
        ([["a"]], TypeError, ("float32",)),
        (None, TypeError, ("float32",)),
    ],
)
def test_x(x, kind, words):
    layer = lstm()
    with refuses(kind, r"\bx\b", *words):
        layer.forward(x)
    with refuses(kind, r"\bx\b", *words):
        layer(x)


def test_batch_first_names_its_dimensions_in_order():
    with refuses(ValueError, r"\bx\b", "B, T, I=3"):
        lstm(batch_first=True)(np.ones((4, 2, 4), "float32"))


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        (STATE, TypeError, ("tuple", "h, c", "ndarray")),
        ((STATE,), TypeError, ("h, c",)),
        ((STATE, STATE, STATE), TypeError, ("h, c",)),
        ((STATE, STATE[:1]), ValueError, ("L=2", "B=2", "H=5", r"\(1, 2, 5\)")),
        ((STATE[:, :1], STATE), ValueError, ("B=2", r"\(2, 1, 5\)")),
        ((STATE[..., :4], STATE), ValueError, ("H=5", r"\(2, 2, 4\)")),
        ((STATE[0], STATE[0]), ValueError, ("3 dimensions", r"\(2, 5\)")),
        ((STATE.astype("f8"), STATE), TypeError, ("float32", "float64")),
        ((STATE, with_value(STATE, (0, 0, 0), np.nan)), ValueError, ("finite", "nan")),
    ],
)
def test_state(state, kind, words):
    layer = lstm()
    with refuses(kind, r"\bstate\b", *words):
        layer.forward(ONES, state)
    y, _, tape = layer.forward(ONES)
    with refuses(kind, r"\bdstate\b", *words):
        layer.backward(np.ones_like(y), tape, state)


def test_state_of_one_part():
    with refuses(ValueError, r"\bstate\b", "L=1", r"\(2, 2, 5\)"):
        bptt.GRU(3, 5).forward(ONES, STATE)


@pytest.mark.parametrize(
    ("lengths", "kind", "words"),
    [
        ([4, 5], ValueError, ("integers in 1", "T=4", "got 5", r"\(1,\)")),
        ([0, 4], ValueError, ("integers in 1", "T=4", "got 0", r"\(0,\)")),
        ([-1, 4], ValueError, ("-1",)),
        ([4], ValueError, ("B=2", r"\(1,\)")),
        ([4, 4, 4], ValueError, ("B=2", r"\(3,\)")),
        ([[4, 4]], ValueError, ("1 dimension", r"\(1, 2\)")),
        (4, ValueError, ("1 dimension", r"\(\)")),
        ([], TypeError, ("integers", "float64")),
        ([4.0, 2.0], TypeError, ("integers", "float64")),
        ([True, True], TypeError, ("integers", "bool")),
        (["a", "b"], TypeError, ("integers",)),
    ],
)
def test_lengths(lengths, kind, words):
    layer = lstm()
    with refuses(kind, r"\blengths\b", *words):
        layer.forward(ONES, lengths=lengths)
    with refuses(kind, r"\blengths\b", *words):
        layer(ONES, lengths=lengths)


@pytest.mark.parametrize(
    ("reset", "kind", "words"),
    [
        (np.zeros((2, 4), bool), ValueError, ("T=4, B=2", r"\(2, 4\)")),
        (np.zeros((4, 1), bool), ValueError, ("B=2", r"\(4, 1\)")),
        (np.zeros(4, bool), ValueError, ("2 dimensions", r"\(4,\)")),
        (np.zeros((4, 2), int), TypeError, ("bool", "int64")),
        (np.zeros((4, 2)), TypeError, ("bool", "float64")),
    ],
)
def test_reset(reset, kind, words):
    layer = lstm()
    with refuses(kind, r"\breset\b", *words):
        layer.forward(ONES, reset=reset)
    with refuses(kind, r"\breset\b", *words):
        layer(ONES, reset=reset)


def test_reset_with_batch_first():
    with refuses(ValueError, r"\breset\b", "B=4, T=2", r"\(2, 4\)"):
        lstm(batch_first=True)(ONES, reset=np.zeros((2, 4), bool))


@pytest.mark.parametrize(
    ("dy", "kind", "words"),
    [
        (np.ones((4, 2, 3), "f4"), ValueError, ("H=5", r"\(4, 2, 3\)")),
        (np.ones((3, 2, 5), "f4"), ValueError, ("T=4", r"\(3, 2, 5\)")),
        (np.ones((4, 2), "f4"), ValueError, ("3 dimensions",)),
        (np.ones((4, 2, 5)), TypeError, ("float32", "float64")),
        (with_value(np.ones((4, 2, 5), "f4"), (0, 1, 2), np.nan), ValueError, ("finite", r"\(0, 1, 2\)")),
    ],
)
def test_dy(dy, kind, words):
    layer = lstm()
    _, _, tape = layer.forward(ONES)
    with refuses(kind, r"\bdy\b", *words):
        layer.backward(dy, tape)


def test_tape():
    layer = lstm()
    y, state, _ = layer.forward(ONES)
    with refuses(TypeError, "tape", "tuple"):
        layer.backward(np.ones_like(y), state)
    for other in (
        bptt.LSTM(3, 5),
        bptt.GRU(3, 5, 2),
        bptt.LSTM(3, 6, 2),
        bptt.LSTM(3, 5, 2, dtype="float64"),
    ):
        _, _, tape = other.forward(ONES.astype(other.dtype))
        with refuses(ValueError, "tape", "another"):
            layer.backward(np.ones_like(y), tape)


@pytest.mark.parametrize("make", [bptt.RNN, bptt.GRU, bptt.LSTM])
@pytest.mark.parametrize(
    ("argument", "value", "kind"),
    [
        ("input_size", 0, ValueError),
        ("input_size", -3, ValueError),
        ("input_size", 2.5, TypeError),
        ("hidden_size", -1, ValueError),
        ("hidden_size", "5", TypeError),
        ("hidden_size", None, TypeError),
        ("hidden_size", True, TypeError),
        ("num_layers", 0, ValueError),
        ("num_layers", -2, ValueError),
        ("dropout", 1.0, ValueError),
        ("dropout", -0.1, ValueError),
        ("dropout", float("nan"), ValueError),
        ("dropout", "none", TypeError),
        ("dtype", "float16", ValueError),
        ("dtype", "complex64", ValueError),
        ("dtype", "nonsense", ValueError),
        ("dtype", None, ValueError),
        ("seed", -1, ValueError),
        ("seed", 1.5, TypeError),
        ("init", "zeros", ValueError),
    ],
)
def test_layer_arguments(make, argument, value, kind):
    with refuses(kind, rf"\b{argument}\b", str(value) if isinstance(value, int | float) else repr(value)):
        make(**({"input_size": 3, "hidden_size": 5} | {argument: value}))


def test_nonlinearity():
    with refuses(ValueError, "nonlinearity", "tanh", "relu", "sigmoid"):
        bptt.RNN(3, 5, nonlinearity="sigmoid")


def test_unknown_arguments():
    with pytest.raises(TypeError, match="bidirectional"):
        bptt.LSTM(3, 5, bidirectional=True)


def changed(**changes):
    mapping = lstm().state_dict() | changes
    return {key: value for key, value in mapping.items() if value is not None}


@pytest.mark.parametrize(
    ("mapping", "kind", "words"),
    [
        (changed(weight_hh_l1=None), ValueError, ("missing: weight_hh_l1",)),
        (changed(weight_ih_l2=ONES), ValueError, ("unexpected: weight_ih_l2",)),
        (changed(bias_ih_l0=np.ones(19)), ValueError, ("bias_ih_l0", r"\(20,\)", r"\(19,\)")),
        (changed(weight_ih_l0=np.ones((3, 20))), ValueError, ("weight_ih_l0", r"\(20, 3\)", r"\(3, 20\)")),
        (changed(bias_hh_l1=np.full(20, np.nan)), ValueError, ("bias_hh_l1", "finite")),
        (changed(bias_hh_l1=np.full(20, 1j)), TypeError, ("bias_hh_l1", "complex")),
        (changed(bias_hh_l1=["a"] * 20), TypeError, ("bias_hh_l1",)),
        ({}, ValueError, ("missing", "weight_ih_l0")),
        ([1, 2], TypeError, ("mapping", "list")),
    ],
)
def test_load_state_dict(mapping, kind, words):
    layer = lstm(seed=7)
    before = layer.flat.copy()
    with refuses(kind, "state_dict", *words):
        layer.load_state_dict(mapping)
    np.testing.assert_array_equal(layer.flat, before)


def test_values_that_do_not_fit_float32():
    layer = lstm()
    before = layer.flat.copy()
    with refuses(ValueError, "bias_ih_l0", "finite"):
        layer.load_state_dict(changed(bias_ih_l0=np.full(20, 1e300)))
    np.testing.assert_array_equal(layer.flat, before)


def test_embedding():
    embedding = bptt.Embedding(5, 3)
    for tokens, kind, words in (
        (np.array([0, 5]), ValueError, ("5",)),
        (np.array([-1, 2]), ValueError, ("-1",)),
        (np.array([0.5]), TypeError, ("float64",)),
    ):
        with refuses(kind, r"\bx\b", *words):
            embedding.forward(tokens)
    for arguments in ((0, 3), (5, -1)):
        with pytest.raises(ValueError, match=r"num_embeddings|embedding_dim"):
            bptt.Embedding(*arguments)


def test_linear():
    linear = bptt.Linear(3, 2)
    with refuses(ValueError, r"\bx\b", "3", "4"):
        linear.forward(np.ones((2, 4), "float32"))
    with refuses(TypeError, r"\bx\b", "float32", "float64"):
        linear.forward(np.ones((2, 3)))
    with refuses(ValueError, r"\bdy\b"):
        linear.backward(np.ones((2, 3), "float32"), linear.forward(np.ones((2, 3), "float32"))[1])
    for arguments in ((0, 3), (5, -1)):
        with pytest.raises(ValueError, match=r"in_features|out_features"):
            bptt.Linear(*arguments)


def test_cross_entropy():
    logits = np.zeros((4, 3), "float32")
    for targets, kind in (
        (np.array([0, 1, 2, 3]), ValueError),
        (np.array([0, 1, 2, -1]), ValueError),
        (np.array([0, 1, 2]), ValueError),
        (np.array([0.0, 1, 2, 1]), TypeError),
    ):
        with refuses(kind, "targets"):
            bptt.cross_entropy(logits, targets)
    with refuses(ValueError, "logits"):
        bptt.cross_entropy(with_value(logits, (0, 0), np.nan), np.array([0, 1, 2, 0]))
    with refuses(ValueError, "logits", "float32", "int64"):
        bptt.cross_entropy(logits.astype(int), np.array([0, 1, 2, 0]))


ROWS = np.ones((2, 3), "float32")


@pytest.mark.parametrize("criterion", [bptt.l1_loss, bptt.mse_loss, bptt.huber_loss])
@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"y_hat": with_value(ROWS, (1, 2), np.nan)}, ValueError, (r"\by_hat\b", "finite", r"\(1, 2\)")),
        ({"y_hat": ROWS.astype(int)}, ValueError, (r"\by_hat\b", "float32", "int64")),
        ({"y_hat": 1.0}, ValueError, (r"\by_hat\b", "dimension")),
        ({"y": with_value(ROWS, (0, 1), np.inf)}, ValueError, (r"\by\b", "finite", "inf", r"\(0, 1\)")),
        ({"y": ROWS.astype("f8")}, TypeError, (r"\by\b", "float32", "float64")),
        ({"y": ROWS[:1]}, ValueError, (r"\by\b", r"\(2, 3\)", r"\(1, 3\)")),
        ({"mask": np.ones((2, 3))}, TypeError, ("mask", "bool", "float64")),
        ({"mask": np.ones(3, bool)}, ValueError, ("mask", r"\(2, 3\)", r"\(3,\)")),
        ({"mask": np.zeros((2, 3), bool)}, ValueError, ("no value", "mask")),
        ({"weight": np.zeros(3)}, ValueError, ("no value", "weight")),
        ({"weight": -1.0}, ValueError, ("weight", "-1")),
        ({"weight": np.array([1, np.nan, 1])}, ValueError, ("weight", "finite", "nan")),
        ({"weight": np.ones(2)}, ValueError, ("weight", r"\(2, 3\)", r"\(2,\)")),
        ({"weight": np.ones((4, 2, 3))}, ValueError, ("weight", r"\(2, 3\)", r"\(4, 2, 3\)")),
        ({"weight": "much"}, TypeError, ("weight", "real")),
        ({"y_hat": ROWS[:0], "y": ROWS[:0]}, ValueError, ("no value",)),
    ],
)
def test_criteria(criterion, changes, kind, words):
    with refuses(kind, *words):
        criterion(**({"y_hat": ROWS, "y": ROWS} | changes))


@pytest.mark.parametrize("delta", [0, -1.0, float("nan"), float("inf")])
def test_huber_loss(delta):
    with refuses(ValueError, "delta", str(delta)):
        bptt.huber_loss(ROWS, ROWS, delta=delta)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"quantiles": [0.1, 0.5]}, ValueError, (r"\by_hat\b", "Q=2", r"\(2, 3\)")),
        ({"quantiles": []}, ValueError, ("quantiles", "Q=0")),
        ({"quantiles": [0.1, 0.5, 1.0]}, ValueError, ("quantiles", "1.0")),
        ({"quantiles": [0, 0.5, 0.9]}, ValueError, ("quantiles", "0")),
        ({"quantiles": ["a", 0.5, 0.9]}, TypeError, ("quantiles", "'a'")),
        ({"y": ROWS}, ValueError, (r"\by\b", r"\(2,\)", r"\(2, 3\)")),
        ({"mask": np.ones((2, 3), bool)}, ValueError, ("mask", r"\(2,\)")),
    ],
)
def test_pinball_loss(changes, kind, words):
    with refuses(kind, *words):
        bptt.pinball_loss(**({"y_hat": ROWS, "y": ROWS[:, 0], "quantiles": [0.1, 0.5, 0.9]} | changes))


@pytest.mark.parametrize(
    ("argument", "value", "kind"),
    [
        ("vocabulary_size", 0, ValueError),
        ("embedding_size", -1, ValueError),
        ("hidden_size", 0, ValueError),
        ("num_layers", 0, ValueError),
        ("cell", "transformer", ValueError),
        ("cell", 3, ValueError),
        ("nonlinearity", "gelu", ValueError),
        ("dropout", 1.5, ValueError),
        ("input_dropout", -0.5, ValueError),
        ("dtype", "float16", ValueError),
        ("init", "ones", ValueError),
        ("seed", -1, ValueError),
    ],
)
def test_sequence_model_arguments(argument, value, kind):
    with refuses(kind, rf"\b{argument}\b", str(value)):
        SequenceModel(**({"vocabulary_size": 5} | {argument: value}))


def model():
    return SequenceModel(vocabulary_size=5, embedding_size=3, hidden_size=4)


@pytest.mark.parametrize(
    ("argument", "value", "kind", "words"),
    [
        ("streams", 0, ValueError, ("0",)),
        ("streams", -2, ValueError, ("-2",)),
        ("streams", 1.5, TypeError, ("1.5",)),
        ("window", 0, ValueError, ("0",)),
        ("window", (1, 2, 3), ValueError, ("k1, k2",)),
        ("window", "64", TypeError, ("64",)),
        ("clip_norm", -1.0, ValueError, ("-1",)),
        ("clip_norm", float("nan"), ValueError, ("nan",)),
        ("clip_value", -1.0, ValueError, ("-1",)),
        ("average", 1.5, ValueError, ("1.5",)),
        ("average", -0.1, ValueError, ("-0.1",)),
        ("seed", -1, ValueError, ("-1",)),
        ("optimizer", "adam", TypeError, ("adam",)),
        ("model", bptt.LSTM(3, 5), TypeError, ("LSTM",)),
    ],
)
def test_trainer_arguments(argument, value, kind, words):
    settings = {"model": model(), "streams": 2, "window": 4, "optimizer": Adam()} | {argument: value}
    with refuses(kind, rf"\b{argument}\b", *words):
        Trainer(settings.pop("model"), **settings)


@pytest.mark.parametrize(("window", "words"), [((4, 2), ("k2", "k1=4", "k2=2")), ((0, 2), ("k1", "0"))])
def test_trainer_window(window, words):
    with refuses(ValueError, *words):
        Trainer(model(), streams=2, window=window)


TOKENS = np.zeros((2, 13), np.int32)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"tokens": TOKENS.astype(float)}, TypeError, ("tokens", "float64")),
        ({"tokens": TOKENS[0]}, ValueError, ("tokens", r"\(13,\)")),
        ({"tokens": TOKENS[:1]}, ValueError, ("tokens", "2", r"\(1, 13\)")),
        ({"tokens": with_value(TOKENS, (1, 3), 5)}, ValueError, ("tokens", "5")),
        ({"tokens": with_value(TOKENS, (1, 3), -1)}, ValueError, ("tokens", "-1")),
        ({"first": -1}, ValueError, ("first", "-1")),
        ({"first": 1.0}, TypeError, ("first", "1.0")),
        # Windows that reach past the tokens.
        ({"first": 4}, ValueError, ("tokens|first|learning_rates", "13|12")),
        ({"learning_rates": np.full(4, 0.1)}, ValueError, ("tokens|first|learning_rates", "13|12")),
        ({"learning_rates": np.array([0.1, np.nan])}, ValueError, ("learning_rates", "nan")),
        ({"learning_rates": np.array([0.1, -0.1])}, ValueError, ("learning_rates", "-0.1")),
        ({"learning_rates": np.full((1, 2), 0.1)}, ValueError, ("learning_rates", r"\(1, 2\)")),
        ({"learning_rates": 0.1}, ValueError, ("learning_rates", "vector", r"\(\)")),
        ({"learning_rates": "0.1"}, ValueError, ("learning_rates", "vector")),
        ({"learning_rates": ["0.1"]}, TypeError, ("learning_rates", "numbers")),
        ({"learning_rates": None}, ValueError, ("learning_rates", "vector")),
    ],
)
def test_trainer_run(changes, kind, words):
    network = model()
    trainer = Trainer(network, streams=2, window=4, optimizer=Adam())
    before = network.flat.copy()
    settings = {"tokens": TOKENS, "first": 0, "learning_rates": np.full(3, 0.1)} | changes
    with refuses(kind, *words):
        trainer.run(**settings)
    np.testing.assert_array_equal(network.flat, before)
    assert trainer.steps == 0


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"tokens": TOKENS.astype(float)}, TypeError, ("tokens", "float64")),
        ({"tokens": TOKENS[:, :1]}, ValueError, ("tokens", r"\(2, 1\)")),
        ({"tokens": with_value(TOKENS, (1, 3), 5)}, ValueError, ("tokens", "5")),
        ({"window": 0}, ValueError, ("window", "0")),
        ({"flat": np.zeros(3, "float32")}, ValueError, ("flat", "3")),
    ],
)
def test_score(changes, kind, words):
    with refuses(kind, *words):
        score(model(), **({"tokens": TOKENS, "window": 4} | changes))


@pytest.mark.parametrize(("value", "kind"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_set_num_threads(value, kind):
    with refuses(kind, r"\bn\b", str(value)):
        bptt.set_num_threads(value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bptt.LSTM(2**62, 3), ("LSTM", "input_size=4611", "hidden_size=3")),
        (lambda: bptt.GRU(3, 2**31), ("GRU", "hidden_size=2147483648")),
        (lambda: bptt.RNN(3, 4, 2**31), ("num_layers", "10000", "2147483648")),
        (lambda: bptt.Linear(10**8, 10**8), ("in_features=100000000",)),
        (lambda: bptt.Embedding(2**62, 1), ("num_embeddings",)),
        (lambda: SequenceModel(vocabulary_size=2**50), ("vocabulary_size",)),
    ],
)
def test_layers_that_no_memory_holds(make, words):
    with refuses((MemoryError, ValueError), *words):
        make()


@pytest.mark.parametrize("make", [bptt.RNN, bptt.GRU, bptt.LSTM])
def test_help_lists_every_argument(make):
    signature = str(inspect.signature(make))
    for argument in ("input_size: 'int'", "dropout: 'float' = 0.0", "batch_first: 'bool' = False", "seed: 'int | None'",
                     "Literal[\"float32\", \"float64\"]", "Literal[\"pytorch\", \"orthogonal\"]"):  # fmt: skip
        assert argument.replace('"', "'") in signature.replace('"', "'"), signature
    for name in inspect.signature(make).parameters:
        assert f"\n    {name} : " in make.__doc__, name
    with refuses(TypeError, make.__name__, "hiden_size", "did you mean 'hidden_size'"):
        make(3, 5, hiden_size=8)
    with refuses(TypeError, "batch_first must be True or False", "'x'"):
        make(3, 5, batch_first="x")
