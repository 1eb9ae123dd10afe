"""Apps and run images as layouts, what a rebase makes of the two, and both ways to ask what comes of that.

The checks read layouts; what is really started is unpacked by this module's own few lines, layer by layer.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import images
from bundles import lifecycle_toml
from harness import Form
from images import Json, Layer, Layout
from native import Native, Starter

from metalauncher.tooling.apps.check.judge import Judge
from metalauncher.tooling.oci.image import Images
from metalauncher.tooling.oci.location import parse_location
from metalauncher.tooling.oci.sources.stores import open_local
from metalauncher.tooling.run_image.reader import load_run_image, read_loaded

if TYPE_CHECKING:
    from metalauncher.tooling.apps.check.verdict import Result
    from metalauncher.tooling.run_image.model import RunImage

PLATFORM = "linux/amd64"
NO_APIS = '[[buildpacks]]\nid = "a/b"\nversion = "1"\n'


def metadata(*apis: str, more: str = "") -> str:
    """Return a metadata.toml with buildpacks of these APIs and a process `web`."""
    buildpacks = "".join([f'[[buildpacks]]\nid = "acme/{n}"\nversion = "1"\napi = "{a}"\n' for n, a in enumerate(apis)])
    return f'{more}{buildpacks}[[processes]]\ntype = "web"\ncommand = ["true"]\nargs = []\ndirect = true\n'


def place(version: str, identifier: str = "buildpacks/lifecycle") -> str:
    """Return where a launcher lies."""
    return f"/usr/lib/cnb/launchers/{identifier}/{version}/launcher"


def descriptor(version: str, head: str = "", *, defaults: bool = False) -> bytes:
    """Return the descriptor of a lifecycle release's launcher."""
    text = lifecycle_toml(version)
    if defaults:
        text = text.replace("[apis.platform]\n", '[apis.platform]\ndefault = "0.3"\n')
        text = text.replace("[apis.buildpack]\n", '[apis.buildpack]\ndefault = "0.2"\n')
    return f'[launcher]\nid = "buildpacks/lifecycle"\n{head}\n{text}'.encode()


@dataclass(frozen=True)
class Rig:
    """What run images are made of.

    Attributes:
        form: of metalauncher.
        launcher: a static program that reports how it was started.
        starter: starts programs under a root of their own.
        folder: for roots.
    """

    form: Form
    native: Native
    starter: Starter
    folder: Path

    @property
    def launcher(self) -> bytes:
        """A program that reports how it was started."""
        return self.native.program("probe").read_bytes()

    def run_layer(self, *versions: str, more: Iterable[tuple[tarfile.TarInfo, bytes]] = ()) -> Layer:
        """Return the layer of a run image with metalauncher and these launchers; `+` after one gives it defaults."""
        members = [images.folder(f"/{name}") for name in ("etc", "usr", "usr/bin", "usr/lib", "usr/lib/cnb")]
        members += [
            images.file("/usr/bin/metalauncher", self.form.executable.read_bytes(), 0o755),
            images.link("/usr/lib/cnb/launcher", "/usr/bin/metalauncher"),
        ]
        for version in versions:
            number = version.rstrip("+")
            text = descriptor(number, defaults=version.endswith("+"))
            members.append(images.file(f"/usr/lib/cnb/launchers.d/lifecycle@{number}.toml", text))
            members.append(images.file(place(number), self.launcher, 0o755))
        return images.pack([*members, *more])


@dataclass
class World:
    """A layout with run images and apps."""

    rig: Rig
    layout: Layout
    tags: int = 0
    runs: dict[str, RunImage] = field(default_factory=dict)

    def run(self, tag: str, *layers: Layer, **run: Any) -> str:
        """Add a run image."""
        images.base(self.layout.directory, layers, tag, **run)
        self.layout = Layout(self.layout.directory)
        return tag

    def app(
        self,
        app: images.App,
        route: str = "symlink",
        on: str = "old",
        *,
        above: Iterable[Layer] = (),
        change: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Export an app; put layers on top and change its config as patches do; return its tag."""
        self.tags += 1
        tag = f"app{self.tags}"
        images.export(self.layout, on, app, route, tag, **options)
        manifest, config = self.layout.image(tag)
        return self.put(tag, manifest["layers"], config, above, change or {})

    def put(
        self, tag: str, blobs: list[Json], config: Json, above: Iterable[Layer], change: Mapping[str, Any], **more: Any
    ) -> str:
        """Write an image anew."""
        above = list(above)
        config["rootfs"]["diff_ids"] += [layer.diff_id for layer in above]
        config["history"] += [{"created_by": "a patch"} for _ in above]
        config["config"] |= change
        new = [self.layout.put(layer.data, layer.media_type) for layer in above]
        self.layout.add(config, [*blobs, *new], tag, **more)
        self.layout.save()
        return tag

    def reference(self, tag: str) -> str:
        """Return how the command line names an image."""
        return f"oci:{self.layout.directory}:{tag}"

    def run_image(self, tag: str) -> RunImage:
        """Read a run image, once."""
        if tag not in self.runs:
            scratch = self.layout.directory.parent / f"scratch-{tag}"
            scratch.mkdir()
            self.runs[tag] = read_loaded(
                tag, load_run_image(Images(open_local(parse_location(self.reference(tag)))), PLATFORM), str(scratch)
            )
        return self.runs[tag]

    def judge(self, app: str, on: str, against: str | None = None, *, thorough: bool = False) -> Result:
        """Check."""
        before = None if against is None else self.run_image(against)
        judge = Judge(self.run_image(on), before, PLATFORM, thorough=thorough)
        return judge.judge(app, open_local(parse_location(self.reference(app))))

    def prove(self, app: str, on: str, *, thorough: bool = False) -> Result:
        """Check, and hold the verdict against what is really started."""
        result = self.judge(app, on, thorough=thorough)
        code, reached = self.start(app, on)
        match result.kind:
            case "starts":
                assert result.launcher is not None
                assert (result.launcher.path, result.exit_code) == (reached, None), result
            case "keeps-own-launcher":
                assert reached is not None, result
                assert "/launchers/" not in reached, result
            case "refused" | "does-not-start":
                assert (reached, code) == (None, result.exit_code), result
            case _:
                raise AssertionError(result)
        return result

    def rebase(self, app: str, on: str, *, old: str = "old") -> Path:
        """Unpack an app on another run image; return the root."""
        root = self.rig.folder / f"{app}-{on}"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        root.chmod(0o755)
        below = len(self.layout.image(old)[0]["layers"])
        blobs = self.layout.image(on)[0]["layers"] + self.layout.image(app)[0]["layers"][below:]
        for blob in blobs:
            images.unpack(self.layout.blob(blob["digest"]).read_bytes(), root)
        return root

    def start(self, app: str, on: str, *, old: str = "old") -> tuple[int | None, str | None]:
        """Rebase, start, and return the exit code (None: nothing could be exec'd) and the launcher that was reached."""
        root = self.rebase(app, on, old=old)
        run = self.layout.image(app)[1]["config"]
        argv = tuple([word.encode() for word in [*(run["Entrypoint"] or []), *(run.get("Cmd") or [])]])
        environ = tuple([entry.encode() for entry in run["Env"]])
        path = argv[0].decode()
        try:
            started = self.rig.starter.start(path, argv, environ, ("mounts",), ("root", str(root)))
        except AssertionError as error:  # the starter's own: the exec failed
            failure = re.search(r"starter: exec: ([\w ]+)", str(error))
            if failure is None:
                raise
            return {"No such file or directory": 127, "Permission denied": 126}.get(failure[1]), None
        finally:
            shutil.rmtree(root)
        reached = started.values("execfn")
        return started.exit_code, reached[0] if reached else None
