"""`metalauncher probe`: run each launcher for every API it claims and for the neighbours, and compare.

A launcher checks the Platform API first (exit 11), then each Buildpack API (exit 12), and then starts the app's
process: here Python itself, which ends at once with 0. No shell is needed, and nothing of the machine is changed.
The app's metadata.toml has the keys that the launcher's descriptor requires: without them no app reaches it.
What it reads is tried with such a file: raw control characters and so on, of which the descriptor says which it can't.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, NamedTuple

from metalauncher import __version__
from metalauncher.apis import ApiVersion
from metalauncher.errnos import errno_text
from metalauncher.execute import Itself
from metalauncher.explain.jsontext import dump
from metalauncher.explain.messages import by_rank, name_oddities
from metalauncher.explain.predict import locate
from metalauncher.explain.terminal import RED, YELLOW
from metalauncher.places import EXECUTABLE
from metalauncher.registry import load_registry
from metalauncher.toml import BOM, BYTE_ORDER_MARK, CONTROL_CHARACTERS, INVALID_UTF_8, ODDITIES, REPLACEMENT_CHARACTERS
from metalauncher.tooling.console import GREEN, Console, Unable, count, decode
from metalauncher.tooling.installed import DIRECTORIES, choose
from metalauncher.tooling.launchers.coverage import enumerate_apis

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from metalauncher.apis import ApiSet
    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root
    from metalauncher.registry import Registry

    Kind = Literal["platform", "buildpack", "reading"]
    Behaviour = Literal["accepted", "refused", "unclear"]

SCHEMA_VERSION = 1  # schemas/probe.schema.json

_REFUSALS = {"platform": 11, "buildpack": 12}
_KINDS = ("platform", "buildpack", "reading")
# What a metadata.toml of each kind holds, in a comment and in a string.
_ODD: Mapping[str, bytes] = {
    CONTROL_CHARACTERS: b"\x01\x1b\x7f",
    INVALID_UTF_8: b"caf\xe9",
    REPLACEMENT_CHARACTERS: "caf\ufffd".encode(),
    BYTE_ORDER_MARK: b"",
}
_FIRST_ARRAY_COMMAND = ApiVersion((0, 10))  # from here on metadata.toml has a process's command as an array
_FIRST_NAMED_PROCESS = ApiVersion((0, 4))  # from here on argv[0] names the process
# Top-level keys of metadata.toml whose value is no array (buildpacks/lifecycle platform/files, BuildMetadata).
_EMPTY = {"buildpack-default-process-type": '""', "launcher": "{}"}
_SAY = "its descriptor's cannot-read should have"
_SAID_LIMIT = 4096  # bytes looked at of what a launcher prints
_OUTPUT_LIMIT = 1 << 20  # bytes a launcher may print


class Trial(NamedTuple):
    """One start of a launcher.

    Attributes:
        kind: which of its two APIs is asked about, or what it reads.
        api: the version asked about; where it is asked what it reads, the Buildpack API of the app.
        claimed: whether the descriptor says that it is supported.
        platform: the Platform API of the app.
        buildpacks: the Buildpack APIs of the app.
        requires: the keys that the descriptor says metadata.toml must have.
        oddity: what the metadata.toml holds, of `toml.ODDITIES`; "" for nothing.
    """

    kind: Kind
    api: ApiVersion
    claimed: bool
    platform: ApiVersion
    buildpacks: tuple[ApiVersion, ...]
    requires: tuple[str, ...] = ()
    oddity: str = ""


class Result(NamedTuple):
    """What came of it.

    Attributes:
        trial: what was tried.
        behaviour: `accepted`, `refused`, or `unclear`: neither of both, or no answer in time.
        exit_code: None where there was none.
        said: the last line it printed, or why it could not be run.
    """

    trial: Trial
    behaviour: Behaviour
    exit_code: int | None
    said: str


class Report(NamedTuple):
    """All about one launcher.

    Attributes:
        launcher: it.
        path: what was run.
        obstacle: why it was not, or "".
        results: in the order of kinds and versions.
    """

    launcher: Launcher
    path: bytes
    obstacle: str
    results: tuple[Result, ...]

    def findings(self) -> list[tuple[Literal["error", "note"], str]]:
        """Return where claim and behaviour differ: less than claimed is an error, more is a note."""
        if self.obstacle:
            return [("error", f"can't be run: {self.obstacle}")]
        found: list[tuple[Literal["error", "note"], str]] = []
        for trial, behaviour, code, said in self.results:
            what = f"{trial.kind.capitalize()} API {trial.api}"
            if trial.oddity:
                what = f"{name_oddities([trial.oddity])} in metadata.toml"
            how = (
                f"exit code {code}" + (f": {said}" if said else "") if code is not None else said or "no answer in time"
            )
            if trial.oddity:
                if trial.claimed and behaviour != "accepted":
                    found.append(("error", f"can't read {what}, and does not say so ({how}): {_SAY} {trial.oddity!r}"))
                elif not trial.claimed and behaviour == "accepted":
                    found.append(("note", f"reads {what}, which it says it can't"))
            elif trial.claimed and behaviour == "refused":
                found.append(("error", f"claims {what}, and refuses it ({how})"))
            elif trial.claimed and behaviour == "unclear":
                found.append(("error", f"claims {what}, and fails ({how})"))
            elif not trial.claimed and behaviour == "accepted":
                found.append(("note", f"accepts {what}, which it does not claim"))
        if not any(result.behaviour == "accepted" for result in self.results if result.trial.kind == "platform"):
            found.append(("error", "accepts no Platform API at all: its Buildpack APIs could not be tried"))
        return found


def run(options: Namespace, root: Root, console: Console) -> int:
    """Probe; return 1 if some launcher accepts less than it claims, else 0.

    Raises:
        Unable: there is nothing to probe.
    """
    launchers = _chosen(options.names, load_registry(root), root, options.root)
    reports = probe(launchers, root, console, options.jobs or os.cpu_count() or 1, options.timeout)
    if options.format == "json":
        console.document(_document(reports))
    else:
        for report in reports:
            console.out(_text(report, console))
    return int(any(level == "error" for report in reports for level, _ in report.findings()))


def _chosen(names: Sequence[str], registry: Registry, root: Root, given: str | None) -> list[Launcher]:
    """Return the launchers in effect that the command line names, all where it names none, as they are ranked.

    Args:
        names: `ID` or `ID@VERSION`.
        registry: what is in effect.
        root: where it was read.
        given: the root as the command line has it.

    Raises:
        Unable: that is none. Nothing was proved then, and that is not to pass for a proof.
    """
    launchers = sorted(registry.launchers, key=by_rank, reverse=True)
    have = [f"{launcher!r} in {launcher.descriptor}" for launcher in launchers]
    where = f" --root {shlex.quote(given)}" if given is not None else ""
    command = f"metalauncher list --all{where}"
    chosen: set[tuple[str, str, str]] = set()
    for name in names:
        wanted = {(one.id, one.version, one.path) for one in [item.launcher for item in choose(root, name, command)]}
        found = wanted & {(one.id, one.version, one.path) for one in launchers}
        if not found:
            raise Unable(
                f"{name} is not in effect: the operator's descriptors override or mask it",
                need="a launcher in effect",
                have=have or ["none"],
                do="see which file does",
                command=command,
            )
        chosen |= found
    if not launchers:
        raise Unable(
            "there is no launcher to probe",
            need="a valid descriptor in " + " or ".join([decode(root.locate(place)) for place in DIRECTORIES.values()]),
            have=[
                *[f"masked: {file or 'nothing'} by {mask}" for file, mask in registry.masked],
                *[f"invalid: {bad}" for bad in registry.invalid],
            ]
            or ["none"],
            do="name the root where the launchers are with --root DIR; see what is left aside there",
            command=command,
        )
    return [one for one in launchers if not names or (one.id, one.version, one.path) in chosen]


def probe(launchers: Sequence[Launcher], root: Root, console: Console, jobs: int, timeout: float) -> list[Report]:
    """Try all launchers in parallel: first their Platform APIs, then, with one that is accepted, their Buildpack APIs.

    Args:
        launchers: to be tried.
        root: where their executables are.
        console: shows how far it has come.
        jobs: how many at a time.
        timeout: seconds for each start.
    """
    itself = Itself(root, root.locate(EXECUTABLE.encode()))
    paths = [locate(launcher, root) for launcher in launchers]
    obstacles = [_obstacle(path, itself) for path in paths]
    results: list[list[Result]] = [[] for _ in launchers]
    done, total = 0, 0
    with tempfile.TemporaryDirectory(prefix="metalauncher-probe-") as scratch, ThreadPoolExecutor(jobs) as executor:

        def try_all(trials: list[tuple[int, Trial]]) -> None:
            nonlocal done, total
            total += len(trials)
            tasks = {
                executor.submit(start, paths[number], trial, f"{scratch}/{done}-{index}", timeout): number
                for index, (number, trial) in enumerate(trials)
            }
            for task in as_completed(tasks):
                number, result = tasks[task], task.result()
                results[number].append(result)
                done += 1
                console.note(
                    "start-probed",
                    launcher=repr(launchers[number]),
                    kind=result.trial.kind,
                    api=str(result.trial.api),
                    oddity=result.trial.oddity,
                    behaviour=result.behaviour,
                    exit_code=result.exit_code,
                )
                console.progress(f"probing: {done} of {total} starts")

        numbers = [number for number, obstacle in enumerate(obstacles) if not obstacle]
        try_all([(number, trial) for number in numbers for trial in _platform_trials(launchers[number])])
        try_all(
            [(number, trial) for number in numbers for trial in _buildpack_trials(launchers[number], results[number])]
        )
        try_all(
            [(number, trial) for number in numbers for trial in _reading_trials(launchers[number], results[number])]
        )
    console.progress("")
    return [
        Report(launcher, path, obstacle, tuple(sorted(found, key=_in_order)))
        for launcher, path, obstacle, found in zip(launchers, paths, obstacles, results, strict=True)
    ]


def _in_order(result: Result) -> tuple[int, ApiVersion, str]:
    return _KINDS.index(result.trial.kind), result.trial.api, result.trial.oddity


def _obstacle(path: bytes, itself: Itself) -> str:
    if itself.is_at(path):
        return "is metalauncher itself"
    try:
        return "" if os.access(path, os.X_OK) and os.path.isfile(path) else errno_text(13 if os.stat(path) else 2)
    except OSError as error:
        return errno_text(error.errno)


def _claims(apis: ApiSet) -> list[tuple[ApiVersion, bool]]:
    """Return every version claimed, and those just outside, each with whether it is claimed."""
    claimed = enumerate_apis(apis)
    around = {ApiVersion((major, minor + step)) for major, minor in claimed for step in (-1, 1) if minor + step >= 0}
    return sorted([*[(api, True) for api in claimed], *[(api, False) for api in around - set(claimed)]])


def _platform_trials(launcher: Launcher) -> list[Trial]:
    return [Trial("platform", api, claimed, api, (), launcher.requires) for api, claimed in _claims(launcher.platform)]


def _buildpack_trials(launcher: Launcher, results: Sequence[Result]) -> list[Trial]:
    accepted = [result.trial for result in results if result.behaviour == "accepted"]
    if not accepted:
        return []
    _, platform = max([(trial.claimed, trial.api) for trial in accepted])
    return [
        Trial("buildpack", api, claimed, platform, (api,), launcher.requires)
        for api, claimed in _claims(launcher.buildpack)
    ]


def _reading_trials(launcher: Launcher, results: Sequence[Result]) -> list[Trial]:
    """Return a trial for each oddity, of an app that the launcher starts without it."""
    accepted = [
        result.trial for result in results if result.trial.kind == "buildpack" and result.behaviour == "accepted"
    ]
    if not accepted:
        return []
    *_, best = sorted(accepted, key=lambda trial: (trial.claimed, trial.api))
    return [best._replace(kind="reading", claimed=kind not in launcher.cannot_read, oddity=kind) for kind in ODDITIES]


def start(path: bytes, trial: Trial, scratch: str, timeout: float) -> Result:
    """Start the launcher at `path` once, in the directory `scratch` that is to be made."""
    os.makedirs(f"{scratch}/layers/config")
    os.mkdir(f"{scratch}/app")
    with open(f"{scratch}/layers/config/metadata.toml", "wb") as file:
        file.write(metadata(trial))
    environ = {
        "CNB_LAYERS_DIR": f"{scratch}/layers",
        "CNB_APP_DIR": f"{scratch}/app",
        "CNB_PLATFORM_API": str(trial.platform),
        "CNB_DEPRECATION_MODE": "quiet",
        "CNB_NO_COLOR": "true",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    if trial.platform < _FIRST_NAMED_PROCESS:
        environ["CNB_PROCESS_TYPE"] = "web"
    with open(f"{scratch}/output", "w+b") as output:
        try:
            process = subprocess.Popen(
                ["web"],  # noqa: S607  # argv[0] alone: `executable` is what is run
                executable=path,
                cwd=scratch,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            return Result(trial, "unclear", None, errno_text(error.errno))
        with contextlib.suppress(OSError):  # it has ended already
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_OUTPUT_LIMIT, _OUTPUT_LIMIT))
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        output.seek(0)
        said = output.read(_SAID_LIMIT).decode("utf-8", "replace").strip()
    last = said.splitlines()[-1] if said and code else ""
    return Result(trial, _behaviour(trial, code), code, last)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End whatever it started and left running, and itself."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _behaviour(trial: Trial, code: int | None) -> Behaviour:
    if code == 0:
        return "accepted"
    if trial.kind == "reading":  # which exit code says so is each launcher's own
        return "refused" if code is not None and code > 0 else "unclear"
    return "refused" if code == _REFUSALS[trial.kind] else "unclear"


def metadata(trial: Trial) -> bytes:
    """Return the app's metadata.toml, as a lifecycle of that Platform API writes it: one process, that ends at once.

    The keys that the launcher requires are there, empty where the trial has nothing to say under them.
    """
    buildpacks = [
        f'[[buildpacks]]\nid = "probe/{number}"\nversion = "1"\napi = "{api}"\n'
        for number, api in enumerate(trial.buildpacks)
    ]
    options = ["-I", "-S", "-c", "pass"]
    command: Json = [sys.executable, *options]
    arguments: list[str] = []
    if trial.platform < _FIRST_ARRAY_COMMAND:
        command, arguments = sys.executable, options
    process = f'[[processes]]\ntype = "web"\ncommand = {dump(command)}\nargs = {dump(arguments)}\ndirect = true\n'
    written = {"processes", "buildpacks"} if buildpacks else {"processes"}
    empty = [
        f"{dump(key)} = {_EMPTY.get(key.casefold(), '[]')}\n"
        for key in dict.fromkeys(trial.requires)
        if key.casefold() not in written
    ]
    # Before the tables: after one, a key would be that table's.
    text = "".join([*empty, *buildpacks, process]).encode()
    if not trial.oddity:
        return text
    held = _ODD[trial.oddity]
    head = BOM if trial.oddity == BYTE_ORDER_MARK else b""
    return head + b"# " + held + b"\n" + text + b'\n[[bom]]\nname = "' + held + b'"\n'


def _text(report: Report, console: Console) -> list[str]:
    findings = report.findings()
    apis = [result for result in report.results if result.trial.claimed and not result.trial.oddity]
    held = sum([result.behaviour == "accepted" for result in apis])
    colour = RED if any(level == "error" for level, _ in findings) else YELLOW if findings else GREEN
    head = f"{report.launcher!r}: {held} of {count(len(apis), 'claim')} proved ({decode(report.path)})"
    return [console.paint(head, colour), *[console.paint(f"  {level}: {text}", colour) for level, text in findings]]


def _document(reports: Sequence[Report]) -> dict[str, Json]:
    return {
        "schema_version": SCHEMA_VERSION,
        "metalauncher": __version__,
        "launchers": [
            {
                "id": report.launcher.id,
                "version": report.launcher.version,
                "descriptor": report.launcher.descriptor,
                "path": decode(report.path),
                "obstacle": report.obstacle or None,
                "findings": [{"level": level, "message": text} for level, text in report.findings()],
                "trials": [
                    {
                        "kind": trial.kind,
                        "api": str(trial.api),
                        "oddity": trial.oddity or None,
                        "claimed": trial.claimed,
                        "behaviour": behaviour,
                        "exit_code": code,
                        "said": said or None,
                    }
                    for trial, behaviour, code, said in report.results
                ],
            }
            for report in reports
        ],
    }
