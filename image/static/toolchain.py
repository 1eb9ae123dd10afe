"""The toolchain of the static executable: clang, lld and musl from one pinned wheel, the same on every distribution.

The wheel is ziglang. Of it clang and lld are called directly: `zig cc` would decide on options and caching itself.
Only musl and compiler-rt are built through `zig cc`, which knows their source files and flags.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from architectures import ARCHITECTURES
from fetch import fetch_wheels, pins
from run import BuildError, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from architectures import Architecture

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "toolchain-requirements.txt"
NAME = "ziglang"
# Of the wheel: its headers for other systems, and what only Zig's own programs need, are most of its 18,000 files.
HEADERS = tuple(sorted({folder for architecture in ARCHITECTURES.values() for folder in architecture.headers}))
_DIGEST = "wheel.sha256"
_LIBRARIES = ("libc.a", "libzigc.a", "libcompiler_rt.a")  # in the order in which they are searched
# Libraries that configure, or a makefile, may name, and that musl has within its own.
_EMPTY = ("libm.a", "libdl.a", "libpthread.a", "librt.a", "libutil.a")
_COMPILES = "-c|-E|-S|-M|-MM|--version|-dumpmachine|-dumpversion|-v|-V|-qversion|-version"
_COMPILER = f"""\
#!/bin/sh
# Compile as `clang` does, and link with this folder's musl. Written by toolchain.py.
here=${{0%/*}}
for option; do
  case $option in
    --print-multiarch) exit 0 ;; # CPython's configure takes an answer for one of the machine's C library
    {_COMPILES}) exec "$here/clang" "$@" ;;
  esac
done
exec "$here/clang" -nostdlib -static -Wno-unused-command-line-argument --ld-path="$here/ld" "$here/lib/crt1.o" "$@" \\
  {" ".join(f'"$here/lib/{name}"' for name in _LIBRARIES)}
"""
_CLANG = """\
#!/bin/sh
here=${{0%/*}}
zig=$here/../{wheel}/ziglang
exec "$zig/zig" clang --target={target} --sysroot="$here" --gcc-install-dir= -nostdlibinc -nobuiltininc \\
  -isystem "$zig/lib/include" \\
  {headers} "$@"
"""
_TOOL = '#!/bin/sh\nexec "${{0%/*}}/../{wheel}/ziglang/zig" {tool} "$@"\n'


class Toolchain:
    """The toolchain in a folder of the cache.

    Attributes:
        folder: the toolchain's.
        cc: compiles, and links programs with musl.
        ar: makes archives.
        version: of the wheel.
        sha256: of the wheel.
    """

    def __init__(self, wheel: Path, folder: Path) -> None:
        """Take the folders that fetch_zig() and make_toolchain() have filled."""
        self._wheel = wheel
        self.folder = folder
        self.cc = folder / "cc"
        self.ar = folder / "ar"
        self.version = pins(REQUIREMENTS)[NAME].version
        self.sha256 = (wheel / _DIGEST).read_text()

    def link(self, options: Iterable[str], objects: Iterable[str], result: str) -> list[str]:
        """Return the command that links objects and archives with musl, by the linker itself."""
        library = self.folder / "lib"
        libraries = [str(library / name) for name in _LIBRARIES]
        return [
            str(self.folder / "ld"),
            "-static",
            *options,
            str(library / "crt1.o"),
            *objects,
            *libraries,
            "-o",
            result,
        ]

    def musl_version(self) -> str:
        """Return the version of musl that the wheel has the sources of."""
        text = (self._wheel / "ziglang/lib/libc/musl/src/internal/version.h").read_text()
        found = re.search(r'^#define VERSION "(\S+)"$', text, re.MULTILINE)
        if found is None:
            raise BuildError("musl does not say which version it is")
        return found[1]


def fetch_zig(folder: Path) -> None:
    """Fetch the wheel, and unpack what is needed of it."""
    (digest,) = fetch_wheels(REQUIREMENTS, folder, wanted=_is_wanted)
    (folder / _DIGEST).write_text(digest)
    (folder / "ziglang/zig").chmod(0o755)


def make_toolchain(wheel: Path, architecture: Architecture, folder: Path) -> None:
    """Write the commands, and build musl and compiler-rt; both folders are in the same one, the cache."""
    headers = " ".join(f'-isystem "$zig/lib/libc/include/{name}"' for name in architecture.headers)
    for name, text in (
        ("cc", _COMPILER),
        ("clang", _CLANG.format(wheel=wheel.name, target=architecture.target, headers=headers)),
        ("ld", _TOOL.format(wheel=wheel.name, tool="ld.lld")),
        ("ar", _TOOL.format(wheel=wheel.name, tool="ar")),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    _build_libraries(wheel / "ziglang/zig", architecture.target, folder / "lib")


def _is_wanted(name: str) -> bool:
    parts = name.split("/")
    if parts[:4] == ["ziglang", "lib", "libc", "include"]:
        return parts[4] in HEADERS
    return parts[:3] != ["ziglang", "lib", "docs"] and not name.startswith(
        ("ziglang/lib/libcxx", "ziglang/lib/libtsan")
    )


def _build_libraries(zig: Path, target: str, library: Path) -> None:
    """Let zig link a program, and keep what it has built for that; where that is, it says when asked to be verbose."""
    work = library.with_name("work")
    work.mkdir()
    (work / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [str(zig), "cc", "-target", target, "-mcpu=baseline", "-O2", "-s", "-static", "-fno-sanitize=all"]
    said = run(
        [*command, "empty.c", "-o", "empty"], work,
        ZIG_GLOBAL_CACHE_DIR=str(work / "cache"), ZIG_LOCAL_CACHE_DIR=str(work / "cache"), ZIG_VERBOSE_LINK="1",
    )  # fmt: skip
    link = [line for line in said.splitlines() if re.search(r" -o empty ", line)]
    built = [Path(word) for word in (link[-1].split() if link else ())]
    library.mkdir()
    for name in ("crt1.o", *_LIBRARIES):
        found = [path for path in built if path.name == name]
        if len(found) != 1:
            raise BuildError(f"zig links with {len(found)} files called {name}, and not with one:\n{said[-2000:]}")
        shutil.copyfile(work / found[0], library / name)
    for name in _EMPTY:
        (library / name).write_bytes(b"!<arch>\n")
    shutil.rmtree(work)
