"""Refusals about what the fleet can run."""

from contracts.wire.errors import Kind, Refusal


class NoModel(Refusal):
    """No node has a checkpoint for text-to-image. Ask the operator to install one, or send your own workflow."""

    kind, code = Kind.INVALID, "model.missing"
