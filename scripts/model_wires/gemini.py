"""Google's generateContent: Gemini CLI."""
import time

from . import objects, text_of, words_of

PATHS = r"/models/[^/:]+:(generateContent|streamGenerateContent|countTokens)(\?.*)?$"


def read(path, body):
    system = body.get("systemInstruction") or {}
    messages = [{"role": "system", "content": text_of(system.get("parts"))}]
    for content in objects(body["contents"]):
        parts = objects(content.get("parts"))
        results = [p["functionResponse"] for p in parts if isinstance(p.get("functionResponse"), dict)]
        if results:
            messages.append({"role": "tool", "content": "\n".join(str(r.get("response", "")) for r in results)})
        else:
            messages.append({"role": {"model": "assistant"}.get(content.get("role"), "user"), "content": text_of(parts)})
    tools = [f.get("name") for t in objects(body.get("tools")) for f in objects(t.get("functionDeclarations"))]
    return {"messages": messages, "stream": "streamGenerate" in path, "tools": tools,
            "model": path.split("/models/")[1].split(":")[0], "counts": "countTokens" in path}


def answer(out, action, request):
    if request["counts"]:
        return out.json(200, {"totalTokens": 10})
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


def chunk(parts, finish):
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "scripted",
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}}


def refuse(out, status, retry_after):
    names = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    error = {"code": status, "message": f"demo-model: status {status}", "status": names.get(status, "INTERNAL")}
    if retry_after:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_after}s"}]
    out.json(status, {"error": error}, {"Retry-After": str(retry_after)} if retry_after else {})
