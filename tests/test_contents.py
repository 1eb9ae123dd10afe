"""What the builds say of their own results (`*.contents.json`) is what the files hold."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from application import application_sources, module_name
from cache import Cache
from contents import ContentsError, Image, Linked, frozen_modules, linked_into, list_components
from driver import KEPT
from fetch import CPYTHON_VERSION, MYPYC, TOMLI, cpython_sha256, fetch_tomli, pins
from harness import PROJECT, Form, python_form, static_form
from linkmap import MapError, Placed, read_map
from packaging.requirements import Requirement
from sboms import sha256, sidecar
from toolchain import REQUIREMENTS, Toolchain

from metalauncher import __version__
from metalauncher.tooling.sbom.contents import parse_contents

STATIC = PROJECT / "image/static"


def described(form: Form) -> dict[str, Any]:
    """Return what the build said of its result."""
    document: dict[str, Any] = json.loads(sidecar(form).read_text())
    return document


def component(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the component of that name."""
    (found,) = [item for item in document["components"] if item["name"] == name]
    return dict(found)


@pytest.mark.parametrize("kind", [static_form(), python_form()], ids=lambda form: form.name)
def test_it_speaks_of_the_file_beside_it(kind: Form) -> None:
    """The digest is the file's, the version is the application's, and the tooling can read it."""
    data = sidecar(kind).read_bytes()
    assert described(kind)["sha256"] == sha256(kind.executable)
    assert component(described(kind), "metalauncher")["version"] == __version__
    contents = parse_contents(data)
    assert contents.sha256 == sha256(kind.executable)
    assert contents.parts[0].name == "metalauncher"
    assert "metalauncher.launch" in contents.parts[0].modules


def test_versions() -> None:
    """Versions and digests are those that the build is pinned to; nothing but our own code is without a digest."""
    document = described(static_form())
    for name, requirements, distribution in (
        ("tomli", TOMLI, "tomli"),
        ("mypyc", MYPYC, "mypy"),
        ("zig", REQUIREMENTS, "ziglang"),
    ):
        pin = pins(requirements)[distribution]
        assert component(document, name)["version"] == pin.version
        assert component(document, name)["source_sha256"] in pin.sha256
    cpython = component(document, "cpython")
    assert (cpython["version"], cpython["source_sha256"]) == (CPYTHON_VERSION, cpython_sha256())
    musl = component(document, "musl")
    assert musl["source_sha256"] == component(document, "zig")["source_sha256"]
    assert re.fullmatch(r"1\.2\.\d+", musl["version"])
    assert [item["name"] for item in document["components"] if item["source_sha256"] is None] == ["metalauncher"]


def test_zipapp_has_the_pinned_parser() -> None:
    """The zipapp's tomli is the pinned one, whatever is installed."""
    document = described(python_form())
    pin = pins(TOMLI)["tomli"]
    tomli = component(document, "tomli")
    assert (tomli["version"], (tomli["source_sha256"],)) == pin
    folder = fetch_tomli(Cache()) / "tomli"
    with zipfile.ZipFile(python_form().executable) as archive:
        for file in folder.glob("*.py"):
            assert archive.read(f"tomli/{file.name}") == file.read_bytes()


@pytest.mark.parametrize("kind", [static_form(), python_form()], ids=lambda form: form.name)
def test_dispatching_forms_hold_tomli_alone(kind: Form) -> None:
    """Of what the package depends on tomli alone is in a dispatching form: no code of another, and no word of it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    needed = {Requirement(line).name for line in project["dependencies"]}
    assert needed == {"packaging", "structlog", "tomli"}
    application = {name.partition(".")[0] for name in described(kind)["modules"]["application"]}
    assert application == {"metalauncher", "tomli"}
    data = kind.executable.read_bytes()
    for name, held in ((name, name == "tomli") for name in needed):
        # A member of the zipapp, or a module's name in the executable.
        assert bool(re.search(rb"(?<![\w.])" + name.encode() + rb"[./]\w", data)) is held, name
        assert (name in {item["name"] for item in described(kind)["components"]}) is held


def test_pins(tmp_path: Path) -> None:
    """A pin has a name, a version and one digest or more; a line without one is no pin, and pip refuses it."""
    file = tmp_path / "requirements.txt"
    file.write_text(f"# why\na==1 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\nb==2\n")
    assert pins(file) == {"a": ("1", ("0" * 64, "1" * 64))}


def test_modules_are_those_of_the_executable() -> None:
    """The built-in modules are those of the linked table, the others those whose code the file has: none is forgotten.

    Held against what the build is made from: the table's source, and the modules that the snapshot keeps.
    """
    document = described(static_form())
    modules = set(document["modules"]["cpython"]) | set(document["modules"]["application"])
    table = set(re.findall(r'^    \{"([\w.]+)",', (STATIC / "reduced.c").read_text(), flags=re.MULTILINE))
    assert "posix" in table
    data = static_form().executable.read_bytes()
    assert set(Image(data).built_in_modules()) == table
    assert table <= modules
    package = PROJECT / "metalauncher"
    # Of a package itself nothing but its docstring is compiled, and no build keeps that.
    own = {module_name(package, path) for path in application_sources(package) if path.name != "__init__.py"}
    assert own <= modules
    assert {name for name in KEPT if name != "tomli"} <= modules
    for name in sys.stdlib_module_names:  # not one more has a code object in the file, however it is written down
        if name not in modules | {"string", "sys", "builtins"}:  # <string> is in CPython itself, as a C string
            assert f"<{name}>\0".encode() not in data, name
            assert f"<frozen {name}>\0".encode() not in data, name


def test_modules_are_read_out_of_the_file() -> None:
    """A file with another table, or without the code of a module, is described as it is."""
    data = static_form().executable.read_bytes()
    other = data.replace(b"\0_sre\0", b"\0_srx\0").replace(b"<metalauncher.pins>\0", b"<metalauncher.pinz>\0")
    assert "_srx" in Image(other).built_in_modules()
    assert "_sre" not in Image(other).built_in_modules()
    assert Image(data).has_code_of("metalauncher.pins")
    assert not Image(other).has_code_of("metalauncher.pins")
    with pytest.raises(ContentsError, match=r"^0 different tables of built-in modules$"):
        Image(data.replace(b"_abc\0", b"_abz\0")).built_in_modules()


def test_objects() -> None:
    """Of the libraries it has what is reachable: what runs at the start is there, what only the build ran is not."""
    document = described(static_form())
    objects = set(component(document, "cpython")["objects"])
    assert {"posixmodule", "unicodeobject", "Hacl_Hash_SHA2"} <= objects
    assert not {"getpath", "socketmodule", "zlibmodule", "frozen"} & objects
    musl = set(component(document, "musl")["objects"])
    assert {"execve", "vfprintf"} <= musl
    assert not {"iconv", "getaddrinfo", "ldso"} & musl


MAP = """\
             VMA              LMA     Size Align Out     In      Symbol
          400000           400000     1000    16 .text
          400000           400000       10    16         /lib/libpython3.13.a(a.o):(.text.a)
          400000           400000       10     1                 a
          400010           400010       20     4         /lib/libc.a(zc/o/b9f4/execve.o):(.text.execve)
          400030           400030        0     1         /lib/libpython3.13.a(none.o):(.text.none)
          400040           400040        8     1         /cache/native.o:(.text.native)
          400048           400048        8     1         <internal>:(.rodata.str1.1)
               0                0      400     1 .debug_info
               0                0      400     1         /lib/libpython3.13.a(debug.o):(.debug_info)
        6b340000         6b340000       40    16 .build
        6b340000         6b340000       40    16         /lib/libpython3.13.a(getpath.o):(.text.getpath)
"""


@pytest.fixture
def image() -> Image:
    """Return the memory of the static executable."""
    return Image(static_form().executable.read_bytes())


def test_map(image: Image) -> None:
    """What is empty, is the build's alone or is no memory at all is not counted."""
    assert linked_into(image, MAP) == Linked(
        {Path("/lib/libpython3.13.a"): {"a"}, Path("/lib/libc.a"): {"execve"}}, {"native.o"}
    )
    *_, last = read_map(MAP)
    assert last == Placed(0x6B340000, 0x40, ".build", "/lib/libpython3.13.a(getpath.o)", ".text.getpath")
    with pytest.raises(MapError, match=r"^the linker's map is not one of lld$"):
        linked_into(image, "Linker script and memory map\n")


def test_unknown_library(tmp_path: Path) -> None:
    """A library that nobody described ends the build: the SBOM would be less than the truth."""
    (tmp_path / "wheel.sha256").write_text("0" * 64)
    tools = Toolchain(tmp_path, tmp_path)
    linked = Linked({Path("/lib/libpython3.13.a"): {"a"}, Path("/lib/libz.a"): {"inflate"}}, {"native.o"})
    with pytest.raises(
        ContentsError, match=r"^/lib/libz\.a is linked in, and contents\.py does not know what that is$"
    ):
        list_components(linked, Path(), "1", tools, ["sys"])
    with pytest.raises(ContentsError, match=r"^the linker's map names neither CPython nor the parser$"):
        list_components(Linked({}, set()), Path(), "1", tools, ["sys"])
    with pytest.raises(ContentsError, match=r"^the linker's map and the table of built-in modules differ about _sha2$"):
        list_components(Linked({Path("libpython3.13.a"): {"a"}}, {"native.o"}), Path(), "1", tools, ["_sha2"])


def test_frozen_modules() -> None:
    """The names are those of the table that freeze.py writes, not of other strings."""
    source = (
        'static const unsigned char code_1[] = {1};\n    {"types", code_1, sizeof code_1, 0}, {"a.b", code_2, 3, 0}'
    )
    assert frozen_modules(source) == ["types", "a.b"]


WRONG: dict[str, tuple[Any, str]] = {
    "no object": ([], "is not a description of version 1, the one that this metalauncher knows"),
    "version": ({"schema_version": 2}, "is not a description of version 1, the one that this metalauncher knows"),
    "digest": ({"sha256": "X" * 64}, "sha256: is not 64 hexadecimal digits in lower case"),
    "no digest": ({"sha256": None}, "sha256: is missing, or is not a string"),
    "no components": ({"components": []}, "has no modules, or no components"),
    "no modules": ({"modules": None}, "has no modules, or no components"),
    "component": ({"components": ["x"]}, "components: one is not an object"),
    "order": ({"components": "reversed"}, "does not begin with metalauncher"),
    "twice": ({"components": "doubled"}, "names a component twice"),
    "purl": ({"purl": "metalauncher"}, "metalauncher: purl: 'metalauncher' is not a package URL"),
    "cpe": ({"cpe": "cpe:/a"}, "metalauncher: cpe: 'cpe:/a' is not a CPE 2.3 name"),
    "source": ({"source_sha256": 7}, "metalauncher: source_sha256: is not 64 hexadecimal digits in lower case"),
    "objects": ({"objects": [1]}, "objects: is not an array of names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_descriptions(name: str) -> None:
    """Each key is checked; the text says which is wrong."""
    change, reason = WRONG[name]
    document: Any = described(static_form())
    if not isinstance(change, dict):
        document = change
    elif change.get("components") == "reversed":
        document["components"].reverse()
    elif change.get("components") == "doubled":
        document["components"] *= 2
    elif name in {"purl", "cpe", "source", "objects"}:
        document["components"][0] |= change
    else:
        document |= change
    with pytest.raises(Exception, match=f"^{re.escape(reason)}$"):
        parse_contents(json.dumps(document).encode())
