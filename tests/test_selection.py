"""selection.py: membership, ranking, reasons and the order of checks. A case is a file of tests/data/selections.

A case names the app (`environment`, `buildpacks` as [id, api], `keys`, `oddities`, `defect`), the `launchers`, and
either `ranked`, `left_out` and `decided_by`, or the `refusal` with its facts.
"""

from __future__ import annotations

import itertools
import random
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness import DATA
from hypothesis import given
from hypothesis import strategies as st
from making import apis, decision_of, environment, launcher, minors, record, select

from metalauncher.apis import ApiSet, ApiVersion
from metalauncher.decision import Decision, decide
from metalauncher.environment import Policy, metadata_path
from metalauncher.explain.messages import decided_by, why
from metalauncher.places import Root
from metalauncher.record import Buildpack, Record, read_record
from metalauncher.refusals import PinUnsatisfied, PlatformApiNotCovered, Refused
from metalauncher.registry import Registry, load_registry
from metalauncher.selection import BuildpackNotCovered, PlatformNotCovered, Selection, why_not_platform

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher

CASES = sorted((DATA / "selections").glob("*.toml"))


def outcome_of(case: dict[str, Any]) -> dict[str, object]:
    """Return the outcome of a case in the form that its `expect` has."""
    launchers = [
        launcher(
            declared["launcher"],
            *[_apis(declared, kind) for kind in ("platform", "buildpack")],
            priority=declared.get("priority", 0),
            opt_in_env=declared.get("opt-in-env"),
            requires=tuple(declared.get("requires", ())),
            cannot_read=tuple(declared.get("cannot-read", ())),
            path=declared.get("path", ""),
            descriptor=declared.get("descriptor", ""),
        )
        for declared in case.get("launchers", [])
    ]
    variables = environment(**case.get("environment", {}))
    policy = Policy(variables)
    buildpacks = tuple(Buildpack(identifier, api or None) for identifier, api in case.get("buildpacks", []))
    keys = frozenset(case.get("keys", ["buildpacks", "processes"]))
    odd = tuple(case.get("oddities", ())), case.get("defect")
    app = Record(policy.platform_api, policy.platform_text, buildpacks, keys, "metadata.toml", *odd)
    outcome = select(app, Registry(tuple(launchers)), variables)
    if isinstance(outcome, Selection):
        return {
            "ranked": [repr(found) for found in outcome.ranked],
            "left_out": [f"{found!r}: {why(reason)}" for found, reason in outcome.left_out],
            "decided_by": decided_by(outcome),
        }
    facts = {
        name: value if isinstance(value, (str, bool)) else str(getattr(value, "id", value))
        for name, value in sorted(vars(outcome).items())
        if value is not None
    }
    if "launcher" in facts:
        facts["launcher"] = repr(vars(outcome)["launcher"])
    return {"refusal": outcome.kind, "exit_code": outcome.exit_code, **facts}


def _apis(declared: dict[str, Any], kind: str) -> ApiSet:
    return apis(declared[kind], declared.get(f"{kind}-deprecated", ""), declared.get(f"{kind}-default", ""))


def test_there_are_cases() -> None:
    """There are cases, and among them every kind of refusal that a selection can end in."""
    assert len(CASES) > 30
    kinds = {case["expect"].get("refusal") for case in map(tomllib.loads, map(Path.read_text, CASES))}
    assert kinds - {None} == {
        "no-launcher-installed",
        "platform-api-absent",
        "platform-api-not-covered",
        "buildpack-apis-not-covered",
        "metadata-key-missing",
        "metadata-unreadable",
        "pin-unsatisfied",
    }


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_case(file: Path) -> None:
    """A case's outcome is the one beside it, whatever the order of its launchers."""
    case = tomllib.loads(file.read_text())
    expected = case["expect"]
    launchers = case.get("launchers", [])
    for order in itertools.islice(itertools.permutations(launchers), 24):
        assert outcome_of({**case, "launchers": list(order)}) == expected


# Three launchers whose sets leave gaps and overlap in every way: a run, one with a hole, a range, 0.x beside 1.x.
SETS = {
    "x/run@3": (minors(7, 15), minors(7, 12)),
    "x/hole@2": ("0.3 0.4 0.7 0.9 0.14", "0.2 0.4 0.9 0.12 0.13"),
    "x/range@1": (">=0.2,<=0.8,!=0.5", "<0.6"),
    "x/new@4": ("0.19 0.20 1.2", "0.18 1.1"),
}
UNIVERSE = {f"0.{minor}" for minor in range(21)} | {"1.0", "1.1", "1.2", "1.3", "2.0"}


def _members(text: str) -> set[str]:
    """Return what a declared set holds, by enumeration: independent of ApiSet."""
    if text[0] in "<>":
        return {
            "<0.6": {f"0.{minor}" for minor in range(6)},
            ">=0.2,<=0.8,!=0.5": {f"0.{minor}" for minor in (2, 3, 4, 6, 7, 8)},
        }[text]
    return {
        version
        for version in UNIVERSE
        for entry in text.split()
        if version == entry or (entry[0] != "0" and version[0] == entry[0] and int(version[2:]) <= int(entry[2:]))
    }


def test_membership_over_every_pair() -> None:
    """Over every Platform x Buildpack pair the ranked launchers are those whose sets hold both: brute force."""
    launchers = [launcher(name, *declared) for name, declared in SETS.items()]
    registry = Registry(tuple(launchers))
    oracle = {name: tuple(_members(declared) for declared in both) for name, both in SETS.items()}
    by_version = sorted(SETS, key=lambda name: name[-1], reverse=True)
    mixed = [("0.2", "0.4"), ("0.4", "0.9"), ("0.9", "0.12"), ("0.7", "0.2"), ("0.12", "0.13"), ("0.5", "1.1"), ()]
    asked = 0
    for platform, buildpacks in itertools.product(UNIVERSE, [*((api,) for api in UNIVERSE), *mixed]):
        expected = [
            name for name in by_version if platform in oracle[name][0] and oracle[name][1].issuperset(buildpacks)
        ]
        outcome = select(record(platform, *buildpacks), registry, {})
        asked += 1
        if expected:
            assert isinstance(outcome, Selection)
            assert [found.id + "@" + found.version for found in outcome.ranked] == expected
            assert {repr(found) for found, _ in outcome.left_out} == set(SETS) - set(expected)
        else:
            assert isinstance(outcome, Refused)
            covered = any(platform in oracle[name][0] for name in SETS)
            assert outcome.exit_code == (12 if covered else 11), (platform, buildpacks)
    assert asked > 800


_minor_sets = st.sets(st.integers(0, 20), min_size=1, max_size=6)


@given(
    st.lists(st.tuples(_minor_sets, _minor_sets, st.integers(0, 2), st.integers(-1, 1)), min_size=1, max_size=5),
    st.integers(0, 20),
    st.lists(st.integers(0, 20), max_size=4),
    st.randoms(use_true_random=False),
)
def test_membership_of_any_registry(
    declared: list[tuple[set[int], set[int], int, int]], platform: int, buildpacks: list[int], order: random.Random
) -> None:
    """For any registry the first ranked is the best of those that hold every API; file order never matters."""
    launchers = [
        launcher(
            f"x/l{number}@{version}",
            " ".join(f"0.{minor}" for minor in platforms),
            " ".join(f"0.{minor}" for minor in supported),
            priority=priority,
        )
        for number, (platforms, supported, version, priority) in enumerate(declared)
    ]
    fit = [
        found
        for found, (platforms, supported, _, _) in zip(launchers, declared, strict=True)
        if platform in platforms and supported >= set(buildpacks)
    ]
    expected = [repr(f) for f in sorted(fit, key=lambda f: (-f.priority, -int(f.version), f.id))]
    order.shuffle(launchers)
    app = record(f"0.{platform}", *[f"0.{minor}" for minor in buildpacks])
    outcome = select(app, Registry(tuple(launchers)), {})
    assert ([repr(f) for f in outcome.ranked] if isinstance(outcome, Selection) else []) == expected


def test_selection_is_total() -> None:
    """Every combination of odd records, odd launchers and odd environments has an outcome, and never an exception."""
    records = [
        record(platform, *buildpacks, keys=keys)
        for platform in (None, "0.3", "0.7", "1.0", "18446744073709551615.0")
        for buildpacks in ((), (None,), ("junk",), ("0.7",), (None, "0.7"), ("0.2", "0.7"), ("0.7", "0.7"))
        for keys in (frozenset[str](), frozenset({"processes"}))
    ]
    kinds = [
        launcher("a/plain@1"),
        launcher("a/old@0.9", apis("0.3", "0.3", "0.3"), apis("0.2", "", "0.2")),
        launcher("a/half@2", apis("0.3", "", "0.3"), "0.7"),
        launcher("a/opt@3", opt_in_env="OPT", requires=("processes",)),
        launcher("a/strict@4", apis("0.7", "0.7"), apis("0.7", "0.7")),
    ]
    registries = [Registry(some) for size in range(4) for some in itertools.combinations(kinds, size)]
    environments = [
        environment(**dict(pairs))
        for size in range(4)
        for pairs in itertools.combinations(
            [("OPT", "1"), ("CNB_DEPRECATION_MODE", "error"), ("METALAUNCHER_PIN", "a/opt"), ("METALAUNCHER_PIN", "@")],
            size,
        )
    ]
    codes: set[int] = set()
    for app, registry, variables in itertools.product(records, registries, environments):
        outcome = select(app, registry, variables)
        if isinstance(outcome, Selection):
            assert outcome.ranked
            assert len(outcome.ranked) + len(outcome.left_out) == len(registry.launchers)
        else:
            codes.add(outcome.exit_code)
    assert codes == {80, 11, 12, 81}


# Conditions in the order in which the dispatch checks them: of those that hold at once the first decides.
CONDITIONS = ("malformed", "no descriptor", "platform", "metadata", "absent", "buildpack", "pin")
CODES = {"malformed": 11, "no descriptor": 80, "platform": 11, "metadata": 1, "absent": 11, "buildpack": 12, "pin": 81}
KINDS = {
    "malformed": "platform-api-malformed",
    "no descriptor": "no-launcher-installed",
    "platform": "platform-api-not-covered",
    "metadata": "metadata-unreadable",
    "absent": "platform-api-absent",
    "buildpack": "buildpack-apis-not-covered",
    "pin": "pin-unsatisfied",
}
# CNB_PLATFORM_API is one of malformed, too new, absent.
EXCLUSIVE = ({"malformed", "platform"}, {"malformed", "absent"}, {"platform", "absent"})
COMBINATIONS = [
    set(some)
    for size in range(1, len(CONDITIONS) + 1)
    for some in itertools.combinations(CONDITIONS, size)
    if not any(pair <= set(some) for pair in EXCLUSIVE)
]


@pytest.mark.parametrize("holding", COMBINATIONS, ids=lambda holding: "+".join(sorted(holding)).replace(" ", "-"))
def test_order_of_checks(holding: set[str], tmp_path: Path) -> None:
    """Of all that is wrong at once the first in the order of docs/on-call/exit-codes.md is reported."""
    directory = tmp_path / "usr/lib/cnb/launchers.d"
    directory.mkdir(parents=True)
    if "no descriptor" not in holding:
        (directory / "a.toml").write_text(
            '[launcher]\nid = "a/b"\nversion = "1"\n'
            '[apis]\nplatform.supported = ["0.7"]\nbuildpack.supported = ["0.7"]\n'
        )
    metadata = tmp_path / "config/metadata.toml"
    metadata.parent.mkdir()
    api = "9.9" if "buildpack" in holding else "0.7"
    metadata.write_text("broken" if "metadata" in holding else f'[[buildpacks]]\nid = "x/y"\napi = "{api}"\n')
    variables = environment(CNB_LAYERS_DIR=str(tmp_path))
    if "absent" not in holding:
        platform = "junk" if "malformed" in holding else "0.99" if "platform" in holding else "0.7"
        variables[b"CNB_PLATFORM_API"] = platform.encode()
    if "pin" in holding:
        variables[b"METALAUNCHER_PIN"] = b"@"
    opened: list[bool] = []

    def read(policy: Policy) -> Record:
        opened.append(True)
        return read_record(root.locate_layers(metadata_path(variables)), policy)

    root = Root(str(tmp_path).encode())
    decision: Decision = decide(variables, load_registry(root), read)
    assert not isinstance(decision.outcome, Selection)
    first = next(condition for condition in CONDITIONS if condition in holding)
    assert (decision.outcome.kind, decision.outcome.exit_code) == (KINDS[first], CODES[first])
    assert bool(opened) == (first not in ("malformed", "no descriptor", "platform"))


def test_platform_is_refused_without_the_file() -> None:
    """Whatever the Platform API alone decides is the same with and without the record."""
    registry = Registry((launcher("a/b@1", apis("0.7 0.8", "0.8"), "0.7"), launcher("a/c@1", "0.9", opt_in_env="OPT")))
    for platform, mode, opt in itertools.product(["0.7", "0.8", "0.9", "1.0"], ["quiet", "error"], ["", "1"]):
        variables = environment(CNB_DEPRECATION_MODE=mode, OPT=opt)
        app = record(platform, "0.7")
        decision = decision_of(app, registry, variables)
        alone = None if decision.record else decision.outcome
        covered = platform == "0.7" or (platform == "0.8" and mode == "quiet") or (platform == "0.9" and opt == "1")
        assert (alone is None) == covered
        if alone is not None:
            assert isinstance(alone, PlatformApiNotCovered)
            assert alone.deprecated == (platform == "0.8")
        else:
            # The record's own rejections are by the same rule: whoever is for the platform is so with the file.
            served = [
                each for each in registry.launchers if why_not_platform(app.platform_api, each, decision.policy) is None
            ]
            assert served == [
                *decision.sifted.covering,
                *[each for each, why in decision.sifted.left_out if isinstance(why, BuildpackNotCovered)],
            ]


def test_a_pin_of_any_bytes() -> None:
    """A pin that is not UTF-8 is a pin like any other: it names nothing here, and is kept as it came."""
    launchers = Registry((launcher("a/plain@9"), launcher("a/opt@1", opt_in_env="OPT")))
    for pin, text in ((b"a\xff", "a\udcff"), (b"a/plain@\xff", "a/plain@\udcff")):
        outcome = select(record("0.7"), launchers, {b"METALAUNCHER_PIN": pin})
        assert isinstance(outcome, PinUnsatisfied)
        assert outcome.pin == text
        assert (outcome.malformed is None) == ("@" not in text)


def test_a_pinned_selection_keeps_what_the_record_holds() -> None:
    """Pinned or not, a selection knows what of the record some launchers can't read."""
    app = Record(ApiVersion.parse("0.7"), "0.7", (), frozenset(), "m", ("byte-order-mark",))
    for variables in ({}, environment(METALAUNCHER_PIN="a/plain")):
        outcome = select(app, Registry((launcher("a/plain@9"),)), variables)
        assert isinstance(outcome, Selection)
        assert outcome.oddities == ("byte-order-mark",)


def test_a_rejection_is_of_what_is_not_supported() -> None:
    """Unless it is said to be supported and deprecated."""
    assert not PlatformNotCovered(ApiVersion.parse("0.7")).deprecated
    assert not BuildpackNotCovered(Buildpack("b", "0.7")).deprecated


@pytest.mark.parametrize("value", ["1", "t", "T", "true", "TRUE", "True"])
def test_opted_in(value: str) -> None:
    """What Go's strconv.ParseBool takes for true opts in, and an opted-in launcher goes first, whatever its version."""
    both = Registry((launcher("a/plain@9", priority=9), launcher("a/opt@1", opt_in_env="OPT")))
    outcome = select(record("0.7"), both, environment(OPT=value))
    assert isinstance(outcome, Selection)
    assert [repr(found) for found in outcome.ranked] == ["a/opt@1", "a/plain@9"]


@pytest.mark.parametrize("value", [None, "", "0", "false", "yes", "on", " true", "tRUE", "2"])
def test_not_opted_in(value: str | None) -> None:
    """Nothing else opts in."""
    both = Registry((launcher("a/plain@9"), launcher("a/opt@1", opt_in_env="OPT")))
    outcome = select(record("0.7"), both, environment() if value is None else environment(OPT=value))
    assert isinstance(outcome, Selection)
    assert [repr(found) for found in outcome.ranked] == ["a/plain@9"]


@pytest.mark.parametrize("mode", ["quiet", "warn", "silent", "", "ERROR", "error "])
def test_other_deprecation_modes_change_nothing(mode: str) -> None:
    """Only CNB_DEPRECATION_MODE=error, spelled so, takes deprecated APIs away (lifecycle cmd/apis.go)."""
    registry = Registry((launcher("a/b@1", apis("0.7", "0.7"), apis("0.7", "0.7")),))
    assert isinstance(select(record("0.7", "0.7"), registry, environment(CNB_DEPRECATION_MODE=mode)), Selection)
    assert not isinstance(select(record("0.7", "0.7"), registry, environment(CNB_DEPRECATION_MODE="error")), Selection)


def test_versions_rank_as_pep_440() -> None:
    """Launcher versions are compared as PEP 440 versions, not as text; a vendor's rebuild goes before its base."""
    names = ["1.0", "1.0rc1", "0.21.17+vendor.2", "0.21.17+vendor.1", "0.21.17", "0.21.9", "0.9.3", "0.9.3.dev1"]
    launchers: list[Launcher] = [launcher(f"a/b@{name}") for name in names]
    random.Random(1).shuffle(launchers)
    outcome = select(record("0.7"), Registry(tuple(launchers)), {})
    assert isinstance(outcome, Selection)
    assert [found.version for found in outcome.ranked] == names
    assert ApiVersion.parse("0.10") > ApiVersion.parse("0.9")
