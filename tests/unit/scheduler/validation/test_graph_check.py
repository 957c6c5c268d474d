"""Checks of a graph against one catalog: accepted values, conversions and faults."""

from collections.abc import Callable
from typing import Any

import pytest

from contracts.workflow import MAX_ERRORS, Graph, graph_to_json, read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.validation.graph_check import GraphCheckResult, check_graph
from tests.kit.catalogs import build_catalog, simulated_catalog
from tests.kit.effort import count_calls

CATALOG = simulated_catalog("a.safetensors", "zz/detail.safetensors")
IMAGE = {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 1}}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}
LATENT = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
CUSTOM = {
    "Blur": {
        "input": {
            "required": {"image": ["IMAGE"], "mode": [["soft", "hard"]], "size": ["INT", {"min": 1, "max": 9}]},
            "optional": {"ckpt": [["a.safetensors"]]},
        },
        "output": ["IMAGE"],
        "output_node": True,
        "python_module": "custom_nodes.blur_pack",
    }
}


def graph_of(raw: dict[str, Any]) -> Graph:
    graph, errors = read_graph(raw)
    assert not errors
    return graph


def judge(
    raw: dict[str, Any], catalog: Catalog = CATALOG, draw_seed: Callable[[int], int] = lambda _: 7
) -> GraphCheckResult:
    return check_graph(graph_of(raw), catalog, draw_seed=draw_seed)


def faults(raw: dict[str, Any], catalog: Catalog = CATALOG) -> list[tuple[str | None, str | None, str]]:
    return [(finding.node_id, finding.input, finding.fault.code) for finding in judge(raw, catalog).findings]


def image(**inputs: Any) -> dict[str, Any]:
    given = {name: value for name, value in {**IMAGE["inputs"], **inputs}.items() if value is not ...}  # type: ignore[dict-item]
    return {"1": {**IMAGE, "inputs": given}, "2": SAVE}


def resize(**inputs: Any) -> dict[str, Any]:
    given = {name.replace("__", "."): value for name, value in inputs.items()}
    node = {"class_type": "ResizeImageMaskNode", "inputs": {"input": ["1", 0], "scale_method": "area", **given}}
    return {"1": IMAGE, "2": node, "3": {**SAVE, "inputs": {"images": ["2", 0], "filename_prefix": "a"}}}


def batch(**inputs: Any) -> dict[str, Any]:
    given = {name.replace("__", "."): value for name, value in inputs.items()}
    node = {"class_type": "BatchImagesNode", "inputs": given}
    return {"1": IMAGE, "2": node, "3": {**SAVE, "inputs": {"images": ["2", 0], "filename_prefix": "a"}}, "9": LATENT}


@pytest.mark.parametrize(
    "dead",
    [
        {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone.safetensors"}},
        {"class_type": "VAELoader", "inputs": {"vae_name": "gone.safetensors"}},
        {"class_type": "LoadImage", "inputs": {"image": "not an upload.png"}},
        {"class_type": "ImageInvert", "inputs": {"image": ["7", 0]}},
        {"class_type": "ImageInvert", "inputs": {"image": ["nowhere", 0]}},
        {"class_type": "EmptyImage", "inputs": {"width": -1}},
    ],
)
def test_nodes_that_feed_no_output_are_neither_checked_nor_sent(dead: dict[str, Any]) -> None:
    verdict = judge({"1": IMAGE, "2": SAVE, "7": dead})
    assert not verdict.findings
    assert set(verdict.graph) == {"1", "2"}
    assert dead["class_type"] == "EmptyImage" or dead["class_type"] not in verdict.needs


def test_unknown_class_is_refused_even_if_no_output_needs_it() -> None:
    assert faults({"1": IMAGE, "2": SAVE, "7": {"class_type": "Gone", "inputs": {}}}) == [
        ("7", None, "unknown_node_class")
    ]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("32", 32),
        (" 32 ", 32),
        (32.9, 32),
        (True, 1),
        ({"__value__": 32}, 32),
        ({"__value__": "32"}, 32),
    ],
)
def test_value_is_converted_to_an_integer_as_python_does(given: Any, made: int) -> None:
    verdict = judge(image(width=given))
    assert not verdict.findings
    value = verdict.graph["1"].inputs["width"]
    assert (type(value), value) == (int, made)


def test_numbers_and_text_are_converted_to_the_type_of_the_input() -> None:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": 1, "sigma": "0.5"}}
    save = {**SAVE, "inputs": {"images": ["3", 0], "filename_prefix": 2026}}
    verdict = judge({"1": IMAGE, "2": save, "3": blur})
    assert not verdict.findings
    assert verdict.graph["3"].inputs["sigma"] == 0.5
    assert verdict.graph["2"].inputs["filename_prefix"] == "2026"


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("many", "not_a_number", 'EmptyImage.width is "many", but must be a whole number.'),
        ("32.5", "not_a_number", '"32.5"'),
        ({"a": 1}, "not_a_number", "an object"),
        (0, "value_out_of_range", "EmptyImage.width is 0, but must be between 1 and 16384."),
        ("99999", "value_out_of_range", "99999"),
        (
            None,
            "required_input_missing",
            "EmptyImage.width is required, and is missing. Give it a whole number or a link.",
        ),
        (..., "required_input_missing", "EmptyImage.width is required"),
        ([1, 2, 3], "broken_link", "is a list of 3"),
    ],
)
def test_error_names_the_wrong_value_and_the_valid_values(value: Any, code: str, words: str) -> None:
    (finding,) = judge(image(width=value)).findings
    assert (finding.node_id, finding.input, finding.fault.code) == ("1", "width", code)
    assert words in finding.fault.message


def test_number_that_json_cannot_represent_is_refused() -> None:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "blur_radius": 1, "sigma": "nan"}}
    graph = {"1": IMAGE, "3": blur, "2": {**SAVE, "inputs": {"images": ["3", 0], "filename_prefix": "a"}}}
    assert faults(graph) == [("3", "sigma", "not_a_number")]


def test_bounds_are_written_with_every_digit() -> None:
    sampler = {"class_type": "KSampler", "inputs": {"seed": -2}}
    findings = judge({"1": sampler, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}).findings
    (message,) = [finding.fault.message for finding in findings if finding.input == "seed"]
    assert message == "KSampler.seed is -2, but must be between 0 and 18446744073709551615."


def sampler(**inputs: Any) -> dict[str, Any]:
    steps = {
        "steps": 1,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "latent_image": ["4", 0],
    }
    linked = {"model": ["3", 0], "positive": ["5", 0], "negative": ["5", 0]}
    return {"class_type": "KSampler", "inputs": {**linked, **steps, **inputs}}


def sampled(first: Any, second: Any) -> dict[str, Any]:
    """Build a graph of two samplers with these seeds."""
    return {
        "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
        "4": LATENT,
        "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["3", 1]}},
        "1": sampler(seed=first),
        "2": sampler(seed=second),
        "8": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
        "9": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


def draws(*seeds: int) -> Callable[[int], int]:
    left = iter(seeds)
    return lambda below: next(left) % below


def seeds_of(verdict: GraphCheckResult) -> list[tuple[str, str, int]]:
    assert not verdict.findings
    told = [(one.node_id, one.input, one.seed) for one in verdict.seeds]
    assert all(verdict.graph[node_id].inputs[name] == seed for node_id, name, seed in told)
    return told


@pytest.mark.parametrize("random", [-1, "-1", {"__value__": -1}])
def test_each_seed_of_minus_one_is_drawn_and_returned(random: Any) -> None:
    told = seeds_of(judge(sampled(random, random), draw_seed=draws(11, 22)))
    assert [(node_id, name) for node_id, name, _ in told] == [("1", "seed"), ("2", "seed")]
    assert {seed for _, _, seed in told} == {11, 22}


def test_explicit_seed_is_not_changed() -> None:
    verdict = judge(sampled(5, -1), draw_seed=draws(11))
    assert seeds_of(verdict) == [("2", "seed", 11)]
    assert verdict.graph["1"].inputs["seed"] == 5


def test_randomize_seeds_draws_every_seed_but_keeps_links() -> None:
    described = {"input": {"required": {"seed": ["INT", {"min": 0, "max": 9}], "count": ["INT", {"min": 0, "max": 9}]}}}
    output = {"output": ["INT"], "output_node": True, "python_module": "nodes"}
    catalog = build_catalog({"Seed": {**described, **output}})
    raw = {
        "1": {"class_type": "Seed", "inputs": {"seed": 5, "count": 5}},
        "2": {"class_type": "Seed", "inputs": {"seed": ["1", 0], "count": 5}},
    }
    verdict = check_graph(graph_of(raw), catalog, draw_seed=draws(23), randomize_seeds=True)
    assert seeds_of(verdict) == [("1", "seed", 3)]
    assert verdict.graph["1"].inputs == {"seed": 3, "count": 5}
    assert verdict.graph["2"].inputs == {"seed": ["1", 0], "count": 5}


def test_invalid_seed_is_refused_even_with_randomize_seeds() -> None:
    verdict = check_graph(graph_of(sampled("x", 1)), CATALOG, draw_seed=draws(1), randomize_seeds=True)
    assert [(one.node_id, one.input, one.fault.code) for one in verdict.findings] == [("1", "seed", "not_a_number")]


def test_drawn_seed_is_within_the_bounds_of_its_input() -> None:
    described = {"input": {"required": {"noise_seed": ["INT", {"min": 100, "max": 2**64 - 1}]}}, "output": ["INT"]}
    catalog = build_catalog({"Noise": {**described, "output_node": True, "python_module": "nodes"}})
    raw = {"1": {"class_type": "Noise", "inputs": {"noise_seed": 200}}}
    asked: list[int] = []

    def draw(below: int) -> int:
        asked.append(below)
        return below - 1

    verdict = check_graph(graph_of(raw), catalog, draw_seed=draw, randomize_seeds=True)
    assert seeds_of(verdict) == [("1", "noise_seed", 2**63 - 1)]
    assert asked == [2**63 - 100]


def test_large_integers_are_compared_exactly_with_bounds() -> None:
    described = {"input": {"required": {"seed": ["INT", {"min": 0, "max": 2**63 - 1}]}}, "output": ["INT"]}
    catalog = build_catalog({"Seed": {**described, "output_node": True, "python_module": "nodes"}})
    assert faults({"1": {"class_type": "Seed", "inputs": {"seed": 2**63 - 1}}}, catalog) == []
    assert faults({"1": {"class_type": "Seed", "inputs": {"seed": 2**63}}}, catalog) == [
        ("1", "seed", "value_out_of_range")
    ]


def test_unlisted_option_is_accepted_if_the_class_validates_the_input_itself() -> None:
    combo = {"class_type": "CustomCombo", "inputs": {"choice": "x", "option1": "x", "index": 0}}
    verdict = judge({"1": combo, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})
    assert not verdict.findings
    assert verdict.needs == ("CustomCombo", "PreviewAny")
    assert verdict.graph["1"].inputs == combo["inputs"]


def test_types_bounds_and_options_of_a_custom_class_are_not_checked() -> None:
    raw = {"1": LATENT, "2": {"class_type": "Blur", "inputs": {"image": ["1", 0], "mode": "odd", "size": 99}}}
    catalog = Catalog({**CATALOG.classes, **build_catalog(CUSTOM).classes})
    verdict = judge(raw, catalog)
    assert not verdict.findings
    assert verdict.has_unlisted_choice


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({"mode": "soft", "size": 1}, ("image", "required_input_missing")),
        ({"image": ["1", 0], "mode": "soft", "size": "big"}, ("size", "not_a_number")),
        ({"image": ["1", 0], "mode": "soft", "size": 1, "ckpt": "b.safetensors"}, ("ckpt", "value_not_in_list")),
        ({"image": ["1", 0], "mode": "soft", "size": 1, "image_2": ["nowhere", 0]}, ("image_2", "broken_link")),
    ],
)
def test_links_models_and_required_inputs_of_a_custom_class_are_checked(
    inputs: dict[str, Any], fault: tuple[str, str]
) -> None:
    catalog = Catalog({**CATALOG.classes, **build_catalog(CUSTOM).classes})
    assert faults({"1": IMAGE, "2": {"class_type": "Blur", "inputs": inputs}}, catalog) == [("2", *fault)]


def test_input_whose_options_are_lists_is_not_checked() -> None:
    described = {"input": {"required": {"format": [["gif", ["mp4", {"crf": 1}]]]}}, "output": [], "output_node": True}
    catalog = build_catalog({"Combine": {**described, "python_module": "nodes"}})
    assert faults({"1": {"class_type": "Combine", "inputs": {"format": "mp4"}}}, catalog) == []


def test_multiselect_input_takes_several_options() -> None:
    described = {"input": {"required": {"tags": ["COMBO", {"multiselect": True, "options": ["a", "b"]}]}}}
    catalog = build_catalog({"Tag": {**described, "output": [], "output_node": True, "python_module": "nodes"}})

    def tagged(value: Any) -> dict[str, Any]:
        return {"1": {"class_type": "Tag", "inputs": {"tags": value}}}

    verdict = judge(tagged({"__value__": ["a", "b"]}), catalog)
    assert not verdict.findings
    assert verdict.graph["1"].inputs == {"tags": {"__value__": ["a", "b"]}}
    assert faults(tagged({"__value__": ["a", "c", "b"]}), catalog) == [("1", "tags", "value_not_in_list")]
    assert faults(tagged("b"), catalog) == []


def test_undeclared_inputs_and_unknown_node_fields_are_left_out() -> None:
    raw: dict[str, Any] = {
        "1": {**IMAGE, "is_changed": ["abc"], "title": "a", "mode": 4, "_meta": "no object"},
        "2": {"class_type": "SaveImage", "inputs": {**SAVE["inputs"], "no_such_input": 1, "x": ["nowhere", 0]}},  # type: ignore[dict-item]
    }
    raw["2"]["_meta"] = {"title": "kept"}
    assert graph_to_json(judge(raw).graph) == {"1": IMAGE, "2": {**SAVE, "_meta": {"title": "kept"}}}


@pytest.mark.parametrize("value", ["photo.png", 3, {"__value__": "x"}])
def test_literal_in_a_link_only_input_is_refused(value: Any) -> None:
    assert faults({"2": {**SAVE, "inputs": {"images": value, "filename_prefix": "a"}}}) == [
        ("2", "images", "link_required")
    ]


@pytest.mark.parametrize(("value", "expected"), [("false", "not_a_boolean"), (" No ", "not_a_boolean"), ("true", None)])
def test_text_that_means_false_is_refused_as_a_boolean(value: str, expected: str | None) -> None:
    described = {"input": {"required": {"on": ["BOOLEAN", {}]}}, "output": [], "output_node": True}
    catalog = build_catalog({"Switch": {**described, "python_module": "nodes"}})
    found = faults({"1": {"class_type": "Switch", "inputs": {"on": value}}}, catalog)
    assert found == ([("1", "on", expected)] if expected else [])


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (
            resize(resize_type="scale dimensions", resize_type__width=8, resize_type__height=8),
            ("resize_type.crop", "required_input_missing"),
        ),
        (
            resize(resize_type="scale by multiplier", resize_type__multiplier=99),
            ("resize_type.multiplier", "value_out_of_range"),
        ),
        (resize(), ("resize_type", "required_input_missing")),
        (resize(resize_type="scale wildly"), ("resize_type", "value_not_in_list")),
        (resize(resize_type=["1", 0]), ("resize_type", "link_type_mismatch")),
        (batch(image0=["1", 0]), ("images.image0", "required_input_missing")),
        (batch(images__image0=["9", 0]), ("images.image0", "link_type_mismatch")),
        (batch(images__image0=["1", 0], images__image3=["nowhere", 0]), ("images.image3", "broken_link")),
    ],
)
def test_parts_of_dynamic_inputs_are_checked_by_their_full_names(raw: dict[str, Any], fault: tuple[str, str]) -> None:
    assert faults(raw) == [("2", *fault)]


def test_valid_dynamic_inputs_are_accepted_and_parts_of_other_options_left_out() -> None:
    verdict = judge(resize(resize_type="scale by multiplier", resize_type__multiplier="2", resize_type__crop="odd"))
    assert not verdict.findings
    assert "resize_type.crop" not in verdict.graph["2"].inputs
    assert verdict.graph["2"].inputs["resize_type.multiplier"] == 2.0
    assert not judge(batch(images__image0=["1", 0], images__image49=["1", 0])).findings


@pytest.mark.parametrize("codec", [{}, {"codec": "auto"}, {"format.codec": "auto"}])
def test_save_video_accepts_the_inputs_of_older_versions(codec: dict[str, str]) -> None:
    combo = {"options": [{"key": "auto", "inputs": {"required": {}}}, {"key": "h264", "inputs": {"required": {}}}]}
    formats = {"options": [{"key": "auto", "inputs": {"required": {"codec": ["COMFY_DYNAMICCOMBO_V3", combo]}}}]}
    save_video = {
        "input": {
            "required": {"video": ["VIDEO", {}], "format": ["COMFY_DYNAMICCOMBO_V3", formats]},
            "optional": {"codec": ["COMFY_DYNAMICCOMBO_V3", combo]},
        },
        "output": [],
        "output_node": True,
        "python_module": "comfy_extras.nodes_video",
    }
    video = {"input": {}, "output": ["VIDEO"], "output_node": False, "python_module": "comfy_extras.nodes_video"}
    catalog = build_catalog({"SaveVideo": save_video, "Video": video})
    node = {"class_type": "SaveVideo", "inputs": {"video": ["1", 0], "format": "auto", **codec}}
    verdict = judge({"1": {"class_type": "Video", "inputs": {}}, "2": node}, catalog)
    assert not verdict.findings
    assert verdict.graph["2"].inputs.items() >= codec.items()


def test_error_for_an_input_without_its_group_prefix_states_the_full_name() -> None:
    (finding,) = judge(batch(image0=["1", 0])).findings
    assert finding.fault.message == (
        'The input "image0" of BatchImagesNode must be named "images.image0" here. Rename it.'
    )


def test_link_inside_a_wrapper_is_refused() -> None:
    graph = {"2": {"class_type": "PreviewAny", "inputs": {"source": {"__value__": ["999", 0]}}}}
    assert faults(graph) == [("2", "source", "broken_link")]


def test_doubly_wrapped_value_is_sent_unchanged() -> None:
    source = {"__value__": {"__value__": ["999", 0]}}
    verdict = judge({"2": {"class_type": "PreviewAny", "inputs": {"source": source}}})
    assert not verdict.findings
    assert verdict.graph["2"].inputs == {"source": source}


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ([1, 0], 'whose node id 1 is a number. Write it as text: ["1", 0].'),
        ([10**9, 0], "A link has the node id as text and the output as a number"),
        (["1", "0"], 'whose output "0" is a text. Write it as a number, without quotes: ["1", 0].'),
        (["1", "9" * 5000], "is not a whole number. Write the number of the output"),
        (["999", 0], "which this workflow does not have"),
        (["1", -1], "Outputs are counted from 0"),
        (["1", 5], 'output 5 of node "1" (EmptyImage), which only has output 0.'),
        (["1", True], "output true is not a whole number"),
        (["1"], "is a list of 1"),
    ],
)
def test_each_kind_of_broken_link_has_its_own_message(link: list[Any], words: str) -> None:
    (finding,) = judge({"1": IMAGE, "2": {**SAVE, "inputs": {"images": link, "filename_prefix": "a"}}}).findings
    assert (finding.node_id, finding.input, finding.fault.code) == ("2", "images", "broken_link")
    assert words in finding.fault.message


def test_error_for_a_link_of_another_type_names_both_types() -> None:
    (finding,) = judge({"1": LATENT, "2": SAVE}).findings
    assert finding.fault.message == (
        'SaveImage.images takes IMAGE, and output 0 of node "1" (EmptyLatentImage) gives LATENT. '
        "Link an output of type IMAGE."
    )


def test_linked_text_is_refused_where_an_option_is_required() -> None:
    text = {"class_type": "PrimitiveString", "inputs": {"value": "area"}}
    assert faults({**resize(resize_type="scale width", resize_type__width=8, scale_method=["9", 0]), "9": text}) == [
        ("2", "scale_method", "link_type_mismatch")
    ]


def test_null_counts_as_missing() -> None:
    sampled = {"1": IMAGE, "2": {**SAVE, "inputs": {**SAVE["inputs"], "images": None}}}  # type: ignore[dict-item]
    assert faults(sampled) == [("2", "images", "required_input_missing")]
    described = {
        "input": {"optional": {"text": ["STRING", {}], "size": ["INT", {}]}},
        "output": [],
        "output_node": True,
    }
    catalog = build_catalog({"Opt": {**described, "python_module": "nodes"}})
    verdict = judge({"1": {"class_type": "Opt", "inputs": {"text": None, "size": None}}}, catalog)
    assert not verdict.findings
    assert verdict.graph["1"].inputs == {}


def test_seed_of_minus_one_is_kept_if_the_class_accepts_it() -> None:
    signed = {"input": {"required": {"seed": ["INT", {"min": -1, "max": 100}]}}, "output": [], "output_node": True}
    catalog = build_catalog({"Signed": {**signed, "python_module": "nodes"}})
    verdict = judge({"1": {"class_type": "Signed", "inputs": {"seed": -1}}}, catalog)
    assert seeds_of(verdict) == []
    assert verdict.graph["1"].inputs == {"seed": -1}


def test_model_path_with_another_separator_is_converted() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "zz\\detail.safetensors"}}
    verdict = judge({"1": loader, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})
    assert not verdict.findings
    assert verdict.graph["1"].inputs["ckpt_name"] == "zz/detail.safetensors"
    assert "CheckpointLoaderSimple.ckpt_name=zz/detail.safetensors" in verdict.needs


def test_cycle_is_refused_only_where_it_feeds_an_output() -> None:
    circle = {
        "8": {"class_type": "ImageInvert", "inputs": {"image": ["9", 0]}},
        "9": {"class_type": "ImageInvert", "inputs": {"image": ["8", 0]}},
    }
    assert faults({"1": IMAGE, "2": SAVE, **circle}) == []
    ((node_id, name, code),) = faults({"2": {**SAVE, "inputs": {"images": ["8", 0], "filename_prefix": "a"}}, **circle})
    assert node_id in circle
    assert (name, code) == (None, "workflow_cycle")


def test_workflow_with_one_invalid_output_is_refused() -> None:
    assert faults({"1": IMAGE, "2": SAVE, "3": {"class_type": "PreviewImage", "inputs": {}}}) == [
        ("3", "images", "required_input_missing")
    ]


def test_graph_without_an_output_node_is_refused() -> None:
    assert faults({"1": IMAGE}) == [(None, None, "workflow_without_output")]


def test_findings_are_bounded_and_in_the_order_of_the_graph() -> None:
    raw = {str(place): {"class_type": "PreviewImage", "inputs": {}} for place in range(MAX_ERRORS + 50)}
    found = faults(raw)
    assert len(found) == MAX_ERRORS
    places = [int(node_id or "") for node_id, _, _ in found]
    assert places == sorted(places)


def test_check_of_a_node_ends_with_the_last_finding_that_is_reported() -> None:
    def count(broken_links: int) -> int:
        links = {f"option{number}": ["gone", 0] for number in range(broken_links)}
        combo = {"class_type": "CustomCombo", "inputs": {"choice": "x", "index": 0, **links}}
        graph = graph_of({"1": combo, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})
        found: list[GraphCheckResult] = []
        calls = count_calls(lambda: found.append(check_graph(graph, CATALOG, draw_seed=lambda _: 7)))
        assert len(found[0].findings) == MAX_ERRORS
        return calls

    assert count(10_000) < 1.1 * count(MAX_ERRORS)


def test_findings_of_broken_links_share_the_list_of_node_ids() -> None:
    raw = {str(place): {"class_type": "PreviewImage", "inputs": {"images": ["gone", 0]}} for place in range(MAX_ERRORS)}
    choices = [finding.fault.choices for finding in judge(raw).findings]
    assert choices[0] == tuple(raw)
    assert len(set(map(id, choices))) == 1


def test_values_in_messages_are_bounded_and_printable() -> None:
    (finding,) = judge(image(width="\x1b[31m" + "x" * 10_000)).findings
    assert "\x1b" not in finding.fault.message
    assert len(finding.fault.message) < 200


def test_needs_of_a_graph_list_its_classes_and_models() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}}
    verdict = judge({"1": loader, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})
    assert verdict.needs == ("CheckpointLoaderSimple", "CheckpointLoaderSimple.ckpt_name=a.safetensors", "PreviewAny")
    assert CATALOG.satisfies(verdict.needs)
