"""What a ComfyUI node says that its classes take and give (``/object_info``), reduced to what admission needs."""

from contracts.wire.model import Fact


class InputSpec(Fact):
    """What one input of a node class accepts.

    Attributes:
        type: ComfyUI's type name; "COMBO" for one of ``options``.
        upload: takes the name of an uploaded file.
    """

    type: str
    required: bool
    options: tuple[str | int | float | bool, ...] | None = None
    min: float | None = None
    max: float | None = None
    upload: bool = False


class ClassSpec(Fact):
    """What one node class takes and gives.

    Attributes:
        module: the Python module that declares the class (ComfyUI's ``python_module``): ``nodes`` and
            ``comfy_extras.*`` for stock classes, ``custom_nodes.<pack>`` for a custom pack's, "" where it is unknown.
    """

    inputs: dict[str, InputSpec]
    outputs: tuple[str, ...]
    output_node: bool
    module: str = ""
