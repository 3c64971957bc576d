"""What rendering refuses, each with a sentence that says what to do."""

from app.sentences import Sentence


class DesignError(Exception):
    """A card design that cannot be used."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence


class CannotDraw(Exception):
    """One card that this design cannot carry; its neighbours are not concerned."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence
