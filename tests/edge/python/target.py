"""A target that sends every message back, in TLS if the arguments are the files of a certificate and its key. Says its
address on standard output."""

import asyncio
import logging
import ssl
import sys

import websockets


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def main(*certificate):
    # Health checks connect and say nothing.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificate)
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, ssl=tls) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main(*sys.argv[1:]))
