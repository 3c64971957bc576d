"""What intake refuses to go on with: a file nobody can read, and a choice of columns that cannot work."""

from app.sentences import Sentence


class Unreadable(Exception):
    """The file is not a table we can read; `sentence` says why and what to do about it."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence


class MappingError(Exception):
    """The columns were not chosen well; `sentences` says everything that has to be chosen again."""

    def __init__(self, *sentences: Sentence) -> None:
        super().__init__(" ".join(str(sentence) for sentence in sentences))
        self.sentences = sentences
