"""Google's generateContent: Gemini CLI. Beside the conversation it asks for JSON of a schema, to choose a model,
and for a line about an earlier session."""
import json
import re
import time

from . import objects, text_of, words_of

PATHS = r"/models/[^/:]+:(generateContent|streamGenerateContent|countTokens)(\?.*)?$"

CONTEXT = re.compile(r"(?s)^<session_context>.*</session_context>\s*")  # stands before the first message
SUMMARY = "Summarize the user's primary intent"


def read(path, body):
    system = body.get("systemInstruction") or {}
    messages = [{"role": "system", "content": text_of(system.get("parts"))}]
    for content in objects(body["contents"]):
        parts = objects(content.get("parts"))
        results = [p["functionResponse"] for p in parts if isinstance(p.get("functionResponse"), dict)]
        if results:
            messages.append({"role": "tool", "content": "\n".join(str(r.get("response", "")) for r in results)})
        elif content.get("role") == "model":
            messages.append({"role": "assistant", "content": text_of(parts)})
        else:  # a message that got no answer stands in one content with the next
            texts = [CONTEXT.sub("", text_of([part])) for part in parts]
            messages += [{"role": "user", "content": text} for text in texts if text]
    tools = [f.get("name") for t in objects(body.get("tools")) for f in objects(t.get("functionDeclarations"))]
    settings = body.get("generationConfig") or {}
    schema = settings.get("responseJsonSchema") or settings.get("responseSchema")
    return {"messages": messages, "stream": "streamGenerate" in path, "tools": tools, "schema": schema,
            "aside": bool(schema) or messages[-1]["content"].startswith(SUMMARY),
            "model": path.split("/models/")[1].split(":")[0], "counts": "countTokens" in path}


def answer(out, action, request):
    if request["counts"]:
        return out.json(200, {"totalTokens": 10})
    if request["schema"]:
        return out.json(200, chunk([{"text": json.dumps(least(request["schema"]))}], "STOP"))
    if action.get("tool") == "ask_user":
        for question in action["arguments"]["questions"]:
            question.setdefault("type", "choice")
    if "tool" in action:
        parts = [{"functionCall": {"name": action["tool"], "args": action["arguments"]}}]
    else:
        parts = [{"text": action["reply"]}]
    if not request["stream"]:
        time.sleep(action.get("seconds", 0))
        return out.json(200, chunk(parts, "STOP"))
    out.events()
    if "tool" in action:
        time.sleep(action.get("seconds", 0))
        return out.event(None, chunk(parts, "STOP"))
    for word in words_of(action):
        out.event(None, chunk([{"text": word}], None))
    out.event(None, chunk([{"text": ""}], "STOP"))


def least(schema):
    """The plainest value of a JSON schema: the first of a choice, the smallest number, a word."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type", "string")).lower()
    if kind == "object":
        return {name: least(member) for name, member in (schema.get("properties") or {}).items()}
    if kind in ("number", "integer"):
        return schema.get("minimum", 1)
    return {"boolean": False, "array": []}.get(kind, "demo")


def chunk(parts, finish):
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "scripted",
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}}


def refuse(out, status, retry_after):
    """A 429 is a plan's limit of use, with the time it ends: the program stops and asks. Others it tries again."""
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED",
             503: "UNAVAILABLE"}
    error = {"code": status, "message": f"demo-model: status {status}", "status": names.get(status, "INTERNAL")}
    if status == 429 and retry_after:
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED",
             "domain": "cloudcode-pa.googleapis.com", "metadata": {}},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after}s"}]
    out.json(status, {"error": error})
