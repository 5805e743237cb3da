"""Which subjects made the network: agreement on knees that it has seen is not evidence.

A network grades the knees it was trained on better than any other, so their agreement is not
reported at all; knees that only chose or calibrated it are reported and labelled so.
"""

from collections.abc import Callable

import pandas as pd

from kneegrade.bundles.manifest import Bundle
from kneegrade.errors import TableError
from kneegrade.terms import SubjectUse

UseOfSubject = Callable[[str, str], SubjectUse]
"""Takes a cohort and a subject's id."""


def choose_subject_use(
    predictions: pd.DataFrame, asked: Bundle | None, embedded: Bundle | None
) -> UseOfSubject | None:
    """Find who can tell which subjects the network was made with.

    Parameters
    ----------
    predictions : DataFrame
        A prediction table.
    asked : Bundle or None
        The bundle that the user named.
    embedded : Bundle or None
        The bundle that comes with kneegrade; it is asked about its own predictions only.

    Returns
    -------
    callable or None
        None where nobody can tell. Out-of-fold predictions of a training run (``run:...``) are
        ``selected`` throughout.

    Raises
    ------
    TableError
        ``table.value-invalid`` if the table mixes bundles, or ``asked`` did not make it.
    """
    ids = find_bundle_ids(predictions)
    if len(ids) > 1:
        raise TableError(
            "table.value-invalid",
            f"All predictions must come from one bundle. Got {len(ids)} different bundle_id.",
            "Evaluate the predictions of each bundle separately.",
        )
    if asked is not None:
        if ids and ids[0] != asked.bundle_id:
            raise TableError(
                "table.value-invalid",
                f"The predictions must come from the given bundle {asked.bundle_id}. Got {ids[0]}.",
                "Name the bundle that made the predictions, or leave --bundle out.",
            )
        return asked.use_of_subject
    if ids and ids[0].startswith("run:"):
        return lambda cohort, subject_id: SubjectUse.SELECTED
    if ids and embedded is not None and ids[0] == embedded.bundle_id:
        return embedded.use_of_subject
    return None


def find_bundle_ids(predictions: pd.DataFrame) -> list[str]:
    """List the different ``bundle_id`` of a prediction table, sorted."""
    if "bundle_id" not in predictions.columns:
        return []
    return sorted(predictions["bundle_id"].dropna().astype(str).unique())


def add_subject_use(joined: pd.DataFrame, use_of_subject: UseOfSubject | None) -> pd.DataFrame:
    """Add the column ``use``: what the network's making used each knee's subject for.

    Parameters
    ----------
    joined : DataFrame
        From `join_truth`.
    use_of_subject : callable or None
        None where nobody can tell: every knee is ``unknown``.
    """
    if use_of_subject is None:
        return joined.assign(use=SubjectUse.UNKNOWN.value)
    pairs = joined[["cohort", "subject_id"]].drop_duplicates().dropna()
    uses = [
        use_of_subject(str(cohort), str(subject)).value
        for cohort, subject in pairs.itertuples(index=False)
    ]
    with_use = joined.merge(pairs.assign(use=uses), on=["cohort", "subject_id"], how="left")
    return with_use.assign(use=with_use["use"].fillna(SubjectUse.UNKNOWN.value))
