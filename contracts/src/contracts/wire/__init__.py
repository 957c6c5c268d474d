"""The format of all messages: base models, subjects, refusals and streams."""
