"""Register tiles of a matrix product and the moves that pack its operands, as LLVM instructions on raw addresses.

One tile of C = init + A B, `rows` rows of `VECTORS` vectors, stays in registers while k runs: each step loads VECTORS
vectors of a panel of B, broadcasts `rows` elements of A and makes rows x VECTORS fused multiply-adds.
`numerics.matmul` calls them; nothing here checks a size.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bptt.numerics.memory import LINE
from bptt.numerics.numba_internals import cgutils
from bptt.numerics.simd import ARM, BITS, FUSED, MASKED, lanes, masked_load, masked_store, splat

__all__ = ["HEIGHT", "TILE_ROWS", "VECTORS", "address", "collect", "move", "strip", "transpose"]

VECTORS = 3
# Accumulators, one panel row and one broadcast must fit the vector registers: 8*3+3+1 of 32, 4*3+3+1 of 16.
TILE_ROWS = (8, 4, 2, 1) if ARM or BITS == 512 else (4, 2, 1)
HEIGHT = TILE_ROWS[0]


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Address of an array's first element."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.intp))

    return types.intp(array), codegen


@intrinsic
def move(typingctx: Any, like: Any, source: Any, target: Any) -> Any:
    """Copy HEIGHT neighbours as one vector; LLVM would turn a plain nested loop into scatters."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.PointerType(ir.VectorType(context.get_value_type(signature.args[0]), HEIGHT))
        size = signature.args[0].bitwidth // 8
        value = builder.load(builder.inttoptr(args[1], vector), align=size)
        builder.store(value, builder.inttoptr(args[2], vector), align=size)
        return context.get_dummy_value()

    return types.void(like, types.intp, types.intp), codegen


class Tile:
    """Emits the code of one register tile: `rows` rows of `vectors` vectors, the last of them masked or whole."""

    def __init__(self, builder: Any, element: Any, rows: int, vectors: int, mask: Any | None) -> None:
        size = 4 if isinstance(element, ir.FloatType) else 8
        self.builder, self.element, self.rows, self.vectors = builder, element, rows, vectors
        self.masks = [None] * (vectors - 1) + [mask]
        self.lanes = lanes(size)
        self.vector = ir.VectorType(element, self.lanes)
        self.vector_bytes = BITS // 8
        self.panel_bytes = VECTORS * self.vector_bytes
        self.align = size

    def intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def pointer(self, address: Any, offset: int = 0) -> Any:
        if offset:
            address = self.builder.add(address, ir.Constant(address.type, offset))
        return self.builder.inttoptr(address, ir.PointerType(self.vector))

    def load(self, address: Any, v: int) -> Any:
        pointer = self.pointer(address, v * self.vector_bytes)
        mask = self.masks[v]
        if mask is None:
            return self.builder.load(pointer, align=self.align)
        return masked_load(self.builder, pointer, mask, self.vector, self.align)

    def store(self, value: Any, address: Any, v: int) -> None:
        pointer = self.pointer(address, v * self.vector_bytes)
        mask = self.masks[v]
        if mask is None:
            self.builder.store(value, pointer, align=self.align)
            return
        masked_store(self.builder, value, pointer, mask, self.align)

    def broadcast(self, address: Any) -> Any:
        scalar = self.builder.load(self.builder.inttoptr(address, ir.PointerType(self.element)), align=self.align)
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        function = self.intrinsic(f"llvm.fma.v{self.lanes}f{8 * self.align}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])

    def prefetch(self, address: Any) -> None:
        byte, flag = ir.PointerType(ir.IntType(8)), ir.IntType(32)
        function = self.intrinsic("llvm.prefetch.p0", ir.VoidType(), [byte, flag, flag, flag])
        read, keep, data = (ir.Constant(flag, value) for value in (0, 2, 1))
        self.builder.call(function, [self.builder.inttoptr(address, byte), read, keep, data])

    def emit(
        self, a: Any, a_row: Any, a_k: Any, b: Any, init: Any, init_row: Any, c: Any, c_row: Any, depth: Any, ahead: Any
    ) -> None:
        """c[m, :] = init[m, :] + sum over k of a[m, k] * b[k, :]; all strides in bytes.

        Meanwhile it fetches what comes next: these rows of init, and `depth` cache lines from `ahead` on.
        """
        builder, word = self.builder, a.type

        def row(base: Any, stride: Any, m: int) -> Any:
            return builder.add(base, builder.mul(stride, ir.Constant(word, m)))

        places = [(m, v) for m in range(self.rows) for v in range(self.vectors)]
        start = [ir.Constant(self.vector, None)] * len(places)
        a_rows = [row(a, a_row, m) for m in range(self.rows)]
        for m, v in places:
            self.prefetch(builder.add(row(init, init_row, m), ir.Constant(word, v * self.vector_bytes)))
        before, loop, after = (
            builder.block,
            builder.append_basic_block("k"),
            builder.append_basic_block("done"),
        )
        builder.cbranch(builder.icmp_signed(">", depth, ir.Constant(word, 0)), loop, after)
        builder.position_at_end(loop)
        k = builder.phi(word)
        sums = [builder.phi(self.vector) for _ in start]
        b_k = builder.add(b, builder.mul(k, ir.Constant(word, self.panel_bytes)))
        panel = [builder.load(self.pointer(b_k, v * self.vector_bytes), align=self.align) for v in range(self.vectors)]
        a_offset = builder.mul(k, a_k)
        self.prefetch(builder.add(ahead, builder.mul(k, ir.Constant(word, LINE))))
        new = []
        for m in range(self.rows):
            a_mk = self.broadcast(builder.add(a_rows[m], a_offset))
            new += [self.multiply_add(a_mk, panel[v], sums[m * self.vectors + v]) for v in range(self.vectors)]
        k_next = builder.add(k, ir.Constant(word, 1))
        k.add_incoming(ir.Constant(word, 0), before)
        k.add_incoming(k_next, loop)
        for phi, first, next_ in zip(sums, start, new, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(next_, loop)
        builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, after)
        builder.position_at_end(after)
        products = []
        for first, next_ in zip(start, new, strict=True):
            result = builder.phi(self.vector)
            result.add_incoming(first, before)
            result.add_incoming(next_, loop)
            products.append(result)
        for (m, v), result in zip(places, products, strict=True):
            self.store(builder.fadd(self.load(row(init, init_row, m), v), result), row(c, c_row, m), v)


@intrinsic
def strip(typingctx: Any, like: Any, rows: Any, columns: Any, depth: Any, a: Any, a_row: Any, a_k: Any, b: Any,
          init: Any, init_row: Any, c: Any, c_row: Any, ahead: Any) -> Any:  # fmt: skip
    """All rows of C for one panel, tile by tile: the highest tiles first, then what is left in lower ones.

    `columns` (1 to the panel's width) says how much of the panel is real; addresses and strides in bytes.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_value_type(signature.args[0])
        _, rows, columns, depth, a, a_row, a_k, b, init, init_row, c, c_row, ahead = args
        word = rows.type
        n = lanes(4 if isinstance(element, ir.FloatType) else 8)
        counters = [cgutils.alloca_once_value(builder, value) for value in (rows, a, init, c, ahead)]
        ahead_row = builder.mul(depth, ir.Constant(word, LINE // TILE_ROWS[0]))

        def emit_rows(vectors: int, mask: Any | None) -> None:
            # One vector for each row: more rows, or each sum would wait for itself.
            for height in (8, 4, 2, 1) if vectors == 1 else TILE_ROWS:
                check, body, done = (builder.append_basic_block(name) for name in ("check", "tile", "lower"))
                builder.branch(check)
                builder.position_at_end(check)
                left, a_m, init_m, c_m, ahead_m = (builder.load(counter) for counter in counters)
                builder.cbranch(builder.icmp_signed(">=", left, ir.Constant(word, height)), body, done)
                builder.position_at_end(body)
                Tile(builder, element, height, vectors, mask).emit(
                    a_m, a_row, a_k, b, init_m, init_row, c_m, c_row, depth, ahead_m
                )
                builder.store(builder.sub(left, ir.Constant(word, height)), counters[0])
                for counter, value, stride in zip(
                    counters[1:], (a_m, init_m, c_m, ahead_m), (a_row, init_row, c_row, ahead_row), strict=True
                ):
                    builder.store(builder.add(value, builder.mul(stride, ir.Constant(word, height))), counter)
                builder.branch(check)
                builder.position_at_end(done)

        end = builder.append_basic_block("end")
        for vectors in range(VECTORS, 0, -1):
            tail, narrower = builder.append_basic_block("tail"), builder.append_basic_block("narrower")
            before = ir.Constant(word, (vectors - 1) * n)
            builder.cbranch(builder.icmp_signed(">", columns, before), tail, narrower)
            builder.position_at_end(tail)
            left, numbers = builder.sub(columns, before), ir.Constant(ir.VectorType(word, n), list(range(n)))
            mask = builder.icmp_signed("<", numbers, splat(builder, left, n))
            if MASKED:
                emit_rows(vectors, mask)
            else:
                # A masked store takes a dozen cycles and more: only where there is something to be masked.
                with builder.if_else(builder.icmp_signed("==", left, ir.Constant(word, n))) as (whole, cut):
                    with whole:
                        emit_rows(vectors, None)
                    with cut:
                        emit_rows(vectors, mask)
            builder.branch(end)
            builder.position_at_end(narrower)
        builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 12), codegen


@intrinsic
def collect(typingctx: Any, like: Any, source: Any, step: Any, target: Any, left: Any) -> Any:
    """One vector from elements `step` bytes apart to neighbours at `target`, cut to `left` elements."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, step, target, left = args
        element, word = context.get_value_type(signature.args[0]), source.type
        size = signature.args[0].bitwidth // 8
        n = lanes(size)
        numbers = ir.Constant(ir.VectorType(word, n), list(range(n)))
        mask = builder.icmp_signed("<", numbers, splat(builder, left, n))
        vector, align = ir.VectorType(element, n), ir.Constant(ir.IntType(32), size)
        near = builder.icmp_signed("==", step, ir.Constant(word, size))
        row, pointer = (builder.inttoptr(at, ir.PointerType(vector)) for at in (source, target))
        # Where a masked instruction is slow, vectors without a gap take the plain ones.
        whole = ir.Constant(near.type, 0) if MASKED else builder.icmp_signed(">=", left, ir.Constant(word, n))
        with builder.if_else(builder.and_(near, whole)) as (then, otherwise):
            with then:
                builder.store(builder.load(row, align=size), pointer, align=size)
            with otherwise:
                value = cgutils.alloca_once(builder, vector)
                with builder.if_else(near) as (then, otherwise):
                    with then:
                        builder.store(masked_load(builder, row, mask, vector, size), value)
                    with otherwise:
                        offsets = builder.mul(numbers, splat(builder, step, n))
                        places = builder.add(offsets, splat(builder, source, n))
                        places = builder.inttoptr(places, ir.VectorType(ir.PointerType(element), n))
                        kind = ir.FunctionType(vector, [places.type, align.type, mask.type, vector])
                        name = f"llvm.masked.gather.v{n}f{8 * size}.v{n}p0"
                        gather = cgutils.get_or_insert_function(builder.module, kind, name)
                        nothing = ir.Constant(vector, None)
                        builder.store(builder.call(gather, [places, align, mask, nothing]), value)
                masked_store(builder, builder.load(value), pointer, mask, size)
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 4), codegen


@intrinsic
def transpose(typingctx: Any, like: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
    """A square of as many rows as a vector has elements, transposed in registers: a gather takes five times as long."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, source_step, target, target_step = args
        word, size = source.type, signature.args[0].bitwidth // 8
        n = lanes(size)
        vector = ir.PointerType(ir.VectorType(context.get_value_type(signature.args[0]), n))

        def row(base: Any, step: Any, i: int) -> Any:
            return builder.inttoptr(builder.add(base, builder.mul(step, ir.Constant(word, i))), vector)

        rows = [builder.load(row(source, source_step, i), align=size) for i in range(n)]
        distance = n // 2
        while distance:
            # Of each square of 2 x distance rows and columns the quarters off the diagonal change places.
            upper = [n + c - distance if c & distance else c for c in range(n)]
            lower = [n + c if c & distance else c + distance for c in range(n)]
            for i in range(n):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    for k, picks in ((i, upper), (i + distance, lower)):
                        numbers = ir.Constant(ir.VectorType(ir.IntType(32), n), picks)
                        rows[k] = builder.shuffle_vector(*pair, numbers)
            distance //= 2
        for i, value in enumerate(rows):
            builder.store(value, row(target, target_step, i), align=size)
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 4), codegen
