"""Messages between the services: payloads, subjects, streams and errors. The transport is chassis.messaging."""
