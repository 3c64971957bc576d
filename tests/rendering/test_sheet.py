"""A4 sheets in millimetres."""

import pikepdf
import pytest

from app.rendering import sheet

CR80 = (85.60, 53.98)


def test_it_works():
    places = [sheet.place(index, CR80) for index in range(10)]
    assert len(set(places)) == 10
    for left, bottom in places:
        assert left >= 0
        assert bottom >= 0
        assert left + 85.60 <= 210
        assert bottom + 53.98 <= 297


def test_cards_are_three_millimetres_apart_and_in_the_middle():
    first, second, third = (sheet.place(index, CR80) for index in range(3))
    assert second[0] - first[0] == pytest.approx(88.60)
    assert first[1] - third[1] == pytest.approx(56.98)
    assert first[0] == pytest.approx(210 - second[0] - 85.60)
    assert first[1] + 53.98 == pytest.approx(297 - sheet.place(8, CR80)[1])


def test_a_back_lies_behind_its_front():
    """Turned over the long edge, left becomes right."""
    for index in range(10):
        left, bottom = sheet.place(index, CR80)
        mirrored, same = sheet.place(index, CR80, mirrored=True)
        assert mirrored == pytest.approx(210 - left - 85.60)
        assert same == bottom


def test_larger_cards_do_not_fit():
    assert sheet.fits(CR80)
    assert not sheet.fits((105.0, 74.0))


def test_cut_marks_are_in_line_with_the_edges_and_beside_the_cards():
    with pikepdf.new() as source, pikepdf.new() as pdf:
        source.add_blank_page(page_size=(CR80[0] * sheet.POINT, CR80[1] * sheet.POINT))
        page = source.pages[0]
        sheet.impose(pdf, iter([(page, page)] * 11), CR80)
        assert len(pdf.pages) == 4
        lines = _lines(pdf.pages[0])
    assert len(lines) == 2 * 4 + 2 * 10
    left, top = sheet.place(0, CR80)[0], sheet.place(0, CR80)[1] + 53.98
    bottom = sheet.place(8, CR80)[1]
    for x1, y1, x2, y2 in lines:
        if x1 == pytest.approx(x2):
            assert max(y1, y2) < bottom or min(y1, y2) > top
        else:
            assert max(x1, x2) < left or min(x1, x2) > 210 - left
    assert any(x1 == pytest.approx(x2) == pytest.approx(left, abs=0.01) for x1, _, x2, _ in lines)


def _lines(page: pikepdf.Page) -> list[tuple[float, ...]]:
    """Return the marks of a sheet in millimetres."""
    lines, start = [], None
    for instruction in pikepdf.parse_content_stream(page):
        point = [float(each) / sheet.POINT for each in instruction.operands if not isinstance(each, pikepdf.Name)]
        if str(instruction.operator) == "m":
            start = point
        elif str(instruction.operator) == "l":
            lines.append((*start, *point))
    return lines
