"""What must be true of whatever bytes metalauncher is given: one function for each kind of input.

Each raises AssertionError for a finding. Plain Python, so that the tests replay the corpus without a fuzzer.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from packaging.version import Version

from metalauncher import __main__ as entry
from metalauncher import launch
from metalauncher.apis import ApiVersion
from metalauncher.decision import decide
from metalauncher.descriptor import Launcher
from metalauncher.environment import Policy, read_environment
from metalauncher.explain import terminal
from metalauncher.explain.messages import describe, why
from metalauncher.explain.refusal_text import refusal_lines
from metalauncher.explain.which import digest
from metalauncher.places import Root
from metalauncher.record import Buildpack, InvalidMetadata, Record, read_record
from metalauncher.refusals import MetadataUnreadable
from metalauncher.registry import InvalidDescriptor, Registry, load_registry, read_descriptor
from metalauncher.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT = Path(__file__).resolve().parent.parent
SECONDS = 5.0  # of the processor: no input of a fuzzer's size may take longer
LIMITS = ("more than the allowed", "an integer has more than")  # which the standard library's parser has not
EXIT_CODES = frozenset((0, 1, 3, 11, 12, 80, 81, 82, 83))
KINDS = {1: "metadata-unreadable", 80: "no-launcher-installed", 81: "pin-unsatisfied", 82: "nothing-executed"}
_API = re.compile(r"v?([0-9]+)\.?([0-9]*)\Z", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9.-]+(/[A-Za-z0-9.-]+)*\Z", re.ASCII)


class _Became(BaseException):
    """Raised in place of the exec."""

    def __init__(self, path: bytes) -> None:
        self.path = path


class Terminal:
    """Stands in for the descriptors that messages are written to."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        self.written: dict[int, bytes] = {1: b"", 2: b""}

    def write(self, descriptor: int, data: bytes) -> int:
        """Keep what is written."""
        self.written[descriptor] += data
        return len(data)

    def check(self) -> None:
        """Nothing raw: what is written is UTF-8, printable but for the ends of lines, and not endless."""
        for data in self.written.values():
            assert len(data) < 1 << 20, "endless"
            text = data.decode()
            assert all(c == "\n" or c.isprintable() for c in text), f"raw: {text!r}"
            assert not text or text.endswith("\n"), f"cut: {text[-80:]!r}"


class Bench:
    """A run image in a scratch directory, and a file there for the input."""

    def __init__(self) -> None:
        """Lay out the reference registry and an app."""
        folder = tempfile.mkdtemp(prefix="metalauncher-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.root = Path(folder)
        descriptors = self.root / "usr/lib/cnb/launchers.d"
        descriptors.mkdir(parents=True)
        for file in sorted((PROJECT / "launchers.d").glob("*.toml")):
            (descriptors / file.name).write_bytes(file.read_bytes())
        (descriptors / "broken\x1b[31m.toml").write_text("[launcher]\nid = ")
        self.registry = load_registry(Root(os.fsencode(folder)))
        for launcher in self.registry.launchers:
            place = self.root / launcher.path.lstrip("/")
            place.parent.mkdir(parents=True)
            place.write_text("#!/bin/sh\n")
            place.chmod(0o755)
        config = self.root / "layers/config"
        config.mkdir(parents=True)
        (config / "metadata.toml").write_text('[[buildpacks]]\nid = "acme/node"\napi = "0.9"\n')
        self.file = self.root / "input.toml"
        self._descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)

    def put(self, data: bytes) -> bytes:
        """Make `data` the file's content; return the file's path."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)
        return os.fsencode(self.file)


_bench: list[Bench] = []


def bench() -> Bench:
    """Return the scratch run image, one for a process."""
    if not _bench:
        _bench.append(Bench())
    return _bench[0]


def _reference(data: bytes) -> dict[str, Any] | None:
    """Return what the standard library reads, None where it refuses: it knows TOML 1.0 only."""
    try:
        return tomllib.loads(data.removeprefix(b"\xef\xbb\xbf").decode())
    except (ValueError, RecursionError):
        return None


def _api(text: str | None) -> tuple[int, int] | None:
    found = _API.match(text or "")
    if not found or max(len(found[1].lstrip("0")), len(found[2].lstrip("0"))) > 20:
        return None
    numbers = int(found[1].lstrip("0") or "0"), int(found[2].lstrip("0") or "0")
    return numbers if max(numbers) < 2**64 else None


def record(data: bytes) -> None:
    """Check metadata.toml: a Record that says what the file says, or InvalidMetadata with a reason."""
    path = bench().put(data)
    reference = _reference(data)
    environment = {b"CNB_PLATFORM_API": b"0.9"}
    try:
        found = read_record(path, Policy(environment))
    except InvalidMetadata as error:
        assert error.detail, "no reason"
        refused = decide(environment, bench().registry, lambda policy: read_record(path, policy))
        assert isinstance(refused.outcome, MetadataUnreadable)
        printed(refusal_lines(refused.outcome, refused))
        if reference is not None:
            assert not _is_record(reference) or any(limit in error.detail for limit in LIMITS), error.detail
        return
    for buildpack in found.buildpacks:
        assert (None if buildpack.api is None else tuple(buildpack.api)) == _api(buildpack.text), buildpack.text
    if reference is not None:
        assert found.keys == frozenset(reference)
        entries = _value(reference, "buildpacks") or []
        expected = [(_value(e, "id") or "", _value(e, "api") or None) for e in entries]
        assert [(b.id, b.text) for b in found.buildpacks] == expected
    _decided(found, bench().registry, environment)


def _value(table: dict[str, Any], name: str) -> Any:
    return table[name] if name in table else next((v for k, v in table.items() if k.casefold() == name), None)


def _is_record(document: dict[str, Any]) -> bool:
    entries = _value(document, "buildpacks")
    return entries is None or (
        isinstance(entries, list)
        and all(
            isinstance(entry, dict) and all(isinstance(_value(entry, k), str | None) for k in ("id", "api"))
            for entry in entries
        )
    )


def _decided(found: Record, registry: Registry, environment: dict[bytes, bytes]) -> Selection | None:
    """Select, twice, and say it."""
    environment = {**environment, b"CNB_PLATFORM_API": found.platform_text.encode("utf-8", "surrogateescape")}
    decision = decide(environment, registry, lambda _: found)
    outcome = decision.outcome
    backwards = Registry(tuple(reversed(registry.launchers)), registry.invalid)
    again = decide(environment, backwards, lambda _: found).outcome
    if not isinstance(outcome, Selection):
        assert type(again) is type(outcome)
        printed(refusal_lines(outcome, decision))
        return None
    assert isinstance(again, Selection)
    assert again.ranked == outcome.ranked, "the order of files decides"
    for launcher in outcome.ranked:
        assert found.platform_api is None or launcher.platform.covers(found.platform_api)
        for buildpack in found.buildpacks:
            assert found.platform_api is None or (buildpack.api and launcher.buildpack.covers(buildpack.api))
    printed([why(reason) for _, reason in outcome.left_out])
    return outcome


def printed(lines: list[str]) -> None:
    """Write lines as a message is written, and look at what comes out."""
    screen = Terminal()
    with_terminal(screen, lambda: terminal.write_message("ERROR: ", terminal.RED, lines, {}))
    screen.check()


def _load(root: Root) -> Registry:
    """Load a registry; the bench's has been loaded already."""
    return bench().registry if root.prefix == os.fsencode(bench().root) and not root.whole else load_registry(root)


def with_terminal(screen: Terminal, action: Callable[[], Any]) -> Any:
    """Run `action` with what is written going to `screen`."""
    with patch.object(terminal, "posix", SimpleNamespace(write=screen.write, isatty=lambda _: False)):
        return action()


def descriptor(data: bytes) -> None:
    """Check a descriptor: a launcher with the values of docs/reference/descriptor.md, a mask, or InvalidDescriptor."""
    path = bench().put(data)
    reference = _reference(data)
    try:
        found = read_descriptor(path, "/etc/cnb/launchers.d/x\x1b.toml")
    except InvalidDescriptor as error:
        assert error.reason, "no reason"
        assert error.file in str(error)
        printed([str(error)])
        return
    if not isinstance(found, Launcher):
        if reference is not None:
            assert reference.get("launcher") == {"masked": True}, "masked"
        return
    assert _ID.match(found.id), found.id
    assert not {"", ".", ".."} & set(found.id.split("/")), found.id
    Version(found.version)
    parts = [part for part in found.path.split("/") if part not in ("", ".")]
    assert found.path.startswith("/"), found.path
    assert parts and parts[0] != "cnb" and ".." not in parts and "\0" not in found.path, found.path
    assert -(2**63) <= found.priority < 2**63
    for apis in (found.platform, found.buildpack):
        for version in (apis.newest, apis.oldest):
            assert ApiVersion.parse(str(ApiVersion(version))) == version or version[1] < 0
        assert not apis.covers(ApiVersion((apis.newest[0] + 1, 0))), "open above"
        assert apis.default is None or apis.covers(apis.default)
    printed([describe(found)])
    if reference is not None:
        assert reference["launcher"]["id"] == found.id
        assert reference["launcher"].get("priority", 0) == found.priority
    registry = Registry((found, *bench().registry.launchers))
    assert digest(registry) == digest(Registry(registry.launchers[::-1]))
    newest = Record(found.platform.newest, "x", (Buildpack("b", str(found.buildpack.newest)),), frozenset(), "m")
    for platform in ("0.9", "0.3", "1.2"):
        app = Record(ApiVersion.parse(platform), platform, (Buildpack("b", platform),), frozenset(), "m")
        _decided(app, registry, {})
    _decided(newest, registry, {b"CNB_DEPRECATION_MODE": b"error"})
    _decided(Record(None, "", (), frozenset(), "m"), registry, {b"METALAUNCHER_PIN": found.id.encode()})


def command(data: bytes) -> None:
    """Check a command line and an environment: words parted by NUL, the environment's after an empty one.

    A documented exit code with its message, or a launcher of the registry; with `--json` a document that agrees.
    """
    words = data.split(b"\0")
    middle = words.index(b"") if b"" in words else len(words)
    arguments, variables = words[:middle], [word for word in words[middle:] if word]
    root = os.fsencode(bench().root)
    # The first of each counts: no input may choose a file to be written.
    fixed = [b"METALAUNCHER_ROOT=" + root, b"METALAUNCHER_TERMINATION_LOG="]
    environ = [*fixed, *variables, b"CNB_LAYERS_DIR=" + root + b"/layers"]
    for argv, execfn in (
        ([b"metalauncher", *arguments], b"/usr/bin/metalauncher"),
        ([b"web", *arguments], b"/cnb/process/web"),
        (arguments, b"/cnb/process/web"),
    ):
        _started(argv, environ, execfn)


def _started(argv: list[bytes], environ: list[bytes], execfn: bytes) -> None:
    screen = Terminal()
    try:
        with patch.object(launch, "load_registry", _load):
            code = with_terminal(screen, lambda: entry.start(argv, environ, execfn, _become))
    except _Became as became:
        places = {str(bench().root) + launcher.path for launcher in bench().registry.launchers}
        assert os.fsdecode(became.path) in places, became.path
        assert b"--which" not in argv[:2] or execfn != b"/usr/bin/metalauncher", "--which ran something"
        if execfn == b"/usr/bin/metalauncher":
            assert argv[1] == b"--launch"
        return
    screen.check()
    own = execfn == b"/usr/bin/metalauncher"
    assert code in EXIT_CODES, (code, screen.written)
    environment = read_environment(environ)
    is_dispatch = not own or (argv[1:2] == [b"--launch"] and code != 3)
    dry = environment.get(b"METALAUNCHER_DRYRUN", b"") if is_dispatch else b""
    assert own or code != 3, code
    assert not is_dispatch or code != 0 or dry == b"exit0", code
    assert code != 83 or dry, code
    if is_dispatch and code in (0, 83):
        assert screen.written[2], "nothing said"
        return
    stdout, stderr = screen.written[1].decode(), screen.written[2].decode()
    is_json = own and argv[1:2] == [b"--which"] and code != 3 and b"--json" in argv and stdout.startswith("{")
    if is_json:
        document = json.loads(stdout)
        assert document["exit_code"] == code
        assert (document["launcher"] is None) == (code != 0) == (document["error"] is not None)
        stderr = "\n".join(document["error"]["text"]) if document["error"] else ""
        assert not code or document["error"]["kind"] == KINDS.get(code, document["error"]["kind"])
    if code:
        first = stderr.splitlines()[0] if stderr else ""
        if is_dispatch and environment.get(b"METALAUNCHER_LOG") == b"json":
            event, refusal = [json.loads(line) for line in stderr.splitlines()]
            assert event["exit_code"] == refusal["exit_code"] == code
            first = refusal["text"][0]
        elif is_dispatch:  # what METALAUNCHER_LOG or a dry run says goes before
            first = next((line for line in stderr.splitlines() if line.startswith("ERROR: ")), first)
        assert first.startswith("ERROR: "), (code, stderr)
        assert len(first) > len("ERROR: "), code
        assert "internal error" not in first, first
    else:
        assert stdout, "nothing said"


def _become(path: bytes, skip: int) -> int:
    del skip
    raise _Became(path)


ORACLES: dict[str, Callable[[bytes], None]] = {"record": record, "descriptor": descriptor, "command": command}


def check(oracle: Callable[[bytes], None], data: bytes) -> None:
    """Apply an oracle, within bounded time."""
    started = time.process_time()
    oracle(data)
    seconds = time.process_time() - started
    assert seconds < SECONDS, f"{len(data)} bytes took {seconds:.1f} s"
