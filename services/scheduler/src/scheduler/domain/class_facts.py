"""Facts about node classes that are not in their catalog entries. They decide how strictly inputs are checked."""

from typing import NamedTuple

from contracts.catalog import ClassSpec, InputSpec

DYNAMIC_TYPES = frozenset({"COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3", "COMFY_DYNAMICSLOT_V3"})
STOCK_MODULES = ("nodes", "comfy_extras.", "comfy_api_nodes.")

# Source: VALIDATE_INPUTS and validate_inputs of ComfyUI 0.33.0 and 0.3.64. ComfyUI does not check bounds and options of
# an input that such a function takes as a parameter; a function with ``**kwargs`` takes all inputs.
SELF_VALIDATED: dict[str, frozenset[str]] = {
    "FluxProUltraImageNode": frozenset({"aspect_ratio"}),
    "KlingCameraControls": frozenset({"horizontal_movement", "vertical_movement", "pan", "tilt", "roll", "zoom"}),
    "LoadAudio": frozenset({"audio"}),
    "LoadImage": frozenset({"image"}),
    "LoadImageMask": frozenset({"image"}),
    "LoadImageOutput": frozenset({"image"}),
    "LoadImageSetNode": frozenset({"images", "resize_method"}),
    "LoadLatent": frozenset({"latent"}),
    "LoadVideo": frozenset({"file"}),
    "ModelAttentionBackend": frozenset({"attention"}),
    "SelectCLIPDevice": frozenset({"device"}),
    "SelectModelDevice": frozenset({"device"}),
    "SelectVAEDevice": frozenset({"device"}),
    "WebcamCapture": frozenset({"image"}),
}
ALL_SELF_VALIDATED = frozenset({"CustomCombo", "Load3D", "Load3DAdvanced"})
TAKES_LINKS_OF_ANY_TYPE = frozenset({"TripoConversionNode"})  # its validation function takes ``input_types``
TAKES_ANY_INPUT = frozenset({"CustomCombo"})  # ``accept_all_inputs``

# Dynamic combos that may be missing, because workflows for older versions of ComfyUI do not have them: SaveVideo of
# 0.33 also accepts ``codec`` beside ``format``, as 0.3.64 does, or no codec.
OMITTABLE_COMBOS: dict[str, frozenset[str]] = {"SaveVideo": frozenset({"format.codec"})}

# Types whose values exist only while a graph runs, so a literal is never valid. ComfyUI accepts a literal, and the node
# fails on it later.
LINK_ONLY_TYPES = frozenset({
    *("AUDIO", "AUDIO_ENCODER", "AUDIO_ENCODER_OUTPUT", "BACKGROUND_REMOVAL", "CLIP", "CLIP_VISION"),
    *("CLIP_VISION_OUTPUT", "CONDITIONING", "CONTROL_NET", "GLIGEN", "GUIDER", "HOOKS", "HOOK_KEYFRAMES", "IMAGE"),
    *("LATENT", "LATENT_OPERATION", "LATENT_UPSCALE_MODEL", "LORA_MODEL", "LOSS_MAP", "MASK", "MESH", "MODEL"),
    *("MODEL_PATCH", "NOISE", "OPTICAL_FLOW", "PHOTOMAKER", "SAMPLER", "SIGMAS", "SPLAT", "STYLE_MODEL", "SVG"),
    *("TIMESTEPS_RANGE", "TRACKS", "UPSCALE_MODEL", "VAE", "VIDEO", "VOXEL", "WAN_CAMERA_EMBEDDING"),
})  # fmt: skip


class ClassFacts(NamedTuple):
    """A class of one catalog.

    Attributes:
        is_custom: the class is of a custom pack. It may validate its inputs itself and compare types in its own way, so
            bounds, options and link types are left to the node.
        static_inputs: its inputs by name, each with whether it is required; None if the class has dynamic inputs.
        has_unknown_inputs: the class has a dynamic input whose possible parts are not in the catalog.
    """

    name: str
    spec: ClassSpec
    is_custom: bool
    static_inputs: dict[str, tuple[InputSpec, bool]] | None
    has_unknown_inputs: bool = False

    def validates_itself(self, input_name: str) -> bool:
        """Whether the class may accept values outside its declared bounds and options."""
        return (
            self.is_custom
            or self.name in ALL_SELF_VALIDATED
            or input_name in SELF_VALIDATED.get(self.name, frozenset())
        )

    @property
    def omittable_combos(self) -> frozenset[str]:
        """Full names of dynamic combos that may be missing although they are declared as required."""
        return OMITTABLE_COMBOS.get(self.name, frozenset())

    @property
    def takes_links_of_any_type(self) -> bool:
        """Whether the types of linked outputs are left to the class."""
        return self.is_custom or self.name in TAKES_LINKS_OF_ANY_TYPE

    @property
    def takes_any_input(self) -> bool:
        """Whether the class may use inputs that it does not declare."""
        return self.is_custom or self.has_unknown_inputs or self.name in TAKES_ANY_INPUT

    def takes_only_links(self, spec: InputSpec) -> bool:
        """Whether the input takes a link only, never a literal."""
        if self.is_custom:
            return False
        if "," not in spec.type:
            return spec.type in LINK_ONLY_TYPES
        return all(kind.strip() in LINK_ONLY_TYPES for kind in spec.type.split(","))


def build_class_facts(name: str, spec: ClassSpec) -> ClassFacts:
    """Compute the facts of a class. Cache the result: computing it costs more than checking a node."""
    has_dynamic_inputs = any(
        declared.variants is not None or declared.grown is not None for declared in spec.inputs.values()
    )
    has_unknown_inputs = any(map(has_unknown_parts, spec.inputs.values()))
    static_inputs = None
    if not has_dynamic_inputs and not has_unknown_inputs:
        static_inputs = {input_name: (declared, declared.required) for input_name, declared in spec.inputs.items()}
    return ClassFacts(name, spec, _is_custom(spec.module), static_inputs, has_unknown_inputs)


def has_unknown_parts(spec: InputSpec) -> bool:
    """Whether this is a dynamic input whose parts are unknown: of a newer kind, or reported by an older executor."""
    return spec.type in DYNAMIC_TYPES and spec.variants is None and spec.grown is None


def _is_custom(module: str) -> bool:
    """Whether the module is a custom pack. No module counts as stock: older catalogs do not state modules."""
    return bool(module) and module != STOCK_MODULES[0] and not module.startswith(STOCK_MODULES[1:])
