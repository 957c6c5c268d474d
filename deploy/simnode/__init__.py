"""A simulated ComfyUI server: it has the API of the real one, needs no GPU, and draws images instead of sampling.

It does not depend on comfyfleet, and clients need no change to use it instead of a real node. Use
:class:`simnode.node.SimNode` to run one in a test, or ``python -m simnode`` to run one as a program.
"""
