"""Random changes of what lies in a run image and in an app's layers: users, modes, links, programs, whiteouts."""

from __future__ import annotations

import itertools
from typing import Any

from images import LIFECYCLE, LINK
from oracle_draft import (
    DESCRIPTOR,
    FILE_MODES,
    FOLDERS_OF_APP,
    FOLDERS_OF_RUN,
    LAUNCHER,
    METADATA_PATH,
    METALAUNCHER,
    MODES,
    ODD_USERS,
    USERS,
    VERSIONS,
    WEB,
    Draft,
    owned_by,
)
from rebased import descriptor, place
from recipes import Member, stock


def user(draft: Draft) -> None:
    """Another user: by a name or a number, with a group or not."""
    draft.config["User"] = draft.pick(USERS)


def odd_user(draft: Draft) -> None:
    """A user or a group that is not in passwd, or no user at all."""
    draft.config["User"] = draft.pick(ODD_USERS)


def passwd(draft: Draft) -> None:
    """Other users: a patch may bring its own, or take them away."""
    users = (
        "app:x:1500:1500::/:/\nroot:x:0:0::/:/\n",
        "root:x:0:0::/:/\napp:x:1000:1001::/:/\napp:x:1002:1002::/:/\n",
        "root:x:1000:1000::/:/\n",
        "app:x:nonsense\nroot\n",
        "",
    )
    members: list[Member] = [{"file": "/etc/passwd", "text": draft.pick(users)}, {"gone": "/etc/passwd"}]
    members += [
        {"link": "/etc/passwd", "to": "/workspace/data"},
        {"file": "/etc/group", "text": "extra:x:1000:other\n"},
    ]
    draft.config.setdefault("User", "app")
    draft.somewhere().append(draft.pick(members))


def folder_of_run(draft: Draft) -> None:
    """Mode and owner of a directory of the run image, there or by a layer of the app."""
    path = draft.pick(FOLDERS_OF_RUN)
    draft.somewhere().append({"dir": path, **owned_by(draft, MODES)})


def folder_of_app(draft: Draft) -> None:
    """Mode and owner of a directory of the app, in its layer or in one above."""
    path = draft.pick(FOLDERS_OF_APP)
    roles = {"/layers": "config", "/layers/config": "config", "/workspace": "app", "/cnb/process": "process-types"}
    members = draft.of(roles.get(path, "launcher")) if draft.chance.random() < 0.5 else draft.above()
    members.append({"dir": path, **owned_by(draft, MODES)})


def file_modes(draft: Draft) -> None:
    """Mode and owner of a file that is read or started."""
    owned = owned_by(draft, FILE_MODES)
    path = draft.pick((METADATA_PATH, METADATA_PATH, DESCRIPTOR, LAUNCHER, METALAUNCHER))
    if path == METADATA_PATH:
        draft.of("config").append({"file": path, "text": "", **owned})
        return
    if not draft.run:
        return
    what: dict[str, Any] = {"program": True}
    if path == DESCRIPTOR:
        what = {"text": descriptor(VERSIONS[0]).decode()}
    if path == METALAUNCHER:
        what = {"from": "metalauncher"}
    draft.run[-1].append({"file": path, **what, **owned})


def second_launcher(draft: Draft) -> None:
    """Another launcher beside, which may come next."""
    draft.run.append([f"lifecycle@{VERSIONS[1]}"])


def no_launcher(draft: Draft) -> None:
    """No descriptor, or no launcher in its place."""
    if draft.chance.random() < 0.5:
        draft.run = []
    else:
        draft.run[-1:] = [[f"lifecycle@{VERSIONS[0]}", {"drop": LAUNCHER}]]


def _program(draft: Draft, members: list[Member], path: str) -> dict[str, Any]:
    """Return a program of some kind in this place; what it needs is put beside it, or not."""
    loader, shell = "/lib/ld.so", "/opt/sh"
    head = draft.pick(("#!/opt/sh\n", "#! /opt/sh arg\n", "#!/opt/sh", "#!opt/sh\n", "#!\n", "#!/opt/./sh\t\n"))
    kinds: list[dict[str, Any]] = [
        {"program": True},
        {"program": True, "interpreter": loader},
        {"program": True, "keep": draft.pick((0, 4, 63, 100, 600, 4000, 4500))},
        {"program": True, "machine": draft.pick((3, 183, 243))},
        {"text": head},
        {
            "text": draft.pick(
                ("#!" + "/" * 250 + "opt/sh\n", "#!/opt/sh " + "x" * 400 + "\n", "echo hello\n", "\x7fELF")
            )
        },
        {"from": draft.pick(("metalauncher", "another-build"))},
        {
            "text": draft.pick(
                ("#!/usr/bin/metalauncher\n", f"#!{LINK} --launch\n", "#!/usr/bin/metalauncher --launch\n")
            )
        },
        {"text": f"#!{WEB}\n"},
    ]
    found: dict[str, Any] = draft.pick(kinds)
    needs: list[Member] = [{"file": loader, "mode": 0o755, "program": True}]
    needs += [{"file": shell, "mode": draft.pick((0o755, 0o755, 0o644, 0o700)), "program": True}]
    if draft.chance.random() < 0.7:
        members += [{"dir": "/lib"}, {"dir": "/opt"}, *needs]
    return {"file": path, "mode": 0o755, **found}


def other_launcher(draft: Draft) -> None:
    """The run image's launcher is of another kind."""
    if draft.run:
        draft.run[-1].append(_program(draft, draft.run[-1], LAUNCHER))


def launcher_as_link(draft: Draft) -> None:
    """The run image's launcher is a link, symbolic or hard."""
    if not draft.run:
        return
    members = draft.run[-1]
    there: list[Member] = [{"dir": "/opt"}, {"file": "/opt/launcher", "mode": 0o755, "program": True}]
    targets = ("/opt/launcher", "../../../../../../../opt/launcher", "/opt/launcher/", "/opt/none", LIFECYCLE, WEB)
    more = (METALAUNCHER, LINK, "launcher", LAUNCHER, place(VERSIONS[1]), "/proc/self/exe", "/workspace/launcher")
    if draft.chance.random() < 0.75:
        members += [*there, {"link": LAUNCHER, "to": draft.pick((*targets, *more))}]
    else:
        members += [*there, {"drop": LAUNCHER}, {"hard": LAUNCHER, "to": draft.pick(("/opt/launcher", METALAUNCHER))}]


def replaced(draft: Draft) -> None:
    """A layer of the app's own has something else in a place of the run image."""
    members = draft.above()
    places = (LAUNCHER, METALAUNCHER, "/opt/launcher", "/opt/sh", "/lib/ld.so", LINK, "/usr/bin/tini")
    members.append(_program(draft, members, draft.pick(places)))


def removed(draft: Draft) -> None:
    """A layer of the app's own removes something, or hides what is in a directory."""
    members = draft.above()
    places = (LAUNCHER, METALAUNCHER, LINK, DESCRIPTOR, "/opt", "/lib", "/usr/bin/tini", LIFECYCLE, WEB, METADATA_PATH)
    if draft.chance.random() < 0.6:
        members.append(
            {"gone": draft.pick((*places, "/usr/lib/cnb/launchers.d", "/layers", "/cnb", "/workspace", "/none"))}
        )
    else:
        path = draft.pick((*FOLDERS_OF_RUN, *FOLDERS_OF_APP))
        members += [{"dir": path}, {"opaque": path}]


def own_launcher(draft: Draft) -> None:
    """The app brings its own launcher, of some kind."""
    members = draft.of("launcher")
    members.append(_program(draft, draft.run[-1] if draft.run else members, LIFECYCLE))


def shim(draft: Draft) -> None:
    """The launcher is a script for metalauncher, with one argument or another."""
    heads = (
        *(
            "/usr/bin/metalauncher --launch\n",
            "/usr/bin/metalauncher --launch\n",
            " /usr/bin/metalauncher\t--launch \n",
        ),
        *("/usr/bin/metalauncher\n", "/usr/bin/metalauncher --launch x\n", "/usr/bin/metalauncher --launch"),
        *(f"{LINK} --launch\n", f"{LINK}\n", "/usr/bin/metalauncher --version\n", "/usr/bin/metalauncher launch\n"),
        *("/usr/bin/../bin/metalauncher --launch\n", "usr/bin/metalauncher --launch\n", "/usr/bin/env metalauncher\n"),
    )
    draft.of("launcher").append({"file": LIFECYCLE, "mode": 0o755, "text": f"#!{draft.pick(heads)}"})


def _chain(start: str, end: str, length: int) -> list[Member]:
    folder = "/cnb/c"
    names = [start, *[f"{folder}/{number}" for number in range(length - 1)], end]
    return [{"dir": folder}, *[{"link": one, "to": to} for one, to in itertools.pairwise(names)]]


def process_link(draft: Draft) -> None:
    """The process's link leads another way."""
    members = draft.of("process-types")
    kind = draft.chance.randrange(4)
    if kind == 0:
        members += _chain(WEB, LIFECYCLE, draft.pick((1, 2, 5, 36, 37, 38, 39, 40, 41, 44)))
    elif kind == 1:
        through = draft.pick(("/workspace/launcher", "/layers/x/launcher", "/opt/launcher"))
        members.append({"link": WEB, "to": through})
        draft.add(draft.pick(("patch", "extension"))).append({"link": through, "to": draft.pick((LINK, LIFECYCLE))})
    elif kind == 2:
        members += [{"link": "/cnb/l", "to": draft.pick(("lifecycle", "/cnb/lifecycle", "lifecycle/", "none", "l"))}]
        members.append({"link": WEB, "to": draft.pick(("/cnb/l/launcher", "../l/launcher"))})
    else:
        targets = (
            *("../lifecycle/launcher", f"{LIFECYCLE}/", f"/{LIFECYCLE}", "/cnb/./lifecycle/../lifecycle/launcher"),
            *("../../../../cnb/lifecycle/launcher", "/cnb/none/../lifecycle/launcher", "web", f"{LIFECYCLE}/."),
            *("/cnb/lifecycle/none", "/proc/self/root/cnb/lifecycle/launcher", LINK, METALAUNCHER, f"{LIFECYCLE}/.."),
        )
        members.append({"link": WEB, "to": draft.pick(targets)})


def launcher_link(draft: Draft) -> None:
    """The app's link to the run image leads another way."""
    targets = (
        *("../../usr/lib/cnb/launcher", METALAUNCHER, f"{LINK}/", "/usr/lib/cnb/none", "launcher", WEB, f"/{LINK}"),
        *("/usr/lib/../lib/cnb/launcher", "/usr/lib/cnb/launchers.d", LAUNCHER, "/usr/bin/../bin/metalauncher"),
    )
    members = draft.of("launcher")
    if draft.chance.random() < 0.2:
        hard = draft.pick((METALAUNCHER, LAUNCHER, LINK))
        members += [{"drop": LIFECYCLE}, {"hard": LIFECYCLE, "to": hard}]
    else:
        members.append({"link": LIFECYCLE, "to": draft.pick(targets)})


def linked_folder(draft: Draft) -> None:
    """A directory on the way is a link to another."""
    kind = draft.chance.randrange(5)
    slash = draft.pick(("", "", "/"))
    if kind == 0 and draft.run:
        draft.run[-1] += [
            {"dir": "/etc/cnb"},
            {"link": "/etc/cnb/launchers.d", "to": f"/usr/lib/cnb/launchers.d{slash}"},
        ]
    elif kind == 1 and draft.run:
        text = descriptor(VERSIONS[1]).decode()
        draft.run[-1] += [{"dir": "/opt"}, {"dir": "/opt/d"}, {"file": "/opt/d/x.toml", "text": text}]
        draft.run[-1] += [
            {"dir": "/etc/cnb"},
            {"link": "/etc/cnb/launchers.d", "to": draft.pick(("/opt/d", "../../opt/d/"))},
        ]
        draft.run[-1] += list(stock(f"lifecycle@{VERSIONS[1]}"))[-1:]
    elif kind == 2:
        members = draft.of("config")
        members += [{"drop": METADATA_PATH}, {"drop": "/layers/config"}, {"dir": "/layers/real"}]
        members += [
            {"link": "/layers/config", "to": f"real{slash}"},
            {"file": "/layers/real/metadata.toml", "text": draft.metadata},
        ]
    elif kind == 3:
        members = draft.of("launcher")
        members += [{"drop": LIFECYCLE}, {"drop": "/cnb/lifecycle"}, {"dir": "/cnb/real"}]
        members += [{"link": "/cnb/lifecycle", "to": f"/cnb/real{slash}"}, {"link": "/cnb/real/launcher", "to": LINK}]
    else:
        draft.above().append({"link": draft.pick(("/cnb", "/layers", "/usr/lib/cnb", "/etc/cnb")), "to": "/workspace"})


def metadata_file(draft: Draft) -> None:
    """metadata.toml is missing, a link, no file, or no TOML."""
    members = draft.of("config")
    real: Member = {"file": "/layers/config/real", "text": draft.metadata}
    kinds: list[list[Member]] = [
        [{"drop": METADATA_PATH}],
        [
            real,
            {
                "link": METADATA_PATH,
                "to": draft.pick(("real", "/layers/config/real", "real/", "none", "metadata.toml")),
            },
        ],
        [real, {"drop": METADATA_PATH}, {"hard": METADATA_PATH, "to": "/layers/config/real"}],
        [{"drop": METADATA_PATH}, {"hard": METADATA_PATH, "to": "/workspace/data"}],
        [{"drop": METADATA_PATH}, {"hard": METADATA_PATH, "to": "/etc/passwd"}],
        [{"drop": METADATA_PATH}, {"fifo": METADATA_PATH}],
        [{"drop": METADATA_PATH}, {"dir": METADATA_PATH}],
        [{"file": METADATA_PATH, "text": draft.pick(("nonsense", "x = 1", "[[processes]]\ntype = 1\n"))}],
    ]
    members += draft.pick(kinds)


def metalauncher(draft: Draft) -> None:
    """Another metalauncher: another build, another program, its link another way."""
    members = draft.run[-1] if draft.run else draft.of("app")
    kinds: tuple[dict[str, Any], ...] = (
        {"file": METALAUNCHER, "mode": 0o755, "from": "another-build"},
        {"file": METALAUNCHER, "mode": 0o755, "program": True},
        {
            "link": LINK,
            "to": draft.pick(("../../bin/metalauncher", "/usr/bin/metalauncher/", "/usr/bin/none", LAUNCHER)),
        },
        {"hard": LINK, "to": METALAUNCHER},
        {"file": LINK, "mode": 0o755, "from": "metalauncher"},
        {"gone": METALAUNCHER},
    )
    members.append(draft.pick(kinds))


def descriptors(draft: Draft) -> None:
    """A descriptor more: broken, masking another, a link, no file; in either directory, by either side."""
    directory = draft.pick(("/etc/cnb/launchers.d", "/usr/lib/cnb/launchers.d"))
    path = f"{directory}/{draft.pick(('x.toml', DESCRIPTOR.rpartition('/')[2], '.toml', 'x.TOML', '.hidden.toml'))}"
    moved = descriptor(
        VERSIONS[0], f'path = "{draft.pick(("/opt/launcher", "/none", "/usr/bin/metalauncher"))}"'
    ).decode()
    kinds: tuple[dict[str, Any], ...] = (
        {"file": path, "text": "broken"},
        {"file": path, "text": moved},
        {"file": path, "text": "", "mode": 0o600},
        {"file": path, "text": descriptor(VERSIONS[1]).decode()},
        {"link": path, "to": draft.pick((DESCRIPTOR, "/dev/null", "none", "x.toml"))},
        {"dir": path},
        {"fifo": path},
        {"gone": path},
    )
    draft.somewhere().append(draft.pick(kinds))


def archive(draft: Draft) -> None:
    """What is odd in an archive alone."""
    members = draft.of("config")
    name = draft.pick(
        ("", "layers/config/metadata.toml", "./layers/config/metadata.toml", "layers/other", "/cnb/process/web/")
    )
    odd: tuple[Member, ...] = (
        {"zeros": 1},
        {"zeros": 2},
        {"pax": {"path": name}},
        {"gnu": name or "x"},
        {"pax": {"mode": "0"}},
    )
    members[:0] = [{"dir": "/layers"}, {"dir": "/layers/config"}, draft.pick(odd)]


def dishonest(draft: Draft) -> None:
    """A layer that the label calls a buildpack's changes the run image."""
    draft.add("buildpack").append({"dir": draft.pick(FOLDERS_OF_RUN), "mode": draft.pick(MODES)})


def behind_links(draft: Draft) -> None:
    """A layer of the app's has members behind one link, or two, of its own or of a layer below."""
    folders = ("/usr/lib/cnb/launchers.d", LAUNCHER.rpartition("/")[0], "/cnb/process", "/etc", "/workspace")
    top = draft.add("patch")
    below = draft.pick((top, draft.of("app"), draft.of("config"), draft.add("extension")))
    start = {"app": "/workspace", "config": "/layers"}.get(
        next(role for role, members in draft.layers if members is below), "/opt"
    )
    below += [{"dir": start}, {"dir": f"{start}/d"}, {"link": f"{start}/d/e", "to": draft.pick(folders)}]
    below.append({"link": f"{start}/a", "to": draft.pick((f"{start}/d", "d", f"{start}/d/"))})
    path = f"{start}/{draft.pick(('a/e', 'd/e'))}/{draft.pick(('x.toml', 'launcher', 'web', 'passwd'))}"
    what: tuple[dict[str, Any], ...] = (
        {"file": path, "text": "broken"},
        {"file": path, "mode": 0o755, "program": True},
        {"link": path, "to": draft.pick((LINK, LIFECYCLE, "/none"))},
        {"gone": path},
    )
    top.append(draft.pick(what))


def odd_header(draft: Draft) -> None:
    """An ELF header that contradicts itself, or whose program headers are odd."""
    pokes = ([4, 1], [4, 0], [5, 2], [5, 0], [6, 0], [54, 0], [54, 57], [56, 0], [57, 5], [33, 64], [19, 1], [16, 4])
    whole: dict[str, Any] = {"mode": 0o755, "program": True, "poke": [draft.pick(pokes)]}
    if draft.chance.random() < 0.3:
        folder: list[Member] = [{"dir": "/lib"}, {"file": "/lib/ld.so", "mode": 0o755, "program": True}]
        (draft.run[-1] if draft.run else draft.of("app")).extend(folder)
        whole = {**whole, "interpreter": "/lib/ld.so", "poke": [draft.pick(([73, 64], [96, 1], [180, 0], [186, 65]))]}
    if draft.chance.random() < 0.5 and draft.run:
        draft.run[-1].append({"file": LAUNCHER, **whole})
    else:
        draft.of("launcher").append({"file": LIFECYCLE, **whole})


def harmless(draft: Draft) -> None:
    """What changes nothing: another layer, another file, a deeper link."""
    role = draft.pick(("buildpack", "extension", "patch"))
    draft.add(role).append({"file": f"/layers/{draft.pick('abc')}/file", "text": "x", **owned_by(draft, FILE_MODES)})
