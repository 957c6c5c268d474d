"""NATS request handlers of auth, one module per topic area.

The tenant comes from the NATS subject, never the payload.
"""
