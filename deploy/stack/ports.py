"""Finds free ports on the loopback interface."""

import random
import socket
from collections import deque
from pathlib import Path

LOOPBACK = "127.0.0.1"
MAX_RESERVED = 200
EPHEMERAL_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class PortTaken(Exception):
    """Port {port} is in use by another program."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use by another program; choose another with --port (0 picks a free one)")


_reserved: deque[socket.socket] = deque()


def find_free_ports(count: int) -> list[int]:
    """Return different ports without a listener, below the range of ephemeral ports.

    Other processes do not get them from this function while this process lives: its sockets stay bound. Servers listen
    there nevertheless, because they set SO_REUSEADDR and these sockets do not listen. Only the newest
    ``MAX_RESERVED`` ports stay reserved.

    A client that reconnects to a dead server on an ephemeral port can connect to itself, which blocks the port for the
    server.
    """
    ceiling = _find_first_ephemeral_port()
    ports: list[int] = []
    while len(ports) < count:
        port = random.randint(min(10_240, ceiling - 2_000), ceiling - 1)  # noqa: S311 - no secret
        probe = socket.socket()
        try:
            probe.bind((LOOPBACK, port))  # without SO_REUSEADDR, so that it fails for reserved ports
        except OSError:
            probe.close()
            continue
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved.append(probe)
        ports.append(port)
    while len(_reserved) > MAX_RESERVED:
        _reserved.popleft().close()
    return ports


def open_listener(port: int) -> socket.socket:
    """Open a listening socket on the public port; 0 picks a free one.

    Raises:
        PortTaken: the port is in use.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(1024)
    except OSError as refused:
        listener.close()
        raise PortTaken(port) from refused
    return listener


def _find_first_ephemeral_port() -> int:
    try:
        return int(EPHEMERAL_PORT_RANGE.read_text().split()[0])
    except (OSError, ValueError):
        return 32_768
