"""Violations of a tenant's graph policy."""

from typing import Any

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.class_decision import decide_class
from contracts.graph_policy.decision import MAX_ERRORS, find_violations
from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.wire.errors import FieldError
from contracts.workflow import read_graph

STRICT, OPEN = TenantPolicy(), TenantPolicy(mode=GraphPolicy.OPEN)
MINE = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"


def combo(*options: Any) -> InputSpec:
    return InputSpec(type="COMBO", required=True, options=options)


def text(*, required: bool = True) -> InputSpec:
    return InputSpec(type="STRING", required=required)


def spec(
    module: str = "nodes", outputs: tuple[str, ...] = (), *, shows: bool = False, **inputs: InputSpec
) -> ClassSpec:
    return ClassSpec(inputs=inputs, outputs=outputs, output_node=shows, module=module)


CLASSES = {
    "PrimitiveString": spec("comfy_extras.nodes_primitive", ("STRING",), value=text()),
    "ComfySwitchNode": spec("comfy_extras.nodes_logic", ("COMFY_MATCHTYPE_V3",)),
    "CheckpointLoaderSimple": spec(outputs=("MODEL", "CLIP", "VAE"), ckpt_name=combo("a.safetensors")),
    "LoadImage": spec(outputs=("IMAGE", "MASK"), image=InputSpec(type="COMBO", required=True, upload=True)),
    "LoadLatent": spec(outputs=("LATENT",), latent=combo()),
    "Load3D": spec(
        "comfy_extras.nodes_load_3d",
        ("IMAGE",),
        model_file=InputSpec(type="COMBO", required=True, upload=True),
        image=InputSpec(type="LOAD_3D", required=True),
    ),
    "Painter": spec("comfy_extras.nodes_painter", ("IMAGE",), mask=text()),
    "KSampler": spec(outputs=("LATENT",), sampler_name=combo("euler"), steps=InputSpec(type="INT", required=True)),
    "SaveImage": spec(shows=True, images=InputSpec(type="IMAGE", required=True), filename_prefix=text()),
    "ComfyMathExpression": spec("comfy_extras.nodes_math", ("INT",), expression=text()),
    "StringFormat": spec("comfy_extras.nodes_string", ("STRING",), f_string=text()),
    "ManualSigmas": spec("comfy_extras.nodes_custom_sampler", ("SIGMAS",), sigmas=text()),
    "LoadImageDataSetFromFolder": spec("comfy_extras.nodes_dataset", ("IMAGE",), folder=combo("3d")),
    "CheckpointSave": spec("comfy_extras.nodes_model_merging", shows=True, filename_prefix=text()),
    "OpenAIChatNode": spec("comfy_api_nodes.nodes_openai", ("STRING",), prompt=text()),
    "RegexMatch": spec("comfy_extras.nodes_string", ("BOOLEAN",), regex_pattern=text()),
    "Unheard": spec("comfy_extras.nodes_next", ("IMAGE",)),
    "Pack": spec("custom_nodes.pack", ("IMAGE",), lora_path=text(), style=combo("a"), image_file=combo("x.png")),
    "PackOther": spec("custom_nodes.pack.v2", ("IMAGE",)),
    "Url": spec("custom_nodes.pack", ("IMAGE",), webhook_url=combo("https://a.example")),
}


def rules(mode: GraphPolicy = GraphPolicy.STRICT, **given: tuple[str, ...]) -> TenantPolicy:
    return TenantPolicy(mode=mode, rules=ClassRules(**given))


def judged(class_type: str, inputs: dict[str, Any], policy: TenantPolicy = STRICT) -> tuple[FieldError, ...]:
    raw = {
        "text": {"class_type": "PrimitiveString", "inputs": {"value": "comfyfleet"}},
        "switch": {"class_type": "ComfySwitchNode", "inputs": {"on_true": ["text", 0]}},
        "1": {"class_type": class_type, "inputs": inputs},
    }
    graph, errors = read_graph(raw)
    assert not errors
    return find_violations(graph, CLASSES, policy, frozenset({MINE}))


def codes(class_type: str, inputs: dict[str, Any], policy: TenantPolicy = STRICT) -> list[str]:
    return [error.code for error in judged(class_type, inputs, policy)]


@pytest.mark.parametrize(
    ("class_type", "strict", "open_"),
    [
        ("SaveImage", True, True),
        ("LoadImageDataSetFromFolder", False, True),
        ("RegexMatch", False, True),
        ("CheckpointSave", False, False),
        ("OpenAIChatNode", False, False),
        ("Unheard", False, True),
        ("Pack", False, True),
    ],
)
def test_policy_mode_applies_to_classes_without_a_rule(class_type: str, strict: bool, open_: bool) -> None:
    assert decide_class(class_type, CLASSES[class_type], STRICT).allowed is strict
    assert decide_class(class_type, CLASSES[class_type], OPEN).allowed is open_


@pytest.mark.parametrize("mode", GraphPolicy)
@pytest.mark.parametrize("class_type", ["CheckpointSave", "OpenAIChatNode", "Pack"])
def test_operator_can_allow_a_class_or_its_pack(mode: GraphPolicy, class_type: str) -> None:
    module = CLASSES[class_type].module
    for policy in (rules(mode, allowed_classes=(class_type,)), rules(mode, allowed_packs=(module,))):
        assert decide_class(class_type, CLASSES[class_type], policy).allowed


def test_all_partner_api_classes_form_one_pack() -> None:
    assert decide_class("OpenAIChatNode", CLASSES["OpenAIChatNode"], rules(allowed_packs=("comfy_api_nodes",))).allowed


def test_allowed_pack_does_not_allow_packs_with_the_same_prefix() -> None:
    policy = rules(allowed_packs=("custom_nodes.pack",))
    assert decide_class("Pack", CLASSES["Pack"], policy).allowed
    assert not decide_class("PackOther", CLASSES["PackOther"], policy).allowed
    assert not decide_class("Pack", CLASSES["Pack"], rules(allowed_packs=("custom_nodes",))).allowed


@pytest.mark.parametrize("mode", GraphPolicy)
@pytest.mark.parametrize(
    "denied", [{"denied_classes": ("SaveImage",)}, {"denied_packs": ("nodes",)}], ids=["class", "pack"]
)
def test_deny_rule_overrides_allow_rule(mode: GraphPolicy, denied: dict[str, tuple[str, ...]]) -> None:
    policy = rules(mode, allowed_classes=("SaveImage",), allowed_packs=("nodes",), **denied)
    decision = decide_class("SaveImage", CLASSES["SaveImage"], policy)
    assert not decision.allowed
    assert "denied" in decision.reason


def test_refusal_names_the_class_the_reason_and_whom_to_ask() -> None:
    (error,) = judged("OpenAIChatNode", {"prompt": "x"})
    assert (error.code, error.pointer, error.node_id) == ("node_class_not_allowed", "/workflow/1/class_type", "1")
    assert "OpenAIChatNode" in error.message
    assert "outside the fleet" in error.message
    assert "ask the operator of this API to allow the class or its pack comfy_api_nodes.nodes_openai." in error.message


def test_pointer_of_a_refused_class_or_input_escapes_special_characters() -> None:
    graph, _ = read_graph({
        "a/b~c": {"class_type": "OpenAIChatNode", "inputs": {"prompt": "x"}},
        "d/e": {"class_type": "Load3D", "inputs": {"model_file": "other.glb"}},
    })  # fmt: skip
    pointers = {error.pointer for error in find_violations(graph, CLASSES, STRICT, frozenset())}
    assert pointers == {"/workflow/a~1b~0c/class_type", "/workflow/d~1e/inputs/model_file"}


def test_custom_class_with_the_name_of_a_stock_class_is_custom() -> None:
    custom = CLASSES["SaveImage"].model_copy(update={"module": "custom_nodes.pack"})
    assert not decide_class("SaveImage", custom, STRICT).allowed


FORMS = {
    "link": ["text", 0],
    "wildcard": ["switch", 0],
    "number": 3,
    "null": None,
    "true": True,
    "wrapped id": {"__value__": MINE},
    "wrapped list": {"__value__": ["a.safetensors"]},
    "wrapped option": {"__value__": "a.safetensors"},
    "traversal": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "temp": f"{MINE} [temp]",
    "output": "a.safetensors [output]",
    "staged": "comfyfleet",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("class_type", "name", "policy"),
    [
        ("LoadImage", "image", STRICT),
        ("LoadLatent", "latent", STRICT),
        ("Painter", "mask", STRICT),
        ("CheckpointLoaderSimple", "ckpt_name", STRICT),
        ("LoadImageDataSetFromFolder", "folder", OPEN),
        ("LoadImageDataSetFromFolder", "folder", rules(allowed_classes=("LoadImageDataSetFromFolder",))),
        ("Load3D", "model_file", STRICT),
        ("Load3D", "image", STRICT),
        ("Pack", "lora_path", OPEN),
        ("Pack", "image_file", OPEN),
        ("Pack", "source_folder", OPEN),
        ("Pack", "group.0.video_file", OPEN),
    ],
)
def test_file_folder_and_model_inputs_accept_only_plain_names(
    class_type: str, name: str, policy: TenantPolicy, form: str
) -> None:
    (error,) = judged(class_type, {name: FORMS[form]}, policy)
    assert (error.node_id, error.input) == ("1", name)
    assert error.code == ("link_not_allowed" if isinstance(FORMS[form], list) else error.code)


@pytest.mark.parametrize(
    ("class_type", "inputs", "policy"),
    [
        ("LoadImage", {"image": MINE, "upload": "image", "image_path": "ignored"}, STRICT),
        ("LoadLatent", {"latent": MINE}, STRICT),
        ("Painter", {"mask": ""}, STRICT),
        ("Load3D", {"model_file": "none", "image": {"image": MINE, "mask": MINE, "recording": ""}}, STRICT),
        ("CheckpointLoaderSimple", {"ckpt_name": "a.safetensors"}, STRICT),
        ("LoadImageDataSetFromFolder", {"folder": "3d"}, rules(allowed_classes=("LoadImageDataSetFromFolder",))),
        ("Pack", {"lora_path": "sub/a.safetensors"}, rules(allowed_packs=("custom_nodes.pack",))),
        ("Pack", {"lora_path": "a.safetensors", "style": "a"}, OPEN),
        ("SaveImage", {"filename_prefix": ["text", 0]}, STRICT),
        ("ComfyMathExpression", {"expression": "a * 2"}, STRICT),
        ("StringFormat", {"f_string": "{a}, {b:.2f}"}, STRICT),
    ],
)
def test_names_owned_by_the_tenant_are_accepted(class_type: str, inputs: dict[str, Any], policy: TenantPolicy) -> None:
    classes = {**CLASSES, "LoraLoader": spec(lora_name=combo("b"), lora_path=combo("a.safetensors"))}
    graph, _ = read_graph(
        {
            "text": {"class_type": "PrimitiveString", "inputs": {"value": "x"}},
            "1": {"class_type": class_type, "inputs": inputs},
        }
    )
    assert find_violations(graph, classes, policy, frozenset({MINE})) == ()


@pytest.mark.parametrize(
    "image",
    [
        {"image": "other.png"},
        {"image": {"__value__": MINE}},
        {"image": ["text", 0]},
        {"mask": None},
        {"recording": "a [output]"},
        {"image": MINE, "normal": "../x"},
    ],
    ids=str,
)
def test_fields_inside_a_record_input_are_checked(image: dict[str, Any]) -> None:
    assert codes("Load3D", {"model_file": "none", "image": image}) == ["file_not_uploaded"]


@pytest.mark.parametrize(("source", "refused"), [("text", True), ("switch", False)])
def test_linked_text_never_reaches_an_option_input(source: str, refused: bool) -> None:
    expected = ["link_not_allowed"] if refused else []
    assert codes("KSampler", {"sampler_name": [source, 0], "steps": 1}) == expected


def test_links_never_reach_an_input_for_addresses() -> None:
    assert codes("Url", {"webhook_url": ["switch", 0]}, OPEN) == ["link_not_allowed"]


@pytest.mark.parametrize(
    ("class_type", "inputs", "code"),
    [
        ("ComfyMathExpression", {"expression": "9 ** 9 ** 9"}, "expression_not_allowed"),
        ("ComfyMathExpression", {"expression": ["text", 0]}, "link_not_allowed"),
        ("ComfyMathExpression", {"expression": {"__value__": "1"}}, "expression_not_allowed"),
        ("ManualSigmas", {"sigmas": "1" * 5001}, "text_too_long"),
        ("ManualSigmas", {"sigmas": ["text", 0]}, "link_not_allowed"),
    ],
)
def test_costly_texts_are_refused_unless_the_policy_is_open(class_type: str, inputs: Any, code: str) -> None:
    assert codes(class_type, inputs) == [code]
    assert codes(class_type, inputs, OPEN) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("{a.__class__.__init__.__globals__}", "format_not_allowed"),
        ({"__value__": "{a}"}, "format_not_allowed"),
        (["text", 0], "link_not_allowed"),
    ],
)
@pytest.mark.parametrize("policy", [STRICT, OPEN, rules(allowed_classes=("StringFormat",))], ids=str)
def test_format_string_never_reaches_process_internals(policy: TenantPolicy, value: Any, code: str) -> None:
    assert codes("StringFormat", {"f_string": value}, policy) == [code]


def test_refused_class_is_reported_once_and_errors_are_bounded() -> None:
    graph, _ = read_graph({str(n): {"class_type": "OpenAIChatNode", "inputs": {"prompt": "x"}} for n in range(2000)})
    assert len(find_violations(graph, CLASSES, STRICT, frozenset())) == 1
    graph, _ = read_graph({str(n): {"class_type": "LoadImage", "inputs": {"image": "x"}} for n in range(2000)})
    assert len(find_violations(graph, CLASSES, STRICT, frozenset())) == MAX_ERRORS


def test_classes_missing_from_the_catalog_are_not_checked() -> None:
    assert codes("Nothing", {"folder": "x"}) == []
