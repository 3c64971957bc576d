"""Failpoints before and after every commit and rename: killed, stalled or failing there, all is done exactly once.

The points are read from the code (`points`), stories reach them (`stories`, `calls`), and a prepared process plays each
story once for every point, moment and action (`failing`). A new verb or rename that nothing reaches fails the first
test: let a story take it as a step, or put it among the calls.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from app.settings import ROOT
from tests.chaos.calls import CALLS
from tests.chaos.hooks import AFTER, BEFORE, BEGIN, KILL, RAISE, STALL
from tests.chaos.points import COMMIT, points
from tests.chaos.stories import STORIES
from tests.conftest import POSTGRESQL, needs

pytestmark = pytest.mark.timeout(900)  # the first test of a run lets every story be played once
TOLD = [story.name for story in STORIES]
ASKED = [call.name for call in CALLS]
LOOSE = {story.name for story in STORIES if story.loose}
OUT_OF_REACH: dict[str, str] = {}  # the name of a point, and why no story can come there


class Prepared:
    """The process that plays stories on one engine, and what it found undisturbed."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.errors = folder / "errors"
        command = [sys.executable, "-m", "tests.chaos.failing", str(folder / "stage")]
        if engine == "postgresql":
            command.append(POSTGRESQL)
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def ask(self, do: str, story: str, **more: str) -> dict[str, Any]:
        """Return the answer to one request."""
        print(json.dumps({"do": do, "story": story, **more}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, self.errors.read_text()[-3000:]
        return json.loads(answer)

    @cached_property
    def undisturbed(self) -> dict[str, dict[str, Any]]:
        """How each story and each call goes when nothing happens to it."""
        return {name: self.ask("record", name) for name in TOLD + ASKED}

    def points_of(self, name: str) -> list[str]:
        """Return the points that this story reaches and none before it."""
        earlier = set()
        for other in TOLD + ASKED:
            if other == name:
                return [point for point in self.undisturbed[name]["reached"] if point not in earlier]
            earlier.update(self.undisturbed[other]["reached"])
        raise KeyError(name)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Prepared]]:
    """Give the prepared process of an engine, started when first asked for."""
    started: dict[str, Prepared] = {}

    def prepared(engine: str) -> Prepared:
        if engine not in started:
            started[engine] = Prepared(tmp_path_factory.mktemp(f"failpoints-{engine}"), engine)
        return started[engine]

    yield prepared
    for one in started.values():
        one.close()


@pytest.fixture
def stage(prepare: Callable[[str], Prepared], engine: str, request: pytest.FixtureRequest) -> Prepared:
    """The prepared process on the test's engine."""
    if engine == "postgresql":
        needs(bool(request.getfixturevalue("migrated_postgresql")), "PostgreSQL")
    return prepare(engine)


def test_every_commit_and_rename_is_reached_by_a_story(stage):
    reached = {point for played in stage.undisturbed.values() for point in played["reached"]}

    assert reached - points().keys() == set(), "These were reached, but not found in the code."
    assert points().keys() - reached - OUT_OF_REACH.keys() == set(), "These want a story or a call that reaches them."
    assert OUT_OF_REACH.keys() - (points().keys() - reached) == set(), "These are within reach, or gone."


@pytest.mark.parametrize("name", TOLD + ASKED)
def test_a_story_ends_well_when_nothing_happens(stage, name):
    played = stage.undisturbed[name]
    assert played["problems"] == [], played["log"]


@pytest.mark.parametrize("name", TOLD)
def test_a_death_at_any_point_changes_nothing_in_the_end(stage, name):
    """Before or after, as the point's name has it; the long test does both."""
    assert disturbed(stage, name, KILL, one_of) == []


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("action", [KILL, RAISE])
@pytest.mark.parametrize("name", TOLD)
def test_no_failure_at_any_point_changes_the_end(stage, name, action):
    assert disturbed(stage, name, action) == []


def disturbed(
    stage: Prepared, name: str, action: str, choose: Callable[[str, str], tuple[str, ...]] | None = None
) -> list[tuple[Any, ...]]:
    """Play the story once for each of its points and moments; return those after which not all is as it should be."""
    problems = []
    for point in stage.points_of(name):
        for moment in (choose or moments)(point, action):
            end = stage.ask("case", name, point=point, moment=moment, action=action)
            outcome = end["outcome"] if name in LOOSE else stage.undisturbed[name]["outcome"]
            if end["problems"] or end["outcome"] != outcome:
                problems.append((point, moment, action, *told(end, outcome)))
    return problems


def moments(point: str, action: str) -> tuple[str, ...]:
    """Return when the action happens: one that stalls may also do so before it takes any lock."""
    return (BEGIN, BEFORE, AFTER) if action == STALL and point.startswith(COMMIT) else (BEFORE, AFTER)


def one_of(point: str, action: str) -> tuple[str, ...]:
    """Return one moment of the point, always the same."""
    return (random.Random(point).choice(moments(point, action)),)


def told(end: dict[str, Any], wanted: dict[str, Any]) -> tuple[Any, ...]:
    """Return what went wrong, and what is not as wanted: what there is, and what there should be."""
    strange = {
        what: (
            sorted(set(end["outcome"].get(what, [])) - set(lines)),
            sorted(set(lines) - set(end["outcome"].get(what, []))),
        )
        for what, lines in wanted.items()
        if end["outcome"].get(what) != lines
    }
    return end["problems"], strange, end["log"][-1500:]
