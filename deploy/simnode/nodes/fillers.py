"""Generates classes that do nothing, to simulate a node with many packs and long model lists."""

from simnode.node_class import Call, Field, NodeClass, NodeResult, run_inline

OPTIONS = 5_000  # per list: the file names of a large model collection


def _return_nothing(_: Call) -> NodeResult:
    return NodeResult(("",))


def build_filler_classes(count: int) -> list[NodeClass]:
    """Return the given number of classes, ``Filler0001`` and so on.

    Every hundredth has an input with ``OPTIONS`` options.
    """
    choices = tuple(f"collection/filler_model_{number:05}.safetensors" for number in range(OPTIONS))
    text = Field("text", "STRING", {"default": ""}, "optional")
    model = Field("model", choices, group="optional")
    return [
        NodeClass(
            name=f"Filler{number:04}",
            run=run_inline(_return_nothing),
            inputs=(text, model) if number % 100 == 0 else (text,),
            outputs=("STRING",),
            output_node=number == 1,
            category="simnode",
            module="custom_nodes.simnode",
            description="Does nothing.",
        )
        for number in range(1, count + 1)
    ]
