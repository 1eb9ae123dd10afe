"""The steps of the static executable's build, each kept in the cache by what it was made from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from cache import Cache
from contents import ContentsError, application_version, describe
from fetch import CPYTHON_VERSION, WHEELS, FetchError, cpython_sha256, fetch_cpython, fetch_wheel, pip

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
RESULT = TREE / "dist" / "metalauncher-linux-x86_64"

# Command -> Debian package.
TOOLS = {"gcc": "gcc", "gcc-ar": "gcc", "ld": "binutils", "make": "make", "musl-gcc": "musl-tools"}

COMPILE = [
    "-O2",
    "-g0",
    "-fno-pie",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-stack-protector",
    "-fcf-protection=none",
]
# The names of the profile's files are in the program that writes them; GCOV_PREFIX says where they really go.
PROFILE_WRITE = ["-fprofile-generate=/profile", "-fprofile-update=single"]
# libgcov of GCC 13 and later is compiled for a newer glibc than musl is like.
PROFILE_LINK = ["-Wl,--defsym=__isoc23_strtol=strtol"]
PROFILE_READ = ["-fprofile-correction", "-Wno-missing-profile"]
STRICT = ["-Wall", "-Wextra", "-Werror"]
LINK = [
    "-static",
    "-no-pie",
    "-Wl,--gc-sections",
    "-Wl,-z,norelro",
    "-Wl,--build-id=none",
    "-Wl,--no-warn-rwx-segments",
    "-Wl,--allow-multiple-definition",  # reduced.c
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
    "MODULE_BUILDTYPE=static",
    "LDFLAGS=-static",
    "AR=gcc-ar",
]
# configure asks for a multiarch triplet, and gives up if musl-gcc passes on the one of the machine's own C library.
COMPILER = '#!/bin/sh\ncase " $* " in *" --print-multiarch "*) exit 0 ;; esac\nexec musl-gcc "$@"\n'
MODULES = HERE / "Setup.local"
MYPYC = HERE / "mypyc-requirements.txt"
# What driver.py dispatches.
WARM_UP = HERE / "warm-up"

# Of training.c: what it puts in place of the C library's.
WRAPPED = ["-Wl,--wrap=fstat", "-Wl,--wrap=stat", "-Wl,--wrap=readdir"]
COMMON = ("frozen", "interpreter", "memory", "reduced", "tomli_parser")


class BuildError(Exception):
    """A command of the build failed."""


def main() -> None:
    """Build the executable: the argument, or dist/metalauncher-linux-x86_64; a failure is one message."""
    result = Path(sys.argv[1] if len(sys.argv) > 1 else RESULT)
    try:
        _check_tools()
        folder = build(Cache())
        result.parent.mkdir(parents=True, exist_ok=True)
        contents = result.with_name(f"{result.name}.contents.json")
        contents.unlink(missing_ok=True)  # it never speaks of another executable
        fresh = result.with_name(f".{result.name}.{os.getpid()}")  # the old one may be running
        shutil.copyfile(folder / "metalauncher", fresh)
        fresh.chmod(0o755)
        fresh.replace(result)
        shutil.copyfile(folder / "contents.json", fresh)
        fresh.replace(contents)
    except (BuildError, ContentsError, FetchError) as error:
        sys.exit(f"static: {error}")
    print(f"static: {result}, {result.stat().st_size} bytes")


def build(cache: Cache) -> Path:
    """Return the folder that holds the executable."""
    compiler = _version("musl-gcc") + _musl_library()
    source = cache.step(
        "source", cpython_sha256(), make=fetch_cpython, say=f"fetching the source of CPython {CPYTHON_VERSION}"
    )
    tomli = cache.step(
        "tomli", repr(WHEELS["tomli"]), make=lambda folder: fetch_wheel("tomli", folder), say="fetching tomli"
    )
    mypyc = cache.step(
        "mypyc", MYPYC, sys.version,
        make=lambda folder: pip(["install", f"--target={folder}", "--no-deps", "-r", str(MYPYC)]),
        say="fetching mypyc",
    )  # fmt: skip
    parser = cache.step(
        "parser", tomli, MYPYC, HERE / "compile_tomli.py",
        make=lambda folder: _translate_parser(tomli, mypyc, folder),
        say="translating tomli's parser to C with mypyc",
    )  # fmt: skip
    warm_up = sorted(path for path in WARM_UP.rglob("*") if path.is_file())
    python = cache.step(
        "python", source, parser, compiler, MODULES, repr((COMPILE, PROFILE_WRITE, PROFILE_READ, WRAPPED, CONFIGURE)),
        *[HERE / name for name in ("training.py", "freeze.py", "layout.ld", "memory.h", "interpreter.h", "start.h")],
        *[HERE / f"{name}.c" for name in ("training", *COMMON) if name != "frozen"], *warm_up,
        make=lambda folder: _make_python(source / "source", parser, tomli, folder),
        say="building CPython twice, the second time with a profile (minutes, once)",
    )  # fmt: skip
    application = sorted((TREE / "metalauncher").glob("*.py"))
    own = sorted(path for path in HERE.iterdir() if path.suffix in (".c", ".h", ".ld", ".py"))
    return cache.step(
        "program", python, tomli, repr((LINK, STRICT)),
        *[item for path in application + own + warm_up for item in (path.name, path)],
        make=lambda folder: _make_program(python, tomli, folder, source / "source"),
        say="building the executable",
    )  # fmt: skip


def _check_tools() -> None:
    """Install the tools that are missing where we may; name their packages where not."""
    missing = {package: command for command, package in TOOLS.items() if shutil.which(command) is None}
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    print(f"static: missing: {', '.join(missing.values())}", flush=True)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BuildError(f"install what is missing: {' '.join(install)}")
    _run(["apt-get", "--quiet=2", "update"])
    _run(install)


def _version(command: str) -> str:
    return subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout


def _musl_library() -> str:
    """Return what identifies the C library that is linked in; -print-file-name would find the machine's own."""
    said = subprocess.run(["musl-gcc", "-v"], check=True, capture_output=True, text=True).stderr
    specs = re.search(r"specs from (\S+)", said)
    if specs is None:
        raise BuildError(f"musl-gcc -v does not say where its specs are:\n{said}")
    status = Path(specs[1]).with_name("libc.a").stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _run(command: list[str], folder: Path | None = None, log: Path | None = None, **variables: str) -> None:
    """Run a command; if it fails, its output ends up in the message."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": "0",
        "PYTHONHASHSEED": "0",
        **variables,
    }
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if log is not None:
        log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BuildError(f"failed: {' '.join(command)}\n{tail}")


def _translate_parser(tomli: Path, mypyc: Path, folder: Path) -> None:
    """Translate tomli._parser to C; the result includes mypyc's own C."""
    work = folder / "work"
    shutil.copytree(tomli / "tomli", work / "tomli")
    _run([sys.executable, str(HERE / "compile_tomli.py"), str(work), str(folder)], PYTHONPATH=str(mypyc))
    shutil.rmtree(work)
    shutil.copytree(mypyc / "mypyc" / "lib-rt", folder / "lib-rt")


def _make_python(source: Path, parser: Path, tomli: Path, folder: Path) -> None:
    """Build CPython's static library, tomli's parser, and an interpreter for compiling Python code.

    All is built a first time to see what training.py runs through, and a second time with that profile.
    """
    work = folder / "work"
    (work / "Modules").mkdir(parents=True)
    shutil.copyfile(MODULES, work / "Modules" / "Setup.local")
    compiler = folder / "musl-gcc-cc"  # configure wants "gcc" in the name
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    _run([str(source / "configure"), f"CC={compiler}", *CONFIGURE, "LINKFORSHARED= "], work, folder / "configure.log")
    shutil.copytree(source / "Include", folder / "Include")
    shutil.copytree(source / "Lib", folder / "Lib", ignore=shutil.ignore_patterns("test", "idlelib", "tkinter"))
    shutil.copyfile(work / "pyconfig.h", folder / "pyconfig.h")

    options = [*COMPILE, f"-ffile-prefix-map={folder}=build", f"-ffile-prefix-map={source}=cpython"]
    options += [f"-ffile-prefix-map={parser}=parser", "-DNDEBUG"]
    found = f"-fprofile-use={folder / 'profile'}"
    for name, profile in (("first", PROFILE_WRITE), ("second", [found, *PROFILE_READ])):
        for made in [*work.rglob("*.o"), *work.glob("*.a")]:
            made.unlink()
        all_options = [*options, *profile, f"-fprofile-prefix-path={work}"]
        make = ["make", f"-j{os.cpu_count()}", f"OPT={' '.join(all_options)}"]
        linking = [*PROFILE_WRITE, *PROFILE_LINK] if profile is PROFILE_WRITE else profile[:1]
        make += [f"LDFLAGS={' '.join(['-static', *linking])}", "libpython3.13.a", "python"]
        _run(make, work, folder / f"make-{name}.log", GCOV_PREFIX=str(folder / "unwanted"))
        includes = [*_includes(folder), f"-I{parser / 'lib-rt'}"]
        native = [str(parser / "__native_tomli.c"), "-o", "native.o"]
        _run(["musl-gcc", *all_options, *includes, "-w", "-c", *native], work)
        for result in ("libpython3.13.a", "python", "native.o"):
            shutil.copy(work / result, folder / result)
        if profile is PROFILE_WRITE:
            training = folder / "training"
            training.mkdir()
            for lists in HERE.glob("hot-*.ld"):
                (training / lists.name).touch()  # found first: how the result is ordered must not show in the profile
            profiling = [*PROFILE_WRITE, *PROFILE_LINK, *WRAPPED]
            program = _link(folder, tomli, "training.py", (*COMMON, "training"), training, *profiling)
            _run([str(program)], WARM_UP, GCOV_PREFIX=str(folder))
            shutil.rmtree(training)
    shutil.rmtree(work)
    shutil.rmtree(folder / "profile")
    shutil.rmtree(folder / "unwanted", ignore_errors=True)


def _make_program(python: Path, tomli: Path, folder: Path, source: Path) -> None:
    """Link the executable-to-be, and run it to write itself as a snapshot (snapshot.c)."""
    work = folder / "work"
    work.mkdir()
    program = str(_link(python, tomli, "driver.py", (*COMMON, "snapshot", "start"), work, "-Wl,--entry=first"))
    survey, plan = str(work / "survey"), str(work / "plan")
    _run([program, "survey", "", survey], WARM_UP)
    _run([program, "trace", survey, plan], WARM_UP)
    _run([program, "write", plan, str(folder / "metalauncher")], WARM_UP)
    shutil.copyfile(work / "map", folder / "map")  # for order.py
    contents = describe(folder / "metalauncher", work, source, application_version(TREE), MYPYC)
    (folder / "contents.json").write_bytes(contents)
    shutil.rmtree(work)


def _link(python: Path, tomli: Path, driver: str, names: tuple[str, ...], work: Path, *profile: str) -> Path:
    """Freeze the Python code, compile our own C, and link both with CPython and the parser; return the program."""
    freeze = [str(python / "python"), "-B", "-S", "-X", "frozen_modules=off", str(HERE / "freeze.py"), "frozen.c"]
    _run(
        [*freeze, str(HERE / driver), str(TREE), str(tomli)], work,
        PYTHONHOME="/", PYTHONPATH=str(python / "Lib"), GCOV_PREFIX=str(python / "unwanted"),
    )  # fmt: skip
    options = [*COMPILE, *STRICT, *_includes(python), f"-I{HERE}"]
    options += [f"-ffile-prefix-map={HERE}=static", f"-ffile-prefix-map={python}=build"]
    for name in names:
        source = "frozen.c" if name == "frozen" else str(HERE / f"{name}.c")
        _run(["musl-gcc", *options, "-DPy_BUILD_CORE=1", "-fno-builtin-malloc", "-c", source], work)
    objects = [*[f"{name}.o" for name in names], str(python / "native.o"), str(python / "libpython3.13.a"), "-lm"]
    link = ["musl-gcc", *LINK, *profile, f"-Wl,-T,{HERE / 'layout.ld'}", f"-L{HERE}", "-Wl,-Map=map"]
    _run([*link, *objects, "-o", "program"], work)
    return work / "program"


def _includes(python: Path) -> list[str]:
    return [f"-I{python / 'Include'}", f"-I{python}", f"-I{python / 'Include' / 'internal'}"]


if __name__ == "__main__":
    main()
