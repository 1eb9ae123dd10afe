"""Apps with a copy of metalauncher for a launcher: exporters that are given the run image's link make them."""

from __future__ import annotations

import struct
import tarfile

import images
import pytest
from bundles import NOTE, elf, note_header, noted
from hypothesis import given
from hypothesis import strategies as st
from rebased import PLATFORM, World, metadata

from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.elf import HEAD, has_note
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.sources.stores import open_local
from metalauncher.tooling.run_image.labels import BUILDPACK_APIS, PATH, PLATFORM_APIS

APP = images.make_app("app", metadata("0.10"), "0.12")
OLD = images.make_app("old", metadata("0.6"), "0.6")
GNU_STACK = 0x6474E551


def marked(program: bytes) -> bytes:
    """Return metalauncher's static executable with its note, put in by hand where a build has none."""
    if has_note(program):
        return program
    entries = struct.unpack_from("<H", program, 56)[0]
    (stack,) = [at for at in range(64, 64 + 56 * entries, 56) if struct.unpack_from("<I", program, at)[0] == GNU_STACK]
    free = 64 + 56 * entries  # the build leaves headers there that nothing looks at
    found = bytearray(program)
    found[stack : stack + 56] = note_header(free, len(NOTE))
    found[free : free + len(NOTE)] = NOTE
    return bytes(found)


NOTES = {
    "alone": noted(),
    "behind-another": noted(struct.pack("<III", 4, 5, 3) + b"GNU\0" + b"12345\0\0\0" + NOTE),
    "aligned": noted(struct.pack("<III", 4, 4, 5) + b"GNU\0" + b"1234\0\0\0\0" + NOTE, alignment=8),
    "with-a-description": noted(struct.pack("<III", 13, 4, 1) + NOTE[12:] + b"1.0\0"),
    "at-the-end": noted(at=HEAD - len(NOTE)),
}
NO_NOTES = {
    "empty": b"",
    "text": b"metalauncher\0",
    "short": noted()[:63],
    "no-header": elf(),
    "another-name": noted(NOTE.replace(b"meta", b"beta")),
    "longer-name": noted(struct.pack("<III", 14, 0, 1) + NOTE[12:]),
    "another-type": noted(struct.pack("<III", 13, 0, 2) + NOTE[12:]),
    "cut-off": noted()[:210],
    "behind-the-head": noted()[:64] + note_header(5000, len(NOTE)) + bytes(5000),
    "32-bits": noted().replace(b"ELF\x02", b"ELF\x01", 1),
    "no-byte-order": noted()[:5] + b"\x03" + noted()[6:],
    "headers-of-one-byte": noted()[:54] + b"\x01\0\xff\xff" + noted()[58:],
    "endless-name": noted(struct.pack("<III", 2**32 - 1, 2**32 - 1, 1) + NOTE[12:]),
    "endless-segment": noted()[:72] + b"\xff" * 8 + noted()[80:],
}


@pytest.mark.parametrize("name", NOTES)
def test_the_note(name: str) -> None:
    """It is found wherever it lies in the first 4096 bytes."""
    assert has_note(NOTES[name])


@pytest.mark.parametrize("name", NO_NOTES)
def test_no_note(name: str) -> None:
    """Nothing else is taken for it."""
    assert not has_note(NO_NOTES[name])


@given(st.binary(max_size=300), st.integers(16, 240))
def test_whatever_the_bytes(junk: bytes, at: int) -> None:
    """Damaged headers and notes are no trouble, and take no time."""
    program = bytearray(noted(struct.pack("<III", 4, 4, 5) + b"GNU\0" + b"1234" + NOTE))
    program[at : at + len(junk)] = junk
    assert has_note(bytes(program)) in (True, False)
    assert not has_note(b"\x7fELF\x02\x01" + junk)


def test_a_copy_dispatches(world: World) -> None:
    """It starts what the run image has, or is refused there; and what was baked in is said."""
    executable = marked(world.rig.form.executable.read_bytes())
    for app, on, code in ((APP, "two", None), (OLD, "two", None), (OLD, "new", 11), (APP, "none", 80)):
        found = world.prove(world.app(app, "self-contained", executable=executable), on)
        assert (found.kind, found.exit_code) == ("starts" if code is None else "refused", code)
        assert found.route == "copy"
        assert found.notes == (
            "contains its own copy of metalauncher: a rebase changes the launchers, but not that copy",
        )


def test_a_copy_without_labels(world: World) -> None:
    """In an image whose labels don't say where its launcher lies, the copy is found as well."""
    executable = marked(world.rig.form.executable.read_bytes())
    found = world.judge(world.app(OLD, "self-contained", executable=executable, labels=False), "new")
    assert (found.kind, found.exit_code, found.route) == ("refused", 11, "copy")


def test_a_copy_looks_at_no_labels(world: World) -> None:
    """Where only a run image's labels speak of launchers, a copy of metalauncher finds none."""
    layer = images.pack([images.file("/opt/launcher", world.rig.launcher, 0o755)])
    lists = {PLATFORM_APIS: "0.12", BUILDPACK_APIS: "0.10", PATH: "/opt/launcher"}
    run = world.run("only-labels", layer, Labels=lists)
    executable = marked(world.rig.form.executable.read_bytes())
    found = world.prove(world.app(APP, "self-contained", executable=executable), run)
    assert (found.kind, found.exit_code) == ("refused", 80)
    assert found.reason == "no launcher is installed: there is no usable descriptor"


def test_a_damaged_layer(world: World) -> None:
    """What is concluded from a launcher's layer is held against its digest."""
    tag = world.app(APP, "self-contained", executable=world.rig.launcher + b"one")
    other = images.launcher_layer("self-contained", world.rig.launcher + b"two")
    manifest, config = world.layout.image(tag)
    number = next(n for n, h in enumerate(config["history"]) if h["created_by"] == images.LAUNCHER_LAYER)
    world.layout.blob(manifest["layers"][number]["digest"]).write_bytes(other.data)
    found = world.judge(tag, "two")
    assert found.kind == "unknown"
    assert "digest" in found.reason or "bytes" in found.reason


def test_a_replaced_metalauncher(world: World) -> None:
    """An app whose own layers replace the run image's metalauncher is not taken for one with a launcher of its own."""
    there: list[tuple[tarfile.TarInfo, bytes]] = [images.file("/usr/bin/metalauncher", world.rig.launcher, 0o755)]
    found = world.judge(world.app(APP, above=[images.pack(there)]), "two")
    assert found.kind == "unknown"
    assert found.reason == "its own layers change /usr/bin/metalauncher, which belongs to the run image"


def test_one_look_for_all(world: World) -> None:
    """A layer that many apps share is read once in a run."""
    executable = world.rig.launcher + b"shared"
    tags = [
        world.app(
            images.make_app("app", metadata("0.10", more=f"# {n}\n"), "0.12"), "self-contained", executable=executable
        )
        for n in range(3)
    ]
    judge = Judge(world.run_image("two"), None, PLATFORM)

    def kind(tag: str) -> str:
        return judge.judge(tag, open_local(parse_location(world.reference(tag)))).kind

    assert kind(tags[0]) == "keeps-own-launcher"
    layer = world.layout.blob(images.sha(images.launcher_layer("self-contained", executable).data))
    layer.unlink()
    assert [kind(tag) for tag in tags] == ["keeps-own-launcher"] * 3
