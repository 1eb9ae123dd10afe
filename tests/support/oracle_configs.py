"""Random changes of how an app is started: its config, its variables, what it recorded, its labels and their order."""

from __future__ import annotations

from typing import Any

from baking import PATH, PLATFORM_API, environ
from images import LIFECYCLE, LINK
from oracle_draft import LAUNCHER, METALAUNCHER, MODES, WEB, Draft, owned_by
from rebased import metadata
from recipes import LABELS


def api(draft: Draft) -> None:
    """APIs of the app that launchers cover, or do not."""
    if draft.chance.random() < 0.5:
        draft.metadata = metadata(*draft.pick((("0.10", "0.6"), ("0.99",), ("0.5",), ("0.2",), ("0.12",), ("",), ())))
    else:
        draft.set_env("CNB_PLATFORM_API", draft.pick(("0.99", "0.3", "0.6", "", "x", "0.15", "0.12 ")))


def layers_directory(draft: Draft) -> None:
    """CNB_LAYERS_DIR names it otherwise, or something else."""
    draft.set_env(
        "CNB_LAYERS_DIR", draft.pick(("/layers/", "//layers", "layers", "", "/none", "/layers/.", "/cnb/../layers"))
    )


def entrypoint(draft: Draft) -> None:
    """ENTRYPOINT and CMD name the launcher otherwise, or something else."""
    starts = (
        *(["web"], ["launcher"], [LIFECYCLE], [LIFECYCLE, "x"], [LINK], [LINK, "x"], [METALAUNCHER], [f"{WEB}/"]),
        *([METALAUNCHER, "--launch", "x"], [METALAUNCHER, "--launch"], [METALAUNCHER, "--version"]),
        ["cnb/process/web"],
        *(["../cnb/process/web"], [f"/{WEB}"], ["/cnb/process/../process/web"], [LAUNCHER], ["/cnb/process/none"]),
        *(["./web"], [""], ["/"], ["/workspace"], ["/workspace/data"], ["metalauncher", "--launch", "x"], [f"{WEB}/."]),
    )
    kind = draft.chance.randrange(5)
    if kind == 4:
        copy = draft.pick(
            ("/cnb/lifecycle/metalauncher", "/workspace/metalauncher", "/workspace/run", "/cnb/process/x")
        )
        source = draft.pick(("metalauncher", "another-build"))
        whole: dict[str, Any] = {"file": copy, "mode": draft.pick((0o755, 0o711, 0o700)), "from": source}
        draft.of("app").append(draft.pick((whole, {"link": copy, "to": draft.pick((METALAUNCHER, LINK, LIFECYCLE))})))
        draft.config["Entrypoint"] = [copy, *draft.pick(([], [], ["x"], ["--launch", "x"]))]
    elif kind == 0:
        draft.config |= {"Entrypoint": draft.pick(([], False)), "Cmd": draft.pick(starts)}
    elif kind == 1:
        draft.config |= {"Cmd": draft.pick((["a", "b"], [], [""]))}
    else:
        draft.config["Entrypoint"] = draft.pick(starts)


def init(draft: Draft) -> None:
    """An init in front, with options, and what it starts."""
    (draft.run[-1] if draft.run else draft.of("app")).append("tini")
    path = draft.pick(("/usr/bin/tini", "/usr/bin/tini", "/usr/bin/tini", "tini", "/opt/tini"))
    options = draft.pick(
        ([], ["--"], ["-s", "--"], ["-g"], ["-e", "143", "--"], ["-vv", "--"], ["-p", "SIGTERM"], ["-x"])
    )
    target = draft.pick((WEB, WEB, WEB, LIFECYCLE, "web", "cnb/process/web", "/cnb/process/none", f"{WEB}/", LAUNCHER))
    draft.config["Entrypoint"] = [path, *options, target]


def path_lookup(draft: Draft) -> None:
    """ENTRYPOINT is a name, and PATH has relative, empty, odd entries; other files of that name are about."""
    entries = (
        "/cnb/process",
        "/usr/bin",
        "/workspace/bin",
        "bin",
        "",
        ".",
        "/none",
        "/cnb/process/",
        "/workspace/data",
    )
    chosen = draft.chance.sample(entries, draft.chance.randint(1, 5))
    draft.set_env("PATH", ":".join([*chosen, *draft.pick(([], ["/cnb/process"]))]))
    draft.config["Entrypoint"] = [draft.pick(("web", "web", "launcher"))]
    for place_ in ("/usr/bin", "/workspace/bin"):
        kinds: tuple[dict[str, Any], ...] = (
            {"file": f"{place_}/web", "mode": draft.pick((0o755, 0o644, 0o700, 0o755)), "program": True},
            {"dir": f"{place_}/web"},
            {"link": f"{place_}/web", "to": draft.pick((WEB, "/none", "web", LIFECYCLE))},
        )
        if draft.chance.random() < 0.5:
            members = draft.of("app") if place_ == "/workspace/bin" else draft.somewhere()
            members += [{"dir": place_}, draft.pick(kinds)]
    if draft.chance.random() < 0.2:
        draft.env = [entry for entry in draft.env if not entry.startswith("PATH=")]


def working_directory(draft: Draft) -> None:
    """WorkingDir is missing, a file, a link, closed, relative."""
    places = (
        "",
        "/",
        "/none",
        "/none/deeper",
        "/workspace/data",
        "/workspace/l",
        "/cnb",
        "workspace",
        "/workspace/closed",
    )
    draft.config["WorkingDir"] = draft.pick((*places, "/workspace/", "/workspace/../cnb", "/cnb/process"))
    draft.of("app").append({"link": "/workspace/l", "to": draft.pick(("/none", "/cnb", "l", "/workspace/data"))})
    draft.of("app").append({"dir": "/workspace/closed", **owned_by(draft, MODES)})


def config_keys(draft: Draft) -> None:
    """Keys of the config in other cases, twice, and of wrong types: those of a start, and others that Go decodes."""
    key = draft.pick(("Env", "Entrypoint", "Cmd", "User", "WorkingDir"))
    if draft.chance.random() < 0.3:
        key = draft.pick(("Volumes", "ExposedPorts", "StopSignal", "ArgsEscaped", "Other"))
    spelled = draft.pick((key, key.lower(), key.upper(), key.replace("s", "\u017f"), key.replace("k", "\u212a")))
    values = {
        "Env": [*environ(), draft.pick(("CNB_PLATFORM_API=0.99", "CNB_LAYERS_DIR=/none", "X=y"))],
        "Entrypoint": draft.pick(([LIFECYCLE], ["/cnb/process/none"], [], None)),
        "Cmd": draft.pick((["x"], [])),
        "User": draft.pick(("0", "1000", "nobody", "1001")),
        "WorkingDir": draft.pick(("/", "/workspace/data", "/cnb")),
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGTERM",
        "ArgsEscaped": False,
        "Other": [1],
    }
    odd = draft.pick((None, "/bin/x", "", 3, 0, False, {}, [], {"a": None}, {"a": 3}, ["a", 3], [None]))
    draft.keys.append((spelled, odd if draft.chance.random() < 0.4 else values[key]))


def env(draft: Draft) -> None:
    """Variables twice, emptied, malformed, or that steer metalauncher."""
    more = (
        *(
            "CNB_PLATFORM_API=0.99",
            f"CNB_PLATFORM_API={PLATFORM_API}",
            "CNB_LAYERS_DIR=/none",
            "CNB_LAYERS_DIR=/layers",
        ),
        *("METALAUNCHER_PIN===0.17.7", "METALAUNCHER_PIN=buildpacks/lifecycle", "METALAUNCHER_ROOT=/opt"),
        *("METALAUNCHER_DRYRUN=1", "CNB_DEPRECATION_MODE=error", "PATH=/usr/bin", f"PATH={PATH}", "HOME=/none"),
    )
    draft.env = [*draft.env, draft.pick(more)]
    if draft.chance.random() < 0.2:
        draft.env = [entry for entry in draft.env if not entry.startswith("CNB_")]


def odd_words(draft: Draft) -> None:
    """Words that runtimes take differently, or no kernel takes."""
    odd = draft.pick(("\0", "x\0y", "x" * 140_000))
    kind = draft.chance.randrange(4)
    if kind == 0:
        draft.config["Cmd"] = [odd]
    elif kind == 1:
        draft.env = [*draft.env, draft.pick((f"X={odd}", "X", "=x"))]
    else:
        draft.config["WorkingDir"] = draft.pick(("/proc", "/dev/null", "/sys", "/proc/self/root", "/dev/none", "/dev"))
        draft.config["Entrypoint"] = draft.pick(([WEB], ["cnb/process/web"], ["self/root/cnb/process/web"]))


def volumes(draft: Draft) -> None:
    """Volumes, over what counts or beside it."""
    draft.config["Volumes"] = {draft.pick(("/workspace", "/data", "/layers/x", "/opt", "/workspace/data")): {}}


def order(draft: Draft) -> None:
    """The layers lie in another order."""
    draft.chance.shuffle(draft.layers)


def labels(draft: Draft) -> None:
    """Labels that are missing, in part, or wrong."""
    draft.labels = draft.pick(LABELS)
