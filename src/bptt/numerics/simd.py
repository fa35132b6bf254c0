"""A few numbers at a time: the values on which a cell's formulas are computed.

A row function of a cell is written for one unit; compiled, each of its values is a whole vector register: `Lanes`, a
type for Numba with the operators of a number. So the code is straight vector code whatever LLVM thinks of loops, the
last units of a row take the same instructions as the others (with a mask), and no unit's bits depend on its place.

    load, store     blocks of a row, `left` units from unit j on (no more than the array has)
    + - * / > <=    with lanes or numbers on either side; numbers take the lanes' own type
    fma             a b + c, rounded once where the processor can
    select          a where the condition holds, else b
    minimum, maximum, absolute, copysign, power_of_two, zero      hand a NaN through

All of them work on single numbers as well, and uncompiled (`NUMBA_DISABLE_JIT=1`) on NumPy arrays of any length.

The vectors are the processor's longest; the environment variable BPTT_VECTOR_BITS chooses others (128, 256 or 512;
LLVM splits what the processor does not have).
"""

from __future__ import annotations

import operator
import os
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import lower_builtin, register_model

from bptt.numerics.jit import instructions
from bptt.numerics.numba_internals import AbstractTemplate, PrimitiveModel, cgutils, signature, typed_by

__all__ = [
    "ARM",
    "BITS",
    "FUSED",
    "absolute",
    "copysign",
    "fma",
    "lane_count",
    "lanes",
    "load",
    "masked_load",
    "masked_store",
    "maximum",
    "minimum",
    "power_of_two",
    "select",
    "splat",
    "store",
    "zero",
]


def host_features() -> set[str]:
    """The processor's features that Numba compiles for."""
    if config.CPU_FEATURES is not None:
        return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}
    if config.CPU_NAME == "generic":
        return set()
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


def vector_bits(features: set[str]) -> int:
    """Length of the vectors to use: the host's longest, or what BPTT_VECTOR_BITS asks for."""
    asked = os.environ.get("BPTT_VECTOR_BITS")
    if asked is not None:
        if asked not in ("128", "256", "512"):
            raise ValueError(f"environment variable BPTT_VECTOR_BITS={asked!r}: accepted are 128, 256 and 512")
        return int(asked)
    return 512 if "avx512f" in features else 256 if "avx2" in features else 128


FEATURES = host_features()
BITS = vector_bits(FEATURES)
ARM = llvm.get_process_triple().startswith(("aarch64", "arm64"))
FUSED = ARM or "fma" in FEATURES
# Only here is a masked instruction as fast as a plain one.
MASKED = BITS == 512


def lanes(itemsize: int) -> int:
    """Numbers of this size in a vector."""
    return BITS // 8 // itemsize


class Lanes(types.Type):  # type: ignore[misc]
    """A vector register of float32 or float64."""

    def __init__(self, element: Any) -> None:
        self.element, self.count = element, lanes(element.bitwidth // 8)
        super().__init__(name=f"lanes({element}, {self.count})")


class Mask(types.Type):  # type: ignore[misc]
    """A truth value for each lane."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"mask({count})")


def real(element: Any) -> Any:
    return ir.FloatType() if element.bitwidth == 32 else ir.DoubleType()


@register_model(Lanes)
class LanesModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, ir.VectorType(real(type_.element), type_.count))


@register_model(Mask)
class MaskModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, type_: Any) -> None:
        super().__init__(manager, type_, ir.VectorType(ir.IntType(1), type_.count))


def splat(builder: Any, value: Any, count: int) -> Any:
    """`value` in every lane."""
    vector = ir.VectorType(value.type, count)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), count), None))


def alike(context: Any, builder: Any, type_: Any, values: Any, types_: Any) -> list[Any]:
    """The values in one type: numbers among lanes are cast and spread."""
    out = []
    for value, its_type in zip(values, types_, strict=True):
        if isinstance(type_, Lanes) and not isinstance(its_type, Lanes):
            value = splat(builder, context.cast(builder, value, its_type, type_.element), type_.count)
        out.append(value)
    return out


def common(types_: Any) -> Any:
    """The type that an operation on these is made in: that of the lanes, or of the equal numbers, else None."""
    vectors = {type_ for type_ in types_ if isinstance(type_, Lanes)}
    if vectors:
        numbers = all(isinstance(type_, Lanes | types.Number) for type_ in types_)
        return vectors.pop() if len(vectors) == 1 and numbers else None
    return types_[0] if len(set(types_)) == 1 and isinstance(types_[0], types.Float) else None


def operation(function: Any, emit: Any, *, compares: bool = False) -> None:
    """Teach Numba `function` of lanes and numbers; emit(builder, type, *values) writes its instructions."""
    own = function.__module__ == __name__

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            type_ = common(args)
            if type_ is None or not (own or isinstance(type_, Lanes)):
                return None
            return signature(Mask(type_.count) if compares else type_, *args)

    typed_by(function, Template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        type_ = common(sig.args)
        return emit(builder, context.get_value_type(type_), *alike(context, builder, type_, args, sig.args))

    if own:
        lower_builtin(function, types.VarArg(types.Any))(lower)
    else:
        for kinds in ((Lanes,), (Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
            lower_builtin(function, *kinds)(lower)


operation(operator.add, lambda builder, type_, a, b: builder.fadd(a, b))
operation(operator.sub, lambda builder, type_, a, b: builder.fsub(a, b))
operation(operator.mul, lambda builder, type_, a, b: builder.fmul(a, b))
operation(operator.truediv, lambda builder, type_, a, b: builder.fdiv(a, b))
operation(operator.neg, lambda builder, type_, a: builder.fneg(a))
operation(operator.gt, lambda builder, type_, a, b: builder.fcmp_ordered(">", a, b), compares=True)
operation(operator.le, lambda builder, type_, a, b: builder.fcmp_ordered("<=", a, b), compares=True)


def call(builder: Any, name: str, type_: Any, *values: Any) -> Any:
    """LLVM's intrinsic function of this name on values of one type."""
    vector = isinstance(type_, ir.VectorType)
    element = type_.element if vector else type_
    suffix = ("v" + str(type_.count) if vector else "") + ("f32" if isinstance(element, ir.FloatType) else "f64")
    kind = ir.FunctionType(type_, [type_] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}"), values)


def fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c."""
    return a * b + c


def emit_fma(builder: Any, type_: Any, a: Any, b: Any, c: Any) -> Any:
    return call(builder, "fma", type_, a, b, c) if FUSED else builder.fadd(builder.fmul(a, b), c)


def minimum(x: Any, bound: Any) -> Any:
    """The smaller one; NaN where x is."""
    return np.where(x > bound, bound, x)[()]


def maximum(x: Any, bound: Any) -> Any:
    """The larger one; NaN where x is."""
    return np.where(x < bound, bound, x)[()]


def absolute(x: Any) -> Any:
    """|x|."""
    return np.abs(x)


def copysign(x: Any, sign: Any) -> Any:
    """|x| with the sign of the other one."""
    return np.copysign(x, sign)


def power_of_two(shifted: Any) -> Any:
    """The number whose exponent field is the low bits of `shifted`'s significand."""
    integer, position = (np.int32, 23) if shifted.dtype == np.float32 else (np.int64, 52)
    return (shifted.view(integer) << integer(position)).view(shifted.dtype)


def emit_power_of_two(builder: Any, type_: Any, shifted: Any) -> Any:
    vector = isinstance(type_, ir.VectorType)
    single = isinstance(type_.element if vector else type_, ir.FloatType)
    integer, position = ir.IntType(32 if single else 64), 23 if single else 52
    if vector:
        integer = ir.VectorType(integer, type_.count)
    places = ir.Constant(integer, [position] * type_.count if vector else position)
    return builder.bitcast(builder.shl(builder.bitcast(shifted, integer), places), type_)


def zero(x: Any) -> Any:
    """0, in the type of x."""
    return np.zeros_like(x)[()]


operation(fma, emit_fma)
operation(minimum, lambda b, type_, x, bound: b.select(b.fcmp_ordered(">", x, bound), bound, x))
operation(maximum, lambda b, type_, x, bound: b.select(b.fcmp_ordered("<", x, bound), bound, x))
operation(absolute, lambda builder, type_, x: call(builder, "fabs", type_, x))
operation(copysign, lambda builder, type_, x, sign: call(builder, "copysign", type_, x, sign))
operation(power_of_two, emit_power_of_two)
operation(zero, lambda builder, type_, x: ir.Constant(type_, None))


def select(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b."""
    return np.where(condition, a, b)[()]


@instructions(select)
def _select(condition: Any, a: Any, b: Any) -> Any:
    type_ = common((a, b))
    if type_ is None or not isinstance(condition, Mask if isinstance(type_, Lanes) else types.Boolean):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = alike(context, builder, type_, args[1:], sig.args[1:])
        return builder.select(args[0], *values)

    return signature(type_, condition, a, b), codegen


def lane_count(array: Any) -> Any:
    """How many elements of this array one value holds; uncompiled, any number."""
    return max(1, array.size)


@instructions(lane_count)
def _lane_count(array: Any) -> Any:
    number = lanes(array.dtype.bitwidth // 8)
    return signature(types.intp, array), lambda context, *_: context.get_constant(types.intp, number)


def masked_load(builder: Any, pointer: Any, mask: Any, vector: Any, size: int) -> Any:
    """Elements of `size` bytes, zero where the mask is not set; nothing is read there."""
    align = ir.Constant(ir.IntType(32), size)
    kind = ir.FunctionType(vector, [pointer.type, align.type, mask.type, vector])
    name = f"llvm.masked.load.v{vector.count}f{8 * size}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [pointer, align, mask, ir.Constant(vector, None)])


def masked_store(builder: Any, value: Any, pointer: Any, mask: Any, size: int) -> None:
    """Store the elements of `size` bytes whose mask is set."""
    align = ir.Constant(ir.IntType(32), size)
    kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, align.type, mask.type])
    name = f"llvm.masked.store.v{value.type.count}f{8 * size}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [value, pointer, align, mask])


class Block:
    """Emits loads and stores of vectors at element `column` of a row, cut to `left` elements."""

    def __init__(self, context: Any, builder: Any, type_: Any, array: Any, row: Any, left: Any) -> None:
        self.builder, self.left = builder, left
        self.word = left.type
        self.size, self.count = type_.dtype.bitwidth // 8, lanes(type_.dtype.bitwidth // 8)
        self.vector = ir.VectorType(real(type_.dtype), self.count)
        native = context.make_array(type_)(context, builder, array)
        data = builder.ptrtoint(native.data, self.word)
        self.start = builder.add(data, builder.mul(row, builder.extract_value(native.strides, 0)))

    def pointer(self, column: Any) -> Any:
        offset = self.builder.mul(column, ir.Constant(self.word, self.size))
        return self.builder.inttoptr(self.builder.add(self.start, offset), ir.PointerType(self.vector))

    def mask(self) -> Any:
        indices = ir.Constant(ir.VectorType(self.word, self.count), list(range(self.count)))
        return self.builder.icmp_signed("<", indices, splat(self.builder, self.left, self.count))

    def load(self, column: Any, mask: Any | None) -> Any:
        if mask is None:
            return self.builder.load(self.pointer(column), align=self.size)
        return masked_load(self.builder, self.pointer(column), mask, self.vector, self.size)

    def store(self, value: Any, column: Any, mask: Any | None) -> None:
        if mask is None:
            self.builder.store(value, self.pointer(column), align=self.size)
        else:
            masked_store(self.builder, value, self.pointer(column), mask, self.size)

    def either(self) -> Any:
        """Condition under which no lane is masked; None where masks are always used."""
        if MASKED:
            return None
        return self.builder.icmp_signed(">=", self.left, ir.Constant(self.word, self.count))


def load(rows: Any, row: Any, blocks: Any, n: Any, j: Any, left: Any) -> Any:
    """A tuple, one value for each entry of `blocks`: units j to j + left - 1 of block k = 0, 1, ... of rows[row].

    A block has n units. `left` is at least 1, and j + left at most n.
    """
    return tuple(rows[row, k * n + j : k * n + j + left] for k in range(len(blocks)))


def store(rows: Any, row: Any, values: Any, n: Any, j: Any, left: Any) -> None:
    """Write a tuple of values, one for each block of rows[row], where `load` reads them."""
    for k, value in enumerate(values):
        rows[row, k * n + j : k * n + j + left] = value


@instructions(load)
def _load(rows: Any, row: Any, blocks: Any, n: Any, j: Any, left: Any) -> Any:
    result = types.UniTuple(Lanes(rows.dtype), len(blocks))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, row, _, n, j, left = args
        block = Block(context, builder, sig.args[0], array, row, left)
        columns = [builder.add(j, builder.mul(n, ir.Constant(n.type, k))) for k in range(result.count)]
        whole = block.either()
        if whole is None:
            mask = block.mask()
            values = [block.load(column, mask) for column in columns]
        else:
            places = [cgutils.alloca_once(builder, block.vector) for _ in columns]
            with builder.if_else(whole) as (then, otherwise):
                with then:
                    for place, column in zip(places, columns, strict=True):
                        builder.store(block.load(column, None), place)
                with otherwise:
                    mask = block.mask()
                    for place, column in zip(places, columns, strict=True):
                        builder.store(block.load(column, mask), place)
            values = [builder.load(place) for place in places]
        return context.make_tuple(builder, result, values)

    return signature(result, rows, types.intp, blocks, *[types.intp] * 3), codegen


@instructions(store)
def _store(rows: Any, row: Any, values: Any, n: Any, j: Any, left: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, row, values, n, j, left = args
        block = Block(context, builder, sig.args[0], array, row, left)
        columns = [builder.add(j, builder.mul(n, ir.Constant(n.type, k))) for k in range(sig.args[2].count)]
        parts = cgutils.unpack_tuple(builder, values)
        whole = block.either()
        if whole is None:
            mask = block.mask()
            for part, column in zip(parts, columns, strict=True):
                block.store(part, column, mask)
        else:
            with builder.if_else(whole) as (then, otherwise):
                with then:
                    for part, column in zip(parts, columns, strict=True):
                        block.store(part, column, None)
                with otherwise:
                    mask = block.mask()
                    for part, column in zip(parts, columns, strict=True):
                        block.store(part, column, mask)
        return context.get_dummy_value()

    return signature(types.void, rows, types.intp, values, *[types.intp] * 3), codegen
