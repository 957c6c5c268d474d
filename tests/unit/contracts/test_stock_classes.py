"""The registry of stock classes is consistent."""

import json
from collections import Counter
from importlib import resources

import pytest

from contracts.graph_policy.registry import (
    STOCK_CLASSES,
    STRICT_REASONS,
    TRAITS_REFUSED_WHEN_OPEN,
    InputRole,
    Trait,
    find_stock_class,
    is_unreviewed,
)

ROLE_NEEDS = {
    InputRole.FILE: Trait.READS_FILES,
    InputRole.FOLDER: Trait.READS_FOLDERS,
    InputRole.MODEL: Trait.LOADS_MODELS,
    InputRole.REGEX: Trait.USER_REGEX,
    InputRole.CODE: Trait.RUNS_CODE,
    InputRole.EXPRESSION: Trait.EVALUATES_EXPRESSION,
    InputRole.URL: Trait.NETWORK,
}
OUTPUT_TRAITS = {Trait.WRITES_FILES, Trait.WRITES_MODELS, Trait.WRITES_DATASETS, Trait.WRITES_TEMPORARY}


def test_input_roles_and_class_traits_do_not_contradict_each_other() -> None:
    for name, reviewed in STOCK_CLASSES.items():
        roles = set(reviewed.inputs.values())
        for role in roles & ROLE_NEEDS.keys():
            assert ROLE_NEEDS[role] in reviewed.traits, (name, role)
        if Trait.WRITES_FILES in reviewed.traits:
            assert InputRole.OUTPUT_NAME in roles or Trait.NAMES_OWN_OUTPUT in reviewed.traits, name
        if InputRole.OUTPUT_NAME in roles:
            assert reviewed.traits & OUTPUT_TRAITS, name
        if reviewed.traits & {Trait.WRITES_MODELS, Trait.WRITES_DATASETS, Trait.NAMES_OWN_OUTPUT}:
            assert Trait.WRITES_FILES in reviewed.traits, name
        if Trait.READS_FILES in reviewed.traits:
            assert InputRole.FILE in roles, name
        assert not reviewed.plain & reviewed.inputs.keys(), name


def test_only_record_inputs_have_roles_for_their_fields() -> None:
    for name, reviewed in STOCK_CLASSES.items():
        for input_name in reviewed.inputs:
            head, dot, _ = input_name.partition(".")
            if dot and ".*." not in input_name:
                assert reviewed.inputs[head] is InputRole.RECORD, (name, input_name)


def test_partner_api_classes_use_the_network_and_no_other_stock_class_does() -> None:
    for name, reviewed in STOCK_CLASSES.items():
        assert reviewed.module.startswith("comfy_api_nodes.") == (Trait.NETWORK in reviewed.traits), name


def test_review_data_is_sorted_with_one_class_per_line() -> None:
    text = resources.files("contracts.graph_policy").joinpath("stock_classes.json").read_text(encoding="utf-8")
    entries = json.loads(text)
    for entry in entries.values():
        assert list(entry) == [key for key in ("module", "traits", "inputs", "plain") if key in entry]
        assert entry.get("traits", []) == sorted(entry.get("traits", []))
    lines = ",\n".join(
        f"{json.dumps(name, ensure_ascii=False)}:{json.dumps(entries[name], ensure_ascii=False, separators=(',', ':'))}"
        for name in sorted(entries)
    )
    assert text == f"{{\n{lines}\n}}\n"


def test_every_trait_and_role_is_used() -> None:
    used = Counter(trait for reviewed in STOCK_CLASSES.values() for trait in reviewed.traits)
    roles = {role for reviewed in STOCK_CLASSES.values() for role in reviewed.inputs.values()}
    assert set(used) == set(Trait)
    assert roles | {InputRole.URL} == set(InputRole)  # no stock class accepts a URL today, but custom classes do


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("LoadImageDataSetFromFolder", Trait.READS_FOLDERS),
        ("LoadImageOutput", Trait.READS_OUTPUTS),
        ("DiffusersLoader", Trait.READS_FOLDERS),
        ("CheckpointLoader", Trait.LOADS_CONFIG),
        ("CheckpointSave", Trait.WRITES_MODELS),
        ("SaveLoRA", Trait.WRITES_MODELS),
        ("SaveImageTextDataSetToFolder", Trait.WRITES_DATASETS),
        ("TrainLoraNode", Trait.TRAINS),
        ("OpenAIChatNode", Trait.NETWORK),
        ("RegexMatch", Trait.USER_REGEX),
        ("GLSLShader", Trait.RUNS_CODE),
        ("TorchCompileModel", Trait.PROCESS_STATE),
        ("StartLoop", Trait.REPEATS_GRAPH),
        ("File3DToSplat", Trait.UNBOUNDED),  # unpacks SPZ and the buckets of ksplat to any size
    ],
)
def test_classes_with_dangerous_traits_are_not_safe(name: str, reason: Trait) -> None:
    reviewed = STOCK_CLASSES[name]
    assert reviewed.unsafe_trait is reason
    assert STRICT_REASONS[reason]


def test_common_stock_classes_are_classified_as_safe() -> None:
    names = [
        *("CheckpointLoaderSimple", "CLIPTextEncode", "KSampler", "KSamplerAdvanced", "VAEDecode", "VAEEncode"),
        *("SaveImage", "PreviewImage", "LoadImage", "LoadImageMask", "LoadAudio", "LoadVideo", "Painter"),
        *("LoraLoader", "ControlNetLoader", "ControlNetApplyAdvanced", "UpscaleModelLoader", "ImageUpscaleWithModel"),
        *("CreateVideo", "SaveVideo", "SaveAudioMP3", "SaveGLB", "PrimitiveInt", "PreviewAny", "ComfyMathExpression"),
        *(
            "StringReplace",
            "ManualSigmas",
            "SamplerCustomAdvanced",
            "SaveImageWebsocket",
            "SaveAnimatedWEBP",
            "SaveAnimatedPNG",
        ),
    ]
    assert [name for name in names if STOCK_CLASSES[name].unsafe_trait is not None] == []


def test_open_policy_refuses_fewer_classes_and_every_reason_is_a_sentence() -> None:
    assert STRICT_REASONS.keys() > TRAITS_REFUSED_WHEN_OPEN
    assert all(
        reason.startswith("It ") and reason.endswith(".") for reason in STRICT_REASONS.values() if "Its" not in reason
    )


@pytest.mark.parametrize("module", ["nodes", "comfy_extras.nodes_images", "comfy_extras.nodes_new_home"])
def test_stock_class_is_found_in_any_stock_module(module: str) -> None:
    assert find_stock_class("SaveImage", module) is STOCK_CLASSES["SaveImage"]


@pytest.mark.parametrize("module", ["custom_nodes.pack", "custom_nodes.comfy_extras", "comfy_extras", "", "nodes.x"])
def test_class_of_a_custom_pack_is_custom_whatever_its_name(module: str) -> None:
    assert find_stock_class("SaveImage", module) is None
    assert not is_unreviewed("SaveImage", module)


def test_new_stock_class_counts_as_unreviewed() -> None:
    assert find_stock_class("SaveEverything", "comfy_extras.nodes_new") is None
    assert is_unreviewed("SaveEverything", "comfy_extras.nodes_new")
    assert not is_unreviewed("SaveImage", "nodes")


def test_new_partner_api_class_is_known_to_use_the_network() -> None:
    found = find_stock_class("TomorrowsVideoNode", "comfy_api_nodes.nodes_tomorrow")
    assert found is not None
    assert found.unsafe_trait is Trait.NETWORK
    assert is_unreviewed("TomorrowsVideoNode", "comfy_api_nodes.nodes_tomorrow")


def test_numbered_inputs_of_a_growing_group_share_their_role() -> None:
    loader = STOCK_CLASSES["LoadLoraModel"]
    assert loader.find_role("loras.0.lora_name") is loader.find_role("loras.17.lora_name") is InputRole.MODEL
    assert loader.find_role("loras.0.strength") is None
    assert loader.find_role("loras.0.lora_name.x") is None
