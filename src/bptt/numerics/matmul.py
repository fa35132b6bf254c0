"""Matrix products on packed, register-tiled operands: the only file with intrinsics and raw addresses.

    C = init + A B        `product`             B packed once in panels, used for many A
    C = A^T B             `transposed_product`  both packed in passing: the weight gradients

A panel holds `WIDTH` columns of B, row after row, so that the innermost loop reads it from front to back:
panels[p, k, u] = B[k, p * WIDTH + u], zero past the last column. One tile of C, `rows` rows of `VECTORS` vectors,
stays in registers while k runs: each step loads VECTORS vectors of the panel, broadcasts `rows` elements of A and
makes rows x VECTORS fused multiply-adds (the scheme of Goto & van de Geijn 2008, "Anatomy of high-performance matrix
multiplication", with the micro-kernel written as LLVM IR). Every element of C is one chain of fused multiply-adds
over k in order, whatever tile computes it: cutting the rows in any way, for any number of threads, gives the same bits.

Uncompiled (`NUMBA_DISABLE_JIT=1`) the same functions take NumPy's `@`.
"""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from bptt.numerics.jit import kernel
from bptt.numerics.threads import share

__all__ = ["pack", "panel_shape", "product", "shared_product", "transposed_product"]


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
VECTORS = 3
# Accumulators, one panel row and one broadcast must fit the vector registers: 8*3+3+1 of 32, 4*3+3+1 of 16.
TILE_ROWS = (8, 4, 2, 1) if ARM or BITS == 512 else (4, 2, 1)
HEIGHT = TILE_ROWS[0]
DEPTH = 192  # rows of a block in `transposed_product`: its panel and one strip of A fit the first-level cache


def lanes(itemsize: int) -> int:
    return BITS // 8 // itemsize


def panel_shape(depth: int, columns: int, dtype: Any) -> tuple[int, int, int]:
    """Shape of the packed form of a (depth, columns) matrix. Allocate it with zeros: the padding stays zero."""
    width = VECTORS * lanes(np.dtype(dtype).itemsize)
    return -(-columns // width), depth, width


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
    """Emits the code of one register tile: `rows` rows of `vectors` vectors, masked each in its way or not at all."""

    def __init__(self, builder: Any, element: Any, rows: int, vectors: int, masks: list[Any] | None) -> None:
        size = 4 if isinstance(element, ir.FloatType) else 8
        self.builder, self.element, self.rows, self.vectors, self.masks = builder, element, rows, vectors, masks
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
        if self.masks is None:
            return self.builder.load(pointer, align=self.align)
        types_ = [pointer.type, ir.IntType(32), self.masks[v].type, self.vector]
        function = self.intrinsic(f"llvm.masked.load.{self.suffix()}.p0", self.vector, types_)
        zero = ir.Constant(self.vector, None)
        return self.builder.call(function, [pointer, ir.Constant(ir.IntType(32), self.align), self.masks[v], zero])

    def store(self, value: Any, address: Any, v: int) -> None:
        pointer = self.pointer(address, v * self.vector_bytes)
        if self.masks is None:
            self.builder.store(value, pointer, align=self.align)
            return
        types_ = [self.vector, pointer.type, ir.IntType(32), self.masks[v].type]
        function = self.intrinsic(f"llvm.masked.store.{self.suffix()}.p0", ir.VoidType(), types_)
        self.builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.align), self.masks[v]])

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

    def emit(
        self, a: Any, a_row: Any, a_k: Any, b: Any, init: Any, init_row: Any, c: Any, c_row: Any, depth: Any
    ) -> None:
        """c[m, :] = init[m, :] + sum over k of a[m, k] * b[k, :]; all strides in bytes."""
        builder, word = self.builder, a.type

        def row(base: Any, stride: Any, m: int) -> Any:
            return builder.add(base, builder.mul(stride, ir.Constant(word, m)))

        start = [self.load(row(init, init_row, m), v) for m in range(self.rows) for v in range(self.vectors)]
        a_rows = [row(a, a_row, m) for m in range(self.rows)]
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
        for i, (first, next_) in enumerate(zip(start, new, strict=True)):
            result = builder.phi(self.vector)
            result.add_incoming(first, before)
            result.add_incoming(next_, loop)
            new[i] = result
        for m in range(self.rows):
            for v in range(self.vectors):
                self.store(new[m * self.vectors + v], row(c, c_row, m), v)


@intrinsic
def strip(typingctx: Any, like: Any, rows: Any, columns: Any, depth: Any, a: Any, a_row: Any, a_k: Any, b: Any,
          init: Any, init_row: Any, c: Any, c_row: Any) -> Any:  # fmt: skip
    """All rows of C for one panel, tile by tile: the highest tiles first, then what is left in lower ones.

    `columns` (1 to the panel's width) says how much of the panel is real; addresses and strides in bytes.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_value_type(signature.args[0])
        _, rows, columns, depth, a, a_row, a_k, b, init, init_row, c, c_row = args
        word = rows.type
        n = lanes(4 if isinstance(element, ir.FloatType) else 8)
        counters = [cgutils.alloca_once_value(builder, value) for value in (rows, a, init, c)]

        def emit_rows(vectors: int, masks: list[Any] | None) -> None:
            for height in TILE_ROWS:
                check, body, done = (builder.append_basic_block(name) for name in ("check", "tile", "lower"))
                builder.branch(check)
                builder.position_at_end(check)
                left, a_m, init_m, c_m = (builder.load(counter) for counter in counters)
                builder.cbranch(builder.icmp_signed(">=", left, ir.Constant(word, height)), body, done)
                builder.position_at_end(body)
                Tile(builder, element, height, vectors, masks).emit(
                    a_m, a_row, a_k, b, init_m, init_row, c_m, c_row, depth
                )
                builder.store(builder.sub(left, ir.Constant(word, height)), counters[0])
                for counter, value, stride in zip(
                    counters[1:], (a_m, init_m, c_m), (a_row, init_row, c_row), strict=True
                ):
                    builder.store(builder.add(value, builder.mul(stride, ir.Constant(word, height))), counter)
                builder.branch(check)
                builder.position_at_end(done)

        end, choose = builder.append_basic_block("end"), builder.append_basic_block("choose")
        if BITS == 512:
            builder.branch(choose)
        else:
            # Vectors of this length are masked lane by lane in scalar code: not where nothing is to be masked.
            full = builder.append_basic_block("full")
            builder.cbranch(builder.icmp_signed("==", columns, ir.Constant(word, VECTORS * n)), full, choose)
            builder.position_at_end(full)
            emit_rows(VECTORS, None)
            builder.branch(end)
        builder.position_at_end(choose)
        for vectors in range(1, VECTORS + 1):
            tail, wider = builder.append_basic_block("tail"), builder.append_basic_block("wider")
            builder.cbranch(builder.icmp_signed("<=", columns, ir.Constant(word, vectors * n)), tail, wider)
            builder.position_at_end(tail)
            indices = ir.VectorType(word, n)
            undefined = ir.Constant(indices, ir.Undefined)
            spread = builder.insert_element(undefined, columns, ir.Constant(ir.IntType(32), 0))
            spread = builder.shuffle_vector(spread, undefined, ir.Constant(ir.VectorType(ir.IntType(32), n), None))
            lane = [ir.Constant(indices, list(range(v * n, (v + 1) * n))) for v in range(vectors)]
            emit_rows(vectors, [builder.icmp_signed("<", lane[v], spread) for v in range(vectors)])
            builder.branch(end)
            builder.position_at_end(wider)
        builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 11), codegen


@kernel
def strips(like, rows, columns, depth, a, a_row, a_k, b, b_panel, width, init, init_row, c, c_row, size):
    """`product` on addresses: compiled once for a dtype, whatever the layouts of the arrays."""
    for p in range((columns + width - 1) // width):
        first = p * width
        offset = first * size
        strip(like, rows, min(width, columns - first), depth, a, a_row, a_k, b + p * b_panel,
              init + offset, init_row, c + offset, c_row)  # fmt: skip


def product(A, panels, init, C):
    """C (M, N) = init + A (M, K) B, B packed in `panels`; `init` is (M, N) or (1, N) and may be C itself.

    C and init have unit column stride; A has any strides.
    """
    P, K, width = panels.shape
    B = panels.transpose(1, 0, 2).reshape(K, P * width)[:, : C.shape[1]]
    rows = np.broadcast_to(init, C.shape).copy()
    # Row by row: a row's rounding must not depend on how many rows there are.
    for m in range(A.shape[0]):
        C[m] = rows[m] + A[m] @ B


@overload(product)
def _compiled_product(A, panels, init, C):
    def compiled(A, panels, init, C):
        M, K = A.shape
        init_row = 0 if init.shape[0] == 1 else init.strides[0]
        strips(C.dtype.type(0), M, C.shape[1], K, address(A), A.strides[0], A.strides[1],
               address(panels), panels.strides[0], panels.shape[2],
               address(init), init_row, address(C), C.strides[0], C.itemsize)  # fmt: skip

    return compiled


@kernel
def shared_product(team, A, panels, init, C):
    """`product`, of which each member makes its share of the rows."""
    M = A.shape[0]
    first, last = share((M + 7) // 8, team)
    first, last = 8 * first, min(M, 8 * last)
    product(A[first:last], panels, init if init.shape[0] == 1 else init[first:last], C[first:last])


@kernel
def pack(team, B, panels, first_row, first_column):
    """Lay B (K, N), any strides, into the panels of a larger matrix, its corner at (first_row, first_column)."""
    K, N = B.shape
    width = panels.shape[2]
    j, last = share(N, team)
    while j < last:
        p, u = divmod(first_column + j, width)
        # Eight columns at a time: where B is a transposed view, eight cache lines are read to their ends.
        n = min(8, last - j, width - u)
        for k in range(K):
            target = panels[p, first_row + k, u : u + n]
            source = B[k, j : j + n]
            for i in range(n):
                target[i] = source[i]
        j += n


@kernel
def _transposed(team, A, B, C, order, total):
    """See `transposed_product`."""
    zero, size = C.dtype.type(0), C.itemsize
    R, N = B.shape
    n = A.shape[1] // order.size
    per_block = (n + HEIGHT - 1) // HEIGHT
    first, last = share(order.size * per_block, team)
    width = _panel_width(C)
    strip_bytes = DEPTH * HEIGHT * size
    a_strips = np.empty((last - first + 1) * DEPTH * HEIGHT, C.dtype)
    b_panel = np.empty(DEPTH * width, C.dtype)
    nothing = np.zeros(width, C.dtype)
    column, row, rows = (
        np.empty(last - first, np.int64),
        np.empty(last - first, np.int64),
        np.empty(last - first, np.int64),
    )
    for q in range(last - first):
        block, i = divmod(first + q, per_block)
        column[q], row[q], rows[q] = (
            block * n + i * HEIGHT,
            order[block] * n + i * HEIGHT,
            min(HEIGHT, n - i * HEIGHT),
        )
        for m in range(row[q], row[q] + rows[q]):
            total[m] = 0
            if R == 0:
                C[m, :] = 0
    for k0 in range(0, R, DEPTH):
        depth = min(DEPTH, R - k0)
        for k in range(depth):
            source, target = address(A) + (k0 + k) * A.strides[0], address(a_strips) + k * HEIGHT * size
            for q in range(last - first):
                if rows[q] == HEIGHT:
                    move(zero, source + column[q] * size, target + q * strip_bytes)
                else:
                    for m in range(rows[q]):
                        a_strips[(q * DEPTH + k) * HEIGHT + m] = A[k0 + k, column[q] + m]
        for q in range(last - first):
            strip_ = a_strips[q * DEPTH * HEIGHT : (q * DEPTH + depth) * HEIGHT]
            add_rows(strip_.reshape(depth, HEIGHT), total[row[q] : row[q] + rows[q]])
        for j0 in range(0, N, width):
            columns = min(width, N - j0)
            for k in range(depth):
                source_row, target_row = (
                    B[k0 + k, j0 : j0 + columns],
                    b_panel[k * width : k * width + columns],
                )
                for u in range(columns):
                    target_row[u] = source_row[u]
            for q in range(last - first):
                c = address(C) + row[q] * C.strides[0] + j0 * size
                init, init_row = (address(nothing), 0) if k0 == 0 else (c, C.strides[0])
                strips(zero, rows[q], columns, depth, address(a_strips) + q * strip_bytes, size, HEIGHT * size,
                       address(b_panel), strip_bytes, width, init, init_row, c, C.strides[0], size)  # fmt: skip


@kernel
def add_rows(A, total):
    """total (n) += sum of the rows of A (R, >= n), one after the other."""
    for k in range(A.shape[0]):
        row = A[k]
        for j in range(total.size):
            total[j] += row[j]


@intrinsic
def _panel_width(typingctx: Any, array: Any) -> Any:
    """Columns of a panel of this array's dtype."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, VECTORS * lanes(signature.args[0].dtype.bitwidth // 8))

    return types.intp(array), codegen


def transposed_product(team, A, B, C, order, total):
    """C = A^T B for A (R, M) and B (R, N), and total (M) = sum of the rows of A.

    A's columns are `order.size` equal blocks; block j of the result goes to block order[j] of C (M, N) and total.
    Each member makes its share of the columns of A. Sums over R run in blocks of fixed size, in order.
    A, B and C have unit column stride.
    """
    n = A.shape[1] // order.size
    for j, block in enumerate(order):
        part, rows = A[:, j * n : (j + 1) * n], slice(block * n, (block + 1) * n)
        C[rows], total[rows] = part.T @ B, part.sum(0)


@overload(transposed_product)
def _compiled_transposed_product(team, A, B, C, order, total):
    return lambda team, A, B, C, order, total: _transposed(team, A, B, C, order, total)
