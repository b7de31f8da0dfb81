"""Read a TOML file that a setting names, and turn its tables into spec dataclasses.

    tables = read_toml("RSFT_PLACEMENT", path)
    placement = entry(Placement, tables["default"], f"RSFT_PLACEMENT={path}: default")

Every mistake is a `SpecError` with the setting, the file, the table, the field, the value and what is valid.
"""

import dataclasses
import reprlib
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rsft_assets.specs.errors import SpecError, nearest
from rsft_assets.specs.validation import check_values

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = 120
_INTEGER_BITS = 63
_KINDS = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}
Made = TypeVar("Made")


def read_toml(setting: str, path: str | Path, *, tables: Iterable[str] = ()) -> dict[str, Any]:
    """The file's top-level tables; where `tables` is given, no other name may stand there."""
    where = f"{setting}={path}"
    try:
        # utf-8-sig accepts the byte order mark that some editors write.
        data = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SpecError(f"{where}: {error.strerror}; name a readable TOML file or unset {setting}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{where}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except ValueError as error:
        conflict = "; it holds conflict markers of a merge" if b"\n<<<<<<< " in b"\n" + Path(path).read_bytes() else ""
        raise SpecError(f"{where}: not valid TOML: {error}{conflict}; correct the file") from error
    except RecursionError as error:
        raise SpecError(f"{where}: nested too deeply; write the tables as the README shows") from error
    valid = tuple(tables)
    for table in data:
        if valid and table not in valid:
            raise SpecError(f"{where}: unknown table {table!r}: {nearest(table, valid)}")
    return data


def rows(data: Mapping[str, Any], table: str, where: str) -> list[tuple[str, Any]]:
    """(name, fields) of each table `[table.name]`."""
    entries = data.get(table, {})
    if not isinstance(entries, dict):
        raise SpecError(f"{where}: {table}: {shown(entries)} must be tables, [{table}.some-name]")
    return list(entries.items())


def entry(kind: type[Made], fields: Any, where: str, given: Mapping[str, Any] | None = None) -> Made:
    """One dataclass from a table, every field checked against its annotation; `given` fields are not the file's."""
    given = given or {}
    values = checked_fields(kind, fields, where, given)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values and field.name not in given:
            raise SpecError(f"{where}: field {field.name} is missing")
    made = kind(**given, **values)
    check_values(made, where)
    return made


def checked_fields(kind: type, fields: Any, where: str, given: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of a table as values of a dataclass, which may lack some; none may be one of `given`."""
    if not isinstance(fields, dict):
        raise SpecError(f"{where}: {shown(fields)} must be a table of fields")
    hints = get_type_hints(kind)
    valid = [field.name for field in dataclasses.fields(kind) if field.name not in given]
    for name in fields:
        if name not in valid:
            raise SpecError(f"{where}: unknown field {name!r}: {nearest(name, valid)}")
    return {name: _value(hints[name], value, f"{where}: field {name}") for name, value in fields.items()}


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    try:
        return _SHOWN.repr(value)
    except ValueError:
        # Python refuses to write out integers of thousands of digits.
        return f"a value of type {type(value).__name__}, too long to show,"


def _value(hint: Any, value: Any, where: str) -> Any:
    if type(value) is int and value.bit_length() > _INTEGER_BITS:
        raise SpecError(f"{where}: an integer of {value.bit_length()} bits; TOML integers have 64 at most")
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, value, where)
    if origin is Literal:
        # `true` equals 1, and is not one of 0, 1, 2, 3.
        if not any(type(value) is type(choice) and value == choice for choice in get_args(hint)):
            raise SpecError(f"{where}: {shown(value)} is not one of {', '.join(map(str, get_args(hint)))}")
        return value
    if origin is tuple:
        return _tuple(get_args(hint), value, where)
    if dataclasses.is_dataclass(hint):
        return entry(hint, value, where)  # type: ignore[arg-type]
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise SpecError(f"{where}: {shown(value)} must be {_KINDS[hint]}")
    return value


def _tuple(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if isinstance(value, dict) and Ellipsis in inner and get_origin(inner[0]) is tuple:
        # Pairs may be written as a table.
        value = [list(pair) for pair in value.items()]
    if not isinstance(value, list):
        raise SpecError(f"{where}: {shown(value)} must be a list")
    if Ellipsis not in inner and len(value) != len(inner):
        raise SpecError(f"{where}: {shown(value)} must have {len(inner)} values")
    return tuple(_value(inner[0 if Ellipsis in inner else i], item, f"{where}[{i}]") for i, item in enumerate(value))


def _union(hint: Any, value: Any, where: str) -> Any:
    """The member of a union that fits; for two dataclasses, the one whose fields are used."""
    members = [member for member in get_args(hint) if member is not type(None)]
    if isinstance(value, dict):
        tables = [member for member in members if dataclasses.is_dataclass(member)]
        best = max(tables, key=lambda m: len({f.name for f in dataclasses.fields(m)} & value.keys()), default=None)
        if best is not None:
            return _value(best, value, where)
    for member in members:
        if type(value) is member or (member is float and type(value) is int):
            return _value(member, value, where)
    return _value(members[0], value, where)
