"""OpenAI's responses: Codex."""
import json
import time

from . import objects, text_of, words_of

PATHS = r"/responses$"
# How a command is asked for where Codex has a sandbox of its own: only then does it ask the person.
ASKED_FOR = {"sandbox_permissions": "require_escalated", "justification": "May the demonstration run this?"}


def read(path, body):
    messages = [{"role": "system", "content": str(body.get("instructions") or "")}]
    given = body["input"]
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    for item in objects(given):
        kind = item.get("type", "message")
        if kind.endswith("_call_output"):
            output = item.get("output")
            messages.append({"role": "tool", "content": output if isinstance(output, str) else text_of(output)})
        elif kind == "message":
            role = "system" if item.get("role") == "developer" else item.get("role")
            messages.append({"role": role, "content": text_of(item.get("content"))})
    return {"messages": messages, "stream": bool(body.get("stream")), "model": body.get("model"),
            "tools": [t.get("name") or t.get("type") for t in objects(body.get("tools"))],
            "asks": any("sandbox_permissions" in json.dumps(t) for t in objects(body.get("tools")))}


def answer(out, action, request):
    response = {"id": f"resp_{time.time_ns():x}", "object": "response", "created_at": int(time.time()),
                "model": request["model"], "status": "in_progress", "output": []}
    if "tool" in action:
        if request["asks"] and action["tool"] == "exec_command":
            action["arguments"] |= ASKED_FOR
        item = {"type": "function_call", "id": f"fc_{time.time_ns():x}", "call_id": f"call_{time.time_ns():x}",
                "name": action["tool"], "arguments": json.dumps(action["arguments"]), "status": "completed"}
    else:
        item = {"type": "message", "id": f"msg_{time.time_ns():x}", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": action["reply"], "annotations": []}]}
    done = {**response, "status": "completed", "output": [item],
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 10,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 20}}
    if not request["stream"]:
        time.sleep(action.get("seconds", 0))
        return out.json(200, done)
    out.events()
    send(out, "response.created", response=response)
    if "tool" in action:
        time.sleep(action.get("seconds", 0))
        send(out, "response.output_item.added", output_index=0, item={**item, "status": "in_progress"})
    else:
        send(out, "response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
        send(out, "response.content_part.added", item_id=item["id"], output_index=0, content_index=0,
             part={"type": "output_text", "text": "", "annotations": []})
        for word in words_of(action):
            send(out, "response.output_text.delta", item_id=item["id"], output_index=0, content_index=0, delta=word)
    send(out, "response.output_item.done", output_index=0, item=item)
    send(out, "response.completed", response=done)


def send(out, kind, **members):
    out.event(kind, {"type": kind, **members})


def refuse(out, status, retry_after):
    error = {"message": f"demo-model: status {status}", "type": "server_error"}
    if status == 429:  # the form of a plan's limit, which says when it ends
        error = {"message": "The usage limit has been reached", "type": "usage_limit_reached", "plan_type": "plus",
                 "resets_at": int(time.time()) + int(retry_after or 30), "resets_in_seconds": int(retry_after or 30)}
    out.json(status, {"error": error}, {"Retry-After": str(retry_after)} if retry_after else {})
