"""A ComfyUI server without a GPU: it keeps the wire contract of the real one and draws images instead of sampling.

It knows nothing about comfyfleet: a client of a real node works with this one unchanged. Use
:class:`simnode.node.SimNode` to run one in a test, or ``python -m simnode`` to run one as a program.
"""
