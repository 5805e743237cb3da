import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import make_failed, make_joint, make_refused, make_result

from kneegrade.apps.pages.grade_report import EMBEDDED_PICTURES, ReportedKnee, write_grade_report
from kneegrade.bundles.manifest import Bundle, Decoding, InputSpec, LocatorSpec, TaskSpec
from kneegrade.bundles.subjects import Subjects
from kneegrade.errors import ImageError, KneeNotFoundError, OutputError
from kneegrade.pipeline.drawing import KneeDrawing, WidthLine
from kneegrade.pipeline.results import KneeKey, KneeResult
from kneegrade.types import Flag, Grades, KneePrediction, Side, SpacingSource, Task

PNG = b"\x89PNG a picture"
EVIL = "<script>alert(1)</script>"
DRAWING = KneeDrawing(
    size_px=64,
    landmarks=[[30.0 + i, 2.5 * i] for i in range(16)],
    margins=[[[20.0, 4.0], [21.5, 12.0]], [[30.0, 4.0], [31.5, 12.0]]],
    widths=(
        WidthLine([[20.0, 8.0], [30.0, 8.0]], "≈5.4 mm", "at the detector"),
        WidthLine([[21.0, 50.0], [26.0, 50.5]], "2.7 mm"),
    ),
    metal=[],
)
SYNTHETIC = frozenset({Flag.SYNTHETIC})
BUNDLE = Bundle(
    folder=Path("bundle"),
    name="open-knees",
    version="7.8",
    tasks=(
        TaskSpec(Task.KL, 1.0, Decoding.EXPECTED),
        TaskSpec(Task.FO_L, 1.0, Decoding.MOST_PROBABLE),
    ),
    input=InputSpec(
        size_px=64,
        field_of_view_plateau_widths=1.5,
        lateral_first=True,
        enhancement=None,
        clip_percentiles=(1.0, 99.0),
    ),
    members=(Path("member-0.onnx"), Path("member-1.onnx")),
    locator=LocatorSpec(
        film=Path("locator-film.onnx"),
        knee=Path("locator-knee.onnx"),
        film_size_px=64,
        knee_size_px=64,
        knee_field_of_view_plateau_widths=1.5,
        clip_percentiles=(1.0, 99.0),
        facts={"data": ["Points by others (2019)"]},
    ),
    average="probability",
    training={
        "data": [
            {
                "name": "Open knees",
                "licence": "CC BY 4.0",
                "attribution": "Someone (2018), https://example.org/knees",
                "readers": "one team",
            }
        ],
        "not_validated_on": ["knees with an implant"],
        "tasks_with_real_grades": ["kl"],
        "never_assessed": ["patellofemoral joint", "fracture"],
    },
    agreement={
        "task": {
            "kl": {
                "n_knees": 826,
                "n_subjects": 413,
                "subjects": "selected",
                "reported": {
                    "quadratic_kappa": {"estimate": 0.82, "low": 0.8, "high": 0.84},
                    "mae": {"estimate": 0.4, "low": None, "high": None},
                },
            }
        },
        "about": "the val part of the open set",
    },
    licence="CC BY 4.0",
    bundle_id="open-knees-7.8-0123456789ab",
    subjects=Subjects(),
)


class Page(HTMLParser):
    """The text of a page, its tags, its pictures and everything that it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.alts: list[str | None] = []
        self.paths: dict[str, str] = {}
        self.feed(html)
        without_style = re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)
        self.text = " ".join(unescape(without_style).split())
        self.html = html

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        for name in {"src", "href", "srcset", "action", "data", "poster"} & set(values):
            self.references.append(values[name] or "")
        if tag == "img":
            self.alts.append(values.get("alt"))
        if tag == "path":
            self.paths[values["class"] or ""] = values["d"] or ""


def graded(
    source: str = "a.png",
    side: Side = Side.RIGHT,
    flags: frozenset[Flag] = frozenset({Flag.VIEW_UNKNOWN}),
    truth: Grades | None = None,
    **changes: Any,
) -> ReportedKnee:
    prediction = KneePrediction(
        side=side,
        grades=Grades({Task.KL: 3, Task.FO_L: 1}),
        probabilities={
            Task.KL: np.array([0.0, 0.004, 0.126, 0.62, 0.25]),
            Task.FO_L: np.array([0.1, 0.7, 0.2, 0.0]),
        },
        bundle_id=BUNDLE.bundle_id,
        source_id="x",
        spread={Task.KL: 0.17, Task.FO_L: 0.05},
        flags=flags,
    )
    result = KneeResult.of_prediction(prediction, source, KneeKey(), make_joint())
    return ReportedKnee(replace(result, **changes), PNG, DRAWING, truth)


def refused(source: str = "a.png", truth: Grades | None = None, **changes: Any) -> ReportedKnee:
    error = KneeNotFoundError("knee.implant", "It holds <metal>.", "Leave it out.")
    result = make_refused(source, error, **{"side": Side.RIGHT} | changes)
    return ReportedKnee(result, PNG, replace(DRAWING, margins=[], widths=()), truth)


def failed(source: str = "broken.dcm") -> ReportedKnee:
    error = ImageError("image.truncated", "The file ends early.", "Copy it <again>.")
    return ReportedKnee(make_failed(source, error), None, None, None)


def render(
    folder: Path,
    knees: Sequence[ReportedKnee],
    bundle: Bundle = BUNDLE,
    attribution: str = "",
) -> Page:
    write_grade_report(
        folder / "report.html", knees, bundle, version="1.2.3", attribution=attribution
    )
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_knee_has_its_grades_and_the_page_its_frame(tmp_path: Path) -> None:
    page = render(tmp_path, [graded(), failed()])
    for expected in (
        "Research use only. Not a medical device.",
        "open-knees , version 7.8",
        "1 knee graded, 0 refused, 1 file failed",
        "a.png Right knee",
        "lateral medial",
        "KL 3 moderate osteoarthritis",
        "0 0 % 1 <1 % 2 13 % 3 62 % ◂ graded 4 25 %",
        "Expected grade 3.12 ± 0.17",
        "for Kellgren-Lawrence the expected grade, rounded",
        "Osteophytes, femur lateral † 1 1.10 ± 0.05",
        "Written by kneegrade 1.2.3",
    ):
        assert expected in page.text
    assert 'class="fill" width="62.0"' in page.html
    assert page.text.index("KL 3") < page.text.index("broken.dcm")
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in page.references


def test_text_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = replace(
        BUNDLE,
        name=EVIL,
        licence=EVIL,
        training={
            "data": [{"name": EVIL, "attribution": EVIL, "readers": EVIL}],
            "not_validated_on": [EVIL],
        },
        agreement={"task": {EVIL: {"subjects": EVIL}}, "about": EVIL},
    )
    knee = graded(source=EVIL, key=KneeKey(cohort=EVIL, subject_id=EVIL, reading=EVIL))
    drawing = replace(DRAWING, widths=(WidthLine([[0, 0], [1, 0]], EVIL),))
    knee = replace(knee, drawing=drawing)
    page = render(tmp_path, [knee, refused(EVIL), failed(EVIL)], evil, EVIL)
    assert "script" not in page.tags
    assert page.html.count("&lt;script&gt;") >= 17
    assert "It holds &lt;metal&gt;." in page.html
    assert "Copy it &lt;again&gt;." in page.html


def test_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    page = render(tmp_path, [graded(), failed()])
    assert "https://example.org/knees" in page.text
    assert len(page.references) >= 3
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.references)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    style = page.html[page.html.index("<style>") : page.html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("flag", list(Flag))
def test_every_flag_has_a_meaning_of_its_own(flag: Flag, tmp_path: Path) -> None:
    assert re.fullmatch(r"[A-Z][^\n]+\.", flag.meaning)
    assert [other for other in Flag if other.meaning == flag.meaning] == [flag]
    assert Flag(flag.value) is flag
    page = render(tmp_path, [graded(flags=frozenset({flag}))])
    assert f"{flag.value} {flag.meaning}" in page.text


def test_failed_rows_alone(tmp_path: Path) -> None:
    page = render(tmp_path, [failed("one.dcm"), failed("two.dcm")])
    assert "0 knees graded, 0 refused, 2 files failed" in page.text
    assert "one.dcm image.truncated The file ends early. Copy it <again>. two.dcm" in page.text
    assert "img" not in page.tags
    assert "article" not in page.tags


def test_left_knee_is_said_to_be_mirrored(tmp_path: Path) -> None:
    left, right = (render(tmp_path, [graded(side=side)]) for side in (Side.LEFT, Side.RIGHT))
    assert "Left knee, mirrored." in left.text
    assert left.alts == [
        "Radiograph of the left knee, mirrored, lateral side on the left; graded KL 3."
    ]
    assert "Left knee, mirrored." not in right.text
    assert right.alts == ["Radiograph of the right knee, lateral side on the left; graded KL 3."]


def test_what_a_synthetic_film_was_made_with_stands_beside_the_grade(tmp_path: Path) -> None:
    truth = Grades({Task.KL: 2, Task.FO_L: 1, Task.JSN_M: 3})
    differs = render(tmp_path, [graded(flags=SYNTHETIC, truth=truth)]).text
    assert "drawn with KL 2 ≠ differs" in differs
    assert "SYNTHETIC film." in differs
    assert "Expected Drawn with" in differs
    assert "Osteophytes, femur lateral † 1 1.10 ± 0.05 1 Joint" in differs
    assert "Joint space narrowing, medial – – 3" in differs
    assert "Reader:" not in differs
    same = render(
        tmp_path, [graded(flags=SYNTHETIC, truth=Grades({Task.KL: 3, Task.FO_L: 0}))]
    ).text
    assert "drawn with KL 3 moderate" in same
    assert "1.10 ± 0.05 0 ≠" in same


def test_a_known_grade_of_any_other_film_is_a_readers(tmp_path: Path) -> None:
    text = render(tmp_path, [graded(truth=Grades({Task.KL: 2, Task.FO_L: 1}))]).text
    assert "Reader: KL 2 ≠ differs" in text
    assert "Expected Reader" in text
    for word in ("drawn with", "synthetic", "drawn by a program"):
        assert word not in text.lower()
    nothing_read = render(tmp_path, [graded(truth=Grades())]).text
    for word in ("Reader:", "Expected Reader", "drawn with", "≠"):
        assert word not in nothing_read


def test_a_grade_where_there_is_nothing_to_grade_is_called_so(tmp_path: Path) -> None:
    text = render(tmp_path, [graded(flags=SYNTHETIC, truth=Grades())]).text
    assert "drawn with nothing to grade ≠ this grade means nothing" in text
    assert "SYNTHETIC film." in text


def test_synthetic_films_come_last_under_a_heading_of_their_own(tmp_path: Path) -> None:
    knees = [
        graded("drawn.dcm", flags=SYNTHETIC, truth=Grades({Task.KL: 2})),
        graded("real.jpg"),
        refused("drawn-too.dcm", flags=SYNTHETIC | {Flag.IMPLANT}),
    ]
    text = render(tmp_path, knees, attribution="By <someone>, CC BY 4.0").text
    order = ("Radiographs By <someone>, CC BY 4.0", "real.jpg", "Synthetic films", "drawn.dcm")
    places = [text.index(words) for words in (*order, "drawn-too.dcm")]
    assert places == sorted(places)
    assert "program" not in text[: text.index("Synthetic films")]
    assert text.count("By <someone>") == 1
    only = render(tmp_path, knees[:1], attribution="By us").text
    assert "Radiographs" not in only
    assert only.index("Synthetic films") < only.index("By us") < only.index("drawn.dcm")


def test_a_synthetic_film_without_known_grades_is_called_so_all_the_same(tmp_path: Path) -> None:
    text = render(tmp_path, [graded(flags=SYNTHETIC)]).text
    assert "SYNTHETIC film." in text
    assert "drawn with" not in text


def test_without_truth_nothing_is_said_of_it(tmp_path: Path) -> None:
    text = render(tmp_path, [graded()]).text.lower()
    for word in ("drawn with", "synthetic", "≠"):
        assert word not in text


def test_only_the_first_pictures_are_embedded(tmp_path: Path) -> None:
    knees = [failed(), *[graded(f"{n}.png") for n in range(EMBEDDED_PICTURES + 2)]]
    page = render(tmp_path, knees)
    assert page.tags.count("img") == EMBEDDED_PICTURES
    assert page.tags.count("article") == EMBEDDED_PICTURES + 2
    assert f"The images of the first {EMBEDDED_PICTURES} knees are embedded" in page.text
    assert page.text.count("Image not embedded.") == 2
    assert "are embedded" not in render(tmp_path, knees[: EMBEDDED_PICTURES + 1]).text


def test_end_tells_what_the_grades_rest_on(tmp_path: Path) -> None:
    text = render(tmp_path, [graded()]).text
    for expected in (
        "Patellofemoral joint, fracture.",
        "knees with an implant",
        "the val part of the open set",
        "Quadratic kappa 0.820 (0.800-0.840)",
        "MAE 0.400",
        "826 knees of 413 subjects. These subjects helped to choose or calibrate",
        "one reading team",
        "real radiographs: Kellgren-Lawrence.",
        "Learned without any reader’s grade (†): osteophytes, femur lateral.",
        "Open knees , licence: CC BY 4.0 Someone (2018), https://example.org/knees",
        "knees Readers: one team To find knees: Points by others (2019)",
        "definite osteophytes and possible narrowing of joint space",
    ):
        assert expected in text


def test_silent_manifest_and_sparse_result_are_read(tmp_path: Path) -> None:
    silent = replace(BUNDLE, training={}, agreement={}, licence="", members=BUNDLE.members[:1])
    silent = replace(silent, locator=replace(BUNDLE.locator, facts={}))
    sparse = make_result("b.png")
    page = render(tmp_path, [ReportedKnee(sparse, None, None, None)], silent)
    assert "b.png Right knee No image was kept. KL 2 minimal osteoarthritis" in page.text
    assert "Osteophytes, femur lateral" in page.text
    absent = ("nan", "None", "†", "±", "Trained on", "Never assessed", "agreement", "Millimetres:")
    for word in absent:
        assert word not in page.text


def test_measures_are_drawn_over_the_picture_at_the_centres_of_pixels(tmp_path: Path) -> None:
    page = render(tmp_path, [graded()])
    assert '<svg viewBox="-0.5 -0.5 64 64"' in page.html
    assert page.paths["margins"] == "M4.0 20.0L12.0 21.5M4.0 30.0L12.0 31.5"
    assert page.paths["landmarks"].startswith("M0.0 30.0h0M2.5 31.0h0")
    assert page.paths["landmarks"].count("M") == 16
    assert page.paths["widths"].startswith("M50.0 21.0L50.5 26.0M")
    assert re.findall(r"<text [^>]*>([^<]+)</text>", page.html) == [
        *("≈5.4 mm", "at the detector", "2.7 mm"),
    ]
    assert page.tags.count("input") == 1
    bare = render(tmp_path, [replace(graded(), drawing=None)])
    assert "input" not in bare.tags
    assert "landmarks" not in bare.paths


def test_joint_space_is_told_in_mm_and_shares_with_the_source_of_its_spacing(
    tmp_path: Path,
) -> None:
    text = render(tmp_path, [graded()]).text
    assert "Joint space Lateral Medial Smallest ≈5.4 mm (6.8 %) ≈2.7 mm (3.4 %)" in text
    assert "Fixed place ≈6.0 mm (7.5 %) ≈3.0 mm (3.8 %)" in text
    assert "Millimetres: at the detector, not calibrated" in text
    calibrated = render(tmp_path, [graded(joint=make_joint(SpacingSource.CALIBRATED))]).text
    assert "Smallest 5.4 mm (6.8 %) 2.7 mm (3.4 %)" in calibrated
    text = render(tmp_path, [graded(joint=make_joint(SpacingSource.UNKNOWN))]).text
    assert "Smallest 6.8 % 3.4 %" in text
    assert "the size of a pixel is not known" in text


def test_the_femorotibial_angle_is_told_where_it_was_measured(tmp_path: Path) -> None:
    text = render(tmp_path, [graded()]).text
    assert "Femorotibial angle 175.3°" in text
    assert "It is not the hip-knee-ankle angle" in text
    assert not re.search("valgus|varus", text)
    without = graded(joint=make_joint(fta_deg=None))
    assert "Femorotibial angle" not in render(tmp_path, [without]).text


def test_every_source_of_a_spacing_has_words(tmp_path: Path) -> None:
    for source in SpacingSource:
        assert "Millimetres: " in render(tmp_path, [graded(joint=make_joint(source))]).text


def test_a_refused_knee_has_its_picture_and_its_reason_and_no_grade(tmp_path: Path) -> None:
    page = render(tmp_path, [refused(), graded("b.png")])
    assert "1 knee graded, 1 refused, 0 failed" in page.text
    card = page.text[page.text.index("a.png Right knee") : page.text.index("b.png")]
    assert "Refused knee.implant It holds <metal>. Leave it out." in card
    assert Flag.IMPLANT.meaning in card
    for word in ("KL", "Expected", "Joint space", "failed"):
        assert word not in card
    assert page.alts[0] == "Radiograph of the right knee, lateral side on the left; refused."
    assert page.html.count('class="knee refused"') == 1


def test_metal_is_outlined_on_a_refused_knee(tmp_path: Path) -> None:
    assert "metal" not in render(tmp_path, [graded()]).paths
    plate = [[10.0, 5.0], [10.0, 9.0], [40.0, 9.0]]
    knee = refused()
    assert knee.drawing is not None
    page = render(tmp_path, [replace(knee, drawing=replace(knee.drawing, metal=[plate, plate]))])
    assert page.paths["metal"] == 2 * "M5.0 10.0L9.0 10.0L9.0 40.0Z"
    assert "Landmarks, metal dashed" in page.text
    unsure = replace(knee.drawing, metal=[plate], landmarks=[])
    text = render(tmp_path, [replace(knee, drawing=unsure)]).text
    assert "Metal dashed" in text
    assert "Landmarks" not in text


def test_a_refused_knee_that_was_made_with_nothing_to_grade_is_right(tmp_path: Path) -> None:
    knee = refused(truth=Grades(), flags=SYNTHETIC | {Flag.IMPLANT})
    text = render(tmp_path, [knee]).text
    assert "drawn with nothing to grade" in text
    assert "SYNTHETIC film." in text
    assert "≠" not in text


def test_two_knees_of_a_film_stand_under_one_name_right_first(tmp_path: Path) -> None:
    knees = [
        graded("both.dcm", Side.LEFT),
        refused("both.dcm"),
        graded("other.dcm", Side.LEFT),
    ]
    text = render(tmp_path, knees).text
    text = text[text.index("Radiographs both.dcm") : text.index("What these grades rest on")]
    order = [text.index(word) for word in ("both.dcm", "Right knee", "Left knee", "other.dcm")]
    assert order == sorted(order)
    assert (text.count("both.dcm"), text.count("Left knee")) == (1, 4)


def test_key_of_the_knee_table_names_the_knee(tmp_path: Path) -> None:
    key = KneeKey("oai", "9000099", 0, "bu")
    assert "a.png · oai · 9000099 · month 0 · bu" in render(tmp_path, [graded(key=key)]).text


def test_name_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    assert r"knee\udce9.png" in render(tmp_path, [graded("knee\udce9.png")]).text


def test_headings_do_not_skip_a_level(tmp_path: Path) -> None:
    levels = [
        int(tag[1])
        for tag in render(tmp_path, [graded(), failed()]).tags
        if re.fullmatch(r"h\d", tag)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        write_grade_report(tmp_path / "no" / "report.html", [graded()], BUNDLE, version="1")
    assert caught.value.code == "output.not-writable"
