"""JSON Pointers (RFC 6901)."""


def escape_pointer_key(key: int | str) -> str:
    """Return a key or index as one part of a JSON Pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")
