"""which.py: what `--which` answers, as text and as JSON, and that the dispatch does just that."""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from harness import APPS, DATA, PROJECT, REFERENCE_REGISTRY, Form, Image
from making import apis, launcher
from test_refusals import CASES, SOURCE, lay_out

from metalauncher.__main__ import start
from metalauncher.explain.which import digest
from metalauncher.registry import Registry

if TYPE_CHECKING:
    from metalauncher.descriptor import Launcher

SCHEMA: dict[str, Any] = json.loads((PROJECT / "metalauncher/schemas/which.schema.json").read_text())
LAUNCHER = '#!/bin/sh\necho "{0}"\n'
# What each app of tests/data/apps runs with the reference registry (0.21.17, 0.17.7, 0.9.3).
SERVED = {
    "p03-unrecorded": "0.9.3",
    "p04": "0.17.7",
    "p06": "0.17.7",
    "p06-bom300k": "0.17.7",
    "p07": "0.21.17",
    "p09-mixed": "0.17.7",
    "p09-new": "0.21.17",
    "p12": "0.21.17",
    "p12-mixed": "0.17.7",
    "p15": "0.21.17",
}


def furnish(image: Image) -> Image:
    """Install the reference registry, and for each of its launchers a script that says its version."""
    image.use_registry()
    for file in REFERENCE_REGISTRY.glob("*.toml"):
        name, _, version = file.stem.rpartition("@")
        image.install(name.replace("_", "/"), version, LAUNCHER.format(version))
    return image


@pytest.fixture
def furnished(image: Image) -> Image:
    """Return the reference run image, in either form."""
    return furnish(image)


@pytest.fixture
def local(tmp_path: Path) -> Image:
    """Return the reference run image, to be asked in this process."""
    return furnish(Image(tmp_path / "image", SOURCE))


class Asker:
    """Asks `--which` in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Take what holds the output."""
        self.capfd = capfd

    def __call__(self, image: Image, *options: str) -> tuple[int, str, str]:
        """Return (exit code, stdout, stderr)."""
        own = os.fsencode(image.executable)
        environ = [os.fsencode(f"{name}={value}") for name, value in image.environ.items()]
        self.capfd.readouterr()
        status = start([own, b"--which", *map(os.fsencode, options)], environ, own, lambda _path, _skip: 0)
        out, err = self.capfd.readouterr()
        return status, out, err

    def json(self, image: Image, *options: str) -> dict[str, Any]:
        """Return the document, valid by the schema."""
        status, out, err = self(image, "--json", *options)
        assert err == ""
        document: dict[str, Any] = json.loads(out)
        jsonschema.validate(document, SCHEMA)
        assert document["exit_code"] == status
        return document


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Asker:
    """Return a way to ask."""
    return Asker(capfd)


def path_of(image: Image, version: str, identifier: str = "buildpacks/lifecycle") -> str:
    """Return where that launcher lies."""
    return f"{image.root}/usr/lib/cnb/launchers/{identifier}/{version}/launcher"


def test_every_app_is_in_the_table() -> None:
    """An app added to tests/data/apps has its row."""
    assert set(SERVED) == {path.name for path in APPS.iterdir()}


@pytest.mark.parametrize(("app", "version"), SERVED.items())
def test_real_apps(app: str, version: str, furnished: Image) -> None:
    """Apps of real lifecycles of every age are served by the launcher of the table, and the dispatch runs just that."""
    furnished.use_app(app)
    asked = furnished.which()
    assert (asked.returncode, asked.stdout) == (0, f"{path_of(furnished, version)}\n")
    assert asked.stderr.startswith(f"launcher: buildpacks/lifecycle@{version} (")
    run = furnished.dispatch()
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{version}\n", "")


REFUSED = [
    ("p12-mixed", {"CNB_PLATFORM_API": ""}, 11, "the app started a launcher itself (launchers remove this variable"),
    ("p12", {"CNB_PLATFORM_API": "0.99"}, 11, "platform API version '0.99' is incompatible with the lifecycle"),
    ("p12", {"CNB_LAYERS_DIR": "/nowhere"}, 1, "failed to read metadata: open /nowhere/config/metadata.toml"),
    ("p12", {"METALAUNCHER_PIN": "buildpacks/lifecycle@1.0"}, 81, "pinned launcher 'buildpacks/lifecycle@1.0'"),
    ("p12", {"METALAUNCHER_ROOT": "/nowhere"}, 80, "no launcher is installed"),
]


@pytest.mark.parametrize(("app", "variables", "code", "text"), REFUSED)
def test_refused_apps(app: str, variables: dict[str, str], code: int, text: str, furnished: Image) -> None:
    """What nothing serves is refused alike by `--which` and by the dispatch, with CNB's exit code."""
    furnished.use_app(app)
    furnished.environ.update(variables)
    for result in (furnished.which(), furnished.dispatch()):
        assert (result.returncode, result.stdout) == (code, "")
        assert text in result.stderr


def test_buildpack_api_of_the_future(furnished: Image) -> None:
    """A Buildpack API that no launcher has is refused with 12."""
    furnished.use_app("p12")
    result = furnished.which("--buildpack-api", "acme/node=9.9")
    assert result.returncode == 12
    assert "buildpack API version '9.9' is incompatible with the lifecycle" in result.stderr


def test_order_of_the_text(local: Image, ask: Asker) -> None:
    """The choice and its rule, the app's needs, every other launcher with its reason, and the files left aside."""
    local.use_app("p09-mixed")
    for name in ("a.toml", "b.toml"):
        local.etc.mkdir(parents=True, exist_ok=True)
        shutil.copy(local.usr / "hone_launcher-rs@0.1.1a4.toml", local.usr / name)
    (local.etc / "a.toml").symlink_to("/dev/null")
    (local.etc / "z.toml").symlink_to("/dev/null")
    shutil.copy(local.usr / "b.toml", local.etc)
    (local.usr / "c.toml").write_text("[launcher]\n")
    status, out, err = ask(local)
    assert (status, out) == (0, path_of(local, "0.17.7") + "\n")
    for place, name in ((local.root, "{root}"), (APPS, "{apps}")):
        err = err.replace(str(place), name)
    assert err == (DATA / "which.txt").read_text()


def test_fallback(local: Image, ask: Asker) -> None:
    """Where the first of the ranking can't be started, the next is named, with a warning: as the dispatch would."""
    local.use_app("p12")
    Path(path_of(local, "0.21.17")).write_text("no program\n")
    Path(path_of(local, "0.17.7")).write_text("no program\n")
    (local.usr / "extra.toml").write_text(
        (local.usr / "buildpacks_lifecycle@0.21.17.toml").read_text().replace("0.21.17", "0.20.0")
    )
    local.install("buildpacks/lifecycle", "0.20.0", "#!/bin/sh\n")
    status, out, err = ask(local)
    assert (status, out) == (0, path_of(local, "0.20.0") + "\n")
    assert "because it is the first in the ranking that can be started\n" in err
    assert "warning: buildpacks/lifecycle@0.21.17 ranks first, but can't be started: exec format error\n" in err
    document = ask.json(local)
    assert document["decided_by"] == "the first in the ranking that can be started"
    ranked = {entry["version"]: (entry["rank"], entry["obstacle"], entry["reason"]) for entry in document["launchers"]}
    assert ranked["0.21.17"] == (1, "exec format error", "can't be started: exec format error")
    assert ranked["0.20.0"] == (2, None, None)


def test_next_in_the_ranking(local: Image, ask: Asker) -> None:
    """Whoever else covers the app is named with its rank."""
    local.use_app("p07")
    document = ask.json(local)
    reasons = {entry["version"]: (entry["rank"], entry["reason"]) for entry in document["launchers"]}
    assert reasons["0.21.17"] == (1, None)
    assert reasons["0.17.7"] == (2, "covers the app, number 2 in the ranking")
    assert document["decided_by"] == "the highest version that covers the app, before buildpacks/lifecycle@0.17.7"


@pytest.mark.parametrize("app", SERVED)
def test_quiet(app: str, local: Image, ask: Asker) -> None:
    """`--quiet` prints the path alone."""
    local.use_app(app)
    assert ask(local, "--quiet") == (0, path_of(local, SERVED[app]) + "\n", "")


def test_quiet_refusal(local: Image, ask: Asker) -> None:
    """`--quiet` leaves the reasons out, not the refusal."""
    local.use_app("p12")
    status, out, err = ask(local, "--quiet", "--platform-api", "0.99")
    assert (status, out) == (11, "")
    assert err.splitlines()[-1].startswith("  about:   metalauncher ")
    assert "other launchers" not in err
    assert "Platform API 0.99 (--platform-api)" in err
    assert "CNB_PLATFORM_API" not in err
    assert "--which" not in err
    local.environ["CNB_PLATFORM_API"] = "0.99"
    assert "Platform API 0.99 (CNB_PLATFORM_API)" in ask(local, "--quiet")[2]


@pytest.mark.parametrize(
    ("options", "code", "version"),
    [
        (["--platform-api", "0.4"], 0, "0.17.7"),
        (["--platform-api=0.15"], 11, None),
        (["--platform-api", "0.9", "--buildpack-api", "a/b=0.7"], 0, "0.21.17"),
        (["--platform-api", "0.9", "--buildpack-api=a/b=0.7", "--buildpack-api", "c/d=0.2"], 0, "0.17.7"),
        (["--platform-api", "0.9", "--buildpack-api", "a/b=0.2", "--buildpack-api", "c/d=0.12"], 12, None),
        (["--platform-api", "0.9", "--buildpack-api", "a/b=junk"], 12, None),
        (["--platform-api", "0.9", "--buildpack-api", "a/b="], 12, None),
        (["--platform-api", ""], 11, None),
        (["--platform-api", "", "--buildpack-api", "a/b="], 0, "0.9.3"),
        (["--platform-api", "junk"], 11, None),
    ],
)
def test_given_apis(options: list[str], code: int, version: str | None, local: Image, ask: Asker) -> None:
    """Given APIs stand in for the recorded ones; with Buildpack APIs given no file is needed."""
    local.use_app("p06")
    if "--platform-api=0.15" in options:
        (local.usr / "buildpacks_lifecycle@0.21.17.toml").unlink()
    if any(option.startswith("--buildpack-api") for option in options):
        local.environ["CNB_LAYERS_DIR"] = "/nowhere"
    status, out, _ = ask(local, *options)
    assert (status, out) == (code, f"{path_of(local, version)}\n" if version else "")
    assert ask.json(local, *options)["exit_code"] == code


def test_given_apis_satisfy_requires(local: Image, ask: Asker) -> None:
    """An app yet to be has whatever keys a launcher requires."""
    local.environ["CNB_EXPERIMENTAL_RUST_LAUNCHER"] = "true"
    status, out, _ = ask(local, "--platform-api", "0.9", "--buildpack-api", "a/b=0.9")
    assert (status, out) == (0, path_of(local, "0.1.1a4", "hone/launcher-rs") + "\n")


def test_given_metadata(local: Image, ask: Asker, tmp_path: Path) -> None:
    """`--metadata` reads another file; APIs given beside it replace or add to what it records."""
    file = tmp_path / "other.toml"
    file.write_text('[[buildpacks]]\nid = "a/b"\napi = "0.2"\n[[buildpacks]]\nid = "c/d"\napi = "0.7"\n')
    asked = ["--platform-api", "0.9", "--metadata", str(file)]
    assert ask.json(local, *asked)["need"]["buildpacks"] == [{"id": "a/b", "api": "0.2"}, {"id": "c/d", "api": "0.7"}]
    document = ask.json(local, *asked, "--buildpack-api", "a/b=0.8", "--buildpack-api", "e/f=0.9")
    assert document["need"]["buildpacks"] == [
        {"id": "a/b", "api": "0.8"},
        {"id": "c/d", "api": "0.7"},
        {"id": "e/f", "api": "0.9"},
    ]
    assert document["launcher"]["version"] == "0.21.17"
    assert document["need"]["metadata"] == str(file)


def test_a_root_has_no_config(local: Image, ask: Asker) -> None:
    """Of an unpacked image the environment is not there: what to give is said, also where the rest is not."""
    local.use_app("p12")
    del local.environ["CNB_PLATFORM_API"]
    local.environ |= {"CNB_LAYERS_DIR": "/layers"}
    shutil.copytree(APPS / "p12/layers", local.root / "layers")
    note = "note: --root has no image's config: pass its CNB_PLATFORM_API with --platform-api V,"
    for options in ((), ("--quiet",)):
        status, out, err = ask(local, "--root", str(local.root), *options)
        assert (status, out) == (11, "")
        assert note in err
    assert note not in ask(local, "--root", str(local.root), "--platform-api", "0.12")[2]
    local.use_app("p12")
    del local.environ["CNB_PLATFORM_API"]
    status, out, err = ask(local)  # here the environment is what was asked about
    assert (status, out, note in err) == (11, "", False)


def test_relative_root_variable_is_ignored(local: Image, ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """METALAUNCHER_ROOT that is not absolute is ignored: the working directory configures nothing."""
    monkeypatch.chdir(local.root)
    local.environ["METALAUNCHER_ROOT"] = "."
    document = ask.json(local, "--platform-api", "0.9")
    assert document["registry"]["directories"] == ["/etc/cnb/launchers.d", "/usr/lib/cnb/launchers.d"]


def program() -> bytes:
    """Return what looks like a program of this machine to the kernel: an ELF file's headers, naming no interpreter."""
    head = Path(sys.executable).read_bytes()[:64]
    at, size, count = (number.to_bytes(length, sys.byteorder) for number, length in ((64, 8), (56, 2), (1, 2)))
    return head[:32] + at + head[40:54] + size + count + head[58:] + bytes(56)


def test_whole_root(furnished: Image) -> None:
    """`--root` is an unpacked root filesystem: layers and links lie inside, what is printed are the host's paths."""
    del furnished.environ["METALAUNCHER_ROOT"]
    shutil.copytree(APPS / "p09-new/layers", furnished.root / "data/layers")
    (furnished.root / "layers").symlink_to("/data/layers")
    opt = furnished.root / "opt"
    shutil.move(furnished.root / "usr/lib/cnb", opt)
    (furnished.root / "usr/lib/cnb").symlink_to("/opt")
    shell = furnished.root / "bin/sh"
    shell.parent.mkdir()
    shell.write_bytes(program())
    shell.chmod(0o755)
    result = furnished.which("--platform-api", "0.9", "--root", str(furnished.root))
    assert result.stdout == f"{opt}/launchers/buildpacks/lifecycle/0.21.17/launcher\n"
    assert f"({furnished.root}/data/layers/config/metadata.toml)" in result.stderr
    assert result.returncode == 0
    shell.unlink()
    result = furnished.which("--platform-api", "0.9", "--root", str(furnished.root))
    assert result.returncode == 82


def documents(tmp_path: Path, ask: Asker) -> Iterator[dict[str, Any]]:
    """Yield the document of every app and of every refusal's case."""
    image = furnish(Image(tmp_path / "apps", SOURCE))
    for app in SERVED:
        image.use_app(app)
        yield ask.json(image)
        image.environ.pop("CNB_PLATFORM_API", None)
    for file in CASES:
        yield ask.json(lay_out(file, Image(tmp_path / file.stem, SOURCE)).image)


def test_every_document_is_valid(tmp_path: Path, ask: Asker) -> None:
    """Every document the program prints validates, in all outcomes; and every outcome was seen."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    seen = list(documents(tmp_path, ask))
    kinds = {document["error"]["kind"] if document["error"] else None for document in seen}
    assert kinds == {None, *SCHEMA["$defs"]["error"]["properties"]["kind"]["enum"]}
    assert {document["exit_code"] for document in seen} == set(SCHEMA["properties"]["exit_code"]["enum"])


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _tables(inner)


def _is_valid(document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def test_other_documents_are_not(local: Image, ask: Asker) -> None:
    """A document that lacks any key, has one more, or a value of another type, is rejected: the schema is exact."""
    local.use_app("p09-mixed")
    local.etc.mkdir(parents=True)
    (local.etc / "z.toml").write_text("[launcher]\nmasked = true\n")
    (local.etc / "y.toml").write_text("x")
    shutil.copy(local.usr / "buildpacks_lifecycle@0.9.3.toml", local.etc)
    mutations = 0
    for document in (ask.json(local), ask.json(local, "--platform-api", "0.99")):
        for number, table in enumerate(_tables(document)):
            for key in [*table, "one-more"]:
                mutants = [copy.deepcopy(document) for _ in range(2)]
                first, second = (list(_tables(mutant))[number] for mutant in mutants)
                first.pop(key, None)
                second[key] = {"wrong": ["type"]}
                mutations += 2
                assert _is_valid(mutants[0]) == (key == "one-more"), (number, key)
                assert not _is_valid(mutants[1]), (number, key)
    assert mutations > 250


@pytest.mark.parametrize(
    "change",
    [
        {"exit_code": 0},
        {"exit_code": 3},
        {"schema_version": 2},
        {"error": None},
        {"decided_by": "x"},
        {"launcher": {"id": "a/b", "version": "1", "path": "/x", "descriptor": "/y", "sha256": None}},
    ],
)
def test_contradictions_are_rejected(change: dict[str, Any], local: Image, ask: Asker) -> None:
    """A document says either which launcher runs or why none does."""
    document = ask.json(local, "--platform-api", "0.99", "--buildpack-api", "a/b=0.7")
    assert not _is_valid({**document, **change})


def test_json_and_text_agree(tmp_path: Path, ask: Asker) -> None:
    """Both forms of the answer give the same path, rule, refusal and exit code."""
    image = furnish(Image(tmp_path / "apps", SOURCE))
    images = [lay_out(file, Image(tmp_path / file.stem, SOURCE)).image for file in CASES]
    for app in SERVED:
        served = copy.deepcopy(image)
        served.use_app(app)
        images.append(served)
    for each in images:
        document = ask.json(each)
        status, out, err = ask(each)
        assert status == document["exit_code"]
        if document["launcher"]:
            assert out == document["launcher"]["path"] + "\n"
            assert f"because it is {document['decided_by']}\n" in err
        else:
            assert out == ""
            assert len(err.splitlines()) >= len(document["error"]["text"])
            assert all(line in err for line in document["error"]["text"] if line.isprintable())


def test_forms_agree(furnished: Image, ask: Asker) -> None:
    """Either form prints the very document that the modules do."""
    furnished.use_app("p12-mixed")
    result = furnished.which("--json")
    assert json.loads(result.stdout) == ask.json(furnished)
    assert (result.returncode, result.stderr) == (0, "")


FIELDS: dict[str, Any] = {
    "name": "a/c@1",
    "platform": "0.7",
    "buildpack": apis("0.7 0.8", "0.7"),
    "path": "/opt/x",
    "priority": 1,
    "opt_in_env": "OPT",
    "requires": ("processes",),
    "cannot_read": ("control-characters",),
    "sha256": "0" * 64,
}


def test_digest_changes_with_every_deciding_field() -> None:
    """Two registries that differ in anything a selection or an exec goes by have different digests."""
    digests = {field: digest(Registry((launcher(**{field: value}),))) for field, value in FIELDS.items()}
    digests["nothing"] = digest(Registry((launcher(),)))
    digests["version"] = digest(Registry((launcher("acme/launcher@2"),)))
    digests["default"] = digest(Registry((launcher(platform=apis("0.7 0.8", "", "0.7")),)))
    digests["range"] = digest(Registry((launcher(platform=">=0.7,<=0.8"),)))
    digests["empty"] = digest(Registry(()))
    digests["twice"] = digest(Registry((launcher(), launcher())))
    assert len(set(digests.values())) == len(digests)
    assert all(text.startswith("sha256:") for text in digests.values())


def test_digest_is_independent_of_place_and_order() -> None:
    """Where descriptors lie, what they are called and in which order they are read does not change the digest."""
    some: list[Launcher] = [launcher(f"a/b@{number}", descriptor=f"/{number}.toml") for number in range(3)]
    moved = [launcher(f"a/b@{number}", descriptor=f"/elsewhere/{number}x.toml") for number in range(3)]
    digests = {digest(Registry(order)) for launchers in (some, moved) for order in itertools.permutations(launchers)}
    assert len(digests) == 1


def test_digest_is_that_of_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 and after it the digest is the same."""
    import hashlib
    import types

    before = digest(Registry((launcher(),)))
    stand_in = types.ModuleType("_sha2")
    stand_in.sha256 = hashlib.sha256  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "_sha2", stand_in)
    assert digest(Registry((launcher(),))) == before


def test_odd_names_in_json(local: Image, ask: Asker) -> None:
    """Bytes that are no UTF-8, in a file's name or an id, keep the document valid JSON in ASCII."""
    place = os.fsencode(local.usr) + b"/\xff\x1b.toml"
    with open(place, "w") as file:
        file.write("broken")
    local.use_metadata('[[buildpacks]]\nid = "\\u001b😀"\napi = "0.7"\n')
    local.environ["CNB_PLATFORM_API"] = "0.9"
    status, out, _ = ask(local, "--json")
    assert status == 0
    assert out.isascii()
    assert json.loads(out)["registry"]["invalid"][0]["file"].endswith("/\udcff\x1b.toml")


def test_form_is_source() -> None:
    """What is asked in this process is the project's own source."""
    assert isinstance(SOURCE, Form)
    assert SOURCE.executable.is_relative_to(PROJECT)


RAW = '[[buildpacks]]\nid = "acme/a"\nversion = "1"\napi = "0.4"\n\n[[processes]]\ntype = "web"\ncommand = "true"\n{}\n'


def test_what_launchers_can_not_read(furnished: Image) -> None:
    """The launcher that reads the file goes before a newer one that doesn't, and both forms say why."""
    furnished.use_metadata(RAW.format('args = ["\x1b[1m"]'))
    furnished.environ["CNB_PLATFORM_API"] = "0.4"
    asked = furnished.which()
    assert (asked.returncode, asked.stdout) == (0, f"{path_of(furnished, '0.9.3')}\n")
    reason = "buildpacks/lifecycle@0.17.7 can't read raw control characters, which this metadata.toml holds"
    assert f"\n  because it is the first that can read the app's metadata.toml: {reason}\n" in asked.stderr
    assert "\n               a launcher that can read raw control characters\n" in asked.stderr
    assert f"\n    covers the app, number 2 in the ranking, but {reason.partition(' ')[2]}\n" in asked.stderr
    run = furnished.dispatch()
    assert (run.returncode, run.stdout, run.stderr) == (0, "0.9.3\n", "")


def test_what_nobody_reads(furnished: Image) -> None:
    """A file that is no TOML, and that no launcher here reads, is refused with 1 and the parser's own words."""
    furnished.use_metadata(RAW.replace("0.4", "0.10").format('args = ["\x1b[1m"]'))
    furnished.environ["CNB_PLATFORM_API"] = "0.12"
    file = f"{furnished.root}/layers/config/metadata.toml"
    for result in (furnished.which("--quiet"), furnished.dispatch()):
        assert (result.returncode, result.stdout) == (1, "")
        first = f"ERROR: failed to read metadata: open {file}: toml: Illegal character '\\x1b' (at line 9, column 10)\n"
        assert result.stderr.startswith(first)


def test_forecast(local: Image, ask: Asker) -> None:
    """What the chosen launcher will refuse is foretold; the answer is the dispatch's all the same."""
    local.use_metadata(RAW.format('args = "x"'))
    local.environ["CNB_PLATFORM_API"] = "0.4"
    reason = "can't read metadata.toml: processes[0].args is a string, not an array of strings"
    status, out, err = ask(local)
    assert (status, out) == (0, path_of(local, "0.17.7") + "\n")
    assert f"\n  warning: it will not start the app, but end with exit code 1: it {reason}\n" in err
    assert ask.json(local)["forecast"] == {"starts": False, "exit_code": 1, "reason": reason}
    local.use_metadata(RAW.format('args = []\nArgs = ["x"]'))
    doubt = "metadata.toml has 'processes[0].args' in two spellings, and which one counts is left to chance"
    assert f"\n  warning: whether it starts the app is unknown: {doubt}\n" in ask(local)[2]
    assert ask.json(local)["forecast"] == {"starts": None, "exit_code": None, "reason": doubt}
    local.use_metadata(RAW.replace("acme/a", "acme\\u0000").format("args = []"))
    assert "\n  warning: it will not start the app: it can't look for the layers of buildpacks[0]" in ask(local)[2]
    local.use_metadata(RAW.format("args = []"))
    assert ask.json(local)["forecast"] is None
    assert "warning" not in ask(local)[2]


def test_forecast_without_a_file(local: Image, ask: Asker) -> None:
    """Of an app yet to be there is nothing to foretell."""
    assert ask.json(local, "--platform-api", "0.4", "--buildpack-api", "acme/a=0.4")["forecast"] is None


def test_oddities_in_json(local: Image, ask: Asker) -> None:
    """The document has what the file holds, and what each launcher can't read."""
    local.use_metadata("\ufeff" + RAW.format('args = ["\ufffd"]'))
    document = ask.json(local, "--platform-api", "0.4")
    assert document["need"]["oddities"] == ["replacement-characters", "byte-order-mark"]
    unread = {entry["version"]: entry["cannot_read"] for entry in document["launchers"]}
    assert unread["0.9.3"] == ["byte-order-mark"]
    assert unread["0.17.7"] == ["control-characters", "invalid-utf-8", "replacement-characters"]
    # None of the two that cover it reads it: the ranking is that of any other file.
    assert document["decided_by"] == "the highest version that covers the app, before buildpacks/lifecycle@0.9.3"
    assert document["forecast"]["reason"] == "can't read the character U+FFFD in metadata.toml"
