"""Generated registries, records and environments, as values and as the files that hold them.

HYPOTHESIS_PROFILE says how long to search: `quick`, which is `make test`'s, `thorough`, which is `make test-all`'s, and
`long`, for a night: fifty times as many examples as CI tries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from making import METADATA, apis, launcher

from metalauncher.apis import ApiVersion
from metalauncher.record import Buildpack, Record
from metalauncher.registry import Registry

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher

PROFILES = {"quick": 0.25, "thorough": 1.0, "long": 50.0}  # times as many examples
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
DERANDOMIZED = PROFILE != "long" and bool(os.environ.get("CI"))


def choose_profile() -> None:
    """Make the chosen profile that of all tests, those too that do not say how many examples they want."""
    usual = settings.get_profile("default").max_examples
    for name, times in PROFILES.items():
        settings.register_profile(
            name, max_examples=max(1, int(usual * times)), deadline=None, derandomize=DERANDOMIZED
        )
    settings.load_profile(PROFILE)


def examples(number: int) -> Callable[[Any], Any]:
    """Return the settings for a test of so many examples where the search is thorough."""
    return settings(
        max_examples=max(1, int(number * PROFILES[PROFILE])),
        deadline=None,
        derandomize=DERANDOMIZED,
        suppress_health_check=list(HealthCheck),
    )


def searching(number: int) -> Callable[[Any], Any]:
    """Return the settings for a search that is to end at the first example found: nothing kept, nothing shrunk."""
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


# Few enough that a launcher often covers an app, with all that the grammar and CNB's rule tell apart.
VERSIONS = ("0.2", "0.3", "0.6", "0.7", "0.8", "0.9", "0.10", "0.12", "1.0", "1.2", "1.3", "2.1")
SPELLED = (*VERSIONS, "v0.7", "0.07", "1", "1.", "v2.1", "0")
MALFORMED = ("", "x", " 0.7", "0.7.0", "v", "0.x", "-1", "18446744073709551616.0", "0.7\n", "٣.1", "\x1b[31m")
RANGES = (">=0.3,<=0.12", "<0.8", "==0.9", "<=1.2", ">=0.7,<0.10,!=0.8", ">0.3,<=2.1,!=1.0", "<=0.7", "!=0.9,<=1.3")
IDS = ("acme/a", "acme/b", "other")
# Some are equal by PEP 440 and differ as text.
RELEASES = (
    "1",
    "1.0",
    "0.9.3",
    "0.17.7",
    "0.17.7+vendor.1",
    "0.21.17",
    "1.0a1",
    "1.0.post1",
    "1.0.dev3",
    "1!0.1",
    "v2",
)
SPECS = (
    "",
    "@1",
    "@1.0.0",
    "@0.17.7",
    "@>=0.17",
    "@<1",
    "@!=0.21.17",
    "@~=0.17.1",
    "@==0.*",
    "@>=0.9,<0.21",
    "@==1!0.1",
)
BAD_PINS = ("@1", "acme/a@", "acme/a@x", "acme/a@===1", "acme/a@>=1.*", "acme/a@,", "@", "acme/a@1@2", "\xff@\n")
KEYS = ("processes", "buildpacks", "bom")
# What makes a metadata.toml odd: a line of it, or its first character.
ODD = {"control-characters": "# \x1b[1m\n", "replacement-characters": "# \ufffd\n", "byte-order-mark": "\ufeff"}
BROKEN = ("control-characters",)  # the one of these that is no TOML
OPT_INS = ("OPT_A", "OPT_B")


@dataclass(frozen=True)
class Apis:
    """The API versions of one kind, as a descriptor writes them."""

    supported: str | tuple[str, ...]
    deprecated: tuple[str, ...] = ()
    default: str = ""

    def toml(self, kind: str) -> str:
        """Return the descriptor's section."""
        supported = self.supported if isinstance(self.supported, str) else list(self.supported)
        lines = [f"[apis.{kind}]", f"supported = {json.dumps(supported)}"]
        lines += [f"deprecated = {json.dumps(self.deprecated)}"] if self.deprecated else []
        lines += [f'default = "{self.default}"'] if self.default else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Declared:
    """A launcher as a descriptor declares it."""

    id: str
    version: str
    platform: Apis
    buildpack: Apis
    priority: int = 0
    opt_in_env: str | None = None
    requires: tuple[str, ...] = ()
    cannot_read: tuple[str, ...] = ()
    path: str = ""
    descriptor: str = ""

    def launcher(self) -> Launcher:
        """Return it as the program holds it."""
        platform, buildpack = [
            apis(
                s.supported if isinstance(s.supported, str) else " ".join(s.supported),
                " ".join(s.deprecated),
                s.default,
            )
            for s in (self.platform, self.buildpack)
        ]
        return launcher(
            f"{self.id}@{self.version}",
            platform,
            buildpack,
            path=self.path,
            priority=self.priority,
            opt_in_env=self.opt_in_env,
            requires=self.requires,
            cannot_read=self.cannot_read,
            descriptor=self.descriptor,
        )

    def toml(self) -> str:
        """Return the descriptor's text."""
        lines = ["[launcher]", f"id = {json.dumps(self.id)}", f"version = {json.dumps(self.version)}"]
        lines += [f"priority = {self.priority}"] if self.priority else []
        lines += [f"opt-in-env = {json.dumps(self.opt_in_env)}"] if self.opt_in_env else []
        lines += [f"requires = {json.dumps(self.requires)}"] if self.requires else []
        lines += [f"cannot-read = {json.dumps(self.cannot_read)}"] if self.cannot_read else []
        lines += [f"path = {json.dumps(self.path)}"] if self.path else []
        return "\n".join([*lines, self.platform.toml("platform"), self.buildpack.toml("buildpack"), ""])


@dataclass(frozen=True)
class App:
    """What an app recorded."""

    platform: str
    buildpacks: tuple[tuple[str, str | None], ...]
    keys: frozenset[str]
    oddities: tuple[str, ...] = ()

    @property
    def cleaned(self) -> bool:
        """It is no TOML, but for what some launchers read all the same."""
        return BROKEN[0] in self.oddities

    def record(self) -> Record:
        """Return it as the program holds it; the Platform API is valid."""
        return Record(
            ApiVersion.parse(self.platform) if self.platform else None,
            self.platform,
            tuple([Buildpack(identifier, api or None) for identifier, api in self.buildpacks]),
            self.keys,
            METADATA,
            self.oddities,
            "not TOML" if self.cleaned else None,
        )

    def toml(self) -> str:
        """Return its metadata.toml."""
        head = "".join([ODD[kind] for kind in reversed(ODD) if kind in self.oddities])
        lines = [f"{key} = []" for key in sorted(self.keys - {"buildpacks"})]
        if "buildpacks" in self.keys and not self.buildpacks:
            lines.append("buildpacks = []")
        for identifier, api in self.buildpacks:
            lines += ["[[buildpacks]]", f"id = {_basic(identifier)}"]
            lines += [] if api is None else [f"api = {_basic(api)}"]
        return head + "\n".join([*lines, ""])


def _basic(text: str) -> str:
    """Write a TOML string: JSON's, but for DEL, which TOML wants escaped, and for surrogate pairs, which it has not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True)
class Case:
    """A registry, an app and an environment."""

    declared: tuple[Declared, ...]
    app: App
    environment: tuple[tuple[str, str], ...]

    def registry(self, declared: tuple[Declared, ...] | None = None) -> Registry:
        """Return the registry, or one of other launchers."""
        return Registry(tuple([one.launcher() for one in (self.declared if declared is None else declared)]))

    def variables(self, **instead: str) -> dict[bytes, bytes]:
        """Return the environment as the program holds it, with some variables replaced."""
        return {name.encode(): value.encode() for name, value in {**dict(self.environment), **instead}.items()}


def api_sets() -> st.SearchStrategy[Apis]:
    """Return sets of APIs: lists with deprecations and a default among them, or ranges."""
    lists = st.lists(st.sampled_from(SPELLED), min_size=1, max_size=8).flatmap(_with_options)
    return lists | st.builds(Apis, st.sampled_from(RANGES), st.lists(st.sampled_from(VERSIONS), max_size=2).map(tuple))


def _with_options(supported: list[str]) -> st.SearchStrategy[Apis]:
    some = st.sampled_from(supported)
    deprecated = st.just(()) | st.lists(some, max_size=3).map(tuple)
    return st.builds(Apis, st.just(tuple(supported)), deprecated, st.just("") | st.just("") | some)


def wide_api_sets() -> st.SearchStrategy[Apis]:
    """Return sets that cover most of what apps ask for."""
    return st.builds(
        Apis, st.sampled_from((VERSIONS, SPELLED, VERSIONS[2:], ">=0.3,<=2.1")), st.sampled_from(((), VERSIONS[:3]))
    )


def launchers() -> st.SearchStrategy[Declared]:
    """Return launchers; their descriptors' names are for the registry to give."""
    sets = wide_api_sets() | wide_api_sets() | api_sets()
    return st.builds(
        Declared,
        st.sampled_from(IDS),
        st.sampled_from(RELEASES),
        sets,
        sets,
        st.sampled_from((0, 0, 0, -10, 7, 2**63 - 1)),
        st.sampled_from((None, None, None, *OPT_INS)),
        st.just(()) | st.lists(st.sampled_from(KEYS), max_size=2, unique=True).map(tuple),
        st.just(()) | kinds() | st.just(BROKEN),
        st.sampled_from(("", "", "/opt/one", "/opt/two")),
    )


def kinds() -> st.SearchStrategy[tuple[str, ...]]:
    """Return oddities, in the order in which a record has them."""
    return st.frozensets(st.sampled_from(tuple(ODD)), max_size=3).map(
        lambda some: tuple([kind for kind in ODD if kind in some])
    )


def registries(min_size: int = 0, max_size: int = 7) -> st.SearchStrategy[tuple[Declared, ...]]:
    """Return the launchers of a registry, each with a descriptor of its own."""
    return st.lists(launchers(), min_size=min_size, max_size=max_size).map(
        lambda found: tuple([replace(one, descriptor=f"/d/{number:02}.toml") for number, one in enumerate(found)])
    )


def apps() -> st.SearchStrategy[App]:
    """Return apps, those that recorded nothing, too little or nonsense among them."""
    good = st.sampled_from(VERSIONS)
    odd = st.none() | st.sampled_from((*SPELLED, *MALFORMED))
    identifiers = st.sampled_from(("bp/one", "bp/two", "bp/three", "", "bp\x1b[2J\n"))
    apis_recorded = st.lists(st.tuples(identifiers, good), max_size=3) | st.lists(
        st.tuples(identifiers, good | odd), max_size=3
    )
    return st.builds(
        App,
        st.sampled_from((*VERSIONS, *VERSIONS, *SPELLED, "", "", "0.99")),
        apis_recorded.map(tuple),
        st.frozensets(st.sampled_from(KEYS)),
        st.just(()) | kinds() | st.just(BROKEN),
    ).map(lambda app: replace(app, keys=app.keys | {"buildpacks"}) if app.buildpacks else app)


def environments() -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """Return what else decides: opt-ins, the deprecation mode, a pin."""
    flags = st.sampled_from(("1", "true", "T", "0", "", "yes"))
    return st.fixed_dictionaries(
        {},
        optional={
            "OPT_A": flags,
            "OPT_B": flags,
            "CNB_DEPRECATION_MODE": st.sampled_from(("error", "error", "warn", "quiet", "", "ERROR")),
            "METALAUNCHER_PIN": pins() | st.sampled_from(("", *BAD_PINS)),
        },
    ).map(lambda variables: tuple(variables.items()))


def pins() -> st.SearchStrategy[str]:
    """Return well-formed pins."""
    return st.builds(str.__add__, st.sampled_from(IDS), st.sampled_from(SPECS))


def cases() -> st.SearchStrategy[Case]:
    """Return whole cases; in most of them some launcher covers the app."""
    return st.builds(Case, registries(), apps(), st.just(()) | environments())


def mutated(texts: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """Return files that are no longer what they were: cut, doubled, with foreign bytes in them."""

    def mutate(text: str, at: float, length: int, instead: bytes) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        start = int(at * len(data))
        return data[:start] + instead + data[start + length :]

    foreign = st.sampled_from((b"", b"\0", b"\xff", b"\x1b[31m", b"=", b'"', b"[", b"]]", b"\n", b"#", b"{", b"1e400"))
    return st.builds(
        mutate, st.sampled_from(texts), st.floats(0, 1), st.integers(0, 9), foreign | st.binary(max_size=4)
    )


def write_launchers(root: Path, declared: tuple[Declared, ...]) -> None:
    """Put an executable, which says where it lies, at the place of each launcher."""
    for one in declared:
        place = root / one.launcher().path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text('#!/bin/sh\necho "ran $0"\n')
        place.chmod(0o755)
