"""The steps of the static executable's build, each kept in the cache by what it was made from."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from application import application_sources
from architectures import ARCHITECTURES, EMULATORS, HOST, Architecture
from cache import Cache
from contents import ContentsError, application_version, describe
from fetch import CPYTHON_VERSION, MYPYC, FetchError, cpython_sha256, fetch_cpython, fetch_tomli, fetch_wheels
from run import BuildError, run
from toolchain import HEADERS, REQUIREMENTS, Toolchain, fetch_zig, make_toolchain

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
DIST = TREE / "dist"

# Command -> Debian package.
TOOLS = {"make": "make"}

COMPILE = [
    "-O2",
    "-g0",
    "-fno-pie",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-stack-protector",
]
# The compiler's profile of CPython and the parser, kept in the tree: take_profile.py. A static function is known by the
# name of its file, without the folders; sections keep their names, whatever is hot. It was taken on x86-64. A
# function that has another shape for another architecture does without.
PROFILE = HERE / "profile-x86_64.profdata"
NAMES = ["-mllvm", "-static-func-full-module-prefix=false", "-mllvm", "-disable-vp"]
PROFILE_READ = [
    f"-fprofile-use={PROFILE}",
    *NAMES,
    "-mllvm",
    "-profile-guided-section-prefix=false",
    # What no dispatch runs is made small. That is what was not seen once; clang would count what is seen seldom, too.
    "-mllvm",
    "-pgo-cold-func-opt=minsize",
    "-mllvm",
    "-profile-summary-cold-count=0",
    "-Wno-profile-instr-unprofiled",
    "-Wno-profile-instr-out-of-date",
    "-Wno-backend-plugin",
]
STRICT = ["-Wall", "-Wextra", "-Werror"]
LINK = [
    "--gc-sections",
    "-z",
    "norelro",
    "--build-id=none",
    "--allow-multiple-definition",  # reduced.c
]
CONFIGURE = [
    "--disable-shared",
    "--disable-test-modules",
    "--without-ensurepip",
    "--without-doc-strings",
    "--without-readline",
    "--disable-ipv6",
    "--without-mimalloc",
    "--without-pymalloc",
    "ac_cv_broken_nice=no",  # a build that itself runs at nice 19 would find out otherwise
    "MODULE_BUILDTYPE=static",
    "LINKFORSHARED= ",
]
# What configure finds out by running programs, and can't where they do not run: as it is on this machine.
CROSS = [
    "ac_cv_aligned_required=no",
    "ac_cv_broken_sem_getvalue=no",
    "ac_cv_computed_gotos=yes",
    "ac_cv_file__dev_ptc=no",
    "ac_cv_file__dev_ptmx=yes",
    "ac_cv_pthread_system_supported=yes",
    "ac_cv_working_tzset=yes",
]
# What it may say otherwise of one architecture than of another.
OF_ARCHITECTURE = {"HAVE_GCC_ASM_FOR_X64", "HAVE_GCC_ASM_FOR_X87", "PY_SUPPORT_TIER"}
MODULES = HERE / "Setup.local"
# What driver.py dispatches.
WARM_UP = HERE / "warm-up"
# The files whose sections are not to be in the result (layout.ld).
BUILD = ("*snapshot.o", "*frozen.o", "*interpreter.o", "*getpath.o")
COMMON = ("frozen", "interpreter", "memory", "reduced", "tomli_parser")


def main() -> None:
    """Build the executables that are asked for; a failure is one message."""
    parser = argparse.ArgumentParser(prog="image/static/build")
    parser.add_argument("architecture", nargs="?", default=HOST.name, choices=[*ARCHITECTURES, "all"])
    parser.add_argument("folder", nargs="?", default=DIST, type=Path, help="where the results go")
    asked = parser.parse_args()
    chosen = [item for item in ARCHITECTURES.values() if asked.architecture in (item.name, "all")]
    try:
        check_tools(chosen)
        for architecture in chosen:
            _install(build(Cache(), architecture), result_of(architecture, asked.folder))
    except (BuildError, ContentsError, FetchError) as error:
        sys.exit(f"static: {error}")


def result_of(architecture: Architecture, folder: Path = DIST) -> Path:
    """Return where an executable goes."""
    return folder / f"metalauncher-linux-{architecture.name}"


def _install(built: Path, result: Path) -> None:
    """Put an executable in its place, and beside it the description of it."""
    result.parent.mkdir(parents=True, exist_ok=True)
    contents = result.with_name(f"{result.name}.contents.json")
    contents.unlink(missing_ok=True)  # it never speaks of another executable
    fresh = result.with_name(f".{result.name}.{os.getpid()}")  # the old one may be running
    shutil.copyfile(built / "metalauncher", fresh)
    fresh.chmod(0o755)
    fresh.replace(result)
    shutil.copyfile(built / "contents.json", fresh)
    fresh.replace(contents)
    print(f"static: {result}, {result.stat().st_size} bytes")


class Inputs(NamedTuple):
    """What CPython and the parser are built from: the toolchain, CPython's sources, the parser as C, tomli."""

    architecture: Architecture
    tools: Toolchain
    source: Path
    parser: Path
    tomli: Path


def inputs(cache: Cache, architecture: Architecture = HOST) -> Inputs:
    """Fetch and prepare what is pinned."""
    zig = cache.step("zig", REQUIREMENTS, repr(HEADERS), make=fetch_zig, say="fetching the compiler")
    toolchain = cache.step(
        "toolchain", zig, HERE / "toolchain.py", repr(architecture),
        make=partial(make_toolchain, zig, architecture),
        say=f"building musl for {architecture.name}",
    )  # fmt: skip
    source = cache.step(
        "source", cpython_sha256(), make=fetch_cpython, say=f"fetching the source of CPython {CPYTHON_VERSION}"
    )
    tomli = fetch_tomli(cache)
    mypyc = cache.step("mypyc", MYPYC, sys.version, make=partial(fetch_wheels, MYPYC), say="fetching mypyc")
    parser = cache.step(
        "parser", tomli, MYPYC, HERE / "compile_tomli.py",
        make=partial(_translate_parser, tomli, mypyc),
        say="translating tomli's parser to C with mypyc",
    )  # fmt: skip
    return Inputs(architecture, Toolchain(zig, toolchain), source / "source", parser, tomli)


class Pythons(NamedTuple):
    """The folders of make_python(): of the architecture that is built for, and of this machine."""

    target: Path
    here: Path


def build(cache: Cache, architecture: Architecture = HOST) -> Path:
    """Return the folder that holds the executable."""
    given = inputs(cache, architecture)
    here = _build_python(cache, given if architecture == HOST else inputs(cache), None)
    python = Pythons(here if architecture == HOST else _build_python(cache, given, here), here)
    application = application_sources(TREE / "metalauncher")
    own = sorted(path for path in HERE.iterdir() if path.suffix in (".c", ".h", ".ld", ".py", ".txt"))
    own.append(HERE / "arch" / f"{architecture.name}.h")
    warm_up = sorted(path for path in WARM_UP.rglob("*") if path.is_file())
    return cache.step(
        "program", python.target, given.tomli, given.tools.folder, repr((LINK, STRICT)),
        *[item for path in application + own + warm_up for item in (str(path.relative_to(TREE)), path)],
        make=partial(_make_program, given, python),
        say=f"building the executable for {architecture.name}",
    )  # fmt: skip


def own_python(cache: Cache) -> Path:
    """Return the folder of CPython for this machine: `python`, and its library in `Lib`."""
    return _build_python(cache, inputs(cache), None)


def _build_python(cache: Cache, given: Inputs, here: Path | None) -> Path:
    """Return the folder of make_python()."""
    return cache.step(
        "python", given.source.parent, given.parser, given.tools.folder, MODULES, PROFILE,
        repr((COMPILE, PROFILE_READ[1:], CONFIGURE)), *((here, repr(CROSS)) if here else ()),
        make=partial(make_python, given, PROFILE_READ, here),
        say=f"building CPython for {given.architecture.name} (minutes, once)",
    )  # fmt: skip


def check_tools(architectures: list[Architecture]) -> None:
    """Install the tools that are missing where we may; name their packages where not."""
    emulators = [architecture.emulator for architecture in architectures if architecture.emulator]
    needed = TOOLS | {command: EMULATORS[command] for command in emulators}
    missing = {package: command for command, package in needed.items() if shutil.which(command) is None}
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    print(f"static: missing: {', '.join(missing.values())}", flush=True)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BuildError(f"install what is missing: {' '.join(install)}")
    run(["apt-get", "--quiet=2", "update"])
    run(install)


def _translate_parser(tomli: Path, mypyc: Path, folder: Path) -> None:
    """Translate tomli._parser to C; the result includes mypyc's own C."""
    work = folder / "work"
    shutil.copytree(tomli / "tomli", work / "tomli")
    run([sys.executable, str(HERE / "compile_tomli.py"), str(work), str(folder)], PYTHONPATH=str(mypyc))
    shutil.rmtree(work)
    shutil.copytree(mypyc / "mypyc" / "lib-rt", folder / "lib-rt")


def make_python(given: Inputs, profile: list[str], here: Path | None, folder: Path) -> None:
    """Build CPython's static library, tomli's parser, and for this machine an interpreter that compiles Python code.

    Args:
        given: what it is built from.
        profile: the compiler's options for its profile.
        here: what this function has made for this machine, if it is not that which is to be made.
        folder: is filled.
    """
    architecture, tools, source, parser, _ = given
    work = folder / "work"
    (work / "Modules").mkdir(parents=True)
    shutil.copyfile(MODULES, work / "Modules" / "Setup.local")
    configure = [str(source / "configure"), f"CC={tools.cc}", f"AR={tools.ar}", *CONFIGURE]
    results = ["libpython3.13.a"]
    if here is None:
        results.append("python")
    else:
        configure += [*CROSS, f"--build={HOST.target}", f"--host={architecture.target}"]
        configure += [f"--with-build-python={_python_command(here, work)}"]
    run(configure, work, folder / "configure.log")
    shutil.copytree(source / "Include", folder / "Include")
    shutil.copytree(source / "Lib", folder / "Lib", ignore=shutil.ignore_patterns("test", "idlelib", "tkinter"))
    shutil.copyfile(work / "pyconfig.h", folder / "pyconfig.h")
    if here is not None:
        _compare_configs(folder / "pyconfig.h", here / "pyconfig.h")

    options = [*COMPILE, *architecture.options, f"-ffile-prefix-map={folder}=build"]
    options += [f"-ffile-prefix-map={source}=cpython", f"-ffile-prefix-map={parser}=parser", "-DNDEBUG", *profile]
    run(["make", f"-j{os.cpu_count()}", f"OPT={' '.join(options)}", *results], work, folder / "make.log")
    includes = [*_includes(folder), f"-I{parser / 'lib-rt'}"]
    native = [str(parser / "__native_tomli.c"), "-o", "native.o"]
    run([str(tools.cc), *options, *includes, "-w", "-c", *native], work)
    for result in (*results, "native.o"):
        shutil.copy(work / result, folder / result)
    shutil.rmtree(work)


def _compare_configs(*configs: Path) -> None:
    """See that configure says of both architectures the same, but for what is theirs alone: CROSS may be incomplete."""
    one, other = [set(re.findall(r"^.*?(?:define|undef) (\w+.*)$", file.read_text(), re.MULTILINE)) for file in configs]
    differ = {line.split()[0] for line in one ^ other} - OF_ARCHITECTURE
    if differ:
        raise BuildError(f"configure says otherwise of the other architecture, see CROSS: {', '.join(sorted(differ))}")


def _python_command(python: Path, folder: Path) -> Path:
    """Write a command that runs the interpreter built for this machine, with its own library; return its path."""
    command = folder / "build-python"
    command.write_text(f'#!/bin/sh\nPYTHONHOME=/ PYTHONPATH={python / "Lib"} exec {python / "python"} -B -S "$@"\n')
    command.chmod(0o755)
    return command


def _make_program(given: Inputs, python: Pythons, folder: Path) -> None:
    """Link the executable-to-be, and run it to write itself as a snapshot (snapshot.c)."""
    work = folder / "work"
    work.mkdir()
    for sections in HERE.glob("hot-*.txt"):
        (work / sections.with_suffix(".ld").name).write_text(_in_order(sections.read_text()))
    # A section that the layout does not name would lie somewhere, and not be in the result.
    layout = ["--entry=first", "-T", str(HERE / "layout.ld"), "-Map=map", "--orphan-handling=error"]
    program = [str(link(given, python, "driver.py", (*COMMON, "snapshot", "start"), layout, work))]
    if given.architecture.emulator:
        program.insert(0, given.architecture.emulator)
    survey, plan = str(work / "survey"), str(work / "plan")
    run([*program, "survey", "", survey], WARM_UP)
    run([*program, "trace", survey, plan], WARM_UP)
    run([*program, "write", plan, str(folder / "metalauncher")], WARM_UP)
    shutil.copyfile(work / "map", folder / "map")  # for order.py
    contents = describe(folder / "metalauncher", work, given.source, application_version(TREE), given.tools)
    (folder / "contents.json").write_bytes(contents)
    shutil.rmtree(work)


def link(given: Inputs, python: Pythons, driver: str, names: tuple[str, ...], options: list[str], work: Path) -> Path:
    """Freeze the Python code, compile our own C, and link both with CPython and the parser; return the program."""
    freeze = [str(python.here / "python"), "-B", "-S", "-X", "frozen_modules=off", str(HERE / "freeze.py"), "frozen.c"]
    freeze += [str(HERE / driver), str(TREE), str(given.tomli)]
    run(freeze, work, PYTHONHOME="/", PYTHONPATH=str(python.here / "Lib"))
    compile_ = [*COMPILE, *given.architecture.options, *STRICT, *_includes(python.target), f"-I{HERE}"]
    compile_ += [f"-ffile-prefix-map={HERE}=static", f"-ffile-prefix-map={python.target}=build"]
    for name in names:
        source = "frozen.c" if name == "frozen" else str(HERE / f"{name}.c")
        run([str(given.tools.cc), *compile_, "-DPy_BUILD_CORE=1", "-fno-builtin-malloc", "-c", source], work)
    objects = [*[f"{name}.o" for name in names], str(python.target / "native.o")]
    objects += [str(python.target / "libpython3.13.a")]
    run(given.tools.link([*LINK, *options], objects, "program"), work)
    return work / "program"


def _in_order(names: str) -> str:
    """Return what the linker is to include for a list of sections: of all files but those that only the build needs."""
    sections = [line for line in names.splitlines() if not line.startswith("#")]
    return "".join(f"*(EXCLUDE_FILE({' '.join(BUILD)}) {section})\n" for section in sections)


def _includes(python: Path) -> list[str]:
    return [f"-I{python / 'Include'}", f"-I{python}", f"-I{python / 'Include' / 'internal'}"]


if __name__ == "__main__":
    main()
