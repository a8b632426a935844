"""What a chat completion's messages become, written from transformers 5's apply_chat_template, with
what the API adds: tool-call arguments arrive as JSON text, content as parts.  Independent of inferd;
chat_diff.py compares the two."""

import json

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
REASONING = ("reasoning_content", "thinking", "reasoning")
TAG = "CONTINUE_FINAL_MESSAGE_TAG "


class Refused(Exception):
    """The API refuses the request before any template sees it."""


def arguments(value):
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as e:
            raise Refused(str(e)) from e
    if not isinstance(value, dict):
        raise Refused("arguments")
    return value


def part(p):
    if not isinstance(p, dict) or p.get("type") not in ("text", "refusal") or not isinstance(p.get(p["type"]), str):
        raise Refused("part")
    return {"type": "text", "text": p[p["type"]]}


def content(value, form):
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if form == "parts" else value
    if not isinstance(value, list):
        raise Refused("content")
    parts = [part(p) for p in value]
    return "\n".join(p["text"] for p in parts) if form == "string" else parts


def call(c):
    function = dict(c["function"], arguments=arguments(c["function"].get("arguments")))
    return dict(c, function=function)


def message(m, form):
    if m.get("role") not in ROLES or (m.get("content") is None and m["role"] not in ("assistant", "function")):
        raise Refused("role or content")
    m = {k: v for k, v in m.items() if v is not None}
    if "content" in m:
        m["content"] = content(m["content"], form)
    if m.get("tool_calls") == []:
        del m["tool_calls"]
    if "tool_calls" in m:
        m["tool_calls"] = [call(c) for c in m["tool_calls"]]
    reasoning = next((m[k] for k in REASONING if k in m), None)
    if reasoning is not None:
        m = {"thinking": reasoning, **m, "reasoning_content": reasoning}
    return m


def tag_final(messages):
    """Puts the tag behind what is continued; gives the text that it stands behind."""
    final = messages[-1].get("content")
    if final is None:
        raise Refused("nothing to continue")
    if isinstance(final, str):
        messages[-1]["content"] = final + TAG
        return final
    for block in reversed(final):
        if "text" in block:
            text, block["text"] = block["text"], block["text"] + TAG
            return text
    raise Refused("no text to continue")


def cut(rendered, final):
    if final.strip() not in rendered or TAG.strip() not in rendered:
        raise Refused("the final message is not in the text")
    at = rendered.rindex(TAG.strip())
    return rendered[:at] if rendered[at:at + len(TAG)] == TAG else rendered[:at].rstrip()


def render(template, job, form):
    """`template`: a compiled Jinja2 template; `form`: string, any or parts."""
    messages = [message(m, form) for m in job["messages"]]
    final = tag_final(messages) if job.get("continue_final_message") else None
    text = template.render(messages=messages, tools=job.get("tools"), documents=job.get("documents"),
                           add_generation_prompt=job.get("add_generation_prompt", False),
                           **{**job.get("tokens", {}), **job.get("kwargs", {})})
    return text if final is None else cut(text, final)
