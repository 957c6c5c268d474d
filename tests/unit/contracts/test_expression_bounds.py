"""Interval arithmetic for expressions of ``ComfyMathExpression``."""

import pytest

from contracts.graph_size.expression import MAX_CHARACTERS, UNKNOWN, Interval, bound_expression

NAMES: dict[str, Interval] = {"a": (1, 4), "b": (-2, 3), "u": UNKNOWN}


@pytest.mark.parametrize(
    ("expression", "bounds"),
    [
        ("a * 16 + 1", (17, 65)),
        ("a - b", (-2, 6)),
        ("a * b", (-8, 12)),
        ("-a", (-4, -1)),
        ("b / a", (-2, 3)),
        ("7 // a", (1, 7)),
        ("b % a", (0, 4)),
        ("a if b else 9", (1, 9)),
        ("max(a, b, 2)", (2, 4)),
        ("min(a, 2)", (1, 2)),
        ("abs(b)", (0, 3)),
        ("floor(a / 3)", (0, 1)),
        ("ceil(a / 3)", (0, 2)),
        ("round(a * 0.4)", (0, 2)),
    ],
)
def test_bounds_of_an_expression_are_the_extremes_of_its_values(expression: str, bounds: Interval) -> None:
    assert bound_expression(expression, NAMES) == pytest.approx(bounds)


@pytest.mark.parametrize(
    "expression",
    [
        "u + 1",
        "a / b",
        "a % b",
        "a ** 2",
        "max(a)",
        "round(a, 1)",
        "a +",
        "missing",
        "9" * 400,
        "1 + " * MAX_CHARACTERS,
    ],
)
def test_expression_that_cannot_be_bounded_is_unknown(expression: str) -> None:
    assert bound_expression(expression, NAMES) == UNKNOWN
