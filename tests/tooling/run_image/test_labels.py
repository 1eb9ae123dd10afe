"""`metalauncher labels`: what labels say of a registry, what may be concluded from them, and what is wrong in them."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bundles import MACHINE, Tool, elf, release
from fleets import stock
from harness import PROJECT
from images import Layer, Layout, base, file, folder, link, pack
from jsonschema import Draft202012Validator
from making import launcher, minors, record, reference_registry, select
from registries import start_registry

from metalauncher.registry import Registry
from metalauncher.selection import Selection
from metalauncher.tooling.launcher_json import launcher_document
from metalauncher.tooling.run_image.labels import (
    APIS,
    BUILDPACK_APIS,
    MIRRORS,
    PATH,
    PLATFORM_APIS,
    UNION,
    labels,
    parse_list,
    registry_from_labels,
)

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher

OLD = launcher("buildpacks/lifecycle@0.17.7", minors(3, 12), minors(2, 10))
NEW = launcher("buildpacks/lifecycle@0.21.17", minors(7, 15), minors(7, 12))
PLATFORM, BUILDPACK = (
    "0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.10,0.11,0.12,0.13,0.14,0.15",
    "0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.10,0.11,0.12",
)


def test_names_and_values() -> None:
    """Full lists, oldest first; the launcher's path; every value also under a name that a rebase refreshes."""
    found = labels(Registry((OLD, NEW)))
    assert list(found) == sorted(found)
    assert {name: value for name, value in found.items() if not name.endswith(".apis")} == {
        "io.buildpacks.run-image.launcher.platform-apis": PLATFORM,
        "io.buildpacks.run-image.launcher.buildpack-apis": BUILDPACK,
        "io.buildpacks.run.launcher.path": "/usr/lib/cnb/launcher",
        "io.buildpacks.base.launcher.platform-apis": PLATFORM,
        "io.buildpacks.base.launcher.buildpack-apis": BUILDPACK,
        "io.buildpacks.base.launcher.path": "/usr/lib/cnb/launcher",
    }
    assert found["io.buildpacks.base.launcher.apis"] == found["io.buildpacks.run-image.launcher.apis"]
    document = json.loads(found[APIS])
    Draft202012Validator(json.loads((PROJECT / "metalauncher/schemas/apis-label.schema.json").read_text())).validate(
        document
    )
    assert [one["version"] for one in document["launchers"]] == ["0.21.17", "0.17.7"]
    assert found[APIS] == json.dumps(document, separators=(",", ":"), sort_keys=True)


def test_order_of_descriptors_is_nothing() -> None:
    """The same registry gives the same labels, however its files were read."""
    assert labels(Registry((OLD, NEW))) == labels(Registry((NEW, OLD)))


def test_opt_in_is_no_promise() -> None:
    """A launcher that takes part by opt-in only is not in the lists; the structured label has it, and its variable."""
    rust = launcher("hone/rust@1", "0.16", "0.13", opt_in_env="CNB_RUST", requires=("processes",), priority=3)
    found = labels(Registry((OLD, NEW, rust)))
    assert (found[PLATFORM_APIS], found[BUILDPACK_APIS]) == (PLATFORM, BUILDPACK)
    (first, *_) = json.loads(found[APIS])["launchers"]
    assert (first["id"], first["opt_in_env"], first["requires"], first["priority"]) == (
        "hone/rust",
        "CNB_RUST",
        ["processes"],
        3,
    )


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        (">=0.3,<=0.12", "0.3 0.4 0.5 0.6 0.7 0.8 0.9 0.10 0.11 0.12"),
        ("<=0.4", "0.3 0.4"),  # no Platform API 0.0, 0.1 or 0.2 was ever in an image
        (">=0.7,!=0.9,<0.11", "0.7 0.8 0.10"),
        (">=0.14,<=0.20", "0.14 0.15 0.20"),  # 0.20: the descriptor itself names it
        ("1.2", "1.0 1.1 1.2"),  # CNB's rule from 1 on
        ("0.7 0.99", "0.7 0.99"),
    ],
)
def test_versions_known_to_exist(declared: str, written: str) -> None:
    """A range is written out in versions that a lifecycle had or the registry names; lists stand as they are."""
    found = labels(Registry((launcher("a@1", declared, "0.7"),)))
    assert found[PLATFORM_APIS] == ",".join(written.split())
    assert json.loads(found[APIS])["launchers"][0]["platform"]["supported"] == written.split()


def test_there_and_back() -> None:
    """From its labels the registry comes back: the same launchers, their sets, ranks and conditions."""
    registry = reference_registry()
    back = registry_from_labels(labels(registry))
    assert back is not None

    def meaning(one: Launcher) -> dict[str, object]:
        return {key: value for key, value in launcher_document(one).items() if key not in ("path", "sha256")}

    by_name = {repr(one): meaning(one) for one in registry.launchers}
    assert by_name
    assert {repr(one): meaning(one) for one in back.launchers} == by_name
    assert {one.descriptor for one in back.launchers} == {MIRRORS[APIS]}


def test_selection_from_labels_is_the_registrys() -> None:
    """Whatever an app recorded, the labels' registry chooses the launcher that the real one does."""
    registry = reference_registry()
    back = registry_from_labels(labels(registry))
    assert back is not None
    asked = 0
    for platform in range(2, 17):
        for oldest in range(1, 14):
            for newest in range(oldest, 14):
                app = record(f"0.{platform}", f"0.{oldest}", f"0.{newest}")
                ours, theirs = (select(app, one, {}) for one in (registry, back))
                assert type(ours) is type(theirs)
                if isinstance(ours, Selection) and isinstance(theirs, Selection):
                    assert repr(ours.ranked[0]) == repr(theirs.ranked[0])
                    asked += 1
    assert asked > 300


def test_lists_alone_claim_too_much() -> None:
    """From the two lists comes one launcher that is marked: it covers pairs that no launcher of the image does."""
    found = {name: value for name, value in labels(Registry((OLD, NEW))).items() if not name.endswith(".apis")}
    registry = registry_from_labels(found)
    assert registry is not None
    (union,) = registry.launchers
    assert union.id == UNION
    app = record("0.15", "0.2")
    assert isinstance(select(app, registry, {}), Selection)
    assert not isinstance(select(app, Registry((OLD, NEW)), {}), Selection)


def test_names_that_a_rebase_refreshes_go_first() -> None:
    """Of a rebased app's labels, the copies of the old run image's do not count."""
    stale, fresh = labels(Registry((OLD,))), labels(Registry((NEW,)))
    rebased = stale | {name: fresh[name] for name in MIRRORS.values()}
    registry = registry_from_labels(rebased)
    assert registry is not None
    assert [repr(one) for one in registry.launchers] == ["buildpacks/lifecycle@0.21.17"]
    for name in (APIS, MIRRORS[APIS]):
        del rebased[name]
    registry = registry_from_labels(rebased)
    assert registry is not None
    assert registry.launchers[0].platform.oldest == (0, 7)


ENTRY = {
    "id": "a/b",
    "version": "1",
    "priority": 0,
    "opt_in_env": None,
    "requires": [],
    "platform": {"supported": ["0.7"], "deprecated": [], "default": None},
    "buildpack": {"supported": ["0.7"], "deprecated": [], "default": None},
}
DAMAGED: list[object] = [
    [],
    {"launchers": []},
    {"schema_version": 2, "launchers": []},
    {"schema_version": 1, "launchers": 3},
    {"schema_version": 1, "launchers": [None]},
    *[
        {"schema_version": 1, "launchers": [ENTRY | change]}
        for change in (
            {"id": 3},
            {"version": "not one"},
            {"priority": "high"},
            {"opt_in_env": 1},
            {"requires": "processes"},
            {"platform": {"supported": [0.7], "deprecated": [], "default": None}},
            {"platform": {"supported": ["x"], "deprecated": [], "default": None}},
            {"buildpack": {"supported": ["0.7"]}},
            {"buildpack": None},
        )
    ],
]


@pytest.mark.parametrize(
    "value", [*[json.dumps(each) for each in DAMAGED], "", "{", "[" * 100_000, '"' + "x" * 300_000 + '"']
)
def test_what_can_not_be_understood(value: str) -> None:
    """A damaged or hostile label gives no registry, and no exception; the lists, if there are some, then speak."""
    assert registry_from_labels({APIS: value}) is None
    registry = registry_from_labels({APIS: value, PLATFORM_APIS: "0.7", BUILDPACK_APIS: "0.7, 0.8"})
    assert registry is not None
    assert registry.launchers[0].id == UNION


@pytest.mark.parametrize("text", ["", ",", "0.7,", "0.7 0.8", "0.7,x", "0.7," * 100_000])
def test_lists_that_are_none(text: str) -> None:
    """What is not a list of versions is nothing."""
    assert parse_list(text) == ()
    assert registry_from_labels({PLATFORM_APIS: text, BUILDPACK_APIS: "0.7"}) is None


def test_range_that_nothing_is_known_of() -> None:
    """A launcher of which no known API is covered is in the label, and claims nothing on the way back."""
    found = labels(Registry((launcher("a@1", ">0.50,<0.60", "0.7"), NEW)))
    assert json.loads(found[APIS])["launchers"][0]["platform"]["supported"] == []
    registry = registry_from_labels(found)
    assert registry is not None
    assert [repr(one) for one in registry.launchers] == [repr(NEW)]


@pytest.fixture
def installed(tool: Tool, tmp_path: Path) -> Tool:
    """Return a root with two releases installed."""
    for version in ("0.17.7", "0.21.17"):
        assert tool.on("bundle", "add", release(tmp_path, version, elf(MACHINE))).code == 0
    return tool


def test_formats(installed: Tool) -> None:
    """The same labels as JSON, as a LABEL instruction, and as arguments that a shell takes apart."""
    wanted = installed.on("labels", "--json").document["labels"]
    assert wanted == labels(Registry((OLD, NEW))) | {name: wanted[name] for name in (APIS, MIRRORS[APIS])}
    assert installed.on("labels", "--format", "json").document["labels"] == wanted
    args = installed.on("labels", "--format", "args")
    words = shlex.split(args.out)
    assert dict(word.split("=", 1) for word in words[1::2]) == wanted
    assert set(words[::2]) == {"--label"}
    text = installed.on("labels").out
    assert text.startswith("LABEL io.buildpacks.base.launcher.apis=")
    assert dict(word.split("=", 1) for word in shlex.split(text.replace("\\\n", " "))[1:]) == wanted


def test_dockerfile_quotes(installed: Tool) -> None:
    r"""What means something in a Dockerfile's quotes is escaped: `$`, `"` and `\`."""
    etc = installed.root / "etc/cnb/launchers.d"
    etc.mkdir(parents=True)
    text = (installed.root / "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml").read_text()
    text = text.replace("[launcher]\n", "[launcher]\nopt-in-env = '${A}\"\\'\n")
    (etc / "buildpacks_lifecycle@0.17.7.toml").write_text(text)
    line = installed.on("labels").out.splitlines()[0]
    assert r"\"opt_in_env\":\"\${A}\\\"\\\\\"" in line


def test_what_can_not_be_started_is_no_promise(installed: Tool) -> None:
    """A launcher without its executable is left out, and that is said; with none left there are no labels."""
    folder_ = installed.root / "usr/lib/cnb/launchers/buildpacks/lifecycle"
    (folder_ / "0.17.7/launcher").unlink()
    answer = installed.on("labels", "--json")
    assert answer.document["labels"][PLATFORM_APIS] == "0.7,0.8,0.9,0.10,0.11,0.12,0.13,0.14,0.15"
    assert "Warning: left out: buildpacks/lifecycle@0.17.7" in answer.err
    (folder_ / "0.21.17/launcher").chmod(0o644)
    answer = installed.on("labels")
    assert (answer.code, answer.out) == (3, "")
    assert "ERROR: there is no launcher to make labels of" in answer.err


def layer_of(root: Path, *, leave_out: str = "(nothing)") -> Layer:
    """Return a layer of a root's files, and of an executable as a run image has it."""
    members = [folder("usr"), folder("usr/bin"), file("usr/bin/metalauncher", elf(), 0o755)]
    members.append(link("usr/lib/cnb/launcher", "/usr/bin/metalauncher"))
    return pack(
        members
        + [
            file(str(path.relative_to(root)), path.read_bytes(), path.stat().st_mode & 0o777)
            for path in sorted(root.rglob("*"))
            if path.is_file() and leave_out not in str(path)
        ]
    )


Change = Callable[[dict[str, str]], dict[str, str]]
WRONG: dict[str, tuple[Change, str, str]] = {
    "list": (
        lambda found: found | {PLATFORM_APIS: found[PLATFORM_APIS] + ",0.16"},
        PLATFORM_APIS,
        "claims 0.16",
    ),
    "short list": (
        lambda found: found | {BUILDPACK_APIS: "0.7,0.13"},
        BUILDPACK_APIS,
        "claims 0.13 and leaves out 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9, 0.10, 0.11, 0.12",
    ),
    "no list": (lambda found: found | {PLATFORM_APIS: "all"}, PLATFORM_APIS, "is not a list of versions"),
    "structured": (
        lambda found: found | {APIS: found[APIS].replace("0.21.17", "0.21.18")},
        APIS,
        "claims buildpacks/lifecycle@0.21.18 and leaves out buildpacks/lifecycle@0.21.17",
    ),
    "box": (
        lambda found: found | {APIS: found[APIS].replace('"0.12","0.13"', '"0.12"')},
        APIS,
        "describes the same launchers differently",
    ),
    "not JSON": (lambda found: found | {APIS: "{"}, APIS, "can't be understood"),
    "mirror": (
        lambda found: {name: value for name, value in found.items() if name != MIRRORS[PATH]},
        MIRRORS[PATH],
        "is missing",
    ),
    "path": (lambda found: found | {PATH: "/cnb/lifecycle/launcher"}, PATH, "differs from what the launchers give"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_label_is_found(installed: Tool, tmp_path: Path, name: str) -> None:
    """One label edited: exit 1, and that label alone is named, with what it says and what is true."""
    change, label, difference = WRONG[name]
    true = installed.on("labels", "--json").document["labels"]
    reference = base(tmp_path / "layout", [layer_of(installed.root)], Labels=change(true))
    answer = installed("labels", "--verify", reference)
    assert answer.code == 1
    first, *values = answer.out.splitlines()
    assert first == f"{label}: {difference}"
    shown = [("says", change(true).get(label)), ("should", true[label])]
    # A kilobyte of JSON is for programs.
    assert values == [f"  {word:<7} {value}" for word, value in shown if value is not None and len(value) <= 200]
    what = "wrong" if label in change(true) else "missing"
    assert answer.err == (
        f"{reference}: 1 label {what}\n"
        f"  do:      set those of its launchers: metalauncher labels --run-image {reference} --format args\n"
    )
    document = installed("labels", "--verify", reference, "--json").document
    assert [one["label"] for one in document["mismatches"]] == [label]
    assert document["labels"] == true


def test_true_labels(installed: Tool, tmp_path: Path) -> None:
    """True labels pass, also where lists are in another order and JSON is laid out otherwise."""
    true = installed.on("labels", "--json").document["labels"]
    written = true | {
        PLATFORM_APIS: ", ".join(reversed(true[PLATFORM_APIS].split(","))),
        APIS: json.dumps(json.loads(true[APIS]), indent=1),
    }
    for name, found in (("one", true), ("other", written)):
        reference = base(tmp_path / name, [layer_of(installed.root)], Labels=found)
        answer = installed("labels", "--verify", reference)
        assert (answer.code, answer.out, answer.err) == (0, "", "the labels are correct\n")


def test_descriptor_that_is_a_link(installed: Tool, tmp_path: Path) -> None:
    """A descriptor may be a link to a file of any name: its launcher counts, as it does at dispatch."""
    true = installed.on("labels", "--json").document["labels"]
    name = "usr/lib/cnb/launchers.d/buildpacks_lifecycle@0.17.7.toml"
    moved = [
        *[folder("opt"), file("opt/old", (installed.root / name).read_bytes())],
        link(name, "../../../../opt/old"),
    ]
    layers = [layer_of(installed.root, leave_out="lifecycle@0.17.7.toml"), pack(moved)]
    reference = base(tmp_path / "layout", layers, Labels=true)
    answer = installed("labels", "--verify", reference)
    assert (answer.code, answer.out, answer.err) == (0, "", "the labels are correct\n")


def test_labels_of_what_is_not_there(installed: Tool, tmp_path: Path) -> None:
    """An executable that is not there, a link that leads nowhere, and no launchers at all make labels wrong."""
    true = installed.on("labels", "--json").document["labels"]
    reference = base(tmp_path / "a", [layer_of(installed.root, leave_out="0.17.7/launcher")], Labels=true)
    answer = installed("labels", "--verify", reference)
    assert answer.code == 1
    assert f"{PLATFORM_APIS}: claims 0.3, 0.4, 0.5, 0.6" in answer.out
    assert "left out: buildpacks/lifecycle@0.17.7" in answer.err
    hidden = pack([file("usr/bin/.wh.metalauncher", b"")])
    reference = base(tmp_path / "b", [layer_of(installed.root), hidden], Labels=true)
    answer = installed("labels", "--verify", reference)
    assert [line.partition(":")[0] for line in answer.out.splitlines()[::2]] == sorted([PATH, MIRRORS[PATH]])
    reference = base(tmp_path / "c", [pack([folder("etc")])], Labels=true)
    answer = installed("labels", "--verify", reference)
    assert answer.code == 1
    assert answer.out.count("should not be there: the image's launchers do not give it\n") == len(true)
    assert answer.err.endswith("8 labels wrong\n  do:      remove them, or add launchers\n")
    reference = base(tmp_path / "d", [pack([folder("etc")])])
    answer = installed("labels", "--verify", reference)
    assert (answer.code, answer.out) == (3, "")
    assert "the image has neither a launcher nor a label about one" in answer.err


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("oci:/nowhere", "there is no such directory"),
        ("dir:/", "is an unpacked root filesystem, without an image's config"),
        ("Debian:12", "'Debian:12'"),
        ("/run", "'/run' is a path: write oci:/run for a layout, docker-archive:/run for an archive"),
        ("./run.tar", "is a path: write oci:./run.tar for a layout, docker-archive:./run.tar for an archive"),
        ("oci:", "names no place"),
    ],
)
def test_image_that_can_not_be_read(tool: Tool, reference: str, message: str) -> None:
    """What can't be read ends with 3 and says why."""
    answer = tool("labels", "--verify", reference)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("ERROR: --verify")
    assert message in answer.err


def test_image_in_a_registry(installed: Tool, tmp_path: Path) -> None:
    """An image is verified where it is, by its name there."""
    true = installed.on("labels", "--json").document["labels"]
    base(tmp_path / "layout", [layer_of(installed.root)], Labels=true)
    storage = tmp_path / "registry"
    storage.mkdir()
    stock(storage, Layout(tmp_path / "layout"), {"acme/run:1": "base"})
    with contextlib.closing(start_registry(storage)) as registry:
        answer = installed("labels", "--verify", f"{registry.host}/acme/run:1")
        assert (answer.code, answer.out) == (0, "")
        answer = installed("labels", "--verify", f"{registry.host}/acme/run:2")
        assert answer.code == 3
        assert f"--verify {registry.host}/acme/run:2: " in answer.err
        assert "MANIFEST_UNKNOWN" in answer.err or "manifest unknown" in answer.err
