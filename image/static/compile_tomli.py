"""Translates tomli's parser to C with mypyc, for the CPython of the static executable: PACKAGE-PARENT OUTPUT.

Run with mypy on the path, its wheel without compiled code, by any Python that it supports; the result is the same.
"""

import importlib.machinery
import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class _Version(NamedTuple):
    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int


# mypyc writes C for the Python that it runs in: sys.version_info decides on immortal objects and a module's slots, and
# the names of extension modules get into the result. From here on that is the Python of the static executable.
TARGET = (3, 13)
sys.version_info = _Version(*TARGET, 0, "final", 0)  # type: ignore[assignment]  # what mypyc takes for its own
importlib.machinery.EXTENSION_SUFFIXES[:] = [".so"]
sysconfig.get_config_vars().update(EXT_SUFFIX=".so", SIZEOF_SIZE_T=8, Py_GIL_DISABLED=0)

# mypyc.build imports these at its head, for what compiles and installs extension modules. That is not called here, and
# not every setuptools can be imported by every Python.
for name in ("mypyc.build_setup", "setuptools", "distutils", "distutils.ccompiler", "distutils.sysconfig"):
    sys.modules[name] = ModuleType(name)
vars(sys.modules["distutils"]).update(
    ccompiler=sys.modules["distutils.ccompiler"], sysconfig=sys.modules["distutils.sysconfig"]
)

from mypyc.build import mypyc_build
from mypyc.options import CompilerOptions

# What is changed in tomli._parser for speed, not for meaning: tests hold the result against tomli as published.
CHANGES = (
    # Most of a large metadata.toml is strings, read one character at a time. Where all of one is printable and holds no
    # backslash, there is nothing to decode and nothing to refuse, and two calls take it whole.
    (
        """\
        error_on = ILLEGAL_BASIC_STR_CHARS
        parse_escapes = parse_basic_str_escape
""",
        """\
        end = src.find('"', pos)
        if end >= 0:
            whole = src[pos:end]
            if whole.isprintable() and "\\\\" not in whole:
                return end + 1, whole
        error_on = ILLEGAL_BASIC_STR_CHARS
        parse_escapes = parse_basic_str_escape
""",
    ),
    # Comments and literal strings: all characters that may be wrong are control characters, none of which is printable.
    (
        "    if not error_on.isdisjoint(src[pos:new_pos]):\n",
        """\
    skipped = src[pos:new_pos]
    if not skipped.isprintable() and not error_on.isdisjoint(skipped):
""",
    ),
    # White space and bare keys: a number for each character, where else it is a string that is looked up in a set.
    (
        """\
def skip_chars(src: str, pos: Pos, chars: Iterable[str]) -> Pos:
""",
        """\
def skip_chars(src: str, pos: Pos, chars: Iterable[str]) -> Pos:
    end = len(src)
    if chars is TOML_WS or chars is TOML_WS_AND_NEWLINE:
        newline = 10 if chars is TOML_WS_AND_NEWLINE else 32
        while pos < end:
            char = ord(src[pos])
            if char != 32 and char != 9 and char != newline:
                break
            pos += 1
        return pos
    if chars is BARE_KEY_CHARS:
        while pos < end:
            char = ord(src[pos])
            if not (97 <= char <= 122 or 48 <= char <= 57 or 65 <= char <= 90 or char == 45 or char == 95):
                break
            pos += 1
        return pos
""",
    ),
    # Every key has one part but a few: no generator for the others.
    (
        """\
    relative_path_cont_keys = (header + key[:i] for i in range(1, len(key)))
    for cont_key in relative_path_cont_keys:
""",
        """\
    for i in range(1, len(key)):
        cont_key = header + key[:i]
""",
    ),
)


def change(parser: Path) -> None:
    """Make the changes in tomli's own file; one that does not fit exactly once ends the build."""
    text = parser.read_text()
    for old, new in CHANGES:
        if text.count(old) != 1:
            sys.exit(f"tomli is not the one that this was written for; it lacks:\n{old}")
        text = text.replace(old, new)
    parser.write_text(text)


def main(parent: str, output: str) -> None:
    """Write __native_tomli.c and its headers to `output`."""
    change(Path(parent, "tomli/_parser.py"))
    os.chdir(parent)  # mypyc records the paths as given
    options = CompilerOptions(
        target_dir=output, capi_version=TARGET, python_version=TARGET, include_runtime_files=True, group_name="tomli"
    )
    mypyc_build(
        ["--config-file=", "--cache-dir=/dev/null", "tomli/_parser.py"],
        options,
        only_compile_paths=["tomli/_parser.py"],
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
