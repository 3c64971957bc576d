"""Hooks at every failpoint of the running process, from outside: a session's commit, the renames, the store's put.

One failpoint at a time is armed, and it fires once, in whichever process or thread comes there first.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app import database, files
from app.database import transaction
from tests.chaos.points import COMMIT, MOVE, PUT, reached_from

BEGIN, BEFORE, AFTER = "begin", "before", "after"  # the transaction's begin; before and after the commit or the move
KILL, STALL, RAISE = "kill", "stall", "raise"
DEEP_ENOUGH = 8  # frames between a hook and the function in app/ that it belongs to


class Failpoint(RuntimeError):
    """What an armed failpoint raises; nothing in app/ knows it."""


@dataclass(frozen=True)
class Armed:
    """Which failpoint does what; the file `fired` is made when it has happened."""

    point: str
    moment: str
    action: str
    fired: Path


@dataclass
class Watch:
    """What this process does at failpoints: writes down each that it reaches, and acts at the armed one."""

    reached: Path | None = None
    armed: Armed | None = None

    def pass_by(self, kind: str, moment: str) -> None:
        """Say that the caller is at a failpoint; called by the hooks below and by nobody else."""
        if self.reached is None and self.armed is None:
            return
        name = reached_from(kind, _frames())
        if name is None:
            return
        if self.reached is not None:
            with self.reached.open("a") as told:
                told.write(f"{name}\n")
        if self.armed and (name, moment) == (self.armed.point, self.armed.moment) and _first(self.armed.fired):
            _act(self.armed.action)


WATCH = Watch()


def install() -> None:
    """Put the hooks into this process; once, before it forks."""
    Session.commit = _around(Session.commit, COMMIT)
    Session.connection = _at_begin(Session.connection)
    for name in ("replace", "rename", "link"):
        setattr(os, name, _around(getattr(os, name), MOVE))
    for store in _stores():
        store.put = _around(store.put, PUT)


def _stores() -> Iterator[type]:
    """Yield every kind of file store that this program has."""
    for module in [module for name, module in sys.modules.items() if name == "app" or name.startswith("app.")]:
        for thing in vars(module).values():
            own = isinstance(thing, type) and thing.__module__ == module.__name__ and thing is not files.Store
            if own and all(callable(getattr(thing, verb, None)) for verb in ("put", "open", "tidy")):
                yield thing


def _around(act: Callable[..., Any], kind: str) -> Callable[..., Any]:
    @wraps(act)
    def watched(*values: Any, **named: Any) -> Any:
        WATCH.pass_by(kind, BEFORE)
        result = act(*values, **named)
        WATCH.pass_by(kind, AFTER)
        return result

    return watched


def _at_begin(connection: Callable[..., Any]) -> Callable[..., Any]:
    """Pass by before a writing transaction takes its locks; other connections are no failpoints."""

    @wraps(connection)
    def watched(session: Session, *values: Any, **named: Any) -> Any:
        if (named.get("execution_options") or {}).get("immediate"):
            WATCH.pass_by(COMMIT, BEGIN)
        return connection(session, *values, **named)

    return watched


def _frames() -> list[tuple[str, str, int]]:
    """Return module, function and line of the callers, innermost first; a verb's wrapper stands for its verb."""
    frame, callers = sys._getframe(), []
    while (frame := frame.f_back) and len(callers) < DEEP_ENOUGH:
        code, module = frame.f_code, frame.f_globals.get("__name__", "")
        if module == __name__ or code is transaction.__wrapped__.__code__:
            continue
        if module == database.__name__ and code.co_qualname.startswith("one_transaction."):
            verb = frame.f_locals["verb"]
            callers.append((verb.__module__, verb.__qualname__, frame.f_lineno))
        else:
            callers.append((module, code.co_qualname, frame.f_lineno))
    return callers


def _first(fired: Path) -> bool:
    try:
        fired.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _act(action: str) -> None:
    if action == RAISE:
        raise Failpoint("A failpoint.")
    os.kill(os.getpid(), {KILL: signal.SIGKILL, STALL: signal.SIGSTOP}[action])
