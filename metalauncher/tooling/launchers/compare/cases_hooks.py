"""What runs before the app: scripts of `profile.d`, and programs of `exec.d`, which write TOML to descriptor 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.launchers.compare.case import (
    Apis,
    Case,
    File,
    Folder,
    Link,
    Program,
    State,
    by_launcher,
    by_type,
    direct,
    environment,
    in_shell,
    metadata,
    shell,
    simple,
)

if TYPE_CHECKING:
    from typing import Any

_LAYER = "layers/acme_one/layer"
_PROFILE = f"{_LAYER}/profile.d"
_EXEC = f"{_LAYER}/exec.d"


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    return [*_profiles(apis), *_programs(apis), *_odd_programs(apis)]


def _profiles(apis: Apis) -> list[Case]:
    def with_scripts(name: str, about: str, *items: File | Folder | Link, **fields: Any) -> Case:
        return in_shell(apis, f"profile.d/{name}", about, items=items, **fields)

    def sets(path: str, text: str) -> File:
        return File(path, f'export SEEN="$SEEN[{text}]"\n'.encode())

    return [
        with_scripts("one", "a script that sets a variable", sets(f"{_PROFILE}/a.sh", "a $0 $# $PWD")),
        with_scripts(
            "order", "several scripts", *[sets(f"{_PROFILE}/{name}", name) for name in ("b", "a", "C", "1.sh")]
        ),
        with_scripts(
            "of-type",
            "scripts of a process type",
            sets(f"{_PROFILE}/web/a", "web"),
            sets(f"{_PROFILE}/worker/a", "worker"),
            sets(f"{_PROFILE}/all", "all"),
        ),
        with_scripts(
            "two-layers",
            "scripts of two layers",
            sets("layers/acme_one/z/profile.d/a", "z"),
            sets("layers/acme_one/b/profile.d/a", "b"),
        ),
        with_scripts(
            "app-profile", "the app's own .profile, last", sets("app/.profile", "app"), sets(f"{_PROFILE}/a", "a")
        ),
        with_scripts("app-profile-is-a-folder", "the app's .profile is a directory", Folder("app/.profile")),
        with_scripts("fails", "a script that fails", File(f"{_PROFILE}/a", b"false\n"), sets(f"{_PROFILE}/b", "b")),
        with_scripts("exits", "a script that exits", File(f"{_PROFILE}/a", b"exit 5\n")),
        with_scripts("syntax-error", "a script that is no shell's", File(f"{_PROFILE}/a", b"if then\n")),
        with_scripts("changes-directory", "a script that changes the directory", File(f"{_PROFILE}/a", b"cd /\n")),
        with_scripts("prints", "a script that prints", File(f"{_PROFILE}/a", b"echo out; echo err >&2\n")),
        with_scripts("options", "a script that sets -eu", File(f"{_PROFILE}/a", b"set -eu\n")),
        with_scripts(
            "unexported",
            "a variable that is not exported",
            File(f"{_PROFILE}/a", b"UNEXPORTED=1\n"),
            metadata=metadata(apis, shell(apis, "export GOT=$UNEXPORTED; @PLACE@/app/report")),
        ),
        with_scripts("unset", "a script that takes a variable away", File(f"{_PROFILE}/a", b"unset HOME\n")),
        with_scripts(
            "function",
            "a script that exports a function",
            File(f"{_PROFILE}/a", b"f() { echo from the function; }; export -f f\n"),
            metadata=metadata(apis, shell(apis, "f; @PLACE@/app/report")),
        ),
        with_scripts(
            "set-arguments",
            "a script that sets arguments",
            File(f"{_PROFILE}/a", b"set -- x y\n"),
            argv=by_type("web", b"from", b"the user"),
        ),
        with_scripts("odd-name", "a script whose name has spaces and a quote", sets(f"{_PROFILE}/a b'c", "odd")),
        with_scripts(
            "dollar-in-name", "a script whose name means something to a shell", sets(f"{_PROFILE}/a$HOME", "odd")
        ),
        with_scripts("not-executable", "a script without x", sets(f"{_PROFILE}/a", "a")),
        with_scripts("broken-link", "a link to nothing", Link(f"{_PROFILE}/a", "none")),
        with_scripts("umask", "a script that sets the umask", File(f"{_PROFILE}/a", b"umask 077\n")),
        with_scripts("limit", "a script that sets a limit", File(f"{_PROFILE}/a", b"ulimit -S -n 77\n")),
        with_scripts("trap", "a script that ignores a signal", File(f"{_PROFILE}/a", b"trap '' USR1\n")),
        with_scripts(
            "descriptor", "a script that leaves a descriptor open", File(f"{_PROFILE}/a", b"exec 9</dev/null\n")
        ),
        with_scripts(
            "env-files-before",
            "env files are there for scripts",
            File(f"{_LAYER}/env/NEW", b"x"),
            sets(f"{_PROFILE}/a", "$NEW"),
        ),
        with_scripts(
            "user-command",
            "a command of the user's in a shell",
            sets(f"{_PROFILE}/a", "a"),
            sets(f"{_PROFILE}/web/b", "web"),
            argv=by_launcher(b"@PLACE@/app/report"),
            path="cnb/lifecycle/launcher",
        ),
        simple(
            apis,
            "profile.d/direct",
            "no shell: no scripts",
            items=(sets(f"{_PROFILE}/a", "a"), sets("app/.profile", "p")),
        ),
    ]


def _programs(apis: Apis) -> list[Case]:
    def with_programs(name: str, about: str, *items: File | Folder | Link | Program, **fields: Any) -> Case:
        return simple(apis, f"exec.d/{name}", about, items=items, **fields)

    def sets(path: str, toml: bytes, who: str = "") -> Program:
        return Program(path, f"exec.d {who or path.rpartition('/')[2]}", (("write", 3, toml),))

    return [
        with_programs("one", "a program that sets a variable", sets(f"{_EXEC}/a", b'NEW = "x"\n')),
        with_programs("nothing", "a program that writes nothing", Program(f"{_EXEC}/a", "exec.d a")),
        with_programs(
            "order",
            "several programs: each finds what those before it set",
            *[sets(f"{_EXEC}/{name}", f'SEEN_{name} = "x"\nLAST = "{name}"\n'.encode()) for name in "bac"],
        ),
        with_programs(
            "of-type",
            "programs of a process type",
            sets(f"{_EXEC}/web/a", b'T = "web"\n', "web"),
            sets(f"{_EXEC}/worker/a", b'T = "worker"\n', "worker"),
            sets(f"{_EXEC}/b", b'A = "all"\n'),
        ),
        with_programs(
            "two-layers",
            "programs of two layers",
            sets("layers/acme_one/z/exec.d/a", b'L = "z"\n', "z"),
            sets("layers/acme_one/b/exec.d/a", b'L = "b"\n', "b"),
        ),
        with_programs("replaces", "a variable that is there already", sets(f"{_EXEC}/a", b'HOME = "x"\nPATH = "/y"\n')),
        with_programs(
            "finds-command",
            "PATH from a program leads to the command",
            sets(f"{_EXEC}/a", b'PATH = "@PLACE@/tools"\n'),
            Program("tools/tool", "app"),
            argv=by_launcher(b"--", b"tool"),
            path="cnb/lifecycle/launcher",
        ),
        with_programs(
            "own-variables",
            "a program sets what the launcher takes away",
            sets(f"{_EXEC}/a", b'CNB_APP_DIR = "x"\nCNB_PLATFORM_API = "0.1"\n'),
        ),
        with_programs(
            "env-files-before",
            "env files are there for programs",
            sets(f"{_EXEC}/a", b""),
            File(f"{_LAYER}/env/NEW", b"x"),
            Folder(f"{_LAYER}/bin"),
        ),
        with_programs(
            "prints",
            "a program that prints",
            Program(f"{_EXEC}/a", "exec.d a", (("write", 1, b"out\n"), ("write", 2, b"err\n"))),
        ),
        with_programs(
            "input",
            "a program that reads the input",
            Program(f"{_EXEC}/a", "exec.d a", (("copy",),)),
            then=(("copy",),),
            state=State(stdin="pipe"),
        ),
        with_programs(
            "escapes",
            "TOML with escapes and several lines",
            sets(f"{_EXEC}/a", b'A = "\\u00e9\\n\\t\\"" \nB = """\nx\ny"""\nC = \'\\n\'\n'),
        ),
        with_programs(
            "odd-names", "names that need quotes", sets(f"{_EXEC}/a", b'"a.b" = "1"\n"a b" = "2"\n"" = "3"\n')
        ),
        with_programs("long", "a value of 100 KB", sets(f"{_EXEC}/a", b'LONG = "' + b"x" * 100_000 + b'"\n')),
        with_programs(
            "too-long", "a value that no exec takes", sets(f"{_EXEC}/a", b'LONG = "' + b"x" * 140_000 + b'"\n')
        ),
        with_programs(
            "many",
            "two thousand variables",
            sets(f"{_EXEC}/a", b"".join([b'N%d = "%d"\n' % (number, number) for number in range(2000)])),
        ),
        with_programs(
            "user-command",
            "a command of the user's",
            sets(f"{_EXEC}/a", b'A = "1"\n'),
            sets(f"{_EXEC}/web/b", b'B = "1"\n'),
            argv=by_launcher(b"--", b"@PLACE@/app/report"),
            path="cnb/lifecycle/launcher",
        ),
        with_programs(
            "descriptors",
            "a program, where descriptors are open already",
            sets(f"{_EXEC}/a", b'A = "1"\n'),
            state=State(descriptors=((3, "read"), (4, "pipe"), (9, "append"))),
        ),
        with_programs(
            "signals",
            "a program, where signals are blocked and ignored",
            sets(f"{_EXEC}/a", b'A = "1"\n'),
            state=State(blocked=(10,), ignored=(12,)),
        ),
        in_shell(
            apis,
            "exec.d/shell",
            "a program, and scripts of profile.d after it",
            items=(sets(f"{_EXEC}/a", b'A = "1"\n'), File(f"{_PROFILE}/a", b'export B="$A[profile]"\n')),
        ),
        in_shell(
            apis,
            "exec.d/relative-directory",
            "CNB_APP_DIR is relative, and a program, and a shell",
            environ=environment(apis.platform, b"CNB_APP_DIR=."),
            items=(sets(f"{_EXEC}/a", b""),),
        ),
    ]


def _odd_programs(apis: Apis) -> list[Case]:
    def with_program(name: str, about: str, *items: File | Folder | Link | Program) -> Case:
        return simple(apis, f"exec.d/{name}", about, items=items, metadata=metadata(apis, direct(apis)))

    def writes(name: str, about: str, toml: bytes) -> Case:
        return with_program(name, about, Program(f"{_EXEC}/a", "exec.d a", (("write", 3, toml),)))

    return [
        with_program(
            "fails",
            "a program that exits with 7",
            Program(f"{_EXEC}/a", "exec.d a", (("write", 3, b'A = "1"\n'), ("exit", 7))),
        ),
        with_program("dies", "a program that a signal ends", Program(f"{_EXEC}/a", "exec.d a", (("signal", 15),))),
        with_program("not-executable", "a file without x", File(f"{_EXEC}/a", b"#!/bin/sh\n", 0o644)),
        with_program("no-format", "a file that is no program's format", File(f"{_EXEC}/a", b"text\n", 0o755)),
        with_program(
            "no-interpreter", "a script whose interpreter is not there", File(f"{_EXEC}/a", b"#!/none\n", 0o755)
        ),
        with_program("broken-link", "a link to nothing", Link(f"{_EXEC}/a", "none")),
        with_program(
            "link",
            "a link to a program",
            Program("tools/a", "exec.d a", (("write", 3, b'A = "1"\n'),)),
            Link(f"{_EXEC}/a", "@PLACE@/tools/a"),
        ),
        with_program("is-a-file", "a file where the directory belongs", File(_EXEC, b"")),
        with_program(
            "second-fails",
            "the second of three fails",
            *[
                Program(
                    f"{_EXEC}/{name}", f"exec.d {name}", (("write", 3, b'%s = "1"\n' % name.encode()), ("exit", code))
                )
                for name, code in (("a", 0), ("b", 1), ("c", 0))
            ],
        ),
        writes("no-toml", "what is no TOML", b"this is no TOML\n"),
        writes("cut-off", "TOML that is cut off", b'A = "1\n'),
        writes("integer", "a value that is a number", b"A = 1\n"),
        writes("boolean", "a value that is a boolean", b"A = true\n"),
        writes("array", "a value that is an array", b'A = ["x"]\n'),
        writes("table", "a table", b'[a]\nb = "1"\n'),
        writes("duplicate", "a name twice", b'A = "1"\nA = "2"\n'),
        writes("not-utf-8", "a value that is not UTF-8", b'A = "\xff"\n'),
        writes("nul", "a value with a NUL", b'A = "x\\u0000y"\n'),
        writes("byte-order-mark", "a byte order mark", b'\xef\xbb\xbfA = "1"\n'),
        writes("crlf", "lines that end as those of Windows do", b'A = "1"\r\nB = "2"\r\n'),
        writes("comment", "comments and empty lines", b'# x\n\nA = "1" # y\n'),
        writes("empty-value", "an empty value", b'HOME = ""\nNEW = ""\n'),
    ]
