"""References as people write them."""

from __future__ import annotations

import pytest

from metalauncher.tooling.oci.reference import FORMS, Reference, parse_reference

PARSED = {
    "oci:run": Reference("oci", "run", None),
    "oci:/var/images/run:1.2": Reference("oci", "/var/images/run", "1.2"),
    "oci:/var/a:b/run": Reference("oci", "/var/a:b/run", None),
    "docker-archive:app.tar": Reference("docker-archive", "app.tar", None),
    "docker-archive:app.tar:example.com:5000/app:1": Reference("docker-archive", "app.tar", "example.com:5000/app:1"),
    "dir:/srv/rootfs": Reference("dir", "/srv/rootfs", None),
    "example.com/app:1": Reference("registry", "example.com/app:1", None),
    "docker://example.com/app:1": Reference("registry", "example.com/app:1", None),
    "oci": Reference("registry", "oci", None),
}


@pytest.mark.parametrize("text", PARSED)
def test_parsed(text: str) -> None:
    """Each form names its kind, its place, and which image there; it reads back as it was written."""
    reference = parse_reference(text)
    assert reference == PARSED[text]
    assert str(reference) == text.removeprefix("docker://")


@pytest.mark.parametrize(
    ("text", "missing"), [("oci:", "place"), ("oci:run:", "tag"), ("docker-archive::x", "place"), ("dir:", "place")]
)
def test_incomplete(text: str, missing: str) -> None:
    """What is missing is said, with the forms there are."""
    with pytest.raises(ValueError, match="names no") as caught:
        parse_reference(text)
    assert str(caught.value) == f"{text!r} names no {missing}: write {FORMS}"


@pytest.mark.parametrize("text", ["", "docker://"])
def test_nothing(text: str) -> None:
    """An empty name is no image's."""
    with pytest.raises(ValueError, match="names no image"):
        parse_reference(text)
