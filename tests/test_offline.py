"""With the network blocked, this machine is reached and no other."""

import socket
import subprocess
import sys

import pytest

from mmlearn.check.offline import NetworkBlocked, block_network, is_local


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "8.8.8.8"])
def test_other_machines_are_refused_in_one_sentence(host):
    with pytest.raises(NetworkBlocked, match=f"tried to reach '{host}'"):
        socket.create_connection((host, 80), timeout=1)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        pytest.raises(NetworkBlocked),
    ):
        one.sendto(b"", (host, 53))


def test_loopback_stays_open():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), timeout=5).close()
        name = ("localhost", server.getsockname()[1])
        socket.create_connection(name, timeout=5).close()
    assert (
        is_local("::1") and is_local(b"127.0.0.1") and not is_local("127.example.org")
    )


def test_blocking_twice_changes_nothing():
    before = socket.socket.connect
    block_network()
    assert socket.socket.connect is before


def test_importing_the_package_under_the_variable_blocks_it():
    """And imports nothing heavy for it; every process we start inherits this."""
    code = (
        "import sys, socket, mmlearn; assert 'torch' not in sys.modules\n"
        "socket.create_connection(('192.0.2.1', 80), timeout=1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "NetworkBlocked: the network is blocked here" in done.stderr
