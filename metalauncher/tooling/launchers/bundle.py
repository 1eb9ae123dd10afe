"""`metalauncher bundle add`, `remove` and `show`: launchers into a run image, whole or not at all, and out again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from metalauncher.places import EXECUTABLE, LAUNCHERS
from metalauncher.tooling.architectures import this_architecture
from metalauncher.tooling.console import Console, Unable, decode, system_text
from metalauncher.tooling.installed import (
    DIRECTORIES,
    Installed,
    choose,
    digest_of,
    installed,
    is_own,
    own_folder,
)
from metalauncher.tooling.launcher_json import launcher_document
from metalauncher.tooling.launchers.bundle_report import Outcome, document, lines
from metalauncher.tooling.launchers.bundle_source import Bundle, read_source
from metalauncher.tooling.launchers.descriptor_writer import Wishes, declare
from metalauncher.tooling.launchers.tarball import SBOMS
from metalauncher.tooling.pep440 import parse_version
from metalauncher.tooling.roots import on_root
from metalauncher.tooling.sbom.model import Product, bundle_purl
from metalauncher.tooling.sbom.statements import STATEMENTS, parse_statements
from metalauncher.tooling.writing import leftovers, lock, sync, undo_directories, write_whole

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from metalauncher.descriptor import Launcher
    from metalauncher.explain.jsontext import Json
    from metalauncher.places import Root


def run(options: Namespace, root: Root, console: Console) -> int:
    """Run one of the three; return 0.

    Raises:
        Unable: it could not be done, and nothing was changed.
    """
    try:
        match options.action:
            case "add":
                outcome = add(_addition(options), root, console)
            case "remove":
                outcome = _remove(options.name, root, console)
            case _:
                outcome = Outcome("shown", tuple(choose(root, options.name, on_root("metalauncher bundle show", root))))
    except OSError as error:
        raise _unwritable(error, root) from None
    if options.format == "json":
        console.document(document(outcome, root))
        return 0
    console.out(lines(outcome, root, console))
    for warning in outcome.warnings:
        console.warn(warning)
    return 0


def _unwritable(error: OSError, root: Root) -> Unable:
    """Return what to say where a place of bundles can't be read or written: what helps depends on why."""
    path = decode(os.fsencode(error.filename)) if error.filename else "a file"
    place = decode(root.locate(LAUNCHERS.encode()))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        do, command = "make room on its file system", f"df -h {place}"
    elif root.prefix:
        do, command = "run it as the owner of the root", f"ls -ld {shlex.quote(decode(root.prefix) or '/')}"
    else:
        do = "name the root of a run image; without one it is this machine's own"
        command = "metalauncher bundle add SOURCE --root DIR"
    return Unable(
        f"{path}: {system_text(error)}", need="to read and write the places of bundles", do=do, command=command
    )


class OtherContent(Unable):
    """What is installed under the same id and version is another launcher, or declares otherwise."""


class Addition(NamedTuple):
    """A bundle that is to be installed.

    Attributes:
        source: a tarball, a directory or an executable.
        architecture: the run image's, as lifecycle's tarballs name it; None for this machine's.
        sha256: the digest that the source must have, or a file with it; None for the file beside it, if there is one.
        wishes: what is to be declared otherwise than `lifecycle.toml` says.
        into: the directory of descriptors, of `DIRECTORIES`.
        replace: a different launcher of the same id and version.
    """

    source: str
    architecture: str | None = None
    sha256: str | None = None
    wishes: Wishes = Wishes()
    into: str = "usr"
    replace: bool = False


def _addition(options: Namespace) -> Addition:
    wishes = Wishes(
        options.id,
        options.version,
        options.priority,
        options.opt_in_env,
        tuple(options.requires) if options.requires else None,
        tuple(options.cannot_read) if options.cannot_read else None,
        options.platform_apis,
        options.buildpack_apis,
    )
    return Addition(options.source, options.arch, options.sha256, wishes, options.into, options.replace)


def add(addition: Addition, root: Root, console: Console) -> Outcome:
    """Install a bundle.

    Raises:
        Unable: it is none, or contradicts what is installed.
        OSError: it can't be written. Either way nothing was changed.
    """
    wishes = addition.wishes
    architecture = addition.architecture or this_architecture()
    bundle = read_source(addition.source, architecture, addition.sha256)
    if bundle.sha256 == digest_of(root.locate(EXECUTABLE.encode())):
        raise Unable(
            f"{bundle.source}: is metalauncher itself, which would start itself for ever",
            need="a launcher",
            command="metalauncher bundle add --help",
        )
    declared, _ = declare(bundle, wishes)
    if bundle.statements is not None:
        about = Product(bundle_purl(declared.id, declared.version), bundle.sha256)
        parse_statements(bundle.statements, f"{bundle.source}: {STATEMENTS}", {}, about)
    with undo_directories() as make:
        make(root.locate(b"/usr/lib/cnb"))
        with _locked(root, console):
            cleaned = _clean(root)
            there = installed(root)
            target = Target(root, addition.into, declared)
            path = _place(bundle, declared, there, target)
            launcher, text = declare(bundle, wishes, path)
            changes = _changes(bundle, launcher, there, target)
            if changes and not addition.replace:
                raise _conflict(declared, changes, addition, root)
            known = [item for item in there if item.file == target.file]
            result = Installed(addition.into, target.directory, target.name, launcher)
            warnings = _warnings(bundle, result, there, root)
            if (
                known
                and not changes
                and launcher_document(known[0].launcher) == launcher_document(launcher)
                and _is_whole(bundle, result, root)
            ):
                return Outcome("unchanged", (result,), cleaned, warnings)
            make(target.directory)
            make(os.path.dirname(target.executable(launcher)))
            _write(bundle, launcher, text, target)
            _discard(known, root)
            action = "added" if not known else "replaced" if changes else "completed"
            return Outcome(action, (result,), cleaned, warnings)


class Target(NamedTuple):
    """Where a bundle goes.

    Attributes:
        root: the image's root.
        into: `etc` or `usr`: whose descriptor it is.
        declared: the launcher.
    """

    root: Root
    into: str
    declared: Launcher

    @property
    def directory(self) -> bytes:
        """Of the descriptor."""
        return self.root.locate(DIRECTORIES[self.into])

    @property
    def name(self) -> bytes:
        """Of the descriptor's file."""
        return f"{self.declared.id.replace('/', '_')}@{self.declared.version}.toml".encode()

    @property
    def file(self) -> bytes:
        """The descriptor."""
        return self.directory + b"/" + self.name

    def executable(self, launcher: Launcher) -> bytes:
        """Return where the executable goes: its folder may be a link, the file itself is replaced."""
        return self.root.locate(os.path.dirname(launcher.path).encode()) + b"/launcher"


def _place(bundle: Bundle, declared: Launcher, there: Sequence[Installed], target: Target) -> str | None:
    """Return the executable's path, None for the default one.

    An executable that some descriptor names is never written over: the old descriptor stays true until the new one,
    naming another path, takes its place in one rename.
    """
    apart = f"{own_folder(declared)}/{bundle.sha256[:16]}/launcher"
    taken = {item.launcher.path for item in there}
    for path in (declared.path, apart):
        if digest_of(target.root.locate(path.encode())) == bundle.sha256:
            return None if path == declared.path else path
    free = declared.path not in taken or not os.path.lexists(target.root.locate(declared.path.encode()))
    return None if free else apart


def _changes(bundle: Bundle, launcher: Launcher, there: Sequence[Installed], target: Target) -> list[str]:
    """Say in what way the bundle contradicts what is installed under the same id and version."""
    changes: list[str] = []
    for item in there:
        old = item.launcher
        if (old.id, old.version_key) != (launcher.id, launcher.version_key):
            continue
        if old.version != launcher.version:
            raise Unable(
                f"{launcher!r} is already installed, with its version written as {old.version!r}",
                need="one way of writing a version",
                have=[decode(item.file)],
                do="write it the same way with --version, or remove the other",
                command=on_root(f"metalauncher bundle remove {old!r}", target.root),
            )
        digest = digest_of(target.root.locate(old.path.encode())) or old.sha256
        if digest is not None and digest != bundle.sha256:
            changes.append(f"{decode(item.file)}: another executable, sha256 {digest}")
        elif item.file == target.file:
            before, after = launcher_document(old), launcher_document(launcher)
            changes += [
                f"{decode(item.file)}: {key.replace('_', '-')} is {_json(before[key])}, not {_json(after[key])}"
                for key in before
                if key not in ("path", "sha256")
                and before[key] != after[key]
                # Installed before descriptors said what a launcher can't read: that is added, and replaces nothing.
                and not (key == "cannot_read" and not before[key])
            ]
    return changes


def _json(value: Json) -> str:
    return str(value) if value is not None else "not given"


def _conflict(launcher: Launcher, changes: list[str], addition: Addition, root: Root) -> OtherContent:
    words = ["metalauncher", "bundle", "add", addition.source]
    for option, value in (
        ("--id", addition.wishes.identifier),
        ("--version", addition.wishes.version),
        ("--platform-apis", addition.wishes.platform_apis),
        ("--buildpack-apis", addition.wishes.buildpack_apis),
    ):
        words += [option, value] if value is not None else []
    return OtherContent(
        f"{launcher!r} is already installed, with other content",
        need="the same bundle, or a version of its own such as "
        + (f"{launcher.version}.1" if "+" in launcher.version else f"{launcher.version}+vendor.1"),
        have=changes,
        do="give a rebuild a version of its own with --version: it goes before the old one; or replace the old one",
        command=on_root(shlex.join([*words, "--replace"]), root),
    )


def _is_whole(bundle: Bundle, result: Installed, root: Root) -> bool:
    """Tell whether executable and what lies beside it are all there as they are to be."""
    path = root.locate(result.launcher.path.encode())
    folder = os.path.dirname(path)
    try:
        if digest_of(path) != bundle.sha256 or os.stat(path).st_mode & 0o7777 != 0o755:
            return False
    except OSError:
        return False
    expectations = {name: bundle.sboms.get(name) for name in SBOMS}
    if bundle.statements is not None:  # else those that are there were written by hand
        expectations[STATEMENTS] = bundle.statements
    for name, expected in expectations.items():
        path = folder + b"/" + name.encode()
        # A link, which may lead out of the root, is nothing that was written here.
        found = None if not os.path.lexists(path) else "" if os.path.islink(path) else digest_of(path) or ""
        if found != (None if expected is None else hashlib.sha256(expected).hexdigest()):
            return False
    return True


def _write(bundle: Bundle, launcher: Launcher, text: str, target: Target) -> None:
    """Write the SBOMs, the statements, the executable, and last the descriptor, which makes them count."""
    path = target.executable(launcher)
    folder = os.path.dirname(path)
    new: list[bytes] = []

    def put(directory: bytes, name: bytes, data: bytes, mode: int) -> None:
        file = directory + b"/" + name
        if not os.path.lexists(file):
            new.append(file)
        write_whole(directory, name, data, mode)

    try:
        for name, data in sorted(bundle.sboms.items()):
            put(folder, name.encode(), data, 0o644)
        if bundle.statements is not None:
            put(folder, STATEMENTS.encode(), bundle.statements, 0o644)
        put(folder, b"launcher", bundle.launcher, 0o755)
        put(target.directory, target.name, text.encode(), 0o644)
    except BaseException:
        for file in reversed(new):
            with contextlib.suppress(OSError):
                os.unlink(file)
        raise
    for name in SBOMS:
        if name not in bundle.sboms:  # of another executable
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder + b"/" + name.encode())


def _remove(name: str, root: Root, console: Console) -> Outcome:
    chosen = choose(root, name, on_root("metalauncher list", root))
    versions = sorted({item.launcher.version for item in chosen}, key=parse_version)
    if len(versions) > 1:
        raise Unable(
            f"{name} is installed in {len(versions)} versions",
            need="ID@VERSION of one of them",
            have=[f"{name}@{version}" for version in versions],
            command=on_root(f"metalauncher bundle remove {name}@{versions[0]}", root),
        )
    with _locked(root, console):
        chosen = choose(root, name, on_root("metalauncher list", root))
        cleaned = _clean(root)
        for item in chosen:  # first: from here on nothing leads to the executable
            os.unlink(item.file)
            sync(item.directory)
        warnings = _discard(chosen, root)
    return Outcome("removed", tuple(chosen), cleaned, tuple(warnings))


def _discard(gone: Sequence[Installed], root: Root) -> list[str]:
    """Remove the executables, and what lies beside them, that nothing leads to any more; say which were left."""
    left: list[str] = []
    needed = {item.launcher.path for item in installed(root)}
    for launcher in {item.launcher.path: item.launcher for item in gone}.values():
        if launcher.path in needed:
            continue
        if not is_own(launcher):
            left.append(f"{launcher.path} was left: it lies outside {own_folder(launcher)}")
            continue
        folder = root.locate(os.path.dirname(launcher.path).encode())
        for name in ("launcher", STATEMENTS, *SBOMS):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder + b"/" + name.encode())
        # Up to the folder of all launchers, as far as they are empty.
        with contextlib.suppress(OSError):
            while folder != root.locate(LAUNCHERS.encode()):
                os.rmdir(folder)
                folder = os.path.dirname(folder)
    return left


def _clean(root: Root) -> tuple[bytes, ...]:
    found = leftovers(*[root.locate(place) for place in (*DIRECTORIES.values(), LAUNCHERS.encode())])
    for file in found:
        os.unlink(file)
    return tuple(found)


def _locked(root: Root, console: Console) -> contextlib.AbstractContextManager[None]:
    return lock(root.locate(b"/usr/lib/cnb"), lambda: console.say("waiting for another `metalauncher bundle`"))


def _warnings(bundle: Bundle, result: Installed, there: Sequence[Installed], root: Root) -> tuple[str, ...]:
    warnings: list[str] = []
    if not bundle.sboms:
        warnings.append(f"{result.launcher!r} came without an SBOM: that of a run image won't say what is in it")
    if result.into == "usr":
        over = root.locate(DIRECTORIES["etc"]) + b"/" + result.name
        if any(item.file == over for item in there):
            warnings.append(f"{decode(over)} goes before this descriptor")
        elif os.path.lexists(over):
            warnings.append(f"{decode(over)} may mask this descriptor: see metalauncher list --all")
    return tuple(warnings)
