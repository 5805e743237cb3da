from kneegrade.agreement_words import METRIC_LABELS, USE_LABELS, USE_SENTENCES, format_interval
from kneegrade.evaluation.metrics import CALIBRATION_METRICS, DETECTION_METRICS, GRADE_METRICS
from kneegrade.terms import SubjectUse


def test_every_measure_and_every_use_has_its_words() -> None:
    assert set(METRIC_LABELS) == {*GRADE_METRICS, *DETECTION_METRICS, *CALIBRATION_METRICS}
    assert set(USE_LABELS) == set(USE_SENTENCES) == set(SubjectUse)


def test_format_interval() -> None:
    assert format_interval(0.8123, 0.79, 0.834) == "0.812 (0.790-0.834)"
    assert format_interval(-0.1, -0.2, 0.05) == "-0.100 (-0.200 to 0.050)"
    assert format_interval(0.031, None, None) == "0.031"
    assert format_interval(None, None, None) == "not defined"
