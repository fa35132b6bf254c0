"""get_params and set_params: what scikit-learn's `clone` asks of an estimator."""

import pytest

import bptt
from bptt.forecast import GRU, Forecaster
from bptt.text import CharLM

MADE = {
    "CharLM": lambda: CharLM("gru", 16, num_layers=2, seed=4),
    "GRU": lambda: GRU(7, 21, quantiles=[0.1, 0.9], seasonality=[7], seed=3, alias="a"),
    "Forecaster": lambda: Forecaster([GRU(h=7)], "D", local_scaler_type="standard"),
}


def clone(thing):
    """`sklearn.base.clone`, by its rule: parameters cloned one by one, and kept by the constructor as they came."""
    if isinstance(thing, list):
        return [clone(part) for part in thing]
    if not hasattr(thing, "get_params"):
        return thing
    given = {name: clone(value) for name, value in thing.get_params(deep=False).items()}
    made = type(thing)(**given)
    for name, value in made.get_params(deep=False).items():
        assert value is given[name], f"the constructor of {type(thing).__name__} changed {name}"
    return made


@pytest.mark.parametrize("name", MADE)
def test_a_clone_has_the_same_arguments_and_is_not_fitted(name):
    thing = MADE[name]()
    copied = clone(thing)
    assert copied is not thing
    assert repr(copied) == repr(thing)
    assert copied.get_params().keys() == thing.get_params().keys()


def test_scikit_learns_own_clone():
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    for make in MADE.values():
        assert repr(base.clone(make())) == repr(make())


def test_set_params_constructs_anew_or_changes_nothing():
    lm = CharLM(hidden_size=8, embedding_size=4, seed=0)
    lm.fit("abc" * 200, streams=2, window=16, epochs=1, progress=False)
    with pytest.raises(ValueError, match="no argument 'hiden_size'; did you mean 'hidden_size'"):
        lm.set_params(hiden_size=9)
    with pytest.raises(ValueError, match="hidden_size"):
        lm.set_params(hidden_size=0)
    assert lm.sample(length=3)
    assert lm.set_params(hidden_size=9, cell="rnn") is lm
    assert (lm.settings["hidden_size"], lm.settings["cell"], lm.settings["embedding_size"]) == (9, "rnn", 4)
    with pytest.raises(bptt.NotFittedError):
        lm.sample(length=3)


def test_what_is_not_fitted_says_so_by_its_type():
    for use in (
        lambda: CharLM().evaluate("abc"),
        lambda: Forecaster([GRU(h=2)], "D").predict(),
        lambda: GRU(h=2).parameters,
    ):
        with pytest.raises(bptt.NotFittedError, match="fit") as caught:
            use()
        assert isinstance(caught.value, ValueError)
