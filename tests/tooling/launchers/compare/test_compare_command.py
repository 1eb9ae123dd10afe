"""`metalauncher compare` as its user meets it: what it takes, what it says, and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomli
from bundles import STAND_IN, Tool, on_terminal
from harness import PROJECT
from jsonschema import Draft202012Validator
from real_launchers import Launchers

APIS = ("--platform-api", "0.15", "--buildpack-api", "0.12")
# Launchers that do one thing, whatever the case.
FIXED = "#!/usr/bin/python3 -IS\nimport os, sys, time\n"
LINK = ("--only", "route/link", *APIS)


@pytest.fixture
def launcher(real: Launchers) -> Path:
    """Return the newest of lifecycle's launchers there is."""
    return real["0.21.17"].executable


def script(path: Path, text: str) -> Path:
    """Write a launcher that is a script."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_text(tool: Tool, launcher: Path, tmp_path: Path) -> None:
    """What differs goes to stdout, field by field; what was compared to stderr."""
    other = script(tmp_path / "other", f"{FIXED}print('hello')\nsys.exit(4)\n")
    answer = tool("compare", launcher, other, *LINK)
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "route/link: different",
        "  a process type's link, by its whole path",
        "  exit status",
        "    A exit 0",
        "    B exit 4",
        "  stdout",
        "    A ",
        "    B hello\\n",
        "  programs started",
        "    A app",
        "    B (none)",
    ]
    lines = answer.err.splitlines()
    assert lines[0].startswith(f"A: {launcher} (sha256 ")
    assert lines[2] == "compared with Platform API 0.15, Buildpack API 0.12, as given"
    assert lines[3] == "A gives the app's environment another order at each start: no order was compared"
    assert lines[-1] == "1 case: 1 different"


def test_apis_that_both_accept(tool: Tool, launcher: Path, real: Launchers) -> None:
    """Where none are given, the newest that both accept are found; JSON has what each accepts."""
    answer = tool("compare", launcher, real["0.17.7"].executable, "--only", "route/link", "--json")
    assert answer.code == 0
    a, b = answer.document["launchers"]
    assert a["platform_apis"] == [f"0.{minor}" for minor in range(7, 16)]
    assert b["platform_apis"] == [f"0.{minor}" for minor in range(3, 13)]
    assert a["buildpack_apis"] == [f"0.{minor}" for minor in range(7, 13)]
    assert b["buildpack_apis"] == [f"0.{minor}" for minor in range(2, 11)]
    assert answer.document["compared_with"] == {"platform_api": "0.12", "buildpack_api": "0.10"}
    assert (a["keeps_order"], b["keeps_order"]) == (False, False)


def test_no_apis_in_common(tool: Tool, launcher: Path, real: Launchers) -> None:
    """Then only what is about APIs is compared, and the rest is said not to have been."""
    only = ("--only", "route", "--only", "platform-0.4", "--only", "platform-0.7/direct")
    answer = tool("compare", launcher, real["0.9.3"].executable, *only, "--json")
    assert answer.code == 1
    assert answer.document["compared_with"] is None
    verdicts = {case["name"]: (case["verdict"], case["reason"]) for case in answer.document["cases"]}
    assert verdicts["route/link"] == ("not-run", "there are no APIs that both accept")
    assert verdicts["platform-0.4/direct"] == ("different", None)
    assert verdicts["platform-0.7/direct"] == ("different", None)


def test_documents_obey_the_schema(tool: Tool, launcher: Path, tmp_path: Path, real: Launchers) -> None:
    """Alike, different, allowed, not run, unfinished: what --json prints is what the schema says."""
    schema = tool("schema", "compare").document
    Draft202012Validator.check_schema(schema)
    checked = Draft202012Validator(schema)
    allow = tmp_path / "allow.toml"
    allow.write_text(
        'schema-version = "1"\n[[allow]]\ncase = "route/*"\nreason = "known"\n'
        '[[allow]]\ncase = "route/*"\nfield = "umask"\nreason = "not met"\n'
        '[[allow]]\ncase = "signal/*"\nreason = "not asked"\n'
    )
    fails = script(tmp_path / "fails", f"{FIXED}sys.exit(4)\n")
    hangs = script(tmp_path / "hangs", f"{FIXED}time.sleep(60)\n")
    odd = script(tmp_path / "odd", FIXED + "os.write(1, b'\\xff\\x00\\x1b')\n")
    verdicts = set()
    for other, options in (
        (launcher, LINK),
        (fails, LINK),
        (fails, (*LINK, "--allow", str(allow))),
        (odd, LINK),
        (hangs, (*LINK, "--timeout", "1")),
        (real["0.9.3"].executable, ("--only", "route/link")),
    ):
        document = tool("compare", launcher, other, *options, "--json").document
        assert list(checked.iter_errors(document)) == []
        verdicts |= {case["verdict"] for case in document["cases"]}
        if "--allow" in options:
            # Of a case that was not run nothing is known.
            assert [(one["case"], one["field"]) for one in document["unmet_allowances"]] == [("route/*", "umask")]
    assert verdicts == {"alike", "different", "allowed", "not-run", "unfinished"}


def test_allowed(tool: Tool, launcher: Path, tmp_path: Path) -> None:
    """What is known counts as alike, is shown on demand with its reason; what was not met is said."""
    allow = tmp_path / "allow.toml"
    allow.write_text('schema-version = "1"\n[[allow]]\ncase = "route/*"\nreason = "it is like that"\n')
    fails = script(tmp_path / "fails", f"{FIXED}sys.exit(4)\n")
    answer = tool("compare", launcher, fails, *LINK, "--allow", allow)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines()[-1] == "1 case: 1 allowed"
    shown = tool("compare", launcher, fails, *LINK, "--allow", allow, "--all")
    assert "  exit status (allowed: it is like that)" in shown.out.splitlines()
    unmet = tool("compare", launcher, launcher, *LINK, "--allow", allow)
    assert unmet.code == 0
    assert unmet.err.splitlines()[-1] == f"allowed, and not met: route/*, * ({allow})"


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("time.sleep(60)\n", ("--timeout", "1"), "it had not ended after 1 s"),
        ("os.write(1, b'x' * (2 << 20))\n", (), "it wrote more than 1 MiB to stdout: cut there"),
        ("while True: os.write(2, b'x' * (1 << 16))\n", (), "it wrote more than 1 MiB to stderr: cut there"),
        (None, (), "it could not be run: no such file or directory"),
    ],
)
def test_unfinished(
    tool: Tool, launcher: Path, tmp_path: Path, text: str | None, options: tuple[str, ...], reason: str
) -> None:
    """A launcher that hangs, floods or can't be run: 3, and which of the two it was."""
    whole = "#!/no/such/interpreter\n\n" if text is None else FIXED + text
    other = script(tmp_path / "other", whole)
    for a, b, side in ((launcher, other, "B"), (other, launcher, "A")):
        answer = tool("compare", a, b, *LINK, *options)
        assert answer.code == 3
        assert answer.out.splitlines() == [f"route/link: unfinished: {side}: {reason}"]
        assert answer.err.splitlines()[-1] == "1 case: 1 unfinished"


def test_nothing_is_left_behind(tool: Tool, launcher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch directory is gone, and what a launcher leaves running is ended."""
    # A short path: it stands in a script's first line.
    scratch = Path(tempfile.mkdtemp())
    mark = tmp_path / "pid"
    # Written whole: it may be ended at any moment.
    write = (
        f"open({str(mark)!r} + '.new', 'w').write(str(os.getpid())); os.rename({str(mark)!r} + '.new', {str(mark)!r})"
    )
    leaves = f"{FIXED}if os.fork() == 0:\n    {write}\n    time.sleep(60)\n"
    other = script(tmp_path / "other", f"{leaves}while not os.path.exists({str(mark)!r}): time.sleep(0.01)\n")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(scratch))
        assert tool("compare", launcher, other, *LINK).code == 1
    scratch.rmdir()  # which is empty
    state = Path(f"/proc/{mark.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_what_can_be_compared(tool: Tool, launcher: Path, tmp_path: Path, real: Launchers) -> None:
    """An executable, a release's tarball, and an installed launcher by its id are one and the same launcher."""
    tarball = real.release(tmp_path, "0.21.17")
    assert tool.on("bundle", "add", tarball).code == 0
    for a, b in ((launcher, tarball), ("buildpacks/lifecycle", tarball), ("buildpacks/lifecycle@0.21.17", launcher)):
        answer = tool.on("compare", a, b, *LINK, "--json")
        assert answer.code == 0, answer.err
        one, other = answer.document["launchers"]
        assert one["sha256"] == other["sha256"]
        assert (one["name"], other["name"]) == (str(a), str(b))


def refused(tool: Tool, *arguments: str | Path) -> str:
    """Return what is said where the command line can't be followed."""
    answer = tool.on("compare", *arguments)
    assert (answer.code, answer.out) == (3, "")
    return answer.err


def test_what_can_not_be_compared(tool: Tool, launcher: Path, tmp_path: Path) -> None:
    """Each refusal names what was given, what is needed, and what to run next."""
    assert "ERROR: /none: no such file" in refused(tool, "/none", launcher)
    assert "acme/none: there is no such file here, and no launcher of that name" in refused(tool, launcher, "acme/none")
    text = tmp_path / "text"
    text.write_text("text")
    said = refused(tool, launcher, text)
    assert "is neither a tarball (.tgz or .tar), nor an ELF file, nor a script with #!" in said
    assert said.splitlines()[-1].strip() == "metalauncher compare --help" or "compare --help" in said
    for version in ("1", "2"):
        file = tmp_path / version
        file.write_bytes(STAND_IN)
        apis = ("--platform-apis", "0.7", "--buildpack-apis", "0.7")
        assert tool.on("bundle", "add", file, "--id", "acme/two", "--version", version, *apis).code == 0
    said = refused(tool, "acme/two", launcher)
    assert "acme/two: there are several" in said
    assert "acme/two@1" in said
    assert "acme/two@2" in said
    assert "--only none/x: there is no such case" in refused(tool, launcher, launcher, "--only", "none/x")
    assert "areas: route, " in refused(tool, launcher, launcher, "--only", "none/x")
    said = refused(tool, launcher, launcher, "--platform-api", "0.12")
    assert "--buildpack-api: is missing" in said
    said = refused(tool, launcher, launcher, "--platform-api", "x", "--buildpack-api", "0.7")
    assert "--platform-api: is 'x', which is no API" in said
    said = refused(tool, launcher, launcher, "--platform-api", "0.99", "--buildpack-api", "0.99")
    assert "compare: neither started an app with Platform API 0.99 and Buildpack API 0.99" in said


@pytest.mark.parametrize(
    ("pattern", "count"), [("exec.d/fails", 1), ("exit-status/00*", 10), ("exit-status/0*", 100), ("state", 6)]
)
def test_only(tool: Tool, launcher: Path, pattern: str, count: int) -> None:
    """A name, a pattern, a whole area."""
    options = ("--only", pattern, *APIS, "--json", "--jobs", "2")
    document = tool("compare", launcher, launcher, *options).document
    assert (document["exit_code"], len(document["cases"])) == (0, count)


def test_progress_is_for_a_person(tool: Tool, launcher: Path) -> None:
    """On a terminal it is shown how far it has come; elsewhere not."""
    arguments = ("compare", str(launcher), str(launcher), *LINK)
    seen = on_terminal(tool, *arguments)
    assert "comparing: 1 of 1 cases" in seen
    assert seen.rstrip().endswith("1 case: 1 alike")
    assert "comparing" not in tool(*arguments).err


def test_without_a_shell(launcher: Path, tmp_path: Path) -> None:
    """Where there is no /bin/bash, the cases that need it are said not to have been run; the others are compared."""
    no_shell = tmp_path / "no-shell"
    no_shell.touch()
    only = [word for case in ("route/link", "route/launcher-shell") for word in ("--only", case)]
    command = [sys.executable, "-m", "metalauncher", "compare", str(launcher), str(launcher), *APIS, *only]
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    hidden = 'mount --bind "$0" /bin/bash && exec "$@"'
    done = subprocess.run(
        [*namespace, "/bin/sh", "-c", hidden, str(no_shell), *command],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["route/launcher-shell: not run: there is no shell: launchers start /bin/bash"]
    assert done.stderr.splitlines()[-1] == "2 cases: 1 alike, 1 not run"


def test_nothing_of_the_caller_reaches_a_launcher(launcher: Path, tmp_path: Path) -> None:
    """Its variables, its umask, its descriptors, its ignored signals: two runs of different callers are alike."""
    seen: list[Any] = []
    tell = f"{FIXED}print(sorted(os.environ), os.umask(0), sorted(os.listdir('/proc/self/fd')))\n"
    tell += "print([l for l in open('/proc/self/status') if l.startswith(('SigBlk', 'SigIgn'))])\n"
    other = script(tmp_path / "other", tell)
    command = [sys.executable, "-m", "metalauncher", "compare", str(launcher), str(other), *LINK, "--json"]
    for prefix in (
        [],
        ["env", "CALLER=1", "/bin/sh", "-c", 'umask 077; trap "" USR1 HUP; exec 9</dev/null; exec "$@"', ""],
    ):
        done = subprocess.run([*prefix, *command], cwd=PROJECT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done.stderr
        seen.append(done.stdout)
    assert seen[0] == seen[1]
    assert "CALLER" not in seen[0]
    assert "CNB_LAYERS_DIR" in seen[0]


def test_not_root(public: Path, launcher: Path) -> None:
    """No root is needed: another user, who may write nowhere but in a folder for scratch, compares as well."""
    folder = public / "not-root"
    folder.mkdir()
    folder.chmod(0o777)
    copies = [str(shutil.copy(launcher, folder / name)) for name in ("a", "b")]
    only = [word for area in ("route", "exec.d", "limits", "signal", "state") for word in ("--only", area)]
    # The package may lie where that user can't read: it is loaded before root is given up.
    program = (
        "import os, sys, tempfile; import metalauncher.tooling.launchers.compare.command, metalauncher.tooling.log\n"
        "from metalauncher.tooling.cli.main import main\n"
        f"tempfile.tempdir = {str(folder)!r}; os.chdir('/')\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main([os.fsencode(word) for word in sys.argv[1:]], {}))\n"
    )
    # The machine's Python: every user may run it, which is not sure of the one that runs the tests.
    command = ["/usr/bin/python3", "-c", program, "compare", *copies, *APIS, *only]
    paths = os.pathsep.join([str(PROJECT), str(Path(tomli.__file__).parent.parent)])
    environ = {"PYTHONPATH": paths, "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[-1].endswith(" alike")


def test_where_no_program_may_be_run(launcher: Path, tmp_path: Path) -> None:
    """A scratch directory on a file system without programs is said to be one; it is no launcher's fault."""
    command = [sys.executable, "-m", "metalauncher", "compare", str(launcher), str(launcher), *LINK]
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run(
        [*namespace, "/bin/sh", "-c", 'mount -t tmpfs -o noexec none "$TMPDIR" && exec "$@"', "", *command],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "can't be run here: it could not be run: permission denied" in done.stderr
    assert done.stderr.splitlines()[-1].strip() == "TMPDIR=/var/tmp metalauncher compare A B"
