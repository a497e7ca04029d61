"""The Python SDK's client, or FastMCP's, in the scenario of test/e2e/clients/scenario.ts: sdk|fastmcp URL CA-FILE CONTROL-URL REFUSALS."""

import asyncio
import ssl
import sys
import threading
import urllib.request
import warnings
import webbrowser
from urllib.parse import parse_qs, quote, urlsplit

import fastmcp
import httpx2
import mcp
from fastmcp.client.auth import OAuth
from fastmcp.client.transports import StreamableHttpTransport
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from memory import Memory

kind, url, ca_file, control, refusals = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca_file)
CALLBACK = "http://localhost:33418/callback"


def ask(path):
    with urllib.request.urlopen(control + path) as response:
        return response.read().decode()


def browse(page, visit=""):
    """Lets the person approve; gives where the browser is sent to."""
    return ask("/browser?url=" + quote(page, safe="") + visit)


class Browser(webbrowser.BaseBrowser):
    """Comes back to the client's own listener."""

    def open(self, url, new=0, autoraise=True):
        threading.Thread(target=browse, args=[url, "&visit"]).start()
        return True


class Person:
    back = {}

    async def open(self, page):
        self.back = parse_qs(urlsplit(await asyncio.to_thread(browse, page)).query)

    async def come_back(self):
        return AuthorizationCodeResult(**{name: values[0] for name, values in self.back.items()})


def sdk():
    person = Person()
    metadata = OAuthClientMetadata(
        client_name="Python", redirect_uris=[CALLBACK], token_endpoint_auth_method="none", application_type="native"
    )
    login = OAuthClientProvider(url, metadata, Memory(), person.open, person.come_back)

    def connect():
        http = httpx2.AsyncClient(verify=tls, timeout=30, auth=login)
        return mcp.Client(streamable_http_client(url, http_client=http), mode="auto")

    return connect


def fast():
    webbrowser.register("scripted", None, Browser(), preferred=True)
    login = OAuth(url, client_name="FastMCP")
    return lambda: fastmcp.Client(StreamableHttpTransport(url, auth=login, verify=ca_file), mode="auto")


class Scenario:
    def __init__(self, connect):
        self.connect = connect
        self.session = None

    async def open(self):
        self.session = await self.connect().__aenter__()

    async def close(self):
        await self.session.__aexit__(None, None, None)

    async def call(self, tool, args=None, on_progress=None):
        options = {} if on_progress is None else {name_of_progress[kind]: on_progress}
        async with asyncio.timeout(10):
            result = await self.session.call_tool(tool, args or {}, **options)
        return result.content[0].text

    async def refused(self, refusal):
        """Makes the call that is to be refused, and tells how it ended."""
        denied = refusal in ("denied", "403")
        args = {"prompt": "p"} if denied else {"padding": "x" * 100_000} if refusal == "413" else {}
        try:
            await self.call("test_sampling" if denied else "test_simple_text", args)
            return "ok"
        except TimeoutError:
            return "hangs"
        except Exception as error:
            return " ".join(str(error).split()) or type(error).__name__

    async def go_on(self):
        """Calls again, in a new session where the old one is over."""
        try:
            await self.call("test_simple_text")
            return "same"
        except Exception:
            await self.close()
            await self.open()
            await self.call("test_simple_text")
            return "new"

    async def run(self):
        await begin("log-in")
        await self.open()
        say("log-in")
        await begin("list")
        tools = await self.session.list_tools()
        say("list", " ".join(tool.name for tool in getattr(tools, "tools", tools)))
        await begin("call")
        say("call", await self.call("test_simple_text"))
        await begin("step-up")
        say("step-up", await self.call("test_tool_with_progress"))
        await begin("stream")
        seen = []

        async def on_progress(progress, total, message):
            seen.append(str(int(progress)))

        await self.call("test_tool_with_progress", on_progress=on_progress)
        say("stream", " ".join(seen))
        for refusal in refusals.split(","):
            await begin(refusal)
            outcome = await self.refused(refusal)
            await begin("after")
            say(refusal, outcome, await self.go_on())
        await self.close()


name_of_progress = {"sdk": "progress_callback", "fastmcp": "progress_handler"}


async def begin(step):
    await asyncio.to_thread(ask, "/step/" + step)


def say(*fields):
    print("\t".join(fields), flush=True)


warnings.simplefilter("ignore")
asyncio.run(Scenario(fast() if kind == "fastmcp" else sdk()).run())
