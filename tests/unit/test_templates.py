"""Pages are filled from templates: escaped, and with nothing left out."""

import pytest
from jinja2 import UndefinedError

from kneegrade.templates import fill_template

PAGE = ("kneegrade.apps.pages", "contact_sheet.html.jinja")
SHEET = {"tiles": [], "number": 1, "pages": ["sheet.html"], "size_px": 310, "n_ok": 0}


def test_text_is_escaped() -> None:
    failed = [(3, "<b>code</b>")]
    page = fill_template(*PAGE, **SHEET, n_refused=0, failed=failed, failed_codes=[("<i>", 1)])
    assert "&lt;b&gt;code&lt;/b&gt;" in page
    assert "&lt;i&gt;" in page
    assert "<b>code" not in page


def test_what_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="n_refused"):
        fill_template(*PAGE, **SHEET, failed=[], failed_codes=[])
