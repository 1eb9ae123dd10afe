"""What the launcher gets is what a direct exec would have given it, byte for byte.

A starter in C brings about a state and execs: once the launcher itself, once the app's `web` through metalauncher. The
launcher is a probe that reports all that it can observe. The two reports are compared whole, whatever the case is
about. What a script can't do is said case by case: what exactly its launcher gets instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import APPS, PROJECT, Form, Image

if TYPE_CHECKING:
    from native import Native, Started, Starter, Words

# What the launcher gets where the script can't give it what it should have: a direct exec's report -> that report.
Instead = Callable[[list[str], Path], list[str]]

SIGINT, SIGUSR1, SIGPIPE, SIGXFSZ = 2, 10, 13, 25
PRETEND = b"@link"  # argv[0]: the path that is exec'd, as for any program that a shell or a runtime starts


@dataclass(frozen=True)
class Case:
    """A state to start from, and what of it a script can't pass on."""

    state: tuple[Words, ...] = ()
    environ: tuple[bytes, ...] = (b"HOME=/root", b"PATH=/usr/bin:/bin")
    arguments: tuple[bytes, ...] = (b"one", b"two")
    argv0: bytes | None = PRETEND  # None: an empty argv
    script: Instead | None = None


def names_the_path(report: list[str], link: Path) -> list[str]:
    """argv[0] arrives as the path that the kernel was given: it writes that in the place of a script's argv[0]."""
    first = next((index for index, line in enumerate(report) if line.startswith("argument ")), 1)
    return [*report[:first], f"argument {link}", *report[first + 1 :]]


def no_longer_ignores(*numbers: int) -> Instead:
    """CPython ignores these two itself: ignored by the parent, they arrive with their default."""

    def instead(report: list[str], link: Path) -> list[str]:
        del link
        for number in numbers:
            report = [f"signal {number} default" if line == f"signal {number} ignored" else line for line in report]
            report = [_clear(line, number) if line.startswith("status SigIgn:") else line for line in report]
        return report

    return instead


def _clear(line: str, number: int) -> str:
    label, _, mask = line.rpartition("\\x09")
    return f"{label}\\x09{int(mask, 16) & ~(1 << (number - 1)):016x}"


def only(*entries: bytes) -> Case:
    """Return a case about the environment."""
    return Case(environ=entries)


def given(*state: Words) -> Case:
    """Return a case about anything else."""
    return Case(state=state)


def limited(resource: int, soft: int, hard: int) -> Case:
    """Return a case about a limit."""
    return given(("limit", resource, soft, hard))


NOT_UTF8 = (b"\xff\xfe", b"caf\xe9", "é€😀".encode(), b"\x80" * 9, b"\xed\xa0\x80", b"\xc3")
EVERY_BYTE = bytes(range(1, 256))
HOSTILE = (b"--which", b"--launch", b"--help", b"--", b"-c", b"import os", b"-m", b"-IS", b"-", b"@file", b"*", b"~")

CASES: dict[str, Case] = {
    "plain": Case(),
    # The environment.
    "env-nothing-else": only(),
    "env-order": only(b"Z=1", b"A=2", b"M=3", b"_=4", b"a=5", b"A1=6"),
    "env-duplicates": only(b"A=1", b"B=2", b"A=3", b"A=1", b"PATH=/a", b"PATH=/b"),
    "env-duplicate-of-what-decides": only(b"CNB_PLATFORM_API=99.9", b"CNB_LAYERS_DIR=/nowhere"),
    "env-no-equals": only(b"A=1", b"BARE", b"B=2", b"\xff"),
    "env-empty-name": only(b"=x=1", b"=", b"==", b"A=1"),
    "env-empty-entry": only(b"A=1", b"", b"B=2", b""),
    "env-empty-values": only(b"A=", b"B==", b"C= ", b"D=\n"),
    "env-not-utf8": only(*[b"V%d=" % n + raw for n, raw in enumerate(NOT_UTF8)], b"\xe9=\xff", b"E=" + EVERY_BYTE),
    "env-not-utf8-and-no-equals": only(b"\xe9=\xff", b"\xff", b"A=" + EVERY_BYTE, b"A=2"),
    "env-100-kilobytes": only(*[b"BIG%d=" % n + b"x" * 12_500 for n in range(8)]),
    "env-longest-entry": only(b"BIG=" + b"x" * 131_000),
    "env-5000-variables": only(*[b"V%d=%d" % (n, n) for n in range(5000)]),
    "env-nearly-ours": only(b"METALAUNCHER=1", b"XMETALAUNCHER_A=2", b"metalauncher_a=3", b"METALAUNCHE=4"),
    "env-ours": only(b"A=1", b"METALAUNCHER_=1", b"B=2", b"METALAUNCHER_\xff=3", b"METALAUNCHER_ROOT=/other", b"C=3"),
    "env-lang-c": only(b"LANG=C"),
    "env-lc-all-c": only(b"LC_ALL=C"),
    "env-lc-ctype-c": only(b"A=1", b"LC_CTYPE=C", b"B=2"),
    "env-lc-ctype-posix": only(b"LC_CTYPE=POSIX"),
    "env-lc-ctype-empty": only(b"LC_CTYPE="),
    "env-lc-ctype-utf8": only(b"LC_CTYPE=C.UTF-8"),
    "env-lc-ctype-twice": only(b"LC_CTYPE=C", b"LC_CTYPE=POSIX"),
    "env-lc-unknown": only(b"LC_ALL=xx_YY.EUC", b"LC_CTYPE=zz"),
    "env-python": only(
        *(b"PYTHONPATH=/nowhere", b"PYTHONHOME=/nowhere", b"PYTHONUTF8=0", b"PYTHONCOERCECLOCALE=warn"),
        *(b"PYTHONVERBOSE=1", b"PYTHONINSPECT=1", b"PYTHONWARNINGS=error", b"PYTHONDEVMODE=1", b"PYTHONMALLOC=debug"),
        *(b"PYTHONSTARTUP=/nowhere", b"PYTHONPROFILEIMPORTTIME=1", b"PYTHONHASHSEED=x", b"PYTHONIOENCODING=x"),
    ),
    # The arguments.
    "argv-none-further": Case(arguments=()),
    "argv-empty-strings": Case(arguments=(b"", b"a", b"", b"")),
    "argv-not-utf8": Case(arguments=(*NOT_UTF8, EVERY_BYTE)),
    "argv-not-utf8-lc-all-c": Case(arguments=(*NOT_UTF8, EVERY_BYTE), environ=(b"LC_ALL=C",)),
    "argv-not-utf8-lc-all-posix": Case(arguments=(*NOT_UTF8, EVERY_BYTE), environ=(b"LC_ALL=POSIX",)),
    "argv-not-utf8-lc-all-utf8": Case(arguments=(*NOT_UTF8, EVERY_BYTE), environ=(b"LC_ALL=C.UTF-8",)),
    "argv-like-options": Case(arguments=HOSTILE),
    "argv-whitespace": Case(arguments=(b" ", b"\n", b"a b", b"\t", b"'", b'"')),
    "argv-2000": Case(arguments=tuple([b"%d" % n for n in range(2000)])),
    "argv-longest": Case(arguments=(b"x" * 131_000, b"y" * 131_000)),
    "argv0-a-name": Case(argv0=b"web", script=names_the_path),
    "argv0-ours": Case(argv0=b"metalauncher", arguments=(b"--which",), script=names_the_path),
    "argv0-like-the-shim": Case(argv0=b"metalauncher", arguments=(b"--launch", b"web"), script=names_the_path),
    "argv0-empty": Case(argv0=b"", script=names_the_path),
    "argv0-not-utf8": Case(argv0=b"/cnb/\xff", script=names_the_path),
    "argv-empty": Case(argv0=None, arguments=(), script=names_the_path),  # Linux >= 5.18 makes it one empty string
    # Signals.
    "ignored-sigpipe": Case(state=(("ignore", SIGPIPE),), script=no_longer_ignores(SIGPIPE)),
    "ignored-sigxfsz": Case(state=(("ignore", SIGXFSZ),), script=no_longer_ignores(SIGXFSZ)),
    "ignored-sigint": given(("ignore", SIGINT)),
    "ignored-the-others": given(
        *[("ignore", n) for n in (*range(1, 32), 34, 50, 64) if n not in (9, 19, SIGPIPE, SIGXFSZ)]
    ),
    "blocked-one": given(("block", SIGPIPE)),
    "blocked-all": given(*[("block", n) for n in range(1, 65) if n not in (9, 19, 32, 33)]),
    "pending": given(("block", SIGUSR1), ("block", SIGINT), ("raise", SIGUSR1), ("raise", SIGINT)),
    # Descriptors.
    "closed-0": given(("close", 0)),
    "closed-1": given(("close", 1)),
    "closed-2": given(("close", 2)),
    "closed-0-1": given(("close", 0), ("close", 1)),
    "closed-0-2": given(("close", 0), ("close", 2)),
    "closed-0-1-2": given(("close", 0), ("close", 1), ("close", 2)),
    "stdin-at-an-offset": given(("open", 0, os.O_RDONLY, str(PROJECT / "pyproject.toml")), ("seek", 0, 7)),
    "stdin-write-only": given(("open", 0, os.O_WRONLY, "/dev/null")),
    "stdout-append-nonblock": given(("open", 1, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CREAT, "@/out")),
    "stdout-and-stderr-full": given(("open", 1, os.O_WRONLY, "/dev/full"), ("open", 2, os.O_WRONLY, "/dev/full")),
    "descriptors-more": given(
        ("open", 3, os.O_RDONLY, str(PROJECT / "pyproject.toml")),
        ("seek", 3, 11),
        ("open", 4, os.O_RDWR | os.O_CREAT, "@/four"),
        ("open", 9, os.O_RDONLY | os.O_CLOEXEC, "/dev/null"),
        ("open", 57, os.O_RDONLY | os.O_DIRECTORY, "/"),
        ("open", 199, os.O_RDONLY | os.O_PATH, "/"),
    ),
    "terminal": given(("terminal",)),
    # Limits.
    "limit-cpu": limited(0, 600, 700),
    "limit-file-size": limited(1, 1 << 20, 1 << 21),
    "limit-data": limited(2, 512 << 20, 600 << 20),
    "limit-stack": limited(3, 1 << 20, 4 << 20),
    "limit-core": limited(4, 0, 0),
    "limit-processes": limited(6, 500, 600),
    "limit-descriptors": limited(7, 12, 300),
    "limit-address-space": limited(9, 1 << 30, 2 << 30),
    # The process.
    "umask-077": given(("umask", "077")),
    "umask-000": given(("umask", "000")),
    "umask-777": given(("umask", "777")),
    "cwd-elsewhere": given(("chdir", "/usr")),
    "cwd-with-a-trap": given(("chdir", str(APPS))),
    "cwd-deleted": given(("lost", "@/lost")),
    "nice": given(("nice", 7)),
    "batch": given(("batch",)),
    "one-cpu": given(("cpu", 0)),
    "session": given(("session",)),
    "group": given(("group",)),
    "timer": given(("timer", 1000)),
    "timer-slack": given(("slack", 70_000)),
    "parent-death-signal": given(("death", SIGUSR1)),
    "subreaper": given(("subreaper",)),
    "no-huge-pages": given(("nohugepages",)),
    "no-randomisation": given(("persona", 0x0040000)),
    "oom-score": given(("write", "/proc/self/oom_score_adj", "300")),
    "core-dump-filter": given(("write", "/proc/self/coredump_filter", "0x7")),
    "no-new-privileges": given(("nonewprivs",)),
    "uid-nobody": given(("user", 65534, 65534)),
    "uid-unknown": given(("user", 54321, 54322)),
}


def prepare(public: Path, native: Native, form: Form) -> Image:
    """Return an image whose one fitting launcher is the probe; every user can read it."""
    image = Image(public / f"image-{form.name}", form)
    image.use_registry()
    image.install("buildpacks/lifecycle", "0.21.17", native.of(form).program("probe"))
    image.use_metadata((APPS / "p12/layers/config/metadata.toml").read_bytes())
    image.by_link()
    return image


@pytest.fixture(scope="session")
def probed(public: Path, native: Native, form: Form) -> Image:
    """Return the prepared image of a form."""
    return prepare(public, native, form)


def direct(starter: Starter, image: Image, case: Case) -> Started:
    """Start the launcher as if there were no metalauncher."""
    launcher = image.root / "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17/launcher"
    environ = [entry for entry in _environ(image, case) if not entry.startswith(b"METALAUNCHER_")]
    return starter.start(launcher, _argv(image, case), tuple(environ), *image.form.state, *case.state)


def dispatched(starter: Starter, image: Image, case: Case) -> Started:
    """Start the app's `web`, which leads to metalauncher."""
    return starter.start(_link(image), _argv(image, case), _environ(image, case), *image.form.state, *case.state)


def expected(starter: Starter, image: Image, case: Case) -> list[str]:
    """Return the report that is due."""
    report = direct(starter, image, case).report
    if image.form.emulation:
        report = image.form.emulation.once_more(report)
    return case.script(report, _link(image)) if case.script and image.form.is_script else report


def _link(image: Image) -> Path:
    return image.root / "cnb/process/web"


def _argv(image: Image, case: Case) -> tuple[bytes, ...]:
    if case.argv0 is None:
        return case.arguments
    return (os.fsencode(_link(image)) if case.argv0 == PRETEND else case.argv0, *case.arguments)


def _environ(image: Image, case: Case) -> tuple[bytes, ...]:
    return (
        b"CNB_PLATFORM_API=0.12",
        b"METALAUNCHER_ROOT=" + os.fsencode(image.root),
        b"CNB_LAYERS_DIR=" + os.fsencode(image.root / "layers"),
        *case.environ,
        b"METALAUNCHER_NOTE=\xff",
    )


@pytest.mark.emulated
@pytest.mark.parametrize("name", CASES)
def test_the_launcher_gets_what_a_direct_exec_gives(name: str, starter: Starter, probed: Image) -> None:
    """The two reports are the same, and nothing was printed on the way."""
    case = CASES[name]
    wanted = expected(starter, probed, case)
    got = dispatched(starter, probed, case)
    assert (got.exit_code, got.stdout, got.stderr) == (0, b"", b"")
    assert got.report == wanted
    assert len(wanted) > 100  # the probe did look


def test_cases_bring_about_what_they_are_named_for(starter: Starter, probed: Image) -> None:
    """The starter's states arrive in the probe's report; else two reports would be equal for nothing."""

    def seen(name: str) -> list[str]:
        return direct(starter, probed, CASES[name]).report

    plain = seen("plain")
    assert [name for name in CASES if seen(name) == plain] == ["plain"]
    assert "signal 13 ignored" in seen("ignored-sigpipe")
    assert "umask 0077" in seen("umask-077")
    assert "cwd-links deleted" in seen("cwd-deleted")
    assert "uid 54321 54321 54321" in seen("uid-unknown")
    assert not [line for line in seen("closed-0-1-2") if line.startswith(("descriptor 0", "descriptor 1 "))]
    assert "variable BARE" in seen("env-no-equals")
    assert "pending 0000000000000202" in seen("pending")


@dataclass(frozen=True)
class Break:
    """A way to spoil metalauncher/FILE, and the cases that have to show it."""

    file: str
    old: str
    new: str
    cases: tuple[str, ...]


EXEC = "        _set_handlers(_signal.SIG_DFL)\n"  # the last thing before the exec


def before_exec(code: str, *cases: str) -> Break:
    """Return a break that does something more just before the exec."""
    return Break("process.py", EXEC, f"{EXEC}        {code}\n", cases)


ENVIRON = "        environ = [entry for entry in self.environ if not entry.startswith(OWN_VARIABLES)]\n"

BREAKS = {
    "the environment is the interpreter's": Break(
        "process.py",
        '    raw = _read_proc(b"/proc/self/environ")\n',
        "    raw = None\n",
        ("plain", "env-duplicates", "env-no-equals", "env-lc-ctype-c"),
    ),
    "the environment goes through a dict": Break(
        "process.py",
        ENVIRON,
        ENVIRON + '        environ = [b"%s=%s" % i for i in dict(e.partition(b"=")[::2] for e in environ).items()]\n',
        ("env-duplicates", "env-no-equals", "env-empty-name"),
    ),
    "the environment is sorted": Break("process.py", ENVIRON, ENVIRON + "        environ.sort()\n", ("env-order",)),
    "the environment is text": Break(
        "process.py",
        ENVIRON,
        ENVIRON + '        environ = [e.decode("utf-8", "replace").encode() for e in environ]\n',
        ("env-not-utf8", "env-not-utf8-and-no-equals"),
    ),
    "entries without = are dropped": Break(
        "process.py", ENVIRON, ENVIRON + '        environ = [e for e in environ if b"=" in e[1:]]\n', ("env-no-equals",)
    ),
    "empty entries are dropped": Break(
        "process.py", ENVIRON, ENVIRON + "        environ = [e for e in environ if e]\n", ("env-empty-entry",)
    ),
    "our own variables stay": Break("process.py", ENVIRON, "        environ = list(self.environ)\n", ("plain",)),
    "too many variables are ours": Break("process.py", '= b"METALAUNCHER_"', '= b"METALAUNCHER"', ("env-nearly-ours",)),
    "the arguments are text": Break(
        "process.py",
        "        argv = self.argv[skip:]\n",
        '        argv = [a.decode("utf-8", "replace").encode() for a in self.argv[skip:]]\n',
        ("argv-not-utf8", "argv-not-utf8-lc-all-c"),
    ),
    "empty arguments are dropped": Break(
        "process.py",
        "        argv = self.argv[skip:]\n",
        "        argv = [a for a in self.argv[skip:] if a]\n",
        ("argv-empty-strings",),
    ),
    "a flag is taken from the app": Break(
        "process.py",
        "        argv = self.argv[skip:]\n",
        '        argv = [a for a in self.argv[skip:] if a != b"--"]\n',
        ("argv-like-options",),
    ),
    "argv[0] is the launcher's path": Break(
        "process.py",
        "        argv = self.argv[skip:]\n",
        "        argv = [path, *self.argv[skip + 1 :]]\n",
        ("plain", "argv-none-further"),
    ),
    "SIGPIPE and SIGXFSZ stay ignored": Break("process.py", EXEC, "", ("plain", "blocked-all")),
    "SIGXFSZ stays ignored": Break("process.py", "_signal.SIGPIPE, _signal.SIGXFSZ", "_signal.SIGPIPE,", ("plain",)),
    "SIGINT is reset": before_exec("_signal.signal(2, _signal.SIG_DFL)", "ignored-sigint", "ignored-the-others"),
    "a signal is blocked": before_exec("_signal.pthread_sigmask(0, [15])", "plain"),
    "the mask is cleared": before_exec("_signal.pthread_sigmask(2, [])", "blocked-one", "blocked-all"),
    "a descriptor leaks": before_exec('posix.set_inheritable(posix.open(b"/dev/null", 0), True)', "plain", "closed-0"),
    "a descriptor is closed": before_exec("posix.closerange(3, 100)", "descriptors-more"),
    "0, 1 and 2 are opened": before_exec(
        "[posix.set_inheritable(posix.dup2(posix.open(b'/dev/null', 2), n), True) for n in range(3)]",
        *("plain", "closed-1", "closed-0-1-2"),
    ),
    "stdin is read": before_exec("posix.read(0, 1)", "stdin-at-an-offset"),
    "something is printed": before_exec('posix.write(1, b"hello")', "plain"),
    "something is warned of": before_exec('posix.write(2, b"hello")', "plain"),
    "the directory is changed": before_exec('posix.chdir(b"/")', "plain", "cwd-deleted"),
    "the umask is changed": before_exec("posix.umask(0)", "plain", "umask-077"),
    "it forks": before_exec("posix.fork() and posix._exit(posix.waitpid(-1, 0)[1])", "plain"),
    "it leaves a child": before_exec("posix.fork() or posix._exit(0)", "plain"),
    "a session is begun": before_exec("posix.setsid()", "plain"),
    "a group is begun": before_exec("posix.setpgid(0, 0)", "plain"),
    "it is nicer": before_exec("posix.nice(1)", "plain", "nice"),
    "a timer is stopped": before_exec("_signal.alarm(0)", "timer"),
    "the scheduler is changed": before_exec("posix.sched_setscheduler(0, 3, posix.sched_param(0))", "plain"),
    "a limit is lowered": before_exec(
        "__import__('resource').setrlimit(7, (64, __import__('resource').getrlimit(7)[1]))", "plain"
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_deliberate_break_is_seen(name: str, native: Native, starter: Starter, public: Path) -> None:
    """Each way of spoiling it makes the cases fail that are there for it."""
    broken = BREAKS[name]
    source = public / "broken"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(PROJECT / "metalauncher", source / "metalauncher", ignore=shutil.ignore_patterns("__pycache__"))
    file = source / "metalauncher" / broken.file
    text = file.read_text()
    assert text.count(broken.old) == 1, f"{broken.file} no longer has {broken.old!r} once: write this break anew"
    file.write_text(text.replace(broken.old, broken.new))
    form = Form("python", source / "metalauncher.pyz")
    path = [part for part in (os.environ.get("PYTHONPATH"),) if part]
    subprocess.run(
        [sys.executable, PROJECT / "image/pyz.py", form.executable],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(source), *path])},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(public / "image-broken", ignore_errors=True)
    image = prepare(public, native, Form("broken", form.executable))
    unseen = [case for case in broken.cases if not _shows(starter, image, CASES[case])]
    assert unseen == []


def _shows(starter: Starter, image: Image, case: Case) -> bool:
    got = dispatched(starter, image, case)
    # Broken as meant, not altogether: the launcher was reached.
    assert got.exit_code == 0, got.stderr
    assert got.report
    return bool(got.stdout or got.stderr) or got.report != direct(starter, image, case).report
