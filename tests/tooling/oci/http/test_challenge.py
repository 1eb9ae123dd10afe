"""Headers that say how to ask and when, and variables that say which way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.oci.http.challenge import parse_challenges, parse_retry_after
from metalauncher.tooling.oci.http.proxies import is_loopback, proxy_for

CHALLENGES: dict[str, list[tuple[str, dict[str, str]]]] = {
    'Bearer realm="https://a/t",service="s",scope="x:y,z"': [
        ("bearer", {"realm": "https://a/t", "service": "s", "scope": "x:y,z"})
    ],
    'Basic realm="x", Bearer realm="y\\"q" , service=s': [
        ("basic", {"realm": "x"}),
        ("bearer", {"realm": 'y"q', "service": "s"}),
    ],
    "Negotiate, Basic realm=x": [("negotiate", {}), ("basic", {"realm": "x"})],
    'Negotiate abc==, BASIC Realm="x"': [("negotiate", {}), ("basic", {"realm": "x"})],
    ',,,Basic realm="a",realm="b"': [("basic", {"realm": "a"})],
    'Bearer  realm = "a" , , Basic': [("bearer", {"realm": "a"}), ("basic", {})],
    'Bearer realm="unclosed': [("bearer", {})],
    'Basic realm="a", =, Bearer realm="b"': [("basic", {"realm": "a"})],
    "Basic": [("basic", {})],
    "": [],
    "\x00": [],
}


@pytest.mark.parametrize("header", CHALLENGES)
def test_reads_challenges(header: str) -> None:
    """As RFC 7235 writes them; what follows something malformed is left out."""
    assert parse_challenges([header]) == CHALLENGES[header]
    assert parse_challenges([header, "Basic"]) == [*CHALLENGES[header], ("basic", {})]


@given(st.lists(st.text('Basic Bearer,="\\realm \t;', max_size=60)))
def test_reads_any_header(headers: list[str]) -> None:
    """Whatever it is: there are challenges, or none."""
    assert all(challenge.scheme for challenge in parse_challenges(headers))


@pytest.mark.parametrize(
    "header", ['Basic realm="' + "\\" * 100_000, "a " * 100_000, 'x="' * 50_000, "B" + " \t" * 50_000]
)
def test_reads_a_hostile_header_in_no_time(header: str) -> None:
    """No pattern runs away: the test itself would never end."""
    assert len(parse_challenges([header] * 3)) < 20_000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        (" 7 ", 7),
        ("-7", 0),
        ("7.5", 7.5),
        ("7.", 0),
        ("\t7", 7),
        ("\x1f7", 0),
        ("7\x0b", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:01:40", 90),
        ("Thu, 01 Jan 1970 00:01:40 +0100", 0),
        ("Thursday, 01-Jan-70 00:01:40 GMT", 90),
        ("Thu Jan  1 00:01:40 1970", 90),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("9" * 60, 1e9),
        ("Thu, 01 Jan 99999 00:00:00 GMT", 0),
        ("9" * 65, 0),
        ("\u0667", 0),
        ("\x1f0", 0),  # white space to str.strip(), and not to float()
        ("7\x85", 0),
    ],
)
def test_reads_when_to_come_back(value: str | None, seconds: float) -> None:
    """Seconds or a date; what is neither means nothing."""
    assert parse_retry_after(value, 10.0) == seconds


@given(st.text("0123456789. \t\x1f\x0b-+:GMTJanu,", max_size=40) | st.text(max_size=70))
def test_reads_any_retry_after(value: str) -> None:
    """Whatever it is: some seconds, or none."""
    assert 0 <= parse_retry_after(value, 10.0) <= 1e9


PROXY = {b"HTTPS_PROXY": b"proxy.example:3128"}


@pytest.mark.parametrize(
    ("exempt", "host", "direct"),
    [
        ("", "h.example", False),
        ("*", "h.example", True),
        ("example", "h.example", True),
        (".example", "h.example", True),
        ("*.example", "h.example", True),
        ("ample", "h.example", False),
        ("x.h.example", "h.example", False),
        ("a, H.Example ,b", "h.example", True),
        ("h.example:443", "h.example", True),
        ("h.example:80", "h.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/33", "10.1.2.3", False),
        ("10.0.0.0/8", "h.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("2.3", "10.1.2.3", False),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("2001:db8::1", "[2001:db8::1]", True),
        ("", "127.0.0.9", True),
        ("", "[::1]", True),
        ("", "localhost", True),
    ],
)
def test_knows_whom_to_reach_directly(exempt: str, host: str, direct: bool) -> None:
    """`no_proxy` as others read it; this machine always."""
    environment = {**PROXY, b"no_proxy": exempt.encode()}
    assert proxy_for("https", host, 443, environment) == ("" if direct else "http://proxy.example:3128")


def test_takes_the_scheme_s_own_proxy() -> None:
    """Lower case decides; there may be none."""
    environment = {**PROXY, b"https_proxy": b"https://other.example:8443", b"http_proxy": b""}
    assert proxy_for("https", "h.example", 443, environment) == "https://other.example:8443"
    assert proxy_for("http", "h.example", 80, environment) == ""
    assert not is_loopback("127.0.0.1.example")
    assert not is_loopback("localhost.example")
