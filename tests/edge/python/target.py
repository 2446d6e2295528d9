"""A target that sends every message back. Says its address on standard output."""

import asyncio
import logging

import websockets


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def main():
    # Health checks connect and say nothing.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main())
