"""Recipes as bytes: the layers of their members, and what lifecycle's exporter says of them in config and labels.

Nothing of metalauncher's own but its two forms, which are files in images.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import images
from harness import python_form, static_form
from images import Layer, sha
from recipes import LABELLED, Members, Recipe, expand, kind_of, path_of

MARK = b"ORACLE:"
MARK_SIZE = 256
BLOCK = 512
PLATFORM_API = "0.12"
PATH = "/cnb/process:/cnb/lifecycle:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Kitchen:
    """Makes layers of members. A layer that was made before is not made again."""

    def __init__(self, program: Path) -> None:
        """Take tests/native/mark.c's program."""
        self._program = program.read_bytes()
        self._made: dict[str, Layer] = {}

    def layer(self, members: Members, side: str, metadata_toml: str, *, light: bool = False) -> Layer:
        """Return a layer that is not compressed.

        Args:
            members: of it.
            side: `run` or `app`: what a program's mark begins with.
            metadata_toml: what the stock's metadata.toml holds.
            light: whole files of SOURCES are a few bytes each, which `fill` replaces.
        """
        key = json.dumps([members, side, metadata_toml, light])
        if key not in self._made:
            if len(self._made) > 1000:  # a long search makes many
                self._made.clear()
            tables = [_light(one) if light else one for one in expand(members)]
            content = b"".join([self._pack(one, side, metadata_toml) for one in tables]) + bytes(2 * BLOCK)
            self._made[key] = Layer(content, sha(content), "", f"{images.OCI}.layer.v1.tar")
        return self._made[key]

    def _pack(self, member: Mapping[str, Any], side: str, metadata_toml: str) -> bytes:
        kind = kind_of(member)
        if kind == "zeros":
            return bytes(BLOCK * int(member["zeros"]))
        # Python's own writer makes such a header for a member alone: its parts are private.
        if kind == "pax":
            return tarfile.TarInfo._create_pax_generic_header(  # type: ignore[attr-defined,no-any-return]
                member["pax"], tarfile.XHDTYPE, "utf-8"
            )
        if kind == "gnu":
            return tarfile.TarInfo._create_gnu_long_header(  # type: ignore[attr-defined,no-any-return]
                member["gnu"], tarfile.GNUTYPE_LONGNAME, "utf-8", "strict"
            )
        path = path_of(member)
        head, _, tail = path.rstrip("/").rpartition("/")
        name = {"gone": f"{head}/.wh.{tail}", "opaque": f"{path}/.wh..wh..opq"}.get(kind, path).lstrip("/")
        info = tarfile.TarInfo(name)
        types = {"dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}
        types["device"] = tarfile.CHRTYPE
        info.type = types.get(kind, tarfile.REGTYPE)
        info.mode = int(member.get("mode", {"dir": 0o755, "link": 0o777}.get(kind, 0o644)))
        info.uid, info.gid = int(member.get("uid", 0)), int(member.get("gid", 0))
        info.devmajor, info.devminor = member.get("number", (1, 3))  # /dev/null
        info.linkname = str(member.get("to", "")).lstrip("/" if kind == "hard" else "")
        data = self._content(member, path, side, metadata_toml) if kind == "file" else b""
        info.size = len(data)
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if member.get("v7"):
            header = _version_7(header)
        return header + data + bytes(-len(data) % BLOCK)

    def _content(self, member: Mapping[str, Any], path: str, side: str, metadata_toml: str) -> bytes:
        if "from" in member:
            data = source_bytes(member["from"])
        elif member.get("program"):
            data = self._marked(f"{side}:{path}", member.get("interpreter", ""))
        elif path == "/layers/config/metadata.toml" and member.get("text") == "":
            data = metadata_toml.encode()
        else:
            data = str(member.get("text", "")).encode()
        if "machine" in member:
            data = data[:18] + struct.pack("<H", member["machine"]) + data[20:]
        for at, byte in member.get("poke", ()):
            data = data[:at] + bytes([byte]) + data[at + 1 :]
        return data[: member.get("keep", len(data))]

    def _marked(self, mark: str, interpreter: str) -> bytes:
        said = (MARK + mark.encode()).ljust(MARK_SIZE, b"\0")
        assert len(said) == MARK_SIZE, f"{mark} is too long"
        if interpreter:
            return _dynamic(said, interpreter)
        at = self._program.index(MARK)
        return self._program[:at] + said + self._program[at + MARK_SIZE :]


def _version_7(header: bytes) -> bytes:
    """Return a header without a magic, with bytes where USTAR has the prefix."""
    fields = header[:257] + bytes(8) + header[265:345] + b"prefix".ljust(155, b"\0") + bytes(12)
    total = sum(fields) - sum(fields[148:156]) + 8 * ord(" ")
    return fields[:148] + b"%06o\0 " % total + fields[156:]


def _dynamic(said: bytes, interpreter: str) -> bytes:
    """Return an ELF file that an interpreter starts, and that holds its mark where it begins."""
    name = interpreter.encode() + b"\0"
    at, base = 64 + 2 * 56, 0x10000000
    entry = at + len(name) + (-len(name) % 16)
    size = entry + len(said)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    machine = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 3, 4, at, base + at, base + at, len(name), len(name), 1)
    header += struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096)
    return header + name.ljust(entry - at, b"\0") + said


SOURCES = ("metalauncher", "another-build", "zipapp", "tini")


def _light(member: Mapping[str, Any]) -> Mapping[str, Any]:
    if "from" not in member or not {"keep", "machine", "poke"}.isdisjoint(member):
        return member
    return {key: value for key, value in member.items() if key != "from"} | {"text": _stand_in(member["from"])}


def _stand_in(name: str) -> str:
    return f"ORACLE: in place of {name:>20}\n"


def fill(rootfs: Path, masters: Path) -> None:
    """Put large files in the place of what stands for them: to unpack one costs more than all the rest of a start.

    Names of one file stay so. As a rule they become names of one file for all images, which nobody writes to.

    Args:
        rootfs: what was unpacked.
        masters: a folder beside it, in the same file system, for these files.
    """
    names = {_stand_in(name).encode(): name for name in SOURCES}
    (size,) = {len(text) for text in names}
    made: dict[int, Path] = {}
    for folder, _, files in os.walk(rootfs):
        for file in files:
            path = Path(folder, file)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != size or path.read_bytes() not in names:
                continue
            plain = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)
            name = names[path.read_bytes()]
            source = made.get(status.st_ino) or masters / (name if plain else f"{rootfs.parent.name}-{status.st_ino}")
            made[status.st_ino] = source
            if not source.exists():
                source.write_bytes(source_bytes(name))
                os.chown(source, status.st_uid, status.st_gid)
                source.chmod(stat.S_IMODE(status.st_mode))
            path.unlink()
            path.hardlink_to(source)
    for source in made.values():
        if source.name not in SOURCES:
            source.unlink()


@cache
def source_bytes(name: str) -> bytes:
    """Return what a file of SOURCES holds."""
    match name:
        case "metalauncher":
            return static_form().executable.read_bytes()
        case "another-build":  # the same program, other bytes
            return static_form().executable.read_bytes() + b"\nanother build\n"
        case "zipapp":
            return python_form().executable.read_bytes()
        case "tini":
            return Path("/usr/bin/tini-static").read_bytes()
        case _:
            raise KeyError(name)


def environ() -> list[str]:
    """Return the variables that an exporter sets."""
    return [
        "CNB_LAYERS_DIR=/layers",
        "CNB_APP_DIR=/workspace",
        "CNB_DEPRECATION_MODE=quiet",
        f"CNB_PLATFORM_API={PLATFORM_API}",
        f"PATH={PATH}",
    ]


def labels(kind: str, layers: Sequence[tuple[str, Layer]], top: str) -> dict[str, str]:
    """Return the labels of an app whose layers have these roles, on a run image with that topmost layer."""
    if kind == "none":
        return {}
    found: dict[str, Any] = {"app": [], "buildpacks": [], "runImage": {"topLayer": top, "reference": "x"}}
    for number, (role, layer) in enumerate(layers):
        if role == "app":
            found["app"].append({"sha": layer.diff_id})
        elif role == "buildpack":
            one = {f"l{number}": {"sha": layer.diff_id, "build": False, "launch": True, "cache": False}}
            found["buildpacks"].append({"key": f"acme/{number}", "version": "1", "layers": one})
        elif role in LABELLED:
            found[role] = {"sha": layer.diff_id}
    wrong = sha(b"another layer")
    if kind == "no-top":
        found["runImage"]["topLayer"] = wrong
    elif kind in ("no-launcher", "no-config"):
        found.pop(kind.removeprefix("no-"), None)
    elif kind == "stale":
        found["launcher"] = found["config"] = {"sha": wrong}
    text = json.dumps(found)
    return {
        "io.buildpacks.lifecycle.metadata": text[: len(text) // 2] if kind == "damaged" else text,
        "io.buildpacks.build.metadata": '{"launcher":{"version":"0.21.17"}}',
        "io.buildpacks.project.metadata": "{}",
    }


def config_of(recipe: Recipe, found: Mapping[str, str]) -> str:
    """Return the app's config as JSON: the exporter's, changed, or the recipe's to the letter; with these labels."""
    exporters = {
        "Entrypoint": ["/cnb/process/web"],
        "Env": environ(),
        "WorkingDir": "/workspace",
        "User": "1000:1000",
        "Labels": dict(found),
    }
    if recipe.config_json:
        return recipe.config_json.replace('"@labels"', json.dumps(dict(found)))
    return json.dumps({key: value for key, value in {**exporters, **recipe.config}.items() if value is not False})
