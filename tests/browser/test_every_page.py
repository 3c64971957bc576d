"""Every page that links lead to, at both widths and in every language: axe finds nothing, nothing is too wide."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Portal
from tests.browser.test_main_job import WAYS, axe, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(1500)]

STARTS = ("/app/", "/verify", "/help", "/app/welcome", "/app/cards", "/app/jobs")
FILES = re.compile(r"\.(png|csv|xlsx|json|pdf|zip)$|/files/|/example|/events|/problems|/static/")
MOST_PAGES = 120


@pytest.mark.parametrize("language", ["fr-FR", "en-GB", "wo"])
@pytest.mark.parametrize("way", ["on a laptop", "on a phone"])
def test_no_page_is_hard_to_use(browser: Browser, portal: Portal, way: str, language: str):
    context = browser.new_context(locale=language, bypass_csp=True, **WAYS[way])
    page = context.new_page()
    sign_in(page, portal)
    found = {path: problems for path in pages(page, portal) if (problems := axe(page, portal.address + path))}
    context.close()
    assert found == {}


def pages(page: Page, portal: Portal) -> Iterator[str]:
    """Yield the pages that links lead to from the first ones, one of each kind of address."""
    waiting, kinds = list(STARTS), set()
    while waiting and len(kinds) < MOST_PAGES:
        path = waiting.pop(0)
        kind = re.sub(r"[0-9a-f]{32}|[0-9a-f-]{36}|[a-z]+_[0-9A-Z]{26}|[A-Z0-9-]{8,}", "…", path)
        if kind in kinds or FILES.search(urlsplit(path).path):
            continue
        kinds.add(kind)
        yield path
        for link in page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))"):
            target = urlsplit(urljoin(page.url, link))
            if f"{target.scheme}://{target.netloc}" == portal.address:
                waiting.append(target.path + (f"?{target.query}" if target.query else ""))
