"""The published examples of the card API, and how an answer is held against them."""

import json
from pathlib import Path
from typing import Any

CARDS = Path(__file__).parents[1] / "documented" / "cards"


def example(name: str) -> Any:
    """Return the published example `name`."""
    return json.loads((CARDS / f"{name}.json").read_text("utf-8"))


def shape(value: Any) -> Any:
    """Return what must agree: keys and their order, what lists hold, and the type of every value."""
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return ["list", shape(value[0])] if value else ["list"]
    return type(value).__name__


def without(value: dict[str, Any], *extensions: str) -> dict[str, Any]:
    """Return the object without our extensions, which must be there and stand last."""
    assert tuple(value)[-len(extensions) :] == extensions
    return {name: inner for name, inner in value.items() if name not in extensions}
