from typing import Any

from executor.domain.missing_outputs import MAX_NAMED, build_missing_outputs_warning


def graph(*classes: str) -> dict[str, Any]:
    return {str(number): {"class_type": name, "inputs": {}} for number, name in enumerate(classes)}


def test_warning_lists_output_nodes_without_outputs_and_their_classes() -> None:
    nodes = graph("SaveImage", "KSampler", "PlaySound")
    warning = build_missing_outputs_warning(nodes, {"SaveImage", "PlaySound"}.__contains__, nodes_with_outputs=["0"])
    assert warning is not None
    assert warning.message == "These output nodes produced no output: 2 (PlaySound)."


def test_no_warning_when_every_output_node_has_outputs() -> None:
    assert (
        build_missing_outputs_warning(
            graph("SaveImage", "KSampler"), {"SaveImage"}.__contains__, nodes_with_outputs=["0"]
        )
        is None
    )


def test_warning_about_many_nodes_contains_their_number() -> None:
    warning = build_missing_outputs_warning(graph(*["PlaySound"] * 500), lambda _: True, nodes_with_outputs=[])
    assert warning is not None
    assert warning.message.endswith(f" and {500 - MAX_NAMED} more.")
