"""Refusals as people read them. A case is a file of tests/data/refusals, the whole text on stderr a `.txt` beside it.

A case's keys: `environment`; `metadata`, the file's text, absent for no file; `reference = true` for the descriptors of
launchers.d; `descriptors`, texts by file name (`/etc/NAME` for the operator's, "MASK" for a link to /dev/null);
`launchers`, what lies at the default place of ID@VERSION; `exit`; and `errno`, what the kernel says to each exec. In
the texts {root} stands for the scratch root, {version} for metalauncher's. METALAUNCHER_UPDATE=1 rewrites them,
for review.
"""

from __future__ import annotations

import os
import pty
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from harness import DATA, PROJECT, Form, Image
from making import environment, launcher, record, reference

from metalauncher import __version__
from metalauncher import refusals as errors
from metalauncher.__main__ import start
from metalauncher.decision import Decision
from metalauncher.environment import Policy
from metalauncher.execute import Failure
from metalauncher.explain.messages import span
from metalauncher.explain.refusal_text import refusal_lines
from metalauncher.explain.report import report_bug
from metalauncher.explain.terminal import printable, write_message, write_text
from metalauncher.refusals import NothingExecuted, Refused
from metalauncher.registry import Registry, load_registry
from metalauncher.selection import Sifted, sift

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher
    from metalauncher.record import Record
    from metalauncher.refusals import Refusal

CASES = sorted((DATA / "refusals").glob("*.toml"))
_VERSION = "metalauncher {version},"
SOURCE = Form("source", PROJECT / "metalauncher/__main__.py")


@dataclass
class Case:
    """A case laid out in an image."""

    definition: dict[str, Any]
    image: Image
    text: Path

    def shown(self, text: str) -> str:
        """Return what was printed, free of the scratch root and of the version."""
        return text.replace(str(self.image.root), "{root}").replace(f"metalauncher {__version__},", _VERSION)

    @property
    def environ(self) -> list[bytes]:
        """Return the environment as the kernel passes it."""
        return [os.fsencode(f"{name}={value}") for name, value in self.image.environ.items()]


def lay_out(file: Path, image: Image) -> Case:
    """Put into `image` what the case says."""
    case: dict[str, Any] = tomllib.loads(file.read_text())
    if case.get("reference"):
        image.use_registry()
    for name, text in case.get("descriptors", {}).items():
        directory = image.etc if name.startswith("/etc/") else image.usr
        directory.mkdir(parents=True, exist_ok=True)
        place = directory / Path(name).name
        place.symlink_to("/dev/null") if text == "MASK" else place.write_text(text)
    for name, text in case.get("launchers", {}).items():
        identifier, _, version = name.partition("@")
        if text == "ITSELF":
            image.install(identifier, version, "").unlink()
            (image.root / f"usr/lib/cnb/launchers/{identifier}/{version}/launcher").symlink_to(image.executable)
        else:
            image.install(identifier, version, text)
    if "metadata" in case:
        image.use_metadata(case["metadata"])
    else:
        image.environ["CNB_LAYERS_DIR"] = str(image.root / "layers")
    image.environ.update({name: value.format(root=image.root) for name, value in case.get("environment", {}).items()})
    return Case(case, image, file.with_suffix(".txt"))


@pytest.fixture(params=CASES, ids=lambda file: file.stem)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """Return each case, to be started in this process."""
    return lay_out(request.param, Image(tmp_path / "image", SOURCE))


def test_there_are_cases() -> None:
    """There are cases, with a text each, and among them every exit code of a refusal."""
    assert len(CASES) > 35
    assert [file.stem for file in CASES] == [file.stem for file in sorted(CASES[0].parent.glob("*.txt"))]
    codes = {tomllib.loads(file.read_text())["exit"] for file in CASES}
    assert codes == {kind.exit_code for kind in Refused.__subclasses__()} == {1, 11, 12, 80, 81, 82}


def test_message(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    """A refusal is the text in the file beside it, on stderr, with CNB's exit code; stdout is the app's alone."""
    link = os.fsencode(case.image.by_link())
    status = start([link], case.environ, link, lambda _path, _skip: int(case.definition["errno"]))
    out, err = capfd.readouterr()
    if os.environ.get("METALAUNCHER_UPDATE"):
        case.text.write_text(case.shown(err))
    assert case.shown(err) == case.text.read_text()
    assert (status, out) == (case.definition["exit"], "")


def test_which_says_the_same(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    """`--which` begins with the text of the dispatch, without warnings and its own commands, and has its exit code."""
    own = os.fsencode(case.image.executable)
    status = start([own, b"--which"], case.environ, own, lambda _path, _skip: 0)
    out, err = capfd.readouterr()
    said = [line for line in case.text.read_text().splitlines() if not line.startswith("Warning: ")]
    dispatch = [line for line in said if not line.endswith(" --which")]
    assert case.shown(err).splitlines()[: len(dispatch)] == dispatch
    assert (status, out) == (case.definition["exit"], "")


@pytest.mark.emulated
@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_message_of_the_form(file: Path, image: Image) -> None:
    """Either form prints that text, with that exit code."""
    case = lay_out(file, image)
    result = image.dispatch("--which", "not a flag of ours")
    assert case.shown(result.stderr) == case.text.read_text()
    assert (result.returncode, result.stdout) == (case.definition["exit"], "")


# buildpacks/lifecycle cmd/apis.go, cmd/launcher/cli/launcher.go: what people search the web for.
OWN_TEXTS = {
    "platform-malformed": "failed to parse platform API 'junk'",
    "platform-blank": "failed to get platform API version; please set 'CNB_PLATFORM_API' to specify the desired"
    " platform API version",
    "platform-too-new": "failed to set platform API: platform API version '0.99' is incompatible with the lifecycle",
    "platform-deprecated": "Platform requested deprecated API '0.4'\nERROR: Deprecated APIs are disabled by"
    " CNB_DEPRECATION_MODE=error\nERROR: failed to set platform API: platform API version '0.4' is incompatible with"
    " the lifecycle",
    "metadata-missing": "failed to read metadata: open {root}/layers/config/metadata.toml: no such file or directory",
    "buildpack-api-missing": "failed to parse buildpack API '<nil>' for buildpack 'acme/old'",
    "buildpack-api-malformed": "failed to parse buildpack API '<nil>' for buildpack 'acme/node'",
    "buildpack-too-new": "failed to set API for buildpack 'acme/node': buildpack API version '9.9' is incompatible with"
    " the lifecycle",
    "buildpack-deprecated": "buildpack 'acme/node' requests deprecated API '0.2'\nERROR: Deprecated APIs are disabled"
    " by CNB_DEPRECATION_MODE=error\nERROR: failed to set API for buildpack 'acme/node': buildpack API version '0.2' is"
    " incompatible with the lifecycle",
}


@pytest.mark.parametrize("name", OWN_TEXTS)
def test_first_line_is_cnbs(name: str) -> None:
    """Where CNB has a text, the message begins with it, to the letter."""
    text = (DATA / f"refusals/{name}.txt").read_text()
    assert text.startswith(f"ERROR: {OWN_TEXTS[name]}\n")


LABELS = ("what:", "need:", "have:", "now:", "fix:", "details:", "about:")
COMMANDS = ("kubectl ", "docker ")


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_shape(file: Path) -> None:
    """Every message has its lines in one order, says what is needed and what to do, and ends with commands to run."""
    lines = file.with_suffix(".txt").read_text().splitlines()
    while lines[0].startswith("Warning: "):
        del lines[0]
    labels = [line[2:11].strip() for line in lines if line.startswith("  ") and line[2] != " "]
    assert labels == [label for label in LABELS if label in labels]
    assert {"what:", "need:", "details:", "about:"} <= set(labels)
    assert {"now:", "fix:"} & set(labels)
    assert lines[0].startswith("ERROR: ")
    assert lines[-2][11:].startswith(COMMANDS)
    exit_code = tomllib.loads(file.read_text())["exit"]
    assert lines[-1] == f"  about:   {_VERSION} exit code {exit_code}: docs/on-call/troubleshooting.md"
    assert (PROJECT / "docs/on-call/troubleshooting.md").exists()
    assert all(line.isprintable() for line in lines)


REMEDIES = [
    (7, "fewer or shorter arguments"),
    (11, "limit of processes"),
    (12, "more memory"),
    (13, "repair the launcher"),
]


@pytest.mark.parametrize(("errno", "remedy"), REMEDIES)
def test_remedy(errno: int, remedy: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What the kernel lacks is said to be lacking: no launcher is to be repaired for it, and no other is tried."""
    reference(tmp_path)
    file = tmp_path / "layers/config/metadata.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    environ = [
        b"CNB_PLATFORM_API=0.9",
        b"METALAUNCHER_ROOT=" + bytes(tmp_path),
        b"CNB_LAYERS_DIR=" + bytes(tmp_path / "layers"),
    ]
    tried: list[bytes] = []

    def become(path: bytes, _skip: int) -> int:
        tried.append(path)
        return errno

    assert start([b"web"], environ, b"/cnb/process/web", become) == 82
    err = capfd.readouterr().err
    assert remedy in err
    # The last one's failure is the refusal's to say, and it is said once.
    assert len(tried) == err.count("Warning: ") + 1 == (2 if errno == 13 else 1)


def decision(registry: Registry, app: Record | None, refusal: Refusal) -> Decision:
    """Return a decision that ended in a refusal, be there a reason for it or not."""
    policy = Policy({})
    return Decision({}, policy, registry, app, sift(app, registry, policy) if app else Sifted(), refusal)


def test_every_refusal_has_words() -> None:
    """No kind of refusal falls through the wording."""
    some = launcher()
    app = record("0.7", None)
    refusals: list[Any] = [
        errors.PlatformApiMalformed("x"),
        errors.PlatformApiAbsent(stripped=True),
        errors.PlatformApiAbsent(stripped=False),
        errors.BuildpackApisNotCovered(some, app.buildpacks[0], deprecated=False, each_covered=False),
        errors.MetadataKeyMissing(some, "processes"),
        errors.MetadataUnreadable("/x", "y"),
        errors.NoLauncherInstalled(),
        errors.PinUnsatisfied("x@1", None),
        errors.PlatformApiNotCovered(app.platform_api or app.platform_api, "0.7", deprecated=False),  # type: ignore[arg-type]  # it is not None
        NothingExecuted((Failure(some, b"/x", "y"),)),
    ]
    assert {type(refusal) for refusal in refusals} == set(Refused.__subclasses__())
    for refusal in refusals:
        for known in (app, None):
            lines = refusal_lines(refusal, decision(Registry((some,)), known, refusal))
            assert lines[0].startswith("ERROR: ")
            assert {line[2:11].strip() for line in lines} & {"now:", "fix:"}
            assert all(line[11:].strip() for line in lines[1:] if not line.startswith("ERROR: "))


@pytest.mark.parametrize(
    ("apis", "text"),
    [
        ("0.3 0.4 0.5", "0.3 to 0.5"),
        ("0.5 0.3 0.4 0.4", "0.3 to 0.5"),
        ("0.7", "0.7"),
        ("0.3 0.5 0.6 1.0 1.2", "0.3, 0.5 to 0.6, 1.0, 1.2"),
        ("0.9 1.0", "0.9, 1.0"),
        (">=0.3,<=0.9", ">=0.3,<=0.9"),
    ],
)
def test_span(apis: str, text: str) -> None:
    """A set of APIs is written as people do, with its gaps."""
    assert span(launcher(platform=apis).platform) == text


def test_long_lists_are_cut(tmp_path: Path) -> None:
    """Of hundreds of launchers twenty are listed, the highest-ranked first, and the rest counted."""
    many: list[Launcher] = [launcher(f"a/b@{number}") for number in range(300)]
    refusal = errors.PlatformApiNotCovered(many[0].platform.newest, "0.8", deprecated=False)
    text = "\n".join(refusal_lines(refusal, decision(Registry(tuple(many)), None, refusal)))
    assert "a/b@299: " in text
    assert "a/b@280: " in text
    assert "a/b@279: " not in text
    assert "and 280 more" in text
    assert load_registry(reference(tmp_path)).launchers


def test_bug_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A bug is one line and exit code 70, never a traceback in an app's log."""
    assert report_bug(ValueError("a\nb\x1b[31m")) == 70
    assert capfd.readouterr().err == "ERROR: metalauncher: internal error: ValueError: a\\nb\\x1b[31m\n"


def test_bug_in_the_dispatch(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An exception that nobody foresaw, lack of memory among them, ends the dispatch with that line."""

    def become(_path: bytes, _skip: int) -> int:
        raise MemoryError

    reference(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/metadata.toml").touch()
    root = bytes(tmp_path)
    environ = [b"CNB_PLATFORM_API=0.9", b"METALAUNCHER_ROOT=" + root, b"CNB_LAYERS_DIR=" + root]
    assert start([], environ, b"/cnb/process/web", become) == 70
    assert capfd.readouterr().err == "ERROR: metalauncher: internal error: MemoryError: \n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 😀", "plain é 日本 😀"),
        ("\x1b[31mred\x07\r\n\t", "\\x1b[31mred\\x07\\r\\n\\t"),
        ("\x9b31m\u202e\u200b\ufeff", "\\x9b31m\\u202e\\u200b\\ufeff"),
        ("\udcff", "\\udcff"),
        ("x" * 3000, "x" * 2000 + "…"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """What could move a terminal's cursor, hide, or flood is escaped or cut."""
    assert printable(text) == shown


def on_terminal(image: Image, **variables: str) -> str:
    """Return what a dispatch prints on a terminal."""
    image.environ.update(variables)
    controller, terminal = pty.openpty()
    try:
        pid = os.posix_spawn(image.by_link(), ["web"], image.environ, file_actions=[(os.POSIX_SPAWN_DUP2, terminal, 2)])
        os.waitpid(pid, 0)
        os.close(terminal)
        parts: list[bytes] = []
        try:
            while part := os.read(controller, 65536):
                parts.append(part)
        except OSError:  # all of it was read
            pass
    finally:
        os.close(controller)
    return b"".join(parts).decode().replace("\r\n", "\n")


RED = "\x1b[31;1mERROR: \x1b[0m"


def test_colour_on_a_terminal(image: Image) -> None:
    """On a terminal the label is bold red, as launchers colour it, and nothing else is coloured."""
    text = on_terminal(image)
    assert text.startswith(f"{RED}no launcher is installed")
    assert text.count("\x1b") == 2


@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "0", False),
        ("NO_COLOR", "", True),
        ("CNB_NO_COLOR", "true", False),
        ("CNB_NO_COLOR", "1", False),
        ("CNB_NO_COLOR", "false", True),
        ("CNB_NO_COLOR", "yes", True),
    ],
)
def test_no_colour(name: str, value: str, coloured: bool, image: Image) -> None:
    """NO_COLOR set to anything, or CNB_NO_COLOR true by Go's strconv.ParseBool, takes the colour away."""
    assert on_terminal(image, **{name: value}).startswith(RED if coloured else "ERROR: ")


def test_warning_is_yellow(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Only a label at a line's beginning is coloured."""
    monkeypatch.setattr("posix.isatty", lambda _descriptor: True)
    write_message("Warning: ", "\x1b[33;1m", ["Warning: a", "b Warning: "], environment())
    assert capfd.readouterr().err == "\x1b[33;1mWarning: \x1b[0ma\nb Warning: \n"


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stderr, or one that takes little at a time, is no error."""
    write_text(987, "lost")
    written: list[bytes] = []

    def write(_descriptor: int, data: bytes) -> int:
        written.append(data[:2])
        return len(written[-1])

    monkeypatch.setattr("posix.write", write)
    write_text(2, "whole \udcff")
    assert b"".join(written) == b"whole \\udcff"


def test_a_write_of_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that takes no byte and gives no error is not asked for ever."""
    asked: list[bytes] = []

    def write(_descriptor: int, data: bytes) -> int:
        asked.append(data)
        assert len(asked) < 5
        return 3 if len(asked) == 1 else 0

    monkeypatch.setattr("metalauncher.explain.terminal.posix.write", write)
    write_text(2, "ERROR")
    assert asked == [b"ERROR", b"OR"]
