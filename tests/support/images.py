"""Images as others make them: bases, and apps as an exporter leaves them on a run image. Nothing of metalauncher's own.

Everything is written by this module's own few lines, not by the code that is tested. Layers are packed once and kept,
so that thousands of images take seconds.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tomli
from harness import APPS

OCI = "application/vnd.oci.image"
REF_NAME = "org.opencontainers.image.ref.name"
SHIM = b"#!/usr/bin/metalauncher --launch\n"
LINK = "/usr/lib/cnb/launcher"
LIFECYCLE = "/cnb/lifecycle/launcher"
APP_LAYER, LAUNCHER_LAYER = "Application Layer", "Buildpacks Application Launcher"
CONFIG_LAYER, PROCESS_LAYER = "Buildpacks Launcher Config", "Buildpacks Process Types"

Json = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """One packed layer."""

    data: bytes
    diff_id: str
    created_by: str = ""
    media_type: str = f"{OCI}.layer.v1.tar+gzip"


def sha(data: bytes) -> str:
    """Return a digest as images write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def file(name: str, data: bytes, mode: int = 0o644, owner: int = 0) -> tuple[tarfile.TarInfo, bytes]:
    """Return a layer's member."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uid, info.gid = len(data), mode, owner, owner
    return info, data


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is a directory."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info, b""


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is another name of an earlier one."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.LNKTYPE, target, 0o644
    return info, b""


def fifo(name: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member that is a FIFO."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.FIFOTYPE, 0o644
    return info, b""


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return an uncompressed tar; names keep a leading slash, as the exporter's do."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def pack(members: Iterable[tuple[tarfile.TarInfo, bytes]], created_by: str = "") -> Layer:
    """Return a layer compressed with gzip."""
    content = tar(members)
    return Layer(gzip.compress(content, 1, mtime=0), sha(content), created_by)


def members(data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return what `pack` packed."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = [(info, archive.extractfile(info) if info.isreg() else None) for info in archive]
        return [(info, b"" if content is None else content.read()) for info, content in found]


@dataclass
class Layout:
    """An OCI layout that is being written; `save` writes what makes it one."""

    directory: Path
    entries: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the directory, or take up what is there."""
        (self.directory / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        index = self.directory / "index.json"
        if index.exists():
            self.entries = json.loads(index.read_text())["manifests"]

    def put(self, data: bytes, media_type: str) -> Json:
        """Write a blob and return its descriptor."""
        digest = sha(data)
        path = self.blob(digest)
        if not path.exists():
            path.write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def blob(self, digest: str) -> Path:
        """Return where a blob is."""
        return self.directory / "blobs/sha256" / digest.removeprefix("sha256:")

    def read(self, digest: str) -> Json:
        """Return a blob that is JSON."""
        document: Json = json.loads(self.blob(digest).read_bytes())
        return document

    def add(self, config: Json, layers: Sequence[Json], tag: str, **manifest: Any) -> str:
        """Add an image of layers that are there already; return its digest."""
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.put(json.dumps(config).encode(), f"{OCI}.config.v1+json"),
            "layers": list(layers),
            **manifest,
        }
        descriptor = self.put(json.dumps(document).encode(), f"{OCI}.manifest.v1+json")
        self.entries = [entry for entry in self.entries if entry.get("annotations", {}).get(REF_NAME) != tag]
        self.entries.append(descriptor | {"annotations": {REF_NAME: tag}})
        return str(descriptor["digest"])

    def image(self, tag: str) -> tuple[Json, Json]:
        """Return an image's manifest and config."""
        (entry,) = [entry for entry in self.entries if entry.get("annotations", {}).get(REF_NAME) == tag]
        manifest = self.read(entry["digest"])
        return manifest, self.read(manifest["config"]["digest"])

    def save(self) -> None:
        """Write index and version."""
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": self.entries}
        (self.directory / "index.json").write_text(json.dumps(index))


def config_of(layers: Iterable[Layer], architecture: str = "amd64", **run: Any) -> Json:
    """Return the config of an image with these layers; `run` is its `config`: Env, User, Labels and so on."""
    return {
        "created": "2026-01-02T03:04:05Z",
        "architecture": architecture,
        "os": "linux",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": "2026-01-02T03:04:05Z", "created_by": layer.created_by} for layer in layers],
    }


def base(directory: Path, layers: Sequence[Layer], tag: str = "base", architecture: str = "amd64", **run: Any) -> str:
    """Write an image into a layout; return how to refer to it."""
    layout = Layout(directory)
    blobs = [layout.put(layer.data, layer.media_type) for layer in layers]
    layout.add(config_of(layers, architecture, **run), blobs, tag)
    layout.save()
    return f"oci:{directory}:{tag}"


def index(directory: Path, tags: Mapping[str, str], tag: str) -> str:
    """Add an index of images that a layout has to it; return how to refer to it.

    Args:
        directory: of the layout.
        tags: of the images, by platform, `os/architecture[/variant]`.
        tag: of the index.
    """
    layout = Layout(directory)
    manifests = []
    for platform, name in tags.items():
        (found,) = [entry for entry in layout.entries if entry.get("annotations", {}).get(REF_NAME) == name]
        keys = zip(("os", "architecture", "variant"), platform.split("/"), strict=False)
        manifests.append({key: found[key] for key in ("mediaType", "digest", "size")} | {"platform": dict(keys)})
    document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
    descriptor = layout.put(json.dumps(document).encode(), f"{OCI}.index.v1+json")
    layout.entries = [entry for entry in layout.entries if entry.get("annotations", {}).get(REF_NAME) != tag]
    layout.entries.append(descriptor | {"annotations": {REF_NAME: tag}})
    layout.save()
    return f"oci:{directory}:{tag}"


@dataclass(frozen=True)
class App:
    """What an exporter is given.

    Attributes:
        name: of the app, for tags.
        metadata: metadata.toml.
        environ: what the exporter sets, `NAME=value`; PATH is the prefix of the run image's.
        entrypoint: of the image.
        layers: of the buildpacks: (`/layers/…`, members).
        workspace: the app's own files.
        processes: the types that have a link.
    """

    name: str
    metadata: bytes
    environ: tuple[str, ...]
    entrypoint: str
    layers: tuple[tuple[str, Layer], ...]
    workspace: Layer
    processes: tuple[str, ...]


def _under(source: Path, target: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    members = [folder(target)]
    for path in sorted(source.rglob("*")):
        name = f"{target}/{path.relative_to(source)}"
        if path.is_dir():
            members.append(folder(name))
        else:
            members.append(file(name, path.read_bytes(), path.stat().st_mode & 0o777, 1000))
    return members


@cache
def load_app(name: str) -> App:
    """Return one of tests/data/apps."""
    place = APPS / name
    layers = []
    for buildpack in sorted(path for path in (place / "layers").iterdir() if path.name != "config"):
        for toml in sorted(buildpack.glob("*.toml")):
            source = buildpack / toml.stem
            if source.is_dir():
                target = f"/layers/{buildpack.name}/{toml.stem}"
                members = [folder("/layers"), folder(f"/layers/{buildpack.name}"), *_under(source, target)]
                layers.append((target, pack(members, f"Layer: '{toml.stem}', Created by buildpack: {buildpack.name}")))
    processes = place / "process"
    return App(
        name,
        (place / "layers/config/metadata.toml").read_bytes(),
        tuple((place / "image-env").read_text().splitlines()),
        (place / "entrypoint").read_text().strip(),
        tuple(layers),
        pack(_under(place / "workspace", "/workspace"), APP_LAYER),
        tuple(sorted(path.name for path in processes.iterdir())) if processes.exists() else (),
    )


def make_app(
    name: str, metadata: str, platform_api: str | None, *, files: Mapping[str, bytes] | None = None, web: bool = True
) -> App:
    """Return an app of our own: its metadata.toml, Platform API and executable files of /workspace."""
    environ = ["CNB_LAYERS_DIR=/layers", "CNB_APP_DIR=/workspace", "CNB_DEPRECATION_MODE=quiet"]
    environ += [f"CNB_PLATFORM_API={platform_api}"] if platform_api is not None else []
    environ += ["PATH=/cnb/process:/cnb/lifecycle:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    members = [file(f"/workspace/{path}", data, 0o755, 1000) for path, data in (files or {}).items()]
    types = tuple(str(process["type"]) for process in tomli.loads(metadata).get("processes", []))
    return App(
        name,
        metadata.encode(),
        tuple(environ),
        "/cnb/process/web" if web else LIFECYCLE,
        (),
        pack([folder("/workspace"), *members], APP_LAYER),
        types,
    )


@cache
def launcher_layer(route: str, executable: bytes = b"") -> Layer:
    """Return the launcher layer: `symlink` (RFC 336's), `shim` (the file copied), or `self-contained`."""
    content = {
        "symlink": link(LIFECYCLE, LINK),
        "shim": file(LIFECYCLE, SHIM, 0o755),
        "self-contained": file(LIFECYCLE, executable, 0o755),
    }
    return pack([folder("/cnb"), folder("/cnb/lifecycle"), content[route]], LAUNCHER_LAYER)


@cache
def config_layer(metadata: bytes) -> Layer:
    """Return the layer that holds metadata.toml alone."""
    place = "/layers/config"
    return pack([folder("/layers"), folder(place), file(f"{place}/metadata.toml", metadata, 0o644)], CONFIG_LAYER)


@cache
def process_layer(types: tuple[str, ...]) -> Layer:
    """Return the layer of the links in /cnb/process."""
    links = [link(f"/cnb/process/{name}", LIFECYCLE) for name in types]
    return pack([folder("/cnb"), folder("/cnb/process"), *links], PROCESS_LAYER)


def export(
    layout: Layout, run_tag: str, app: App, route: str, tag: str, *, executable: bytes = b"", labels: bool = True
) -> str:
    """Add an app image to the layout that holds its run image, as an exporter would; return its digest.

    Args:
        layout: of both; `save` it when all are there.
        run_tag: of the run image.
        app: what to export.
        route: how the launcher layer leads to a launcher: `symlink`, `shim` or `self-contained`.
        tag: of the new image.
        executable: the self-contained launcher.
        labels: whether it has the exporter's own labels.
    """
    manifest, config = layout.image(run_tag)
    launcher, metadata = launcher_layer(route, executable), config_layer(app.metadata)
    processes = [process_layer(app.processes)] if app.processes else []
    new = [*[layer for _, layer in app.layers], app.workspace, launcher, metadata, *processes]
    run = config["config"]
    environ = [entry for entry in run.get("Env") or [] if entry.partition("=")[0] != "PATH"]
    config = config | {
        "config": {key: value for key, value in run.items() if key != "Cmd"}
        | {
            "Entrypoint": [app.entrypoint],
            "Env": [*environ, *app.environ],
            "WorkingDir": "/workspace",
            "Labels": {**(run.get("Labels") or {}), **(_labels(app, manifest, config, launcher) if labels else {})},
        },
        "rootfs": {"type": "layers", "diff_ids": [*config["rootfs"]["diff_ids"], *[layer.diff_id for layer in new]]},
        "history": [*config.get("history", []), *[{"created_by": layer.created_by} for layer in new]],
    }
    blobs = [layout.put(layer.data, layer.media_type) for layer in new]
    return layout.add(config, [*manifest["layers"], *blobs], tag)


@cache
def _build_metadata(app: App) -> str:
    document = tomli.loads(app.metadata.decode("utf-8-sig"))
    processes = [
        {("buildpackID" if key == "buildpack-id" else key): value for key, value in process.items()}
        for process in document.get("processes", [])
    ]
    buildpacks = [{"id": each["id"], "version": each["version"]} for each in document.get("buildpacks", [])]
    source = {"git": {"repository": "github.com/buildpacks/lifecycle", "commit": "0000000"}}
    return json.dumps(
        {
            "processes": processes,
            "buildpacks": buildpacks,  # without `api`: every lifecycle leaves it out
            "launcher": {"version": "0.20.20", "source": source},
        }
    )


def _labels(app: App, manifest: Json, config: Json, launcher: Layer) -> Json:
    keys: dict[str, Json] = {}
    for place, layer in app.layers:
        _, _, buildpack, name = place.split("/")
        keys.setdefault(buildpack, {})[name] = {"sha": layer.diff_id, "build": False, "launch": True, "cache": False}
    lifecycle = {
        "app": [{"sha": app.workspace.diff_id}],
        "buildpacks": [{"key": key, "version": "1.2.3", "layers": layers} for key, layers in keys.items()],
        "config": {"sha": config_layer(app.metadata).diff_id},
        "launcher": {"sha": launcher.diff_id},
        "runImage": {
            "topLayer": config["rootfs"]["diff_ids"][-1],
            "reference": sha(json.dumps(manifest).encode()),
        },
    }
    if app.processes:
        lifecycle["process-types"] = {"sha": process_layer(app.processes).diff_id}
    return {
        "io.buildpacks.lifecycle.metadata": json.dumps(lifecycle),
        "io.buildpacks.build.metadata": _build_metadata(app),
        "io.buildpacks.project.metadata": "{}",
    }


def unpack(blob: bytes, root: Path) -> None:
    """Lay a layer over what is there, as the image specification says; links are followed inside alone."""
    data = zlib.decompress(blob, 31) if blob.startswith(b"\x1f\x8b") else blob
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        # Whiteouts hide what lower layers have, wherever in the layer they stand.
        for info in sorted(archive, key=lambda info: not Path(info.name).name.startswith(".wh.")):
            path = root / info.name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.name == ".wh..wh..opq":
                for entry in path.parent.iterdir():
                    remove(entry)
            elif path.name.startswith(".wh."):
                remove(path.parent / path.name.removeprefix(".wh."))
            elif info.isdir():
                if path.is_symlink() or not path.is_dir():
                    remove(path)
                    path.mkdir()
            else:
                remove(path)
                if info.issym():
                    path.symlink_to(info.linkname)
                else:
                    content = archive.extractfile(info)
                    assert content is not None
                    path.write_bytes(content.read())
                    path.chmod(info.mode)


def remove(path: Path) -> None:
    """Take away whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
