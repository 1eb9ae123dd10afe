"""A vendor's statements about vulnerabilities of bundles, in a TOML file. docs/vendors/sbom.md describes the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from metalauncher.files import Unreadable, read_file
from metalauncher.toml import kind_of, parse_toml
from metalauncher.tooling.console import Unable, decode
from metalauncher.tooling.sbom.model import Product, Statement, is_hash, is_purl

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENTS = "vex.toml"  # beside a launcher
STATEMENTS_LIMIT = 256 << 10  # bytes
_TEXT_LIMIT = 4096
_SCHEMA = "1"
STATUSES = ("not_affected", "affected", "fixed", "under_investigation")
JUSTIFICATIONS = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)
KEYS = ("schema-version", "author", "sha256", "statement")
STATEMENT_KEYS = (
    "vulnerability",
    "aliases",
    "status",
    "justification",
    "impact-statement",
    "action-statement",
    "status-notes",
    "launcher",
    "product",
    "subcomponent",
)


class Given(NamedTuple):
    """What a file states, and who says so; "" where it names nobody."""

    author: str
    statements: tuple[Statement, ...]


class _Wrong(Exception):
    """A key's value is not what the format says."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason


def read_statements(file: bytes, launchers: Mapping[str, Product], own: Product | None = None) -> Given:
    """Return what a file states.

    Args:
        file: its path.
        launchers: the products that `launcher` may name, by ID@VERSION.
        own: of the launcher that the file lies beside; None for a file of its own.

    Raises:
        Unable: the file is not as the format says.
    """
    shown = decode(file)
    try:
        data = read_file(file, STATEMENTS_LIMIT)
    except Unreadable as error:
        raise _unable(f"{shown}: {error.detail}") from None
    return parse_statements(data, shown, launchers, own)


def parse_statements(data: bytes, shown: str, launchers: Mapping[str, Product], own: Product | None = None) -> Given:
    """Return what a file's content states.

    Args:
        data: the content.
        shown: the file's name, for messages.
        launchers: as for `read_statements`.
        own: as there.

    Raises:
        Unable: it is not as the format says.
    """
    try:
        return _given(parse_toml(data), launchers, own)
    except Unreadable as error:
        raise _unable(f"{shown}: {error.detail}") from None
    except _Wrong as error:
        raise _unable(f"{shown}: {error.key}: {error.reason}") from None


def _unable(headline: str) -> Unable:
    return Unable(headline, need="statements as docs/vendors/sbom.md describes them", command="metalauncher vex --help")


def _given(document: dict[str, Any], launchers: Mapping[str, Product], own: Product | None) -> Given:
    for key in document:
        if key not in KEYS:
            raise _Wrong(key, "unknown key")
    if document.get("schema-version", _SCHEMA) != _SCHEMA:
        raise _Wrong("schema-version", 'is not "1", the one that this metalauncher knows')
    author = _string(document, "", "author")
    _check_digest(document, own)
    items = document.get("statement")
    if not isinstance(items, list) or not items:
        raise _Wrong("statement", "is missing" if items is None else "is not an array of tables: [[statement]]")
    statements = [_statement(item, f"statement {number}", launchers, own) for number, item in enumerate(items, start=1)]
    return Given(author, tuple(statements))


def _check_digest(document: dict[str, Any], own: Product | None) -> None:
    """Check that the statements are about these very bytes: what is true of one build need not be of the next."""
    digest = _string(document, "", "sha256").lower()
    if digest and not is_hash("SHA-256", digest):
        raise _Wrong("sha256", f"{digest!r} is not 64 hexadecimal digits")
    if own is None:
        if digest:
            raise _Wrong("sha256", "belongs in a file beside a launcher; here, statements name theirs")
    elif not digest:
        raise _Wrong(
            "sha256", f"is missing: of the launcher that the statements are about; the one here has {own.sha256}"
        )
    elif digest != own.sha256:
        raise _Wrong(
            "sha256", f"is of another launcher: look through the statements again; the one here has {own.sha256}"
        )


def _statement(item: Any, key: str, launchers: Mapping[str, Product], own: Product | None) -> Statement:
    if not isinstance(item, dict):
        raise _Wrong(key, f"is {kind_of(item)}, not a table")
    for name in item:
        if name not in STATEMENT_KEYS:
            raise _Wrong(f"{key}: {name}", "unknown key")
    values = {name: _string(item, key, name) for name in STATEMENT_KEYS if name != "aliases"}
    if not values["vulnerability"]:
        raise _Wrong(f"{key}: vulnerability", "is missing")
    _check_status(values, key)
    aliases = item.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) and alias for alias in aliases):
        raise _Wrong(f"{key}: aliases", "is not an array of names in quotes")
    return Statement(
        values["vulnerability"],
        _product(values, key, launchers, own),
        values["status"],
        values["justification"],
        values["impact-statement"],
        values["action-statement"],
        values["status-notes"],
        tuple(sorted(set(aliases))),
    )


def _check_status(values: Mapping[str, str], key: str) -> None:
    status = values["status"]
    _one_of(status, STATUSES, f"{key}: status")
    if values["justification"]:
        _one_of(values["justification"], JUSTIFICATIONS, f"{key}: justification")
    if status == "not_affected":
        if not values["justification"] and not values["impact-statement"]:
            raise _Wrong(f"{key}: justification", "is missing: not_affected needs it, or an impact-statement")
    else:
        for name in ("justification", "impact-statement"):
            if values[name]:
                raise _Wrong(f"{key}: {name}", f"belongs to not_affected, not to {status}")
    if status != "affected" and values["action-statement"]:
        raise _Wrong(f"{key}: action-statement", f"belongs to affected, not to {status}")
    if status == "affected" and not values["action-statement"]:
        raise _Wrong(f"{key}: action-statement", "is missing: affected needs it")


def _one_of(value: str, known: tuple[str, ...], key: str) -> None:
    if value not in known:
        reason = f"{value!r} is not one of {', '.join(known)}" if value else f"is missing: one of {', '.join(known)}"
        raise _Wrong(key, reason)


def _product(values: Mapping[str, str], key: str, launchers: Mapping[str, Product], own: Product | None) -> Product:
    for name in ("product", "subcomponent"):
        if values[name] and not is_purl(values[name]):
            raise _Wrong(f"{key}: {name}", f"{values[name]!r} is not a package URL: pkg:TYPE/NAME@VERSION")
    parts = ((values["subcomponent"], ""),) if values["subcomponent"] else ()
    launcher = values["launcher"]
    if launcher and (own is not None or values["product"]):
        reason = (
            "goes without product" if own is None else "belongs in a file of its own: this one lies beside its launcher"
        )
        raise _Wrong(f"{key}: launcher", reason)
    if launcher:
        if launcher not in launchers:
            have = ", ".join(sorted(launchers)) or "none"
            raise _Wrong(f"{key}: launcher", f"{launcher!r} is not installed; ID@VERSION of those that are: {have}")
        return launchers[launcher]._replace(parts=parts)
    if values["product"]:
        return Product(values["product"], parts=parts)
    if own is None:
        raise _Wrong(f"{key}: launcher", "is missing: ID@VERSION of the launcher that it is about, or product")
    return own._replace(parts=parts)


def _string(table: Mapping[str, Any], where: str, name: str) -> str:
    """Return a text, "" where it is not given."""
    if name not in table:
        return ""
    value, key = table[name], f"{where}: {name}" if where else name
    if not isinstance(value, str):
        raise _Wrong(key, f"is {kind_of(value)}, not a string in quotes")
    if not value.strip():
        raise _Wrong(key, "is empty")
    if len(value) > _TEXT_LIMIT:
        raise _Wrong(key, f"is longer than {_TEXT_LIMIT} characters")
    return value
