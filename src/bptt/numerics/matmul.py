"""Matrix products on packed, register-tiled operands, written on raw addresses: nothing here checks a size.

    C = init + A B        `product`             B packed once in panels, used for many A
    C += A^T B            `transposed_products` both packed in passing: the weight gradients

A panel holds `WIDTH` columns of B, row after row, so that the innermost loop reads it from front to back:
panels[p, k, u] = B[k, p * WIDTH + u], zero past the last column. One tile of C, `rows` rows of `VECTORS` vectors,
stays in registers while k runs: each step loads VECTORS vectors of the panel, broadcasts `rows` elements of A and
makes rows x VECTORS fused multiply-adds (the scheme of Goto & van de Geijn 2008, "Anatomy of high-performance matrix
multiplication", with the micro-kernel written as LLVM IR). Meanwhile the next panel is fetched. Every element of A B
is one chain of fused multiply-adds over k in order, to which `init` or the old C is added at the end, whatever tile
computes it: cutting the rows or the columns in any way, for any number of threads, gives the same bits.

Uncompiled (`NUMBA_DISABLE_JIT=1`) the same functions take NumPy's `@`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from bptt.numerics.jit import bind, emit_call, instructions, kernel, outlined
from bptt.numerics.memory import LINE
from bptt.numerics.simd import ARM, BITS, FUSED, MASKED, lane_count, lanes, load, splat, store, zero
from bptt.numerics.threads import share

__all__ = ["pack", "packed_rows", "panel_shape", "product", "shared_product", "transposed_products", "unit_stride"]


VECTORS = 3
# Accumulators, one panel row and one broadcast must fit the vector registers: 8*3+3+1 of 32, 4*3+3+1 of 16.
TILE_ROWS = (8, 4, 2, 1) if ARM or BITS == 512 else (4, 2, 1)
HEIGHT = TILE_ROWS[0]
DEPTH = 192  # most rows of a piece in `transposed_products`: its panel and a strip of A fit the first-level cache
RUN = 16  # rows that are summed up for themselves, in `add_sums`
DIRECT = 2048  # bytes of a row of A up to which `transposed_products` reads its strips where they stand
# How many vectors: the length of a tuple is known when it is compiled.
ONE, FOUR = (0,), (0, 0, 0, 0)


def panel_shape(depth: int, columns: int, dtype: Any) -> tuple[int, int, int]:
    """Shape of the packed form of a (depth, columns) matrix. Allocate it with zeros: the padding stays zero."""
    width = VECTORS * lanes(np.dtype(dtype).itemsize)
    return -(-columns // width), depth, width


def unit_stride(units: int, dtype: Any) -> int:
    """Columns from one block of so many units to the next where each is to begin with a whole vector."""
    n = lanes(np.dtype(dtype).itemsize)
    return -(-units // n) * n


def block_stride(units, array):
    """`unit_stride` for the dtype of `array`."""
    return unit_stride(units, array.dtype)


@instructions(block_stride)
def _block_stride(units: Any, array: Any) -> Any:
    n = lanes(array.dtype.bitwidth // 8)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = args[0].type
        return builder.and_(builder.add(args[0], ir.Constant(word, n - 1)), ir.Constant(word, -n))

    return signature(types.intp, types.intp, array), codegen


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Address of an array's first element."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.intp))

    return types.intp(array), codegen


@intrinsic
def move(typingctx: Any, like: Any, source: Any, target: Any) -> Any:
    """Copy HEIGHT neighbours as one vector: a plain loop in a loop would be turned into scatters."""

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

    def suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.align}"

    def load(self, address: Any, v: int) -> Any:
        pointer = self.pointer(address, v * self.vector_bytes)
        mask = self.masks[v]
        if mask is None:
            return self.builder.load(pointer, align=self.align)
        types_ = [pointer.type, ir.IntType(32), mask.type, self.vector]
        function = self.intrinsic(f"llvm.masked.load.{self.suffix()}.p0", self.vector, types_)
        zero = ir.Constant(self.vector, None)
        return self.builder.call(function, [pointer, ir.Constant(ir.IntType(32), self.align), mask, zero])

    def store(self, value: Any, address: Any, v: int) -> None:
        pointer = self.pointer(address, v * self.vector_bytes)
        mask = self.masks[v]
        if mask is None:
            self.builder.store(value, pointer, align=self.align)
            return
        types_ = [self.vector, pointer.type, ir.IntType(32), mask.type]
        function = self.intrinsic(f"llvm.masked.store.{self.suffix()}.p0", ir.VoidType(), types_)
        self.builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.align), mask])

    def broadcast(self, address: Any) -> Any:
        scalar = self.builder.load(self.builder.inttoptr(address, ir.PointerType(self.element)), align=self.align)
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        function = self.intrinsic(f"llvm.fma.{self.suffix()}", self.vector, [self.vector] * 3)
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
        kind = f"v{n}f{8 * size}"
        nothing = ir.Constant(vector, None)

        def function(name: str, result: Any, *arguments: Any) -> Any:
            return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)

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
                        load = function(f"llvm.masked.load.{kind}.p0", vector, row.type, align.type, mask.type, vector)
                        builder.store(builder.call(load, [row, align, mask, nothing]), value)
                    with otherwise:
                        offsets = builder.mul(numbers, splat(builder, step, n))
                        places = builder.add(offsets, splat(builder, source, n))
                        places = builder.inttoptr(places, ir.VectorType(ir.PointerType(element), n))
                        gather = function(
                            f"llvm.masked.gather.{kind}.v{n}p0", vector, places.type, align.type, mask.type, vector
                        )
                        builder.store(builder.call(gather, [places, align, mask, nothing]), value)
                store = function(
                    f"llvm.masked.store.{kind}.p0", ir.VoidType(), vector, pointer.type, align.type, mask.type
                )
                builder.call(store, [builder.load(value), pointer, align, mask])
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


@outlined()
def strips(like, rows, column, columns, depth, a, a_row, a_k, b, b_panel, width, init, init_row, c, c_row, size):
    """`product` on addresses: compiled once for a dtype, whatever the layouts of the arrays."""
    first = 0
    while first < columns:
        p, u = divmod(column + first, width)
        offset = first * size
        strip(like, rows, min(width - u, columns - first), depth, a, a_row, a_k, b + p * b_panel + u * size,
              init + offset, init_row, c + offset, c_row, b + (p + 1) * b_panel)  # fmt: skip
        first += width - u


def product(A, panels, init, C, column=0):
    """C (M, N) = init + A (M, K) B, B the columns from `column` on of what is packed in `panels`.

    `init` is (M, N) or (1, N) and may be C itself. C and init have unit column stride; A has any strides. `column` is
    a multiple of the vector's length.
    """
    P, K, width = panels.shape
    B = panels.transpose(1, 0, 2).reshape(K, P * width)[:, column : column + C.shape[1]]
    rows = np.broadcast_to(init, C.shape).copy()
    # Row by row: a row's rounding must not depend on how many rows there are.
    for m in range(A.shape[0]):
        C[m] = rows[m] + A[m] @ B


@instructions(product)
def _product(A: Any, panels: Any, init: Any, C: Any, column: Any = None) -> Any:
    inner = signature(types.none, C.dtype, *[types.intp] * 15)
    bind(strips.dispatcher, inner.args)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = context.get_value_type(types.intp)
        arrays = [
            context.make_array(t)(context, builder, value) for t, value in zip(sig.args[:4], args[:4], strict=True)
        ]
        start = [builder.ptrtoint(array.data, word) for array in arrays]
        shape = [cgutils.unpack_tuple(builder, array.shape) for array in arrays]
        strides = [cgutils.unpack_tuple(builder, array.strides) for array in arrays]
        a, b, first, c = range(4)
        one_row = builder.icmp_signed("==", shape[first][0], ir.Constant(word, 1))
        init_row = builder.select(one_row, ir.Constant(word, 0), strides[first][0])
        values = [
            ir.Constant(context.get_value_type(sig.args[c].dtype), 0),
            shape[a][0], args[4] if len(args) > 4 else ir.Constant(word, 0), shape[c][1], shape[a][1],
            start[a], *strides[a], start[b], strides[b][0], shape[b][2],
            start[first], init_row, start[c], strides[c][0], arrays[c].itemsize,
        ]  # fmt: skip
        status, _ = emit_call(context, builder, strips, inner, values)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return signature(types.none, A, panels, init, C, *([] if column is None else [types.intp])), codegen


@kernel(low_opt=True)
def shared_product(team, A, panels, init, C):
    """`product`, of which each member makes its share of the rows."""
    M = A.shape[0]
    first, last = share((M + HEIGHT - 1) // HEIGHT, team)
    first, last = HEIGHT * first, min(M, HEIGHT * last)
    product(A[first:last], panels, init if init.shape[0] == 1 else init[first:last], C[first:last])


def plain_pack(team, B, panels, first_row, first_column):
    K, N = B.shape
    width = panels.shape[2]
    for j in range(N):
        p, u = divmod(first_column + j, width)
        panels[p, first_row : first_row + K, u] = B[:, j]


@outlined(plain=plain_pack)
def pack(team, B, panels, first_row, first_column):
    """Lay B (K, N), any strides, into the panels of a larger matrix, its corner at (first_row, first_column)."""
    K, N = B.shape
    zero, size, width, n = B.dtype.type(0), B.itemsize, panels.shape[2], lane_count(B)
    # Members share columns; the last one of a member's share ends where the next one's begins.
    first, last = share(N, team)
    j = first
    while j < last:
        p, u = divmod(first_column + j, width)
        left = min(n, last - j, width - u)
        source = address(B) + j * B.strides[1]
        target = address(panels) + p * panels.strides[0] + first_row * panels.strides[1] + u * size
        k0 = 0
        if left == n and B.strides[0] == size:
            while k0 + n <= K:
                transpose(zero, source + k0 * size, B.strides[1], target + k0 * panels.strides[1], panels.strides[1])
                k0 += n
        for k in range(k0, K):
            collect(zero, source + k * B.strides[0], B.strides[1], target + k * panels.strides[1], left)
        j += left


def packed_rows(columns: int, blocks: int, dtype: Any) -> tuple[int, int]:
    """Shape of the scratch array of `transposed_products` for A of `blocks` blocks of this many columns."""
    return blocks * -(-columns // HEIGHT), DEPTH * HEIGHT + LINE // np.dtype(dtype).itemsize


def plain_transposed_products(team, A, B, C, order, B2, C2, order2, scratch, total, fresh):
    n = A.shape[1] // order.size
    if fresh:
        total[...] = 0
    total += A.sum(0)
    for B_k, C_k, order_k in ((B, C, order), (B2, C2, order2)):
        for j, block in enumerate(order_k):
            if block >= 0:
                rows = slice(block * n, (block + 1) * n)
                C_k[rows] = A[:, j * n : (j + 1) * n].T @ B_k + (0 if fresh else C_k[rows])


@kernel(internal=True, strict=True)
def add_sums(A, k0, depth, n, blocks, first, last, total):
    """total += the sums of rows k0 to k0 + depth - 1 of A, in strips first to last - 1 of each block.

    Sums of runs, then of pieces: in one chain of all rows each addition rounds as the sum so far, and where the errors
    of many steps cancel, as they may for a single hidden unit, little is left.
    """
    vector, stop = lane_count(A), k0 + depth
    for block in range(blocks):
        j, end = block * n + first * HEIGHT, block * n + min(n, last * HEIGHT)
        # Four vectors of a row at a time: rows may be so far apart that all fall in one set of the first-level cache,
        # and a line would be gone before its second half is read.
        while end - j >= 4 * vector:
            sum_0, sum_1, sum_2, sum_3 = load(total, 0, FOUR, vector, j, vector)
            piece_0 = piece_1 = piece_2 = piece_3 = zero(sum_0)
            for run in range(k0, stop, RUN):
                part_0 = part_1 = part_2 = part_3 = zero(sum_0)
                for k in range(run, min(run + RUN, stop)):
                    row_0, row_1, row_2, row_3 = load(A, k, FOUR, vector, j, vector)
                    part_0, part_1, part_2, part_3 = part_0 + row_0, part_1 + row_1, part_2 + row_2, part_3 + row_3
                piece_0, piece_1 = piece_0 + part_0, piece_1 + part_1
                piece_2, piece_3 = piece_2 + part_2, piece_3 + part_3
            sums = sum_0 + piece_0, sum_1 + piece_1, sum_2 + piece_2, sum_3 + piece_3
            store(total, 0, sums, vector, j, vector)
            j += 4 * vector
        while j < end:
            (sum_0,) = load(total, 0, ONE, 0, j, end - j)
            piece_0 = zero(sum_0)
            for run in range(k0, stop, RUN):
                part_0 = zero(sum_0)
                for k in range(run, min(run + RUN, stop)):
                    (row_0,) = load(A, k, ONE, 0, j, end - j)
                    part_0 = part_0 + row_0
                piece_0 = piece_0 + part_0
            store(total, 0, (sum_0 + piece_0,), 0, j, end - j)
            j += vector


@kernel(internal=True)
def lay_strips(A, k0, depth, n, blocks, first, last, scratch):
    """Rows k0 to k0 + depth - 1 of A, strips first to last - 1 of each block, for `add_strips`."""
    zero, size = A.dtype.type(0), A.itemsize
    per_block = (n + HEIGHT - 1) // HEIGHT
    columns = min(n, last * HEIGHT) - first * HEIGHT
    for block in range(blocks):
        strip_ = address(scratch) + (block * per_block + first) * scratch.strides[0]
        for k in range(depth):
            source = address(A) + (k0 + k) * A.strides[0] + (block * n + first * HEIGHT) * size
            target = strip_ + k * HEIGHT * size
            for _ in range(columns // HEIGHT):
                move(zero, source, target)
                source += HEIGHT * size
                target += scratch.strides[0]
            # A strip may be wider than a vector: that of 128 bits, and any on ARM.
            for u in range(0, columns % HEIGHT, lane_count(A)):
                collect(zero, source + u * size, size, target + u * size, columns % HEIGHT - u)


@kernel(internal=True)
def used(order):
    for block in order:
        if block >= 0:
            return True
    return False


@kernel(internal=True)
def add_strips(A, B, k0, depth, C, order, n, first, last, scratch, panel, fresh, laid):
    """C += A^T B, with `fresh` C = A^T B; the strips of A as `lay_strips` has laid them, or as they stand in A."""
    if not used(order):
        return
    zero, size, width = B.dtype.type(0), B.itemsize, panel.shape[1]
    per_block = (n + HEIGHT - 1) // HEIGHT
    nothing = address(panel) + DEPTH * panel.strides[0]
    for j0 in range(0, B.shape[1], width):
        columns = min(width, B.shape[1] - j0)
        for k in range(depth):
            source, target = address(B) + (k0 + k) * B.strides[0] + j0 * size, address(panel) + k * panel.strides[0]
            for u in range(0, columns, lane_count(B)):
                collect(zero, source + u * size, size, target + u * size, columns - u)
        for block in range(order.size):
            if order[block] >= 0:
                for i in range(first, last):
                    if laid:
                        strip_, a_k = address(scratch) + (block * per_block + i) * scratch.strides[0], HEIGHT * size
                    else:
                        strip_, a_k = address(A) + k0 * A.strides[0] + (block * n + i * HEIGHT) * size, A.strides[0]
                    c = address(C) + (order[block] * n + i * HEIGHT) * C.strides[0] + j0 * size
                    init, init_row = (nothing, 0) if fresh else (c, C.strides[0])
                    # The next strip of A stands where a next panel would: it is fetched meanwhile.
                    ahead = strip_ + scratch.strides[0] - address(panel)
                    strips(zero, min(HEIGHT, n - i * HEIGHT), 0, columns, depth, strip_, size, a_k, address(panel),
                           ahead, width, init, init_row, c, C.strides[0], size)  # fmt: skip


@outlined(plain=plain_transposed_products)
def transposed_products(team, A, B, C, order, B2, C2, order2, scratch, total, fresh):
    """C += A^T B, C2 += A^T B2 and total (M) += sum of the rows of A: one way through A for all of them.

    A (R, M) has `order.size` equal blocks of columns; block j of A^T B goes to block order[j] of C, that of A^T B2 to
    block order2[j] of C2, nowhere where that is negative. With `fresh` they start at 0. Each member makes its share
    of each block, so what it wrote is its own. Sums over R are cut into pieces by R alone, and made in order.
    All arrays have unit column stride; `scratch` is as `packed_rows` says.
    """
    R, n = A.shape[0], A.shape[1] // order.size
    first, last = share((n + HEIGHT - 1) // HEIGHT, team)
    # One row more than a panel needs: zeros to add to. It begins on a cache line.
    width, height, line = _panel_width(A), DEPTH + 1, LINE // A.itemsize
    raw = np.empty(height * width + line, A.dtype)
    start = -address(raw) // A.itemsize % line
    panel = raw[start : start + height * width].reshape(height, width)
    # All of it: columns that nothing is laid in are multiplied, too, and what malloc leaves there is full of denormal
    # numbers (the upper halves of addresses), each of which takes as long as a hundred others.
    panel[...] = 0
    sums = total.reshape(1, total.size)
    if fresh:
        for block in range(order.size):
            sums[0, block * n + first * HEIGHT : block * n + min(n, last * HEIGHT)] = 0
    laid = DIRECT < A.shape[1] * A.itemsize
    pieces = max(1, (R + DEPTH - 1) // DEPTH)
    for piece in range(pieces):
        k0, k1 = R * piece // pieces, R * (piece + 1) // pieces
        from_zero = fresh and piece == 0
        add_sums(A, k0, k1 - k0, n, order.size, first, last, sums)
        if laid:
            lay_strips(A, k0, k1 - k0, n, order.size, first, last, scratch)
        add_strips(A, B, k0, k1 - k0, C, order, n, first, last, scratch, panel, from_zero, laid)
        add_strips(A, B2, k0, k1 - k0, C2, order2, n, first, last, scratch, panel, from_zero, laid)


@intrinsic
def _panel_width(typingctx: Any, array: Any) -> Any:
    """Columns of a panel of this array's dtype."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, VECTORS * lanes(signature.args[0].dtype.bitwidth // 8))

    return types.intp(array), codegen
