"""What a ComfyUI node says that its classes take and give (``/object_info``).

Reduced to what admission needs, and to what it takes to read files of ComfyUI's editor.
"""

from contracts.wire.model import TolerantModel

Scalar = str | int | float | bool


class InputSpec(TolerantModel):
    """What one input of a node class accepts.

    Attributes:
        type: ComfyUI's type name; "COMBO" for one of ``options``; types joined by commas where any of them will do.
        options: what may be chosen; None where the node does not list everything.
        min, max: inclusive. Integers are exact: a seed's maximum, 2^64-1, has no float.
        upload: takes the name of an uploaded file.
        multiselect: takes a list of ``options`` as well as one of them.
        default: what the node's editor fills in, where that is a number, a boolean or a short text.
        variants: of a dynamic combo, the further inputs that each option brings: input ``y`` of ``x`` is ``x.y``.
        grown: of an input that grows (autogrow), which inputs it can become.
        position: its place among the inputs of its class or option, from 0, as ComfyUI's editor shows them.
        only_linked: the editor has no widget for it, although it has one for the type (``forceInput``).
        widget: the type of the editor's widget, where that is another than the input's (``widgetType``).
        controlled: the editor keeps what to do with the value after each run right behind it in its files.
        dynamic_prompts: the editor chooses among the alternatives of a text before it sends it.
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
    grown: "GrownInputs | None" = None
    position: int = 0
    only_linked: bool = False
    widget: str | None = None
    controlled: bool = False
    dynamic_prompts: bool = False


class GrownInputs(TolerantModel):
    """The inputs that an autogrow input stands for: ``images`` with the name ``image0`` is ``images.image0``.

    Attributes:
        required: how many of the first ``names`` must be given.
        input: what each of them accepts.
    """

    names: tuple[str, ...]
    required: int
    input: InputSpec


class ClassSpec(TolerantModel):
    """What one node class takes and gives.

    Attributes:
        module: the Python module that declares the class (ComfyUI's ``python_module``): ``nodes`` and
            ``comfy_extras.*`` for stock classes, ``custom_nodes.<pack>`` for a custom pack's, "" where it is unknown.
    """

    inputs: dict[str, InputSpec]
    outputs: tuple[str, ...]
    output_node: bool
    module: str = ""
