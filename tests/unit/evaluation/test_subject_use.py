from dataclasses import dataclass

import pandas as pd
import pytest

from kneegrade.errors import TableError
from kneegrade.evaluation.subject_use import add_subject_use, choose_subject_use, find_bundle_ids
from kneegrade.terms import SubjectUse


@dataclass
class FakeBundle:
    bundle_id: str
    use: SubjectUse = SubjectUse.TRAINED

    def use_of_subject(self, cohort: str, subject_id: str) -> SubjectUse:
        return self.use


def table(*bundle_ids: str | None) -> pd.DataFrame:
    return pd.DataFrame({"bundle_id": pd.array(bundle_ids, dtype="string")})


def test_the_embedded_bundle_is_asked_about_its_own_predictions() -> None:
    use = choose_subject_use(table("b1", None, "b1"), None, FakeBundle("b1"))
    assert use is not None
    assert use("oai", "1") == "trained"


@pytest.mark.parametrize("ids", [("b2",), (None,), ()])
def test_nobody_can_tell(ids: tuple[str | None, ...]) -> None:
    assert choose_subject_use(table(*ids), None, FakeBundle("b1")) is None


def test_nobody_can_tell_without_bundle_ids() -> None:
    assert choose_subject_use(pd.DataFrame({"kl": [1]}), None, None) is None
    assert find_bundle_ids(pd.DataFrame({"kl": [1]})) == []


def test_out_of_fold_predictions_are_selected() -> None:
    use = choose_subject_use(table("run:efficient"), None, FakeBundle("b1"))
    assert use is not None
    assert use("oai", "1") == "selected"


def test_the_bundle_that_the_user_names_is_asked() -> None:
    for ids in (("b2",), (None,)):
        use = choose_subject_use(table(*ids), FakeBundle("b2", SubjectUse.UNSEEN), FakeBundle("b1"))
        assert use is not None
        assert use("oai", "1") == "unseen"


@pytest.mark.parametrize(("ids", "asked"), [(("b1", "b2"), None), (("b1",), FakeBundle("b2"))])
def test_other_bundles_predictions_are_refused(
    ids: tuple[str, ...], asked: FakeBundle | None
) -> None:
    with pytest.raises(TableError) as caught:
        choose_subject_use(table(*ids), asked, FakeBundle("b1"))
    assert caught.value.code == "table.value-invalid"


def test_each_subject_is_asked_once_with_its_cohort() -> None:
    joined = pd.DataFrame(
        {"cohort": ["oai", "oai", "most", None], "subject_id": ["1", "1", "1", None]}
    )
    asked: list[tuple[str, str]] = []

    def use(cohort: str, subject_id: str) -> SubjectUse:
        asked.append((cohort, subject_id))
        return SubjectUse.TRAINED if cohort == "oai" else SubjectUse.UNSEEN

    result = add_subject_use(joined, use)
    assert result["use"].tolist() == ["trained", "trained", "unseen", "unknown"]
    assert sorted(asked) == [("most", "1"), ("oai", "1")]
    assert add_subject_use(joined, None)["use"].tolist() == ["unknown"] * 4
