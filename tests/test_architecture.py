"""docs/contributors/architecture.md tells the truth: which module may import which, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from harness import PROJECT

PACKAGE = PROJECT / "metalauncher"
# Below tooling/: the rooms, each with those that it may import. All may import what lies in tooling/ itself, what
# dispatches and what explains it. A room lies lower than all those that may import it.
ROOMS: dict[str, set[str]] = {
    "oci": set(),
    "sbom": set(),
    "launchers": {"oci", "sbom"},
    "run_image": {"oci", "sbom", "launchers"},
    "image": {"oci", "sbom", "launchers", "run_image"},
    "lint": {"oci", "launchers", "run_image"},
    "apps": {"oci", "sbom", "launchers", "run_image"},
    "cli": {"oci", "sbom", "launchers", "image", "run_image", "lint", "apps"},
}

MODULE_LINES, FUNCTION_LINES = 400, 60
# What may be longer. The functions of compare's cases are tables: each row is a case, and nothing else is in them.
LONG = {
    "metalauncher": {
        "tooling/launchers/compare/cases_apis.py:_of_platform",
        "tooling/launchers/compare/cases_arguments.py:cases",
        "tooling/launchers/compare/cases_directories.py:_paths",
        "tooling/launchers/compare/cases_directories.py:_working_directories",
        "tooling/launchers/compare/cases_files.py:_odd_files",
        "tooling/launchers/compare/cases_hooks.py:_profiles",
        "tooling/launchers/compare/cases_hooks.py:_programs",
        "tooling/launchers/compare/cases_refusals.py:_contents",
        "tooling/launchers/compare/cases_routes.py:cases",
    }
}


# Private by their names, and not ours: of named tuples, of posix, of argparse.
FOREIGN = {"_replace", "_fields", "_asdict", "_exit"} | {
    "_name_parser_map",
    "_SubParsersAction",
    "_choices_actions",
    "_ChoicesPseudoAction",
    "_actions",
    "_fill_text",
}


class Import:
    """One import of a module of the package by another.

    Attributes:
        target: the module, dotted, without the package's own name.
        names: what is taken from it; empty for the module itself.
        line: where.
        when: at the import of the module, in a function of it, or for its types alone.
    """

    def __init__(self, target: str, names: tuple[str, ...], line: int, when: str) -> None:
        self.target, self.names, self.line, self.when = target, names, line, when


class Imports(ast.NodeVisitor):
    """All imports of one module, from within the package."""

    def __init__(self, modules: set[str], tree: ast.Module) -> None:
        self._modules = modules
        self._when = "at once"
        self.found: list[Import] = []
        self.visit(tree)

    def visit_If(self, node: ast.If) -> None:
        """Know imports for types alone."""
        before = self._when
        if ast.unparse(node.test) == "TYPE_CHECKING":
            self._when = "types"
        for each in node.body:
            self.visit(each)
        self._when = before
        for each in node.orelse:
            self.visit(each)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Know imports that wait until they are needed."""
        before = self._when
        self._when = "later"
        self.generic_visit(node)
        self._when = before

    def visit_Import(self, node: ast.Import) -> None:
        """Take `import metalauncher.x`."""
        for alias in node.names:
            if alias.name.partition(".")[0] == "metalauncher":
                self._add(alias.name.partition(".")[2], (), node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take `from metalauncher.x import y`, where y may be a module."""
        package, _, module = (node.module or "").partition(".")
        if package != "metalauncher":
            return
        for alias in node.names:
            whole = f"{module}.{alias.name}".removeprefix(".")
            if whole in self._modules:
                self._add(whole, (), node.lineno)
            else:
                self._add(module, (alias.name,), node.lineno)

    def _add(self, target: str, names: tuple[str, ...], line: int) -> None:
        self.found.append(Import(target, names, line, self._when))


def read(package: Path) -> tuple[dict[str, ast.Module], dict[str, list[Import]]]:
    """Return every module of a package, parsed, and its imports; "" is the package itself."""
    trees = {
        ".".join(file.relative_to(package).with_suffix("").parts).removesuffix("__init__").rstrip("."): ast.parse(
            file.read_text()
        )
        for file in sorted(package.rglob("*.py"))
    }
    return trees, {name: Imports(set(trees), tree).found for name, tree in trees.items()}


TREES, IMPORTS = read(PACKAGE)


def room(module: str) -> str:
    """Return where a module lies: `dispatch`, `explain`, `tooling`, or one of ROOMS."""
    parts = module.split(".")
    if parts[0] != "tooling":
        return "explain" if parts[0] == "explain" else "dispatch"
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "tooling"


def strangers(imports: Mapping[str, list[Import]]) -> Iterator[str]:
    """Give each import that the page does not allow."""
    for module, found in imports.items():
        here = room(module)
        for each in found:
            there = room(each.target)
            if here == there or each.target == "":
                continue
            if here == "dispatch":
                # It loads these when there is something to say, and never before.
                allowed = {"explain"} if each.when != "at once" else set[str]()
            elif here == "explain":
                # The command line alone goes on to the tooling, and only when one of its commands is asked for.
                allowed = {"dispatch"} | (
                    {"tooling", "cli"} if module == "explain.cli" and each.when == "later" else set[str]()
                )
            else:
                allowed = {"dispatch", "explain", "tooling", *ROOMS.get(here, ())}
            if there not in allowed:
                yield f"{module}:{each.line} ({here}) imports {each.target} ({there}) {each.when}"


def declarations(tree: ast.Module) -> Iterator[str]:
    """Give the private names that a module makes: functions, classes, variables and attributes of self."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store())
            ) if re.match(r"_(?!_)\w", name):
                yield name


def taken(node: ast.AST) -> list[str]:
    """Return the names that a piece of source takes from something."""
    match node:
        case ast.Attribute(attr=name):
            return [name]
        case ast.MatchClass(kwd_attrs=names):
            return names
        case ast.Call(func=ast.Name(id="getattr" | "setattr"), args=[_, ast.Constant(value=str(name)), *_]):
            return [name]
    return []


def private(trees: Mapping[str, ast.Module], imports: Mapping[str, list[Import]]) -> Iterator[str]:
    """Give each use of another module's private name."""
    for module, tree in trees.items():
        for each in imports[module]:
            yield from [
                f"{module}:{each.line} takes {name} from {each.target}"
                for name in each.names
                if re.match(r"_(?!_)", name)
            ]
            if re.search(r"(^|\.)_(?!_)", each.target):
                yield f"{module}:{each.line} takes {each.target}"
        own = {*declarations(tree), *FOREIGN}
        for node in ast.walk(tree):
            for name in taken(node):
                if re.match(r"_(?!_)", name) and name not in own:
                    where, owner = getattr(node, "lineno", 0), ast.unparse(node).partition(".")[0]
                    yield f"{module}:{where} takes {name} from {owner}"


def circle(imports: Mapping[str, list[Import]], kinds: tuple[str, ...] = ("at once", "later")) -> list[str]:
    """Return the modules of an import circle, in its order; empty if there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for each in imports.get(module, ()):
                if each.when in kinds and (found := walk(each.target, [*path, module])):
                    return found
            done.add(module)
        return []

    return next((found for module in imports if (found := walk(module, []))), [])


def above_tooling(imports: Mapping[str, list[Import]]) -> dict[str, list[Import]]:
    """Return the imports of what dispatches and what explains it, by each other."""
    rooms = ("dispatch", "explain")
    return {
        module: [each for each in found if each.target and room(each.target) in rooms]
        for module, found in imports.items()
        if room(module) in rooms
    }


def test_who_imports_whom() -> None:
    """Nothing is imported but what docs/contributors/architecture.md allows."""
    assert list(strangers(IMPORTS)) == []


def test_no_private_name_crosses_a_module() -> None:
    """What another module needs has a public name."""
    assert list(private(TREES, IMPORTS)) == []


def test_no_import_circle() -> None:
    """No module imports itself by way of others, not even when a function of it runs."""
    assert circle(IMPORTS) == []


def test_no_circle_of_types() -> None:
    """Of what dispatches and what explains it, no module knows itself by way of others, not even for types alone."""
    assert circle(above_tooling(IMPORTS), ("at once", "later", "types")) == []


def test_the_page_has_every_module() -> None:
    """The page's tables name the modules above tooling/, its rooms with what each may import, and no others."""
    page = (PROJECT / "docs/contributors/architecture.md").read_text().partition("Whatever file a user names")[0]
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = [[re.findall(r"`([a-z_]+)`", cell) for cell in row] for row in cells]
    modules = {name.removeprefix("explain.") for name in TREES if name and room(name) in ("dispatch", "explain")}
    assert sorted(name for row in rows for name in row[0]) == sorted([*(modules - {"explain"}), *ROOMS])
    allowed = {row[0][0]: set(row[2]) for row in rows if row[0][0] in ROOMS and len(row) > 2}
    assert allowed == {**ROOMS, "cli": set()}  # it may import all


def test_the_page_names_the_judgement() -> None:
    """What the page says of the modules that make a verdict is of all that there are, and of no others."""
    table = (
        (PROJECT / "docs/contributors/architecture.md")
        .read_text()
        .partition("| module of `apps/check` |")[2]
        .partition("\n\n")[0]
    )
    names = [name for line in table.splitlines() for name in re.findall(r"`([a-z_]+)`", line.split(" | ")[0])]
    room = "tooling.apps.check."
    assert sorted(names) == sorted([name.removeprefix(room) for name in TREES if name.startswith(room)])


def too_long(package: Path) -> Iterator[str]:
    """Give each module and function that is longer than a reader's patience."""
    for file in sorted(package.rglob("*.py")):
        name = str(file.relative_to(package))
        text = file.read_text()
        if text.count("\n") > MODULE_LINES:
            yield name
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
            ):
                yield f"{name}:{node.name}"


@pytest.mark.parametrize("folder", ["metalauncher", "bench", "demo", "fuzz", "image", "tools"])
def test_nothing_is_too_long(folder: str) -> None:
    """Modules and functions keep to a length, but for those that are named, which exceed it indeed."""
    assert set(too_long(PROJECT / folder)) == LONG.get(folder, set())


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    """One line more than is allowed is too long, of a module and of a function."""
    (tmp_path / "a.py").write_text("\n" * MODULE_LINES + "def f():\n" + "    x\n" * (FUNCTION_LINES - 1))
    assert list(too_long(tmp_path)) == ["a.py"]
    (tmp_path / "a.py").write_text("class C:\n    def f():\n" + "        x\n" * FUNCTION_LINES)
    assert list(too_long(tmp_path)) == ["a.py:f"]
    (tmp_path / "a.py").write_text(
        "\n" * (MODULE_LINES - FUNCTION_LINES) + "def f():\n" + "    x\n" * (FUNCTION_LINES - 1)
    )
    assert list(too_long(tmp_path)) == []


BROKEN = {
    "apis imports messages": (
        {"apis.py": "import metalauncher.explain.messages\n"},
        ["apis:1 (dispatch) imports explain.messages (explain) at once"],
        [],
        [],
    ),
    "oci imports check, for its function": (
        {
            "tooling/oci/a.py": "def f():\n    from metalauncher.tooling.apps.check import b\n",
            "tooling/apps/check/b.py": "",
        },
        ["tooling.oci.a:2 (oci) imports tooling.apps.check.b (apps) later"],
        [],
        [],
    ),
    "a private name, imported": (
        {"apis.py": "from metalauncher.places import _x\n"},
        [],
        ["apis:1 takes _x from places"],
        [],
    ),
    "a private name, by its module": (
        {"apis.py": "from metalauncher import places\nplaces._x\n"},
        [],
        ["apis:2 takes _x from places"],
        [],
    ),
    "a private name, by another name of its module": (
        {"apis.py": "import metalauncher.places as p\np._x\n"},
        [],
        ["apis:2 takes _x from p"],
        [],
    ),
    "a private name, inherited": (
        {"apis.py": "from metalauncher.places import C\nclass D(C):\n    def f(self):\n        self._x\n"},
        [],
        ["apis:4 takes _x from self"],
        [],
    ),
    "a private name, as a string": (
        {"apis.py": "from metalauncher import places\ngetattr(places, '_x')\n"},
        [],
        ["apis:2 takes _x from getattr(places, '_x')"],
        [],
    ),
    "oci imports check, for its types": (
        {
            "tooling/oci/a.py": "if TYPE_CHECKING:\n    from metalauncher.tooling.apps.check import b\n",
            "tooling/apps/check/b.py": "",
        },
        ["tooling.oci.a:2 (oci) imports tooling.apps.check.b (apps) types"],
        [],
        [],
    ),
    "a circle, half of it later": (
        {"apis.py": "def f():\n    import metalauncher.places\n", "places.py": "import metalauncher.apis\n"},
        [],
        [],
        ["apis", "places", "apis"],
    ),
    "a circle, half of it for types": (
        {"apis.py": "if TYPE_CHECKING:\n    import metalauncher.places\n", "places.py": "import metalauncher.apis\n"},
        [],
        [],
        ["apis", "places", "apis"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_is_found(tmp_path: Path, case: str) -> None:
    """Each of the three is found where somebody has done it."""
    files, *expected = BROKEN[case]
    for name in ("places.py", "explain/messages.py", "tooling/apps/check/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    trees, imports = read(tmp_path)
    kinds = ("at once", "later", "types") if "types" in case else ("at once", "later")
    assert [list(strangers(imports)), list(private(trees, imports)), circle(imports, kinds)] == expected


def test_every_import_is_read() -> None:
    """None is relative, and none goes by a string but the command line's own, to what its table names."""
    found = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and node.level)
        or (isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node).endswith(("import_module", "__import__")))
    }
    assert found == {"tooling.cli.main"}
    commands = [
        Import(f"tooling.{node.value.value!s}", (), node.value.lineno, "later")
        for tree in (
            TREES["tooling.cli.commands"],
            TREES["tooling.cli.image_commands"],
            TREES["tooling.cli.build_command"],
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "module" and isinstance(node.value, ast.Constant)
    ]
    assert commands
    assert {each.target for each in commands} <= TREES.keys()
    assert circle({**IMPORTS, "tooling.cli.main": [*IMPORTS["tooling.cli.main"], *commands]}) == []


def test_every_folder_is_a_room() -> None:
    """No folder of tooling/ is free for all, and each is a package, so that its modules are known by their names."""
    assert {file.relative_to(PACKAGE / "tooling").parts[0] for file in (PACKAGE / "tooling").glob("*/**/*.py")} == set(
        ROOMS
    )
    assert all((file.parent / "__init__.py").exists() for file in PACKAGE.rglob("*.py"))
