"""The environment that the launcher is given: what it hands on, takes away, and what it is led by itself."""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import (
    Apis,
    Case,
    by_type,
    environment,
    in_shell,
    metadata,
    shell,
    simple,
)

_ENTRIES: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "duplicates": ("names that are there twice", (b"A=1", b"B=x", b"A=2")),
    "duplicate-path": ("PATH twice", (b"PATH=/first", b"PATH=/second")),
    "duplicate-of-its-own": ("a CNB variable twice", (b"CNB_APP_DIR=@PLACE@/layers", b"CNB_APP_DIR=@PLACE@/app")),
    "no-equals-sign": ("entries that are no NAME=VALUE", (b"JUST_A_NAME", b"", b"A=1")),
    "empty-name": ("entries that begin with =", (b"=A=1", b"=", b"==", b"B=2")),
    "empty-value": ("empty values", (b"A=", b"B=")),
    "not-utf-8": ("bytes that are not UTF-8", (b"A=\xff\xfe", b"\xff=1", b"C=\xc3")),
    "unicode": ("letters beyond ASCII", ("ÄÖ=ü".encode(), "A=日本".encode())),
    "newlines": ("values of several lines", (b"A=1\n2\nB=3", b"C=\n", b"D=\r\n")),
    "equals-in-value": ("values with =", (b"A==", b"B=x=y=z", b"C=D=E")),
    "odd-names": ("names that no shell takes", (b"a.b=1", b"a-b=2", b"1A=3", b"a b=4", b"%=5")),
    "lower-case": ("names that differ in case alone", (b"path=/x", b"Path=/y", b"cnb_app_dir=z")),
    "locale": ("a locale", (b"LANG=de_DE.UTF-8", b"LC_ALL=C", b"LC_CTYPE=")),
    "go": ("variables that a Go program is led by", (b"GODEBUG=gctrace=0", b"GOMAXPROCS=1", b"GOTRACEBACK=all")),
    "python": ("variables that a Python program is led by", (b"PYTHONHOME=/none", b"PYTHONPATH=/none")),
    "rust": ("variables that a Rust program is led by", (b"RUST_BACKTRACE=full", b"RUST_LOG=trace")),
    "kept-cnb": ("CNB variables that no launcher takes away", (b"CNB_STACK_ID=x", b"CNB_EXEC_ENV=", b"CNB_USER_ID=7")),
    "process-type": ("CNB_PROCESS_TYPE, which new Platform APIs don't know", (b"CNB_PROCESS_TYPE=other",)),
    "opt-in": ("the opt-in of RFC 338", (b"CNB_EXPERIMENTAL_RUST_LAUNCHER=true",)),
    "metalauncher": ("variables of metalauncher's", (b"METALAUNCHER_PIN=x", b"METALAUNCHER_LOG=1")),
    "thousand": ("a thousand variables", tuple([b"NAME_%04d=%d" % (number, number) for number in range(1000)])),
    "long": ("a value of 120 KB", (b"LONG=" + b"x" * 120_000,)),
    "huge": ("a megabyte of variables", tuple([b"HUGE_%02d=" % number + b"y" * 100_000 for number in range(10)])),
}


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    found = [
        simple(apis, f"environment/{name}", about, environ=environment(apis.platform, *entries))
        for name, (about, entries) in _ENTRIES.items()
    ]
    found += [
        in_shell(
            apis, f"environment/shell-{name}", f"{about}, through a shell", environ=environment(apis.platform, *entries)
        )
        for name, (about, entries) in _ENTRIES.items()
        if name in ("duplicates", "no-equals-sign", "not-utf-8", "newlines", "odd-names", "thousand", "huge", "locale")
    ]
    own = b"\0".join(environment(apis.platform)).split(b"\0")
    return [
        *found,
        simple(apis, "environment/as-exported", "the environment of an app image, and no more"),
        simple(apis, "environment/reversed", "the same in reverse order", environ=tuple(reversed(own))),
        simple(apis, "environment/empty", "no environment at all", environ=()),
        simple(
            apis,
            "environment/only-needed",
            "nothing but what says where the app is",
            environ=(
                b"CNB_PLATFORM_API=" + apis.platform.encode(),
                b"CNB_LAYERS_DIR=@PLACE@/layers",
                b"CNB_APP_DIR=@PLACE@/app",
            ),
        ),
        in_shell(
            apis,
            "environment/bash-env",
            "BASH_ENV names a script",
            environ=environment(apis.platform, b"BASH_ENV=@PLACE@/app/script", b"ENV=@PLACE@/app/script"),
            metadata=metadata(apis, shell(apis, "export SEEN=$FROM_SCRIPT; @PLACE@/app/report")),
        ),
        in_shell(
            apis,
            "environment/bash-function",
            "an exported function of a shell",
            environ=environment(apis.platform, b"BASH_FUNC_f%%=() { echo from the function; }"),
            metadata=metadata(apis, shell(apis, "f; @PLACE@/app/report")),
        ),
        in_shell(
            apis,
            "environment/shell-level",
            "SHLVL, PWD, OLDPWD and _ are there before the shell",
            environ=environment(apis.platform, b"SHLVL=5", b"PWD=/wrong", b"OLDPWD=/old", b"_=x"),
            argv=by_type("web"),
        ),
    ]
