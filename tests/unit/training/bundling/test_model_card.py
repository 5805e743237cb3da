"""The card that ships is what its bundle says; notes stand where they belong."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kneegrade.bundles.manifest import DEFAULT_FOLDER, read_bundle
from kneegrade.training.bundling.model_card import write_model_card

if not (DEFAULT_FOLDER / "bundle.json").is_file():
    pytest.skip("the embedded bundle is not there yet", allow_module_level=True)


def card_of(folder: Path, notes: str) -> list[str]:
    """Lines of the embedded bundle's card, written anew."""
    parity = json.loads((DEFAULT_FOLDER / "bundle.json").read_bytes())["parity"]
    bundle = replace(read_bundle("default"), folder=folder)
    write_model_card(bundle, parity["largest_probability_difference"], notes)
    return (folder / "MODEL_CARD.md").read_text(encoding="utf-8").splitlines()


def place_of(lines: Sequence[str], start: str) -> int:
    (place,) = (number for number, line in enumerate(lines) if line.startswith(start))
    return place


def test_the_card_that_ships_is_remade_by_its_bundle(tmp_path: Path) -> None:
    shipped = (DEFAULT_FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8").splitlines()
    table_end = place_of(shipped, "| kl | probabilities | Brier score") + 1
    limits = place_of(shipped, "## Not validated on")
    further = place_of(shipped, "## Further measurements")
    notes = [*shipped[table_end:limits], *shipped[further:]]
    assert card_of(tmp_path, "\n".join(notes)) == shipped


def test_notes_before_a_heading_stand_beside_the_agreement(tmp_path: Path) -> None:
    lines = card_of(tmp_path, "Read this with it.\n\n## More\n\nAnd that.\n\n## Most\n\nAll.\n")
    assert place_of(lines, "Read this") < place_of(lines, "## Not validated on")
    assert lines[-7:] == ["## More", "", "And that.", "", "## Most", "", "All."]
    assert card_of(tmp_path, "## More\n\nAnd that.\n")[-3:] == ["## More", "", "And that."]
    assert "Read this with it." not in card_of(tmp_path, "")


def test_the_card_says_whose_terms_stay(tmp_path: Path) -> None:
    text = " ".join(card_of(tmp_path, ""))
    for words in ("our own rights", "has not confirmed", "arXiv:1907.12237", "PMC3653624"):
        assert words in text
