"""A ComfyUI server without a GPU: it keeps the wire contract of the real one and draws pictures instead of sampling.

It refuses to know anything about comfyfleet: whatever drives a real node can drive this one, unchanged.
Import :class:`simnode.node.SimNode` to run one inside a test; run ``python -m simnode`` to have one as a program.
"""
