"""The grammar that every message obeys: models, subjects, refusals, streams."""
