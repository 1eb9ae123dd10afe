"""Whether `check` is right about a small image: it is asked, and the image is rebased, unpacked and really started.

What happened is read from the outside alone: each program of a recipe says which it is (tests/native/mark.c),
metalauncher says why it refuses, and else nothing of either ran. Knows nothing of how `check` comes to its verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from baking import Kitchen, config_of, fill, labels
from containers import GVISOR, NO_CGROUPS
from images import OCI, REF_NAME, Json, Layer, sha
from oracle_truth import WAYS, Case, Truth, Words, read_truth
from recipes import Members, Recipe

from metalauncher.explain.cli import run as run_cli

_PROGRAMS = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}
_SECONDS = 30  # for one start
# Docker's and containerd's for root; the profiles of Kubernetes and `--cap-drop ALL` leave none.
_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"),
    "CAP_AUDIT_WRITE",
)
# A run image of before, that the app was built on: nothing of it is left after a rebase.
_OLD = ({"dir": "/etc"}, {"file": "/etc/old-run-image", "text": "old"})


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for images, in memory where there is some: they are small, and many."""
    memory = Path("/dev/shm")  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="metalauncher-oracle-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Written:
    """A recipe in a layout: the names of the app, of the run image, and of the app on the run image."""

    recipe: Recipe
    app: str
    run: str
    rebased: str


class Oracle:
    """Asks, and tries. For one process."""

    def __init__(self, program: Path, folder: Path) -> None:
        """Take tests/native/mark.c's program, and a folder that is best in memory."""
        self._kitchen: Final = Kitchen(program)
        self._folder: Final = folder
        self._masters: Final = folder / "masters"
        self._masters.mkdir(exist_ok=True)
        self._old: Final = self._kitchen.layer(_OLD, "run", "")

    def judge(self, recipes: Sequence[Recipe], runtimes: Sequence[str] = ("crun",)) -> list[Case]:
        """Write images, ask about each, start each, and remove them."""
        layout = Path(tempfile.mkdtemp(dir=self._folder, prefix="layout-"))
        try:
            written = self.write(layout, recipes)
            together = [one for one in written if one.recipe.spoil != "dir"]
            ways = {way: _ask_together(layout, together, way) for way in WAYS}
            return [
                self._judge(layout, one, {way: found.get(one.app) for way, found in ways.items()}, runtimes)
                for one in written
            ]
        finally:
            shutil.rmtree(layout)

    def _judge(self, layout: Path, image: Written, known: Mapping[Words, Json | None], runtimes: Sequence[str]) -> Case:
        bundle = Path(tempfile.mkdtemp(dir=self._folder, prefix="bundle-"))
        try:
            unpacked = self.unpack(layout, image, bundle)
            app = f"dir:{bundle}/rootfs" if image.recipe.spoil == "dir" else f"oci:{layout}:{image.app}"
            run, output = f"oci:{layout}:{image.run}", layout / "check.json"
            verdicts = [verdict or ask([app], run, output, way)[0] for way, verdict in known.items()]
            truths = [unpacked] if unpacked else list(_starts(bundle, runtimes))
            return Case(image.recipe, tuple(verdicts), tuple(truths))
        finally:
            shutil.rmtree(bundle)

    def write(self, layout: Path, recipes: Iterable[Recipe]) -> list[Written]:
        """Write what recipes describe as images of one OCI layout."""
        (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entries: list[Json] = []
        written = []
        for number, recipe in enumerate(recipes):
            run, light_run = self._layers("run", (recipe.base, *recipe.run), "")
            layers, light = self._layers("app", [one.members for one in recipe.layers], recipe.metadata)
            own = list(zip([one.role for one in recipe.layers], layers, strict=True))
            config = config_of(recipe, labels(recipe.labels, own, self._old.diff_id))
            names = (f"app{number}", f"run{number}", f"rebased{number}")
            # Where the label does not tell where the run image ends, the layers are taken over the new one as they are.
            below = [self._old] if recipe.labels in ("none", "no-top", "damaged") else []
            roles = [role for role, _ in own]
            number_of_config = None if "config" not in roles else roles.index("config") - len(roles)
            for name, parts, text in (
                (names[0], [self._old, *layers], config),
                (names[1], run, '{"Env":["PATH=/usr/bin"]}'),
                (names[2], [*light_run, *below, *light], config),
            ):
                spoiled = number_of_config if recipe.spoil == "diff-id" and name != names[1] else None
                entries.append(_put_image(layout, name, parts, text, spoiled))
                if recipe.spoil == "tag-twice" and name != names[1]:
                    entries.append(_put_image(layout, name, parts[:-1], text))
            written.append(Written(recipe, *names))
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
        (layout / "index.json").write_text(json.dumps(index))
        return written

    def _layers(self, side: str, parts: Iterable[Members], text: str) -> tuple[list[Layer], list[Layer]]:
        """Return layers, and the same with little in the place of large files."""
        parts = list(parts)
        whole = [self._kitchen.layer(members, side, text) for members in parts]
        return whole, [self._kitchen.layer(members, side, text, light=True) for members in parts]

    def unpack(self, layout: Path, image: Written, bundle: Path) -> Truth | None:
        """Unpack a rebased app as umoci does, with what it makes of the config; return what that fails with."""
        name = f"{layout}:{image.rebased}"
        unpacked = _run("umoci", "raw", "unpack", "--image", name, bundle / "rootfs")
        if unpacked.returncode:
            return Truth("nothing", said=_last(unpacked.stderr), how="umoci unpack")
        ways = ("--image", name, "--rootfs", bundle / "rootfs", bundle / "config.json")
        configured = _run("umoci", "raw", "runtime-config", *ways)
        if configured.returncode:
            return Truth("nothing", said=_last(configured.stderr), how="umoci runtime-config")
        fill(bundle / "rootfs", self._masters)
        (bundle / "image.json").write_text(json.dumps(_config(layout, image.rebased)))
        return None


def ask(apps: Sequence[str], run: str, output: Path, way: Words) -> list[Json]:
    """Return the results of `metalauncher check`, run in this process; none where it takes one app for a mistake."""
    output.unlink(missing_ok=True)
    words = ["check", *apps, "--run-image", run, "--format", "json"]
    words += ["--output", str(output), "--no-cache", "--jobs", "1", *way]
    with _stderr(output.with_suffix(".err")) as errors:
        code = run_cli([word.encode() for word in words], [], b"metalauncher", None)
    if output.exists():
        found = {result["app"]: dict(result) for result in json.loads(output.read_text())["results"]}
        return [found[app] for app in apps]
    # What it does not take for a run image, or for an app.
    text = errors.read_text()
    assert (code, text[:7]) == (3, "ERROR: "), f"{' '.join(words)}: {code}: {text}"
    if len(apps) > 1:
        return []
    reason = text.splitlines()[0].removeprefix("ERROR: ").removeprefix(run)
    return [{"kind": "unknown", "reason": f"the run image{reason}", "launcher": None, "exit_code": None}]


def _ask_together(layout: Path, images: Sequence[Written], way: Words) -> dict[str, Json]:
    """Return the results of images, by their names: at once for those of one run image."""
    groups: dict[str, list[Written]] = {}
    for image in images:
        groups.setdefault(json.dumps([image.recipe.base, image.recipe.run]), []).append(image)
    found: dict[str, Json] = {}
    for group in groups.values():
        names = [f"oci:{layout}:{image.app}" for image in group]
        results = ask(names, f"oci:{layout}:{group[0].run}", layout / "check.json", way)
        found |= {image.app: result for image, result in zip(group, results, strict=False)}
    return found


def _starts(bundle: Path, runtimes: Sequence[str]) -> Iterable[Truth]:
    """Start an unpacked app as its config says, in each way that platforms differ in."""
    config = json.loads((bundle / "config.json").read_text())
    for how, process in _ways(config["process"], json.loads((bundle / "image.json").read_text())):
        for runtime in runtimes:
            yield _start(bundle, runtime, config, process, how)


@contextlib.contextmanager
def _stderr(file: Path) -> Iterator[Path]:
    """Lead what this process writes on stderr into a file."""
    before = os.dup(2)
    target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.dup2(target, 2)
        yield file
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(target)


def _put_image(layout: Path, name: str, layers: Sequence[Layer], config: str, spoiled: int | None = None) -> Json:
    ids = [layer.diff_id for layer in layers]
    if spoiled is not None:
        ids[spoiled] = sha(b"another layer")
    rootfs = json.dumps({"type": "layers", "diff_ids": ids})
    text = f'{{"architecture":"amd64","os":"linux","config":{config},"rootfs":{rootfs}}}'
    blobs = [_put(layout, layer.data, layer.media_type) for layer in layers]
    media = f"{OCI}.manifest.v1+json"
    described = _put(layout, text.encode(), f"{OCI}.config.v1+json")
    document = {"schemaVersion": 2, "mediaType": media, "config": described, "layers": blobs}
    return _put(layout, json.dumps(document).encode(), media) | {"annotations": {REF_NAME: name}}


def _put(layout: Path, data: bytes, media_type: str) -> Json:
    digest = sha(data)
    path = layout / "blobs/sha256" / digest.partition(":")[2]
    if not path.exists():
        path.write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _config(layout: Path, name: str) -> Json:
    """Return the config of an image, its keys as they are."""
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    entry = next(entry for entry in entries if entry["annotations"][REF_NAME] == name)
    manifest = json.loads(_blob(layout, entry).read_text())
    return dict(json.loads(_blob(layout, manifest["config"]).read_text())["config"])


def _blob(layout: Path, descriptor: Json) -> Path:
    return layout / "blobs/sha256" / str(descriptor["digest"]).partition(":")[2]


def _ways(process: Json, config: Json) -> Iterable[tuple[str, Json]]:
    """Give the ways to start an image that platforms differ in, each with what it is called."""
    process = process | {"terminal": False, "capabilities": {}}
    process.pop("rlimits", None)
    process["env"] = [entry for entry in process["env"] if not entry.startswith("TERM=")]
    yield "", process
    if process["user"]["uid"] == 0:
        kinds = ("bounding", "effective", "permitted")
        yield "with capabilities", process | {"capabilities": dict.fromkeys(kinds, _CAPABILITIES)}
    given = next((config[key] for key in reversed(config) if key.lower() == "env"), None)  # as Go reads keys
    given = [entry or "" for entry in given] if isinstance(given, list) else []  # null is "" to Go
    names = [entry.partition("=")[0] for entry in given]
    if len(set(names)) < len(names):  # umoci leaves the last
        yield "Env as it is", process | {"env": [*given, "HOME=/"]}
    if "PATH" not in names and not process["args"][0].startswith("/"):
        without = [entry for entry in process["env"] if not entry.startswith("PATH=")]
        yield "without PATH", process | {"env": without}


def _start(bundle: Path, runtime: str, config: Json, process: Json, how: str) -> Truth:
    mounts = [mount for mount in config["mounts"] if mount["destination"] in ("/proc", "/dev")]
    document = {
        "ociVersion": config["ociVersion"],
        "process": process,
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
    }
    (bundle / "config.json").write_text(json.dumps(document))
    name, state = f"oracle-{secrets.token_hex(6)}", bundle / "state"
    base: list[str | Path] = [runtime, "--root", state]
    if runtime == "crun":
        base = [*NO_CGROUPS, *base, "--cgroup-manager=disabled"]
    if runtime == "runsc":
        base = [*base, *GVISOR]
    how = f"{runtime} {how}".strip()
    try:
        run = _run(*base, "run", "--bundle", bundle, name)
    except subprocess.TimeoutExpired:
        _run(*base, "delete", "--force", name)
        return Truth("nothing", said=f"still runs after {_SECONDS} s", how=how)
    if runtime == "runc":
        _run(*base, "delete", "--force", name)
    return read_truth(run, how)


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=_PROGRAMS,
        timeout=_SECONDS,
    )


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
