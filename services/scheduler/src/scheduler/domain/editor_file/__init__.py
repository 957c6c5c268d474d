"""Files of ComfyUI's editor ("UI format"), made graphs in API format.

What the editor does when a workflow is queued (``graphToPrompt`` of its front end 1.49) is done here with the classes
of a node: exactly, or not at all. A file says which widget a value belongs to only by its place among the values of
its node, so the same file means something else where a class has other inputs.
"""
