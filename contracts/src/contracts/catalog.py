"""The node classes of a ComfyUI node with their inputs and outputs, from ``/object_info``.

Reduced to what admission and the reader of ComfyUI editor files need.
"""

from contracts.wire.model import TolerantModel

Scalar = str | int | float | bool


class InputSpec(TolerantModel):
    """What one input of a node class accepts.

    Attributes:
        type: ComfyUI's type name; "COMBO" for one of ``options``; several accepted types are joined by commas.
        options: values that can be chosen; None if the node does not list all of them.
        min, max: inclusive. Integers are exact: the maximum of a seed, 2^64-1, is not representable as a float.
        upload: accepts the name of an uploaded file.
        multiselect: accepts a list of ``options`` as well as one of them.
        default: the editor's default, if it is a number, a boolean or a short text.
        variants: for a dynamic combo, the further inputs of each option: input ``y`` of ``x`` is named ``x.y``.
        grown: for an autogrow input, the inputs that it can become.
        position: zero-based place among the inputs of its class or option, in the order of ComfyUI's editor.
        only_linked: the editor shows no widget for it, although the type has one (``forceInput``).
        widget: type of the editor's widget, if it differs from the input's (``widgetType``).
        controlled: editor files store the "control after generate" choice right after the value.
        dynamic_prompts: the editor picks one of the alternatives in a text before it submits.
    """

    type: str
    required: bool
    options: tuple[Scalar, ...] | None = None
    min: int | float | None = None
    max: int | float | None = None
    upload: bool = False
    multiselect: bool = False
    default: Scalar | None = None
    variants: "dict[str, dict[str, InputSpec]] | None" = None
    grown: "AutogrowInputs | None" = None
    position: int = 0
    only_linked: bool = False
    widget: str | None = None
    controlled: bool = False
    dynamic_prompts: bool = False


class AutogrowInputs(TolerantModel):
    """The inputs that an autogrow input expands to: ``images`` with the name ``image0`` is ``images.image0``.

    Attributes:
        required: number of leading ``names`` that are required.
        input: what each of them accepts.
    """

    names: tuple[str, ...]
    required: int
    input: InputSpec


class ClassSpec(TolerantModel):
    """Inputs and outputs of one node class.

    Attributes:
        module: the Python module that declares the class (ComfyUI's ``python_module``): ``nodes`` and
            ``comfy_extras.*`` for stock classes, ``custom_nodes.<pack>`` for a custom pack, "" if unknown.
    """

    inputs: dict[str, InputSpec]
    outputs: tuple[str, ...]
    output_node: bool
    module: str = ""
