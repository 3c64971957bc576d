"""Sentences that the rooms hand to the doors: an English text, its facts, and nothing about who reads it.

The room says what is wrong in plain English (`say("Row %(row)s has no name.", row=7)`); the door translates the
text with gettext and fills the facts in. `python -m app.translations update` finds the texts in the source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sentence:
    """A sentence to be translated: `template` in English, `plural` with its count `n` where it counts."""

    template: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    plural: str | None = None
    n: int = 1

    def __str__(self) -> str:
        """Return the English sentence with its facts."""
        template = self.plural if self.plural is not None and self.n != 1 else self.template
        return template % self.facts if self.facts else template

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` reads back; facts must be JSON values."""
        plain = {"template": self.template, "facts": dict(self.facts)}
        return plain if self.plural is None else plain | {"plural": self.plural, "n": self.n}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Sentence":
        """Return the sentence that `to_json` wrote."""
        return cls(plain["template"], plain.get("facts", {}), plain.get("plural"), plain.get("n", 1))


def say(template: str, **facts: Any) -> Sentence:
    """Return a sentence; `template` uses %(name)s for each fact."""
    return Sentence(template, facts)


def say_n(singular: str, plural: str, n: int, **facts: Any) -> Sentence:
    """Return a sentence that counts; the count is the fact %(n)s."""
    return Sentence(singular, {"n": n} | facts, plural, n)


def N_(text: str) -> str:
    """Mark a text for translation and return it unchanged."""
    return text
