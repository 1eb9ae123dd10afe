"""Env files of a layer, of all kinds, and the layers' directories that become variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalauncher.tooling.launchers.compare.case import (
    Apis,
    Case,
    File,
    Folder,
    Link,
    Program,
    buildpack,
    by_launcher,
    direct,
    environment,
    in_shell,
    simple,
)

if TYPE_CHECKING:
    from typing import Any

_LAYER = "layers/acme_one/layer"
_KINDS = ("", ".override", ".default", ".append", ".prepend")


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    return [*_kinds(apis), *_odd_files(apis), *_layers(apis)]


def _kinds(apis: Apis) -> list[Case]:
    found: list[Case] = []
    for folder in ("env", "env.launch", "env.launch/web"):
        for kind in _KINDS:
            files = [File(f"{_LAYER}/{folder}/{name}{kind}", b"file") for name in ("SET", "UNSET", "EMPTY", "PATH")]
            for delimiter in ("", ":"):
                if delimiter and not kind:
                    continue
                more = [File(f"{_LAYER}/{folder}/{name}.delim", b":") for name in ("SET", "UNSET")] if delimiter else []
                found.append(
                    simple(
                        apis,
                        f"env-files/{folder.replace('/', '-')}-{kind[1:] or 'plain'}{'-delim' if delimiter else ''}",
                        f"{folder}/NAME{kind}{', with a delimiter' if delimiter else ''}",
                        environ=environment(apis.platform, b"SET=before", b"EMPTY="),
                        items=(*files, *more),
                    )
                )
    return found


def _odd_files(apis: Apis) -> list[Case]:
    def with_files(name: str, about: str, *items: File | Folder | Link, **fields: Any) -> Case:
        fields.setdefault("environ", environment(apis.platform, b"SET=before"))
        return simple(apis, f"env-files/{name}", about, items=items, **fields)

    env = f"{_LAYER}/env.launch"
    worker = (File(f"{env}/worker/ONE", b"worker"), File(f"{env}/web/TWO", b"web"), File(f"{env}/ALL", b"all"))
    return [
        with_files("newline-kept", "a value that ends in a newline", File(f"{env}/NEW", b"x\n")),
        with_files("empty-file", "a file with nothing in it", File(f"{env}/SET", b""), File(f"{env}/NEW.append", b"")),
        with_files("nul", "a value with a NUL", File(f"{env}/NEW", b"a\0b")),
        with_files("not-utf-8", "a value that is not UTF-8", File(f"{env}/NEW", b"\xff\xfe")),
        with_files(
            "unknown-suffix", "a suffix that nobody knows", File(f"{env}/SET.what", b"x"), File(f"{env}/A.b.c", b"x")
        ),
        with_files(
            "dot-first", "a name that begins with a dot", File(f"{env}/.override", b"x"), File(f"{env}/.x", b"y")
        ),
        with_files("link", "a link to a file", File("elsewhere", b"linked"), Link(f"{env}/NEW", "@PLACE@/elsewhere")),
        with_files("broken-link", "a link to nothing", Link(f"{env}/NEW", "@PLACE@/none")),
        with_files("link-to-folder", "a link to a directory", Link(f"{env}/NEW", "@PLACE@/app")),
        with_files("is-a-file", "a file where the directory belongs", File(f"{_LAYER}/env", b"x")),
        with_files("long", "a value of 100 KB", File(f"{env}/NEW", b"z" * 100_000)),
        with_files("too-long", "a value that no exec takes", File(f"{env}/NEW", b"z" * 140_000)),
        with_files(
            "own-variables",
            "a layer that sets what the launcher takes away",
            File(f"{env}/CNB_APP_DIR", b"x"),
            File(f"{env}/CNB_PLATFORM_API", b"0.1"),
            File(f"{env}/CNB_DEPRECATION_MODE.append", b"y"),
        ),
        with_files("of-another-type", "files for one process type alone", *worker),
        with_files(
            "no-type",
            "files for a process type, and a command of the user's",
            *worker,
            argv=by_launcher(b"--", b"@PLACE@/app/report"),
            path="cnb/lifecycle/launcher",
        ),
        with_files(
            "kinds-together",
            "all kinds of one name together",
            *[File(f"{env}/SET{kind}", kind.encode()) for kind in _KINDS],
            File(f"{env}/SET.delim", b"|"),
        ),
        with_files(
            "three-folders",
            "env, env.launch and the type's own, one after the other",
            *[
                File(f"{_LAYER}/{folder}/SET.append", folder.encode())
                for folder in ("env", "env.launch", "env.launch/web", "env.build")
            ],
        ),
        with_files(
            "default-twice",
            "two layers' defaults of one name",
            *[File(f"layers/acme_one/{layer}/env/NEW.default", layer.encode()) for layer in ("a", "b")],
        ),
        in_shell(
            apis,
            "env-files/shell",
            "files of all kinds, and a shell",
            items=tuple([File(f"{env}/NEW{kind}", b"$HOME") for kind in _KINDS]),
        ),
    ]


def _layers(apis: Apis) -> list[Case]:
    def with_layers(name: str, about: str, *items: File | Folder | Link | Program, **fields: Any) -> Case:
        return simple(apis, f"layers/{name}", about, items=items, **fields)

    run = direct(apis)
    second = buildpack(apis.buildpack, "acme/two")
    both = (buildpack(apis.buildpack) + second + run).encode()
    reverse = (second + buildpack(apis.buildpack) + run).encode()
    folders = tuple([Folder(f"layers/{folder}") for folder in ("acme_two/z/bin", "acme_one/a/bin", "acme_one/b/lib")])
    files = tuple([File(f"layers/{name}/l/env/SET.append", name.encode()) for name in ("acme_one", "acme_two")])
    return [
        with_layers("bin", "a layer with bin", Folder("layers/acme_one/a/bin")),
        with_layers("lib", "a layer with lib", Folder("layers/acme_one/a/lib")),
        with_layers(
            "all-folders",
            "include, pkgconfig, and others that only builds use",
            *[Folder(f"layers/acme_one/a/{name}") for name in ("bin", "lib", "include", "pkgconfig", "sbin")],
        ),
        with_layers(
            "lib-before",
            "LD_LIBRARY_PATH is set before",
            Folder("layers/acme_one/a/lib"),
            environ=environment(apis.platform, b"LD_LIBRARY_PATH=/before"),
        ),
        with_layers("order", "layers of one buildpack", *[Folder(f"layers/acme_one/{name}/bin") for name in "cabBA1"]),
        with_layers("two-buildpacks", "layers of two buildpacks", *folders, *files, metadata=both),
        with_layers("two-buildpacks-reverse", "the same in the other order", *folders, *files, metadata=reverse),
        with_layers("bin-is-a-file", "bin is a file", File("layers/acme_one/a/bin", b"")),
        with_layers("bin-is-a-link", "bin is a link", Link("layers/acme_one/a/bin", "@PLACE@/app")),
        with_layers(
            "layer-is-a-link", "the layer is a link", Folder("other/bin"), Link("layers/acme_one/a", "@PLACE@/other")
        ),
        with_layers(
            "layer-is-a-file",
            "a file beside the layers",
            File("layers/acme_one/a.toml", b"[types]\n"),
            File("layers/acme_one/store.toml", b""),
        ),
        with_layers("no-folder", "a buildpack without a directory", metadata=both),
        with_layers("folder-is-a-file", "a file where the buildpack's directory belongs", File("layers/acme_one", b"")),
        with_layers(
            "unknown-buildpack", "the directory of a buildpack that is not recorded", Folder("layers/other/a/bin")
        ),
        with_layers(
            "slashes-in-id",
            "an id with several slashes",
            Folder("layers/a_b_c/l/bin"),
            metadata=(buildpack(apis.buildpack, "a/b/c") + buildpack(apis.buildpack) + run).encode(),
        ),
        with_layers(
            "odd-name", "a layer's name with spaces and letters beyond ASCII", Folder("layers/acme_one/ü x/bin")
        ),
        with_layers("colon-in-name", "a layer's name with a colon", Folder("layers/acme_one/a:b/bin")),
    ]
