"""URLs that are kept byte for byte, and what they lead to."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.oci.http.urls import URL_LIMIT, InvalidUrl, parse_url, resolve, with_query

TARGETS = [
    "/a?sig=ab%2fcd%3d",
    "/a%2Fb/%7euser/c%c3%a9",
    "/a//b/./c/../d",
    "/?",
    "/a?",
    "/a?x=1&&y=;z",
    "/a;p=1?q=a+b",
    "/[x]{y}|z^`\"<>\\'",
    "/%",
    "/%zz",
    "/a?b?c",
    "/a??",
]


@pytest.mark.parametrize("target", TARGETS)
def test_keeps_every_byte(target: str) -> None:
    """Absolute, or from the root: what is asked for is what was written."""
    base = parse_url("https://registry.example/v2/org/app/blobs/sha256:0?x=y")
    assert resolve(base, f"https://Storage.example:8443{target}") == ("https", "storage.example", 8443, target)
    assert resolve(base, target) == ("https", "registry.example", 443, target)
    assert resolve(base, f"//other.example{target}#part") == ("https", "other.example", 443, target)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("", "/v2/app/blobs/x?y=z"),
        ("#part", "/v2/app/blobs/x?y=z"),
        ("?a=%2f", "/v2/app/blobs/x?a=%2f"),
        ("b", "/v2/app/blobs/b"),
        ("b?c=%2f", "/v2/app/blobs/b?c=%2f"),
        ("./b", "/v2/app/blobs/b"),
        ("../b/", "/v2/app/b/"),
        ("..", "/v2/app/"),
        (".", "/v2/app/blobs/"),
        ("../../../../../b", "/b"),
        ("/a b", "/a%20b"),
        ("/\u00c3\u00a9?f=\u00c3\u00bc", "/%C3%A9?f=%C3%BC"),
        ("  /a  ", "/a"),
    ],
)
def test_resolves_what_is_relative(location: str, target: str) -> None:
    """RFC 3986, 5.2; what HTTP can't carry is quoted, by the bytes that the header had."""
    assert resolve(parse_url("http://h/v2/app/blobs/x?y=z"), location) == ("http", "h", 80, target)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("HTTPS://H.Example", ("https", "h.example", 443, "/")),
        ("http://h:8080?x", ("http", "h", 8080, "/?x")),
        ("http://h:/", ("http", "h", 80, "/")),
        ("https://[2001:DB8::1]:5000/", ("https", "[2001:db8::1]", 5000, "/")),
        ("https://a_b.example/", ("https", "a_b.example", 443, "/")),
    ],
)
def test_parses_a_url(text: str, parsed: tuple[str, str, int, str]) -> None:
    """Scheme, host and port may be written in several ways."""
    assert parse_url(text) == parsed


@pytest.mark.parametrize(
    ("url", "text"),
    [("https://h:443/a", "https://h/a"), ("http://h:443/a", "http://h:443/a"), ("https://[::1]:1", "https://[::1]:1/")],
)
def test_writes_a_url(url: str, text: str) -> None:
    """Without the port that is the scheme's own."""
    assert str(parse_url(url)) == text
    assert parse_url(url).origin == parse_url(text).origin


INVALID = {
    "file:///etc/passwd": "something else than HTTP: 'file'",
    "javascript:alert(1)": "something else than HTTP: 'javascript'",
    "http://u:p@h/": "a URL with a login in it",
    "http://u@h/": "a URL with a login in it",
    "http:h": "something that is not a URL",
    "http:///x": "something that is not a URL",
    "http://h:x/": "something that is not a URL",
    "http://h:0/": "something that is not a URL",
    "http://h:65536/": "something that is not a URL",
    "http://[::1/": "something that is not a URL",
    "http://[:1]/": "something that is not a URL",
    "http://[11]/": "something that is not a URL",
    "http://h\\@x/": "a URL with a login in it",
    "http://h%2f/": "something that is not a URL",
    "http://h/\u00e9": "something that is not a URL",
    "http://h/a b": "something that is not a URL",
    "http://h/" + "x" * URL_LIMIT: "something that is not a URL",
    "/v2/": "something that is not a URL",
    "": "something that is not a URL",
}


@pytest.mark.parametrize("text", INVALID, ids=range(len(INVALID)))
def test_refuses_what_can_not_be_asked(text: str) -> None:
    """And says what it is instead."""
    with pytest.raises(InvalidUrl) as caught:
        parse_url(text)
    assert str(caught.value) == INVALID[text]


@pytest.mark.parametrize("location", ["/a\r\nX: y", "/\x00", "/\t", "/\x7f", "x" * (URL_LIMIT + 1)])
def test_refuses_a_location_that_is_none(location: str) -> None:
    """Nothing of it gets into a request's head."""
    with pytest.raises(InvalidUrl):
        resolve(parse_url("http://h/"), location)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/t", "https://h/t?a=b"),
        ("https://h/t?x=%2f", "https://h/t?x=%2f&a=b"),
        ("https://h/t?", "https://h/t?a=b"),
        ("https://h/t?x&", "https://h/t?x&a=b"),
        ("https://h/t#part", "https://h/t?a=b"),
    ],
)
def test_adds_to_a_query(url: str, expected: str) -> None:
    """What is there stays as it is."""
    assert with_query(url, "a=b") == expected


_TEXT = st.text("ab/.?#%2f:@[]\\ é\x00", max_size=24)


@given(_TEXT)
def test_resolves_any_location(location: str) -> None:
    """It leads to something that can be sent, and never with a login to somewhere, or it is refused."""
    base = parse_url("https://registry.example/v2/x")
    try:
        found = resolve(base, location)
    except InvalidUrl:
        return
    assert found.target.startswith("/")
    assert found.target.isascii()
    assert " " not in found.target
    assert "#" not in found.target
    assert "@" not in found.host
    again = parse_url(str(found))
    assert again == found
    assert urlsplit(str(found)).hostname == found.host.strip("[]")


@given(st.sampled_from(["https://h", "http://h:81", "//h", ""]), st.text("ab/.?%2f:&=+;~", max_size=30))
def test_changes_no_byte_of_any_target(origin: str, rest: str) -> None:
    """Whatever path and query: they come out as they went in."""
    target = f"/x{rest}"
    assert resolve(parse_url("https://registry.example/v2/x"), origin + target).target == target
