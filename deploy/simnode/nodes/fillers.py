"""Any number of classes that do nothing: a node with many packs and many models has as many, with as long lists."""

from simnode.node_class import Call, Field, NodeClass, Result, instantly

OPTIONS = 5_000  # of each; the file names of a large collection of models


def _nothing(_: Call) -> Result:
    return Result(("",))


def classes(count: int) -> list[NodeClass]:
    """So many classes, ``Filler0001`` and so on; every hundredth has an input with ``OPTIONS`` choices."""
    choices = tuple(f"collection/filler_model_{number:05}.safetensors" for number in range(OPTIONS))
    text = Field("text", "STRING", {"default": ""}, "optional")
    model = Field("model", choices, group="optional")
    return [
        NodeClass(
            name=f"Filler{number:04}",
            run=instantly(_nothing),
            inputs=(text, model) if number % 100 == 0 else (text,),
            outputs=("STRING",),
            output_node=number == 1,
            category="simnode",
            module="custom_nodes.simnode",
            description="Does nothing.",
        )
        for number in range(1, count + 1)
    ]
