"""What the constructors of the models refuse, and what they say then: the argument, what came, what is accepted."""

import inspect
import json
import pydoc
import re

import numpy as np
import pytest

from bptt.forecast import GRU, LSTM, RNN

INTEGERS = ("h", "num_layers", "batch_size", "val_check_steps", "ensemble")
OPTIONAL = ("input_size", "segment", "hidden_size", "h_train", "max_steps")


def refused(kind, *parts, **arguments):
    with pytest.raises(kind) as raised:
        GRU(**{"h": 4} | arguments)
    message = str(raised.value)
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize("name", INTEGERS + OPTIONAL)
def test_integers(name):
    strategy = {"strategy": "recursive"} if name == "h_train" else {}
    refused(TypeError, name, "2.5", "integer of at least 1", **{name: 2.5}, **strategy)
    refused(TypeError, name, "'3'", "integer of at least 1", **{name: "3"}, **strategy)
    refused(TypeError, name, "True", "integer of at least 1", **{name: True}, **strategy)
    refused(ValueError, name, "got 0", "integer of at least 1", **{name: 0}, **strategy)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_that_are_no_option(name):
    refused(TypeError, name, "None", "integer of at least 1", **{name: None})


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("strategy", "autoregressive", ("'segment'", "'recursive'", "'direct'")),
        ("transform", "boxcox", ("'auto'", "'log'", "'sqrt'", "'none'")),
        ("transform", None, ("'auto'", "'log'", "'sqrt'", "'none'")),
        ("scaler_type", "robust", ("'spread'", "'standard'", "'mean'", "'identity'")),
        ("loss", "smape", ("'mae'", "'mse'", "'huber'")),
        ("ensemble_method", "best", ("'median'", "'mean'")),
        ("dtype", "float16", ("'float32'", "'float64'")),
        ("dtype", None, ("'float32'", "'float64'")),
    ],
)
def test_words(name, value, accepted):
    refused(ValueError, name, repr(value), *accepted, **{name: value})


@pytest.mark.parametrize("name", ["dropout", "scheduled_sampling"])
def test_probabilities(name):
    for value in (-0.1, 1.0, np.nan):
        refused(ValueError, name, str(value), "[0, 1)", strategy="recursive", **{name: value})
    refused(TypeError, name, "'0.5'", "[0, 1)", strategy="recursive", **{name: "0.5"})


@pytest.mark.parametrize("name", ["huber_delta", "learning_rate", "clip_norm", "weight_decay"])
def test_sizes(name):
    refused(ValueError, name, "-1", "finite number", **{name: -1.0})
    refused(ValueError, name, "inf", "finite number", **{name: np.inf})
    refused(TypeError, name, "'1'", "finite number", **{name: "1"})
    if name == "weight_decay":
        GRU(4, weight_decay=0)
    else:
        refused(ValueError, name, "0", "finite number", **{name: 0})


@pytest.mark.parametrize("transform", ["log", "sqrt"])
def test_a_mean_is_forecast_from_the_values_as_they_are(transform):
    refused(ValueError, "transform", transform, "loss='mse'", transform=transform, loss="mse")


def test_seed():
    refused(ValueError, "seed", "-1", "at least 0", seed=-1)
    refused(ValueError, "seed", str(2**63), "2**63", seed=2**63)
    refused(TypeError, "seed", "1.5", "at least 0", seed=1.5)


def test_patience():
    refused(ValueError, "early_stop_patience_steps", "-2", "at least -1", early_stop_patience_steps=-2)
    refused(TypeError, "early_stop_patience_steps", "None", "at least -1", early_stop_patience_steps=None)


@pytest.mark.parametrize("value", [0, -3])
def test_seasons_are_positive(value):
    refused(ValueError, "seasonality", str(value), "at least 1", seasonality=value)
    refused(ValueError, "seasonality", str(value), "at least 1", seasonality=[7, value])


@pytest.mark.parametrize("value", [7.0, "7", [7, "24"], [None]])
def test_seasons_are_integers(value):
    refused(TypeError, "seasonality", "integer of at least 1", seasonality=value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("last", TypeError),
        (24, TypeError),
        (["naive"], ValueError),
        ([0], ValueError),
        ([-24], ValueError),
        ([2.5], ValueError),
        ([True], ValueError),
        (["change:0"], ValueError),
        (["change"], ValueError),
        ([None], ValueError),
    ],
)
def test_anchors(value, kind):
    shown = repr(value[0]) if isinstance(value, list) else repr(value)
    refused(kind, "anchors", shown, "'auto'", "'last'", "'mean'", "change:<period>", anchors=value)


def test_anchors_are_named_once():
    refused(ValueError, "anchors", "once", anchors=["last", 12, "seasonal:12"])


@pytest.mark.parametrize("value", ["0.5", 0.5, None, {0.1: 1}])
def test_quantiles_are_a_list(value):
    refused(TypeError, "quantiles", repr(value), "between 0 and 1", quantiles=value)


@pytest.mark.parametrize(("value", "kind"), [(0, ValueError), (1.0, ValueError), (90, ValueError), (np.nan, ValueError),
                                             ("0.1", TypeError), (None, TypeError), (True, TypeError)])  # fmt: skip
def test_quantiles_are_numbers_between_0_and_1(value, kind):
    refused(kind, "quantiles", str(value), "(0, 1)", quantiles=[0.1, value])


@pytest.mark.parametrize("name", ["futr_exog_list", "hist_exog_list", "stat_exog_list"])
@pytest.mark.parametrize("value", ["price", ["price", 3], 5, {"price": 1}])
def test_columns_are_lists_of_names(name, value):
    refused(TypeError, name, repr(value), "list of column names", **{name: value})


def test_calendar_is_yes_or_no():
    refused(TypeError, "calendar", "1", "True or False", calendar=1)
    refused(TypeError, "calendar", "'month'", "True or False", calendar="month")


@pytest.mark.parametrize("value", ["", 3, b"GRU"])
def test_alias(value):
    refused(TypeError, "alias", repr(value), "str", alias=value)


@pytest.mark.parametrize("value", [1, 0, -5])
def test_lags_reach_further_than_the_last_value(value):
    refused(ValueError, "lags", str(value), "at least 2", strategy="direct", lags=[7, value])


@pytest.mark.parametrize("value", ["season", 7, [2.5], [None]])
def test_lags_are_a_list_of_integers(value):
    refused(TypeError, "lags", "at least 2", strategy="recursive", lags=value)


def test_arguments_of_other_strategies():
    refused(ValueError, "hist_exog_list", "['sales']", "recursive", strategy="recursive", hist_exog_list=["sales"])
    for strategy in ("segment", "direct"):
        refused(ValueError, "h_train", "recursive", repr(strategy), strategy=strategy, h_train=3)
        refused(
            ValueError, "scheduled_sampling", "recursive", repr(strategy), strategy=strategy, scheduled_sampling=0.1
        )
    for strategy in ("recursive", "direct"):
        refused(ValueError, "segment", repr(strategy), strategy=strategy, segment=3)
    refused(ValueError, "lags", "recursive", "direct", strategy="segment", lags=[7])


def test_what_came_as_numpy_is_as_good():
    """And goes into a file: JSON has words for all settings."""
    model = GRU(
        np.int64(4),
        np.int32(8),
        strategy="direct",
        seasonality=[np.int64(7)],
        anchors=[np.int64(7), "last"],
        lags=[np.int64(7)],
        quantiles=np.array([0.1, 0.9]),
        dropout=np.float32(0.25),
        learning_rate=np.float64(0.01),
        dtype=np.float64,
        seed=np.uint8(3),
    )
    assert (model.h, model.quantiles) == (4, (0.1, 0.5, 0.9))
    assert type(model.h) is int
    settings = json.loads(json.dumps(model.settings))
    again = GRU(**settings["arguments"])
    assert again.settings == model.settings
    assert not again.is_fitted


@pytest.mark.parametrize("cls", [RNN, GRU, LSTM])
def test_what_a_forecaster_asks_for(cls):
    model = cls(3, strategy="recursive", futr_exog_list=["price"], stat_exog_list=("size",), quantiles=[0.9, 0.2, 0.5])
    assert model.alias == cls.__name__
    assert model.quantiles == (0.2, 0.5, 0.9)
    assert model.futr_exog_list == ("price",)
    assert model.stat_exog_list == ("size",)
    assert model.hist_exog_list == ()
    assert not model.is_fitted
    for ask in (lambda: model.parameters, lambda: model.forecast(None, [0], [1])):
        with pytest.raises(ValueError, match="fit"):
            ask()


@pytest.mark.parametrize("model", [RNN, GRU, LSTM])
def test_help_lists_every_argument_with_its_type_and_default(model):
    text = pydoc.render_doc(model, renderer=pydoc.plaintext)
    for name, parameter in inspect.signature(model).parameters.items():
        assert parameter.annotation is not parameter.empty
        assert re.search(rf"^ .*\b{name}\b.*( : |,)", text, re.M)
        assert parameter.kind is not parameter.VAR_KEYWORD
    assert re.search(r"Literal\['segment', 'recursive', 'direct'\]\W* = 'segment'", text)
    assert "See `Recurrent`" not in text


@pytest.mark.parametrize("model", [RNN, GRU, LSTM])
def test_a_misspelt_argument_names_the_class_and_the_nearest(model):
    with pytest.raises(TypeError, match=rf"{model.__name__}\(\) has no argument 'hiden_size'; did you mean 'hidden_s"):
        model(h=3, hiden_size=8)


def test_horizon_weight():
    for wrong in ([1, 1], 3.0, "abcd"):
        refused(TypeError, "horizon_weight must be a list of 4 numbers", horizon_weight=wrong)
    refused(TypeError, "of 2 numbers", strategy="recursive", h_train=2, horizon_weight=[1, 1, 1, 1])
    refused(ValueError, "each of horizon_weight", "-1", horizon_weight=[1, 1, 1, -1])
    refused(ValueError, "horizon_weight must have a number above 0", horizon_weight=[0, 0, 0, 0])
    GRU(4, horizon_weight=(0, 1, 2, 3))
    GRU(4, strategy="recursive", h_train=2, horizon_weight=[1, 2])
