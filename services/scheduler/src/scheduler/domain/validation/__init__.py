"""Whether a node accepts a graph: ComfyUI's own validation (``validate_prompt``, 0.33), applied to a node's catalog."""
