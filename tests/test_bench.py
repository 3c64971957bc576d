"""The measurements run and say what they compared; what they measured is for people to read, not for tests."""

import re

from bench import render


def test_it_works(capsys):
    assert render.main(["--cards", "2"]) == 0
    printed = capsys.readouterr().out
    ratios = re.findall(r"^(?:xhtml2pdf|Fieldcard).* (\d+\.\d\d)$", printed, re.MULTILINE)
    assert len(ratios) == 2
    assert min(map(float, ratios)) == 1.0
