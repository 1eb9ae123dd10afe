"""Everywhere a run image is: under a root with nothing but it, a launcher, descriptors and layers, and little allowed.

No /proc, no /dev, nothing writable, a user nobody knows, PID 1, next to no memory. The Python form brings Python along;
what a script can't do there is said here.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import APPS, PROJECT, Form
from native import Jail, Native, Started, Starter, Words, need

KB, MB = 1 << 10, 1 << 20
SIGSYS = 31
NO_RANDOMISATION = 0x0040000

APP = (b"CNB_PLATFORM_API=0.12", b"HOME=/root")
WEB = "/cnb/process/web"

Enter = Callable[..., Started]


@pytest.fixture(params=["link", "shim"])
def jail(
    request: pytest.FixtureRequest, form: Form, public: Path, native: Native, starter: Starter, tmp_path: Path
) -> Iterator[Jail]:
    """Return a root of its own with no more than it takes, its launchers the probe."""
    need(starter, ("mounts",))
    root = public / f"confined-{form.name}-{tmp_path.name}"
    jail = Jail(root, form)
    jail.use_registry()
    for version in ("0.21.17", "0.17.7"):
        jail.install("buildpacks/lifecycle", version, native.of(form).program("probe"))
    jail.use_metadata((APPS / "p12/layers/config/metadata.toml").read_bytes())
    jail.lead(request.param, "web")
    yield jail
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def enter(jail: Jail, starter: Starter) -> Enter:
    """Return a function that starts the app's `web` under that root."""

    def start(*state: Words, before: tuple[Words, ...] = (), environ: tuple[bytes, ...] = APP) -> Started:
        return starter.start(WEB, (WEB.encode(), b"a"), environ, *jail.entered(*before), *state)

    return start


def check(started: Started) -> Started:
    """Check that the launcher got its arguments and environment, and nothing was printed."""
    assert (started.exit_code, started.stdout, started.stderr) == (0, b"", b"")
    assert started.values("argument") == [WEB, "a"]
    assert [entry for entry in started.values("variable") if not entry.startswith("LC_CTYPE")] == [
        entry.decode() for entry in APP
    ]
    return started


@pytest.mark.emulated
def test_there_is_nothing_else(jail: Jail) -> None:
    """The root of the static form holds the executable, launchers, descriptors, layers, and what leads to it."""
    if jail.form.is_script:
        assert {path.name for path in (jail.root / "usr/bin").iterdir()} == {"metalauncher", "python3"}
        return
    files = [path.relative_to(jail.root) for path in jail.root.rglob("*") if not path.is_dir()]
    assert sorted({str(file.parent) for file in files}) == [
        "cnb/lifecycle",
        "cnb/process",
        "layers/config",
        "usr/bin",
        "usr/lib/cnb",
        "usr/lib/cnb/launchers.d",
        "usr/lib/cnb/launchers/buildpacks/lifecycle/0.17.7",
        "usr/lib/cnb/launchers/buildpacks/lifecycle/0.21.17",
    ]


@pytest.mark.emulated
def test_no_proc_and_no_dev(enter: Enter) -> None:
    """Neither is needed."""
    started = check(enter())
    assert started.values("proc") == ["none"]


ODD = (b"A=1", b"BARE", b"A=2", b"", b"=x=1", b"B=\xff", b"METALAUNCHER_A=1")


@pytest.mark.emulated
@pytest.mark.parametrize("locale", [(), (b"LC_CTYPE=C",), (b"LC_CTYPE=POSIX", b"LANG=C"), (b"LC_ALL=C",)])
def test_the_environment_without_proc(locale: tuple[bytes, ...], jail: Jail, enter: Enter) -> None:
    """Nothing differs; but a script can't tell what CPython did, and loses duplicates and entries without "="."""
    given = (*APP, *locale, *ODD)
    started = enter(environ=given)
    assert (started.exit_code, started.stdout, started.stderr) == (0, b"", b"")
    untouched = [_shown(entry) for entry in given if not entry.startswith(b"METALAUNCHER_")]
    if not jail.form.is_script:
        assert started.values("variable") == untouched
        return
    # The first of the duplicates stays, what has no "=" goes, and PEP 538 sets LC_CTYPE in the C locale.
    wanted = [entry for entry in untouched if entry not in ("A=2", "BARE", "")]
    if b"LC_ALL=C" not in locale:
        wanted = [entry for entry in wanted if not entry.startswith("LC_CTYPE=")]
        at = next((n for n, entry in enumerate(given) if entry.startswith(b"LC_CTYPE=")), len(wanted))
        wanted.insert(at, "LC_CTYPE=C.UTF-8")
    assert started.values("variable") == wanted


def _shown(entry: bytes) -> str:
    return entry.decode("latin-1").replace("\xff", "\\xff")


@pytest.mark.emulated
def test_a_read_only_root(jail: Jail, enter: Enter) -> None:
    """Nothing is written anywhere."""
    readonly: Words = ("readonly", str(jail.root))
    create: Words = ("open", 5, os.O_WRONLY | os.O_CREAT, "/new")
    enter(create)
    with pytest.raises(AssertionError, match="Read-only file system"):
        enter(create, before=(readonly,))
    check(enter(before=(readonly,)))


@pytest.mark.emulated
@pytest.mark.parametrize("user", [(65534, 65534), (54321, 12345)])
def test_a_user_that_nobody_knows(user: tuple[int, int], enter: Enter) -> None:
    """There is no passwd, and no home; the user arrives as it was."""
    started = check(enter(("user", *user)))
    assert started.values("uid") == [" ".join([str(user[0])] * 3)]
    assert started.values("gid") == [" ".join([str(user[1])] * 3)]


@pytest.mark.emulated
def test_pid_1(jail: Jail, enter: Enter) -> None:
    """In a PID namespace of its own it stays PID 1, and the launcher is the one process there is."""
    (jail.root / "proc").mkdir()
    # Mounted while the machine's is still in sight, which the kernel asks of users other than root.
    started = check(enter(before=(("pids",), ("proc", str(jail.root / "proc")))))
    assert (started.values("pid"), started.values("process"), started.values("children")) == (["1"], ["1"], ["none"])
    assert started.values("proc") == ["there"]


@pytest.mark.emulated
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_descriptors(closed: tuple[int, ...], enter: Enter) -> None:
    """What was closed is closed for the launcher; nothing takes its place."""
    started = check(enter(*[("close", number) for number in closed]))
    there = [int(value.split()[0]) for value in started.values("descriptor")]
    assert there == [number for number in (0, 1, 2, 200) if number not in closed]


@pytest.mark.emulated
def test_a_refusal_with_stderr_closed(enter: Enter) -> None:
    """Nobody is there to read it: the exit code says it, and no file is written to by accident."""
    started = enter(("close", 1), ("close", 2), ("close", 0), environ=(b"CNB_PLATFORM_API=99.9",))
    assert (started.exit_code, started.stdout, started.stderr, started.report) == (11, b"", b"", [])


# The least that a dispatch gets by with, with room to spare: about twice what was measured for the static executable.
# What Python itself needs depends on the machine's.
FLOORS: dict[str, dict[str, tuple[int, int]]] = {
    "static": {
        "descriptors": (7, 4),
        "stack": (3, 16 * KB),
        "address-space": (9, 12 * MB),
        "data": (2, 8 * MB),
        "file-size": (1, 0),
        "locked": (8, 0),
        "processes": (6, 0),
    },
    "python": {
        "descriptors": (7, 6),
        "stack": (3, 256 * KB),
        "address-space": (9, 64 * MB),
        "data": (2, 32 * MB),
        "file-size": (1, 0),
        "locked": (8, 0),
        "processes": (6, 0),
    },
}


def _floor(form: Form, name: str) -> Words:
    resource, least = FLOORS["python" if form.is_script else "static"][name]
    return ("limit", resource, least, least)


@pytest.mark.parametrize("name", FLOORS["static"])
def test_limits_at_their_floors(name: str, jail: Jail, native: Native, enter: Enter) -> None:
    """With no more than the stated floor it still dispatches."""
    jail.install("buildpacks/lifecycle", "0.21.17", native.of(jail.form).program("answer"))  # the probe would need more
    started = enter(_floor(jail.form, name))
    assert (started.exit_code, started.stdout, started.stderr) == (42, b"", b"")


def test_all_limits_at_their_floors(jail: Jail, native: Native, enter: Enter) -> None:
    """All of them at once, as a user nobody knows, without randomisation."""
    jail.install("buildpacks/lifecycle", "0.21.17", native.of(jail.form).program("answer"))
    limits = [_floor(jail.form, name) for name in FLOORS["static"]]
    started = enter(("persona", NO_RANDOMISATION), ("user", 54321, 54321), *limits)
    assert (started.exit_code, started.stdout, started.stderr) == (42, b"", b"")


def test_large_metadata_at_the_floors(jail: Jail, native: Native, enter: Enter) -> None:
    """300 KB of `[[bom]]` take no more than twice the memory."""
    jail.install("buildpacks/lifecycle", "0.17.7", native.of(jail.form).program("answer"))
    jail.use_metadata((APPS / "p06-bom300k/layers/config/metadata.toml").read_bytes())
    memory = [FLOORS["python" if jail.form.is_script else "static"][name] for name in ("address-space", "data")]
    limits = [("limit", resource, 2 * least, 2 * least) for resource, least in memory]
    started = enter(_floor(jail.form, "stack"), *limits, environ=(b"CNB_PLATFORM_API=0.6",))
    assert (started.exit_code, started.stdout, started.stderr) == (42, b"", b"")


DEEP = 10_000
NESTED = {
    "arrays": "x = " + "[" * DEEP + "]" * DEEP,
    "arrays-open": "x = " + "[" * DEEP,
    "tables": "x = " + "{a = " * DEEP + "1" + "}" * DEEP,
    "tables-open": "x = " + "{a = " * DEEP,
    "both": "x = " + "[{a = " * DEEP + "1" + "}]" * DEEP,
    "many": "".join(f"x{n} = " + "[" * 900 + "]" * 900 + "\n" for n in range(20)),
    "dotted": "a." * DEEP + "a = 1",
    "header": "[" + "a." * DEEP + "a]",
}


@pytest.mark.emulated
@pytest.mark.parametrize("stack", ["floor", "usual"])
@pytest.mark.parametrize("name", NESTED)
def test_hostile_nesting(name: str, stack: str, jail: Jail, native: Native, enter: Enter) -> None:
    """10,000 levels in metadata.toml end with CNB's line and exit 1, or are read; never with a crash."""
    jail.install("buildpacks/lifecycle", "0.21.17", native.of(jail.form).program("answer"))
    jail.use_metadata(NESTED[name] + "\n")
    started = enter(*([_floor(jail.form, "stack")] if stack == "floor" else []))
    if name in ("dotted", "header", "many") and started.exit_code == 42:
        assert (started.stdout, started.stderr) == (b"", b"")
        return
    assert (started.exit_code, started.stdout) == (1, b"")
    assert started.stderr.startswith(b"ERROR: failed to read metadata: open /layers/config/metadata.toml: ")


@pytest.mark.emulated
@pytest.mark.parametrize("persona", [0, NO_RANDOMISATION])
def test_address_randomisation(persona: int, enter: Enter) -> None:
    """On and off, twenty times each: a snapshot's addresses never meet what the kernel put there."""
    for _ in range(20 if persona == 0 else 3):
        assert check(enter(("persona", persona))).values("personality") == [f"{persona:x}"]


SECURITY = (PROJECT / "docs/reference/security.md").read_text()
_LISTED = re.search(r"```system-calls\n(.+?)```", SECURITY, re.DOTALL)
assert _LISTED
# What a dispatch may ask of the kernel, as the page says: to read. The launcher is a program of one call.
ALLOWED = " ".join(_LISTED[1].split()) + " exit_group"


def test_a_seccomp_allow_list(jail: Jail, native: Native, enter: Enter) -> None:
    """A successful dispatch needs no call beyond docs/reference/security.md's; the same list kills a refusal."""
    if jail.form.is_script:
        started = enter(("seccomp", ALLOWED))  # Python asks for much more: that the filter bites is shown by it
        assert started.exit_code == -SIGSYS
        return
    for version in ("0.21.17", "0.17.7"):
        jail.install("buildpacks/lifecycle", version, native.of(jail.form).program("answer"))
    started = enter(("seccomp", ALLOWED))
    assert (started.exit_code, started.stdout, started.stderr) == (42, b"", b"")
    assert enter(("seccomp", ALLOWED), environ=(b"CNB_PLATFORM_API=99.9",)).exit_code == -SIGSYS  # it writes
    jail.use_metadata((APPS / "p06-bom300k/layers/config/metadata.toml").read_bytes())
    started = enter(("seccomp", ALLOWED), environ=(b"CNB_PLATFORM_API=0.6",))
    assert (started.exit_code, started.stdout, started.stderr) == (42, b"", b"")


@pytest.mark.parametrize("name", ["set_tid_address", "arch_prctl"])
def test_what_no_go_program_calls_may_be_refused(name: str, jail: Jail, native: Native, enter: Enter) -> None:
    """A profile recorded from a Go program may answer set_tid_address with EPERM; without the other nothing starts."""
    jail.install("buildpacks/lifecycle", "0.21.17", native.of(jail.form).program("answer"))
    filtered = ALLOWED.replace(name, f"-{name}")
    assert filtered != ALLOWED
    started = enter(("seccomp", filtered))
    if jail.form.is_script or name == "arch_prctl":
        assert started.exit_code < 0
        return
    assert (started.exit_code, started.stdout, started.stderr) == (42, b"", b"")


def test_every_listed_call_is_needed(jail: Jail, native: Native, enter: Enter) -> None:
    """None is listed for nothing: without it a dispatch that meets a link and a large file does not end well."""
    if jail.form.is_script:
        assert enter(("seccomp", ALLOWED)).exit_code == -SIGSYS
        return
    for version in ("0.21.17", "0.17.7"):
        jail.install("buildpacks/lifecycle", version, native.of(jail.form).program("answer"))
    jail.use_metadata((APPS / "p06-bom300k/layers/config/metadata.toml").read_bytes())
    (jail.root / "etc/cnb/launchers.d").mkdir(parents=True)
    (jail.root / "etc/cnb/launchers.d/a.toml").symlink_to("/dev/null")
    environ = (b"CNB_PLATFORM_API=0.6",)
    assert enter(("seccomp", ALLOWED), environ=environ).exit_code == 42
    names = [name for name in ALLOWED.split() if name != "exit_group"]
    ended = {name: enter(("seccomp", " ".join([n for n in names if n != name])), environ=environ) for name in names}
    assert {name for name, started in ended.items() if started.exit_code == 42} == set()


@pytest.mark.only("python")
def test_a_file_where_procfs_would_be(jail: Jail, enter: Enter) -> None:
    """A file of the image at /proc/self/environ is no procfs: the environment is the process's own."""
    for name, text in (("environ", "CNB_PLATFORM_API=0.3\0FROM=file\0"), ("cmdline", "a\0b\0c\0d\0")):
        file = jail.root / "proc/self" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    started = enter()
    assert (started.exit_code, started.stdout, started.stderr) == (0, b"", b"")
    assert "FROM=file" not in started.values("variable")
    assert "CNB_PLATFORM_API=0.12" in started.values("variable")
    (jail.root / "proc/self/environ").write_text("")
    assert "CNB_PLATFORM_API=0.12" in check(enter()).values("variable")


def test_a_copy_of_itself_with_little_memory(jail: Jail, native: Native, enter: Enter) -> None:
    """A launcher that is a copy of metalauncher is told apart piece by piece, and the next one runs."""
    shutil.copy2(
        jail.executable, jail.install("buildpacks/lifecycle", "0.17.7", native.of(jail.form).program("answer"))
    )
    jail.install("buildpacks/lifecycle", "0.9.3", native.of(jail.form).program("answer"))
    jail.use_metadata((APPS / "p04/layers/config/metadata.toml").read_bytes())
    limits = [_floor(jail.form, name) for name in ("address-space", "data", "stack")]
    started = enter(*limits, environ=(b"CNB_PLATFORM_API=0.4",))
    assert (started.exit_code, started.stdout) == (42, b"")
    assert started.stderr.count(b"is metalauncher itself") == 1


def test_a_set_id_executable_has_no_root(jail: Jail, enter: Enter) -> None:
    """Where effective and real user differ, METALAUNCHER_ROOT is somebody else's, and ignored."""
    nowhere = (*APP, b"METALAUNCHER_ROOT=/nowhere")
    assert enter(("user", 65534, 65534), environ=nowhere).exit_code == 80
    if os.geteuid():
        return  # nobody else's executable can be made
    executable = jail.root / "usr/bin/metalauncher"
    executable.chmod(executable.stat().st_mode | stat.S_ISUID)
    started = enter(("user", 65534, 65534), environ=nowhere)
    if jail.form.is_script:  # the kernel takes no set-id bit from a script
        assert started.exit_code == 80
        return
    assert (started.exit_code, started.stderr) == (0, b"")
    assert started.values("uid") == ["65534 0 0"]
    assert not [entry for entry in started.values("variable") if entry.startswith("METALAUNCHER_")]
