"""OpenAI's chat completions: opencode, and most other programs."""
import json
import time

from . import objects, text_of, words_of

PATHS = r"/chat/completions$"


def read(path, body):
    messages = [{"role": "system" if m.get("role") == "developer" else m.get("role"), "content": text_of(m.get("content"))}
                for m in objects(body["messages"])]
    return {"messages": messages, "stream": bool(body.get("stream")), "model": body.get("model"),
            "tools": [t.get("function", {}).get("name") for t in objects(body.get("tools"))]}


def call_of(action):
    return {"id": f"call_{time.time_ns():x}", "type": "function",
            "function": {"name": action["tool"], "arguments": json.dumps(action["arguments"])}}


def answer(out, action, request):
    finish = "tool_calls" if "tool" in action else "stop"
    if not request["stream"]:
        message = {"role": "assistant", "content": action.get("reply")}
        if "tool" in action:
            message["tool_calls"] = [call_of(action)]
        time.sleep(action.get("seconds", 0))
        return out.json(200, {"id": "demo", "object": "chat.completion", "created": int(time.time()),
                              "model": "scripted", "usage": usage(),
                              "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
    out.events()
    if "tool" in action:
        time.sleep(action.get("seconds", 0))
        chunk(out, {"role": "assistant", "tool_calls": [{"index": 0, **call_of(action)}]}, None)
    else:
        for word in words_of(action):
            chunk(out, {"role": "assistant", "content": word}, None)
    chunk(out, {}, finish)
    out.raw(b"data: [DONE]\n\n")


def chunk(out, delta, finish):
    record = {"id": "demo", "object": "chat.completion.chunk", "created": int(time.time()), "model": "scripted",
              "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    if finish:
        record["usage"] = usage()
    out.event(None, record)


def usage():
    return {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}


def refuse(out, status, retry_after):
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    out.json(status, {"error": {"message": f"demo-model: status {status}", "code": str(status),
                                "type": kinds.get(status, "server_error")}},
             {"Retry-After": str(retry_after)} if retry_after else {})
