"""The sources as the tests of the house read them: modules, what each imports, and every file of the repository."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.settings import ROOT

APP = ROOT / "app"
TESTS = ROOT / "tests"
SKIPPED_FOLDERS = {".git", ".venv", "var", "build", "vendor", "__pycache__", "node_modules"}
TEXTS = {
    ".py",
    ".html",
    ".css",
    ".js",
    ".json",
    ".toml",
    ".md",
    ".txt",
    ".cfg",
    ".sh",
    ".yaml",
    ".yml",
    ".ini",
    ".mako",
}


@dataclass(frozen=True)
class Module:
    """A source file of `app`: its dotted name, the room it stands in, its syntax."""

    path: Path
    name: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split(".")[1] if "." in self.name else "app"

    @property
    def short(self) -> str:
        return str(self.path.relative_to(APP))


@dataclass(frozen=True)
class Import:
    """One name that a module imports, and where."""

    module: str
    name: str
    line: int


@cache
def modules() -> list[Module]:
    found = []
    for path in sorted(APP.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(path, name, ast.parse(path.read_text("utf-8"))))
    return found


def of_room(*rooms: str) -> list[Module]:
    return [module for module in modules() if module.room in rooms]


def imports(module: Module) -> Iterator[Import]:
    """Yield all imports but those for type checkers, wherever they stand; `from app import x` is an import of app.x."""
    for node in _without_type_checking(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.short}:{node.lineno} imports by a relative name; write app.… in full."
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield Import(inside if inside in names() else node.module or "", alias.name, node.lineno)


def _without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _without_type_checking(child)


@cache
def names() -> set[str]:
    return {module.name for module in modules()}


def calls_of_session(module: Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield (method, call) for each `session.method(…)` and `db.session.method(…)`."""
    for node in ast.walk(module.tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and ast.unparse(called.value).split(".")[-1] == "session":
            yield called.attr, node


def repository() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every file that people read here, third-party code left out."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = parts[0].startswith(".") and parts[0] not in (".ci", ".github", ".gitignore", ".dockerignore")
        if hidden or SKIPPED_FOLDERS & set(parts) or any(part.endswith(".egg-info") for part in parts):
            continue
        if path.is_file() and (path.suffix in TEXTS or not path.suffix):
            yield str(path.relative_to(ROOT)), path.read_text("utf-8", errors="replace")
