"""An app image as lifecycle's exporter leaves it, small and with every part that a patch touches; and odd ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from images import LIFECYCLE, Json, Layer, file, folder, pack, sha

from metalauncher.tooling.apps.patch.source import Source
from metalauncher.tooling.oci.model import Descriptor, describe

LIFECYCLE_LABEL, BUILD_LABEL = "io.buildpacks.lifecycle.metadata", "io.buildpacks.build.metadata"
SBOMS = "/layers/sbom/launch/buildpacksio_lifecycle/launcher"
RUN, APP, SBOM, LAUNCHER, CONFIG = range(5)  # the layers, from the lowest
PROGRAM = b"\x7fELF" + b"launcher" * 100
FAMILIES = {
    "oci": (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ),
    "docker": (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
}


@cache
def launcher_layer(program: bytes = PROGRAM) -> Layer:
    """Return a launcher's layer as lifecycle writes it."""
    return pack([folder("/cnb"), folder("/cnb/lifecycle"), file(LIFECYCLE, program, 0o755)])


@cache
def sbom_layer() -> Layer:
    """Return a layer of SBOMs: a buildpack's, and the launcher's."""
    return pack(
        [
            folder("/layers"),
            folder("/layers/sbom"),
            folder("/layers/sbom/launch"),
            folder("/layers/sbom/launch/acme_node"),
            file("/layers/sbom/launch/acme_node/sbom.cdx.json", b'{"of": "node"}', owner=1000),
            folder("/layers/sbom/launch/buildpacksio_lifecycle"),
            folder(SBOMS),
            file(f"{SBOMS}/sbom.cdx.json", b'{"of": "launcher"}', owner=1000),
            file(f"{SBOMS}/sbom.spdx.json", b'{"of": "launcher"}', owner=1000),
            file(f"{SBOMS}/sbom.syft.json", b'{"of": "launcher"}', owner=1000),
            file("/layers/sbom/launch/sbom.legacy.json", b"[]", owner=1000),
        ]
    )


@dataclass
class Patchable:
    """An app image that is being made; `source` gives it as it is stored.

    Attributes:
        layers: from the lowest.
        lifecycle: the label, a document or its text; None for none.
        build: the other label.
        labels: further ones.
        manifest: the document; `layers` and `config` are filled in where they are not there.
        config: so, the label and the diffIDs.
        encode: makes bytes of a document.
    """

    layers: list[Layer]
    lifecycle: Any
    build: Any
    labels: dict[str, str] = field(default_factory=dict)
    manifest: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    encode: Callable[[Any], bytes] = lambda document: json.dumps(document).encode()
    family: str = "oci"

    @property
    def blobs(self) -> dict[str, bytes]:
        """The layers' blobs by digest."""
        return {sha(layer.data): layer.data for layer in self.layers}

    def read(self, blob: Descriptor) -> bytes:
        """Return a layer's blob."""
        return self.blobs[blob.digest]

    def source(self) -> Source:
        """Return the image as it is stored."""
        manifest_type, config_type, layer_type = FAMILIES[self.family]
        config = self.encode(self._config())
        layers = [
            {
                "mediaType": layer_type if layer.media_type == Layer.media_type else layer.media_type,
                "size": len(layer.data),
                "digest": sha(layer.data),
            }
            for layer in self.layers
        ]
        manifest = self.encode(
            {
                "schemaVersion": 2,
                "mediaType": manifest_type,
                "config": {"mediaType": config_type, "size": len(config), "digest": sha(config)},
                "layers": layers,
                "annotations": {"acme.kept": "1"},
                **self.manifest,
            }
        )
        return Source(describe(manifest_type, manifest), manifest, config)

    def _config(self) -> Json:
        labels: dict[str, Any] = {"acme.first": "é<&>", **self.labels}
        for name, document in ((LIFECYCLE_LABEL, self.lifecycle), (BUILD_LABEL, self.build)):
            if document is not None:
                labels[name] = document if isinstance(document, str) else self.encode(document).decode()
        return {
            "architecture": "amd64",
            "created": "1980-01-01T00:00:01Z",
            "history": [{"created": "1980-01-01T00:00:01Z", "empty_layer": True}, *[{} for _ in self.layers]],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            "config": {"Entrypoint": ["/cnb/process/web"], "Env": ["CNB_PLATFORM_API=0.12"], "Labels": labels},
            "acme.number": 1.50,
            **self.config,
        }


def patchable(family: str = "oci", launcher: Layer | None = None) -> Patchable:
    """Return a sound app image."""
    run, app = pack([folder("/usr")]), pack([folder("/workspace"), file("/workspace/a", b"a", owner=1000)])
    config = pack([folder("/layers"), folder("/layers/config"), file("/layers/config/metadata.toml", b"")])
    layers = [run, app, sbom_layer(), launcher or launcher_layer(), config]
    lifecycle = {
        "app": [{"sha": layers[APP].diff_id}],
        "sbom": {"sha": layers[SBOM].diff_id},
        "buildpacks": [],
        "config": {"sha": layers[CONFIG].diff_id},
        "launcher": {"sha": layers[LAUNCHER].diff_id},
        "runImage": {"topLayer": layers[RUN].diff_id, "reference": "acme/run@sha256:" + "0" * 64},
        "acme": {"unknown": [1, 1.50, "\\u00e9 é"]},
    }
    source = {"git": {"repository": "github.com/buildpacks/lifecycle", "commit": "abc"}}
    build = {
        "buildpacks": [{"id": "acme/node", "version": "1"}],
        "launcher": {"version": "0.20.11", "source": source},
        "processes": [{"type": "web", "command": ["node", "<&>"]}],
    }
    return Patchable(layers, lifecycle, build, family=family)


def plain(layer: Layer, media_type: str) -> Layer:
    """Return a layer that is not compressed."""
    return Layer(gzip.decompress(layer.data), layer.diff_id, media_type=media_type)


def spelled(seed: int) -> Callable[[Any], bytes]:
    """Return what writes JSON with blanks and escapes by chance, the keys in their order; one document always alike."""
    return lambda document: _Spelling(seed).write(document).encode()


class _Spelling:
    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def write(self, value: Any) -> str:
        """Return a value as JSON."""
        if isinstance(value, dict):
            items = [f"{self._around(self.write(key))}:{self._around(self.write(each))}" for key, each in value.items()]
            return "{" + ",".join(items) + "}"
        if isinstance(value, list):
            return "[" + ",".join([self._around(self.write(each)) for each in value]) + "]"
        if isinstance(value, str) and value.startswith("1980-"):
            return json.dumps(value)  # Go takes a time as it is written, and knows no escapes in it
        if isinstance(value, str):
            return '"' + "".join([self._character(each) for each in value]) + '"'
        return json.dumps(value)

    def _around(self, text: str) -> str:
        before, behind = self._chance.choices(("", "", " ", "\n  ", "\t"), k=2)
        return before + text + behind

    def _character(self, each: str) -> str:
        if ord(each) < 0x10000 and self._chance.random() < 0.1:
            return f"\\u{ord(each):04x}"
        return json.dumps(each)[1:-1] if each < " " or each in '"\\' else each
