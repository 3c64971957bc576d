"""Failpoints, read out of the code: every commit and every file that takes its final name, by where it stands in app/.

Nothing in app/ knows of them, and none has to be written down: a new verb or a new rename is found by itself.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.settings import ROOT

COMMIT, MOVE, PUT = "commit", "move", "put"
RENAMES = {"os.replace", "os.rename", "os.link"}
MACHINERY = {"app.database.one_transaction.<locals>.run"}  # its commits are those of the verbs


@dataclass(frozen=True)
class Point:
    """One place: `name` is unique, `lines` are those of the statement's call; a verb's commit has none."""

    name: str
    kind: str
    module: str
    lines: range


@cache
def points() -> dict[str, Point]:
    """Return every failpoint of app/ by its name."""
    found = {}
    for path in sorted((ROOT / "app").rglob("*.py")):
        for point in _Reader(path).points:
            found[point.name] = point
    return found


@cache
def sites() -> dict[tuple[str, int], Point]:
    """Return the points that are calls, by their module and each line of the call."""
    calls = [point for point in points().values() if point.kind != COMMIT]
    return {(point.module, line): point for point in calls for line in point.lines}


class _Reader(ast.NodeVisitor):
    """Walks through one file and keeps the points it passes."""

    def __init__(self, path: Path) -> None:
        self.module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.around: list[str] = []
        self.points: list[Point] = []
        self.visit(ast.parse(path.read_text("utf-8")))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node, node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if any(ast.unparse(decorator) == "one_transaction" for decorator in node.decorator_list):
            self._keep(COMMIT, ".".join([*self.around, node.name]))
        self._inside(node, f"{node.name}.<locals>")

    def visit_With(self, node: ast.With) -> None:
        if any(ast.unparse(item.context_expr) == "transaction()" for item in node.items):
            self._keep(COMMIT, self._where())
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if kind := _kind(node):
            place = self._where()
            number = 1 + sum(point.name.startswith(f"{kind} {self.module}.{place} ") for point in self.points)
            self._keep(kind, f"{place} {number}", range(node.lineno, node.end_lineno + 1))
        self.generic_visit(node)

    def _inside(self, node: ast.AST, name: str) -> None:
        self.around.append(name)
        self.generic_visit(node)
        self.around.pop()

    def _where(self) -> str:
        """Return the qualified name of the function around, as Python spells it at run time."""
        return ".".join(self.around).removesuffix(".<locals>")

    def _keep(self, kind: str, place: str, lines: range = range(0)) -> None:
        if f"{self.module}.{place}" not in MACHINERY:
            self.points.append(Point(f"{kind} {self.module}.{place}", kind, self.module, lines))


def _kind(call: ast.Call) -> str | None:
    """Tell a rename and a put into the file store from other calls.

    A path's `replace` and `rename` take one value, a text's `replace` two, and a date's takes names.
    """
    if not isinstance(call.func, ast.Attribute):
        return None
    one_value = len(call.args) == 1 and not call.keywords
    if ast.unparse(call.func) in RENAMES or (call.func.attr in ("replace", "rename") and one_value):
        return MOVE
    return PUT if call.func.attr == "put" and ast.unparse(call.func.value).endswith("store()") else None


def reached_from(kind: str, frames: Iterable[tuple[str, str, int]]) -> str | None:
    """Return the name of the point that the innermost of these frames (module, function, line) of app/ is at.

    None when the call does not come from app/; a name that `points` does not know when it should.
    """
    for module, function, line in frames:
        if module.split(".")[0] == "app":
            if kind == COMMIT:
                return f"{COMMIT} {module}.{function}"
            point = sites().get((module, line))
            return point.name if point and point.kind == kind else f"{kind} {module}.{function} at line {line}"
        if module.split(".")[0] not in ("pathlib", "contextlib", "shutil", "os"):
            return None
    return None
