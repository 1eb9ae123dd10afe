"""Start launchers once for each trial, several at a time, in a scratch directory.

The app's process is Python itself, which ends at once with 0: no shell is needed, and nothing of the machine is
changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from metalauncher.apis import ApiVersion
from metalauncher.errnos import errno_text
from metalauncher.execute import Itself
from metalauncher.explain.predict import locate
from metalauncher.places import EXECUTABLE
from metalauncher.tooling.architectures import this_architecture
from metalauncher.tooling.elf import HEAD, inspect
from metalauncher.tooling.launchers.probe.report import Report
from metalauncher.tooling.launchers.probe.trials import (
    Result,
    Trial,
    behaviour_of,
    buildpack_trials,
    in_order,
    metadata,
    platform_trials,
    reading_trials,
)
from metalauncher.tooling.reading import ReadError, open_regular

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalauncher.descriptor import Launcher
    from metalauncher.places import Root
    from metalauncher.tooling.console import Console

_FIRST_NAMED_PROCESS = ApiVersion((0, 4))  # from here on argv[0] names the process
_SAID_LIMIT = 4096  # bytes looked at of what a launcher prints
_OUTPUT_LIMIT = 1 << 20  # bytes a launcher may print


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
        try_all([(number, trial) for number in numbers for trial in platform_trials(launchers[number])])
        for number in numbers:
            obstacles[number] = _foreign(paths[number], results[number])
        numbers = [number for number in numbers if not obstacles[number]]
        try_all(
            [(number, trial) for number in numbers for trial in buildpack_trials(launchers[number], results[number])]
        )
        try_all([(number, trial) for number in numbers for trial in reading_trials(launchers[number], results[number])])
    console.progress("")
    return [
        Report(launcher, path, obstacle, () if obstacle else tuple(sorted(found, key=in_order)))
        for launcher, path, obstacle, found in zip(launchers, paths, obstacles, results, strict=True)
    ]


def _obstacle(path: bytes, itself: Itself) -> str:
    if itself.is_at(path):
        return "is metalauncher itself"
    try:
        return "" if os.access(path, os.X_OK) and os.path.isfile(path) else errno_text(13 if os.stat(path) else 2)
    except OSError as error:
        return errno_text(error.errno)


def _foreign(path: bytes, results: Sequence[Result]) -> str:
    """Say for which machine a launcher is whose every start this one's kernel refused; "" where that is not why."""
    # Asked after the starts: with binfmt_misc the kernel runs those of other machines as well.
    if not results or any(result.said != errno_text(errno.ENOEXEC) for result in results):
        return ""
    try:
        with open_regular(path) as file:
            binary = inspect(file.read(HEAD))
    except ReadError:  # it may be executed, and not be read
        return ""
    here = this_architecture()
    if isinstance(binary, str) or binary.machine in ("", here):
        return ""
    return f"it is for {binary.machine}, this machine is {here}: probe it on such a machine"


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
    return Result(trial, behaviour_of(trial, code), code, last)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End whatever it started and left running, and itself."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
