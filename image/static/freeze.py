"""Writes frozen.c: all the Python code that the snapshot is made from, compiled. Run by the Python built for it.

    python -S -X frozen_modules=off freeze.py OUTPUT DRIVER TREE DIRECTORY...

TREE holds the application, the directories what it needs. Which modules that is, is found out by importing it.
"""

from __future__ import annotations

import ast
import importlib
import marshal
import sys
from pathlib import Path
from types import CodeType, ModuleType

from application import application_sources, module_name

# mypyc takes two functions from importlib._bootstrap; the real package would load the path-based importer.
IMPORTLIB = "import sys, _frozen_importlib as _bootstrap\nsys.modules['importlib._bootstrap'] = _bootstrap\n"
# What these modules need the compiler for, while they are imported (reduced.c).
EDITS = {"functools": ('namedtuple("CacheInfo", ["hits", "misses", "maxsize", "currsize"])', "tuple")}
PLACE_OF_NAMES = "APPLICATION: list[str] = []"
# Built in (tomli_parser.c), not frozen.
COMPILED = "tomli._parser"


def main(output: str, driver: str, tree: str, directories: list[str]) -> None:
    """Find the modules and write the table of their code."""
    sys.path[:0] = [tree, *directories]
    importlib.import_module("encodings.utf_8")
    training = Path(driver).stem == "training"
    package = Path(tree, "metalauncher")
    application = [] if training else [module_name(package, path) for path in application_sources(package)]
    importlib.import_module("tomli")
    for name in application:
        importlib.import_module(name)
    names = [name for name in application if name != "metalauncher"]
    bootstrap = Path(importlib.__file__ or "").with_name("_bootstrap.py").read_text()
    table = {
        "_frozen_importlib": _compile("_frozen_importlib", bootstrap),
        "importlib": _compile("importlib", IMPORTLIB),
        "metalauncher_driver": _compile(
            "metalauncher_driver", Path(driver).read_text().replace(PLACE_OF_NAMES, f"APPLICATION = {names!r}")
        ),
    }
    packages = set()
    for name, module in sys.modules.items():
        path = _source(module)
        if name in table or name in ("__main__", "application", COMPILED) or path is None:
            continue
        if path.name == "__init__.py":
            packages.add(name)
        table[name] = _compile(name, path.read_text())
    Path(output).write_text(_c_source(table, packages))


def _source(module: ModuleType) -> Path | None:
    spec = getattr(module, "__spec__", None)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin.endswith(".py") else None


class _WithoutAnnotations(ast.NodeTransformer):
    """Removes annotations; nothing here looks at them."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def _compile(name: str, source: str) -> bytes:
    if name in EDITS:
        old, new = EDITS[name]
        if old not in source:
            raise SystemExit(f"{name} is not as expected")
        source = source.replace(old, new)
    tree = _WithoutAnnotations().visit(ast.parse(source))
    code = _without_lines(compile(tree, f"<{name}>", "exec", dont_inherit=True, optimize=2))
    return marshal.dumps(code, 2)  # from version 3 on, the result depends on what else refers to its strings


def _without_lines(code: CodeType) -> CodeType:
    """Remove line numbers; no traceback is ever printed."""
    constants = tuple(_without_lines(item) if isinstance(item, CodeType) else item for item in code.co_consts)
    return code.replace(co_consts=constants, co_linetable=b"")


def _c_source(table: dict[str, bytes], packages: set[str]) -> str:
    arrays, entries = [], {}
    for number, (name, code) in enumerate(sorted(table.items())):
        arrays.append(f"static const unsigned char code_{number}[] = {{{','.join(map(str, code))}}};\n")
        entries[name] = f'{{"{name}", code_{number}, sizeof code_{number}, {int(name in packages)}}}'
    bootstrap = entries.pop("_frozen_importlib")
    return f"""/* Written by freeze.py; takes the place of CPython's Python/frozen.c. */
#include <Python.h>
#include "internal/pycore_import.h"
{"".join(arrays)}
static const struct _frozen bootstrap[] = {{{bootstrap}, {{0}}}};
extern const struct _frozen no_frozen_modules[]; /* reduced.c */
static const struct _module_alias aliases[] = {{{{"_frozen_importlib", "importlib._bootstrap"}}, {{0}}}};
const struct _frozen application_modules[] = {{
    {", ".join(entries.values())}, {{0}}
}};
const struct _frozen *_PyImport_FrozenBootstrap = bootstrap;
const struct _frozen *_PyImport_FrozenStdlib = no_frozen_modules, *_PyImport_FrozenTest = no_frozen_modules;
const struct _frozen *PyImport_FrozenModules = NULL;
const struct _module_alias *_PyImport_FrozenAliases = aliases;
"""


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
