"""NATS request handlers of auth, one module per subject. The tenant comes from the NATS subject, never the payload."""
