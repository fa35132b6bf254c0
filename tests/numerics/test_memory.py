"""The stock of memory: alignment, no sharing among the living, use after death, and its bound."""

import copy
import gc
import pickle
import threading

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
    for array in (memory.empty(shape, dtype), memory.zeros(shape, dtype), memory.BufferPool().empty(shape, dtype)):
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.ctypes.data % memory.LINE == 0 or array.size == 0
    assert not memory.zeros(shape, dtype).any()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30))
def test_living_arrays_never_share_and_the_stock_holds_no_more_than_was_in_use(steps):
    """Each slot is given an array of one of four sizes, or a view of one; what it held before is dropped."""
    stock, slots, most = memory.BufferPool(), [None] * 4, 0
    for number, (slot, size) in enumerate(steps):
        slots[slot] = None
        array = stock.empty((size, memory.SMALL), "uint8")
        array[...] = number
        # A view must keep the memory alive as well as the array itself.
        slots[slot] = (array[-1, 5:], number)
        del array
        stock._take_back()
        most = max(most, stock._in_use)
        assert stock._in_use + stock._kept <= most
        assert all((view == value).all() for view, value in filter(None, slots))


def test_memory_is_used_again_and_given_back():
    stock = memory.BufferPool()
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


class Cycle:
    """Goes only when the garbage collector runs: in the middle of anything."""

    def __init__(self, array):
        self.array, self.me = array, self


@pytest.fixture
def eager_collector():
    before = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    yield
    gc.set_threshold(*before)


def test_arrays_in_reference_cycles_go_in_the_middle_of_the_books(eager_collector):
    stock = memory.BufferPool()
    for i in range(5000):
        Cycle(stock.empty((memory.SMALL + 64 * (37 * i % 113),), "uint8"))
    gc.collect()
    stock._take_back()
    assert stock._in_use == 0
    assert stock._kept == sum(size * len(blocks) for size, blocks in stock._free.items()) <= stock._most


def test_four_threads_take_and_drop_at_once():
    stock, wrong = memory.BufferPool(), []

    def work(number):
        held = []
        try:
            for i in range(3000):
                size = memory.SMALL + 64 * ((37 * i + number) % 23)
                array = stock.empty((size,), "uint8")
                array[...] = number
                held.append(array)
                if len(held) > 3:
                    old = held.pop(0)
                    assert (old == number).all()
        except BaseException as error:  # it is raised in the thread, and asserted on below
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    gc.collect()
    stock._take_back()
    assert stock._in_use == 0
    assert stock._kept == sum(size * len(blocks) for size, blocks in stock._free.items()) <= stock._most


def test_a_call_in_the_middle_of_another_one_gets_memory_of_its_own():
    """As a signal handler's is: it must not wait for the call that it interrupted."""
    stock, nested = memory.BufferPool(), []
    take = stock._take

    def interrupted(size):
        block = take(size)
        nested.append(stock.empty((2 * memory.SMALL,), "uint8"))
        return block

    stock._take = interrupted
    outer = stock.empty((2 * memory.SMALL,), "uint8")
    assert nested[0].shape == outer.shape
    assert not np.shares_memory(nested[0], outer)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda stock: pickle.loads(pickle.dumps(stock))])
def test_a_copy_begins_empty(again):
    stock = memory.BufferPool()
    held = stock.empty((2 * memory.SMALL,), "uint8")
    held[...] = 1
    other = again(stock)
    array = other.empty((2 * memory.SMALL,), "uint8")
    array[...] = 2
    assert (held == 1).all()
    assert other._in_use == array.nbytes
