import hashlib
from pathlib import Path

import pytest

from kneegrade.bundles.subjects import Subjects, hash_subject, read_subjects, write_subjects
from kneegrade.terms import SubjectUse

FIRST = Subjects(frozenset("ab"), frozenset("bc"))


def test_whom_a_network_was_trained_on_is_not_selected() -> None:
    assert FIRST.as_lists() == {"trained": ["a", "b"], "selected": ["c"]}
    both = FIRST | Subjects(frozenset("c"), frozenset("ad"))
    assert both.as_lists() == {"trained": ["a", "b", "c"], "selected": ["d"]}
    assert FIRST | Subjects() == FIRST


def test_written_and_read_back(tmp_path: Path) -> None:
    write_subjects(FIRST, tmp_path)
    assert read_subjects(tmp_path) == FIRST
    (tmp_path / "subjects.json").write_text('{"trained": []}', encoding="utf-8")
    with pytest.raises(KeyError):
        read_subjects(tmp_path)


def test_what_a_subject_was_used_for() -> None:
    subjects = Subjects(
        frozenset({hash_subject("oai", "1")}), frozenset({hash_subject("oai", "2")})
    )
    assert subjects.use_of("oai", "1") is SubjectUse.TRAINED
    assert subjects.use_of("oai", "2") is SubjectUse.SELECTED
    assert subjects.use_of("oai", "3") is SubjectUse.UNSEEN
    assert subjects.use_of("most", "1") is SubjectUse.UNSEEN


def test_ids_are_hashed_with_their_cohort() -> None:
    assert hash_subject("oai", "9000099") == hashlib.sha256(b"oai:9000099").hexdigest()[:16]
