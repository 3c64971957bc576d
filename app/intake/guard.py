"""The apostrophe that keeps a spreadsheet program from taking a text for a formula: put on, taken off, once each.

Follows OWASP "CSV Injection": cells that begin with = + - @ TAB or CR. A text that begins with such an apostrophe of
its own gets another one, so that what is written and read again is what it was.
"""

import re

_DANGEROUS = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def guard(text: str) -> str:
    """Return the text, with one apostrophe in front where a spreadsheet program might compute it."""
    return "'" + text if _DANGEROUS.match(text) else text


def keep_apostrophe(text: str) -> str:
    """Return the text for a cell that is marked as text: only an apostrophe that `unguard` would take is doubled."""
    return "'" + text if _GUARDED.match(text) else text


def unguard(text: str) -> str:
    """Return the text without the one apostrophe that `guard` put in front."""
    return text[1:] if _GUARDED.match(text) else text
