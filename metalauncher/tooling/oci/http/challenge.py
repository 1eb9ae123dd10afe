"""What a server asks for with 401, and for how long it wants to be left alone with 429. Pure.

Sources: RFC 7235 2.1 and 4.1 (a header may hold several challenges, and there may be several headers), RFC 6750 3 and
the distribution project's token specification (realm, service), RFC 7231 7.1.3 (Retry-After).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEADER_LIMIT = 8192  # characters that are looked at
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))[ \t]*(?:,[ \t,]*|$)')
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]+|[ \t]*(?:,[ \t,]*|$))")
_WHOLE = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?:,[ \t,]*|$)")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_LONGEST = 1e9  # seconds; what says more means never
_ESCAPED = re.compile(r"\\(.)")


class Challenge(NamedTuple):
    """One way in which a server lets itself be asked.

    Attributes:
        scheme: in lower case: `basic`, `bearer`.
        parameters: by their names in lower case; the first of each.
    """

    scheme: str
    parameters: dict[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return all challenges of `WWW-Authenticate` headers; what comes after something malformed in one is left out."""
    challenges: list[Challenge] = []
    for whole in headers:
        header = whole[:_HEADER_LIMIT].strip(" \t,")
        at = 0
        while at < len(header) and (match := _SCHEME.match(header, at)):
            at = match.end()
            challenge = Challenge(match[1].lower(), {})
            challenges.append(challenge)
            parameter = _PARAMETER.match(header, at)
            if not parameter and "," not in match[0] and (token := _WHOLE.match(header, at)):
                at = token.end()
            while parameter:
                value = _ESCAPED.sub(r"\1", parameter[2]) if parameter[2] is not None else parameter[3]
                challenge.parameters.setdefault(parameter[1].lower(), value)
                at = parameter.end()
                parameter = _PARAMETER.match(header, at)
    return challenges


def parse_retry_after(value: str | None, now: float) -> float:
    """Return for how many seconds not to ask again; 0 where the header is absent or means nothing.

    Args:
        value: of `Retry-After`: seconds, some write them with a fraction, or a date.
        now: seconds since 1970, which the date is held against.
    """
    if not value or len(value) > 64:
        return 0.0
    if _SECONDS.fullmatch(value.strip(" \t")):
        return min(float(value), _LONGEST)
    date = parse_date(value)
    return 0.0 if date is None else min(max(date - now, 0.0), _LONGEST)


def parse_date(value: str | None) -> float | None:
    """Return the seconds since 1970 that a header's date says; None where it is none."""
    if not value or len(value) > 64:
        return None
    try:
        date = email.utils.parsedate_to_datetime(value)
        # One without a zone is of HTTP's only one.
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
