"""OpenAI's responses: Codex."""
import json
import time

from . import objects, text_of, words_of

PATHS = r"/responses$"
# How a command is asked for where Codex has a sandbox of its own: only then does it ask the person.
ASKED_FOR = {"sandbox_permissions": "require_escalated", "justification": "May the demonstration run this?"}
# Codex's question tool under the name the rules have for it.
NAMES = {"request_user_input": "question"}


def read(path, body):
    messages = [{"role": "system", "content": str(body.get("instructions") or "")}]
    metadata = body.get("client_metadata")
    known = str(metadata.get("x-codex-turn-metadata")) if isinstance(metadata, dict) else ""
    if "thread_title" in known:  # Codex's own request for a name
        messages.append({"role": "system", "content": "a title generator"})
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
    names = [t.get("name") or t.get("type") for t in tools_of(body, given)]
    code = "exec" in names and "exec_command" not in names
    return {"messages": messages, "stream": bool(body.get("stream")), "model": body.get("model"),
            "tools": [NAMES.get(name, name) for name in names] + (["exec_command"] if code else []), "code": code,
            "asks": "sandbox_mode" in known and "danger-full-access" not in known}


def tools_of(body, given):
    """Those of the request, and those that newer models are given as an item of the input, in namespaces."""
    for tool in objects(body.get("tools")) + [t for item in objects(given) for t in objects(item.get("tools"))]:
        yield from objects(tool.get("tools")) if tool.get("type") == "namespace" else [tool]


def answer(out, action, request):
    response = {"id": f"resp_{time.time_ns():x}", "object": "response", "created_at": int(time.time()),
                "model": request["model"], "status": "in_progress", "output": []}
    if "tool" in action:
        item = {"id": f"fc_{time.time_ns():x}", "call_id": f"call_{time.time_ns():x}", "status": "completed",
                **call_of(action, request)}
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


def call_of(action, request):
    """The call in Codex's form: of a function, or of the tool that runs JavaScript, which calls it."""
    name, arguments = action["tool"], dict(action["arguments"])
    if name == "exec_command" and request["asks"]:
        arguments |= ASKED_FOR
    if name == "question":
        arguments["questions"] = [{"id": f"question_{i}", **q} for i, q in enumerate(objects(arguments.get("questions")))]
    name = next((own for own, ours in NAMES.items() if ours == name), name)
    if request["code"] and name == "exec_command":
        return {"type": "custom_tool_call", "name": "exec",
                "input": f"text(await tools.{name}({json.dumps(arguments)}))"}
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments)}


def send(out, kind, **members):
    out.event(kind, {"type": kind, **members})


def refuse(out, status, retry_after):
    error = {"message": f"demo-model: status {status}", "type": "server_error"}
    if status != 429:
        return out.json(status, {"error": error})
    # The form of a plan's limit: the body says that it is one, the headers when each window of use begins anew.
    seconds = int(retry_after or 30)
    error = {"message": "The usage limit has been reached", "type": "usage_limit_reached", "plan_type": "plus",
             "resets_at": int(time.time()) + seconds, "resets_in_seconds": seconds}
    out.json(status, {"error": error}, {
        "Retry-After": str(seconds), "x-codex-primary-used-percent": "100", "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(int(time.time()) + seconds)})
