"""Add up pytest's reports: `verdict.py REPORT.xml …` fails when a test failed or when what must run was skipped."""

import sys
from pathlib import Path
from xml.etree import ElementTree

MUST_RUN = ("browser", "chromium", "playwright", "postgres", "redis")


def main(reports: list[str]) -> int:
    """Print what was skipped and, last, the totals; return the exit code."""
    cases = [case for report in reports for case in ElementTree.parse(Path(report)).iter("testcase")]  # noqa: S314
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skips = [(case, case.find("skipped").get("message", "")) for case in cases if case.find("skipped") is not None]
    forbidden = [(case, why) for case, why in skips if any(word in f"{name(case)} {why}".lower() for word in MUST_RUN)]

    for case, why in skips:
        must_run = "SKIPPED, BUT MUST RUN HERE" if (case, why) in forbidden else "skipped"
        print(f"{must_run}: {name(case)}: {why}")
    passed = len(cases) - len(failed) - len(skips)
    print(f"{passed} passed, {len(failed) + len(forbidden)} failed")
    return 1 if failed or forbidden or not passed else 0


def name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


sys.exit(main(sys.argv[1:]))
