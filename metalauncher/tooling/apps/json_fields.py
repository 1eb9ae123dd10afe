"""Take values of one type out of JSON objects that somebody else wrote, or say in a few words what is wrong. Pure.

Every function raises ValueError where the value is of another type; its text names the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T", bound=str)

_INTEGER_LIMIT: Final = 1 << 63  # of what is counted, in bytes or otherwise; sums of it can be divided and shown


def as_object(value: Any, what: str) -> dict[str, Any]:
    """Return an object."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004  # a wrong document, not a wrong call
    return value


def as_text(value: Any, what: str) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is not a string")  # noqa: TRY004  # a wrong document, not a wrong call
    return value


def exactly(value: Any, what: str, keys: Collection[str]) -> dict[str, Any]:
    """Return an object that has these keys, all of them and no others."""
    table = as_object(value, what)
    odd = sorted(set(keys).symmetric_difference(table))
    if odd:
        raise ValueError(f"{what} has {odd[0][:60]!r}" if odd[0] in table else f"{what} has no {odd[0]!r}")
    return table


def array(table: dict[str, Any], key: str) -> list[Any]:
    """Return the array at a key."""
    value = table.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{key} is not an array")  # noqa: TRY004  # a wrong document, not a wrong call
    return value


def texts(table: dict[str, Any], key: str) -> tuple[str, ...]:
    """Return the strings of the array at a key."""
    return tuple([as_text(item, key) for item in array(table, key)])


def text(table: dict[str, Any], key: str) -> str:
    """Return the string at a key."""
    return as_text(table.get(key), key)


def optional_text(table: dict[str, Any], key: str) -> str | None:
    """Return the string at a key, None where there is none or null."""
    return None if table.get(key) is None else text(table, key)


def boolean(table: dict[str, Any], key: str) -> bool:
    """Return the boolean at a key."""
    value = table.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is not a boolean")  # noqa: TRY004  # a wrong document, not a wrong call
    return value


def integer(table: dict[str, Any], key: str) -> int:
    """Return the integer at a key, of 64 bits at most."""
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}, not an integer")  # noqa: TRY004  # a wrong document, not a wrong call
    if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise ValueError(f"{key} is a number of more than 64 bits")
    return value


def natural(table: dict[str, Any], key: str) -> int:
    """Return the integer at a key, which is not negative."""
    value = integer(table, key)
    if value < 0:
        raise ValueError(f"{key} is {value}, a negative number")
    return value


def one_of(table: dict[str, Any], key: str, values: Collection[T]) -> T:
    """Return the string at a key, which is one of some."""
    found = text(table, key)
    for value in values:
        if value == found:
            return value
    raise ValueError(f"{key} is {found[:60]!r}, not one of {', '.join(values)}")


def optional_integer(table: dict[str, Any], key: str) -> int | None:
    """Return the integer at a key, None where there is none or null."""
    return None if table.get(key) is None else integer(table, key)
