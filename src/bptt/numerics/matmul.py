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
from numba.extending import intrinsic

from bptt.numerics.jit import bind, emit_call, instructions, kernel, outlined
from bptt.numerics.memory import LINE
from bptt.numerics.numba_internals import cgutils, signature
from bptt.numerics.simd import lane_count, lanes, load, store, zero
from bptt.numerics.team import share
from bptt.numerics.tiles import HEIGHT, VECTORS, address, collect, move, strip, transpose

__all__ = ["pack", "packed_rows", "panel_shape", "product", "shared_product", "transposed_products", "unit_stride"]


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
    """Columns from one block of `units` to the next if each block starts at a whole vector."""
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
    """`product`, with the rows shared among the members."""
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
    """Pack B (K, N), any strides, into the panels of a larger matrix, its corner at (first_row, first_column)."""
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
    """C += A^T B, C2 += A^T B2 and total (M) += sum of the rows of A, in one pass over A.

    A (R, M) has `order.size` equal blocks of columns; block j of A^T B goes to block order[j] of C, that of A^T B2 to
    block order2[j] of C2, nowhere where that is negative. With `fresh` they start at 0. Each member computes its
    share of each block. Sums over R are cut into pieces that depend on R only, and added in order.
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
