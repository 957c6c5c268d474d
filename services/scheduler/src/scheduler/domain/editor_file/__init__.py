"""Converts files of ComfyUI's editor ("UI format") to graphs in API format.

The conversion does what the editor does when a workflow is queued (``graphToPrompt`` of the front end 1.49), with the
classes of a node: exactly, or not at all. A file assigns values to widgets by position only, so the same file means
another graph where a class has other inputs.
"""
