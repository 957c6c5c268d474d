"""What we know of a node class beyond its catalog entry, and so how far we may judge what a graph gives it."""

from typing import NamedTuple

from contracts.catalog import ClassSpec, InputSpec

DYNAMIC_TYPES = frozenset({"COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3", "COMFY_DYNAMICSLOT_V3"})
STOCK_MODULES = ("nodes", "comfy_extras.", "comfy_api_nodes.")

# Read from VALIDATE_INPUTS and validate_inputs of ComfyUI 0.33.0 and 0.3.64. An input that such a function takes is
# no longer compared with its bounds and options; one with ``**kwargs`` takes all inputs.
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
TAKES_LINKS_OF_ANY_TYPE = frozenset({"TripoConversionNode"})  # its function asks for ``input_types``
TAKES_ANY_INPUT = frozenset({"CustomCombo"})  # ``accept_all_inputs``

# Dynamic combos that a class does without, as workflows of older versions have them: SaveVideo of 0.33 takes ``codec``
# beside ``format`` too, as that of 0.3.64 does, or none.
DISPENSABLE_COMBOS: dict[str, frozenset[str]] = {"SaveVideo": frozenset({"format.codec"})}

# Types whose values exist only while a graph runs, so no literal can stand for them. ComfyUI lets a literal pass and
# the node fails on it.
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
        is_custom: a custom pack's. It may validate its inputs itself, and its types may equal more than their names
            do, so bounds, options and types of links are left to the node.
        fixed: its inputs by name and whether each is required, where none of them is dynamic; else None.
        has_unknown_inputs: it has a dynamic input of which the catalog does not tell what it becomes.
    """

    name: str
    spec: ClassSpec
    is_custom: bool
    fixed: dict[str, tuple[InputSpec, bool]] | None
    has_unknown_inputs: bool = False

    def validates_itself(self, input_name: str) -> bool:
        """Whether the class may accept what its declaration excludes."""
        return (
            self.is_custom
            or self.name in ALL_SELF_VALIDATED
            or input_name in SELF_VALIDATED.get(self.name, frozenset())
        )

    @property
    def dispensable_combos(self) -> frozenset[str]:
        """Full names of dynamic combos that may be missing although the class declares them as required."""
        return DISPENSABLE_COMBOS.get(self.name, frozenset())

    @property
    def takes_links_of_any_type(self) -> bool:
        """Whether the types of outputs that are linked to the class are its own business."""
        return self.is_custom or self.name in TAKES_LINKS_OF_ANY_TYPE

    @property
    def takes_any_input(self) -> bool:
        """Whether inputs that the class does not declare may reach it all the same."""
        return self.is_custom or self.has_unknown_inputs or self.name in TAKES_ANY_INPUT

    def takes_only_links(self, spec: InputSpec) -> bool:
        """Whether no literal can be a value of this input."""
        if self.is_custom:
            return False
        if "," not in spec.type:
            return spec.type in LINK_ONLY_TYPES
        return all(kind.strip() in LINK_ONLY_TYPES for kind in spec.type.split(","))


def facts_of(name: str, spec: ClassSpec) -> ClassFacts:
    """The facts of a class; to be kept, since they cost more than to check a node."""
    dynamic = any(one.variants is not None or one.grown is not None for one in spec.inputs.values())
    unknown = any(is_opaque(one) for one in spec.inputs.values())
    fixed = None if dynamic or unknown else {key: (one, one.required) for key, one in spec.inputs.items()}
    return ClassFacts(name, spec, _is_custom(spec.module), fixed, unknown)


def is_opaque(spec: InputSpec) -> bool:
    """Whether this is a dynamic input whose parts are unknown: of a later kind, or from an older executor."""
    return spec.type in DYNAMIC_TYPES and spec.variants is None and spec.grown is None


def _is_custom(module: str) -> bool:
    """An unknown module counts as stock: catalogs had none before custom packs were told apart."""
    return bool(module) and module != STOCK_MODULES[0] and not module.startswith(STOCK_MODULES[1:])
