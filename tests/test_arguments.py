"""What every public function asks of its arguments."""

import inspect

import numpy as np
import pytest

from bptt import arguments

FLOAT32 = np.dtype("float32")
TWO_BY_TWO = np.ones((2, 2), "float32")


def two_by_two(value):
    return arguments.real_array("x", value, FLOAT32, (2, 2), "T, B")


def test_an_unknown_keyword_is_answered_with_the_nearest_one_and_the_class_that_was_called():
    class Base:
        @arguments.known_keywords
        def __init__(self, hidden_size, *, learning_rate=0.1):
            self.given = hidden_size, learning_rate

    class Derived(Base):
        pass

    assert Derived(3, learning_rate=0.5).given == (3, 0.5)
    assert list(inspect.signature(Derived).parameters) == ["hidden_size", "learning_rate"]
    with pytest.raises(TypeError, match=r"^Derived\(\) has no argument 'hiden_size'; did you mean 'hidden_size'\? It"):
        Derived(hiden_size=3)
    with pytest.raises(TypeError, match=r"^Base\(\) has no argument 'q'\. It accepts: hidden_size, learning_rate$"):
        Base(3, q=1)


@pytest.mark.parametrize("value", [0, 1, "x", None, [True], np.array(True)])
def test_what_is_not_a_truth_value_is_refused(value):
    with pytest.raises(TypeError, match="batch_first must be True or False"):
        arguments.boolean("batch_first", value)
    assert arguments.boolean("batch_first", np.True_) is True


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: list(m)])
def test_masked_entries_are_refused_and_masked_arrays_without_any_are_taken(wrap):
    masked = np.ma.array(TWO_BY_TWO, mask=[[False, True], [False, False]])
    for check in (two_by_two, lambda value: arguments.array("x", value)):
        with pytest.raises(ValueError, match=r"^x must not have masked entries"):
            check(wrap(masked))
    np.testing.assert_array_equal(two_by_two(np.ma.array(TWO_BY_TWO)), TWO_BY_TWO)
    with pytest.raises(ValueError, match=r"^n must not have masked entries"):
        arguments.integer_array("n", np.ma.array([1, 2], mask=[True, False]), (2,), "B", 0, 9, "most")


def in_a_record():
    """Not aligned: each number begins one byte after a multiple of its size."""
    records = np.zeros(4, np.dtype([("byte", "u1"), ("value", "f4")]))
    records["value"] = 1
    return records["value"].reshape(2, 2)


def read_only():
    array = TWO_BY_TWO.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "value", [in_a_record(), read_only(), np.asfortranarray(TWO_BY_TWO), TWO_BY_TWO.view(np.matrix), TWO_BY_TWO[::-1]]
)
def test_what_compiled_code_gets_is_an_ordinary_array(value):
    array = two_by_two(value)
    assert type(array) is np.ndarray
    assert array.flags.carray
    np.testing.assert_array_equal(array, TWO_BY_TWO)


@pytest.mark.parametrize(
    "value",
    [
        TWO_BY_TWO.astype(">f4"), TWO_BY_TWO.astype(object), np.float32(1), [[1.0, 2.0], [3.0]], None, {}, "x",
        type("Odd", (), {"__array__": lambda *_, **__: 1 / 0})(),
    ],
)  # fmt: skip
def test_what_is_not_such_an_array_is_refused_by_name(value):
    with pytest.raises((TypeError, ValueError), match=r"^x must "):
        two_by_two(value)


def test_entries_that_do_not_count_may_be_anything_and_come_back_as_zero():
    value = np.array([[1, np.nan], [np.inf, 2]], "float32")
    counted = np.array([[True, False], [False, True]])
    got = arguments.real_array("x", value, FLOAT32, (2, 2), "T, B", counted=counted)
    np.testing.assert_array_equal(got, [[1, 0], [0, 2]])
    assert np.isnan(value[0, 1])
    with pytest.raises(ValueError, match=r"x must be finite; got inf at index \(1, 0\)"):
        arguments.real_array(
            "x", value, FLOAT32, (2, 2), "T, B", counted=np.array([True, True])[:, None] & ~np.isnan(value)
        )
