"""What real launchers read of a metadata.toml, against what metalauncher makes of it, over generated files.

Files are what lifecycles' own encoders write for whatever buildpacks may say, and files that somebody edited.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import encoders
import golang
import pytest
import strategies
from harness import DATA, REFERENCE_REGISTRY, Image, python_form, static_form
from making import decide_app
from reading import NEW, NEWEST, OLD, VERSIONS, Started, forecast, start
from real_launchers import Launchers

from metalauncher.environment import Policy
from metalauncher.execute import Itself
from metalauncher.explain.releases import RELEASES
from metalauncher.explain.which import Answer
from metalauncher.places import Root
from metalauncher.record import InvalidMetadata, parse_record

if TYPE_CHECKING:
    from metalauncher.explain.forecast import Forecast

pytestmark = pytest.mark.thorough

PARSERS = {
    "0.9.3": "0.3.1",
    "0.10.2": "0.3.1",
    "0.11.4": "0.3.1",
    "0.13.5": "1.0.0",
    "0.14.3": "1.1.0",
    "0.15.3": "1.1.0",
    "0.17.7": "1.3.2",
    "0.18.5": "1.3.2",
    "0.20.11": "1.5.0",
    "0.21.17": "1.6.0",
}
FILES = max(1, int(60 * strategies.PROFILES[strategies.PROFILE]))  # of each lifecycle
EDITED = FILES * 10
# The optional descriptor, for apps of lifecycle 0.10 and 0.11 that only such a launcher reads.
OPTIONAL = "0.11.4"
SHIPPED = ("0.9.3", "0.17.7", "0.21.17")  # the reference registry's


def test_every_lifecycle_has_its_encoder() -> None:
    """For each launcher there is the encoder that its release was built with, by the release data."""
    known = json.loads((DATA / "lifecycle_toml.json").read_text())["parsers"]
    assert {version: known[version] for version in VERSIONS} == PARSERS
    assert set(PARSERS.values()) == set(encoders.parsers())


class Registry:
    """A run image of real launchers, in either form, and the launchers by themselves."""

    def __init__(self, folder: Path, real: Launchers, *versions: str) -> None:
        """Install the launchers as the reference registry has them."""
        self.real = real
        self.image = Image(folder, static_form())
        for version in versions:
            name = f"buildpacks_lifecycle@{version}.toml"
            known = [REFERENCE_REGISTRY / name, REFERENCE_REGISTRY / "optional" / name]
            shutil.copy(next(file for file in known if file.exists()), self.image.usr)
            self.image.install("buildpacks/lifecycle", version, real[version].executable)
        self.process = self.image.by_link()
        self.zipapp = folder / "zipapp/web"
        self.zipapp.parent.mkdir()
        self.zipapp.symlink_to(python_form().executable)
        self.file = folder / "metadata.toml"

    def alone(self, version: str, data: bytes, platform: str) -> Started:
        """Start an app through a lifecycle's launcher by itself."""
        return start(self.real[version].executable, data, platform)

    def through(self, data: bytes, platform: str) -> Started:
        """Start it through metalauncher."""
        return start(self.process, data, platform, METALAUNCHER_ROOT=str(self.image.root))

    def through_zipapp(self, data: bytes, platform: str) -> Started:
        """Start it through the other form."""
        return start(self.zipapp, data, platform, METALAUNCHER_ROOT=str(self.image.root))

    def answer(self, data: bytes, platform: str) -> Answer:
        """Ask `--which`, in this process."""
        self.file.write_bytes(data)
        root = Root(os.fsencode(self.image.root))
        decision = decide_app(root, {b"CNB_PLATFORM_API": platform.encode()}, os.fsencode(self.file))
        return Answer(decision, root, Itself(root, os.fsencode(self.image.executable)))


@pytest.fixture
def registry(tmp_path: Path, real: Launchers) -> Registry:
    """Return the reference registry, with the optional launcher."""
    return Registry(tmp_path / "image", real, *SHIPPED, OPTIONAL)


def apis(version: str, chance: random.Random) -> tuple[str, str]:
    """Return a Platform and a Buildpack API that a lifecycle exports apps with, its newest as a rule."""
    if chance.random() < 0.5:
        return NEWEST[version]
    minor = int(version.split(".")[1])
    (row,) = [row for row in RELEASES if int(row[0].split(".")[1]) == minor and row[0] != "0.19.1"]
    return f"0.{chance.randint(row[2], row[3])}", f"0.{chance.randint(row[4], row[5])}"


def written(version: str, seed: int = 1) -> Iterator[tuple[bytes, str]]:
    """Yield files that a lifecycle writes, each with the Platform API of its app."""
    chance = random.Random(f"{version} {seed}")
    try:
        program = encoders.build(PARSERS[version])
    except golang.Unavailable as missing:
        pytest.fail(f"the encoder of lifecycle {version} is needed. {missing}", pytrace=False)
    asked = [(apis(version, chance), random.Random(chance.random())) for _ in range(FILES)]
    launches = [(platform, encoders.launch_toml(own, api)) for (platform, api), own in asked]
    for form in ("string", "json", "array"):
        some = [(platform, launch) for platform, launch in launches if form_of(version, platform) == form]
        found = encoders.encode(program, [launch for _, launch in some], form) if some else []
        yield from [(data, platform) for data, (platform, _) in zip(found, some, strict=True) if data is not None]


def form_of(version: str, platform: str) -> str:
    """Return how a lifecycle writes a process's command."""
    if int(version.split(".")[1]) < 15:
        return "string"
    return "array" if int(platform.split(".")[1]) >= 10 else "json"


@pytest.mark.parametrize("version", VERSIONS)
def test_no_app_is_stranded(version: str, registry: Registry) -> None:
    """No file that a lifecycle writes is started by its own launcher and not with metalauncher, in either form."""
    started, stranded = 0, []
    for number, (data, platform) in enumerate(written(version)):
        alone, through = registry.alone(version, data, platform), registry.through(data, platform)
        started += alone.code == 0
        if alone.code == 0 and through.code != 0:
            stranded.append((number, platform, through.said, data))
        if data != data.decode("ascii", "replace").encode() or number % 10 == 0:
            zipapp = registry.through_zipapp(data, platform)
            assert (zipapp.code == 0) == (through.code == 0), (data, zipapp, through)
    assert stranded == []
    assert started > FILES / 3


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_chosen_and_refuses_was_foretold(version: str, registry: Registry) -> None:
    """Of files that a lifecycle writes, `--which` foretells each that the chosen launcher refuses, and no other."""
    wrong = []
    for data, platform in written(version, seed=2):
        answer = registry.answer(data, platform)
        if answer.launcher is not None:
            done = registry.alone(answer.launcher.version, data, platform)
            if done.read == bool(answer.forecast.reason):
                wrong.append((answer.launcher, answer.forecast.reason, done, data))
    assert wrong == [], "\n\n".join(map(str, wrong))


def test_without_the_optional_launcher(tmp_path: Path, real: Launchers) -> None:
    """Without lifecycle 0.11.4 only apps of 0.10 and 0.11 are stranded whose files hold what newer launchers refuse.

    `--which` says so: it refuses them, or foretells that the launcher will.
    """
    registry = Registry(tmp_path / "image", real, *SHIPPED)
    stranded: Counter[str] = Counter()
    for version in VERSIONS:
        for data, platform in written(version):
            if registry.through(data, platform).code == 0 or registry.alone(version, data, platform).code != 0:
                continue
            answer = registry.answer(data, platform)
            assert answer.decision.record is not None
            assert answer.decision.record.oddities
            assert answer.exit_code == 1 or answer.forecast.reason
            stranded[version] += 1
    assert set(stranded) == {"0.10.2", "0.11.4"}


def edited(seed: int) -> Iterator[tuple[bytes, random.Random]]:
    """Yield files that somebody edited, of apps with Buildpack API 0.7, each with the chance that goes on with it."""
    chance = random.Random(seed)
    cases = [file.read_bytes() for file in sorted((DATA / "forecasts").glob("*.toml"))]
    for _ in range(EDITED):
        yield encoders.mutate(chance, chance.choice(cases), cases), chance


def differs(forecast: Forecast, done: Started) -> bool:
    """Tell whether a launcher did otherwise than foretold. Where there is no process, it doesn't look for layers."""
    return done.read == bool(forecast.reason) and "determine start command" not in done.said


def test_edited_files(registry: Registry) -> None:
    """Of files that somebody edited as well: what the chosen launcher refuses was foretold, and what not, was not."""
    wrong = []
    seen: Counter[str] = Counter()
    for text, chance in edited(3):
        platform, api = chance.choice(
            (("0.4", "0.4"), ("0.5", "0.4"), ("0.8", "0.7"), ("0.12", "0.7"), ("0.12", "0.4"))
        )
        data = text.replace(b'"0.7"', f'"{api}"'.encode())
        answer = registry.answer(data, platform)
        if answer.launcher is None or answer.forecast.doubt:
            seen["refused" if answer.launcher is None else "doubt"] += 1
            continue
        done = registry.alone(answer.launcher.version, data, platform)
        seen["foretold" if answer.forecast.reason else "read"] += 1
        if differs(answer.forecast, done):
            wrong.append((answer.launcher, answer.forecast.reason, done, data))
    assert wrong == [], "\n\n".join(map(str, wrong))
    assert min(seen["refused"], seen["foretold"], seen["read"]) > EDITED / 20, seen


def test_edited_files_by_every_launcher(real: Launchers) -> None:
    """The same of whichever launcher reads them, chosen or not."""
    wrong = []
    seen: Counter[str] = Counter()
    for text, chance in edited(4):
        version = chance.choice(VERSIONS)
        platform, api = NEW if VERSIONS.index(version) >= VERSIONS.index("0.13.5") else OLD
        data = text.replace(b'"0.7"', f'"{api}"'.encode())
        try:
            record = parse_record(data, "metadata.toml", Policy({}))
        except InvalidMetadata:
            continue
        foretold = forecast(data, version)
        if foretold.doubt or any(buildpack.text != api for buildpack in record.buildpacks):
            continue
        done = start(real[version].executable, data, platform)
        seen["foretold" if foretold.reason else "read"] += 1
        if differs(foretold, done):
            wrong.append((version, foretold.reason, done, data))
    assert wrong == [], "\n\n".join(map(str, wrong))
    assert min(seen["foretold"], seen["read"]) > EDITED / 20, seen
