"""What an invariant yields when it does not hold: one sentence, and whose affair it is."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from app.sentences import Sentence


@dataclass(frozen=True)
class Breach:
    """Something that should not be so. The sentence names it by its public id and says what to do.

    It never names a person. `organisation_id` is None where it is the whole installation's affair.
    """

    sentence: Sentence
    organisation_id: uuid.UUID | None = None

    def __str__(self) -> str:
        return str(self.sentence)

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` reads back."""
        return self.sentence.to_json() | {"organisation": self.organisation_id and str(self.organisation_id)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Breach":
        """Return the breach that `to_json` wrote."""
        owner = plain["organisation"]
        return cls(Sentence.from_json(plain), uuid.UUID(owner) if owner else None)


@dataclass(frozen=True)
class Progress:
    """How far reading the stored files has come, in bytes."""

    done: int
    total: int


Breaches = Iterator[Breach]
Step = Callable[[Progress], None]
