"""The working directory, and the place where the command is looked for."""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import (
    SYSTEM_PATH,
    Apis,
    Case,
    File,
    Folder,
    Link,
    Program,
    State,
    direct,
    environment,
    in_shell,
    metadata,
    process,
    shell,
    simple,
)

_START = b"PATH=/cnb/process:/cnb/lifecycle:"


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    return [*_working_directories(apis), *_paths(apis)]


def _working_directories(apis: Apis) -> list[Case]:
    def works_in(name: str, about: str, folder: str, *items: File | Folder | Link, in_a_shell: bool = False) -> Case:
        run = shell(apis) if in_a_shell else direct(apis)
        text = metadata(apis, f'{run}working-dir = "{folder}"\n')
        case = in_shell if in_a_shell else simple
        return case(apis, f"directory/{name}", f"the process's working-dir {about}", metadata=text, items=items)

    def app_dir(name: str, about: str, value: bytes, *items: File | Folder | Link, state: State | None = None) -> Case:
        return simple(
            apis,
            f"directory/{name}",
            about,
            environ=environment(apis.platform, b"CNB_APP_DIR=" + value),
            items=items,
            state=state or State(),
        )

    return [
        works_in("absolute", "is a whole path", "@PLACE@/other", Folder("other")),
        works_in("relative", "is relative", "sub", Folder("app/sub")),
        works_in("dots", "leads through ..", "../other", Folder("other")),
        works_in("empty", "is empty", ""),
        works_in("missing", "is not there", "@PLACE@/none"),
        works_in("is-a-file", "is a file", "@PLACE@/app/report"),
        works_in("through-link", "is a link", "@PLACE@/link", Folder("other"), Link("link", "@PLACE@/other")),
        works_in("odd-name", "has spaces and letters beyond ASCII", "@PLACE@/ö  x", Folder("ö  x")),
        works_in("shell", "with a shell", "@PLACE@/other", Folder("other"), in_a_shell=True),
        works_in("shell-missing", "is not there, with a shell", "@PLACE@/none", in_a_shell=True),
        works_in("shell-dollar", "with what means something to a shell", "@PLACE@/$x", Folder("$x"), in_a_shell=True),
        app_dir("app-dir-missing", "CNB_APP_DIR is not there", b"@PLACE@/none"),
        app_dir("app-dir-is-a-file", "CNB_APP_DIR is a file", b"@PLACE@/app/report"),
        app_dir("app-dir-relative", "CNB_APP_DIR is relative", b"sub", Folder("app/sub")),
        app_dir("app-dir-slash", "CNB_APP_DIR ends in a slash", b"@PLACE@/other/", Folder("other")),
        app_dir("app-dir-link", "CNB_APP_DIR is a link", b"@PLACE@/link", Folder("other"), Link("link", "other")),
        app_dir("app-dir-spaces", "CNB_APP_DIR has spaces", b"@PLACE@/a b", Folder("a b")),
        app_dir("app-dir-empty", "CNB_APP_DIR is empty: its default", b""),
        app_dir("started-elsewhere", "started in another directory", b"@PLACE@/app", state=State(directory="layers")),
        simple(
            apis,
            "directory/app-dir-unset",
            "CNB_APP_DIR is not set: its default",
            environ=environment(apis.platform, without=[b"CNB_APP_DIR"]),
        ),
        simple(
            apis,
            "directory/layers-dir-relative",
            "CNB_LAYERS_DIR is relative",
            environ=environment(apis.platform, b"CNB_LAYERS_DIR=../layers"),
            items=(File("layers/acme_one/a/env/FROM", b"the layer"), Folder("layers/acme_one/a/bin")),
        ),
        simple(
            apis,
            "directory/layers-dir-slash",
            "CNB_LAYERS_DIR ends in slashes",
            environ=environment(apis.platform, b"CNB_LAYERS_DIR=@PLACE@/layers//"),
            items=(Folder("layers/acme_one/a/bin"),),
        ),
        simple(
            apis,
            "directory/layers-dir-empty",
            "CNB_LAYERS_DIR is empty: its default",
            environ=environment(apis.platform, b"CNB_LAYERS_DIR="),
        ),
    ]


def _paths(apis: Apis) -> list[Case]:
    tool = Program("tools/tool", "app")
    layer = Program("layers/acme_one/a/bin/tool", "app of the layer")

    def looks_for(
        name: str, about: str, command: str, path: bytes | None, *items: File | Folder | Link | Program
    ) -> Case:
        environ = (
            environment(apis.platform, without=[b"PATH"])
            if path is None
            else environment(apis.platform, b"PATH=" + path)
        )
        text = metadata(apis, process(apis.platform, "web", [command]))
        return simple(apis, f"path/{name}", f"PATH {about}", metadata=text, environ=environ, items=items)

    usual = _START.removeprefix(b"PATH=")
    unreadable = File("first/tool", b"#!/bin/false\n", 0o644)
    return [
        looks_for("found", "has the command's directory", "tool", usual + b"@PLACE@/tools", tool),
        looks_for(
            "second", "has it in its second directory", "tool", b"@PLACE@/first:@PLACE@/tools", tool, Folder("first")
        ),
        looks_for(
            "not-executable-first",
            "has a file first that is no program",
            "tool",
            b"@PLACE@/first:@PLACE@/tools",
            unreadable,
            tool,
        ),
        looks_for(
            "directory-first",
            "has a directory of that name first",
            "tool",
            b"@PLACE@/first:@PLACE@/tools",
            Folder("first/tool"),
            tool,
        ),
        looks_for("not-found", "has it not", "tool", usual + SYSTEM_PATH),
        looks_for("only-launchers", "has no directories but the launcher's", "tool", b"/cnb/process:/cnb/lifecycle"),
        looks_for("empty", "is empty", "tool", b"", tool),
        looks_for("unset", "is not set", "tool", None, tool),
        looks_for("unset-with-layer", "is not set, and a layer has the command", "tool", None, layer),
        looks_for("empty-with-layer", "is empty, and a layer has the command", "tool", b"", layer),
        looks_for("layer-goes-first", "has it, and a layer as well", "tool", b"@PLACE@/tools", tool, layer),
        looks_for("empty-elements", "has empty elements", "@PLACE@/app/report", b":/a::/b:"),
        looks_for(
            "launcher-directories-amid",
            "has the launcher's directories amid and twice",
            "@PLACE@/app/report",
            b"/a:/cnb/process:/cnb/process:/b:/cnb/lifecycle",
        ),
        looks_for(
            "launcher-directories-slash",
            "has them with a slash",
            "@PLACE@/app/report",
            b"/cnb/process/:/cnb/lifecycle/:/a",
        ),
        looks_for("relative", "has a relative directory", "tool", b"../tools", tool),
        looks_for("dot", "has the working directory", "report", b"."),
        looks_for(
            "empty-element-means-dot",
            "has an empty element, and the command is in the working directory",
            "report",
            b":/a",
        ),
        looks_for("command-relative", "is not asked: the command has a slash", "./report", usual + SYSTEM_PATH),
        looks_for(
            "command-not-executable",
            "is not asked: the command is no program",
            "@PLACE@/first/tool",
            usual + SYSTEM_PATH,
            unreadable,
        ),
        looks_for(
            "command-is-a-directory", "is not asked: the command is a directory", "@PLACE@/app", usual + SYSTEM_PATH
        ),
        looks_for(
            "command-broken-link",
            "is not asked: the command is a link to nothing",
            "@PLACE@/app/link",
            usual + SYSTEM_PATH,
            Link("app/link", "none"),
        ),
        looks_for(
            "command-no-interpreter",
            "is not asked: the script's interpreter is not there",
            "@PLACE@/app/script",
            usual + SYSTEM_PATH,
            File("app/script", b"#!/no/such/interpreter\n", 0o755),
        ),
        looks_for(
            "command-no-format",
            "is not asked: the command is no program's format",
            "@PLACE@/app/text",
            usual + SYSTEM_PATH,
            File("app/text", b"text\n", 0o755),
        ),
        looks_for("command-empty", "is not asked: the command is empty", "", usual + SYSTEM_PATH),
        looks_for("not-utf-8", "is not UTF-8", "@PLACE@/app/report", b"/\xff:/a"),
        looks_for("duplicates", "has a directory twice", "@PLACE@/app/report", b"/a:/b:/a"),
    ]
