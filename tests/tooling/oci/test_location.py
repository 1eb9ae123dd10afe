"""References as people write them."""

from __future__ import annotations

import pytest

from metalauncher.tooling.oci.location import FORMS, Location, parse_location

PARSED = {
    "oci:run": Location("oci", "run", None),
    "oci:/var/images/run:1.2": Location("oci", "/var/images/run", "1.2"),
    "oci:/var/a:b/run": Location("oci", "/var/a", "b/run"),
    "oci:run:registry.example.com:5000/acme/app:1.0": Location("oci", "run", "registry.example.com:5000/acme/app:1.0"),
    "oci-archive:app.tar": Location("oci-archive", "app.tar", None),
    "oci-archive:app.tar:acme/app:1": Location("oci-archive", "app.tar", "acme/app:1"),
    "docker-archive:app.tar": Location("docker-archive", "app.tar", None),
    "docker-archive:app.tar:example.com:5000/app:1": Location("docker-archive", "app.tar", "example.com:5000/app:1"),
    "dir:/srv/rootfs": Location("dir", "/srv/rootfs", None),
    "example.com/app:1": Location("registry", "example.com/app:1", None),
    "docker://example.com/app:1": Location("registry", "example.com/app:1", None),
    "oci": Location("registry", "oci", None),
    "docker://oci:1": Location("registry", "oci:1", None),
    "docker://sif:1": Location("registry", "sif:1", None),
    "docker:///app": Location("registry", "/app", None),
}


@pytest.mark.parametrize("text", PARSED)
def test_parsed(text: str) -> None:
    """Each form names its kind, its place, and which image there; it is written so that it reads the same."""
    reference = parse_location(text)
    assert reference == PARSED[text]
    assert str(reference) in {text, text.removeprefix("docker://")}
    assert parse_location(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "missing"), [("oci:", "place"), ("oci:run:", "tag"), ("docker-archive::x", "place"), ("dir:", "place")]
)
def test_incomplete(text: str, missing: str) -> None:
    """What is missing is said, with the forms there are."""
    with pytest.raises(ValueError, match="names no") as caught:
        parse_location(text)
    assert str(caught.value) == f"{text!r} names no {missing}: write {FORMS}"


@pytest.mark.parametrize("text", ["docker-daemon:acme/app:1", "containers-storage:acme/app:1"])
def test_places_of_other_tools(text: str) -> None:
    """What skopeo reads and this does not is said, with the command that brings it here."""
    with pytest.raises(ValueError, match="is not read here: skopeo copy") as caught:
        parse_location(text)
    assert str(caught.value).startswith(f"{text!r} is not read here: skopeo copy {text} ")


@pytest.mark.parametrize("text", ["", "docker://"])
def test_nothing(text: str) -> None:
    """An empty name is no image's."""
    with pytest.raises(ValueError, match="names no image"):
        parse_location(text)
