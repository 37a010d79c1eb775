"""A reverse proxy as people run one: serves what is behind it below a path, which it takes away."""

import socket
import threading
from contextlib import suppress


class Proxy:
    """Passes `/prefix/…` on to a port as `/…`, HTTP and WebSocket alike."""

    def __init__(self, port: int, prefix: str) -> None:
        self._port = port
        self._prefix = prefix.encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            method, path, rest = head.split(b" ", 2)
            if not path.startswith(self._prefix + b"/"):
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return
            if b"upgrade: websocket" not in head.lower():
                # one request on each connection, so that only its first line has a path
                rest = rest.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close", 1)
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                server.sendall(b" ".join([method, path.removeprefix(self._prefix), rest]))
                back = threading.Thread(target=_pass, args=(server, client), daemon=True)
                back.start()
                _pass(client, server)
                back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
