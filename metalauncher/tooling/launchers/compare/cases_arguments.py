"""What the app's arguments are: every byte there can be, as the user's, as the process's own, and through a shell."""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import (
    APP,
    Apis,
    Case,
    by_type,
    direct,
    in_shell,
    metadata,
    shell,
    simple,
)

_EVERY = tuple([bytes([number]) for number in range(1, 256)])
_SHELLS = {
    "spaces": b"a  b ",
    "quotes": b"\"double\" 'single'",
    "dollar": b"$HOME ${HOME} $9",
    "backquotes": b"`echo x`",
    "substitution": b"$(echo x)",
    "backslash": b"a\\b\\\\c\\",
    "newline": b"a\nb\n",
    "glob": b"*",
    "tilde": b"~",
    "semicolon": b"a; exit 7",
    "ampersand": b"a & b && c",
    "redirection": b"> /no/such/folder/x",
    "comment": b"# a",
    "braces": b"{a,b}",
    "exclamation": b"!! !$",
    "dash": b"-n",
    "empty": b"",
    "not-utf-8": b"\xff\xfe\x80",
    "tab": b"a\tb",
}
_PLAIN = {
    "empty": (b"",),
    "empty-ones": (b"", b"", b"x", b""),
    "dashes": (b"--", b"-", b"--", b"--help"),
    "options": (b"--version", b"-c", b"--which", b"--launch"),
    "newlines": (b"\n", b"a\nb", b"\r\n"),
    "not-utf-8": (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"),
    "unicode": ("é".encode(), "日本".encode(), "\U0001f680".encode(), "é".encode()),
    "equals": (b"A=b", b"=", b"PATH=x"),
    "every-byte": _EVERY,
    "every-byte-in-one": (b"".join(_EVERY),),
    "thousand": tuple([str(number).encode() for number in range(1000)]),
    "long": (b"x" * 100_000,),
}


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    found = [
        simple(apis, f"arguments/{name}", f"the user's arguments: {name}", argv=by_type("web", *arguments))
        for name, arguments in _PLAIN.items()
    ]
    own = ["", "two words", "é", "\t\n", "\x01\x7f", "$HOME", '"', "'", "\\", "*", "--"]
    found.append(
        simple(
            apis,
            "arguments/own-odd",
            "odd arguments of the process itself",
            metadata=metadata(apis, direct(apis, *own)),
        )
    )
    found += [
        in_shell(
            apis,
            f"arguments/shell-{name}",
            f"the user's arguments through a shell: {name}",
            argv=by_type("web", b"first", argument, b"last"),
        )
        for name, argument in _SHELLS.items()
    ]
    found += [
        in_shell(
            apis,
            f"arguments/shell-own-{name}",
            f"the process's own arguments through a shell: {name}",
            metadata=metadata(apis, shell(apis, APP, "first", argument.decode(), "last")),
        )
        for name, argument in _SHELLS.items()
        if argument.isascii()
    ]
    many = [f"argument {number}" for number in range(1, 13)]  # to a shell $10 is $1 and a 0
    found.append(
        in_shell(
            apis,
            "arguments/shell-many",
            "more than nine arguments, of the process and of the user, through a shell",
            metadata=metadata(apis, shell(apis, APP, *many)),
            argv=by_type("web", *[argument.encode() for argument in many]),
        )
    )
    found.append(
        in_shell(
            apis,
            "arguments/shell-line",
            "a line of shell as the command, and the user's arguments",
            metadata=metadata(apis, shell(apis, f'{APP} "$@" "$0" "$#"')),
            argv=by_type("web", b"a", b"b c"),
        )
    )
    found.append(
        in_shell(
            apis,
            "arguments/shell-line-alone",
            "a line of shell as the command, with two commands",
            metadata=metadata(apis, shell(apis, f"X=1 {APP} a 'b c' && exit 4")),
        )
    )
    return found
