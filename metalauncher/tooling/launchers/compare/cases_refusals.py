"""What a launcher refuses: APIs, metadata.toml, processes; and what it takes although it is odd."""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import (
    APP,
    Apis,
    Case,
    File,
    Folder,
    buildpack,
    direct,
    environment,
    metadata,
    simple,
    takes_arrays,
)


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    return [*_platform_apis(apis), *_buildpack_apis(apis), *_files(apis), *_contents(apis)]


def _texts(api: str) -> dict[str, str]:
    """Return odd ways to write an API that both launchers accept, and what is none."""
    major, minor = api.split(".")
    return {
        "letter-v": f"v{api}",
        "three-parts": f"{api}.0",
        "zero-before-minor": f"{major}.0{minor}",
        "zero-before-major": f"0{api}",
        "no-minor": "0.",
        "no-major": ".1",
        "zero": "0",
        "one": "1",
        "one-dot-zero": "1.0",
        "far-too-new": "99.99",
        "too-new": "0.99",
        "junk": "junk",
        "letter-alone": "v",
        "capital-v": f"V{api}",
        "plus": f"+{api}",
        "minus": f"-{api}",
        "blank-before": f" {api}",
        "blank-after": f"{api} ",
        "newline-after": f"{api}\n",
        "comma": api.replace(".", ","),
        "pre-release": f"{api}-rc1",
        "three-parts-not-zero": f"{api}.1",
        "two-letters": f"vv{api}",
        "other-digits": "\N{ARABIC-INDIC DIGIT ZERO}.\N{ARABIC-INDIC DIGIT SEVEN}",
        "beyond-64-bits": "18446744073709551616.0",
    }


def _platform_apis(apis: Apis) -> list[Case]:
    def with_api(name: str, about: str, *entries: bytes) -> Case:
        environ = environment(None, *entries)
        return simple(apis, f"platform-api/{name}", about, environ=environ)._replace(own_apis=True)

    def broken(name: str, metadata_toml: bytes | None) -> Case:
        return with_api(
            name, "a Platform API that nobody knows, and metadata.toml is wrong, too", b"CNB_PLATFORM_API=9.9"
        )._replace(metadata=metadata_toml)

    return [
        with_api("unset", "CNB_PLATFORM_API is not set"),
        with_api("empty", "CNB_PLATFORM_API is empty", b"CNB_PLATFORM_API="),
        with_api("blank", "CNB_PLATFORM_API is a blank", b"CNB_PLATFORM_API= "),
        with_api("not-utf-8", "CNB_PLATFORM_API is not UTF-8", b"CNB_PLATFORM_API=\xff"),
        with_api(
            "twice",
            "CNB_PLATFORM_API is there twice",
            b"CNB_PLATFORM_API=" + apis.platform.encode(),
            b"CNB_PLATFORM_API=9.9",
        ),
        broken("before-metadata-missing", None),
        broken("before-metadata-broken", b"["),
        broken("before-buildpack-api", buildpack("9.9").encode()),
        *[
            with_api(name, f"CNB_PLATFORM_API is {text!r}", b"CNB_PLATFORM_API=" + text.encode())
            for name, text in _texts(apis.platform).items()
        ],
    ]


def _buildpack_apis(apis: Apis) -> list[Case]:
    def with_buildpacks(name: str, about: str, *buildpacks: str) -> Case:
        text = "".join([*buildpacks, direct(apis)]).encode()
        return simple(apis, f"buildpack-api/{name}", about, metadata=text, items=(Folder("layers/acme_one/a/bin"),))

    good, other = buildpack(apis.buildpack), buildpack(apis.buildpack, "acme/two")
    return [
        with_buildpacks("missing", "a buildpack without an api", buildpack(None)),
        with_buildpacks("empty", "an api that is empty", buildpack("")),
        with_buildpacks("number", "an api that is a number", good.replace(f'"{apis.buildpack}"', "0.7")),
        with_buildpacks("integer", "an api that is an integer", good.replace(f'"{apis.buildpack}"', "1")),
        with_buildpacks("second", "the second of two is too new", good, buildpack("9.9", "acme/two")),
        with_buildpacks("both", "both are too new: the first is named", buildpack("9.8"), buildpack("9.9", "acme/two")),
        with_buildpacks("twice", "one buildpack twice", good, good),
        with_buildpacks("no-id", "a buildpack without an id", good.replace('id = "acme/one"\n', "")),
        with_buildpacks(
            "bad-no-id", "a buildpack without an id, too new", buildpack("9.9").replace('id = "acme/one"\n', "")
        ),
        with_buildpacks("odd-id", "an odd id, too new", buildpack("9.9", "a'b\"c\n%s")),
        with_buildpacks("upper-case-keys", "keys in upper case", "[[BUILDPACKS]]\nID = 'acme/one'\nAPI = '9.9'\n"),
        with_buildpacks("extension", "an extension that is too new", good, '[[extensions]]\nid = "x"\napi = "9.9"\n'),
        with_buildpacks("of-other-process", "a process of a buildpack that is not recorded", other),
        *[
            with_buildpacks(name, f"an api that is {text!r}", buildpack(text))
            for name, text in _texts(apis.buildpack).items()
        ],
    ]


def _files(apis: Apis) -> list[Case]:
    whole = metadata(apis, direct(apis))

    def with_file(name: str, about: str, content: bytes | None, *items: File | Folder) -> Case:
        return simple(apis, f"metadata/{name}", f"metadata.toml {about}", metadata=content, items=items)

    return [
        with_file("missing", "is not there", None),
        with_file("is-a-folder", "is a directory", None, Folder("layers/config/metadata.toml")),
        with_file("empty", "is empty", b""),
        with_file("cut-off", "is cut off", whole[: len(whole) // 2]),
        with_file("no-toml", "is no TOML", b"{}"),
        with_file("byte-order-mark", "begins with a byte order mark", b"\xef\xbb\xbf" + whole),
        with_file("crlf", "has lines that end as those of Windows do", whole.replace(b"\n", b"\r\n")),
        with_file("not-utf-8", "is not UTF-8", whole + b'# \xff\nx = "\xff"\n'),
        with_file("utf-16", "is UTF-16", whole.decode().encode("utf-16")),
        with_file("nul", "has a NUL", whole + b"\0"),
        with_file(
            "unknown-keys", "has keys and tables that nobody knows", b"new = 1\n" + whole + b"[new-table]\nx = 1\n"
        ),
        with_file("duplicate-key", "has a key twice", whole + b'type = "web"\n'),
        with_file("large", "is of 400 KB", whole + b'[[bom]]\nname = "x"\n' * 20_000),
        with_file("comments", "is all comments", b"# nothing\n" * 100),
        with_file("elsewhere", "is in the default place alone", None, File("app/config/metadata.toml", whole)),
        simple(
            apis,
            "metadata/layers-dir-missing",
            "CNB_LAYERS_DIR is not there",
            environ=environment(apis.platform, b"CNB_LAYERS_DIR=@PLACE@/none"),
        ),
    ]


def _contents(apis: Apis) -> list[Case]:
    one = buildpack(apis.buildpack)

    def with_text(name: str, about: str, text: str) -> Case:
        return simple(apis, f"metadata/{name}", about, metadata=text.encode())

    # As the Platform API has it: a file with two mistakes gets either message from a decoder that walks a Go map.
    command = f'["{APP}"]' if takes_arrays(apis.platform) else f'"{APP}"'
    web = f'[[processes]]\ntype = "web"\ncommand = {command}\ndirect = true\n'
    return [
        with_text("no-buildpacks", "no buildpacks", direct(apis)),
        with_text("no-processes", "no processes", one),
        with_text("empty-lists", "empty lists of both", "buildpacks = []\nprocesses = []\n"),
        with_text("process-minimal", "a process with no more than it needs", one + web),
        with_text(
            "process-no-command", "a process without a command", one + '[[processes]]\ntype = "web"\ndirect = true\n'
        ),
        with_text("process-empty-command", "an empty command", one + web.replace(command, "[]")),
        with_text("process-number-command", "a command that is a number", one + web.replace(command, "1")),
        with_text(
            "process-numbers-in-command",
            "a command with a number in it",
            one + web.replace(command, f'["{APP}", 1]'),
        ),
        with_text("process-string-command", "a command that is a string", one + web.replace(command, f'"{APP}"')),
        with_text("process-no-type", "a process without a type", one + web.replace('type = "web"\n', "")),
        with_text(
            "process-no-direct",
            "a process that does not say whether it is direct",
            one + web.replace("direct = true\n", ""),
        ),
        with_text("process-direct-string", "direct is a string", one + web.replace("true", '"true"')),
        with_text("process-args-string", "args is a string", one + web + 'args = "x"\n'),
        with_text("process-args-numbers", "args has a number", one + web + "args = [1]\n"),
        with_text("process-table", "processes is a table", one + web.replace("[[processes]]", "[processes]")),
        with_text(
            "upper-case-keys", "keys in upper case", one + web.replace("type", "Type").replace("command", "COMMAND")
        ),
        with_text("process-default", "a process that calls itself the default", one + web + "default = true\n"),
        with_text(
            "default-type", "buildpack-default-process-type", 'buildpack-default-process-type = "worker"\n' + one + web
        ),
        with_text("process-unknown-keys", "a process with keys that nobody knows", one + web + "new = 1\n"),
        with_text("process-working-dir-number", "working-dir is a number", one + web + "working-dir = 1\n"),
        with_text(
            "labels-and-slices",
            "labels, slices and a bill of materials",
            one + web + '[[labels]]\nkey = "a"\nvalue = "b"\n[[slices]]\nPaths = ["x"]\n[[bom]]\nname = "x"\n',
        ),
        with_text(
            "thousand-processes",
            "a thousand processes",
            one + "".join([web.replace('"web"', f'"p{number}"') for number in range(1000)]) + web,
        ),
        with_text(
            "inline",
            "inline tables in place of tables",
            f'buildpacks = [{{id = "acme/one", version = "1", api = "{apis.buildpack}"}}]\n'
            f'processes = [{{type = "web", command = {command}, direct = true, args = []}}]\n',
        ),
    ]
