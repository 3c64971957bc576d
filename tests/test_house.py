"""The house is as its architecture says: who imports whom, what doors may do, and what stands nowhere.

    settings, sentences, keyring <- database, queue, files <- models · rendering · intake <- domain <- doors

Each test says in words what is wrong and where.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain import access
from app.settings import ROOT
from tests.sources import APP, TESTS, Module, calls_of_session, imports, modules, names, of_room, repository

LONGEST_FILE = 400  # lines
ANYBODY_MAY = {"settings", "sentences", "keyring"}
# A room is a package or a module of `app`; the rooms that it may import, besides those that anybody may.
MAY_IMPORT = {
    "settings": set(),
    "sentences": set(),
    "keyring": set(),
    "children": set(),
    "database": set(),
    "queue": set(),
    "files": {"s3"},
    "s3": set(),
    "translations": set(),
    "rendering": set(),
    "intake": set(),
    "senders": set(),
    "models": {"database"},
    "domain": {"database", "files", "models", "rendering", "intake", "senders"},
    "answers": {"domain", "models"},
    "tasks": {"database", "domain", "queue"},
    "web": {"database", "domain", "models", "rendering", "intake", "answers", "tasks", "factory"},
    "api": {"database", "domain", "models", "rendering", "intake", "answers", "tasks", "factory"},
    "factory": {"database", "queue", "files", "models", "web", "api", "tasks"},
    "backup": {"database", "domain", "files"},
    "generate": {"database", "domain", "models", "intake", "factory"},
    "worker": {"tasks", "cli", "children"},
    "webserver": {"factory", "children"},
    "supervisor": {"children"},
    "cli": {"database", "domain", "models", "intake", "factory", "tasks", "supervisor", "generate", "backup"},
}
WITHOUT_A_DATABASE = ("rendering", "intake", "senders")
DATABASES = {"flask", "flask_sqlalchemy", "flask_login", "flask_babel", "sqlalchemy", "huey", "alembic", "redis"}
# Rooms get what they need as arguments; these few need the app itself, and nothing of a request.
ROOMS_WITH_FLASK = {
    "installation": {"Flask", "current_app"},  # makes an app that knows the database only, and migrates by it
    "leases": {"Flask"},  # a heartbeat beats in a thread of its own, inside the app
    "workshop": {"current_app"},  # hands the app to that heartbeat
}
OF_A_REQUEST = {"request", "session", "g", "current_user", "render_template", "url_for", "flash", "redirect", "abort"}
# What the pages and APIs may take from the database module: the spelling of ids, settings, the clock.
DATABASE_FOR_DOORS = {"settings", "spell", "utc_now"}
# A stream lets go of its connection between two looks, and an error page begins a new transaction after the broken one.
LET_GO_OF_THE_DATABASE = {"web/errors.py", "web/streams.py"}
# What they may take from where the app is joined: the extensions that a route is decorated with.
FACTORY_FOR_DOORS = {"LANGUAGES", "csrf", "limiter"}
READS_OUTER_IDS = {"database.py", "domain/access.py", "domain/bearer.py"}  # bearer: an id that our own key has signed
WRITES = {"add", "add_all", "delete", "merge", "execute", "bulk_insert_mappings", "bulk_save_objects"}
USED_FOR_GOOD = ("flask", "flask_sqlalchemy", "flask_login", "huey", "htmx_flask", "jinja2", "xhtml2pdf", "qrcode")
# Pages whose templates have a folder of another name: `cards` holds the designs of cards.
TEMPLATE_FOLDERS = {"card": "cards"}
NO_PAGES_OF_THEIR_OWN = {"parts", "cards"}
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|\braise NotImpl" + r"ementedError")
REGISTRIES = re.compile(
    r"py" + r"pi\.org|python" + r"hosted|npm" + r"js\.|un" + r"pkg\.com|js" + r"delivr|cdn" + r"js\.|docker" + r"\.io|"
    r"gh" + r"cr\.io|qu" + r"ay\.io|ana" + r"conda\.|gopr" + r"oxy|index" + r"-url|deb" + r"ian\.org"
)
OF_A_MACHINE = re.compile(r"(?<![\w.~-])/(?:wo" + r"rk|ro" + r"ot|Us" + r"ers|ho" + r"me/\w+)/")


def nothing(problems: list[str], why: str) -> None:
    assert not problems, f"{why}\n" + "\n".join(problems)


def test_it_works() -> None:
    assert {"app.web", "app.domain.access", "app.models"} <= names()
    assert any(found.module == "app.domain.access" for module in of_room("web") for found in imports(module))


def test_every_room_has_its_place() -> None:
    homeless = [module.short for module in modules() if module.name != "app" and module.room not in MAY_IMPORT]

    nothing(homeless, "These stand in no room of the architecture; say in MAY_IMPORT whom they may import:")


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_down_only(room: str) -> None:
    allowed = MAY_IMPORT[room] | ANYBODY_MAY | {room}
    problems = [
        f"app/{module.short}:{found.line} imports {found.module}"
        for module in of_room(room)
        for found in imports(module)
        if found.module.startswith("app.") and found.module.split(".")[1] not in allowed
    ]

    nothing(problems, f"`{room}` may import {sorted(allowed - {room})} of the house, and nothing else:")


@pytest.mark.parametrize("room", ["domain", "rendering", "intake", "models"])
def test_rooms_never_import_each_other_in_a_circle(room: str) -> None:
    graph = {module.name: {found.module for found in imports(module)} for module in of_room(room)}
    circles = {" -> ".join(circle) for start in graph if (circle := _way_back(graph, start))}

    nothing(sorted(circles), "These modules import each other in a circle; move what both need below them:")


def _way_back(graph: dict[str, set[str]], start: str) -> list[str] | None:
    waiting, seen = [[start]], set()
    while waiting:
        way = waiting.pop()
        for following in sorted(graph.get(way[-1], set()) & graph.keys()):
            if following == start:
                return [*way, start]
            if following not in seen:
                seen.add(following)
                waiting.append([*way, following])
    return None


def test_workshops_know_neither_database_nor_requests() -> None:
    problems = [
        f"app/{module.short}:{found.line} imports {found.module}"
        for module in of_room(*WITHOUT_A_DATABASE)
        for found in imports(module)
        if found.module.split(".")[0] in DATABASES
    ]

    nothing(problems, "Plain values go into a workshop, bytes or plain values come out:")


def test_rooms_know_no_request() -> None:
    problems = []
    for module in of_room("domain", "models"):
        allowed = ROOMS_WITH_FLASK.get(module.path.stem, set()) if module.room == "domain" else {"UserMixin"}
        for found in imports(module):
            package = found.module.split(".")[0]
            of_a_door = package in ("flask", "flask_login", "flask_babel", "werkzeug", "htmx_flask", "flask_wtf")
            if of_a_door and (found.name not in allowed or found.name in OF_A_REQUEST):
                problems.append(f"app/{module.short}:{found.line} imports {found.name} from {found.module}")

    nothing(problems, "A room gets who acts and what is asked as arguments:")


def test_every_exception_is_still_needed() -> None:
    stale = [
        f"domain/{name}.py does not import {flask} any more"
        for name, allowed in ROOMS_WITH_FLASK.items()
        for flask in allowed - {found.name for found in imports(_room_file(name)) if found.module == "flask"}
    ]

    nothing(stale, "Take these out of ROOMS_WITH_FLASK:")


def _room_file(name: str) -> Module:
    return next(module for module in of_room("domain") if module.path.stem == name)


@pytest.mark.parametrize("door", ["web", "api", "answers"])
def test_a_door_takes_little_from_the_cellar(door: str) -> None:
    allowed = {"app.database": DATABASE_FOR_DOORS, "app.factory": FACTORY_FOR_DOORS}
    problems = [
        f"app/{module.short}:{found.line} imports {found.name} from {found.module}"
        for module in of_room(door)
        for found in imports(module)
        if found.name not in allowed.get(found.module, {found.name})
        if not (found.name == "db" and module.short in LET_GO_OF_THE_DATABASE)
    ]

    nothing(problems, "A door asks the rooms; it has no session and no transaction of its own:")


@pytest.mark.parametrize(
    "door", ["web", "api", "answers", "tasks", "cli", "generate", "backup", "worker", "webserver", "factory"]
)
def test_no_door_writes_rows_itself(door: str) -> None:
    problems = []
    for module in of_room(door):
        problems += [
            f"app/{module.short}:{found.line} imports {found.name} from sqlalchemy"
            for found in imports(module)
            if found.module.startswith("sqlalchemy") and found.name in ("insert", "update", "delete", "text")
        ]
        problems += [
            f"app/{module.short}:{call.lineno} calls session.{method}"
            for method, call in calls_of_session(module)
            if method in WRITES
        ]

    nothing(problems, "Rows change in the rooms, inside transaction():")


def test_an_id_from_outside_is_read_in_one_place() -> None:
    problems = [
        f"app/{module.short}:{found.line} imports read_id"
        for module in modules()
        if module.short not in READS_OUTER_IDS
        for found in imports(module)
        if (found.module, found.name) == ("app.database", "read_id")
    ]

    nothing(problems, "access.find is the one way from an outer id to a row:")


def test_no_row_is_taken_by_an_id_from_outside() -> None:
    """Ids of our own rows are UUIDs; what comes from outside is `str`, and goes through access.find.

    So `session.get` stands in rooms only and takes no parameter that is `str`, and `filter_by` stands nowhere.
    """
    problems = []
    for module in modules():
        for method, call in calls_of_session(module):
            of_database = ast.unparse(call.func).startswith("db.session.")  # Flask's own session.get reads a cookie
            if method == "get" and of_database and module.room != "domain":
                problems.append(f"app/{module.short}:{call.lineno} calls session.get outside of the rooms")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == "filter_by":
                problems.append(f"app/{module.short}:{node.lineno} calls filter_by; write select(…).where(…)")
            if isinstance(node, ast.FunctionDef) and module.room == "domain":
                problems += [f"app/{module.short}:{line} gets a row by a str" for line in _gets_by_text(node)]

    nothing(problems, "access.find is the one way from an outer id to a row:")


def _gets_by_text(function: ast.FunctionDef) -> Iterator[int]:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    texts = {one.arg for one in arguments if one.annotation and "str" in ast.unparse(one.annotation).split(" | ")}
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("session.get") and len(node.args) > 1:
            yield from [node.lineno] if ast.unparse(node.args[1]) in texts else []


def test_every_route_says_who_may_open_it(app) -> None:
    known = access.MANAGE | {"public"}
    problems = [
        f"{rule.rule} ({rule.endpoint}) has the policy {policy!r}"
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for policy in [getattr(app.view_functions[rule.endpoint], "policy", None)]
        if policy not in known
    ]

    nothing(problems, f"A view is @public or @signed_in(to=…) with one of {sorted(known)}:")


def test_every_module_opens_with_a_sentence() -> None:
    problems = []
    for module in modules():
        opening = (ast.get_docstring(module.tree) or "").split("\n\n")[0]
        if len(opening) < 20 or not opening.endswith((".", ":", "`")):
            problems.append(f"app/{module.short} begins with {opening!r}")

    nothing(problems, "A file opens with one sentence: what lives here.")


@pytest.mark.parametrize("package", [*USED_FOR_GOOD, "pytest"])
def test_what_we_depend_on_is_really_used(package: str) -> None:
    assert any(_uses(tree, package) for tree in _trees(TESTS if package == "pytest" else APP)), f"{package} is unused."


def _trees(folder: Path) -> Iterator[ast.Module]:
    return (ast.parse(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py")))


def _uses(tree: ast.Module, package: str) -> bool:
    """Return whether the module imports the package and does something with what it imported."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [alias for alias in node.names if alias.name.split(".")[0] == package]
            bound |= {alias.asname or alias.name.split(".")[0] for alias in wanted}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            bound |= {alias.asname or alias.name for alias in node.names}
    return any(isinstance(node, ast.Name) and node.id in bound for node in ast.walk(tree))


def test_every_setting_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    missing = [name for name in sorted(_variables("settings.py")) if not re.search(rf"\b{name}\b", readme)]

    nothing(missing, "The README does not name these settings:")


def test_only_the_settings_read_the_environment() -> None:
    problems = [
        f"app/{module.short}:{node.lineno} reads {ast.unparse(node)}"
        for module in modules()
        if module.room != "settings"
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ")
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"))
    ]

    nothing(problems, "The environment is read once, in app/settings.py:")


def _variables(name: str) -> set[str]:
    tree = ast.parse((APP / name).read_text("utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {text for text in texts if re.fullmatch(r"PORT|[A-Z]+(?:_[A-Z]+)+", text)}


@pytest.mark.parametrize("room", ["domain", "web", "api", "rendering", "intake"])
def test_a_test_has_the_name_of_what_it_tests(room: str) -> None:
    nouns = {module.name.rpartition(".")[2] for module in of_room(room)} | _designs_and_limits(room)
    strange = [path.name for path in (TESTS / room).glob("test_*.py") if path.stem.removeprefix("test_") not in nouns]

    nothing(strange, f"These tests name no file of app/{room}:")


def _designs_and_limits(room: str) -> set[str]:
    """Return what is tested across files: all designs, all pictures; hostile and large spreadsheets; every API."""
    across = {
        "rendering": {"designs", "pictures"},
        "intake": {"hostile", "bulk"},
        "api": {"documented_example", "orders", "races"},
    }
    return across.get(room, set())


def test_templates_lie_in_the_folder_of_their_noun() -> None:
    nouns = {module.path.stem for module in of_room("web")}
    folders = {path.name for path in (ROOT / "templates").iterdir() if path.is_dir()} - NO_PAGES_OF_THEIR_OWN
    strange = [folder for folder in sorted(folders) if TEMPLATE_FOLDERS.get(folder, folder) not in nouns]

    nothing(strange, "No file of app/web has the name of these folders of templates:")


def test_no_file_is_too_long() -> None:
    problems = []
    for path in [*APP.rglob("*.py"), *TESTS.rglob("*.py"), *(ROOT / "templates").rglob("*.html")]:
        lines = len(path.read_text("utf-8").splitlines())
        if lines > LONGEST_FILE:
            problems.append(f"{path.relative_to(ROOT)} has {lines} lines")

    nothing(problems, f"A file of more than {LONGEST_FILE} lines wants to be two:")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (UNFINISHED, "Nothing here is unfinished:"),
        (REGISTRIES, "The repository names no registry; where packages come from is the machine's affair:"),
        (OF_A_MACHINE, "A path of somebody's machine means nothing elsewhere:"),
    ],
    ids=["unfinished", "registries", "machines"],
)
def test_the_repository_is_free_of(pattern: re.Pattern[str], why: str) -> None:
    found = [
        f"{path}:{number} {line.strip()[:100]}"
        for path, text in repository()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]

    nothing(found, why)
