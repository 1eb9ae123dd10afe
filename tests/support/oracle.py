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
from typing import Any, Final, Literal

from baking import Kitchen, config_of, labels
from containers import GVISOR, NO_CGROUPS
from images import OCI, REF_NAME, Json, Layer, sha
from recipes import Recipe

from metalauncher.explain.cli import run as run_cli

# What `check` is given beside the images: ("--thorough",) once it is there.
THOROUGH: Final[tuple[str, ...]] = ()
_PROGRAMS = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}
_SECONDS = 30  # for one start
_USAGE = 3
_REFUSALS = (1, 11, 12, 70, 80, 81, 82)
# Docker's and containerd's for root; the profiles of Kubernetes and `--cap-drop ALL` leave none.
_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"),
    "CAP_AUDIT_WRITE",
)
# A run image of before, that the app was built on: nothing of it is left after a rebase.
_OLD = ({"dir": "/etc"}, {"file": "/etc/old-run-image", "text": "old"})

Happened = Literal["ran", "refused", "usage", "crashed", "nothing"]


@dataclass(frozen=True)
class Truth:
    """What came of one start.

    Attributes:
        happened: `ran`: a program of the recipe; `refused`: by metalauncher; `usage`: metalauncher's own command line,
            that was wrong; `crashed`: a program was exec'd, and said nothing; `nothing`: nothing was.
        mark: of the program: `run:PATH` or `app:PATH`, by the image that it comes from.
        through: the same, of its interpreter where it has one.
        execfn: the path that was exec'd.
        code: the container's exit code.
        said: the first line on stderr.
        how: the runtime, and what else was chosen.
    """

    happened: Happened
    mark: str = ""
    through: str = ""
    execfn: str = ""
    code: int = 0
    said: str = ""
    how: str = ""

    @property
    def short(self) -> str:
        """Name it for a table."""
        match self.happened:
            case "ran":
                return f"{self.mark.partition(':')[0]} program ran"
            case "refused":
                return f"refused {self.code}"
            case _:
                return self.happened


@dataclass(frozen=True)
class Case:
    """A recipe, what `check` said, and what is true."""

    recipe: Recipe
    verdict: Json
    truths: tuple[Truth, ...]

    @property
    def wrong(self) -> str:
        """Why the verdict is wrong, "" where it is not."""
        return next((why for why in (agrees(self.verdict, truth, self.recipe) for truth in self.truths) if why), "")

    @property
    def is_settled(self) -> bool:
        """All starts came to the same."""
        return len({(one.happened, one.mark, one.execfn, one.code) for one in self.truths}) == 1

    def __str__(self) -> str:
        """Return both, for people."""
        truths = "\n".join([f"  truth: {one}" for one in self.truths])
        return f"{said(self.verdict)}: {self.verdict['reason']}\n{truths}"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for images, in memory where there is some: they are small, and many."""
    memory = Path("/dev/shm")  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="metalauncher-oracle-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def said(verdict: Mapping[str, Any]) -> str:
    """Name a verdict as recipes do."""
    return f"refused {verdict['exit_code']}" if verdict["kind"] == "refused" else str(verdict["kind"])


def agrees(verdict: Mapping[str, Any], truth: Truth, recipe: Recipe) -> str:
    """Say why a verdict is not so, "" where it is right, or says that it is not known.

    Args:
        verdict: a result of `check`'s JSON.
        truth: what happened.
        recipe: that it is about.
    """
    ran = truth.happened == "ran"
    launcher = (verdict["launcher"] or {}).get("path")
    match verdict["kind"]:
        case "starts":
            ours = truth.mark.startswith("run:") and truth.through.startswith("run:")
            right = ran and ours and truth.execfn == launcher
        case "refused":
            right = truth.happened in ("refused", "usage") and truth.code == verdict["exit_code"]
        case "does-not-start":
            # The launcher that is chosen may be known to fail, which these programs do not.
            right = truth.happened in ("nothing", "usage", "crashed") or (ran and truth.execfn == launcher)
        case "not-affected" | "keeps-its-launcher":
            right = (ran and truth.mark.startswith("app:")) or (truth.happened == "crashed" and recipe.cuts)
        case _:
            right = True
    if right:
        return ""
    what = f"{truth.happened} {truth.mark or truth.code}"
    return f"it is said: {said(verdict)}{f' with {launcher}' if launcher else ''}; but: {what} ({truth.how})"


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
        self._number = 0
        old = self._kitchen.layer(_OLD, "run", "")
        self._old: Final = old

    def judge(self, recipes: Sequence[Recipe], runtimes: Sequence[str] = ("crun",)) -> list[Case]:
        """Write images, ask about each, start each, and remove them."""
        layout = Path(tempfile.mkdtemp(dir=self._folder, prefix="layout-"))
        try:
            return [self._judge(layout, one, runtimes) for one in self.write(layout, recipes)]
        finally:
            shutil.rmtree(layout)

    def _judge(self, layout: Path, image: Written, runtimes: Sequence[str]) -> Case:
        bundle = Path(tempfile.mkdtemp(dir=self._folder, prefix="bundle-"))
        try:
            unpacked = self.unpack(layout, image, bundle)
            app = f"dir:{bundle}/rootfs" if image.recipe.spoil == "dir" else f"oci:{layout}:{image.app}"
            verdict = self.ask(app, f"oci:{layout}:{image.run}", layout / "check.json")
            truths = [unpacked] if unpacked else list(_starts(bundle, runtimes))
            return Case(image.recipe, verdict, tuple(truths))
        finally:
            shutil.rmtree(bundle)

    def write(self, layout: Path, recipes: Iterable[Recipe]) -> list[Written]:
        """Write what recipes describe as images of one OCI layout."""
        (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entries: list[Json] = []
        written = []
        for number, recipe in enumerate(recipes):
            run = [self._kitchen.layer(members, "run", "") for members in (recipe.base, *recipe.run)]
            own = [(one.role, self._kitchen.layer(one.members, "app", recipe.metadata)) for one in recipe.layers]
            below = [self._old]
            layers = [layer for _, layer in own]
            config = config_of(recipe, labels(recipe.labels, own, self._old.diff_id))
            names = (f"app{number}", f"run{number}", f"rebased{number}")
            # Where the label does not tell where the run image ends, the layers are taken over the new one as they are.
            whole = [*below, *layers] if recipe.labels in ("none", "no-top", "damaged") else layers
            roles = [role for role, _ in own]
            number_of_config = None if "config" not in roles else roles.index("config") - len(roles)
            for name, parts, text in (
                (names[0], [*below, *layers], config),
                (names[1], run, '{"Env":["PATH=/usr/bin"]}'),
                (names[2], [*run, *whole], config),
            ):
                spoiled = number_of_config if recipe.spoil == "diff-id" and name != names[1] else None
                entries.append(_put_image(layout, name, parts, text, spoiled))
                if recipe.spoil == "tag-twice" and name != names[1]:
                    entries.append(_put_image(layout, name, parts[:-1], text))
            written.append(Written(recipe, *names))
        index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
        (layout / "index.json").write_text(json.dumps(index))
        return written

    @staticmethod
    def ask(app: str, run: str, output: Path) -> Json:
        """Return the result of `metalauncher check`, run in this process."""
        output.unlink(missing_ok=True)
        words = ["check", app, "--run-image", run, "--format", "json"]
        words += ["--output", str(output), "--no-cache", "--jobs", "1", *THOROUGH]
        with _stderr(output.with_suffix(".err")) as errors:
            code = run_cli([word.encode() for word in words], [], b"metalauncher", None)
        if output.exists():
            (result,) = json.loads(output.read_text())["results"]
            return dict(result)
        # An image that `check` does not take for a run image.
        text = errors.read_text()
        assert (code, text[:7]) == (3, "ERROR: "), f"{' '.join(words)}: {code}: {text}"
        reason = text.splitlines()[0].removeprefix("ERROR: ").removeprefix(run)
        return {"kind": "unknown", "reason": f"the run image{reason}", "launcher": None, "exit_code": None}

    @staticmethod
    def unpack(layout: Path, image: Written, bundle: Path) -> Truth | None:
        """Unpack a rebased app as umoci does, with what it makes of the config; return what that fails with."""
        name = f"{layout}:{image.rebased}"
        unpacked = _run("umoci", "raw", "unpack", "--image", name, bundle / "rootfs")
        if unpacked.returncode:
            return Truth("nothing", said=_last(unpacked.stderr), how="umoci unpack")
        ways = ("--image", name, "--rootfs", bundle / "rootfs", bundle / "config.json")
        configured = _run("umoci", "raw", "runtime-config", *ways)
        if configured.returncode:
            return Truth("nothing", said=_last(configured.stderr), how="umoci runtime-config")
        (bundle / "image.json").write_text(json.dumps(_config(layout, image.rebased)))
        return None


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
    given = config.get("Env")
    given = given if isinstance(given, list) else []
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
    return read_truth(run, runtime, how)


def read_truth(run: subprocess.CompletedProcess[str], runtime: str, how: str) -> Truth:
    """Return what happened, by what a container wrote and how it ended."""
    lines = run.stderr.splitlines()
    first = next((line for line in lines if line.startswith(("ERROR: ", "metalauncher: "))), lines[0] if lines else "")
    marks = [line.split("\t") for line in run.stdout.splitlines() if line.startswith("ORACLE\t")]
    if marks:
        _, through, mark, execfn = marks[-1]
        return Truth("ran", mark, through, execfn, run.returncode, first, how)
    happened: Happened = "nothing"
    if first.startswith(("ERROR: ", "metalauncher: ")):
        happened = "usage" if run.returncode == _USAGE else "refused" if run.returncode in _REFUSALS else "nothing"
    elif not lines or (runtime != "crun" and run.returncode > 128):
        happened = "crashed"
    return Truth(happened, code=run.returncode, said=first, how=how)


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
