"""Pages of a long list: which one the address asks for, and what `parts/pagination.html` needs to know of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_sqlalchemy.pagination import Pagination

FARTHEST = 100_000


@dataclass(frozen=True)
class Pager:
    """One page of a list of `total` rows; `page` begins with 1."""

    page: int
    per_page: int
    total: int
    items: Sequence[Any]

    iter_pages = Pagination.iter_pages

    @property
    def pages(self) -> int:
        return -(-self.total // self.per_page)

    @property
    def first(self) -> int:
        return (self.page - 1) * self.per_page + 1 if self.items else 0

    @property
    def last(self) -> int:
        return self.first + len(self.items) - 1 if self.items else 0


def paged(fetch: Callable[..., tuple[int, Sequence[Any]]], *, per_page: int = 20) -> Pager:
    """Return the page that `?page=` asks for, the last one when it asks for more than there are.

    `fetch(limit=…, offset=…)` returns how many rows there are in all, and the rows wanted.
    """
    page = min(max(request.args.get("page", 1, type=int), 1), FARTHEST)
    total, rows = fetch(limit=per_page, offset=(page - 1) * per_page)
    last = max(1, -(-total // per_page))
    if page > last:
        page = last
        total, rows = fetch(limit=per_page, offset=(page - 1) * per_page)
    return Pager(page, per_page, total, rows)
