"""State with an owner: one table for each record, from which everything else about it follows.

    PATHS = record(
        channels=number(), partitions=number(), blocks=number(start=0),
        w_re=array(f4, "partitions", "channels", "channels", ROW, start=0),
        window=array(f4, 2 * BLOCK),
        work=scratch(f4, 6, ROW),
        amount=given(f4, "channels"),
        guard=link(GUARD),
        plan=address(),
    )

`PATHS.make(channels=4, partitions=32, guard=guard, …)` allocates it (a `State`), `State.start` makes it as at the
beginning, `State.snapshot` and `State.restore` carry it from one to another. In a kernel, where `s` is the record,
``view(s, "w_re")`` is the array in the shape that the table says, ``flat(s, "w_re")`` the same in one dimension, and
``inner(s, "guard")`` the record behind a link.

Lengths are numbers, or sums and products of them and of the record's own numbers: ``"2 * channels"``. All that hangs
off a record by an address is C-contiguous and starts at a multiple of 64 bytes, as FFTW and AVX-512 want.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils, errors
from numba.extending import intrinsic
from numba.np import arrayobj
from numpy.typing import NDArray

from rtsep_kernels.plane.memory import aligned

f4, f8, i4, i8 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32), np.dtype(np.int64)
_I64 = ir.IntType(64)

NUMBER, ARRAY, LINK, ADDRESS = "number", "array", "link", "address"


@dataclass(frozen=True)
class Field:
    """One line of a table; made by the functions below.

    Parameters
    ----------
    kind : str
        `number`, `array`, `link` or `address`.
    dtype : numpy dtype
        Of the number, or of the array's elements.
    shape : tuple of int or str
        Of an array.
    start : number or None
        What `State.start` sets; None: it is set once and kept.
    ours : bool
        An array that the record allocates, rather than one that it is given.
    lasting : bool
        An array that a snapshot contains; scratch is none.
    table : Table, optional
        Of the record behind a link.
    """

    kind: str
    dtype: np.dtype[Any] = i8
    shape: tuple[int | str, ...] = ()
    start: float | None = None
    ours: bool = False
    lasting: bool = False
    table: "Table | None" = None


def number(dtype: np.dtype[Any] = i8, start: float | None = None) -> Field:
    """Return a number: with `start` one that runs, without it one that is fixed when the record is made."""
    return Field(NUMBER, dtype, start=start, lasting=start is not None)


def array(dtype: np.dtype[Any], *shape: int | str, start: float | None = None) -> Field:
    """Return an array of the record's own: with `start` it runs, without it is a constant that its maker fills."""
    return Field(ARRAY, dtype, shape, start, ours=True, lasting=start is not None)


def scratch(dtype: np.dtype[Any], *shape: int | str) -> Field:
    """Return an array that is written before it is read, every time: neither started nor part of a snapshot."""
    return Field(ARRAY, dtype, shape, ours=True)


def given(dtype: np.dtype[Any], *shape: int | str) -> Field:
    """Return an array that belongs to somebody else: the board, or another record."""
    return Field(ARRAY, dtype, shape)


def link(table: "Table") -> Field:
    """Return the address of another record; 0: there is none. Given as a `State`, that one becomes part of this."""
    return Field(LINK, table=table)


def address() -> Field:
    """Return an address of which kernels know more than the table does: a plan, a function, any record."""
    return Field(ADDRESS)


class Table:
    """What a record consists of.

    Attributes
    ----------
    fields : dict of str to Field
    dtype : numpy dtype
        Aligned; what C would make of it.
    type : numba Record
    """

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        self.dtype = np.dtype(
            [(name, field.dtype if field.kind == NUMBER else i8) for name, field in fields.items()], align=True
        )
        self.type = from_dtype(self.dtype)
        for field in fields.values():
            for length in field.shape:
                for name in _names(length):
                    if name not in fields or fields[name].kind != NUMBER:
                        raise ValueError(f"a length is {length!r}, but the record has no number {name!r}")
        known = _TABLES.setdefault(self.type, self)
        if known is not self and known.fields != self.fields:
            raise ValueError(f"two tables of different shapes have the same layout: {', '.join(fields)}")

    def make(self, **values: Any) -> "State":
        """Allocate a record; see `State`."""
        return State(self, values)


_TABLES: dict[Any, Table] = {}   # numba knows a record by its layout alone


def record(**fields: Field) -> Table:
    """Write down a table.

    Raises
    ------
    ValueError
        If another table has the same layout but other shapes: a kernel could not tell their records apart.
    """
    return Table(fields)


class State:
    """A record and all that hangs off it.

    Parameters
    ----------
    table : Table
    values : mapping of str to number, array or State
        Numbers that are fixed; constants; what running fields are at every start where that is not the table's
        number; arrays of other owners; what links lead to. A State becomes part of this one, and is started, snapshot
        and restored with it; a number is an address that somebody else looks after.
    """

    def __init__(self, table: Table, values: Mapping[str, Any]) -> None:
        self.table = table
        self.record: NDArray[Any] = np.zeros(1, table.dtype)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.parts: dict[str, State] = {}
        self._first = {name: np.copy(value) for name, value in values.items() if table.fields[name].lasting}
        for name, value in values.items():
            if table.fields[name].kind == NUMBER:
                self.record[name] = value
        for name, field in table.fields.items():
            if field.ours:
                self._hold(name, aligned(self._shape(field), field.dtype))
        for name, value in values.items():
            if table.fields[name].ours:
                self.arrays[name][...] = value
            elif table.fields[name].kind != NUMBER:
                self.put(name, value)

    @property
    def address(self) -> int:
        """Address of the record."""
        return int(self.record.ctypes.data)

    def __getitem__(self, name: str) -> Any:
        """Return an array, or a number as Python has it."""
        return self.arrays[name] if name in self.arrays else self.record[name][0].item()

    def __setitem__(self, name: str, value: Any) -> None:
        """Fill an array, or set a number."""
        if name in self.arrays:
            self.arrays[name][...] = value
        else:
            self.record[name] = value

    def put(self, name: str, value: Any) -> None:
        """Give an array, a link or an address that is not the record's own."""
        field = self.table.fields[name]
        if isinstance(value, State):
            if field.table is not None and field.table is not value.table:
                raise ValueError(f"{name} leads to another kind of record")
            self.parts[name] = value
            self.record[name] = value.address
        elif isinstance(value, np.ndarray):
            shape = self._shape(field)
            alike = field.kind == ARRAY and value.dtype == field.dtype and value.shape == shape
            if not alike or not value.flags.c_contiguous:
                raise ValueError(f"{name} is {field.dtype}{list(shape)}, not {value.dtype}{list(value.shape)}")
            self._hold(name, value)
        else:
            self.record[name] = value

    def _shape(self, field: Field) -> tuple[int, ...]:
        sizes = {name: int(self.record[name][0]) for name, other in self.table.fields.items() if other.kind == NUMBER}
        return tuple(_length(length, sizes) for length in field.shape)

    def _hold(self, name: str, value: NDArray[Any]) -> None:
        self.arrays[name] = value
        self.record[name] = value.ctypes.data

    def start(self) -> None:
        """Make everything that runs as at the beginning, here and in all parts."""
        for name, field in self.table.fields.items():
            if field.start is not None:
                self[name] = self._first.get(name, field.start)
        for part in self.parts.values():
            part.start()

    def running(self, prefix: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield, with dotted names, all that runs: views that may be read and written."""
        for name, field in self.table.fields.items():
            if field.lasting:
                yield prefix + name, self.arrays[name] if field.kind == ARRAY else self.record[name]
        for name, part in self.parts.items():
            yield from part.running(f"{prefix}{name}.")

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return a copy of all that runs."""
        return {name: values.copy() for name, values in self.running()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a snapshot of a state with the same shapes.

        Raises
        ------
        ValueError
            If it is of another one; then nothing is changed.
        """
        mine = dict(self.running())
        if mine.keys() != snapshot.keys():
            odd = ", ".join(sorted(mine.keys() ^ snapshot.keys())[:3])
            raise ValueError(f"a snapshot of another state: {odd} stand in one of them only")
        for name, values in mine.items():
            theirs = snapshot[name]
            if theirs.shape != values.shape or theirs.dtype != values.dtype:
                raise ValueError(f"a snapshot of another state: {name} is {values.dtype}{list(values.shape)} here")
        for name, values in mine.items():
            values[...] = snapshot[name]


def _names(length: int | str) -> set[str]:
    tree = ast.parse(str(length), mode="eval")
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _length(length: int | str, sizes: Mapping[str, int]) -> int:
    """Evaluate a length; only names, whole numbers, + and * are read."""
    def value(node: ast.AST) -> int:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
            left, right = value(node.left), value(node.right)
            return left + right if isinstance(node.op, ast.Add) else left * right
        if isinstance(node, ast.Name):
            return sizes[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        raise ValueError(f"a length is {length!r}, but only sums and products are understood")

    return value(ast.parse(str(length), mode="eval").body)


def _field(kind: Any, name: Any, wanted: str) -> tuple[Table, Field, str]:
    """Find the field that a kernel names."""
    table = _TABLES.get(kind)
    if table is None or not isinstance(name, types.StringLiteral):
        raise errors.TypingError("a record of a table and a field's name, written out, are needed")
    field = table.fields.get(name.literal_value)
    if field is None or field.kind != wanted:
        raise errors.TypingError(f"the record has no {wanted} {name.literal_value!r}")
    return table, field, name.literal_value


def _load(context: Any, builder: Any, kind: Any, pointer: Any, name: str) -> Any:
    """Read a field of the record, as an int64 or as what it is."""
    stored = context.get_data_type(kind.typeof(name))
    place = cgutils.get_record_member(builder, pointer, kind.offset(name), stored)
    return builder.load(place, align=kind.fields[name].alignment or 1)


def _emit_length(context: Any, builder: Any, kind: Any, pointer: Any, length: int | str) -> Any:
    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            both_known = isinstance(left, int) and isinstance(right, int)
            if both_known:
                return left + right if isinstance(node.op, ast.Add) else left * right
            left, right = (ir.Constant(_I64, v) if isinstance(v, int) else v for v in (left, right))
            return builder.add(left, right) if isinstance(node.op, ast.Add) else builder.mul(left, right)
        if isinstance(node, ast.Name):
            return _load(context, builder, kind, pointer, node.id)
        return node.value  # type: ignore[attr-defined]

    found = value(ast.parse(str(length), mode="eval").body)
    return ir.Constant(_I64, found) if isinstance(found, int) else found


def _array(context: Any, builder: Any, kind: Any, pointer: Any, name: str, result: Any, lengths: Any) -> Any:
    """Build numba's array over the memory that a field points to."""
    place = _load(context, builder, kind, pointer, name)
    out = arrayobj.make_array(result)(context, builder)
    data = builder.inttoptr(place, context.get_data_type(result.dtype).as_pointer())
    size = ir.Constant(_I64, context.get_abi_sizeof(context.get_data_type(result.dtype)))
    strides, step = [], size
    for length in reversed(lengths):
        strides.insert(0, step)
        step = builder.mul(step, length)
    arrayobj.populate_array(out, data=data, shape=lengths, strides=strides, itemsize=size, meminfo=None)
    return out._getvalue()


@intrinsic(prefer_literal=True)
def view(typingctx: Any, s: Any, name: Any) -> Any:
    """Return an array of record `s`, in the shape and type that its table says."""
    _, field, named = _field(s, name, ARRAY)
    result = types.Array(from_dtype(field.dtype), len(field.shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lengths = [_emit_length(context, builder, s, args[0], length) for length in field.shape]
        return _array(context, builder, s, args[0], named, result, lengths)

    return result(s, name), codegen


@intrinsic(prefer_literal=True)
def flat(typingctx: Any, s: Any, name: Any) -> Any:
    """Return an array of record `s` in one dimension."""
    _, field, named = _field(s, name, ARRAY)
    result = types.Array(from_dtype(field.dtype), 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = " * ".join(f"({length})" for length in field.shape)
        lengths = [_emit_length(context, builder, s, args[0], whole)]
        return _array(context, builder, s, args[0], named, result, lengths)

    return result(s, name), codegen


@intrinsic(prefer_literal=True)
def inner(typingctx: Any, s: Any, name: Any) -> Any:
    """Return the record behind a link of record `s`."""
    _, field, named = _field(s, name, LINK)
    result = field.table.type

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _load(context, builder, s, args[0], named)
        return builder.inttoptr(place, context.get_value_type(result))

    return result(s, name), codegen
