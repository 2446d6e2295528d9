"""A client of an echo target: its URL is the argument. Fails when what comes back is not what was sent."""

import asyncio
import sys

import websockets

MESSAGES = [
    "hello",
    "",
    "grüße 🚇",
    bytes(range(256)),
    # Compression makes these small on the wire.
    "all work and no play " * 200_000,
    b"\x00\x01\x02\x03" * 1_000_000,
]


async def main(url):
    async with websockets.connect(url, max_size=None) as socket:
        for message in MESSAGES:
            await socket.send(message)
            echo = await socket.recv()
            assert echo == message, f"{len(message)} sent, {len(echo)} came back"
        pong = await socket.ping()
        await pong
        await socket.close(1000, "done")
        assert socket.close_code == 1000, socket.close_code
        assert socket.close_reason == "done", socket.close_reason


asyncio.run(main(sys.argv[1]))
