"""The layer that holds an app's launcher: what is in the one that there is, and the one that replaces it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from metalauncher.tooling.apps.patch.held import Held
from metalauncher.tooling.apps.patch.layer_bytes import NewLayer, layer, member
from metalauncher.tooling.apps.patch.refusals import Refused
from metalauncher.tooling.oci.layer_reader import open_layer
from metalauncher.tooling.oci.model import ImageError
from metalauncher.tooling.run_image.labels import ENTRYPOINT
from metalauncher.tooling.sbom.files import SHIM_TEXT

if TYPE_CHECKING:
    from metalauncher.tooling.apps.patch.refusals import RefusalCode
    from metalauncher.tooling.oci.image import Layer
    from metalauncher.tooling.oci.layer_reader import Member

# What carries an app to the run image's launchers: a script of one line, the shim, or RFC 336's link.
LauncherKind = Literal["shim", "symlink"]
LAUNCHER_KINDS: Final[tuple[LauncherKind, ...]] = get_args(LauncherKind)

_FOLDERS = ("cnb", "cnb/lifecycle")
_LAUNCHER = "cnb/lifecycle/launcher"
LAYER_LIMIT: Final = 64 << 20  # bytes of the layer, uncompressed or not; real ones have 3 to 11 MB


def check_launcher_layer(old: Layer, data: bytes) -> None:
    """See that the launcher's layer holds a program at its place, and nothing else.

    Args:
        old: which layer.
        data: its blob.

    Raises:
        Refused: it holds more, or something else; it delegates already; it is not what its digests say.
    """
    left = {*_FOLDERS, _LAUNCHER}
    head = b""
    try:
        with open_layer(Held({old.blob.digest: data}), old, LAYER_LIMIT, diff_id=True) as members:
            for each in members:
                if each.path not in left:
                    twice = " twice" if each.path in (*_FOLDERS, _LAUNCHER) else ""
                    raise Refused("launcher-layer", old.blob.digest, f"holds /{each.path}{twice}")
                left.remove(each.path)
                head = _look(each, old.blob.digest) or head
    except ImageError as error:
        code: RefusalCode = "large-layer" if error.kind == "too-large" else "damaged-layer"
        raise Refused(code, old.blob.digest, error.reason) from None
    if _LAUNCHER in left:
        raise Refused("launcher-layer", old.blob.digest, "holds no launcher")
    if head.startswith(b"#!"):
        raise Refused("delegates", old.blob.digest, head.partition(b"\n")[0][2:].decode("utf-8", "replace").strip())


def _look(each: Member, digest: str) -> bytes:
    """Return how the launcher begins; "" for a directory on the way to it."""
    if each.path in _FOLDERS:
        if each.kind != "directory":
            raise Refused("launcher-layer", digest, f"has a {_called(each)} at /{each.path}")
        return b""
    if each.kind == "link":
        raise Refused("delegates", digest, each.target)
    if each.kind != "file":
        raise Refused("launcher-layer", digest, f"has a {_called(each)} at /{each.path}")
    return each.read(128)  # the kernel reads no more of a first line


def _called(each: Member) -> str:
    return "device" if each.kind == "other" else each.kind


def launcher_layer(kind: LauncherKind) -> NewLayer:
    """Return the layer that delegates: what lifecycle's exporter makes of the shim, member by member.

    It is always gzip, whatever the old one was: every client reads that in either family, and there is one digest for
    all apps, which a registry then holds once.
    """
    launcher = (
        member(f"/{_LAUNCHER}", "file", SHIM_TEXT)
        if kind == "shim"
        else member(f"/{_LAUNCHER}", "link", ENTRYPOINT.encode())
    )
    return layer([*[member(f"/{path}", "directory") for path in _FOLDERS], launcher])
