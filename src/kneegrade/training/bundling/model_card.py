"""MODEL_CARD.md: what a person must know before using a bundle."""

from collections.abc import Iterator
from typing import Any

from kneegrade.agreement_words import METRIC_LABELS, format_interval
from kneegrade.bundles.manifest import Bundle
from kneegrade.output import write_whole
from kneegrade.training.grader.networks import PRETRAINED


def write_model_card(bundle: Bundle, parity: float, notes: str) -> None:
    """Write ``MODEL_CARD.md`` into the bundle's folder.

    Parameters
    ----------
    bundle : Bundle
    parity : float
        Largest difference of a probability between the trained and the exported networks.
    notes : str
        Markdown with further measurements, or nothing. Text before its first heading goes right
        below the measured agreement, the rest at the end.
    """
    beside, heading, further = f"\n{notes}".partition("\n## ")
    parts = [
        *_head(bundle),
        *_data(bundle),
        *_agreement(bundle.agreement),
        *([f"\n{beside.strip()}"] if beside.strip() else []),
        *_limits(bundle),
        *_input(bundle, parity),
        *_locator(bundle),
        f"{heading}{further}".strip(),
    ]
    write_whole(bundle.folder / "MODEL_CARD.md", "\n".join(parts).strip() + "\n")


def _head(bundle: Bundle) -> Iterator[str]:
    training = bundle.training
    yield f"# Model card: {bundle.name} {bundle.version}\n"
    yield "**Research use only. Not a medical device.**\n"
    yield f"- Network: {training['network']} x {len(bundle.members)}, {training['start']} weights"
    for spec in bundle.tasks:
        yield f"- Grades: {spec.task.label} (`{spec.task.value}`), reported: {spec.decoding.value}"
    yield f"- Weights' licence: {bundle.licence}"
    yield (
        f"- Trained by `kneegrade train {bundle.name}`; recipe.toml, run-*.json and log-*.csv are "
        "beside this card"
    )


def _data(bundle: Bundle) -> Iterator[str]:
    yield "\n## Training data\n"
    for knees in bundle.training["knees_per_run"]:
        yield f"Trained on {knees['trained']} knees; {knees['selected']} held out.\n"
    for card in bundle.training["data"]:
        yield f"- {card['name']}"
        yield f"- Licence: {card['licence']}"
        yield f"- Attribution: {card['attribution']}"
        yield f"- Readers: {card['readers']}"
    real = ", ".join(bundle.training["tasks_with_real_grades"])
    yield f"- Tasks that saw real grades: {real}"
    if bundle.training["start"] == "ImageNet":
        start = PRETRAINED[bundle.training["network"]]
        yield f"- Start: {start.origin}, {start.licence}; {start.terms}"
    yield (
        "\nsubjects.json lists the hashed ids of every subject that was trained on, or held out "
        "and so used to select and calibrate."
    )


def _agreement(agreement: dict[str, Any]) -> Iterator[str]:
    yield "\n## Measured agreement\n"
    yield (
        f"On {agreement['about']}; 95 % intervals by bootstrap over subjects, "
        f"{agreement['bootstrap']['rounds']} rounds. It is agreement with one reading team.\n"
    )
    for task, figures in agreement["task"].items():
        yield f"`{task}`: {figures['n_knees']} knees of {figures['n_subjects']} subjects."
    yield "\n| task | decoding | measure | value (95 % interval) |"
    yield "|---|---|---|---|"
    for task, figures in agreement["task"].items():
        for decoding, metrics in figures.items():
            if not isinstance(metrics, dict):
                continue
            for metric, figure in metrics.items():
                value = format_interval(**figure)
                yield f"| {task} | {decoding} | {METRIC_LABELS[metric]} | {value} |"


def _limits(bundle: Bundle) -> Iterator[str]:
    yield "\n## Not validated on\n"
    yield from (f"- {item}" for item in bundle.training["not_validated_on"])
    yield "\n## Never assessed\n"
    yield from (f"- {item}" for item in bundle.training["never_assessed"])


def _input(bundle: Bundle, parity: float) -> Iterator[str]:
    look = bundle.input
    yield "\n## Input\n"
    yield (
        f"One knee, lateral at the {'first' if look.lateral_first else 'last'} column, "
        f"{look.size_px} x {look.size_px} px, about {look.field_of_view_plateau_widths} widths of "
        "the tibial plateau across."
    )
    if look.enhancement is not None:
        yield (
            f"A plain picture is enhanced by CLAHE ({look.enhancement.tiles} x "
            f"{look.enhancement.tiles} tiles, clip limit up to {look.enhancement.clip_limit}) "
            f"until its local contrast is {look.enhancement.local_contrast} grey levels; an "
            "enhanced one is left alone."
        )
    yield f"The probabilities are the mean over {len(look.poses)} poses (scale and rotation)."
    yield (
        f"\nThe ONNX files give the trained networks' probabilities to within {parity:.1e} "
        "on 100 knees.\n"
    )


def _locator(bundle: Bundle) -> Iterator[str]:
    facts = bundle.locator.facts
    knees = facts["knees"]
    yield "## Locator\n"
    yield (
        "Two networks find the knees and their landmarks: one on the whole film (trained on "
        f"{knees['film']['trained']} pictures, {knees['film']['selected']} held out), one on each "
        f"knee ({knees['knee']['trained']}, {knees['knee']['selected']}), which also tells metal "
        "and what is no knee; for that it was shown metal and other things drawn by a program."
    )
    yield from (f"- {item}" for item in facts["data"])
    yield ""
