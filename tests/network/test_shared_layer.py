"""One layer used from several Python threads, and tapes that only the garbage collector takes away."""

import gc
import threading

import numpy as np

import bptt


def results(layer, T, B):
    x = np.random.default_rng([T, B]).uniform(-1, 1, (T, B, 4)).astype("float32")
    y, _, tape = layer.forward(x)
    gradients = layer.backward(y, tape)
    return b"".join([y.tobytes(), gradients.x.tobytes(), *(g.tobytes() for g in gradients.parameters.values())])


def test_four_threads_on_one_layer_get_what_one_gets(jit_disabled):
    layer = bptt.GRU(4, 16, seed=0)
    sizes = [(20 + 37 * i % 53, 8 + 13 * i % 29) for i in range(2 if jit_disabled else 25)]
    expected = [results(layer, *size) for size in sizes]
    wrong = []

    def work():
        try:
            for size, result in zip(sizes, expected, strict=True):
                assert results(layer, *size) == result
        except BaseException as error:  # it is raised in the thread, and asserted on below
            wrong.append(error)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_tapes_in_reference_cycles(jit_disabled):
    layer = bptt.GRU(4, 16, seed=0)

    class Model:
        def __init__(self):
            self.me = self

        def step(self, T, B):
            self.y, _, self.tape = layer.forward(np.ones((T, B, 4), "float32"))

    before = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        for i in range(5 if jit_disabled else 1000):
            Model().step(20 + 37 * i % 113, 8 + 13 * i % 29)
    finally:
        gc.set_threshold(*before)
