"""A network that is not there: what the book promises to live without.

``MMLEARN_OFFLINE=1`` blocks it when `mmlearn` is imported; the tests block it for
themselves. Loopback and Unix sockets stay open: Jupyter talks to its kernels through
them. This keeps honest code honest; it is no wall against hostile code.
"""

import ipaddress
import socket

_LOCAL = {"", "localhost", "localhost.localdomain", "ip6-localhost", "0.0.0.0", "::"}


class NetworkBlocked(RuntimeError):
    """Something tried to reach another machine."""


def is_local(host) -> bool:
    """Whether an address or name means this machine."""
    if host is None or host == socket.gethostname():
        return True
    host = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if host.lower() in _LOCAL:
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def block_network() -> None:
    """From now on, connecting to (or looking up) another machine raises one sentence.

    Patches this process's Python sockets; calling it again changes nothing.
    """
    if getattr(socket.socket.connect, "blocks_network", False):
        return

    def guard(name: str):
        original = getattr(socket.socket, name)

        def guarded(self, *args):
            internet = self.family in (socket.AF_INET, socket.AF_INET6)
            if internet and args and isinstance(args[-1], tuple):
                refuse(args[-1][0])
            return original(self, *args)

        guarded.blocks_network = True
        setattr(socket.socket, name, guarded)

    for name in ("connect", "connect_ex", "sendto"):
        guard(name)
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        refuse(host)
        return look_up(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def refuse(host) -> None:
    """Raise NetworkBlocked unless the host is this machine."""
    if not is_local(host):
        raise NetworkBlocked(
            f"the network is blocked here (MMLEARN_OFFLINE), but something tried to "
            f"reach {host!r}; everything mmlearn needs comes with it"
        )
