"""An echo with next to nothing in it: frames by hand on uvloop. Shows what the load generator can.

`python bench/apps/plain.py PORT`
"""

import asyncio
import base64
import gc
import hashlib
import re
import sys

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(asyncio.Protocol):
    """Sends back each frame of fewer than 64 KiB without its mask, which must be zero."""

    def connection_made(self, transport):
        self.transport = transport
        self.upgraded = False

    def data_received(self, data):
        if not self.upgraded:
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", data)[1]
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.upgraded = True
            return
        size = data[1] & 0x7F
        if size < 126:
            self.transport.write(bytes((data[0], size)) + data[6:])
        else:
            self.transport.write(bytes((data[0], 126)) + data[2:4] + data[8:])


async def serve(port: int) -> None:
    gc.freeze()
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1])))
