"""What is tried of a launcher, from what its descriptor claims. Pure.

A launcher checks the Platform API first (exit 11), then each Buildpack API (exit 12), and then starts the app's
process. What it reads is tried with a metadata.toml that has raw control characters and so on, of which the descriptor
says which it can't read. The file has the keys that the descriptor requires: without them no app reaches the launcher.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.apis import ApiVersion
from metalauncher.explain.jsontext import dump
from metalauncher.toml import BOM, BYTE_ORDER_MARK, CONTROL_CHARACTERS, INVALID_UTF_8, ODDITIES, REPLACEMENT_CHARACTERS
from metalauncher.tooling.launchers.coverage import enumerate_apis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from metalauncher.apis import ApiSet
    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json

    Kind = Literal["platform", "buildpack", "reading"]
    Behaviour = Literal["accepted", "refused", "unclear"]

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
# Top-level keys of metadata.toml whose value is no array (buildpacks/lifecycle platform/files, BuildMetadata).
_EMPTY = {"buildpack-default-process-type": '""', "launcher": "{}"}


class Trial(NamedTuple):
    """One start of a launcher.

    Attributes:
        kind: which of its two APIs is asked about, or what it reads.
        api: the version asked about; where it is asked what it reads, the Buildpack API of the app.
        claimed: whether the descriptor says that it is supported.
        platform: the Platform API of the app.
        buildpacks: the Buildpack APIs of the app.
        requires: the keys that the descriptor says metadata.toml must have.
        oddity: what the metadata.toml holds, of `tomlfile.ODDITIES`; "" for nothing.
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


def _claims(apis: ApiSet) -> list[tuple[ApiVersion, bool]]:
    """Return every version claimed, and those just outside, each with whether it is claimed."""
    claimed = enumerate_apis(apis)
    around = {ApiVersion((major, minor + step)) for major, minor in claimed for step in (-1, 1) if minor + step >= 0}
    return sorted([*[(api, True) for api in claimed], *[(api, False) for api in around - set(claimed)]])


def platform_trials(launcher: Launcher) -> list[Trial]:
    """Return a trial for each Platform API claimed, and for those just outside."""
    return [Trial("platform", api, claimed, api, (), launcher.requires) for api, claimed in _claims(launcher.platform)]


def buildpack_trials(launcher: Launcher, results: Sequence[Result]) -> list[Trial]:
    """Return the same for Buildpack APIs, on a Platform API that was accepted; none if there is none."""
    accepted = [result.trial for result in results if result.behaviour == "accepted"]
    if not accepted:
        return []
    _, platform = max([(trial.claimed, trial.api) for trial in accepted])
    return [
        Trial("buildpack", api, claimed, platform, (api,), launcher.requires)
        for api, claimed in _claims(launcher.buildpack)
    ]


def reading_trials(launcher: Launcher, results: Sequence[Result]) -> list[Trial]:
    """Return a trial for each oddity, of an app that the launcher starts without it."""
    accepted = [
        result.trial for result in results if result.trial.kind == "buildpack" and result.behaviour == "accepted"
    ]
    if not accepted:
        return []
    *_, best = sorted(accepted, key=lambda trial: (trial.claimed, trial.api))
    return [best._replace(kind="reading", claimed=kind not in launcher.cannot_read, oddity=kind) for kind in ODDITIES]


def in_order(result: Result) -> tuple[int, ApiVersion, str]:
    """Return what results are sorted by: kinds, then versions."""
    return _KINDS.index(result.trial.kind), result.trial.api, result.trial.oddity


def behaviour_of(trial: Trial, code: int | None) -> Behaviour:
    """Return what an exit code says; None for no answer in time."""
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
