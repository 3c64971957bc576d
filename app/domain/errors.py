"""Refusals: what the rooms say no to, each with a sentence that helps and the facts behind it."""

from collections.abc import Mapping, Sequence

from app.sentences import Sentence, say, say_n


class Refusal(Exception):
    """Something that will not be done. `code` is its stable name, `sentence` says why and what to do."""

    code = "refused"

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence


class NotFound(Refusal):
    """There is no such thing, or it belongs to somebody else; nobody is told which."""

    code = "not_found"

    def __init__(self, sentence: Sentence | None = None) -> None:
        super().__init__(sentence or say("This page or record does not exist, or you may not see it."))


class NotAllowed(Refusal):
    """The person's role does not include this."""

    code = "not_allowed"

    def __init__(self, verb: str, role: str) -> None:
        super().__init__(
            say("Your role (%(role)s) does not let you do this. Ask an administrator of your team.", role=role)
        )
        self.verb = verb


class NotSignedIn(Refusal):
    """The e-mail, password, token or session is not one that we know."""

    code = "not_signed_in"


class Conflict(Refusal):
    """The thing is not in a state in which this can be done."""

    code = "conflict"


class Gone(Refusal):
    """It was there, and is not kept any more."""

    code = "gone"


class TooLarge(Refusal):
    """More than what is taken at once."""

    code = "too_large"


class NoRoom(Refusal):
    """The disk has no room for what was asked."""

    code = "no_room"


class QuotaExceeded(Refusal):
    """The organisation may make `left` more cards and `asked` were wanted."""

    code = "quota_exceeded"

    def __init__(self, asked: int, left: int) -> None:
        super().__init__(
            say_n(
                "You can make %(left)s more cards this month; this needs %(n)s.",
                "You can make %(left)s more cards this month; this needs %(n)s.",
                asked,
                left=left,
            )
        )
        self.asked = asked
        self.left = left


class Invalid(Refusal):
    """Values that cannot be taken: a sentence for each field, in the order of the form."""

    code = "invalid"

    def __init__(self, fields: Mapping[str, Sentence]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = dict(fields)


class InvalidPeople(Refusal):
    """Beneficiaries that cannot be taken; `problems` holds (index, field, sentence), `total` counts them all."""

    code = "invalid_people"

    def __init__(self, problems: Sequence[tuple[int, str, Sentence]], total: int) -> None:
        super().__init__(
            say_n("%(n)s value cannot be used.", "%(n)s values cannot be used.", total),
        )
        self.problems = list(problems)
        self.total = total
