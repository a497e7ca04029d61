"""The Python SDK's client and FastMCP's through the gateway. The scene comes as JSON on stdin; exit code 1 at the first thing that is not so."""

import asyncio
import json
import ssl
import sys

import fastmcp
import httpx2
import mcp
from fastmcp.client.transports import StreamableHttpTransport
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from memory import Memory

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
ERAS = [("/v1", "legacy", LEGACY), ("/v1", "auto", LEGACY), ("/v2", "legacy", LEGACY), ("/v2", "auto", MODERN)]

scene = json.load(sys.stdin)
tls = ssl.create_default_context(cafile=scene["caFile"])


def expect(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")


def bearer(path, scope):
    return {"Authorization": f"Bearer {scene['tokens'][path][scope]}"}


def sdk_client(path, mode, **http):
    client = httpx2.AsyncClient(verify=tls, timeout=30, **http)
    return mcp.Client(streamable_http_client(scene["origin"] + path, http_client=client), mode=mode)


def fastmcp_client(path, mode, scope):
    token = scene["tokens"][path][scope]
    transport = StreamableHttpTransport(scene["origin"] + path, auth=token, verify=scene["caFile"])
    return fastmcp.Client(transport, mode=mode)


async def refusal(call, what):
    """The error of a call that must not succeed."""
    try:
        await call
    except mcp.MCPError as error:
        return error
    return sys.exit(f"{what}: it was let through")


async def sdk_calls(path, mode, revision):
    async with sdk_client(path, mode, headers=bearer(path, "all")) as client:
        expect(client.protocol_version, revision, "revision")
        names = [tool.name for tool in (await client.list_tools()).tools]
        expect("test_simple_text" in names, True, "listed")
        expect("test_sampling" in names, False, "listed though denied")
        text = await client.call_tool("test_simple_text", {})
        expect(text.content[0].text, "This is a simple text response for testing.", "call")
        seen = []

        async def on_progress(progress, total, message):
            seen.append(progress)

        await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        expect(seen, [0, 50, 100], "progress")
        failed = await client.call_tool("test_error_handling", {})
        expect(failed.is_error, True, "a tool that fails")
        resource = await client.read_resource("test://static-text")
        expect(resource.contents[0].text, "This is the content of the static text resource.", "resource")
        denied = await refusal(client.call_tool("test_sampling", {"prompt": "p"}), "denied call")
        expect((denied.error.code, denied.error.data["code"]), (403, "denied"), "denied call")
        expect("No rule of this gateway allows" in denied.error.message, True, denied.error.message)
        expect((await client.call_tool("test_simple_text", {})).is_error, False, "it can go on")


async def sdk_missing_scope(path, mode):
    async with sdk_client(path, mode, headers=bearer(path, "read")) as client:
        refused = await refusal(client.call_tool("test_tool_with_progress", {}), "missing scope")
        expect((refused.error.code, refused.error.data["code"]), (403, "insufficient_scope"), "missing scope")
        expect(refused.error.data["scopes"], ["queries:execute"], "missing scope")


async def sdk_oauth(path, mode):
    memory = Memory()
    oauth = ClientCredentialsOAuthProvider(
        server_url=scene["origin"] + path,
        storage=memory,
        client_id=scene["clientId"],
        client_secret=scene["clientSecret"],
        issuer=scene["issuer"],
    )
    async with sdk_client(path, mode, auth=oauth) as client:
        expect((await client.call_tool("test_simple_text", {})).is_error, False, "call with a token it got itself")
        expect(memory.tokens.scope, "dashboards:read", "scope of the first token")
        stepped = await client.call_tool("test_tool_with_progress", {})
        expect(stepped.is_error, False, "call after a step up")
        expect(sorted(memory.tokens.scope.split()), ["dashboards:read", "queries:execute"], "scope of the second")


async def fastmcp_calls(path, mode):
    async with fastmcp_client(path, mode, "all") as client:
        names = [tool.name for tool in await client.list_tools()]
        expect("test_simple_text" in names, True, "listed")
        expect("test_sampling" in names, False, "listed though denied")
        text = await client.call_tool("test_simple_text", {})
        expect(text.content[0].text, "This is a simple text response for testing.", "call")
        failed = await client.call_tool("test_error_handling", {}, raise_on_error=False)
        expect(failed.is_error, True, "a tool that fails")
        prompt = await client.get_prompt("test_simple_prompt")
        expect(len(prompt.messages), 1, "prompt")
        denied = await refusal(client.call_tool("test_sampling", {"prompt": "p"}), "denied call")
        expect((denied.error.code, denied.error.data["code"]), (403, "denied"), "denied call")
    async with fastmcp_client(path, mode, "read") as client:
        await refusal(client.call_tool("test_tool_with_progress", {}), "missing scope")


async def main():
    for path, mode, revision in ERAS:
        await sdk_calls(path, mode, revision)
        await sdk_missing_scope(path, mode)
        await sdk_oauth(path, mode)
        print(f"  mcp {path} {mode}: ok")
        await fastmcp_calls(path, mode)
        print(f"  fastmcp {path} {mode}: ok")


asyncio.run(main())
