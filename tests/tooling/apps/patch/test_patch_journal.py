"""The plan in a file: taken up wherever it was cut off, and nothing an attacker writes into it is done."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metalauncher.tooling.apps.launcher_inventory import OwnLauncher
from metalauncher.tooling.apps.line_file import LINE_LIMIT
from metalauncher.tooling.apps.patch.entry import Entry, Progress, Proof, Referrer
from metalauncher.tooling.apps.patch.journal import Asked, Contents, Journal, fleet_of, open_apply, open_plan
from metalauncher.tooling.console import Unable

OLD, NEW, LAYER = ("sha256:" + letter * 64 for letter in "abc")
PROOFS = (
    Proof("inside", "", LAYER, "starts", "covers", "buildpacks/lifecycle@0.21.17", (), 2, 1),
    Proof("named", "r.io/run:1", OLD, "starts", "covers", "buildpacks/lifecycle@0.21.17", ("labels",), 1, 0, "r"),
)
OWN = OwnLauncher("0.17.7", "go1.26", "m", "ldflags", "/cnb/lifecycle/launcher", LAYER, OLD, 5, ("n",))
PLANNED = Entry(
    "r.io/a:1",
    "planned",
    target="r.io/a:1-x",
    digest=OLD,
    new_digest=NEW,
    platform="linux/amd64",
    before="keeps-own-launcher",
    proofs=PROOFS,
    launcher=OWN,
    launcher_layer=LAYER,
    upload=5,
    kept=3,
    kept_bytes=9,
    referrers=(Referrer(OLD, "signature"),),
    referrers_unknown="no answer",
    label_hosts=("other.io",),
)
REFUSED = Entry("r.io/b:1", "refused", "unknown", "é\n\u2028", "do", "ls", "r.io/b:1-x", OLD)
FAILED = Entry("r.io/c:1", "failed", "unreachable", "no answer", "", "", "r.io/c:1-x", status=503)
ENTRIES = {entry.app: entry for entry in (PLANNED, REFUSED, FAILED)}
WRITTEN = Progress("r.io/a:1", "written", digest=NEW, sent=5, proofs=PROOFS)
ASKED = Asked("shim", "{repository}:{tag}-x", (LAYER,), False, "linux/arm64", 3, fleet_of(ENTRIES))


USES = ("plan", "apply")


def _use(use: str, file: Path) -> tuple[Journal, Contents]:
    return open_plan(str(file), ASKED, ENTRIES) if use == "plan" else open_apply(str(file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the journal of a plan that was applied in part."""
    path = tmp_path / "journal.jsonl"
    journal, found = open_plan(str(path), ASKED, ENTRIES)
    assert found == Contents(ASKED, {}, {})
    for entry in ENTRIES.values():
        journal.plan(entry)
    journal.apply(Progress("r.io/a:1", "failed", "unreachable", "no answer"))
    journal.apply(WRITTEN)
    journal.close()
    return path


def test_there_and_back(file: Path) -> None:
    """All is as it was, for the plan and for what applies it; the file is for its owner alone."""
    whole = file.read_bytes()
    for journal, found in map(_use, USES, [file] * 2):
        journal.close()
        assert found == Contents(ASKED, ENTRIES, {"r.io/a:1": WRITTEN})
    assert file.read_bytes() == whole
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_failed_is_planned_again(file: Path) -> None:
    """The last plan of such an app counts."""
    again = FAILED._replace(decision="left-alone", code="x")
    journal, _ = open_plan(str(file), ASKED, ENTRIES)
    journal.plan(again)
    journal.close()
    journal, found = open_apply(str(file))
    journal.close()
    assert found.entries[FAILED.app] == again


def test_cut_off_anywhere(file: Path) -> None:
    """Wherever it was cut off, what is whole is taken over, and going on makes it whole again."""
    whole = file.read_bytes()
    for length in range(0, len(whole), 11):
        file.write_bytes(whole[:length])
        journal, found = open_plan(str(file), ASKED, ENTRIES)
        lines = whole[:length].count(b"\n")
        assert list(found.entries) == list(ENTRIES)[: max(0, lines - 1)]
        for app, entry in ENTRIES.items():
            if app not in found.entries:
                journal.plan(entry)
        for progress in (Progress("r.io/a:1", "failed", "unreachable", "no answer"), WRITTEN)[max(0, lines - 4) :]:
            journal.apply(progress)
        journal.close()
        assert file.read_bytes() == whole


def test_a_plan_that_is_not_finished_is_not_applied(file: Path) -> None:
    """What was reviewed is the whole plan."""
    lines = file.read_bytes().splitlines(keepends=True)
    for number in (1, 2, 3):
        file.write_bytes(b"".join(lines[:number]))
        with pytest.raises(Unable, match=f"the plan is not finished: {4 - number} app"):
            open_apply(str(file))


def test_one_run_at_a_time(file: Path) -> None:
    """Another run that has it open keeps everybody else away."""
    with file.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for use in USES:
            with pytest.raises(Unable, match="another run is writing to it"):
                _use(use, file)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"launcher": "symlink"}, "with another --launcher: shim"),
        ({"to": "{repository}:{tag}-y"}, "with another --to: {repository}:{tag}-x"),
        ({"must_match": ()}, f"with another --must-match-sha: ('{LAYER}',)"),
        ({"force": True}, "with another --force: False"),
        ({"platform": None}, "with another --platform: linux/arm64"),
        ({"apps": 4}, "with another number of apps: 3"),
        ({"fleet": fleet_of(["r.io/z:1"])}, "with another list of apps: "),
        ({"metalauncher": "9"}, "with another version of metalauncher: "),
    ],
)
def test_another_plan(change: dict[str, Any], what: str, file: Path) -> None:
    """A journal is of one plan: with any other option it is left as it is."""
    whole = file.read_bytes()
    with pytest.raises(Unable) as refused:
        open_plan(str(file), ASKED._replace(**change), ENTRIES)
    assert f"is the journal of another plan, {what}" in refused.value.headline
    assert file.read_bytes() == whole


def test_another_version_does_not_apply_it(file: Path) -> None:
    """It may write other bytes."""
    file.write_text(file.read_text().replace(f'"metalauncher": "{ASKED.metalauncher}"', '"metalauncher": "0.0.1"'))
    with pytest.raises(Unable, match=r"was planned by metalauncher 0\.0\.1"):
        open_apply(str(file))


def _others_may_write(file: Path) -> None:
    file.chmod(0o622)


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _stranger(file: Path) -> None:
    os.chown(file, 12345, 12345)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_others_may_write, "others may write to it"),
        (_stranger, "belongs to somebody else"),
        (_link, "is a link, which is not followed here"),
        (_fifo, "is not a regular file"),
        (_folder, "is a directory"),
    ],
)
def test_no_file_of_ones_own(change: Callable[[Path], None], what: str, file: Path) -> None:
    """What others may change is refused: it says where images are written to."""
    if change is _stranger and os.geteuid():
        pytest.skip("only root gives files away")
    change(file)
    for use in USES:
        with pytest.raises(Unable) as refused:
            _use(use, file)
        assert what in refused.value.headline


def test_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    """What is named by mistake is not cut, and whoever could read it can do so still."""
    for text in ("precious", "precious\n", "{}\n", '{"schema_version": 2'):
        path = tmp_path / "precious"
        path.write_text(text)
        path.chmod(0o644)
        for use in USES:
            with pytest.raises(Unable):
                _use(use, path)
            assert (path.read_text(), path.stat().st_mode & 0o777) == (text, 0o644)
    with pytest.raises(Unable, match="no such file"):
        open_apply(str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


ENTRY: tuple[str | int, ...] = (1, "entry")
# By where in the journal's lines something else stands, and what; and what is said of it.
ATTACKS: dict[tuple[str | int, ...], list[tuple[Any, str]]] = {
    (1, "entry", "target"): [
        ("evil.example.com/a:1-x", "has another target for r.io/a:1 than its template: evil.example.com/a:1-x"),
        ("r.io/a:1", "has another target"),
        ("r.io/a:1-x ", "has another target"),
        (None, "target is not a string"),
    ],
    (1, "entry", "app"): [
        ("evil.example.com/a:1", "has another target for evil.example.com/a:1 than its template"),
        ("oci:/etc", "is in no registry"),
        ("dir:/", "is in no registry"),
        ("r.io/b:1", "plans r.io/b:1 again"),
        ("", "names no image"),
        (7, "app is not a string"),
    ],
    (0, "asked", "to"): [
        ("evil.example.com/{repository}:{tag}", "has another target"),
        ("{repository}:{tag}", "would be overwritten"),
        ("{repository}:{x}", "another brace"),
        ("r.io/one:x", "have one target"),
        ("", "is empty"),
    ],
    (0, "asked", "launcher"): [("binary", "launcher is 'binary', not one of shim, symlink")],
    (0, "asked", "must_match"): [(["sha256:x"], "is not a digest"), ("x", "must_match is not an array")],
    (0, "asked", "force"): [(1, "force is not a boolean"), ("true", "force is not a boolean")],
    (0, "asked", "apps"): [
        (10**400, "64 bits"),
        (-1, "a negative number"),
        (2, "plans more than 2 apps"),
        (True, "not an integer"),
    ],
    (0, "asked", "fleet"): [(OLD, "its apps are not those that were planned"), (5, "is not a digest")],
    (0, "asked", "platform"): [("x", "is not a platform")],
    (0, "asked", "more"): [(1, "what was asked has 'more'")],
    (0, "schema_version"): [(2, "schema version 1"), (True, "schema version 1"), ("1", "schema version 1")],
    (0, "kind"): [("check", "is not of the kind 'patch'")],
    (1, "kind"): [("other", "is not of the kind 'patch'")],
    (1, "more"): [(1, "has other keys than a line of a journal")],
    (1, "entry", "more"): [(1, "the entry has 'more'")],
    (1, "entry", "digest"): [(None, "is planned without its digests"), ("../../x", "is not a digest")],
    (1, "entry", "new_digest"): [
        (None, "is planned without its digests"),
        (OLD, "was written otherwise than planned"),
    ],
    (1, "entry", "code"): [("x", "is planned, and its code is 'x'")],
    (1, "entry", "decision"): [("write", "decision is 'write'"), ("refused", "is refused, and its code is ''")],
    (2, "entry", "decision"): [("planned", "is planned without its digests")],
    (1, "entry", "proofs"): [([], "is planned without its proofs"), ({}, "proofs is not an array")],
    (1, "entry", "proofs", 0, "kind"): [("fine", "kind is 'fine'")],
    (1, "entry", "proofs", 0, "digest"): [(None, "digest is null")],
    (1, "entry", "proofs", 0, "remedy"): [(None, "remedy is not a string")],
    (1, "entry", "proofs", 0, "over"): [("named", "is planned without its proofs")],
    (1, "entry", "kept"): [(1.5, "kept is 1.5, not an integer"), (-1, "a negative number")],
    (1, "entry", "kept_bytes"): [(1 << 63, "kept_bytes is a number of more than 64 bits"), (10**400, "64 bits")],
    (1, "entry", "launcher", "size"): [(10**400, "size is a number of more than 64 bits")],
    (1, "entry", "launcher"): [({}, "the launcher has no ")],
    (1, "entry", "referrers"): [([{"digest": "x", "artifact_type": "y"}], "is not a digest")],
    (1, "entry", "label_hosts"): [("x", "label_hosts is not an array"), ([1], "label_hosts is not a string")],
    (1, "entry", "referrers_unknown"): [(None, "referrers_unknown is not a string")],
    (5, "progress", "app"): [("r.io/b:1", "is about r.io/b:1, which is not planned"), ("r.io/z:1", "not planned")],
    (5, "progress", "digest"): [(OLD, "was written otherwise than planned"), (None, "says another thing")],
    (5, "progress", "state"): [("failed", "says another thing"), ("done", "state is 'done'")],
    (5, "progress", "code"): [("x", "says another thing")],
    (5, "progress", "status"): [("413", "status is '413', not an integer")],
}


@pytest.mark.parametrize(
    ("place", "value", "what"), [(place, *case) for place, cases in ATTACKS.items() for case in cases]
)
def test_attacks(place: tuple[str | int, ...], value: Any, what: str, file: Path) -> None:
    """Whatever stands where it should not: refused as a whole, and the file left as it is."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    table: Any = lines
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    lines = lines[:4] if place[-1] == "app" and place[1] == "entry" else lines  # else it is the progress that is odd
    file.write_text("".join([json.dumps(line) + "\n" for line in lines]))
    before = file.read_bytes()
    with pytest.raises(Unable) as refused:
        open_apply(str(file))
    assert what in "\n".join(refused.value.lines())
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{\n", "is not JSON"),
        (b"[]\n", "is not an object"),
        (b"\xff\n", "is not JSON"),
        (b"\n", "is not JSON"),
        (b"[" * 200_000 + b"\n", "nested too deep"),
        (b'{"schema_version": 1, "kind": "patch", "kind": "patch", "entry": {}}\n', "has a key twice"),
        (b'{"schema_version": 1, "kind": "patch", "entry": {"app": NaN}}\n', "has NaN, which is not JSON"),
        (b'{"schema_version": 1, "kind": "patch"}\n', "has other keys than a line of a journal"),
        (b'{"schema_version": 1, "kind": "patch", "entry": {}, "progress": {}}\n', "has other keys"),
        (b"x" * (LINE_LIMIT + 1), "line 7 is longer than 1 MiB"),
    ],
)
def test_lines_that_are_none(line: bytes, what: str, file: Path) -> None:
    """No other line is passed over."""
    file.write_bytes(file.read_bytes() + line)
    with pytest.raises(Unable) as refused:
        open_apply(str(file))
    assert f"line 7 {what}" in refused.value.headline or what in refused.value.headline


def test_lines_in_another_order(file: Path) -> None:
    """The question comes first, and once; an app is planned once, before anything becomes of it."""
    first, *rest = file.read_bytes().splitlines(keepends=True)
    for lines, what in (
        (rest, "line 1 does not say what was asked"),
        ([first, first, *rest], "line 2 says again what was asked"),
        ([first, rest[0], *rest], "line 3 plans r.io/a:1 again"),
        ([first, *rest, rest[2]], ""),  # it failed: it may be planned again
        ([first, rest[4], *rest], "line 2 is about r.io/a:1, which is not planned"),
    ):
        file.write_bytes(b"".join(lines))
        if what:
            with pytest.raises(Unable) as refused:
                open_apply(str(file))
            assert what in refused.value.headline
        else:
            open_apply(str(file))[0].close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_change_is_harmless(data: st.DataObject, file: Path) -> None:
    """Bytes changed at random: refused, or nothing is to be written elsewhere than the template says."""
    path = file.with_name("changed")
    if path.exists():
        path.unlink()
    whole = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    path.chmod(0o600)
    try:
        journal, found = open_apply(str(path))
    except Unable:
        return
    journal.close()
    for entry in found.entries.values():
        repository, _, tag = entry.app.rpartition(":")
        put = found.asked.to.replace("{repository}", repository).replace("{tag}", tag)
        assert entry.target.lower() == put.lower()
