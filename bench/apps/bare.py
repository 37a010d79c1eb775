"""The bare WebSocket echo of Parlour's own server stack: all that `parlour run` does, less Parlour.

`python bench/apps/bare.py PORT`
"""

import sys
from pathlib import Path

from parlour.web import serving


async def echo(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


if __name__ == "__main__":
    serving.build = lambda *_: echo
    app = str(Path(__file__).with_name("echo.py"))
    serving.serve(serving.ServePlan(app=app, port=int(sys.argv[1])))
