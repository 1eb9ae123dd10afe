"""The laws of selection, searched over generated registries, records and environments, and over both forms.

Every law is a function that raises AssertionError where it does not hold, and takes what it is about (`select`, a
parser, a loader) as an argument: so it is shown as well that each of them catches a program that breaks it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import strategies
from harness import DATA, PROJECT, REFERENCE_REGISTRY, Image, python_form, static_form
from hypothesis import given
from hypothesis import strategies as st
from making import select
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from strategies import Apis, App, Case, Declared

from metalauncher.apis import ApiSet, ApiVersion
from metalauncher.descriptor import Launcher
from metalauncher.places import Root
from metalauncher.record import Record
from metalauncher.refusals import MetadataUnreadable, NoLauncherInstalled, PinUnsatisfied, PlatformApiAbsent
from metalauncher.registry import Registry, load_registry
from metalauncher.selection import Selection

Select = Callable[[Record, Registry, Mapping[bytes, bytes]], Any]

# An independent judge: sets that are written out member by member, and `packaging` for all that PEP 440 says.
Pair = tuple[int, int]
UNIVERSE = [(major, minor) for major in range(4) for minor in (*range(16), 99)]
TRUE = ("1", "t", "T", "true", "TRUE", "True")


def pair(text: str) -> Pair | None:
    """Return an API version's numbers, None where it is none, by CNB's own regular expression."""
    found = re.fullmatch(r"v?([0-9]+)\.?([0-9]*)", text, re.ASCII)
    numbers = (int(found[1]), int(found[2] or "0")) if found and "\n" not in text else None
    return numbers if numbers and max(numbers) < 2**64 else None


@cache
def members(apis: Apis, *, strict: bool) -> set[Pair]:
    """Return every API of the universe that a launcher which declares `apis` supports."""
    if isinstance(apis.supported, str):
        wanted = SpecifierSet(apis.supported)
        supported = {(major, minor) for major, minor in UNIVERSE if f"{major}.{minor}" in wanted}
    else:
        supported = {api for text in apis.supported for api in UNIVERSE if _list_covers(pair(text), api)}
    gone = {api for text in apis.deprecated for api in UNIVERSE if (mark := pair(text)) and _list_deprecates(mark, api)}
    return supported - gone if strict else supported


def _list_covers(entry: Pair | None, api: Pair) -> bool:
    assert entry is not None
    return entry == api if entry[0] == 0 else entry[0] == api[0] and api[1] <= entry[1]


def _list_deprecates(entry: Pair, api: Pair) -> bool:
    return entry == api if entry[0] == 0 else entry[0] == api[0] and api[1] >= entry[1]


@cache
def pin_of(text: str) -> tuple[str, SpecifierSet] | str | None:
    """Return a pin's id and range, its text where it is malformed, None where there is none."""
    identifier, at, spec = text.partition("@")
    if not text:
        return None
    with suppress(InvalidVersion):
        spec = f"=={Version(spec)}"
    try:
        wanted = SpecifierSet(spec, prereleases=True)
    except InvalidSpecifier:
        return text
    return (identifier, wanted) if identifier and (wanted or not at) and "===" not in spec else text


def named_by(pin: tuple[str, SpecifierSet] | str | None, one: Declared) -> bool:
    """Tell whether the pin names a launcher."""
    return isinstance(pin, tuple) and one.id == pin[0] and _contains(pin[1], one.version)


@cache
def _contains(wanted: SpecifierSet, version: str) -> bool:
    return wanted.contains(Version(version), prereleases=True)


def covers(case: Case, one: Declared) -> bool:
    """Tell whether a launcher takes part and covers the app, pins apart from what they opt in."""
    app, variables = case.app, dict(case.environment)
    strict = variables.get("CNB_DEPRECATION_MODE") == "error"
    if (
        one.opt_in_env
        and variables.get(one.opt_in_env) not in TRUE
        and not named_by(pin_of(variables.get("METALAUNCHER_PIN", "")), one)
    ):
        return False
    platform, buildpack = members(one.platform, strict=strict), members(one.buildpack, strict=strict)
    if app.platform:
        needs = [pair(api or "") for _, api in app.buildpacks]
        fits = pair(app.platform) in platform and all(need in buildpack for need in needs)
    else:  # nothing was recorded
        fits = pair(one.platform.default) in platform
        fits = fits and (not app.buildpacks or pair(one.buildpack.default) in buildpack)
    return fits and set(one.requires) <= app.keys


def reads(one: Declared, app: App) -> bool:
    """Tell whether a launcher can read the app's metadata.toml."""
    return not set(one.cannot_read) & set(app.oddities)


def better(one: Declared, other: Declared, app: App) -> bool:
    """Tell whether `one` goes before `other` for an app, rule by rule."""
    for mine, theirs in (
        (reads(one, app), reads(other, app)),
        (one.opt_in_env is not None, other.opt_in_env is not None),
        (one.priority, other.priority),
        (Version(one.version), Version(other.version)),
    ):
        if mine != theirs:
            return bool(mine > theirs)  # type: ignore[operator]  # of one type, pair by pair
    return (one.id, one.launcher().path, one.descriptor) < (other.id, other.launcher().path, other.descriptor)


def oracle(case: Case) -> list[str] | int:  # noqa: PLR0911  # one return for each refusal
    """Return the descriptors of the ranked launchers, or the exit code."""
    app, variables = case.app, dict(case.environment)
    strict = variables.get("CNB_DEPRECATION_MODE") == "error"
    pin = pin_of(variables.get("METALAUNCHER_PIN", ""))
    if not case.declared:
        return 80
    taking_part = [
        one
        for one in case.declared
        if not one.opt_in_env or variables.get(one.opt_in_env) in TRUE or named_by(pin, one)
    ]
    if app.platform and not any(pair(app.platform) in members(one.platform, strict=strict) for one in taking_part):
        return 11
    if app.cleaned and not any(reads(one, app) for one in case.declared):
        return 1
    if not app.platform and any(api for _, api in app.buildpacks):
        return 11
    covering = [one for one in case.declared if covers(case, one)]
    if not covering:
        return 12 if app.platform else 11
    if pin is not None:
        covering = [one for one in covering if named_by(pin, one)]
    if not covering:
        return 81
    if app.cleaned and not any(reads(one, app) for one in covering):
        return 1
    return [
        one.descriptor for one in sorted(covering, key=lambda one: sum(better(other, one, app) for other in covering))
    ]


def answer(choose: Select, case: Case, declared: tuple[Declared, ...] | None = None, **instead: str) -> Any:
    """Return the outcome for a case, with other launchers or some other variables where given."""
    return choose(case.app.record(), case.registry(declared), case.variables(**instead))


def plain(outcome: Any) -> list[str] | int:
    """Return an outcome as the oracle gives it."""
    return [one.descriptor for one in outcome.ranked] if isinstance(outcome, Selection) else outcome.exit_code


def whole(outcome: Any) -> tuple[Any, ...]:
    """Return all that an outcome holds, launchers by their descriptors."""

    def facts(value: Any) -> Any:
        if isinstance(value, Launcher):
            return value.descriptor
        if isinstance(value, tuple):
            return tuple([facts(item) for item in value])
        slots = getattr(type(value), "__slots__", ())
        return (type(value).__name__, *[facts(getattr(value, slot)) for slot in slots]) if slots else value

    if isinstance(outcome, Selection):
        return facts(outcome)  # type: ignore[no-any-return]  # a Selection's facts are a tuple
    return type(outcome).__name__, *[(name, facts(value)) for name, value in sorted(vars(outcome).items())]


# The laws of `select`.


def order_decides_nothing(choose: Select, case: Case, data: st.DataObject) -> None:
    """The same files in another order give the same outcome, reasons and all."""
    other = data.draw(st.permutations(case.declared))
    assert whole(answer(choose, case, tuple(other))) == whole(answer(choose, case))


def names_decide_nothing(choose: Select, case: Case, data: st.DataObject) -> None:
    """The same files under other names give the same executables in the same order."""
    names = data.draw(st.permutations([one.descriptor for one in case.declared]))
    renamed = tuple([replace(one, descriptor=name) for one, name in zip(case.declared, names, strict=True)])
    before, after = answer(choose, case), answer(choose, case, renamed)
    assert type(before) is type(after)
    if isinstance(before, Selection):
        assert [one.path for one in before.ranked] == [one.path for one in after.ranked]


def a_stranger_changes_nothing(choose: Select, case: Case, data: st.DataObject) -> None:
    """A launcher that doesn't cover the app neither changes the ranking nor makes a selection of a refusal."""
    stranger = replace(data.draw(strategies.launchers()), descriptor=data.draw(st.sampled_from(("/a", "/e/0.toml"))))
    if covers(case, stranger):
        return
    before, after = answer(choose, case), answer(choose, case, (stranger, *case.declared))
    assert isinstance(before, Selection) == isinstance(after, Selection)
    if isinstance(before, Selection):
        assert plain(before) == plain(after)
        assert before.pin == after.pin
    elif before.exit_code in (12, 81):
        assert before.exit_code == after.exit_code


def the_selected_cover(choose: Select, case: Case, data: st.DataObject) -> None:
    """Each launcher of the ranking covers the app, and none of the others that no pin left out does."""
    del data
    outcome = answer(choose, case)
    if isinstance(outcome, Selection):
        by_name = {one.descriptor: one for one in case.declared}
        assert outcome.ranked
        assert all(covers(case, by_name[one.descriptor]) for one in outcome.ranked)
        assert sorted([*plain(outcome), *[one.descriptor for one, _ in outcome.left_out]]) == sorted(by_name)  # type: ignore[misc]  # a Selection's is a list
        if outcome.pin is None:
            assert not any(covers(case, by_name[one.descriptor]) for one, _ in outcome.left_out)


def membership_decides(choose: Select, case: Case, data: st.DataObject) -> None:
    """The ranking, or the exit code, is that of brute force over sets written out."""
    del data
    assert plain(answer(choose, case)) == oracle(case)


def the_next_follows(choose: Select, case: Case, data: st.DataObject) -> None:
    """Without the chosen launcher the next of the ranking is chosen; without the last, none.

    Of a file that is no TOML, the last that reads it is the last.
    """
    del data
    outcome = answer(choose, case)
    declared = case.declared
    readers = {one.descriptor for one in declared if reads(one, case.app)}
    while isinstance(outcome, Selection):
        ranked = plain(outcome)
        assert isinstance(ranked, list)
        declared = tuple([one for one in declared if one.descriptor != ranked[0]])
        outcome = answer(choose, case, declared)
        rest = ranked[1:] if not case.app.cleaned or readers.intersection(ranked[1:]) else []
        assert (plain(outcome) if isinstance(outcome, Selection) else []) == rest


def a_pin_is_obeyed(choose: Select, case: Case, data: st.DataObject) -> None:
    """A pin yields covering launchers that it names, all of them, or 81; it is never ignored.

    Nor does it mend a file that is no TOML, and that none of those reads.
    """
    text = data.draw(strategies.pins() | st.sampled_from(strategies.BAD_PINS))
    free = answer(choose, case, METALAUNCHER_PIN="")
    pinned = answer(choose, case, METALAUNCHER_PIN=text)
    case = replace(case, environment=(*case.environment, ("METALAUNCHER_PIN", text)))
    pin = pin_of(text)
    fit = {one.descriptor for one in case.declared if covers(case, one) and named_by(pin, one)}
    if isinstance(pinned, Selection):
        assert {one.descriptor for one in pinned.ranked} == fit
        assert pinned.pin == text
    elif isinstance(pinned, MetadataUnreadable) and isinstance(free, Selection):
        assert case.app.cleaned
        assert fit
        assert not any(reads(one, case.app) for one in case.declared if one.descriptor in fit)
    elif isinstance(free, Selection):
        assert isinstance(pinned, PinUnsatisfied)
        assert pinned.exit_code == 81
        assert not fit
        assert (pinned.malformed is None) == isinstance(pin, tuple)


Law = Callable[[Select, Case, st.DataObject], None]
LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        order_decides_nothing,
        names_decide_nothing,
        a_stranger_changes_nothing,
        the_selected_cover,
        membership_decides,
        the_next_follows,
        a_pin_is_obeyed,
    )
}


@pytest.mark.parametrize("name", LAWS)
def test_select_obeys(name: str) -> None:
    """Each law of selection holds for whatever registry, record and environment can be found."""

    @strategies.examples(200)
    @given(strategies.cases(), st.data())
    def search(case: Case, data: st.DataObject) -> None:
        LAWS[name](select, case, data)

    search()


# Programs that break a law.


def by_file_order(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Take the first file that covers."""
    outcome = select(record, registry, environment)
    if not isinstance(outcome, Selection):
        return outcome
    return Selection(tuple([one for one in registry.launchers if one in outcome.ranked]), outcome.left_out, outcome.pin)


def by_file_name(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Take the file whose name comes last."""
    outcome = select(record, registry, environment)
    if not isinstance(outcome, Selection):
        return outcome
    return Selection(tuple(sorted(outcome.ranked, key=lambda one: one.descriptor)), outcome.left_out, outcome.pin)


def newest_if_any(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Put the newest launcher first where any covers."""
    outcome = select(record, registry, environment)
    if not isinstance(outcome, Selection):
        return outcome
    newest = max(registry.launchers, key=lambda one: (one.version_key, one.descriptor))
    others = [one for one in outcome.ranked if one is not newest]
    left_out = tuple([(one, why) for one, why in outcome.left_out if one is not newest])
    return Selection((newest, *others), left_out, outcome.pin)


def best_alone(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Forget the fallbacks."""
    outcome = select(record, registry, environment)
    if not isinstance(outcome, Selection) or len(outcome.ranked) < 2:
        return outcome
    return Selection(outcome.ranked[:1], outcome.left_out, outcome.pin)


def pin_ignored(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Select freely where nothing covering is pinned."""
    outcome = select(record, registry, environment)
    if not isinstance(outcome, PinUnsatisfied):
        return outcome
    return select(record, registry, {**environment, b"METALAUNCHER_PIN": b""})


def whatever_is_read(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Forget what launchers can't read."""
    return select(
        Record(record.platform_api, record.platform_text, record.buildpacks, record.keys, record.metadata),
        registry,
        environment,
    )


def same_major(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Count any API of the same major as covered."""
    return _with_covers(
        record,
        registry,
        environment,
        lambda apis, api: isinstance(apis.supported, tuple) and any(v[0] == api[0] for v in apis.supported),
    )


def exact_only(record: Record, registry: Registry, environment: Mapping[bytes, bytes]) -> Any:
    """Leave out that an entry from 1 on covers the minors before it."""
    return _with_covers(record, registry, environment, lambda apis, api: api in apis.supported)


def _with_covers(
    record: Record,
    registry: Registry,
    environment: Mapping[bytes, bytes],
    rule: Callable[[ApiSet, ApiVersion], bool],
) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ApiSet, "covers", rule)
        return select(record, registry, environment)


BREAKS = [
    ("order_decides_nothing", by_file_order),
    ("names_decide_nothing", by_file_name),
    ("a_stranger_changes_nothing", newest_if_any),
    ("the_selected_cover", newest_if_any),
    ("the_selected_cover", same_major),
    ("membership_decides", same_major),
    ("membership_decides", exact_only),
    ("membership_decides", by_file_name),
    ("membership_decides", whatever_is_read),
    ("the_next_follows", best_alone),
    ("a_pin_is_obeyed", pin_ignored),
    ("a_pin_is_obeyed", best_alone),
]


@pytest.mark.parametrize(("name", "broken"), BREAKS, ids=[f"{law}-{broken.__name__}" for law, broken in BREAKS])
def test_a_broken_select_is_caught(name: str, broken: Select) -> None:
    """Each law catches a selection that breaks it, within a few examples more than the search makes."""

    @strategies.searching(2000)
    @given(strategies.cases(), st.data())
    def search(case: Case, data: st.DataObject) -> None:
        LAWS[name](broken, case, data)

    with pytest.raises(AssertionError):
        search()


def test_the_cases_are_of_all_kinds() -> None:
    """The generated cases select and refuse in every way that `select` can, and none is so rare that luck decides."""
    found: dict[str, int] = {}

    @strategies.searching(1000)
    @given(strategies.cases())
    def count(case: Case) -> None:
        outcome = answer(select, case)
        kind = f"{min(len(outcome.ranked), 3)} ranked" if isinstance(outcome, Selection) else outcome.kind
        found[kind] = found.get(kind, 0) + 1

    count()
    assert set(found) == {
        *("1 ranked", "2 ranked", "3 ranked", "buildpack-apis-not-covered", "metadata-key-missing"),
        "metadata-unreadable",
        *("no-launcher-installed", "pin-unsatisfied", "platform-api-absent", "platform-api-not-covered"),
    }
    assert found["2 ranked"] + found["3 ranked"] > 40, found


def test_the_laws_know_the_corners() -> None:
    """An empty registry is 80 whatever is pinned, and a stripped Platform API 11 whoever has defaults."""
    app = App("", (("bp/one", "0.7"),), frozenset(("buildpacks",)))
    one = Declared("acme/a", "1", Apis(("0.3",), default="0.3"), Apis(("0.7",), default="0.7"))
    assert isinstance(answer(select, Case((), app, (("METALAUNCHER_PIN", "@"),))), NoLauncherInstalled)
    stripped = answer(select, Case((one,), app, ()))
    assert isinstance(stripped, PlatformApiAbsent)
    assert stripped.stripped


# The law of the parser.


def what_is_written_is_read(parse: Callable[[str], ApiVersion], version: ApiVersion) -> None:
    """`parse(str(v)) == v`, and in no other spelling another version."""
    assert parse(str(version)) == version
    assert parse(f"v{version}") == version
    assert str(parse(str(version))) == str(version)
    assert parse(f"0{version[0]}.000{version[1]}") == version


any_version = st.builds(
    lambda major, minor: ApiVersion((major, minor)),
    st.integers(0, 30) | st.integers(0, 2**64 - 1),
    st.integers(0, 30) | st.integers(0, 2**64 - 1),
)


def test_what_is_written_is_read() -> None:
    """Every API version is read back from its text."""

    @strategies.examples(500)
    @given(any_version)
    def search(version: ApiVersion) -> None:
        what_is_written_is_read(ApiVersion.parse, version)

    search()


def as_a_number(text: str) -> ApiVersion:
    """Read a version as YAML or unquoted TOML would."""
    number = float(text.removeprefix("v"))
    return ApiVersion((int(number), round(number % 1 * 10 ** len(str(number).partition(".")[2]))))


def shortened(text: str) -> ApiVersion:
    """Read 18 digits of a number and no more."""
    major, _, minor = text.removeprefix("v").partition(".")
    return ApiVersion((int(major.lstrip("0")[:18] or "0"), int(minor.lstrip("0")[:18] or "0")))


@pytest.mark.parametrize("broken", [as_a_number, shortened])
def test_a_broken_parser_is_caught(broken: Callable[[str], ApiVersion]) -> None:
    """The law catches 0.10 that becomes 0.1, and digits that are lost."""

    @strategies.searching(1000)
    @given(any_version)
    def search(version: ApiVersion) -> None:
        what_is_written_is_read(broken, version)

    with pytest.raises((AssertionError, OverflowError)):
        search()


# The laws of the files.


@dataclass(frozen=True)
class Tree:
    """What lies in a run image: descriptors by name, whole or not, and what is at the launchers' places."""

    etc: tuple[tuple[str, bytes | None], ...]  # None: a link to /dev/null
    usr: tuple[tuple[str, bytes | None], ...]
    metadata: bytes | None
    case: Case
    places: tuple[str, ...]  # for each launcher: "good", "missing", "no program" or "not executable"

    def write(self, root: Path) -> None:
        """Write it below `root`, which is replaced."""
        shutil.rmtree(root, ignore_errors=True)
        for folder, files in (("etc/cnb/launchers.d", self.etc), ("usr/lib/cnb/launchers.d", self.usr)):
            directory = root / folder
            directory.mkdir(parents=True)
            for name, content in files:
                if content is None:
                    (directory / name).symlink_to("/dev/null")
                else:
                    (directory / name).write_bytes(content)
        config = root / "layers/config"
        config.mkdir(parents=True)
        if self.metadata is not None:
            (config / "metadata.toml").write_bytes(self.metadata)
        for one, state in zip(self.case.declared, self.places, strict=True):
            if state != "missing":
                strategies.write_launchers(root, (one,))
                place = root / one.launcher().path.lstrip("/")
                if state == "no program":
                    place.write_bytes(b"\x00\x01 not a program")
                elif state == "not executable":
                    place.chmod(0o644)


MASK = b"[launcher]\nmasked = true\n"
NAMES = ("a.toml", "b.toml", "c.toml", "d@1.toml", "e.toml", "\x1b[31m.toml", "caf\u00e9.toml")


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Return run images, some files of which are broken, masked, overridden, or gone."""
    case = draw(strategies.cases())
    texts = tuple([one.toml() for one in case.declared])
    usr = {name: text.encode() for name, text in zip(NAMES, texts, strict=False)}
    broken = strategies.mutated(texts or ("[launcher]",))
    etc = draw(
        st.dictionaries(
            st.sampled_from((*NAMES, ".hidden.toml", "README")), st.none() | st.just(MASK) | broken, max_size=2
        )
    )
    if usr and draw(st.integers(0, 4)) == 0:
        usr[draw(st.sampled_from(sorted(usr)))] = draw(broken)
    metadata: bytes | None = case.app.toml().encode()
    if draw(st.integers(0, 9)) == 0:
        metadata = draw(st.none() | strategies.mutated((case.app.toml(),)))
    state = st.sampled_from(("good", "good", "good", "missing", "no program", "not executable"))
    return Tree(tuple(etc.items()), tuple(usr.items()), metadata, case, tuple([draw(state) for _ in case.declared]))


Ask = Callable[[Path, dict[str, str]], list[tuple[str, int, bytes, bytes]]]


def the_forms_agree(one: Ask, other: Ask, tree: Tree, root: Path) -> None:
    """Both forms print and exit alike, byte for byte, and what `--which` names is what runs."""
    tree.write(root)
    environ = dict(tree.case.environment)
    environ |= {"METALAUNCHER_ROOT": str(root), "CNB_LAYERS_DIR": str(root / "layers")}
    if tree.case.app.platform:
        environ["CNB_PLATFORM_API"] = tree.case.app.platform
    mine, theirs = one(root, environ), other(root, environ)
    assert mine == theirs
    by_way = {way: (code, stdout, stderr) for way, code, stdout, stderr in mine}
    (which, path, _), (dispatch, ran, said) = by_way["--which"], by_way["web"]
    assert which == dispatch == json.loads(by_way["--which --json"][1])["exit_code"]
    if which == 0:
        assert ran == b"ran " + path
    else:
        assert said.startswith((b"ERROR: ", b"Warning: "))
        assert b"\x1b" not in said


def asking(executable: Path, *only: str) -> Ask:
    """Return what asks a form all three ways, or only those."""

    def ask(root: Path, environ: dict[str, str]) -> list[tuple[str, int, bytes, bytes]]:
        web = root / "cnb/process/web"
        web.parent.mkdir(parents=True, exist_ok=True)
        web.unlink(missing_ok=True)
        web.symlink_to(executable)
        answers = []
        for way, program, *options in (
            ("--which", executable, "--which"),
            ("--which --json", executable, "--which", "--json"),
            ("web", web),
        ):
            if only and way not in only:
                continue
            done = subprocess.run(
                [program, *options], env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
            )
            answers.append((way, done.returncode, done.stdout, done.stderr))
        return answers

    return ask


@pytest.fixture
def executables(tmp_path: Path) -> list[Path]:
    """Return both forms, each installed under its own name."""
    forms = (python_form(), static_form())
    for form in forms:
        if not form.executable.exists():
            message = f"{form.executable} is missing: run `make pyz static`"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return [Image(tmp_path / form.name, form).executable for form in forms]


@pytest.fixture
def forms(executables: list[Path]) -> tuple[Ask, Ask]:
    """Return what asks either form."""
    return asking(executables[0]), asking(executables[1])


def test_the_forms_agree(forms: tuple[Ask, Ask], tmp_path: Path) -> None:
    """The two forms decide alike, message for message, whatever lies in the run image."""

    @strategies.examples(60)
    @given(trees())
    def search(tree: Tree) -> None:
        the_forms_agree(*forms, tree, tmp_path / "root")

    search()


def other_wording(ask: Ask) -> Ask:
    """Return a form that words one refusal in its own way."""
    return lambda root, environ: [
        (way, code, out, err.replace(b"no such file or directory", b"No such file or directory"))
        for way, code, out, err in ask(root, environ)
    ]


def other_launcher(ask: Ask) -> Ask:
    """Return a form that knows no pins."""
    return lambda root, environ: ask(
        root, {name: value for name, value in environ.items() if name != "METALAUNCHER_PIN"}
    )


@pytest.mark.parametrize("broken", [other_wording, other_launcher])
def test_a_form_that_differs_is_caught(broken: Callable[[Ask], Ask], forms: tuple[Ask, Ask], tmp_path: Path) -> None:
    """One word that differs, or one rule that a form does not know, is found."""

    @strategies.searching(200)
    @given(trees())
    def search(tree: Tree) -> None:
        the_forms_agree(forms[1], broken(forms[1]), tree, tmp_path / "root")

    with pytest.raises(AssertionError):
        search()


def _replayed() -> list[tuple[str, bytes, bytes]]:
    """Return each case of tests/data and each file of the fuzzers' corpora: its name, a record, a descriptor."""
    app, good = b"", (REFERENCE_REGISTRY / "buildpacks_lifecycle@0.21.17.toml").read_bytes()
    records = [*sorted((DATA / "metadata").glob("*.toml")), *sorted((PROJECT / "fuzz/corpus/record").iterdir())]
    descriptors = [
        *sorted((DATA / "descriptors").glob("*/*.toml")),
        *sorted((PROJECT / "fuzz/corpus/descriptor").iterdir()),
    ]
    return [
        *[(file.name, file.read_bytes(), good) for file in records],
        *[(file.name, app, file.read_bytes()) for file in descriptors],
    ]


def test_the_forms_agree_on_every_case(executables: list[Path], tmp_path: Path) -> None:
    """Both forms say the same of every case that is kept as a file, those that fuzzing found among them."""
    root = tmp_path / "root"
    for folder in ("usr/lib/cnb/launchers.d", "layers/config"):
        (root / folder).mkdir(parents=True)
    environ = {"METALAUNCHER_ROOT": str(root), "CNB_LAYERS_DIR": str(root / "layers"), "CNB_PLATFORM_API": "0.9"}
    differ = []
    forms = [asking(executable, "--which") for executable in executables]
    for name, record, descriptor in _replayed():
        (root / "layers/config/metadata.toml").write_bytes(record)
        (root / "usr/lib/cnb/launchers.d/case.toml").write_bytes(descriptor)
        answers = [ask(root, environ) for ask in forms]
        differ += [] if answers[0] == answers[1] else [(name, *answers)]
    assert not differ


@pytest.mark.parametrize(
    "harness", ["record", "descriptor", "command", "reference", "archive", "credentials", "challenge"]
)
def test_the_corpus_passes(harness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the fuzzers found interesting still passes their oracles."""
    monkeypatch.syspath_prepend(str(PROJECT / "fuzz"))
    import image_oracles
    import oracles

    files = sorted((PROJECT / "fuzz/corpus" / harness).iterdir())
    assert files
    for file in files:
        oracles.check((oracles.ORACLES | image_oracles.ORACLES)[harness], file.read_bytes())


def files_hide_nothing(load: Callable[[Root], Registry], tree: Tree, root: Path) -> None:
    """Every file is accounted for once, and a broken one takes nothing away from the others."""
    tree.write(root)
    registry = load(Root(str(root).encode()))
    said = [
        *[one.descriptor for one in registry.launchers],
        *[broken.file for broken in registry.invalid],
        *[image for image, _ in registry.masked if image],
        *[image for image, _ in registry.overridden],
    ]
    shown = {f"{root}/{folder}/{name}" for folder, files in _folders(tree) for name, _ in files if _counts(name)}
    masks = {mask for _, mask in registry.masked}
    assert sorted([*said, *(masks - set(said))]) == sorted(shown)
    # Only what is valid, or a mask, stands in for the image's file of the same name.
    taken = {Path(other).name for _, other in (*registry.masked, *registry.overridden)}
    assert taken <= {name for name, _ in tree.etc}.union(name for name, content in tree.usr if content == MASK)
    invalid = {broken.file for broken in registry.invalid}
    assert not [image for image, other in (*registry.masked, *registry.overridden) if other in invalid and image]


def _folders(tree: Tree) -> tuple[tuple[str, tuple[tuple[str, bytes | None], ...]], ...]:
    return ("etc/cnb/launchers.d", tree.etc), ("usr/lib/cnb/launchers.d", tree.usr)


def _counts(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith(".")


def test_files_hide_nothing() -> None:
    """Every descriptor is in effect, or named with what became of it, whatever is broken."""
    with tempfile.TemporaryDirectory() as folder:

        @strategies.examples(100)
        @given(trees())
        def search(tree: Tree) -> None:
            files_hide_nothing(load_registry, tree, Path(folder) / "root")

        search()


def loses_broken_files(root: Root) -> Registry:
    """Load, and say nothing about what is invalid."""
    found = load_registry(root)
    return Registry(found.launchers, (), found.masked, found.overridden, found.directories)


def test_a_loader_that_hides_is_caught() -> None:
    """The law catches a loader that drops broken files in silence."""
    with tempfile.TemporaryDirectory() as folder:

        @strategies.searching(200)
        @given(trees())
        def search(tree: Tree) -> None:
            files_hide_nothing(loses_broken_files, tree, Path(folder) / "root")

        with pytest.raises(AssertionError):
            search()
