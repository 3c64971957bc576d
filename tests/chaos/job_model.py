"""What should be known of jobs, in plain Python: states of job, chunks and cards, and who holds what."""

import uuid
from dataclasses import dataclass, field

from app.domain.repeats import Repeat


@dataclass
class ModelChunk:
    """What should be known of a chunk: its cards' states, and the fence of whoever holds it."""

    cards: list[str]
    state: str = "waiting"
    fence: uuid.UUID | None = None
    expired: bool = False

    @property
    def claimable(self) -> bool:
        return self.state == "waiting" or (self.state == "claimed" and self.expired)

    def end(self, state: str) -> None:
        self.state, self.fence, self.expired = state, None, False


@dataclass
class ModelJob:
    """What should be known of a job."""

    campaign: uuid.UUID
    repeat: Repeat
    chunks: list[ModelChunk] = field(default_factory=list)
    state: str = "waiting"
    ends_as: str = "completed"
    fence: uuid.UUID | None = None
    expired: bool = False

    @property
    def cards(self) -> list[str]:
        return [card for chunk in self.chunks for card in chunk.cards]

    @property
    def open_chunks(self) -> int:
        return sum(chunk.state in ("waiting", "claimed") for chunk in self.chunks)

    def void(self, *states: str) -> None:
        for chunk in self.chunks:
            chunk.cards = ["void" if card in states else card for card in chunk.cards]

    def go_on(self) -> None:
        if self.open_chunks == 0 and self.state == "generating":
            self.state = "packaging" if "drawn" in self.cards else "failed"
            if self.state == "failed":
                self.fail()

    def fail(self) -> None:
        self.void("pending", "drawn")
        for chunk in self.chunks:
            chunk.end("void")
        self.end("failed")

    def end(self, state: str) -> None:
        self.state, self.fence, self.expired = state, None, False
