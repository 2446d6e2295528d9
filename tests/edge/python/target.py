"""A target that sends every message back, on the port that is the first argument, and in TLS if the files of a certificate and its
key are the others. Says its address on standard output, once it listens."""

import asyncio
import logging
import ssl
import sys

import websockets


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def main(port, *files):
    # Health checks connect and say nothing.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    tls = None
    if files:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*files)
    async with websockets.serve(echo, "127.0.0.1", int(port), max_size=None, ssl=tls) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main(*sys.argv[1:]))
