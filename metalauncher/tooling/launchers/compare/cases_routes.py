"""The ways in which a launcher is started, and how it finds out what to run."""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import (
    APP,
    LAUNCHER,
    PYTHON,
    SYSTEM_PATH,
    Apis,
    Case,
    File,
    Link,
    by_launcher,
    by_type,
    direct,
    environment,
    in_shell,
    metadata,
    process,
    shell,
    simple,
)

_ELSEWHERE = "usr/lib/cnb/launchers/acme/1/launcher"


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    two = metadata(apis, direct(apis, "one"), direct(apis, "two", name="worker"))
    app = APP.encode()
    bare = {"path": LAUNCHER}
    return [
        simple(apis, "route/link", "a process type's link, by its whole path"),
        simple(apis, "route/bare-name", "the type alone, as PATH finds it", argv=(b"web",)),
        simple(apis, "route/relative", "a relative path", argv=(b"../cnb/process/web",)),
        simple(
            apis, "route/other-type", "a second type", metadata=two, argv=by_type("worker"), path="cnb/process/worker"
        ),
        simple(apis, "route/type-without-link", "the type by argv[0] alone", metadata=two, argv=(b"worker",), **bare),
        simple(
            apis,
            "route/shim",
            "exec'd elsewhere, with the type's path as argv[0]: what a shim comes to",
            items=(Link(_ELSEWHERE, f"@PLACE@/{LAUNCHER}"),),
            path=_ELSEWHERE,
        ),
        simple(
            apis,
            "route/as-interpreter",
            "as the interpreter of a script",
            items=(File("shim/web", b"#!@PLACE@/cnb/lifecycle/launcher\n", 0o755),),
            argv=(b"@PLACE@/shim/web",),
            path="shim/web",
        ),
        simple(apis, "route/launcher-command", "launcher -- COMMAND", argv=by_launcher(b"--", app), **bare),
        simple(
            apis,
            "route/launcher-command-arguments",
            "launcher -- COMMAND ARG…",
            argv=by_launcher(b"--", app, b"one", b"", b"two words"),
            **bare,
        ),
        simple(
            apis,
            "route/launcher-command-on-path",
            "launcher -- NAME, found by PATH",
            argv=by_launcher(b"--", b"report", b"x"),
            environ=environment(apis.platform, b"PATH=/cnb/process:/cnb/lifecycle:@PLACE@/app:" + SYSTEM_PATH),
            **bare,
        ),
        simple(apis, "route/launcher-two-dashes", "launcher -- and nothing more", argv=by_launcher(b"--"), **bare),
        simple(apis, "route/launcher-nothing", "launcher without arguments", argv=by_launcher(), **bare),
        simple(
            apis, "route/launcher-bare-name", "the launcher as PATH finds it", argv=(b"launcher", b"--", app), **bare
        ),
        simple(
            apis, "route/launcher-three-dashes", "launcher -- -- COMMAND", argv=by_launcher(b"--", b"--", app), **bare
        ),
        in_shell(apis, "route/launcher-shell", "launcher COMMAND: in a shell", argv=by_launcher(app), **bare),
        in_shell(
            apis,
            "route/launcher-shell-arguments",
            "launcher COMMAND ARG…: in a shell",
            argv=by_launcher(app, b"one", b"$HOME", b"two words"),
            **bare,
        ),
        in_shell(
            apis,
            "route/launcher-shell-line",
            "launcher with a line of shell as its one argument",
            argv=by_launcher(b'A="x y" @PLACE@/app/report "$A" $0; exit 3'),
            **bare,
        ),
        in_shell(apis, "route/launcher-type", "launcher TYPE", argv=by_launcher(b"web"), **bare),
        in_shell(apis, "route/launcher-help", "launcher --help: the app's word", argv=by_launcher(b"--help"), **bare),
        simple(
            apis, "route/unknown-type", "a type that the app has not", argv=by_type("none"), path="cnb/process/none"
        ),
        in_shell(
            apis,
            "route/unknown-type-with-command",
            "a type that the app has not, and arguments",
            argv=by_type("none", app, b"x"),
            path="cnb/process/none",
        ),
        simple(apis, "route/empty-argv0", "argv[0] is empty", argv=(b"", b"--", app)),
        simple(apis, "route/no-argv", "there are no arguments at all, not even argv[0]", argv=()),
        simple(apis, "route/argv0-slash", "argv[0] ends in a slash", argv=(b"@PLACE@/cnb/process/web/",)),
        simple(apis, "route/argv0-odd", "argv[0] is not UTF-8", argv=(b"/\xff/web",)),
        simple(apis, "route/argv0-exe", "argv[0] ends as programs of Windows do", argv=(b"web.exe",)),
        simple(
            apis,
            "route/type-named-launcher",
            "a process type called launcher",
            metadata=metadata(apis, direct(apis, "x", name="launcher")),
            argv=by_launcher(b"y"),
            **bare,
        ),
        simple(
            apis,
            "route/type-twice",
            "two processes of one type",
            metadata=metadata(apis, direct(apis, "first"), direct(apis, "second")),
        ),
        simple(
            apis,
            "route/type-odd-name",
            "a type with a space and letters beyond ASCII",
            metadata=metadata(apis, direct(apis, "x", name="wéb 1")),
            argv=by_type("wéb 1"),
            path="cnb/process/wéb 1",
        ),
        in_shell(
            apis,
            "route/shell-bare-name",
            "$0 of what a shell runs, by the type alone",
            metadata=metadata(apis, shell(apis, 'X="$0" exec @PLACE@/app/report')),
            argv=(b"web",),
        ),
        simple(
            apis,
            "route/no-such-command",
            "a process whose command is not there",
            metadata=metadata(apis, process(apis.platform, "web", ["/no/such/command"])),
        ),
        simple(
            apis,
            "route/nested",
            "a launcher that starts itself",
            metadata=metadata(apis, process(apis.platform, "web", [f"@PLACE@/{LAUNCHER}", "--", PYTHON])),
        ),
    ]
