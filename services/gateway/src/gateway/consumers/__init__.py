"""NATS in: parse, one use case, reply."""
