"""The wires of scripts/demo-model: each reads one vendor's request into a common form and writes an answer back.

A wire is a module with
  PATHS                 regular expression of the paths it answers
  read(path, body)      {"messages": [{"role": system|user|assistant|tool, "content": TEXT}], "tools": [NAME],
                        "stream": bool, "model": NAME}
  answer(out, action, request)    out.json(status, value, headers) or out.events() and out.event(name, value);
                        action has "reply" or "tool" and "arguments", and "seconds"
  refuse(out, status, retry_after)    an error in the vendor's own form
"""
import re
import time


def words_of(action):
    """The reply's words, spread over action["seconds"]."""
    words = re.findall(r"\S+\s*|\s+", action["reply"])
    for word in words:
        yield word
        time.sleep(action.get("seconds", 0) / max(1, len(words)))


def text_of(content):
    """A message's text: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return ""


def objects(value):
    """The objects of a list; of anything else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
