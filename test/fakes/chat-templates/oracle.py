"""What transformers makes of some conversations, by the templates in this folder."""

import datetime
import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

FOLDER = pathlib.Path(__file__).parent
# The day that template-date.ts tells to templates which cannot do without one.
DAY = datetime.date(2024, 7, 26)
NAMED = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
CITY = {"type": "string"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": 'The weather, "now" é <b>',
        "parameters": {
            "type": "object",
            "properties": {
                "city": CITY,
                "days": {"type": "integer", "default": 1},
                "exact": {"type": "boolean", "default": False},
            },
            "required": ["city"],
        },
    },
}
ARGUMENTS = {"city": "Köln", "days": 2, "list": [1, 2.5, None, True]}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}


def said(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "question": {"messages": [said("user", "  What is 2 + 2?\n")]},
    "system": {
        "messages": [said("system", "Be kind."), said("user", 'Hello é 🙂 <b> & "q"')]
    },
    "turns": {
        "messages": [
            said("user", "a"),
            said("assistant", "<think>x</think>\n\nb"),
            said("user", "c"),
        ]
    },
    "tools": {"messages": [said("user", "Weather?")], "tools": [WEATHER]},
    "called": {
        "messages": [
            said("system", "S"),
            said("user", "Weather?"),
            said("assistant", "", tool_calls=[CALL]),
            said("tool", '{"t": 3}', tool_call_id="c1"),
        ],
        "tools": [WEATHER],
    },
    "variable": {
        "messages": [said("user", "a")],
        "variables": {"enable_thinking": False, "date_string": "1 Jan 2026"},
    },
}


def render(name, source, conversation):
    environment = _compile_jinja_template(source).environment
    environment.globals.pop("strftime_now", None)
    if name == "dated":
        environment.globals["strftime_now"] = DAY.strftime
    try:
        return environment.from_string(source).render(
            messages=conversation["messages"],
            tools=conversation.get("tools"),
            documents=None,
            add_generation_prompt=True,
            **NAMED,
            **conversation.get("variables", {}),
        )
    except Exception as error:
        return {"raises": str(error)}


prompts = {
    path.stem: {
        which: render(path.stem, path.read_text(), conversation)
        for which, conversation in CONVERSATIONS.items()
    }
    for path in sorted(FOLDER.glob("*.jinja"))
}
expected = {"conversations": CONVERSATIONS, "prompts": prompts}
(FOLDER / "expectations.json").write_text(json.dumps(expected, indent=1) + "\n")
