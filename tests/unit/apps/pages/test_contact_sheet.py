import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_store import write_made_store

from kneegrade.apps.pages import contact_sheet
from kneegrade.apps.pages.contact_sheet import write_contact_sheet
from kneegrade.errors import CODES, OutputError, TableError

ROWS: list[dict[str, Any]] = [
    {"side": "right", "kl": 3, "confidence": 0.91},
    {"side": "left", "kl": None, "confidence": 0.42, "flags": "blurred;view-unknown"},
    {"side": "left", "status": "failed", "error_code": "image.empty", "confidence": None},
    {"side": "right", "kl": 0, "confidence": 0.77},
    {"side": "left", "status": "refused", "error_code": "knee.implant", "confidence": 0.95},
]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Five rows: three good knees, one that could not be read, one refused."""
    table = pd.DataFrame({"subject_id": [f"9000{i}" for i in range(5)], "side": "right"})
    folder = write_made_store(table, [np.zeros((64, 64), np.uint8)] * 5, tmp_path / "rois")
    index = pd.read_parquet(folder / "index.parquet")
    rows = [old | new for old, new in zip(index.to_dict("records"), ROWS, strict=True)]
    rows[2]["landmarks"] = None
    changed = pd.DataFrame(rows).astype({"kl": "Int8"})
    changed.to_parquet(folder / "index.parquet", index=False)
    return folder


def read_text(page: Path) -> str:
    html = re.sub(r"<style>.*?</style>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def pictures_of(page: Path) -> list[str]:
    return re.findall(r'<img src="([^"]+)" loading="lazy"', page.read_text(encoding="utf-8"))


def test_the_refused_come_first_then_the_least_sure(store: Path) -> None:
    (page,) = write_contact_sheet(store)
    assert page == store / "sheet.html"
    assert pictures_of(page) == [f"roi-{i:016x}.png" for i in (4, 1, 3, 0)]
    assert all((store / name).is_file() for name in pictures_of(page))


def test_every_knee_is_told_with_what_is_known(store: Path) -> None:
    text = read_text(write_contact_sheet(store)[0])
    assert "3 knees, 1 refused, 1 failed." in text
    assert f"left, confidence 0.95 knee.implant: {CODES['knee.implant']} row 4, 00000000" in text
    assert "left, confidence 0.42 row 1, 00000000 · blurred · view-unknown" in text
    assert "right, KL 0, confidence 0.77 row 3" in text
    assert "right, KL 3, confidence 0.91 row 0" in text
    assert "Failed: 1 image.empty row 2 (image.empty)" in text


def test_no_participant_is_named(store: Path) -> None:
    html = write_contact_sheet(store)[0].read_text(encoding="utf-8")
    assert not re.search(r"9000\d", html)


def test_sixteen_landmarks_are_two_lines_at_the_centres_of_pixels(store: Path) -> None:
    html = write_contact_sheet(store)[0].read_text(encoding="utf-8")
    assert html.count('<svg viewBox="-0.5 -0.5 64 64"') == 4
    tibia = re.findall(r'class="tibia" d="([^"]+)"', html)[0]
    femur = re.findall(r'class="femur" d="([^"]+)"', html)[0]
    assert tibia.startswith("M1.0 0.0L3.0 2.0")
    assert tibia.endswith("L17.0 16.0")
    assert femur.startswith("M19.0 18.0L")
    assert (tibia.count("L"), femur.count("L")) == (8, 6)


def test_pages_link_to_each_other_and_replace_earlier_ones(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "PER_PAGE", 1)
    pages = write_contact_sheet(store)
    names = ["sheet.html", "sheet-002.html", "sheet-003.html", "sheet-004.html"]
    assert [page.name for page in pages] == names
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert set(re.findall(r'<a href="([^"]+)"', html)) == set(names) - {page.name}
    assert [name for page in pages for name in pictures_of(page)] == [
        f"roi-{i:016x}.png" for i in (4, 1, 3, 0)
    ]
    monkeypatch.setattr(contact_sheet, "PER_PAGE", 3)
    write_contact_sheet(store)
    assert sorted(path.name for path in store.glob("*.html")) == ["sheet-002.html", "sheet.html"]


def test_a_store_of_failures_has_a_page(store: Path) -> None:
    index = pd.read_parquet(store / "index.parquet")
    index[index["status"] == "failed"].to_parquet(store / "index.parquet", index=False)
    (page,) = write_contact_sheet(store)
    assert "0 knees, 0 refused, 1 failed." in read_text(page)
    assert pictures_of(page) == []


def test_text_from_the_index_is_escaped(store: Path) -> None:
    index = pd.read_parquet(store / "index.parquet")
    index.loc[1, "flags"] = index.loc[4, "error_code"] = "<script>alert(1)</script>"
    index.to_parquet(store / "index.parquet", index=False)
    html = write_contact_sheet(store)[0].read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2


def test_errors_have_codes(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError) as missing:
        write_contact_sheet(tmp_path / "nothing")
    assert missing.value.code == "store.not-found"
    (store / "sheet.html").mkdir()
    with pytest.raises(OutputError) as blocked:
        write_contact_sheet(store)
    assert blocked.value.code == "output.not-writable"
