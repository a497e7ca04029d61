"""WebSockets through the gateway. The scene comes as JSON on stdin; exit code 1 at the first thing that is not so."""

import asyncio
import base64
import json
import pathlib
import ssl
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

scene = json.load(sys.stdin)
tls = ssl.create_default_context(cafile=scene["caFile"])


def expect(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")


def opened(token, **options):
    headers = {} if token is None else {"Authorization": f"Bearer {scene['tokens'][token]}"}
    # The server insists on one that it knows.
    offered = ["other", "chat"]
    return connect(scene["url"], ssl=tls, additional_headers=headers, subprotocols=offered, max_size=None, **options)


def claims(token):
    payload = scene["tokens"][token].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def ask(connection, message):
    await connection.send(message)
    return await connection.recv()


async def closed(connection):
    """Close code and reason that end it."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed:
        return connection.close_code, connection.close_reason


async def messages(compression):
    async with opened("read", compression=compression) as connection:
        expect(connection.subprotocol, "chat", "subprotocol")
        agreed = "" if compression is None else "permessage-deflate"
        expect(",".join(each.name for each in connection.protocol.extensions), agreed, "extensions of the client")
        expect(await ask(connection, "extensions"), agreed, "extensions of the server")
        expect(await ask(connection, "headers authorization"), "", "the token at the server")
        for text in ("hello", "", "ü" * 70_000, "t" * 1024 * 1024):
            expect(await ask(connection, text), text, f"text of {len(text)}")
        for binary in (b"", bytes(range(256)), bytes(126), bytes(65_536), bytes(1024 * 1024)):
            expect(await ask(connection, binary), binary, f"{len(binary)} bytes")
        expect(await ask(connection, ["fragments", " and", " more"]), "4", "fragments, with the empty last one")
        await connection.send("stream 100")
        pieces = [piece async for piece in connection.recv_streaming()]
        expect(pieces, [*(str(number) for number in range(100)), ""], "fragments from the server")
        await asyncio.wait_for(await connection.ping("are you there"), 5)


async def close_codes():
    async with opened("read") as connection:
        await connection.close(4711, "done")
    async with opened("read") as connection:
        await connection.send("close 4321 because")
        expect(await closed(connection), (4321, "because"), "close by the server")
    async with opened("read") as connection:
        # The server's side of a closing may come after the client's.
        while len(seen := (await ask(connection, "closings")).split(" ")) < 2:
            await asyncio.sleep(0.01)
        expect(sorted(seen), ["4321/because", "4711/done"], "closings at the server")


async def refusal(token):
    try:
        async with opened(token):
            sys.exit(f"{token}: it was let through")
    except InvalidStatus as refused:
        return refused.response


async def refusals():
    nobody = await refusal(None)
    expect(nobody.status_code, 401, "without a token")
    expect(nobody.headers["WWW-Authenticate"].startswith("Bearer "), True, "challenge")
    expect((await refusal("execute")).status_code, 403, "without the scope")


async def ended_by_revocation():
    async with opened("revoked") as connection:
        expect(await ask(connection, "hello"), "hello", "before its revocation")
        pathlib.Path(scene["revocationFile"]).write_text(f"jti: ['{claims('revoked')['jti']}']\n")
        expect(await asyncio.wait_for(closed(connection), 5), (1008, "revoked"), "end by revocation")
    expect((await refusal("revoked")).status_code, 401, "a revoked token")


async def ended_by_expiry(connection):
    end = await asyncio.wait_for(closed(connection), claims("brief")["exp"] + 5 - time.time())
    expect(end, (1008, "expired"), "end by expiry")
    expect(time.time() >= claims("brief")["exp"], True, "not before")


async def main():
    async with opened("brief") as brief:
        for compression in ("deflate", None):
            await messages(compression)
            print(f"  websockets, compression {compression}: ok")
        await close_codes()
        await refusals()
        await ended_by_expiry(brief)
        await ended_by_revocation()
        print("  websockets, closings and refusals: ok")


asyncio.run(main())
