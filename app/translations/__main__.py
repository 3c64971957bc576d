"""`python -m app.translations update | compile | check`: keep the catalogues equal to the sources.

update   reads the sources, brings every new sentence into every catalogue, drops those that are gone, and compiles
compile  writes messages.mo from messages.po, after somebody has translated
check    says what is missing, and exits with 1 when anything is
"""

import sys

from app.translations import catalogues


def main(verb: str) -> int:
    """Do what `verb` says and return the exit code."""
    if verb == "update":
        catalogues.update()
    elif verb == "compile":
        catalogues.compile_all()
    elif verb == "check":
        problems = catalogues.problems()
        print("\n".join(problems) or "Every sentence stands in every language.")
        return 1 if problems else 0
    else:
        print(__doc__)
        return 2
    return 0


sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "help"))
