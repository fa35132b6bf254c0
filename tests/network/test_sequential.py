"""Sequential: gradients by differences, memory shared with the layers, copies, files, errors that name the layer."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bptt
from problem import slopes

CELLS = {"rnn": bptt.RNN, "gru": bptt.GRU, "lstm": bptt.LSTM}


def classifier(cell="gru", dtype="float64", **options):
    """Tokens in, one answer a sequence out."""
    return bptt.Sequential(
        bptt.Embedding(5, 3, dtype=dtype, seed=0), CELLS[cell](3, 4, 2, dtype=dtype, seed=1, **options),
        bptt.LastStep(), bptt.Linear(4, 2, dtype=dtype, seed=2), seed=3,
    )  # fmt: skip


def tokens(T=6, B=3):
    return np.random.default_rng(0).integers(0, 5, (T, B))


@pytest.mark.parametrize("lengths", [None, [2, 6, 1]])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_the_differences_of_the_loss(cell, lengths):
    model, x = classifier(cell), tokens()
    weight = np.random.default_rng(1).normal(size=(3, 2))
    y, _, tape = model.forward(x, lengths=lengths)
    np.testing.assert_array_equal(model(x, lengths=lengths)[0], y)
    g = model.backward(weight, tape)

    def loss():
        return float((model(x, lengths=lengths)[0] * weight).sum())

    found = slopes(loss, model.flat)
    np.testing.assert_allclose(g.flat, found, rtol=1e-6, atol=1e-8)
    assert np.count_nonzero(np.abs(found) > 1e-6) > found.size / 2
    assert g.x is None
    assert list(g.parameters) == list(model.parameters)
    for name, part in g.parameters.items():
        assert part.shape == model.parameters[name].shape
        assert np.shares_memory(part, g.flat)


def test_it_does_what_its_layers_do_one_after_the_other():
    x, dy = np.random.default_rng(0).normal(size=(2, 7, 4, 3)).astype("float32")
    first, second, head = bptt.LSTM(3, 6, seed=0), bptt.GRU(6, 5, seed=1), bptt.Linear(5, 3, bias=False, seed=2)
    alone = copy.deepcopy((first, second, head))
    model = bptt.Sequential(first, second, head, names=["low", "high", "head"])
    y, state, tape = model.forward(x)
    h, state_1, tape_1 = alone[0].forward(x)
    h, state_2, tape_2 = alone[1].forward(h)
    y_alone, tape_3 = alone[2].forward(h)
    np.testing.assert_array_equal(y, y_alone)
    for one, other in zip([*state[0], state[1]], [*state_1, state_2], strict=True):
        np.testing.assert_array_equal(one, other)
    dstate = tuple(np.full_like(part, 0.5) for part in state[0]), np.full_like(state[1], -0.5)
    g = model.backward(dy, tape, dstate)
    g_3 = alone[2].backward(dy, tape_3)
    g_2 = alone[1].backward(g_3.x, tape_2, dstate[1])
    g_1 = alone[0].backward(g_2.x, tape_1, dstate[0])
    np.testing.assert_array_equal(g.x, g_1.x)
    np.testing.assert_array_equal(g.flat, np.concatenate([g_1.flat, g_2.flat, g_3.flat]))
    np.testing.assert_array_equal(g.state[1], g_2.state)
    np.testing.assert_array_equal(g.state[0][1], g_1.state[1])
    assert next(iter(model.parameters)) == "low.weight_ih_l0"
    assert [*model.parameters][-1] == "head.weight"


def test_the_state_goes_on_and_batch_first_turns_it():
    x = np.random.default_rng(0).normal(size=(8, 3, 2)).astype("float32")
    model = bptt.Sequential(bptt.GRU(2, 4, seed=0), bptt.Linear(4, 1, seed=1))
    whole, last = model(x)
    first, state = model(x[:5])
    second, state = model(x[5:], state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(state[0], last[0])
    turned = bptt.Sequential(bptt.GRU(2, 4, batch_first=True, seed=0), bptt.LastStep(), bptt.Linear(4, 1, seed=1))
    y, _ = turned(x.swapaxes(0, 1), lengths=[8, 3, 1])
    np.testing.assert_allclose(y, whole[[7, 2, 0], [0, 1, 2]], rtol=1e-6)


def test_dropout_drops_while_training_and_has_the_same_mask_back():
    model = bptt.Sequential(bptt.Linear(3, 400, seed=0), bptt.Dropout(0.25), seed=1)
    x = np.ones((5, 3), "float32")
    plain = model.eval()(x)[0]
    y, _, tape = model.train().forward(x)
    kept = y != 0
    assert 0.7 < kept.mean() < 0.8
    np.testing.assert_allclose(y[kept], (plain / np.float32(0.75))[kept], rtol=1e-6)
    again = model.forward(x)[0]
    assert ((again != 0) != kept).any()
    db = model.backward(np.ones_like(y), tape).parameters["0.bias"]
    np.testing.assert_allclose(db, kept.sum(0) / 0.75, rtol=1e-6)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_share_memory_with_their_own_layers_only(duplicate):
    model, x = classifier(dtype="float32"), tokens()
    y = model(x)[0]
    twin = duplicate(model)
    np.testing.assert_array_equal(twin(x)[0], y)
    twin.flat *= 2
    assert (twin(x)[0] != y).any()
    np.testing.assert_array_equal(model(x)[0], y)
    model.layers["3"].parameters["bias"] = [7, 8]
    np.testing.assert_array_equal(model.parameters["3.bias"], [7, 8])
    model.flat = np.zeros_like(model.flat)
    assert not model.layers["1"].parameters["weight_hh_l1"].any()
    assert twin.layers["1"].parameters["weight_hh_l1"].any()


def test_changed_parameters_are_refused_wherever_they_were_changed():
    model, x = classifier(dtype="float32"), tokens()
    y, _, tape = model.forward(x)
    model.layers["1"].parameters["bias_hh_l0"][0] += 1
    with pytest.raises(RuntimeError, match="have changed since the forward") as caught:
        model.backward(np.ones_like(y), tape)
    assert "layer '1'" in caught.value.__notes__[0]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=3), st.sampled_from(["float32", "float64"]))
def test_files_give_back_what_was_saved(tmp_path_factory, sizes, dtype):
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    layers = [bptt.LSTM(a, b, dtype=dtype, dropout=0.1) for a, b in zip([2, *sizes], sizes, strict=False)]
    model = bptt.Sequential(*layers, bptt.Dropout(0.3), bptt.Linear(sizes[-1], 3, dtype=dtype), seed=5).eval()
    model.save(path)
    again = bptt.Sequential.load(path).eval()
    x = np.ones((4, 2, 2), dtype)
    np.testing.assert_array_equal(again(x)[0], model(x)[0])
    assert repr(again) == repr(model)
    assert again.seed == model.seed
    with pytest.raises(FileExistsError):
        model.save(path)
    model.save(path, overwrite=True)


def test_a_file_whose_layers_do_not_fit_its_tensors_is_refused(tmp_path):
    from bptt.files.saving import read_tensors, write_tensors

    path = tmp_path / "model"
    classifier(dtype="float32").save(path)
    tensors, metadata = read_tensors(path, "bptt.Sequential", 1)
    for change in (
        {"hidden_size": 2**40}, {"num_layers": 2**31}, {"type": "Module"}, {"name": ""}, {"more": 1}, {"dropout": 2},
        {"batch_first": "x"}, {"input_size": -1},
    ):  # fmt: skip
        layers = [dict(layer) for layer in metadata["layers"]]
        layers[1] |= change
        changed = {key: value for key, value in metadata.items() if key not in ("format", "version")}
        write_tensors(path, "bptt.Sequential", 1, tensors, changed | {"layers": layers}, overwrite=True)
        with pytest.raises(ValueError, match="model"):
            bptt.Sequential.load(path)


@pytest.mark.parametrize(
    ("layers", "kind", "words"),
    [
        ((), ValueError, "layers must be at least one"),
        ((3,), TypeError, "layers must be RNN"),
        ((bptt.Dropout(),), ValueError, "at least one with parameters"),
        ((bptt.Linear(2, 3), bptt.Linear(3, 2, dtype="float64")), ValueError, "one dtype"),
        ((bptt.GRU(2, 3), bptt.GRU(3, 2, batch_first=True)), ValueError, "same batch_first"),
        ((bptt.GRU(2, 3), bptt.Linear(4, 2)), ValueError, "layer 1, Linear.*gets 3 features"),
        ((bptt.LSTM(2, 3), bptt.Dropout(), bptt.RNN(2, 3)), ValueError, "layer 2, RNN.*gets 3 features"),
        ((bptt.Linear(2, 3), bptt.Embedding(3, 2)), ValueError, "only as the first"),
        ((bptt.GRU(2, 3), bptt.LastStep(), bptt.GRU(3, 2)), ValueError, "after a LastStep"),
        ((bptt.GRU(2, 3), bptt.LastStep(), bptt.LastStep()), ValueError, "after a LastStep"),
    ],
)
def test_layers_that_do_not_go_together_are_refused(layers, kind, words):
    with pytest.raises(kind, match=words):
        bptt.Sequential(*layers)


def test_a_layer_belongs_to_one_container():
    layer = bptt.Linear(2, 3)
    with pytest.raises(ValueError, match="different objects"):
        bptt.Sequential(layer, layer)
    bptt.Sequential(layer)
    with pytest.raises(ValueError, match="another Sequential"):
        bptt.Sequential(layer)
    bptt.Sequential(copy.deepcopy(layer))
    for names in (["a", "a"], ["a"], ["a.b", "c"], "ab", [1, 2]):
        with pytest.raises((TypeError, ValueError), match="names"):
            bptt.Sequential(bptt.Linear(2, 3), bptt.Linear(3, 2), names=names)


def test_errors_name_the_layer():
    model = classifier(dtype="float32")
    with pytest.raises(ValueError, match="x must be integers") as caught:
        model.forward(np.full((3, 2), 9))
    assert "layer '0'" in caught.value.__notes__[0]
    y, _, tape = model.forward(tokens())
    with pytest.raises(ValueError, match="dy must have shape") as caught:
        model.backward(np.ones((1, 2), "float32"), tape)
    assert "layer '3'" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="tape must be the SequentialTape"):
        model.backward(y, None)
    with pytest.raises(TypeError, match="state must be a tuple of 1"):
        model.forward(tokens(), state=np.zeros(3))
