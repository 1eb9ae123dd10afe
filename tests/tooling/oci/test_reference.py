"""Names of images in registries: what is filled in, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalauncher.tooling.oci.reference import InvalidReference, Reference

SHA = "sha256:" + "a" * 64
LONG = "a" * 255

FULL = {
    "alpine": ("docker.io", "library/alpine", "latest", ""),
    "alpine:3.20": ("docker.io", "library/alpine", "3.20", ""),
    "docker.io/alpine": ("docker.io", "library/alpine", "latest", ""),
    "index.docker.io/alpine": ("docker.io", "library/alpine", "latest", ""),
    "registry-1.docker.io/org/app": ("docker.io", "org/app", "latest", ""),
    "org/app": ("docker.io", "org/app", "latest", ""),
    f"org/app@{SHA}": ("docker.io", "org/app", "", SHA),
    f"org/app:1@{SHA}": ("docker.io", "org/app", "1", SHA),
    f"org/app@sha512:{'0' * 128}": ("docker.io", "org/app", "", f"sha512:{'0' * 128}"),
    "localhost/app": ("localhost", "app", "latest", ""),
    "localhost:5000": ("docker.io", "library/localhost", "5000", ""),
    "localhost:5000/app": ("localhost:5000", "app", "latest", ""),
    "127.0.0.1:5000/a/b/c:x": ("127.0.0.1:5000", "a/b/c", "x", ""),
    "[::1]:5000/app": ("[::1]:5000", "app", "latest", ""),
    "[2001:db8::1]/app:1": ("[2001:db8::1]", "app", "1", ""),
    "Registry.Example/app": ("Registry.Example", "app", "latest", ""),
    "MYHOST/app": ("MYHOST", "app", "latest", ""),
    "ghcr.io/a__b/c-d---e.f_g:_T.a-g": ("ghcr.io", "a__b/c-d---e.f_g", "_T.a-g", ""),
    f"ghcr.io/{LONG}:{'t' * 128}": ("ghcr.io", LONG, "t" * 128, ""),
}

REFUSED = {
    "": "'' is not an image's name: there is no repository in it",
    ":1": "':1' is not an image's name: there is no repository in it",
    f"@{SHA}": f"'@{SHA}' is not an image's name: there is no repository in it",
    "ghcr.io/": "'ghcr.io/' is not an image's name: the repository '' is not lower-case",
    "/app": "'/app' is not an image's name: the repository '/app' is not lower-case",
    "App": "'App' is not an image's name: a repository is written in lower case",
    "ghcr.io/org/App:1": "'ghcr.io/org/App:1' is not an image's name: a repository is written in lower case",
    "app:": "'app:' is not an image's name: the tag '' is not 1 to 128 letters, digits, '_', '.' and '-'",
    "app:-x": "the tag '-x' is not 1 to 128",
    f"app:{'t' * 129}": "is not 1 to 128 letters",
    "app@": "'app@' is not an image's name: '' is not a digest, sha256: and 64 hexadecimal digits",
    "app@sha256:abc": "'sha256:abc' is not a digest",
    f"app@{SHA}@{SHA}": "is not a digest",
    "app@md5:00000000000000000000000000000000": "is not a digest",
    "a..b": "the repository 'library/a..b' is not lower-case",
    "a___b": "is not lower-case letters and digits",
    "a//b": "the repository 'a//b' is not lower-case",
    "../etc/passwd": "'../etc/passwd' is not an image's name: '..' is not a registry's host, HOST or HOST:PORT",
    "ghcr.io/../x": "the repository '../x' is not lower-case",
    "app\n": r"'app\n' is not an image's name: the repository 'library/app\n' is not lower-case",
    "app:1\n": r"the tag '1\n' is not 1 to 128",
    "ex ample.com/app": "'ex ample.com' is not a registry's host",
    "host.:5000/app": "'host.:5000' is not a registry's host",
    "host:0/app": "'host:0' is not a registry's host: there is no port 0",
    "host:65536/app": "'host:65536' is not a registry's host: there is no port 65536",
    "user:secret@host/app": "is not a digest",
    "https://ghcr.io/app": "'https://ghcr.io/app' is not an image's name: it is a URL; leave out what ends in '://'",
    "d" * 64: "it is an image's ID, which names no image in a registry",
    f"ghcr.io/{LONG}a": "the repository has 256 characters, more than 255",
    "a" * 5000: f"{'a' * 60!r}… is not an image's name: it has 5000 characters",
}


@pytest.mark.parametrize("text", FULL)
def test_fills_in_what_is_left_out(text: str) -> None:
    """Every part is as Docker reads it, and the full text reads as the same name."""
    name = Reference.parse(text)
    assert name == FULL[text]
    assert Reference.parse(str(name)) == name


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_with_a_reason(text: str) -> None:
    """A text that is no name is quoted, with what is wrong with it."""
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    assert REFUSED[text] in str(caught.value)


def test_says_what_to_ask_whom() -> None:
    """Docker Hub answers under another name; a digest decides before a tag."""
    assert Reference.parse("alpine").api_host == "registry-1.docker.io"
    assert Reference.parse("GHCR.io/app").api_host == "ghcr.io"
    assert Reference.parse("app:1").reference == "1"
    assert Reference.parse(f"app:1@{SHA}").reference == SHA
    assert str(Reference.parse(f"alpine:3@{SHA}")) == f"docker.io/library/alpine:3@{SHA}"


@given(st.text(alphabet="aA0.:/@-_[]\n é" + "sha256", max_size=80))
def test_every_text_is_a_name_or_refused(text: str) -> None:
    """Nothing else is raised, and what is a name stays one."""
    try:
        name = Reference.parse(text)
    except InvalidReference as error:
        assert repr(text) in str(error) or text == ""  # noqa: PT017  # both outcomes are right
    else:
        assert Reference.parse(str(name)) == name
