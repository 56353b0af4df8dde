"""Addresses, calls by address, atomics, flush-to-zero and the clock: what numba itself does not offer.

All are intrinsics: a few machine instructions, no call into Python.
"""

import platform

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_ARM = platform.machine() in ("aarch64", "arm64")
_I8P = ir.IntType(8).as_pointer()
_F32P = ir.FloatType().as_pointer()
_I64 = ir.IntType(64)
_I32 = ir.IntType(32)


@intrinsic
def pointer(typingctx, address):
    """Turn an int64 address into a void pointer, for `numba.carray`."""
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], _I8P)
    return types.voidptr(types.int64), codegen


@intrinsic
def record_at(typingctx, address, kind):
    """Turn an int64 address into a pointer to a record of a numba type, for `numba.carray`."""
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))
    return types.CPointer(kind.instance_type)(types.int64, kind), codegen


@intrinsic
def samples(typingctx, address):
    """Turn an int64 address into a float32 pointer."""
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], _F32P)
    return types.CPointer(types.float32)(types.int64), codegen


@intrinsic
def address_of(typingctx, pointer_):
    """Turn a pointer into an int64 address."""
    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], _I64)
    return types.int64(pointer_), codegen


@intrinsic
def call_stage(typingctx, function, state, x, out, frames):
    """Call a stage's function (jit.stage_entry) by its address."""
    signature = types.int32(types.int64, types.int64, types.CPointer(types.float32),
                            types.CPointer(types.float32), types.int64)
    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(_I32, [_I8P, _F32P, _F32P, _I64])
        called = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(called, [builder.inttoptr(args[1], _I8P), args[2], args[3], args[4]])
    return signature, codegen


@intrinsic
def call_job(typingctx, function, state, argument):
    """Call ``int32 f(state*, int64)`` by its address: estimators and adaptation jobs."""
    signature = types.int32(types.int64, types.int64, types.int64)
    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(_I32, [_I8P, _I64])
        called = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(called, [builder.inttoptr(args[1], _I8P), args[2]])
    return signature, codegen


@intrinsic
def call_fft(typingctx, function, plan, source, target):
    """Call FFTW's ``void execute(plan, in, out)`` by its address; all four are int64 addresses."""
    signature = types.void(types.int64, types.int64, types.int64, types.int64)
    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [_I8P, _I8P, _I8P])
        called = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(called, [builder.inttoptr(a, _I8P) for a in args[1:]])
        return context.get_dummy_value()
    return signature, codegen


@intrinsic
def fma(typingctx, a, b, c):
    """Return a * b + c, rounded once, for float32: the same everywhere, and one instruction."""
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        return builder.call(builder.module.declare_intrinsic("llvm.fma", [ir.FloatType()], kind), args)
    return types.float32(types.float32, types.float32, types.float32), codegen


@intrinsic
def load_acquire(typingctx, address):
    """Read the int64 at `address`; nothing that follows is moved before it."""
    def codegen(context, builder, signature, args):
        return builder.load_atomic(builder.inttoptr(args[0], _I64.as_pointer()), "acquire", 8)
    return types.int64(types.int64), codegen


@intrinsic
def store_release(typingctx, address, value):
    """Write the int64 at `address`; nothing that precedes is moved behind it."""
    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], builder.inttoptr(args[0], _I64.as_pointer()), "release", 8)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64), codegen


def _x86_mxcsr(builder, name, cell):
    kind = ir.FunctionType(ir.VoidType(), [_I8P])
    builder.call(builder.module.declare_intrinsic("llvm.x86.sse." + name, [], kind), [cell])


@intrinsic
def flush_to_zero(typingctx):
    """Make this thread treat denormal numbers as zero; returns what `restore_floats` needs."""
    def codegen(context, builder, signature, args):
        if _ARM:
            kind = ir.FunctionType(_I64, [])
            old = builder.call(ir.InlineAsm(kind, "mrs $0, fpcr", "=r", side_effect=True), [])
            new = builder.or_(old, ir.Constant(_I64, 1 << 24))
            set_ = ir.FunctionType(ir.VoidType(), [_I64])
            builder.call(ir.InlineAsm(set_, "msr fpcr, $0", "r", side_effect=True), [new])
            return old
        cell = builder.alloca(_I32)
        raw = builder.bitcast(cell, _I8P)
        _x86_mxcsr(builder, "stmxcsr", raw)
        old = builder.load(cell)
        builder.store(builder.or_(old, ir.Constant(_I32, 0x8040)), cell)
        _x86_mxcsr(builder, "ldmxcsr", raw)
        return builder.zext(old, _I64)
    return types.int64(), codegen


@intrinsic
def restore_floats(typingctx, old):
    """Undo `flush_to_zero`: NumPy on the same thread must not inherit it."""
    def codegen(context, builder, signature, args):
        if _ARM:
            set_ = ir.FunctionType(ir.VoidType(), [_I64])
            builder.call(ir.InlineAsm(set_, "msr fpcr, $0", "r", side_effect=True), [args[0]])
            return context.get_dummy_value()
        cell = builder.alloca(_I32)
        builder.store(builder.trunc(args[0], _I32), cell)
        _x86_mxcsr(builder, "ldmxcsr", builder.bitcast(cell, _I8P))
        return context.get_dummy_value()
    return types.void(types.int64), codegen


@intrinsic
def ticks(typingctx):
    """Read the processor's constant-rate counter; `rtsep.clock` knows how many there are in a second."""
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(_I64, [])
        if _ARM:
            return builder.call(ir.InlineAsm(kind, "mrs $0, cntvct_el0", "=r", side_effect=True), [])
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", [], kind), [])
    return types.int64(), codegen


@intrinsic
def exchange(typingctx, address, value):
    """Write the int64 at `address` and return what was there, in one step."""
    def codegen(context, builder, signature, args):
        cell = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.atomic_rmw("xchg", cell, args[1], "acq_rel")
    return types.int64(types.int64, types.int64), codegen


def aligned(shape, dtype=np.float32):
    """Allocate zeros that start at a multiple of 64 bytes, as FFTW's plans and AVX-512 want.

    Parameters
    ----------
    shape : tuple of int or int
    dtype : numpy dtype

    Returns
    -------
    dtype[shape]
    """
    shape = (shape,) if np.isscalar(shape) else tuple(shape)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size].view(dtype).reshape(shape)
