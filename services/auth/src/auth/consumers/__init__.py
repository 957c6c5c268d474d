"""What auth answers over NATS, by what it is about. The tenant is the subject's, never the payload's."""
