"""The executor service: runs jobs on one ComfyUI node."""
