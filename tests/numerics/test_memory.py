"""The stock of memory: alignment, no sharing among the living, use after death, and its bound."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt.numerics import memory

pytestmark = pytest.mark.interpreted

shapes = st.lists(st.integers(0, 40), min_size=1, max_size=3).map(tuple)
dtypes = st.sampled_from(["float32", "float64", "int64"])


@given(shapes, dtypes)
def test_arrays_begin_on_a_cache_line(shape, dtype):
    for array in (memory.empty(shape, dtype), memory.zeros(shape, dtype), memory.Stock().empty(shape, dtype)):
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.ctypes.data % memory.LINE == 0 or array.size == 0
    assert not memory.zeros(shape, dtype).any()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30))
def test_living_arrays_never_share_and_the_stock_holds_no_more_than_was_in_use(steps):
    """Each slot is given an array of one of four sizes, or a view of one; what it held before is dropped."""
    stock, slots, most = memory.Stock(), [None] * 4, 0
    for number, (slot, size) in enumerate(steps):
        slots[slot] = None
        array = stock.empty((size, memory.SMALL), "uint8")
        array[...] = number
        # A view must keep the memory alive as well as the array itself.
        slots[slot] = (array[-1, 5:], number)
        del array
        most = max(most, stock._in_use)
        assert stock._in_use + stock._kept <= most
        assert all((view == value).all() for view, value in filter(None, slots))


def test_memory_is_used_again_and_given_back():
    stock = memory.Stock()
    first = stock.empty((100, 100), "float32")
    place = first.ctypes.data
    del first
    gc.collect()
    assert stock.empty((40_000,), "uint8").ctypes.data == place
    large = stock.empty((500, 100), "float32")
    del large
    small = [stock.empty((100, 100), "float32") for _ in range(5)]
    assert len({array.ctypes.data for array in small}) == 5
    assert np.shares_memory(small[0], small[0][3:])
