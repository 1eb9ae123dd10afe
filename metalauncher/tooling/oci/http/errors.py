"""What a registry's answers mean: an error's kind and words, a manifest's media type. Pure.

Sources: the OCI distribution specification 1.1 (error codes, pulling manifests), and for what is not read Docker's
image manifest version 2, schema 1.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from metalauncher.explain.terminal import printable
from metalauncher.tooling.oci.model import ImageError

if TYPE_CHECKING:
    from metalauncher.tooling.oci.model import ErrorKind

ERROR_LIMIT: Final = 16 << 10  # bytes of an error's body that are looked at
_WORDS_LIMIT = 200  # characters of the registry's own words that are passed on
_NAMES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Refused(ImageError):
    """A registry answered with another status code than was hoped for.

    Attributes:
        status: the code.
        said: in its own words.
        is_redirected: whether somebody else answered than was asked.
    """

    def __init__(
        self, kind: ErrorKind, reason: str, status: int, said: str = "", *, is_redirected: bool = False
    ) -> None:
        """Hold what is wrong."""
        super().__init__(kind, reason)
        self.is_redirected: Final = is_redirected
        self.status: Final = status
        self.said: Final = said


def status_of(error: ImageError) -> int | None:
    """Return the status with which a registry answered, None where an error is another."""
    return error.status if isinstance(error, Refused) else None


def words(body: bytes, secrets: tuple[str, ...]) -> str:
    """Return a registry's own words in an error, with its code; "" where it has none.

    Args:
        body: of the answer.
        secrets: that must not come back out, whoever repeats them.
    """
    text = _error_text(body)
    for secret in sorted(set(secrets) - {""}, key=len, reverse=True):  # one may be a part of another
        text = _without(text, secret)
    text = printable(text[:_WORDS_LIMIT])
    return text if len(text) <= _WORDS_LIMIT else text[:_WORDS_LIMIT] + "…"


def _without(text: str, secret: str) -> str:
    """Return a text without a secret, also where it is written as in a URL or in a form that was posted."""
    text = text.replace(secret, "…")
    if "%" not in text and "+" not in text:
        return text
    # Who writes it so decides how much of it is quoted, and in which case.
    return re.sub("".join([_spellings(character) for character in secret]), "…", text)


def _spellings(character: str) -> str:
    quoted = "".join([f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape")])
    plus = r"|\+" if character == " " else ""
    return f"(?:{re.escape(character)}|(?i:{quoted}){plus})"


def _error_text(body: bytes) -> str:
    """Return an error's text: as registries write it, else as token servers do (RFC 6749, 5.2; Docker Hub)."""
    try:
        document = json.loads(body)
        first = document["errors"][0]
        parts = [first.get("code"), first.get("message")]
    except (ValueError, RecursionError):
        return ""
    except (TypeError, KeyError, IndexError, AttributeError):
        if not isinstance(document, dict):
            return ""
        parts = [document.get(key) for key in ("error", "error_description", "details", "message")]
    return ": ".join([part.strip() for part in parts if isinstance(part, str) and part.strip()])


def status_text(status: int) -> str:
    """Return `404 Not Found`."""
    return f"{status} {_NAMES[status]}" if status in _NAMES else str(status)


def refusal(host: str, status: int, said: str, what: str, who: str = "", *, is_redirected: bool = False) -> Refused:
    """Return the error that an answer other than the one hoped for is.

    Args:
        host: that answered.
        status: its code.
        said: in its own words.
        what: it was asked for.
        who: as whom; "" where that does not matter.
        is_redirected: whether it is another host than was asked.
    """
    after = f" ({said})" if said else ""
    kind: ErrorKind
    match status:
        case 401 | 403:
            kind, text = (
                "denied",
                f"{host} denies access: it answered {status_text(status)}{after}{', ' * bool(who)}{who}",
            )
        case 404 if said.startswith("NAME_UNKNOWN"):
            kind, text = "absent", f"{host} has no such repository{after}"
        case 404 | 410:
            kind, text = "absent", f"{host} has no such {what}{after}"
        case _ if 400 <= status < 500:
            kind, text = "refused", f"{host} refused: it answered {status_text(status)}{after}"
        case _:
            kind, text = "unreachable", f"{host} answered {status_text(status)}{after}"
    return Refused(kind, text, status, said, is_redirected=is_redirected)
