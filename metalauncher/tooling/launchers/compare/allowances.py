"""Differences that are known: read from a file, each with the reason why it may be."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher.files import Unreadable
from metalauncher.toml import read_toml
from metalauncher.tooling.console import Unable, encode

if TYPE_CHECKING:
    from metalauncher.tooling.launchers.compare.case import Case
    from metalauncher.tooling.launchers.compare.comparison import Difference

_LIMIT = 1 << 20  # bytes of a file
_KEYS = {"case", "field", "a", "b", "reason"}
_COMMAND = "metalauncher compare --help"
SHIPPED = ("go-rust",)


class Allowance(NamedTuple):
    """A known difference.

    Attributes:
        file: where it stands.
        case: a pattern of case names, `*` for any text.
        field: a pattern of what differs.
        a: a regular expression that the first launcher's value has to have in it; None: any.
        b: the same of the second.
        reason: why it may be.
    """

    file: str
    case: str
    field: str
    a: re.Pattern[bytes] | None
    b: re.Pattern[bytes] | None
    reason: str

    def allows(self, case: Case, difference: Difference) -> bool:
        """Tell whether this is the difference that it speaks of."""
        return (
            fnmatchcase(case.name, self.case)
            and fnmatchcase(difference.field, self.field)
            and (self.a is None or self.a.search(difference.a) is not None)
            and (self.b is None or self.b.search(difference.b) is not None)
        )


def read_allowances(name: str) -> list[Allowance]:
    """Read a file of known differences, or one of those that come with the package.

    Raises:
        Unable: it is not one.
    """
    shipped = name in SHIPPED and not os.path.exists(name)
    try:
        if shipped:
            with as_file(files(__package__) / f"{name}.toml") as path:
                document = read_toml(bytes(path), _LIMIT)
        else:
            document = read_toml(encode(name), _LIMIT)
    except Unreadable as error:
        raise _wrong(name, str(error)) from None
    if document.get("schema-version") != "1":
        raise _wrong(name, 'has no schema-version = "1"')
    unknown = sorted(set(document) - {"schema-version", "allow"})
    if unknown:
        raise _wrong(name, f"has an unknown key {unknown[0]!r}")
    tables = document.get("allow", [])
    if not isinstance(tables, list):
        raise _wrong(name, "allow is not an array of tables: write [[allow]]")
    return [_allowance(name, number, table) for number, table in enumerate(tables, 1)]


def _allowance(file: str, number: int, table: Any) -> Allowance:
    where = f"[[allow]] number {number}"
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise _wrong(file, f"{where}: all its values are strings")
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise _wrong(file, f"{where}: unknown key {unknown[0]!r}")
    for key in ("case", "reason"):
        if not table.get(key, "").strip():
            raise _wrong(file, f"{where}: has no {key}")
    a, b = (_pattern(file, where, key, table.get(key)) for key in ("a", "b"))
    return Allowance(file, table["case"], table.get("field", "*"), a, b, table["reason"])


def _pattern(file: str, where: str, key: str, text: str | None) -> re.Pattern[bytes] | None:
    try:
        return None if text is None else re.compile(text.encode(), re.DOTALL)
    except re.error as error:
        raise _wrong(file, f"{where}: {key} is not a regular expression: {error}") from None


def _wrong(file: str, reason: str) -> Unable:
    return Unable(
        f"--allow {file}: {reason}",
        need="a TOML file with [[allow]] tables: case, reason, and where wanted field, a, b",
        have=[f"files that come with metalauncher: {', '.join(SHIPPED)}"],
        do="docs/vendors/compare.md shows one",
        command=_COMMAND,
    )
