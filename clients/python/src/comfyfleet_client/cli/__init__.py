"""The command line ``comfyfleet``."""
