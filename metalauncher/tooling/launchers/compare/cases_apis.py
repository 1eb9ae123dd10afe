"""Every Platform and Buildpack API that there has been: what of a launcher depends on them.

Each comes with the other API of its time, so that two releases that both know it can be compared at all.
"""

from __future__ import annotations

from metalauncher.tooling.launchers.compare.case import (
    APP,
    LAUNCHER,
    Apis,
    Case,
    File,
    buildpack,
    by_launcher,
    by_type,
    direct,
    environment,
    metadata,
    process,
    shell,
    simple,
)

_PLATFORMS = {
    "0.2": "0.2",
    "0.3": "0.2",
    "0.4": "0.4",
    "0.5": "0.5",
    "0.6": "0.6",
    "0.7": "0.7",
    "0.8": "0.7",
    "0.9": "0.8",
    "0.10": "0.9",
    "0.11": "0.9",
    "0.12": "0.10",
    "0.13": "0.11",
    "0.14": "0.11",
    "0.15": "0.12",
    "0.16": "0.12",
}
_BUILDPACKS = {
    "0.1": "0.3",
    "0.2": "0.3",
    "0.3": "0.4",
    "0.4": "0.4",
    "0.5": "0.5",
    "0.6": "0.6",
    "0.7": "0.8",
    "0.8": "0.9",
    "0.9": "0.10",
    "0.10": "0.12",
    "0.11": "0.13",
    "0.12": "0.15",
    "0.13": "0.15",
}


def cases(apis: Apis) -> list[Case]:
    """Return them; the common APIs are of no interest here."""
    del apis
    found: list[Case] = []
    for platform, of_its_time in _PLATFORMS.items():
        found += _of_platform(Apis(platform, of_its_time))
    for api, of_its_time in _BUILDPACKS.items():
        found += _of_buildpack(Apis(of_its_time, api))
    return [case._replace(own_apis=True) for case in [*found, *_execution_environments()]]


def _of_platform(apis: Apis) -> list[Case]:
    name, version = f"platform-{apis.platform}", f"Platform API {apis.platform}"
    user = (b"from", b"the user")
    return [
        simple(apis, f"{name}/direct", f"{version}: a process without a shell"),
        simple(
            apis,
            f"{name}/direct-arguments",
            f"{version}: the user's arguments beside the process's own",
            metadata=metadata(apis, direct(apis, "own", "arguments")),
            argv=by_type("web", *user),
        ),
        simple(
            apis,
            f"{name}/single-command-arguments",
            f"{version}: the user's arguments where the command is one word",
            metadata=metadata(apis, process(apis.platform, "web", [APP], ["own"])),
            argv=by_type("web", *user),
        ),
        simple(
            apis, f"{name}/shell", f"{version}: a process in a shell", metadata=metadata(apis, shell(apis))
        )._replace(needs=("bash",)),
        simple(
            apis,
            f"{name}/shell-arguments",
            f"{version}: the same with arguments of its own, and of the user",
            metadata=metadata(apis, shell(apis, APP, "own", "$HOME")),
            argv=by_type("web", *user),
        )._replace(needs=("bash",)),
        simple(
            apis, f"{name}/no-type", f"{version}: no process named, no arguments", argv=by_launcher(), path=LAUNCHER
        ),
        simple(
            apis,
            f"{name}/no-type-command",
            f"{version}: no process named, a command of the user's",
            argv=by_launcher(b"--", APP.encode(), *user),
            path=LAUNCHER,
        ),
        simple(
            apis,
            f"{name}/type-as-argument",
            f"{version}: a process type as the only argument",
            metadata=metadata(apis, direct(apis, name="worker")),
            argv=by_launcher(b"worker"),
            path=LAUNCHER,
        )._replace(needs=("bash",)),
        simple(
            apis,
            f"{name}/process-type-variable",
            f"{version}: CNB_PROCESS_TYPE names the process",
            metadata=metadata(apis, direct(apis, name="worker")),
            argv=by_launcher(),
            environ=environment(apis.platform, b"CNB_PROCESS_TYPE=worker"),
            path=LAUNCHER,
        ),
        simple(
            apis,
            f"{name}/no-processes",
            f"{version}: an app without processes",
            metadata=metadata(apis),
            argv=by_launcher(),
            path=LAUNCHER,
        ),
        simple(
            apis,
            f"{name}/no-such-process",
            f"{version}: the command is not there",
            metadata=metadata(apis, process(apis.platform, "web", ["/no/such/command"])),
        ),
    ]


def _of_buildpack(apis: Apis) -> list[Case]:
    name, version = f"buildpack-{apis.buildpack}", f"Buildpack API {apis.buildpack}"
    layer = "layers/acme_one/layer/env.launch"
    files = tuple([File(f"{layer}/{file}", b"from-the-layer") for file in ("PATH", "NEW", "HOME", "SET.default")])
    return [
        simple(apis, f"{name}/direct", f"{version}: a process without a shell"),
        simple(
            apis,
            f"{name}/arguments",
            f"{version}: the user's arguments beside the process's own",
            metadata=metadata(apis, process(apis.platform, "web", [APP], ["own", "arguments"])),
            argv=by_type("web", b"from", b"the user"),
        ),
        simple(
            apis,
            f"{name}/shell-arguments",
            f"{version}: arguments with what means something to a shell, own and the user's",
            metadata=metadata(apis, shell(apis, APP, "$HOME", "a  b", "'c'")),
            argv=by_type("web", b"$HOME", b"a  b", b"'c'"),
            needs=("bash",),
        ),
        simple(apis, f"{name}/env-files", f"{version}: what an env file without a suffix means", items=files),
    ]


def _execution_environments() -> list[Case]:
    """Return the cases of `exec-env`, which Platform API 0.15 brought."""
    found: list[Case] = []
    for platform, api in (("0.14", "0.11"), ("0.15", "0.12")):
        apis = Apis(platform, api)
        for what, listed, wanted in (
            ("production", '["production"]', None),
            ("test", '["test"]', None),
            ("any", '["*"]', b"test"),
            ("matching", '["test", "development"]', b"test"),
            ("empty-list", "[]", b"test"),
            ("empty-variable", '["production"]', b""),
        ):
            variable = [] if wanted is None else [b"CNB_EXEC_ENV=" + wanted]
            found.append(
                simple(
                    apis,
                    f"platform-{platform}/exec-env-{what}",
                    f"Platform API {platform}: a process with exec-env = {listed}",
                    metadata=metadata(apis, direct(apis, more=f"exec-env = {listed}\n")),
                    environ=environment(platform, *variable),
                )
            )
    two = Apis("0.15", "0.12")
    both = [direct(two, where, more=f'exec-env = ["{where}"]\n') for where in ("production", "test")]
    found.append(
        simple(
            two,
            "platform-0.15/exec-env-two-of-a-type",
            "Platform API 0.15: two processes of one type for two environments",
            metadata=(buildpack("0.12") + "".join(both)).encode(),
            environ=environment("0.15", b"CNB_EXEC_ENV=test"),
        )
    )
    return found
