"""Anthropic's messages: Claude Code."""
import json
import time

from . import objects, text_of, words_of

PATHS = r"/v1/messages(/count_tokens)?(\?.*)?$"


def read(path, body):
    messages = [{"role": "system", "content": text_of(body.get("system"))}] if body.get("system") else []
    for message in objects(body["messages"]):
        parts = objects(message.get("content"))
        results = [p for p in parts if p.get("type") == "tool_result"]
        if results:
            messages.append({"role": "tool", "content": "\n".join(text_of(p.get("content")) for p in results)})
        said = spoken(message.get("content"))
        if message.get("role") in ("user", "assistant") and (said or not results):
            messages.append({"role": message["role"], "content": said})
    return {"messages": messages, "stream": bool(body.get("stream")), "model": body.get("model"),
            "tools": [t.get("name") for t in objects(body.get("tools"))], "counts": "count_tokens" in path}


def spoken(content):
    """What the person said: without the reminders that the program adds to it, and its notes on interruptions."""
    if not isinstance(content, list):
        return text_of(content)
    added = ("<system-reminder>", "[Request interrupted by user")
    return text_of([p for p in content if not text_of([p]).lstrip().startswith(added)])


def answer(out, action, request):
    if request["counts"]:
        return out.json(200, {"input_tokens": 10})
    block = {"type": "text", "text": action.get("reply", "")}
    if "tool" in action:
        block = {"type": "tool_use", "id": f"toolu_{time.time_ns():x}", "name": action["tool"], "input": action["arguments"]}
    reason = "tool_use" if "tool" in action else "end_turn"
    message = {"id": f"msg_{time.time_ns():x}", "type": "message", "role": "assistant", "model": request["model"],
               "content": [], "stop_reason": None, "stop_sequence": None,
               "usage": {"input_tokens": 10, "output_tokens": 1}}
    if not request["stream"]:
        time.sleep(action.get("seconds", 0))
        return out.json(200, {**message, "content": [block], "stop_reason": reason})
    out.events()
    out.event("message_start", {"type": "message_start", "message": message})
    empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
    out.event("content_block_start", {"type": "content_block_start", "index": 0, "content_block": empty})
    if "tool" in action:
        time.sleep(action.get("seconds", 0))
        delta(out, {"type": "input_json_delta", "partial_json": json.dumps(action["arguments"])})
    else:
        for word in words_of(action):
            delta(out, {"type": "text_delta", "text": word})
    out.event("content_block_stop", {"type": "content_block_stop", "index": 0})
    out.event("message_delta", {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
                                "usage": {"output_tokens": 10}})
    out.event("message_stop", {"type": "message_stop"})


def delta(out, value):
    out.event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": value})


def refuse(out, status, retry_after):
    """A 429 is a plan's limit of use, with the time it ends, as Anthropic tells it in headers."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}
    headers = {}
    if retry_after:
        headers = {"Retry-After": str(retry_after), "anthropic-ratelimit-unified-status": "rejected",
                   "anthropic-ratelimit-unified-reset": str(int(time.time()) + int(retry_after)),
                   "anthropic-ratelimit-unified-representative-claim": "five_hour"}
    out.json(status, {"type": "error", "error": {"type": kinds.get(status, "api_error"),
                                                 "message": f"demo-model: status {status}"}}, headers)
