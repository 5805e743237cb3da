import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kneegrade
from kneegrade.errors import (
    CODES,
    ImageError,
    InternalError,
    KneegradeError,
    MissingExtraError,
    TableError,
)

SOURCE = Path(kneegrade.__file__).parent


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    error = ImageError("image.empty", "No bytes.", "Copy it again.")
    assert str(error) == "No bytes. Copy it again. [image.empty]"
    assert isinstance(error, KneegradeError)


def test_a_code_that_is_not_documented() -> None:
    with pytest.raises(ValueError, match="not documented"):
        KneegradeError("image.odd", "It is odd.", "Look at it.")


@pytest.mark.parametrize(
    "error",
    [
        ImageError("image.empty", "No bytes.", "Copy it again."),
        MissingExtraError.for_extra("study", "Writing Parquet"),
        InternalError.of(ValueError("Doe^Jane")),
    ],
)
def test_an_error_survives_the_way_back_from_a_worker(error: KneegradeError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (back.code, back.message, back.hint) == (error.code, error.message, error.hint)


def test_a_bug_is_told_without_the_exceptions_words() -> None:
    try:
        int("Doe^Jane")
    except ValueError as caught:
        error = InternalError.of(caught)
    assert error.code == "internal.error"
    assert f"ValueError in {Path(__file__).name}, line " in error.message
    assert 'int("Doe^Jane")' in error.trace, "our own line"
    back = pickle.loads(pickle.dumps(error))
    assert (back.trace, str(back)) == (error.trace, str(error))
    assert "Doe" not in str(error)


def test_a_missing_extra_says_how_to_install_it() -> None:
    assert 'pip install "kneegrade[train]"' in str(MissingExtraError.for_extra("train", "Training"))


def test_an_error_can_be_placed() -> None:
    placed = TableError("table.empty", "No rows.", "Add some.").within("Index a.csv")
    assert (type(placed), placed.code) == (TableError, "table.empty")
    assert str(placed) == "Index a.csv: No rows. Add some. [table.empty]"


def test_codes_have_one_form() -> None:
    for code, meaning in CODES.items():
        assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", code)
        assert meaning.endswith(".")
        assert "\n" not in meaning


def errors_raised() -> Iterator[tuple[str, str | None]]:
    """(place, code or None where it is no literal) of every error that the package makes."""
    makers = {cls.__name__ for cls in (KneegradeError, *KneegradeError.__subclasses__())}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in makers or (path.name == "errors.py" and node.func.id == "cls"):
                code = node.args[0] if node.args else None
                literal = isinstance(code, ast.Constant) and isinstance(code.value, str)
                where = f"{path.relative_to(SOURCE)}:{node.lineno}"
                yield where, str(code.value) if literal else None  # type: ignore[union-attr]


def test_codes_are_written_where_they_are_raised() -> None:
    assert [place for place, code in errors_raised() if code is None] == []


def test_every_code_raised_is_documented() -> None:
    assert [(place, code) for place, code in errors_raised() if code not in CODES] == []


def test_every_documented_code_is_raised() -> None:
    assert sorted(set(CODES) - {code for _, code in errors_raised()}) == []
