"""A fork server with slow imports: the first ends at the first request, the last one when a file exists."""

import socket
import sys

from stack.fork_server import ForkServer

MODULES = ("tests.integration.stack.until_requested", "stack.run_commands", "tests.integration.stack.until_released")


def main(descriptor: int) -> None:
    """Serve ``stack.processes.ForkServerClient`` on a socket."""
    fork_server = ForkServer(socket.socket(fileno=descriptor), ())
    try:
        fork_server.serve(MODULES)
    finally:
        fork_server.kill_children()


if __name__ == "__main__":
    main(int(sys.argv[1]))
