"""What a launcher says, and where: warnings of old APIs, colour, and streams that can't be written to."""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import Apis, Case, State, direct, environment, metadata, simple

_MODES = (None, b"", b"quiet", b"warn", b"error", b"silent", b"QUIET", b"1")
_COLOURS = (None, b"", b"true", b"1", b"t", b"T", b"TRUE", b"True", b"false", b"0", b"yes", b"tRUE")
_DEPRECATED = {"platform": Apis("0.6", "0.7"), "buildpack": Apis("0.8", "0.6"), "both": Apis("0.3", "0.2")}


def cases(apis: Apis) -> list[Case]:
    """Return them."""
    return [*_deprecations(), *_colours(apis), *_streams(apis)]


def _deprecations() -> list[Case]:
    """Return the cases of the APIs that launchers of 0.16 and 0.17 call deprecated, in every mode."""
    found: list[Case] = []
    for kind, apis in _DEPRECATED.items():
        for mode in _MODES:
            name = "unset" if mode is None else mode.decode() or "empty"
            variable = (b"CNB_DEPRECATION_MODE=" + mode,) if mode is not None else ()
            environ = environment(apis.platform, *variable, without=[b"CNB_DEPRECATION_MODE"])
            about = f"{kind} APIs {apis.platform} and {apis.buildpack}, CNB_DEPRECATION_MODE {name}"
            found.append(
                simple(apis, f"deprecation/{kind}-{name}", f"old {about}", environ=environ)._replace(own_apis=True)
            )
    return found


def _colours(apis: Apis) -> list[Case]:
    found: list[Case] = []
    nothing = metadata(apis, direct(apis, name="worker"))  # `web` is not there, and there is no command
    for value in _COLOURS:
        name = "unset" if value is None else value.decode() or "empty"
        variable = (b"CNB_NO_COLOR=" + value,) if value is not None else ()
        environ = environment(apis.platform, *variable, without=[b"CNB_NO_COLOR"])
        about = f"an error with CNB_NO_COLOR {name}"
        found.append(simple(apis, f"colour/{name}", about, metadata=nothing, environ=environ))
        if name in ("unset", "true", "1", "false"):
            state = State(stdout="terminal", stderr="terminal")
            found.append(
                simple(
                    apis,
                    f"colour/terminal-{name}",
                    f"{about}, on a terminal",
                    metadata=nothing,
                    environ=environ,
                    state=state,
                )
            )
    for extra in (
        b"NO_COLOR=1",
        b"TERM=dumb",
        b"FORCE_COLOR=1",
        b"CLICOLOR_FORCE=1",
        b"CLICOLOR=0",
        b"COLORTERM=truecolor",
    ):
        environ = environment(apis.platform, extra, without=[b"CNB_NO_COLOR"])
        name = extra.partition(b"=")[0].decode().lower().replace("_", "-")
        found.append(
            simple(apis, f"colour/{name}", f"an error with {extra.decode()}", metadata=nothing, environ=environ)
        )
    return found


def _streams(apis: Apis) -> list[Case]:
    nothing = metadata(apis, direct(apis, name="worker"))

    def refused(name: str, about: str, state: State) -> Case:
        return simple(apis, f"streams/refusal-{name}", f"an error, where {about}", metadata=nothing, state=state)

    def accepted(name: str, about: str, state: State, *then: tuple[str | int | bytes, ...]) -> Case:
        return simple(apis, f"streams/{name}", about, state=state, then=then, metadata=metadata(apis, direct(apis)))

    out, err = ("write", 1, b"to stdout\n"), ("write", 2, b"to stderr\n")
    return [
        accepted("both", "an app that writes to both", State(), out, err),
        accepted("not-utf-8", "an app that writes what is not UTF-8", State(), ("write", 1, b"\xff\xfe\x00\n")),
        accepted("much", "an app that writes 500 KB", State(), ("write", 1, b"0123456789" * 50_000)),
        accepted("input", "an app that copies its input", State(stdin="pipe"), ("copy",)),
        accepted("no-input", "an app that copies input that is not there", State(stdin="closed"), ("copy",)),
        accepted("stdin-closed", "stdin is closed", State(stdin="closed")),
        accepted("stdout-closed", "stdout is closed", State(stdout="closed"), out),
        accepted("stderr-closed", "stderr is closed", State(stderr="closed"), err),
        accepted("all-closed", "all three are closed", State(stdin="closed", stdout="closed", stderr="closed")),
        accepted("stdout-full", "stdout is a full disk", State(stdout="full"), out),
        accepted("stdout-unread", "nobody reads stdout", State(stdout="nobody"), out),
        accepted("terminal", "a terminal", State(stdout="terminal", stderr="terminal"), out, err),
        refused("stdout-closed", "stdout is closed", State(stdout="closed")),
        refused("stderr-closed", "stderr is closed", State(stderr="closed")),
        refused("stdout-full", "stdout is a full disk", State(stdout="full")),
        refused("stdout-unread", "nobody reads stdout", State(stdout="nobody")),
        refused("stderr-unread", "nobody reads stderr", State(stderr="nobody")),
        refused("all-closed", "all three are closed", State(stdin="closed", stdout="closed", stderr="closed")),
        simple(
            apis,
            "streams/long-message",
            "an error about a name of 10 KB",
            metadata=metadata(apis).replace(b"acme/one", b"a" * 10_000).replace(apis.buildpack.encode(), b"9.9"),
        ),
        simple(
            apis,
            "streams/odd-message",
            "an error about a name with what means something to a terminal",
            metadata=metadata(apis)
            .replace(b"acme/one", b"\\u001b[31mred\\u001b[0m")
            .replace(apis.buildpack.encode(), b"9.9"),
        ),
    ]
