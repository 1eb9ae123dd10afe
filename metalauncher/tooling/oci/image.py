"""One image for one platform: its config, and its layers from the lowest to the topmost.

Fetches manifests and the config; knows no layer's content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalauncher.tooling.oci.artifacts import artifact_of
from metalauncher.tooling.oci.choice import Index
from metalauncher.tooling.oci.go_json import CONFIG, MANIFEST
from metalauncher.tooling.oci.model import (
    CONFIG_LIMIT,
    INDEXES,
    MANIFEST_LIMIT,
    MANIFESTS,
    Descriptor,
    ImageError,
    Store,
    parse_descriptor,
    parse_digest,
    parse_json,
    platform_of,
)
from metalauncher.tooling.oci.pinned import PinnedStore
from metalauncher.tooling.oci.platforms import normal

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_PLATFORM: Final = "linux/amd64"
_NESTING_LIMIT = 4  # indexes in indexes
LAYERS_LIMIT: Final = 512  # overlayfs takes 500 lower directories, Docker 127


class Layer(NamedTuple):
    """One layer.

    Attributes:
        blob: as it is stored.
        diff_id: the digest of its uncompressed tar.
        created_by: what the history says of it, "" where there is none.
    """

    blob: Descriptor
    diff_id: str
    created_by: str


class Image:
    """One image."""

    __slots__ = ("config", "environ", "labels", "layers", "manifest", "store")

    def __init__(self, store: Store, manifest: Descriptor, config: dict[str, Any], layers: tuple[Layer, ...]) -> None:
        """Hold an image.

        Args:
            store: where its layers come from.
            manifest: of its platform.
            config: its configuration, the whole document.
            layers: the lowest first.

        Raises:
            ImageError: the config's environment or labels are of a wrong type.
        """
        self.store: Final = store
        self.manifest: Final = manifest
        self.config: Final = config
        self.layers: Final = layers
        self.environ: Final = tuple([entry.encode("utf-8", "surrogatepass") for entry in self.words("Env")])
        labels = _object(_object(config, "config"), "Labels")
        self.labels: Final = {key: value for key, value in labels.items() if isinstance(value, str)}

    @property
    def platform(self) -> str:
        """`os/architecture` and, if there is an unusual one, `/variant`, in Go's names whatever the config has."""
        return normal(platform_of(self.config))

    def words(self, key: str) -> list[str]:
        """Return a list of texts in its configuration: Env, Entrypoint, Cmd; empty where there is none.

        Raises:
            ImageError: it is another thing, with which Go refuses the whole image.
        """
        found = _object(self.config, "config").get(key)
        if found is not None and not (isinstance(found, list) and all([isinstance(word, str) for word in found])):
            raise ImageError("damaged", f"the config's {key} is not an array of strings")
        return found or []

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """The ENTRYPOINT; empty where there is none."""
        value = _object(self.config, "config").get("Entrypoint") or []
        return tuple([str(part) for part in value]) if isinstance(value, list) else ()


class Images:
    """What a reference names, an image or an index of several: fetched and parsed once, however many are loaded of it.

    For one thread at a time.
    """

    def __init__(self, store: Store) -> None:
        """Take where it is; nothing is asked yet."""
        self._store: Final = PinnedStore(store)
        self._indexes: Final[dict[str, Index]] = {}

    def top(self) -> Descriptor:
        """Return what the reference names.

        Raises:
            ImageError: it can't be had.
        """
        return self._store.top()[0]

    def platforms(self) -> tuple[str, ...]:
        """Return the platforms that the image is there for, each once, in its index's order and in Go's names.

        Empty where there is no index, or one that names no platform: `load` takes such an image whatever is asked.

        Raises:
            ImageError: it can't be had, is not an image that is read here, or names the platforms of some images alone.
        """
        entry: Descriptor | None = None
        for _ in range(_NESTING_LIMIT):
            index = self._open(entry)
            if not isinstance(index, Index):
                return ()
            if found := index.platforms():
                return found
            entry = index.for_platform(DEFAULT_PLATFORM)
        raise _nested()

    def load(self, platform: str = DEFAULT_PLATFORM) -> Image:
        """Fetch the image's manifest, by way of an index if need be, and its config.

        Args:
            platform: `os/architecture[/variant]`, looked up in indexes; an image without an index is taken as it is.

        Raises:
            ImageError: it can't be had, or is not an image that is read here.
        """
        entry: Descriptor | None = None
        for _ in range(_NESTING_LIMIT):
            found = self._open(entry)
            if not isinstance(found, Index):
                return _load(self._store, *found)
            entry = found.for_platform(platform)
        raise _nested()

    def _open(self, entry: Descriptor | None) -> Index | tuple[Descriptor, dict[str, Any]]:
        """Return an index, or a manifest and what it says; of an index's entry, or what the reference names."""
        key = "" if entry is None else entry.digest
        if key in self._indexes:
            return self._indexes[key]
        descriptor, data = (entry, self._store.fetch(entry, MANIFEST_LIMIT)) if entry else self._store.top()
        document = parse_json(data, "the manifest", MANIFEST)
        if not _is_index(descriptor, document):
            return descriptor, document
        return self._indexes.setdefault(key, Index(_entries(document)))


def load_image(store: Store, platform: str = DEFAULT_PLATFORM) -> Image:
    """Fetch one image, as `Images.load` does.

    Args:
        store: where it is.
        platform: as there.

    Raises:
        ImageError: as there.
    """
    return Images(store).load(platform)


def _nested() -> ImageError:
    return ImageError("unsupported", f"has indexes nested more than {_NESTING_LIMIT - 1} deep")


def _is_index(descriptor: Descriptor, document: dict[str, Any]) -> bool:
    if document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise ImageError("unsupported", "is an image of Docker's schema 1, which no registry takes any more")
    media_type = document.get("mediaType") or descriptor.media_type
    if media_type in INDEXES:
        return True
    if media_type in MANIFESTS:
        return False
    raise ImageError("unsupported", f"is not a container image: its media type is {str(media_type)[:100]!r}")


def _entries(index: dict[str, Any]) -> list[Descriptor]:
    entries = index.get("manifests")
    if not isinstance(entries, list):
        raise ImageError("damaged", "is an index without manifests")
    return [parse_descriptor(entry, f"manifest {number} of the index") for number, entry in enumerate(entries, 1)]


def _load(store: Store, descriptor: Descriptor, manifest: dict[str, Any]) -> Image:
    config_blob = parse_descriptor(manifest.get("config"), "the config")
    entries = manifest.get("layers")
    if not isinstance(entries, list):
        raise ImageError("damaged", "the manifest lists no layers")
    if len(entries) > LAYERS_LIMIT:
        raise ImageError("too-large", f"has {len(entries)} layers; {LAYERS_LIMIT} are allowed")
    blobs = [parse_descriptor(entry, f"layer {number}") for number, entry in enumerate(entries, 1)]
    artifact = artifact_of(manifest, config_blob, blobs)
    if artifact:
        raise ImageError("unsupported", f"is not a container image, but {artifact}")
    config = parse_json(store.fetch(config_blob, CONFIG_LIMIT), "the config", CONFIG)
    diff_ids = _object(config, "rootfs").get("diff_ids")
    if not isinstance(diff_ids, list) or len(diff_ids) != len(blobs):
        raise ImageError("damaged", f"the config does not name the {len(blobs)} layers that the manifest has")
    histories = list(_histories(config))
    histories += [""] * (len(blobs) - len(histories))
    layers = [
        Layer(blob, parse_digest(diff_id), created_by)
        for blob, diff_id, created_by in zip(blobs, diff_ids, histories, strict=False)
    ]
    return Image(store, descriptor, config, tuple(layers))


def _histories(config: dict[str, Any]) -> Iterator[str]:
    history = config.get("history")
    for entry in history if isinstance(history, list) else []:
        if isinstance(entry, dict) and not entry.get("empty_layer"):
            yield str(entry.get("created_by") or "")


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ImageError("damaged", f"{key} in the config is not an object")
    return value
