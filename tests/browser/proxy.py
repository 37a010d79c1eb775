"""A reverse proxy as people run one: serves what is behind it below a path, which it takes away.

It may also be of those that forbid sockets, or keep responses until they are whole.
"""

import socket
import threading
from contextlib import suppress
from typing import Literal

Sockets = Literal["pass", "refuse", "hang", "cut"]
_REFUSED = b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes `/prefix/…` on to a port as `/…`, HTTP and WebSocket alike.

    `sockets` are let through, refused, left to hang or cut after their first words; with `buffers`
    a response is passed on when it is whole.
    """

    def __init__(
        self, port: int, prefix: str = "", *, sockets: Sockets = "pass", buffers: bool = False
    ) -> None:
        self._port = port
        self._prefix = prefix.encode()
        self._sockets = sockets
        self._buffers = buffers
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}{prefix}/"
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut all that is open now."""
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            method, path, rest = head.split(b" ", 2)
            if not path.startswith(self._prefix + b"/"):
                client.sendall(_REFUSED % b"404 Not Found")
                return
            upgrades = b"upgrade: websocket" in head.lower()
            if upgrades and self._sockets in ("refuse", "hang"):
                self.refused += 1
                if self._sockets == "refuse":
                    client.sendall(_REFUSED % b"403 Forbidden")
                else:
                    client.recv(1)
                return
            if not upgrades:
                # one request on each connection, so that only its first line has a path
                rest = rest.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close", 1)
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                server.sendall(b" ".join([method, path.removeprefix(self._prefix), rest]))
                back = threading.Thread(
                    target=self._pass_back, args=(server, client, upgrades), daemon=True
                )
                back.start()
                _pass(client, server)
                back.join()
        self._open.discard(client)

    def _pass_back(self, server: socket.socket, client: socket.socket, upgrades: bool) -> None:
        if upgrades and self._sockets == "cut":
            self.refused += 1
            with suppress(OSError):
                client.sendall(server.recv(65536))
                client.recv(65536)
                client.shutdown(socket.SHUT_RDWR)
        elif self._buffers and not upgrades:
            whole = bytearray()
            with suppress(OSError):
                while piece := server.recv(65536):
                    whole += piece
                client.sendall(whole)
                client.shutdown(socket.SHUT_WR)
        else:
            _pass(server, client)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
