"""Values of the domain in one line each, and the ways to ask the program in this very process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness import REFERENCE_REGISTRY

from metalauncher.apis import ApiRange, ApiSet, ApiVersion
from metalauncher.decision import Decision, decide
from metalauncher.descriptor import Launcher
from metalauncher.environment import metadata_path
from metalauncher.places import Root
from metalauncher.record import Buildpack, Record, read_record
from metalauncher.registry import Registry, load_registry, read_descriptor

if TYPE_CHECKING:
    from metalauncher.refusals import Refusal
    from metalauncher.selection import Selection

KEYS = frozenset(("buildpacks", "processes"))
METADATA = "/layers/config/metadata.toml"


def apis(text: str, deprecated: str = "", default: str = "") -> ApiSet:
    """Return a set from versions parted by blanks, or from a range."""
    supported = ApiRange(text) if text[:1] in "<>=!" else [ApiVersion.parse(part) for part in text.split()]
    return ApiSet(
        supported,
        [ApiVersion.parse(part) for part in deprecated.split()],
        ApiVersion.parse(default) if default else None,
    )


def minors(oldest: int, newest: int) -> str:
    """Return the versions 0.OLDEST to 0.NEWEST, parted by blanks."""
    return " ".join(f"0.{minor}" for minor in range(oldest, newest + 1))


def launcher(
    name: str = "acme/launcher@1",
    platform: ApiSet | str = "0.7 0.8",
    buildpack: ApiSet | str = "0.7 0.8",
    *,
    path: str = "",
    priority: int = 0,
    opt_in_env: str | None = None,
    requires: tuple[str, ...] = (),
    cannot_read: tuple[str, ...] = (),
    sha256: str | None = None,
    descriptor: str = "",
) -> Launcher:
    """Return a launcher named ID@VERSION."""
    identifier, _, version = name.partition("@")
    return Launcher(
        identifier=identifier,
        version=version,
        platform=apis(platform) if isinstance(platform, str) else platform,
        buildpack=apis(buildpack) if isinstance(buildpack, str) else buildpack,
        path=path,
        priority=priority,
        opt_in_env=opt_in_env,
        requires=requires,
        cannot_read=cannot_read,
        sha256=sha256,
        descriptor=descriptor,
    )


def record(platform: str | None, *buildpacks: str | None, keys: frozenset[str] = KEYS) -> Record:
    """Return the record of an app: its Platform API, and the API of each buildpack bp/0, bp/1 and so on."""
    return Record(
        ApiVersion.parse(platform) if platform else None,
        platform or "",
        tuple(Buildpack(f"bp/{number}", api) for number, api in enumerate(buildpacks)),
        keys,
        METADATA,
    )


def environment(**variables: str) -> dict[bytes, bytes]:
    """Return the variables as the program holds them."""
    return {name.encode(): value.encode() for name, value in variables.items()}


def reference(tmp_path: Path, *versions: str) -> Root:
    """Return a root whose registry is the reference's, or only those of its launchers whose version is given."""
    directory = tmp_path / "usr/lib/cnb/launchers.d"
    directory.mkdir(parents=True)
    for file in sorted(REFERENCE_REGISTRY.glob("*.toml")):
        if not versions or file.stem.rpartition("@")[2] in versions:
            shutil.copy(file, directory)
    return Root(str(tmp_path).encode())


def reference_registry() -> Registry:
    """Return the registry of the project's own launchers.d."""
    files = sorted(REFERENCE_REGISTRY.glob("*.toml"))
    assert files
    found = [read_descriptor(str(file).encode(), file.name) for file in files]
    return Registry(tuple(descriptor for descriptor in found if isinstance(descriptor, Launcher)))


def decide_app(root: Root, variables: dict[bytes, bytes], metadata: bytes | None = None) -> Decision:
    """Decide for an app whose metadata.toml, if not at the place the variables say, is given."""
    path = metadata or root.locate_layers(metadata_path(variables))
    return decide(variables, load_registry(root), lambda policy: read_record(path, policy))


def decision_of(app: Record, registry: Registry, variables: Mapping[bytes, bytes]) -> Decision:
    """Decide for an app whose record is given; its Platform API counts, whatever the variables say."""
    variables = {**variables, b"CNB_PLATFORM_API": app.platform_text.encode("utf-8", "surrogateescape")}
    return decide(variables, registry, lambda _: app)


def select(app: Record, registry: Registry, variables: Mapping[bytes, bytes]) -> Selection | Refusal:
    """Return what is decided for such an app."""
    return decision_of(app, registry, variables).outcome


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be, as far as permissions go, a user that is not root and owns nothing, for root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
