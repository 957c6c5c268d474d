"""Errors of requests for a model that the fleet does not have."""

from contracts.wire.errors import ErrorKind, Refusal


class NoModel(Refusal):
    """No node has a checkpoint for text-to-image. Ask the operator to install one, or send your own workflow."""

    kind, code = ErrorKind.INVALID, "model.missing"
