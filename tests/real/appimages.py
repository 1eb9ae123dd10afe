"""Run images of real launchers and the apps on them, in a registry: made, asked about, and started by crun."""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundles import as_process, release
from containers import Bundle, Ended, call, debian_members, machine_files, registry
from execs import watch
from exporting import Exporter, Recipe, build_root
from harness import static_form
from images import LIFECYCLE, OCI, Layout, base, pack
from native import public_folder

from metalauncher.tooling.architectures import this_architecture, to_go

METALAUNCHER = "/usr/bin/metalauncher"
LAUNCHERS = "/usr/lib/cnb/launchers"
# Each run image with the launchers in it; None: no metalauncher either. Apps are exported onto the first.
RUN_IMAGES: Mapping[str, tuple[str, ...] | None] = {
    "three": ("0.9.3", "0.17.7", "0.21.17"),
    "newest": ("0.21.17",),
    "older": ("0.9.3", "0.17.7"),
    "plain": None,
}
FIRST = next(iter(RUN_IMAGES))
_DOCKERS = ("newest",)  # of these the manifest is Docker's, as most run images' are; of others OCI's
# What the base has for the apps, which are shell scripts and commands of these names.
COMMANDS = ("bash", "cat", "dash", "echo", "printf")
_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
_LABELS = {"io.buildpacks.stack.id": "acme.stack"}  # without it no app of a Platform API below 0.12 is rebased
_MANIFESTS = f"{OCI}.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Machine:
    """What run images are for, and where they are started.

    Attributes:
        architecture: as Go calls it.
        tarballs: the same as lifecycle's tarballs call it.
        executable: metalauncher's.
        base: members of the run images' base: what the apps need, which are scripts, and commands of `COMMANDS`.
        namespace: the file of the user namespace that containers are started in; "" for that of the tests.
    """

    architecture: str
    tarballs: str
    executable: Path
    base: Sequence[tuple[tarfile.TarInfo, bytes]]
    namespace: str = ""


def this_machine() -> Machine:
    """Return this one: a small Debian of its own files."""
    programs = machine_files(*[Path("/usr/bin") / name for name in COMMANDS])
    name = this_architecture()
    return Machine(to_go(name), name, static_form().executable, debian_members(programs))


@dataclass(frozen=True)
class Outcome:
    """How an app starts: as `check` says it, and as it was seen, in the same terms.

    Attributes:
        kind: of `check`'s verdict.
        launcher: of the run image, its path, that is reached.
        exit_code: where none is.
    """

    kind: str
    launcher: str | None = None
    exit_code: int | None = None

    def __str__(self) -> str:
        """Return it for people."""
        launcher = None if self.launcher is None else self.launcher.split("/")[-2]
        code = None if self.exit_code is None else f"exit {self.exit_code}"
        return " ".join([part for part in (self.kind, launcher, code) if part])


@dataclass(frozen=True)
class Seen:
    """What came of a start: in the terms of `check`, and what the container wrote and ended with."""

    outcome: Outcome
    ended: Ended


def said(result: dict[str, Any]) -> Outcome:
    """Return what a result of `check` says."""
    launcher = result["launcher"]
    return Outcome(result["kind"], None if launcher is None else launcher["path"], result["exit_code"])


class AppImages:
    """Run images and apps in a registry; each is made when it is first asked for."""

    def __init__(
        self, address: str, folder: Path, exporter: Exporter, launchers: Mapping[str, Path], machine: Machine
    ) -> None:
        """Take what they are made of.

        Args:
            address: of the registry.
            folder: to work in, which every user can reach.
            exporter: of apps.
            launchers: of lifecycle releases.
            machine: that all of it is for.
        """
        self._machine = machine
        self._address = address
        self._folder = folder
        self._exporter = exporter
        self._launchers = launchers
        self._made: set[str] = set()
        self._pulled = Layout(folder / "pulled")
        self._unpacked: dict[str, Bundle] = {}
        layers = [pack(machine.base, "a small Debian")]
        self._base = base(folder / "base", layers, "base", machine.architecture, Env=_ENV, Cmd=["bash"], Labels=_LABELS)

    def run_image(self, name: str) -> str:
        """Return a run image's name."""
        image = f"{self._address}/run:{name}"
        if image not in self._made:
            versions = RUN_IMAGES[name]
            source = self._base if versions is None else self._build(name, versions)
            copy = ("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false")
            call(*copy, "--format", "v2s2" if name in _DOCKERS else "oci", source, f"docker://{image}")
            self._made.add(image)
        return image

    def app(self, recipe: Recipe, on: str) -> str:
        """Return an app's name: exported onto the first run image, and rebased where that is not the one asked for."""
        image = f"{self._address}/{recipe.name}:{on}"
        if on == FIRST:
            self._export(recipe, on, image)
        elif image not in self._made:
            self._exporter.rebase(recipe, self.app(recipe, FIRST), self.run_image(on), image)
            self._made.add(image)
        return image

    def exported(self, recipe: Recipe, on: str) -> str:
        """Return the name of an app that was exported onto this run image itself."""
        image = f"{self._address}/{recipe.name}:exported-{on}"
        self._export(recipe, on, image)
        return image

    def _export(self, recipe: Recipe, on: str, image: str) -> None:
        if image not in self._made:
            run = self._unpack(self.run_image(FIRST))  # what a builder has of metalauncher
            folder = self._folder / f"roots-{image.rpartition(':')[2]}"
            root = build_root(recipe, folder, self._launchers[recipe.lifecycle], run.rootfs)
            self._exporter.export(recipe, root, self.run_image(on), image)
            self._made.add(image)

    def check(self, apps: Iterable[str], on: str) -> list[dict[str, Any]]:
        """Ask `metalauncher check` about apps' images on a run image; return their results in this order.

        By default and thoroughly, which comes to the same for what lifecycle's exporter wrote, and is never unknown.
        """
        apps = list(apps)
        ways = []
        for way, assumed in (((), ["lifecycle-layers"]), (("--thorough",), [])):
            words = ("check", *apps, "--run-image", self.run_image(on), *way, "--json", "--cache", self._folder / "c")
            answer = as_process(*words)
            assert answer.code in (0, 1), answer.err
            found = {result["app"]: result for result in answer.document["results"]}
            assert all(result["assumes"] == assumed for result in found.values()), found
            ways.append([found[app] for app in apps])
        read = ("assumes", "layers_read", "bytes_read")
        assert [{**one, **dict.fromkeys(read)} for one in ways[0]] == [
            {**one, **dict.fromkeys(read)} for one in ways[1]
        ]
        return ways[0]

    def start(self, app: str, args: tuple[str, ...] | None) -> Seen:
        """Start an app's image by crun, with the image's own entrypoint or these arguments in its place."""
        bundle = self._unpack(app)
        watched = [bundle.rootfs / path.lstrip("/") for path in (LIFECYCLE, METALAUNCHER)]
        watched = [path for path in watched if path.exists()]
        watched += (bundle.rootfs / LAUNCHERS.lstrip("/")).glob("*/*/*/launcher")
        with watch(watched) as execs:
            ended = bundle.run("crun", None if args is None else list(args), namespace=self._machine.namespace)
            reached = execs.read()
        return Seen(self._outcome(bundle, reached, ended), ended)

    def _outcome(self, bundle: Bundle, reached: list[Path], ended: Ended) -> Outcome:
        """Return what came of a start in which these files were exec'd, in order."""
        launchers = [path for path in reached if path.name == "launcher" and path.is_relative_to(_inside(bundle))]
        if ended.err.startswith("exec container process"):  # crun's: nothing was exec'd
            assert not launchers
            # crun ends with 1; what it says Docker turns into 126 and 127.
            return Outcome("does-not-start", None, 127 if "No such file or directory" in ended.err else 126)
        if launchers:
            return Outcome("starts", f"/{launchers[-1].relative_to(bundle.rootfs)}")
        dispatched = [path for path in reached if path.read_bytes() == self._machine.executable.read_bytes()]
        return Outcome("refused", None, ended.code) if dispatched else Outcome("keeps-own-launcher")

    def _build(self, name: str, versions: tuple[str, ...]) -> str:
        folder, name_ = self._folder / "releases", self._machine.tarballs
        releases = [release(folder, v, self._launchers[v].read_bytes(), architecture=name_) for v in versions]
        bundles = [option for tarball in releases for option in ("--bundle", tarball)]
        out = f"oci:{self._folder}/built:{name}"
        executable = self._machine.executable
        answer = as_process("image", "--base", self._base, "--executable", executable, *bundles, "--out", out)
        assert answer.code == 0, answer.err
        return out

    def unpacked(self, image: str) -> Bundle:
        """Return an image of the registry, pulled and unpacked."""
        return self._unpack(image)

    def labels(self, image: str) -> dict[str, str]:
        """Return the labels of an image of the registry."""
        name, _, version = image.removeprefix(f"{self._address}/").partition(":")
        manifest = json.loads(self._get(f"{name}/manifests/{version}"))
        config = json.loads(self._get(f"{name}/blobs/{manifest['config']['digest']}"))
        return dict(config["config"]["Labels"])

    def rebased_by(self, recipe: Recipe, on: str, platform_api: str) -> str:
        """Return the name of an app that a rebaser of this Platform API rebased onto this run image."""
        image = f"{self._address}/{recipe.name}:{on}-by-{platform_api}"
        rebaser = replace(recipe, platform_api=platform_api)
        self._exporter.rebase(rebaser, self.app(recipe, FIRST), self.run_image(on), image)
        return image

    def _unpack(self, image: str) -> Bundle:
        """Return an image of the registry as a bundle.

        What lifecycle writes has mixed media types: onto an OCI image it puts layers of Docker's type, and its rebase
        makes Docker's manifest over OCI's layers. Runtimes take both, skopeo refuses the one and umoci the other.
        """
        if image not in self._unpacked:
            name, _, version = image.removeprefix(f"{self._address}/").partition(":")
            manifest = json.loads(self._get(f"{name}/manifests/{version}"))
            for layer in manifest["layers"]:
                if not self._pulled.blob(layer["digest"]).exists():
                    self._pulled.put(self._get(f"{name}/blobs/{layer['digest']}"), "")
            config = json.loads(self._get(f"{name}/blobs/{manifest['config']['digest']}"))
            layers = [layer | {"mediaType": f"{OCI}.layer.v1.tar+gzip"} for layer in manifest["layers"]]
            tag = f"{name}-{version}"
            self._pulled.add(config, layers, tag)
            self._pulled.save()
            self._unpacked[image] = Bundle(self._pulled.directory, tag, self._folder / tag)
        return self._unpacked[image]

    def _get(self, path: str) -> bytes:
        url = f"http://{self._address}/v2/{path}"  # on loopback
        request = urllib.request.Request(url, headers={"Accept": _MANIFESTS})
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # https, as the table has it
            return bytes(answer.read())


def _inside(bundle: Bundle) -> Path:
    return bundle.rootfs / LAUNCHERS.lstrip("/")


@contextlib.contextmanager
def app_images(
    exporter: Exporter, launchers: Mapping[str, Path], machine: Machine | None = None
) -> Iterator[AppImages]:
    """Give a registry for run images and apps, for this machine or another one; nothing of it is left at the end."""
    folder = public_folder()
    try:
        (folder / "registry").mkdir()
        with registry(folder / "registry") as address:
            yield AppImages(address, folder, exporter, launchers, machine or this_machine())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
