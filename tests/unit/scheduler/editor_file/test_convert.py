"""Files of ComfyUI's editor are converted to the graph that the editor would send, or refused with the reason."""

import copy
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from scheduler.domain.editor_file.convert import convert_editor_file
from scheduler.domain.editor_file.parse import MAX_WIDGET_LIST
from scheduler.domain.editor_file.prompt_texts import resolve_dynamic_prompt
from tests.kit.catalogs import build_catalog

NOW = datetime(2026, 3, 7, 4, 5, 9)  # noqa: DTZ001 - the time zone does not matter here
SUBGRAPH = "0a1b2c3d-0000-4000-8000-000000000001"


def described(required: dict[str, Any], output: list[str], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "input": {"required": required, "optional": optional or {}},
        "output": output,
        "output_node": not output,
        "python_module": "nodes",
    }


CATALOG = build_catalog({
    "Loader": described({"name": [["a.safetensors", "b.safetensors"], {}]}, ["MODEL", "CLIP", "VAE"]),
    "Text": described({"text": ["STRING", {"dynamicPrompts": True}], "clip": ["CLIP", {}]}, ["CONDITIONING"]),
    "Sampler": described(
        {
            "model": ["MODEL", {}],
            "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": ["INT", {"default": 20}],
            "cfg": ["FLOAT", {"default": 8.0}],
            "sampler_name": [["euler", "heun"], {}],
            "latent": ["LATENT", {}],
        },
        ["LATENT"],
        {"denoise": ["FLOAT", {"default": 1.0}]},
    ),
    "Latent": described({"width": ["INT", {"default": 512}], "batch": ["INT", {"default": 1}]}, ["LATENT"]),
    "Invert": described({"image": ["IMAGE", {}]}, ["IMAGE"]),
    "Mix": described({"amount": ["FLOAT", {}], "first": ["IMAGE", {}], "second": ["IMAGE", {}]}, ["IMAGE"]),
    "Decode": described({"samples": ["LATENT", {}], "vae": ["VAE", {}]}, ["IMAGE"]),
    "LoadImage": described({"image": [["x.png"], {"image_upload": True}]}, ["IMAGE", "MASK"]),
    "SaveImage": described({"images": ["IMAGE", {}], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}, []),
    "Forced": described(
        {"text": ["STRING", {"forceInput": True}], "count": ["INT", {"default": 1}]}, ["STRING"]
    ),
    "Curved": described({"curve": ["CURVE", {}]}, ["IMAGE"]),
    "Resize": described(
        {
            "input": ["IMAGE", {}],
            "kind": [
                "COMFY_DYNAMICCOMBO_V3",
                {
                    "options": [
                        {"key": "by", "inputs": {"required": {"factor": ["FLOAT", {"default": 1.0}]}}},
                        {"key": "to", "inputs": {"required": {"w": ["INT", {}], "h": ["INT", {}]}}},
                    ]
                },
            ],
            "method": [["area", "nearest"], {}],
        },
        ["IMAGE"],
    ),
})  # fmt: skip


def a_node(
    node_id: Any,
    kind: str,
    values: Any = None,
    *,
    inputs: dict[str, tuple[str, Any]] | None = None,
    outputs: tuple[str, ...] = (),
    mode: int = 0,
    **more: Any,
) -> dict[str, Any]:
    """Build a node as the editor saves it. ``inputs``: type and link by name."""
    slots = [{"name": name, "type": type_, "link": link} for name, (type_, link) in (inputs or {}).items()]
    node = {"id": node_id, "type": kind, "mode": mode, "inputs": slots, "outputs": [{"type": one} for one in outputs]}
    return node | ({"widgets_values": values} if values is not None else {}) | more


def a_file(nodes: list[dict[str, Any]], links: list[Any], **more: Any) -> dict[str, Any]:
    return {"nodes": nodes, "links": links, "version": 0.4, **more}


def a_save(link: Any) -> dict[str, Any]:
    return a_node(9, "SaveImage", ["out"], inputs={"images": ("IMAGE", link)})


def converted(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert a file and return class and inputs of every node."""
    found = convert_editor_file(raw, CATALOG, draw_number=lambda _: 0, now=NOW)
    assert not found.faults, [fault.reason for fault in found.faults]
    return {node_id: (node.class_type, node.inputs) for node_id, node in found.graph.items()}


def whys(raw: dict[str, Any]) -> list[tuple[str | None, str]]:
    return [
        (fault.node_id, fault.reason)
        for fault in convert_editor_file(raw, CATALOG, draw_number=lambda _: 0, now=NOW).faults
    ]


def test_widget_values_follow_the_order_of_the_class_and_skip_the_seed_control() -> None:
    sampler = a_node(
        3, "Sampler", [7, "randomize", 4, 1.5, "heun", 0.5], inputs={"model": ("MODEL", 1), "latent": ("LATENT", 2)}
    )
    loader = a_node(1, "Loader", ["b.safetensors"], outputs=("MODEL", "CLIP", "VAE"))
    latent = a_node(2, "Latent", [64, 1], outputs=("LATENT",))
    links = [[1, 1, 0, 3, 0, "MODEL"], [2, 2, 0, 3, 5, "LATENT"]]
    assert converted(a_file([sampler, loader, latent], links)) == {
        "3": (
            "Sampler",
            {
                "seed": 7, "steps": 4, "cfg": 1.5, "sampler_name": "heun", "denoise": 0.5,
                "model": ["1", 0], "latent": ["2", 0],
            },
        ),
        "1": ("Loader", {"name": "b.safetensors"}),
        "2": ("Latent", {"width": 64, "batch": 1}),
    }  # fmt: skip


def test_missing_widget_values_are_the_defaults_of_the_class() -> None:
    assert converted(a_file([a_node(2, "Latent", [64])], []))["2"] == ("Latent", {"width": 64, "batch": 1})


def test_named_widget_values_are_assigned_by_name() -> None:
    assert converted(a_file([a_node(2, "Latent", {"batch": 3, "preview": {}})], []))["2"][1] == {
        "width": 512,
        "batch": 3,
    }


def test_link_to_a_widget_replaces_its_value() -> None:
    sized = a_node(2, "Latent", [64, 1], inputs={"width": ("INT", 1)})
    count = a_node(1, "Forced", [2], inputs={"text": ("STRING", None)}, outputs=("STRING",))
    assert converted(a_file([sized, count], [[1, 1, 0, 2, 0, "INT"]]))["2"][1] == {"width": ["1", 0], "batch": 1}


def test_value_of_an_input_that_can_only_be_linked_now_is_dropped() -> None:
    assert converted(a_file([a_node(1, "Forced", ["old text", 3])], []))["1"][1] == {"count": 3}
    assert converted(a_file([a_node(1, "Forced", [3])], []))["1"][1] == {"count": 3}


def test_values_of_upload_buttons_are_ignored() -> None:
    assert converted(a_file([a_node(1, "LoadImage", ["x.png", "image"])], []))["1"][1] == {"image": "x.png"}


def test_values_of_a_dynamic_combo_follow_its_option() -> None:
    one = a_node(1, "Resize", ["to", 8, 16, "nearest"], inputs={"input": ("IMAGE", None)})
    assert converted(a_file([one], []))["1"][1] == {"kind": "to", "kind.w": 8, "kind.h": 16, "method": "nearest"}


def test_titles_are_kept_and_notes_are_left_out() -> None:
    found = convert_editor_file(
        a_file([a_node(2, "Latent", [64, 1], title="Mine"), a_node(5, "Note", ["hello"])], []),
        CATALOG,
        draw_number=lambda _: 0,
        now=NOW,
    )
    assert {node_id: node.meta for node_id, node in found.graph.items()} == {"2": {"title": "Mine"}}


def test_links_are_followed_through_reroutes() -> None:
    nodes = [
        a_node(1, "LoadImage", ["x.png", "image"], outputs=("IMAGE", "MASK")),
        a_node(2, "Reroute", inputs={"": ("*", 1)}, outputs=("IMAGE",)),
        a_node(3, "Reroute", inputs={"": ("*", 2)}, outputs=("IMAGE",)),
        a_save(3),
    ]
    links = [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 9, 0, "IMAGE"]]
    assert converted(a_file(nodes, links)) == {
        "1": ("LoadImage", {"image": "x.png"}),
        "9": ("SaveImage", {"images": ["1", 0], "filename_prefix": "out"}),
    }


def test_value_of_a_primitive_node_is_assigned_to_its_linked_widgets() -> None:
    nodes = [
        a_node(1, "PrimitiveNode", [128, "fixed"], outputs=("INT",)),
        a_node(2, "Latent", [64, 1], inputs={"width": ("INT", 1), "batch": ("INT", None)}),
    ]
    assert converted(a_file(nodes, [[1, 1, 0, 2, 0, "INT"]])) == {"2": ("Latent", {"width": 128, "batch": 1})}


def test_muted_node_and_its_outgoing_links_are_left_out() -> None:
    nodes = [a_node(1, "LoadImage", ["x.png"], outputs=("IMAGE", "MASK"), mode=2), a_save(1)]
    assert converted(a_file(nodes, [[1, 1, 0, 9, 0, "IMAGE"]])) == {"9": ("SaveImage", {"filename_prefix": "out"})}


def test_bypassed_node_passes_on_the_input_of_the_same_type() -> None:
    nodes = [
        a_node(1, "LoadImage", ["x.png"], outputs=("IMAGE", "MASK")),
        a_node(2, "Invert", inputs={"mask": ("MASK", None), "image": ("IMAGE", 1)}, outputs=("IMAGE",), mode=4),
        a_save(2),
    ]
    found = converted(a_file(nodes, [[1, 1, 0, 2, 1, "IMAGE"], [2, 2, 0, 9, 0, "IMAGE"]]))
    assert found["9"][1]["images"] == ["1", 0]
    assert set(found) == {"1", "9"}


def test_bypassed_node_of_an_older_file_uses_the_input_order_of_its_class() -> None:
    nodes = [
        a_node(1, "LoadImage", ["x.png"], outputs=("IMAGE", "MASK")),
        a_node(2, "LoadImage", ["y.png"], outputs=("IMAGE", "MASK")),
        a_node(3, "Mix", [1.0], inputs={"second": ("IMAGE", 2), "first": ("IMAGE", 1)}, outputs=("IMAGE",), mode=4),
        a_save(3),
    ]
    links = [[1, 1, 0, 3, 1, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 9, 0, "IMAGE"]]
    assert converted(a_file(nodes, links))["9"][1]["images"] == ["1", 0]


def test_bypassed_node_without_an_input_of_the_type_passes_nothing_on() -> None:
    nodes = [
        a_node(1, "Latent", [64, 1], outputs=("LATENT",)),
        a_node(2, "Decode", inputs={"samples": ("LATENT", 1), "vae": ("VAE", None)}, outputs=("IMAGE",), mode=4),
        a_save(2),
    ]
    found = converted(a_file(nodes, [[1, 1, 0, 2, 0, "LATENT"], [2, 2, 0, 9, 0, "IMAGE"]]))
    assert "images" not in found["9"][1]


def a_subgraph(*, linked: bool = False, **host: Any) -> dict[str, Any]:
    """Build a file with a subgraph that inverts its image and makes a latent with the width of its input."""
    definition = {
        "id": SUBGRAPH,
        "name": "Mine",
        "inputs": [
            {"id": "a", "name": "picture", "type": "IMAGE", "linkIds": [11]},
            {"id": "b", "name": "wide", "type": "INT", "linkIds": [13]},
        ],
        "outputs": [{"id": "c", "name": "IMAGE", "type": "IMAGE", "linkIds": [12]}],
        "nodes": [
            a_node(1, "Invert", inputs={"image": ("IMAGE", 11)}, outputs=("IMAGE",)),
            a_node(2, "Latent", [64, 1], inputs={"width": ("INT", 13)}, outputs=("LATENT",)),
        ],
        "links": [
            {"id": 11, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "IMAGE"},
            {"id": 12, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
            {"id": 13, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 0, "type": "INT"},
        ],
    }
    wide = 3 if linked else None
    nodes = [
        a_node(4, "LoadImage", ["x.png"], outputs=("IMAGE", "MASK")),
        a_node(6, "Forced", [1], outputs=("STRING",)),
        a_node(5, SUBGRAPH, inputs={"picture": ("IMAGE", 1), "wide": ("INT", wide)}, outputs=("IMAGE",), **host),
        a_save(2),
    ]
    links = [[1, 4, 0, 5, 0, "IMAGE"], [2, 5, 0, 9, 0, "IMAGE"], [3, 6, 0, 5, 1, "INT"]]
    return a_file(nodes, links, definitions={"subgraphs": [definition]})


def test_subgraph_is_flattened_under_the_id_of_its_node() -> None:
    found = converted(a_subgraph(widgets_values=[96]))
    assert found["5:1"] == ("Invert", {"image": ["4", 0]})
    assert found["5:2"] == ("Latent", {"width": 96, "batch": 1})
    assert found["9"][1]["images"] == ["5:1", 0]
    assert "5" not in found


def test_subgraph_widget_without_a_value_keeps_the_inner_value() -> None:
    assert converted(a_subgraph())["5:2"][1] == {"width": 64, "batch": 1}


def test_link_into_a_subgraph_replaces_the_inner_value() -> None:
    assert converted(a_subgraph(linked=True, widgets_values=[96]))["5:2"][1] == {"width": ["6", 0], "batch": 1}


def test_promoted_widgets_of_an_older_file_set_the_inner_values() -> None:
    properties = {"proxyWidgets": [["2", "batch"], ["2", "width"], ["1", "$$preview"]]}
    found = converted(a_subgraph(widgets_values=[7, 48, None], properties=properties))
    assert found["5:2"][1] == {"width": 48, "batch": 7}


def test_promoted_widgets_may_be_a_text_of_bounded_length() -> None:
    listed = json.dumps([["2", "batch"], ["2", "width"]])
    found = converted(a_subgraph(widgets_values=[7, 48], properties={"proxyWidgets": listed}))
    assert found["5:2"][1] == {"width": 48, "batch": 7}
    padded = listed.ljust(MAX_WIDGET_LIST + 1)
    raw = a_subgraph(widgets_values=[7, 48], properties={"proxyWidgets": padded})
    assert whys(raw) == [(None, f"The widgets of a subgraph are a text of more than {MAX_WIDGET_LIST} characters.")]


@pytest.mark.parametrize("mode", [2, 4])
def test_nodes_of_a_muted_or_bypassed_subgraph_are_left_out(mode: int) -> None:
    found = converted(a_subgraph(mode=mode))
    assert set(found) == {"4", "6", "9"}
    assert found["9"][1].get("images") == (None if mode == 2 else ["4", 0])


def test_nested_subgraphs_are_flattened() -> None:
    raw = a_subgraph(widgets_values=[96])
    outer = "0a1b2c3d-0000-4000-8000-000000000002"
    (inner,) = raw["definitions"]["subgraphs"]
    raw["definitions"]["subgraphs"].append({
        "id": outer,
        "inputs": [{"name": "w", "type": "INT", "linkIds": [21]}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [22]}],
        "nodes": [a_node(8, inner["id"], inputs={"picture": ("IMAGE", None), "wide": ("INT", 21)}, outputs=("IMAGE",))],
        "links": [
            {"id": 21, "origin_id": -10, "origin_slot": 0, "target_id": 8, "target_slot": 1, "type": "INT"},
            {"id": 22, "origin_id": 8, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
    })  # fmt: skip
    raw["nodes"][2] = a_node(5, outer, [33], inputs={"w": ("INT", None)}, outputs=("IMAGE",))
    found = converted(raw)
    assert found["5:8:2"][1] == {"width": 33, "batch": 1}
    assert found["9"][1]["images"] == ["5:8:1", 0]


def test_placeholders_in_file_names_are_filled() -> None:
    latent = a_node(2, "Latent", [64, 1], properties={"Node name for S&R": "Latent"})
    save = a_node(9, "SaveImage", ["%date:yyyy-MM-dd_hh%/%Latent.width%_%Other.x%_%width%"])
    assert converted(a_file([latent, save], []))["9"][1]["filename_prefix"] == "2026-03-07_04/64_%Other.x%_%width%"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {red|blue} cat", "a red cat"),
        ("{a|{b|c}} d", "a d"),
        ("x // comment\ny", "x \ny"),
        ("x /* gone */ y", "x  y"),
        ("x /* open {a|b}", "x /* open a"),
        (r"\{a|b\}", "{a|b}"),
        ("{a|b", "a"),
        ("a}b|c", "a}b|c"),
    ],
)
def test_alternatives_in_a_text_are_chosen_and_comments_removed(text: str, expected: str) -> None:
    assert resolve_dynamic_prompt(text, lambda _: 0) == expected


def test_last_option_of_a_nested_dynamic_prompt_can_be_chosen() -> None:
    assert resolve_dynamic_prompt("{a|{b|c}} d", lambda count: count - 1) == "c d"


@pytest.mark.parametrize("text", ["{" * 1_000 + "a" * 500_000, "{" + "\\a" * 50_000, "/*" * 100_000, "//" * 100_000])
def test_adversarial_text_is_processed_in_one_pass(text: str) -> None:
    assert len(resolve_dynamic_prompt(text, lambda _: 0)) <= len(text)


def test_text_with_thousands_of_alternatives_is_refused() -> None:
    assert resolve_dynamic_prompt("{a|" * 1_000, lambda _: 0) == "a"
    ((node_id, why),) = whys(a_file([a_node(1, "Text", ["{a|" * 1_001])], []))
    assert (node_id, why) == ("1", "One of its texts has more than 1000 alternatives in braces.")


def test_alternatives_are_chosen_in_dynamic_prompt_texts_only() -> None:
    texts = [a_node(1, "Text", ["{a|b}"]), a_node(9, "SaveImage", ["{a|b}"])]
    found = converted(a_file(texts, []))
    assert (found["1"][1]["text"], found["9"][1]["filename_prefix"]) == ("a", "{a|b}")


@pytest.mark.parametrize(
    ("nodes", "links", "node_id", "words"),
    [
        ([a_node(3, "Sampler", [7, 20, 8.0, "euler", 1.0])], [], "3", "is followed by 20 instead of a control"),
        ([a_node(3, "Sampler", [7, "fixed", "euler", 8.0])], [], "3", '"euler" where the value of steps (INT) belongs'),
        ([a_node(2, "Latent", [64, 1, "new"])], [], "2", "It has 3 widget values, and Latent has 2 widgets here"),
        ([a_node(1, "Curved", [[[0, 0]]])], [], "1", "The value of curve (CURVE) is computed in the browser"),
        ([a_save(77)], [], "9", "has a link that is not in the file"),
        ([a_save(1)], [[1, 8, 0, 9, 0, "IMAGE"]], "9", "comes from node 8, which is not in the file"),
        ([a_node(1, "Invert"), a_node(1, "Invert")], [], None, "Two of its nodes have the same id"),
        (
            [
                a_node(1, "Reroute", inputs={"": ("*", 2)}, outputs=("IMAGE",)),
                a_node(2, "Reroute", inputs={"": ("*", 1)}, outputs=("IMAGE",)),
                a_save(3),
            ],
            [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 1, 0, 9, 0, "*"]],
            "1",
            "form a cycle",
        ),
    ],
)
def test_inexact_conversion_names_the_node_and_the_reason(
    nodes: list[dict[str, Any]], links: list[Any], node_id: str | None, words: str
) -> None:
    ((told, why), *_) = whys(a_file(nodes, links))
    assert told == node_id
    assert words in why


def test_node_of_an_unknown_class_keeps_its_links() -> None:
    nodes = [a_node(1, "Gone", ["x"], inputs={"image": ("IMAGE", None)}, outputs=("IMAGE",)), a_save(1)]
    found = converted(a_file(nodes, [[1, 1, 0, 9, 0, "IMAGE"]]))
    assert found["1"] == ("Gone", {})
    assert found["9"][1]["images"] == ["1", 0]


@pytest.mark.parametrize(("leaf", "words"), [("Invert", "more than 2000 nodes"), ("Note", "too many or")])
def test_exponential_subgraph_nesting_is_refused(leaf: str, words: str) -> None:
    ids = [f"0a1b2c3d-0000-4000-8000-{number:012}" for number in range(12)]
    definitions = [
        {"id": one, "nodes": [a_node(number, following) for number in range(8)], "links": []}
        for one, following in zip(ids, [*ids[1:], leaf], strict=True)
    ]
    raw = a_file([a_node(1, ids[0])], [], definitions={"subgraphs": definitions})
    assert [words in why for _, why in whys(raw)] == [True]


def test_total_length_of_reroute_chains_is_bounded() -> None:
    chain = [a_node(number, "Reroute", inputs={"": ("*", number)}, outputs=("IMAGE",)) for number in range(2, 1_500)]
    saves = [a_node(number, "SaveImage", ["a"], inputs={"images": ("IMAGE", number)}) for number in range(2_000, 3_000)]
    links = [[number, number - 1, 0, number, 0, "*"] for number in range(2, 1_500)]
    links += [[number, 1_499, 0, number, 0, "*"] for number in range(2_000, 3_000)]
    nodes = [a_node(1, "LoadImage", ["x.png"], outputs=("IMAGE", "MASK")), *chain, *saves]
    assert whys(a_file(nodes, links)) == [(None, "Its links pass through too many nodes.")]


def test_total_search_in_the_inputs_of_bypassed_nodes_is_bounded() -> None:
    slots = {f"i{number}": ("IMAGE", None) for number in range(1_000)}
    saves = [a_node(number, "SaveImage", ["a"], inputs={"images": ("IMAGE", number)}) for number in range(2, 200)]
    links = [[number, 1, 0, number, 0, "IMAGE"] for number in range(2, 200)]
    nodes = [a_node(1, "Invert", inputs=slots, outputs=("IMAGE",), mode=4), *saves]
    assert whys(a_file(nodes, links)) == [(None, "Its links pass through too many nodes.")]


def test_subgraph_that_contains_itself_is_refused() -> None:
    definition = {"id": SUBGRAPH, "nodes": [a_node(1, SUBGRAPH)], "links": []}
    raw = a_file([a_node(1, SUBGRAPH)], [], definitions={"subgraphs": [definition]})
    assert ["nested too deep" in why for _, why in whys(raw)] == [True]


def a_link(link_id: int, origin: int, target: int, slot: int = 0) -> dict[str, Any]:
    return {"id": link_id, "origin_id": origin, "origin_slot": 0, "target_id": target, "target_slot": slot}


def a_repeated_subgraph(times: int, nodes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Build a file that uses one subgraph many times."""
    definition = {"id": SUBGRAPH, "nodes": nodes, "links": [], **more}
    hosts = [a_node(100 + number, SUBGRAPH) for number in range(times)]
    return a_file(hosts, [], definitions={"subgraphs": [definition]})


def a_shared_input_of_nested_subgraphs(depth: int, width: int) -> dict[str, Any]:
    """Build a file of nested subgraphs, each of which passes its input on to several of the next level."""
    ids = [f"0a1b2c3d-0000-4000-8000-{number:012}" for number in range(depth)]
    definitions = [
        {
            "id": one,
            "inputs": [{"name": "a", "type": "INT", "linkIds": list(range(1, width + 1))}],
            "nodes": [a_node(number, following, inputs={"a": ("INT", number)}) for number in range(1, width + 1)],
            "links": [a_link(number, -10, number) for number in range(1, width + 1)],
        }
        for one, following in zip(ids, [*ids[1:], "Note"], strict=True)
    ]
    return a_file([a_node(1, ids[0])], [], definitions={"subgraphs": definitions})


LONG = "x" * 100_000
REPEATED = "repeat too many nodes and values"
PRIMITIVES = [
    a_node(1, "PrimitiveNode", [LONG], outputs=("STRING",)),
    *(a_node(number, "Text", [""], inputs={"text": ("STRING", number)}) for number in range(2, 400)),
]
SHOWN = a_file(
    [a_node(1, SUBGRAPH, [LONG])],
    [],
    definitions={
        "subgraphs": [
            {
                "id": SUBGRAPH,
                "inputs": [{"name": "a", "type": "STRING", "linkIds": list(range(2, 400))}],
                "nodes": [a_node(n, "Text", [""], inputs={"text": ("STRING", n)}) for n in range(2, 400)],
                "links": [a_link(number, -10, number) for number in range(2, 400)],
            }
        ]
    },
)
PRIMITIVE_LINKS = [[number, 1, 0, number, 0, "STRING"] for number in range(2, 400)]
PREFIXES = [
    a_node(1, "Text", [LONG], title="T"),
    *(a_node(number, "SaveImage", ["%T.text%"]) for number in range(2, 5)),
]


@pytest.mark.requirement("B-47")
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (a_shared_input_of_nested_subgraphs(16, 10), "too many or nested too deeply"),
        (a_repeated_subgraph(1_500, [a_node(1, "Text", [LONG])]), REPEATED),
        (a_repeated_subgraph(1_500, [a_node(1, "Text", [""], title=LONG)]), REPEATED),
        (a_repeated_subgraph(1_500, [a_node(1, "Invert", inputs={LONG: ("IMAGE", None)})]), REPEATED),
        (a_repeated_subgraph(1_500, [a_node(1, "Note")], inputs=[{"name": str(n)} for n in range(9_000)]), REPEATED),
        (a_repeated_subgraph(1_500, [a_node(n, "Invert", mode=2) for n in range(6_000)]), REPEATED),
        (a_repeated_subgraph(1_500, [a_node("x" * 300, "Invert")]), "an id of more than 256 characters"),
        (a_file(PRIMITIVES, PRIMITIVE_LINKS), REPEATED),
        (SHOWN, REPEATED),
        (a_file(PREFIXES, []), "file name has more than 10000 characters"),
        (a_file([a_node(1, "SaveImage", ["%T.text%" * 2_000])], []), "file name has more than 10000 characters"),
        (a_file([a_node(1, "Invert", inputs={"image": ("A," * 300, None)})], []), "a type of more than 500 characters"),
    ],
    ids=[
        "nested input",
        "text",
        "title",
        "input name",
        "inputs",
        "muted nodes",
        "id",
        "primitive",
        "value of a subgraph",
        "value in prefix",
        "prefix",
        "type",
    ],
)
def test_small_file_that_converts_to_a_huge_graph_is_refused(raw: dict[str, Any], words: str) -> None:
    assert {words in why for _, why in whys(raw)} == {True}


def test_input_shared_by_many_nested_subgraphs_is_converted_once() -> None:
    raw = a_shared_input_of_nested_subgraphs(3, 10)
    raw["nodes"].append(a_node(2, "Latent", [64, 1]))
    assert converted(raw) == {"2": ("Latent", {"width": 64, "batch": 1})}


def places_in(part: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every location in decoded JSON: its container, and its key or index."""
    for key in list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, key
        yield from places_in(part[key])


@pytest.mark.parametrize(
    "junk",
    [None, -7, 10**400, 1.5, True, "x", "-10", [], {}, [[1]], [{"id": 1}], {"x": []}],
    ids=lambda junk: str(junk)[:9],
)
@pytest.mark.parametrize("linked", [True, False])
def test_file_with_a_corrupted_part_is_converted_or_refused_without_a_crash(junk: Any, linked: bool) -> None:
    promoted = {"proxyWidgets": [["2", "batch"], ["-1", "wide"]], "Node name for S&R": "x"}
    raw = a_subgraph(linked=linked, widgets_values=[96, 3], properties=promoted)
    raw["nodes"].append(a_node(7, "Sampler", [7, "fixed", 4, 1.5, "heun", 0.5], inputs={"latent": ("LATENT", 4)}))
    raw["nodes"].append(a_node(8, "Decode", mode=4, inputs={"samples": ("LATENT", None)}, outputs=("LATENT",)))
    raw["links"].append([4, 8, 0, 7, 0, "LATENT"])
    count = 0
    for part, key in list(places_in(raw)):
        before, part[key] = part[key], copy.deepcopy(junk)
        convert_editor_file(raw, CATALOG, draw_number=lambda _: 0, now=NOW)
        part[key] = before
        count += 1
    assert count > 150
    converted(raw)
