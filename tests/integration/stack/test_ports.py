"""Free ports stay reserved for the servers that will listen on them."""

import socket

import pytest

from stack.ports import LOOPBACK, find_free_ports


def test_found_port_is_taken_for_others_and_free_for_a_server() -> None:
    (port,) = find_free_ports(1)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((LOOPBACK, port))  # like another process that looks for a free port
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((LOOPBACK, port))
        server.listen()
        socket.create_connection((LOOPBACK, port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port))
