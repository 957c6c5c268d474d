"""Input roles: from the review for stock classes, by pattern for others."""

from dataclasses import dataclass, field

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.input_roles import ClassRoles, find_role_by_pattern
from contracts.graph_policy.registry import InputRole


@dataclass(frozen=True)
class Described:
    """A catalog class with its module."""

    module: str = "custom_nodes.pack"
    inputs: dict[str, InputSpec] = field(default_factory=dict)
    output_node: bool = False


def text() -> InputSpec:
    return InputSpec(type="STRING", required=True)


def combo(*options: str) -> InputSpec:
    return InputSpec(type="COMBO", required=True, options=options)


READS = {
    InputRole.FILE: "path file filename file_name image_path imagePath2 filePath input_file mask_files basename inpath",
    InputRole.FOLDER: "folder directory dir subfolder folder_name video_dir input_directory folder_path dirname",
    InputRole.MODEL: "ckpt_name lora_name vae_name model_path lora_file weights_path",
    InputRole.URL: "url image_url source_urls uri webhook_url",
    InputRole.OUTPUT_NAME: "filename_prefix output_path save_path save_dir output_folder custom_output_dir outdir "
    "out_path export_file target_path filename_suffix filename_delimiter save_as output_name",
    InputRole.REGEX: "regex regex_pattern",
    InputRole.CODE: "python_code script fragment_shader",
}
PLAIN = (
    "file_format filename_number_padding path_type folder_type output_format text prompt prefix text_prefix profile "
    "profile_name layer_name preset_name filter filler file_count files_per_batch directional direction curl pattern "
    "language_code target_size overlay sampler_name scheduler model lora clip image url_encode_mode seed"
)


@pytest.mark.parametrize(("name", "role"), [(name, role) for role, names in READS.items() for name in names.split()])
def test_text_input_of_a_custom_class_is_classified_by_name(name: str, role: InputRole) -> None:
    assert find_role_by_pattern(name, text(), output_node=False) is role
    assert find_role_by_pattern(f"group.{name}", None, output_node=False) is role


@pytest.mark.parametrize("name", PLAIN.split())
def test_names_that_merely_resemble_paths_have_no_role(name: str) -> None:
    assert find_role_by_pattern(name, text(), output_node=False) is None


@pytest.mark.parametrize("name", ["path", "filename", "folder", "subfolder", "directory", "prefix", "file_name"])
def test_path_input_of_an_output_node_is_a_write_target(name: str) -> None:
    assert find_role_by_pattern(name, text(), output_node=True) is InputRole.OUTPUT_NAME


@pytest.mark.parametrize("kind", ["INT", "FLOAT", "BOOLEAN", "IMAGE", "MODEL"])
def test_numbers_and_sockets_have_no_role(kind: str) -> None:
    for name in ("resize_folder", "overwrite_files", "filename_prefix"):
        assert find_role_by_pattern(name, InputSpec(type=kind, required=True), output_node=True) is None


@pytest.mark.parametrize("kind", ["WEBCAM", "AUDIO_RECORD", "LOAD_3D"])
def test_upload_widgets_are_file_inputs(kind: str) -> None:
    assert find_role_by_pattern("thing", InputSpec(type=kind, required=True), output_node=False) is InputRole.FILE


def test_upload_flag_makes_any_input_a_file_input() -> None:
    assert (
        find_role_by_pattern("thing", InputSpec(type="STRING", required=True, upload=True), output_node=False)
        is InputRole.FILE
    )


@pytest.mark.parametrize(
    ("name", "options", "role"),
    [
        ("thing", ("None", "sd/xl.safetensors"), InputRole.MODEL),
        ("thing", ("A.CKPT",), InputRole.MODEL),
        ("thing", ("a.png", "b.txt"), InputRole.FILE),
        ("thing", ("none", "clips/a.MP4"), InputRole.FILE),
        ("vae_name", ("pixel_space",), InputRole.MODEL),
        ("motion_name", (), InputRole.MODEL),
        ("name", (), InputRole.MODEL),
        ("latent", (), InputRole.FILE),
        ("directory", ("3d", "comfyfleet"), InputRole.FOLDER),
        ("folder", (), InputRole.FOLDER),
        ("choice", (), None),
        ("extension", (".png", ".jpg"), None),
        ("format", ("image/gif", "video/h264-mp4"), None),
        ("sampler_name", ("euler", "heun"), None),
        ("file_format", ("png", "jpg"), None),
        ("version", ("v1.5", "2.1"), None),
        ("output_type", ("input", "output"), None),
    ],
)
def test_option_input_is_classified_by_options_and_name(
    name: str, options: tuple[str, ...], role: InputRole | None
) -> None:
    assert find_role_by_pattern(name, combo(*options), output_node=False) is role
    assert find_role_by_pattern(name, combo(*options), output_node=True) is role


def test_long_input_names_are_classified_by_their_suffix() -> None:
    assert find_role_by_pattern("x" * 100_000 + "_path", text(), output_node=False) is InputRole.FILE
    assert find_role_by_pattern("path" * 100_000 + "_mode", text(), output_node=False) is None


@pytest.mark.parametrize(
    ("class_type", "module", "name", "role"),
    [
        ("LoadImage", "nodes", "image", InputRole.FILE),
        ("SaveImageAdvanced", "comfy_extras.nodes_images", "filename_prefix", InputRole.OUTPUT_NAME),
        ("SaveImageAdvanced", "comfy_extras.nodes_images", "format.bit_depth", None),
        ("SaveAudioAdvanced", "comfy_extras.nodes_audio", "filename_prefix", InputRole.OUTPUT_NAME),
        ("SaveLoRA", "comfy_extras.nodes_train", "prefix", InputRole.OUTPUT_NAME),
        ("AddTextPrefix", "comfy_extras.nodes_dataset", "prefix", None),
        ("Load3D", "comfy_extras.nodes_load_3d", "image", InputRole.RECORD),
        ("Load3D", "comfy_extras.nodes_load_3d", "image.recording", InputRole.FILE),
        ("WebcamCapture", "comfy_extras.nodes_webcam", "image", InputRole.FILE),
        ("RecordAudio", "comfy_extras.nodes_audio", "audio", InputRole.FILE),
        ("Painter", "comfy_extras.nodes_painter", "mask", InputRole.FILE),
        ("ModelPatchLoader", "comfy_extras.nodes_model_patch", "name", InputRole.MODEL),
        ("LoadLoraModel", "comfy_extras.nodes_lora_stack", "loras.3.lora_name", InputRole.MODEL),
        ("CustomCombo", "comfy_extras.nodes_logic", "choice", None),
        ("ManualSigmas", "comfy_extras.nodes_custom_sampler", "sigmas", InputRole.SHORT_TEXT),
    ],
)
def test_reviewed_roles_apply_to_stock_classes(class_type: str, module: str, name: str, role: InputRole | None) -> None:
    spec = Described(module=module, inputs={name: combo()} if class_type == "CustomCombo" else {name: text()})
    assert ClassRoles(class_type, spec).find_role(name) is role


def test_unreviewed_input_is_classified_by_pattern() -> None:
    spec = Described(module="nodes", inputs={"output_folder": text(), "quality": text()})
    assert ClassRoles("SaveImage", spec).find_role("output_folder") is InputRole.OUTPUT_NAME
    assert ClassRoles("SaveImage", spec).find_role("quality") is None


def test_pack_class_with_a_stock_name_is_classified_by_pattern() -> None:
    spec = Described(module="custom_nodes.pack", inputs={"image": text(), "mask_path": text()})
    assert ClassRoles("LoadImage", spec).find_role("image") is None
    assert ClassRoles("LoadImage", spec).find_role("mask_path") is InputRole.FILE


def test_catalog_without_module_names_is_classified_by_pattern() -> None:
    spec = ClassSpec(inputs={"filename_prefix": text(), "images": text()}, outputs=(), output_node=True)
    assert ClassRoles("SaveImage", spec).find_role("filename_prefix") is InputRole.OUTPUT_NAME
    assert ClassRoles("SaveImage", spec).find_role("images") is None


def test_unknown_input_is_classified_by_name() -> None:
    roles = ClassRoles("Any", Described())
    assert roles.find_role("videos.video_path3") is InputRole.FILE
    assert roles.find_role("note") is None
