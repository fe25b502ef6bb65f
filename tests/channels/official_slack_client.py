"""The official SDK against a stub: `official_slack_client.py BASE_URL ACTION`; says what it saw, as JSON lines."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

_one_at_a_time = threading.Lock()


def say(**what: Any) -> None:
    """Print one line; the SDK's threads all call this."""
    with _one_at_a_time:
        print(json.dumps(what), flush=True)


def listen(base_url: str) -> None:
    """Hold a Socket Mode connection; acknowledge and report every envelope until stdin ends."""
    client = SocketModeClient(
        app_token="xapp-stub", web_client=WebClient(token="xoxb-stub", base_url=base_url), ping_interval=0.2
    )

    def heard(client: Any, request: Any) -> None:
        say(type=request.type, envelope_id=request.envelope_id, payload=request.payload, again=request.retry_attempt)
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    client.socket_mode_request_listeners.append(heard)
    client.on_message_listeners.append(lambda text: say(raw=json.loads(text).get("type")) if "{" in text else None)
    client.connect()
    say(connected=client.is_connected())
    sys.stdin.read()
    client.close()


def call(base_url: str) -> None:
    """Use the Web API as a bot would."""
    web = WebClient(token="xoxb-stub", base_url=base_url)
    say(user=web.auth_test()["user_id"])
    ts = web.chat_postMessage(channel="C1", text="one", metadata={"event_type": "e", "event_payload": {"id": "1"}})[
        "ts"
    ]
    web.chat_update(channel="C1", ts=ts, text="two")
    web.chat_postMessage(channel="C1", text="below", thread_ts=ts)
    web.reactions_add(channel="C1", timestamp=ts, name="eyes")
    history = web.conversations_history(channel="C1", include_all_metadata=True)["messages"]
    say(history=[(each["text"], each.get("metadata")) for each in history])
    say(replies=[each["text"] for each in web.conversations_replies(channel="C1", ts=ts)["messages"]])
    web.files_upload_v2(channel="C1", content=b"abc", filename="a.txt", initial_comment="look")
    web.chat_delete(channel="C1", ts=ts)
    direct = web.conversations_open(users=["U0ANN00001"])["channel"]["id"]
    say(direct=web.chat_postMessage(channel="U0ANN00001", text="hi")["channel"] == direct)
    say(rooms=[each["id"] == direct for each in web.users_conversations(types="im")["channels"]])
    try:
        web.chat_postMessage(channel="nowhere", text="x")
    except SlackApiError as error:
        say(error=error.response["error"])
    try:
        WebClient(token="xoxb-wrong", base_url=base_url).auth_test()
    except SlackApiError as error:
        say(error=error.response["error"])


if __name__ == "__main__":
    threading.excepthook = lambda args: say(crash=str(args.exc_value))
    {"listen": listen, "call": call}[sys.argv[2]](sys.argv[1])
