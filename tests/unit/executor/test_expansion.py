from executor.domain.expansion import Expansion, find_root_node

GRAPH = {
    "2": {"class_type": "SaveImage", "inputs": {}},
    "7": {"class_type": "LoopEnd", "inputs": {}},
    "7.1": {"class_type": "Odd", "inputs": {}},
}


def test_events_map_expanded_nodes_to_their_display_node() -> None:
    expansion = Expansion(GRAPH)
    expansion.apply_event("progress_state", {"nodes": {"7.0.0.2": {"display_node_id": "2"}, "2": {}, "x": 5}})
    expansion.apply_event("executing", {"node": "7.0.0.2", "display_node": "7"})
    expansion.apply_event("executed", {"node": "7.0.0.9", "display_node": "gone"})
    expansion.apply_event("executing", {"node": "2", "display_node": "2"})
    expansion.apply_event("executing", {"node": None})
    expansion.apply_event("progress_state", {"nodes": None})
    assert expansion.display_nodes == {"7.0.0.2": "2", "7.0.0.9": "7"}
    assert expansion.classes == {"LoopEnd"}


def test_display_nodes_from_events_override_those_of_a_cached_entry() -> None:
    expansion = Expansion(GRAPH)
    expansion.apply_event("executed", {"node": "7.0.0.2", "display_node": "2"})
    entry = {"outputs": {}, "meta": {"7.0.0.2": {"display_node": "7"}, "2": {"display_node": "2"}}}
    assert expansion.add_display_nodes(entry)["meta"] == {"7.0.0.2": {"display_node": "2"}, "2": {"display_node": "2"}}
    assert expansion.add_display_nodes({"meta": None})["meta"] == {"7.0.0.2": {"display_node": "2"}}


def test_expanded_node_id_starts_with_the_id_of_its_parent() -> None:
    assert find_root_node("7.0.0.2", GRAPH) == "7"
    assert find_root_node("7.1.0.0.2.0.0.1", GRAPH) == "7.1"
    assert find_root_node("8.0.0.1", GRAPH) is None
    assert find_root_node("", GRAPH) is None
