"""All that a check found out about a fleet, in the order in which people want to know it. Pure: lays nothing out."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from metalauncher import __version__
from metalauncher.apis import ApiRange, ApiVersion
from metalauncher.descriptor import InvalidValue, Launcher, parse_descriptor
from metalauncher.environment import Policy
from metalauncher.explain.messages import by_rank
from metalauncher.record import Buildpack, Record
from metalauncher.registry import Registry
from metalauncher.selection import BuildpackNotCovered, OptInNotGiven, PlatformNotCovered, sift
from metalauncher.tooling.apps.check.bounds import API_LIMIT, listed, shorten
from metalauncher.tooling.apps.check.gate import DEFAULT_GATE, Gate
from metalauncher.tooling.apps.check.verdict import AT_RISK, KINDS, URGENCY, Kind, Result
from metalauncher.tooling.apps.launcher_inventory import OwnLauncher, Release, count_releases
from metalauncher.tooling.oci.platforms import under

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from metalauncher.apis import ApiSet
    from metalauncher.explain.jsontext import Json
    from metalauncher.selection import Rejection

NEEDS_LIMIT: Final = 60  # rows of the matrix; whole fleets have a few dozen
_UNKNOWN_KEYS = frozenset(("buildpacks", "processes"))

WORDS: Final[dict[Kind, str]] = {
    "starts": "starts",
    "refused": "would be refused",
    "does-not-start": "would not start",
    "keeps-own-launcher": "keeps its own launcher",
    "unknown": "unknown",
}


def counted(number: int, kind: Kind) -> str:
    """Return `2 start`: how many apps there are of a kind."""
    several = {"starts": "start", "keeps-own-launcher": "keep their own launcher"}
    return f"{number:,} {several.get(kind, WORDS[kind]) if number != 1 else WORDS[kind]}"


class RunImage(NamedTuple):
    """The run image that the apps are to be rebased onto.

    Attributes:
        name: as it was given.
        digest: of its manifest, None where it has none.
        launchers: in effect, best first.
        obstacles: why each of them can't be exec'd, None for one that can; empty where all can, or it is not known.
        platform: that it is for, where it is one of several.
        platforms: of an index the run images for each; it has no launchers of its own then.
        warning: what is wrong with it whatever apps there are, "" for nothing.
    """

    name: str
    digest: str | None
    launchers: tuple[Launcher, ...]
    obstacles: tuple[str | None, ...] = ()
    platform: str = ""
    platforms: tuple[RunImage, ...] = ()
    warning: str = ""


class Cell(NamedTuple):
    """Whether one launcher serves one need.

    Attributes:
        state: `runs`: it starts apps that recorded this; `covers`: it supports these APIs; `lacks`; `opt-in`: it has to
            be asked for; `broken`: it supports them, but can't be exec'd.
        lacks: what it does not have, in words.
    """

    state: Literal["runs", "covers", "lacks", "opt-in", "broken"]
    lacks: str = ""


class Need(NamedTuple):
    """What some apps recorded, all alike.

    Attributes:
        platform: the Platform API, None where there is none.
        buildpacks: the Buildpack APIs, each once, oldest first; None for one that recorded none.
        apps: how many there are.
        at_risk: how many of them would be refused or not start.
        cells: by launcher of the run image.
    """

    platform: str | None
    buildpacks: tuple[str | None, ...]
    apps: int
    at_risk: int
    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        """What was recorded, in words."""
        if self.platform is None and not any(self.buildpacks):
            return "nothing recorded"
        apis = listed([shorten(api or "none", API_LIMIT) for api in self.buildpacks]) or "none"
        return f"Platform API {shorten(self.platform or 'none', API_LIMIT)}, Buildpack API {apis}"


class Matrix(NamedTuple):
    """What the apps recorded against what one run image has; those at risk first.

    Attributes:
        run_image: for one platform, if there are several.
        needs: the rows.
        hidden: how many more there are.
        counts: how many apps there are of each kind, on this platform.
        regressed: how many of them started before.
    """

    run_image: RunImage
    needs: tuple[Need, ...]
    hidden: int
    counts: dict[Kind, int]
    regressed: int


class Findings(NamedTuple):
    """All that was found out.

    Attributes:
        run_image: what was checked against.
        against: the run image compared against, "" without one.
        platform: `os/architecture`; several with commas between.
        results: those at risk first.
        unchecked: how many apps there are besides.
        bundles: launchers to add so that no app is refused for want of one, as `id@version`.
        matrices: what the fleet recorded against what the run image has: one for each of its platforms.
        version: of the metalauncher that checked.
        gate: what the run fails by.
    """

    run_image: RunImage
    against: str
    platform: str
    results: tuple[Result, ...]
    unchecked: int
    bundles: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    version: str
    gate: Gate = DEFAULT_GATE

    @property
    def needs(self) -> tuple[Need, ...]:
        """The rows of all matrices."""
        return tuple([need for matrix in self.matrices for need in matrix.needs])

    @property
    def counts(self) -> dict[Kind, int]:
        """How many results there are of each kind."""
        return _counts(self.results)

    def of(self, *kinds: Kind) -> tuple[Result, ...]:
        """Return the results of some kinds."""
        return tuple([result for result in self.results if result.kind in kinds])

    @property
    def left_alone(self) -> int:
        """How many apps would not start, or are unknown, without the run failing by them."""
        return sum([self.gate.leaves_alone(result) for result in self.results])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the run image whatever apps there are."""
        return tuple([one.warning for one in (*self.run_image.platforms, self.run_image) if one.warning])

    @property
    def unserved(self) -> dict[str, int]:
        """The platforms that apps are there for besides those of the run image, with how many of them are."""
        return dict(sorted(Counter([part.platform or "" for one in self.results for part in one.left_out]).items()))

    @property
    def owed(self) -> tuple[str, ...]:
        """Of these platforms the ones that a run image can be built for."""
        return tuple(sorted({part.platform or "" for one in self.results for part in one.owed}))

    @property
    def to_decide(self) -> tuple[Result, ...]:
        """The apps about which somebody has to decide something."""
        return tuple([result for result in self.results if self.gate.concerns(result)])

    @property
    def assuming(self) -> dict[str, int]:
        """How many verdicts rest on each assumption."""
        return dict(sorted(Counter([one for result in self.results for one in result.assumes]).items()))

    @property
    def layers_read(self) -> int:
        """How many layers were looked through, those that apps share once for each."""
        return sum([result.layers_read for result in self.results])

    @property
    def bytes_read(self) -> int:
        """How many bytes these layers have, as they are stored."""
        return sum([result.bytes_read for result in self.results])

    @property
    def own_launchers(self) -> list[Release]:
        """The launchers that apps keep, those of most apps first."""
        found: list[OwnLauncher] = []
        for result in self.results:  # of an app's platforms, each launcher once
            own = [one.own_launcher for one in result.judged if one.own_launcher is not None]
            found += {launcher.name: launcher for launcher in own}.values()
        return count_releases(found)

    @property
    def at_risk(self) -> tuple[Result, ...]:
        """The apps that would be refused or not start."""
        return tuple([result for result in self.results if result.kind in AT_RISK])

    @property
    def headline(self) -> str:
        """The whole in one sentence."""
        total, risky, unknown = len(self.results), len(self.at_risk), len(self.of("unknown"))
        of = f"{total:,} apps" if total != 1 else "1 app"
        where = " on the platforms that the run image has" if self.owed else ""
        if not total:
            return "No app was checked"
        if risky:
            kinds = {result.kind for result in self.at_risk}
            fate = "would not start or be refused" if kinds == AT_RISK else WORDS[kinds.pop()]
            return f"{f'{risky:,} of {of}' if total > 1 else 'The app'} {fate}"
        if unknown:
            whom = f"{unknown:,} of {of}" if total > 1 else "the app"
            return f"It is unknown whether {whom} would start"
        return (f"All {of} would start" if total > 1 else "The app would start") + where


def find(
    run_image: RunImage,
    results: Iterable[Result],
    *,
    against: str = "",
    platform: str = "",
    unchecked: int = 0,
    bundles: Iterable[str] = (),
    version: str = __version__,
    gate: Gate = DEFAULT_GATE,
) -> Findings:
    """Put results in order, and hold what the apps recorded against the run image's launchers."""
    ordered = tuple(sorted(results, key=_by_urgency))
    images = run_image.platforms or (run_image,)
    platforms = [image.platform for image in images]
    matrices = tuple([_matrix(ordered, image, platforms) for image in images])
    return Findings(run_image, against, platform, ordered, unchecked, tuple(bundles), matrices, version, gate)


def _matrix(results: tuple[Result, ...], run_image: RunImage, platforms: list[str]) -> Matrix:
    """Return what is to be said of one run image: of several, about the results of what would run on its platform."""
    if run_image.platform:
        judged = [one for result in results for one in result.judged]
        results = tuple([one for one in judged if under(platforms, one.platform or "") == run_image.platform])
    needs = _needs(results, run_image)
    regressed = sum([result.regressed for result in results])
    return Matrix(run_image, needs[:NEEDS_LIMIT], max(0, len(needs) - NEEDS_LIMIT), _counts(results), regressed)


def _counts(results: Iterable[Result]) -> dict[Kind, int]:
    found = Counter([result.kind for result in results])
    return {kind: found[kind] for kind in KINDS}


def _by_urgency(result: Result) -> tuple[int, bool, str]:
    return URGENCY.index(result.kind), not result.regressed, result.app


def recorded_by(result: Result) -> tuple[str | None, tuple[str | None, ...]] | None:
    """Return what an app recorded, as `Need` has it: alike for all apps alike. None where that is not known."""
    # Where it does not decide, not all that was recorded was read.
    read = result.kind in ("starts", "refused") or result.buildpacks
    if result.kind == "unknown" or not read or (result.platform_api is None and not result.buildpacks):
        return None
    return result.platform_api, tuple(sorted({api for _, api in result.buildpacks}, key=_by_age))


def _needs(results: tuple[Result, ...], run_image: RunImage) -> tuple[Need, ...]:
    apps: Counter[tuple[str | None, tuple[str | None, ...]]] = Counter()
    risky: Counter[tuple[str | None, tuple[str | None, ...]]] = Counter()
    # APIs alone don't say which launcher runs: it also has to read the file, and the app's environment may pin one.
    running: defaultdict[tuple[str | None, tuple[str | None, ...]], set[str]] = defaultdict(set)
    for result in results:
        key = recorded_by(result)
        if key is None:
            continue
        apps[key] += 1
        risky[key] += result.kind in AT_RISK
        if result.kind == "starts" and result.launcher is not None:
            running[key].add(str(result.launcher))
    found = [Need(*key, number, risky[key], _cells(*key, run_image, running[key])) for key, number in apps.items()]
    found.sort(key=lambda need: (-need.at_risk, -need.apps, _by_age(need.platform), need.buildpacks != (), need.text))
    return tuple(found)


def _by_age(text: str | None) -> tuple[int, int, str]:
    version = _parse(text)
    return (*(version or (-1, -1)), text or "")


def _parse(text: str | None) -> ApiVersion | None:
    try:
        return None if text is None else ApiVersion.parse(text)
    except ValueError:
        return None


def _cells(
    platform: str | None, buildpacks: tuple[str | None, ...], run_image: RunImage, running: Container[str]
) -> tuple[Cell, ...]:
    """Return what each launcher makes of a need, by the very rule that dispatches; `running` names those that run."""
    launchers = run_image.launchers
    keys = _UNKNOWN_KEYS.union(*[launcher.requires for launcher in launchers])
    record = Record(_parse(platform), platform or "", tuple([Buildpack("", api) for api in buildpacks]), keys, "")
    if platform is not None and record.platform_api is None:  # malformed: the dispatch ends before any launcher
        return tuple([Cell("lacks", f"Platform {shorten(platform, API_LIMIT)}") for _ in launchers])
    left_out = sift(record, Registry(launchers), Policy({})).left_out
    reasons: dict[int, Rejection] = {id(launcher): reason for launcher, reason in left_out}
    stripped = record.platform_api is None and not record.unrecorded
    broken = {id(launcher) for launcher, why in zip(launchers, run_image.obstacles, strict=False) if why is not None}
    cells = []
    for launcher in launchers:
        if repr(launcher) in running:
            cells.append(Cell("runs"))
        elif id(launcher) in broken and id(launcher) not in reasons:
            cells.append(Cell("broken"))
        elif stripped and id(launcher) not in reasons:
            cells.append(Cell("lacks", "Platform none"))
        else:
            cells.append(_cell(reasons.get(id(launcher))))
    return tuple(cells)


def _cell(reason: Rejection | None) -> Cell:
    match reason:
        case None:
            return Cell("covers")
        case OptInNotGiven():
            return Cell("opt-in")
        case PlatformNotCovered():
            return Cell("lacks", f"Platform {shorten(str(reason.api or 'default'), API_LIMIT)}")
        case BuildpackNotCovered():
            return Cell("lacks", f"Buildpack {shorten(reason.buildpack.text or 'none', API_LIMIT)}")
        case _:
            return Cell("lacks", "another")


def rank(launchers: Iterable[Launcher]) -> tuple[Launcher, ...]:
    """Return launchers, the best first."""
    return tuple(sorted(launchers, key=by_rank, reverse=True))


def describe(launcher: Launcher) -> dict[str, Json]:
    """Return a launcher's descriptor, as far as selection looks at it, as JSON."""
    table: dict[str, Json] = {
        "id": launcher.id,
        "version": launcher.version,
        "path": launcher.path,
        "priority": launcher.priority,
        "requires": list(launcher.requires),
    }
    if launcher.cannot_read:
        table["cannot-read"] = list(launcher.cannot_read)
    if launcher.opt_in_env is not None:
        table["opt-in-env"] = launcher.opt_in_env
    return {
        "launcher": table,
        "apis": {"platform": _describe_set(launcher.platform), "buildpack": _describe_set(launcher.buildpack)},
    }


def _describe_set(apis: ApiSet) -> dict[str, Json]:
    supported: Json = (
        apis.supported.text if isinstance(apis.supported, ApiRange) else [str(api) for api in apis.supported]
    )
    table: dict[str, Json] = {"supported": supported, "deprecated": [str(api) for api in apis.deprecated]}
    if apis.default is not None:
        table["default"] = str(apis.default)
    return table


def parse_launcher(document: Mapping[str, Any]) -> Launcher:
    """Return the launcher that `describe` described.

    Raises:
        ValueError: it is no descriptor.
    """
    try:
        found = parse_descriptor(dict(document), "")
    except InvalidValue as wrong:
        raise ValueError(f"{wrong.key} {wrong.reason}") from None
    if not isinstance(found, Launcher):
        raise ValueError("is a mask")  # noqa: TRY004  # a wrong document, not a wrong call
    return found
