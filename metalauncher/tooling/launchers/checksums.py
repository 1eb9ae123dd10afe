r"""Find a file's sha256 in what programs print of digests. Pure.

    sha256sum, shasum        HEX  NAME, HEX *NAME; with a backslash before it where a newline or such is in the name
    --tag, BSD, openssl      SHA256 (NAME) = HEX, SHA256(NAME)= HEX, SHA2-256(NAME)= HEX
    lifecycle's releases     NAME HEX; others NAME: HEX
    PowerShell               SHA256 HEX PATH
    a digest alone           HEX, sha256:HEX, whatever else stands in other lines (certutil, a signature around it)

Digests of other kinds in the same file, comments and blank lines are passed over.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

_DIGEST = r"(?:sha256:)?([0-9A-Fa-f]{64})"
_ALONE: Final = re.compile(_DIGEST)
_TAGGED = re.compile(rf"(\\?)SHA(?:2-|-)?256 ?\((.+)\) ?= ?{_DIGEST}", re.IGNORECASE | re.DOTALL)
_DIGEST_FIRST = re.compile(rf"(\\?)(?:SHA256\s+)?{_DIGEST}(?: \*|\s+)(.+)", re.IGNORECASE | re.DOTALL)
_NAME_FIRST = re.compile(rf"(.+?)\s*[:=\s]\s*{_DIGEST}")
_ANYWHERE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{64}(?![0-9A-Za-z])")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


class NoDigest(ValueError):
    """A text has no digest for a file, or more than one; the message says which."""


class _Entry(NamedTuple):
    """One digest.

    Attributes:
        path: of the file it is for, "" where the line names none.
        digest: lower-case hex.
    """

    path: str
    digest: str


def parse_digest(text: str) -> str | None:
    """Return the digest that `text` is, in lower case; None if it is another thing."""
    match = _ALONE.fullmatch(text.strip())
    return match[1].lower() if match else None


def digest_for(data: bytes, path: str) -> str:
    """Return the digest that a file of checksums has for the file at `path`, lower-case hex.

    Args:
        data: the file's content.
        path: of what is to be checked; where the same name stands there in several folders, its folders decide.

    Raises:
        NoDigest: there is none for it, or different ones.
    """
    entries = [entry for line in _lines(data) for entry in _entries(line)]
    wanted = _parts(path)
    if not wanted:
        raise NoDigest(f"has no digest for {path}")
    ours = [(_alike(wanted, _parts(entry.path)), entry.digest) for entry in entries if entry.path]
    most = max([number for number, _ in ours], default=0)
    found = {digest for number, digest in ours if number and number == most}
    if not found and len(entries) == 1 and not entries[0].path:
        found = {entries[0].digest}
    if not found:
        raise NoDigest(f"has no digest for {wanted[-1]}")
    if len(found) > 1:
        raise NoDigest(f"has {len(found)} different digests for {wanted[-1]}")
    return found.pop()


def _lines(data: bytes) -> list[str]:
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Windows' shells write it
    text = data.decode("utf-16" if utf_16 else "utf-8-sig", "surrogateescape" if not utf_16 else "replace")
    # splitlines() would take other characters for ends as well. `sha256sum --zero` ends what it says with NULs.
    return [line.strip("\r\t ") for line in text.split("\0" if "\0" in text else "\n")]


def _entries(line: str) -> list[_Entry]:
    if len(_ANYWHERE.findall(line)) != 1:
        return [_Entry("", digest.lower()) for digest in _ANYWHERE.findall(line)]
    if alone := parse_digest(line):
        return [_Entry("", alone)]
    if match := _TAGGED.fullmatch(line):
        return [_Entry(_unescaped(match[2]) if match[1] else match[2], match[3].lower())]
    if match := _DIGEST_FIRST.fullmatch(line):
        return [_Entry(_unescaped(match[3]) if match[1] else match[3], match[2].lower())]
    if match := _NAME_FIRST.fullmatch(line):
        return [_Entry(match[1], match[2].lower())]
    return []


def _unescaped(name: str) -> str:
    return re.sub(r"\\[\\nr]", lambda match: _ESCAPES[match[0]], name)


def _parts(path: str) -> list[str]:
    """Return a path's folders and its name."""
    separators = r"[/\\]" if re.match(r"[A-Za-z]:\\", path) else "/"
    return [part for part in re.split(separators, path) if part not in ("", ".")]


def _alike(ours: list[str], theirs: list[str]) -> int:
    """Return how many parts at the end of two paths are the same."""
    number = 0
    for one, other in zip(reversed(ours), reversed(theirs), strict=False):
        if one != other:
            break
        number += 1
    return number
