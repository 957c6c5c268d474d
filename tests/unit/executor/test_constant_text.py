from typing import Any

import pytest

from executor.domain.constant_text import MAX_TEXT, ConstantTexts


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


GRAPH = {
    "text": node("PrimitiveString", value="cat"),
    "lines": node("PrimitiveStringMultiline", value="a\nb"),
    "number": node("PrimitiveInt", value=7),
    "joined": node("StringConcatenate", string_a=["text", 0], string_b="dog", delimiter="-"),
    "twice": node("StringConcatenate", string_a=["joined", 0], string_b=["joined", 0]),
    "circle": node("StringConcatenate", string_a=["circle", 0], string_b="x", delimiter=""),
    "half": node("StringConcatenate", string_a=["seen", 0], string_b="x", delimiter=""),
    "seen": node("Captioner", image=["1", 0]),
    "long": node("PrimitiveString", value="x" * (MAX_TEXT + 1)),
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (2026, "2026"),
        (True, None),
        (None, None),
        ({"__value__": "wrapped"}, "wrapped"),
        ({"__value__": ["text", 0]}, "cat"),
        ({"a": "b"}, None),
        (["text", 0], "cat"),
        (["text", 1], None),
        (["lines", 0], "a\nb"),
        (["number", 0], "7"),
        (["joined", 0], "cat-dog"),
        (["twice", 0], "cat-dogcat-dog"),
        (["circle", 0], None),
        (["half", 0], None),
        (["seen", 0], None),
        (["gone", 0], None),
        (["long", 0], None),
        ([], None),
    ],
)
def test_constant_text_is_evaluated_without_a_run(value: Any, text: str | None) -> None:
    assert ConstantTexts(GRAPH).evaluate(value) == text


def test_each_node_is_evaluated_once() -> None:
    graph = {"0": node("PrimitiveString", value="")} | {
        str(place): node("StringConcatenate", string_a=[str(place - 1), 0], string_b=[str(place - 1), 0])
        for place in range(1, 20)
    }
    texts = ConstantTexts(graph)
    assert texts.evaluate(["19", 0]) == ""  # 2**19 paths through the graph lead to this node
