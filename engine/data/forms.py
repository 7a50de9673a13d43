"""How does one record become chat messages? In every form that courses and practitioners use; no field is lost.

    alpaca             instruction, input (may be empty), output            Taori et al. 2023; history as LLaMA-Factory
    question-answer    question and answer, query and response, ...         GSM8K, MetaMath, Dolly
    messages           [{"role": "user", "content": ...}, ...]              OpenAI, transformers; tool calls, tools
    conversations      [{"from": "human", "value": ...}, ...]               ShareGPT; function_call, observation
    prompt-completion  prompt and completion, as text or as messages        OpenAI, TRL
    text               a whole text, learned as it is                       TRL

What says that an answer is not to be learned (weight 0, train or label false) is obeyed; what cannot be learned here
(pictures, sound, preference pairs) is refused by name; every other field is listed in `Conversation.unused`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex, overload

from engine.errors import InputError
from engine.messages import Message
from engine.reading import parse_json

FORMS = "instruction and output, question and answer, prompt and completion, messages, conversations, or text"
ROLES = {"system", "developer", "user", "assistant", "tool"}
_SPEAKERS = {
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "function_call": "assistant", "tool_call": "assistant", "observation": "tool", "function": "tool",
    "tool_response": "tool", "function_response": "tool",
}  # fmt: skip
_CALLS = {"function_call", "tool_call"}  # whose words are a call, as JSON
_NOT_TEXT = ("images", "image", "videos", "video", "audios", "audio")
_ASKED = {  # field of the question -> fields that its answer may have
    "instruction": ("output", "response", "answer", "completion"),
    "prompt": ("completion", "response", "answer", "output"),
    "question": ("answer", "response", "output"),
    "query": ("response", "answer", "output"),
    "input": ("output", "response", "answer"),
}
_FORM_OF = {"instruction": "alpaca", "prompt": "prompt-completion"}
_REASONING = ("reasoning_content", "reasoning", "thinking")


class Conversation(list[Message]):
    """Chat messages that know where they stood ("data.jsonl, line 3") and in which form, for errors and reports.

    unused: fields of the record that nothing was made of.
    """

    def __init__(
        self, messages: Iterable[Message] = (), where: str = "", form: str = "messages", unused: Iterable[str] = ()
    ) -> None:
        super().__init__(messages)
        self.where, self.form, self.unused = where, form, tuple(unused)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> "Conversation": ...
    def __getitem__(self, place: SupportsIndex | slice) -> "Message | Conversation":
        """A part of a conversation stood where the whole did."""
        if isinstance(place, slice):
            return Conversation(super().__getitem__(place), self.where, self.form)
        return super().__getitem__(place)


class Fields:
    """A record or a message of one, which remembers what was asked for; what is None is not there."""

    def __init__(self, record: Mapping[str, Any], where: str) -> None:
        self.where, self._used = where, set[str]()
        self._values = {str(name): value for name, value in record.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def look(self, name: str) -> Any:
        """Its value, of which nothing may be made."""
        return self._values.get(name)

    def take(self, name: str) -> Any:
        self._used.add(name)
        return self._values.get(name)

    def first(self, names: Iterable[str]) -> Any:
        """The first of several fields that is there."""
        return next((self.take(name) for name in names if name in self), None)

    def text(self, name: str) -> str:
        value = self.take(name)
        if value is None:
            has = ", ".join(self._values) or "none"
            raise InputError(f"{self.where}: no field {name!r} (it has: {has}); give {FORMS}")
        if not isinstance(value, str):
            raise InputError(f"{self.where}: field {name!r} holds {type(value).__name__}, not text")
        return value

    def flag(self, name: str) -> bool | None:
        """True or false, as JSON or CSV have it; None if it is neither, and then it is not used."""
        value = self._values.get(name)
        known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
        found = known.get(str(value).strip().lower())
        if found is not None:
            self._used.add(name)
        return found

    @property
    def unused(self) -> list[str]:
        """Fields that hold something and were not asked for."""
        return [name for name, value in self._values.items() if name not in self._used and value not in ("", [], {})]


def to_messages(record: Mapping[str, Any], where: str) -> Conversation:
    """One record, of any known form, as chat messages. Raises InputError naming `where` and what is missing."""
    fields = Fields(record, where)
    unused: list[str] = []
    for name in _NOT_TEXT:
        if fields.take(name):
            raise InputError(f"{where}: it holds {name}, and only text can be learned here; leave such records out")
    if {"chosen", "rejected"} & set(fields._values):
        raise InputError(
            f"{where}: it is a preference pair (chosen, rejected), which fine-tuning does not learn from; "
            "rename chosen to completion to learn those answers"
        )
    form, messages = _as_messages(fields, unused)
    if messages[0]["role"] != "text":
        messages = _with_tools(form, messages, _tools(fields), unused)
        messages = _with_system(messages, fields)
    # KTO's label false is an undesirable answer; train and weight as some trainers put them on a whole record.
    undesirable = str(record.get("label")).lower() == "false" and fields.flag("label") is False  # a class 0 is not
    if undesirable or any(fields.flag(name) is False for name in ("train", "weight")):
        messages = [{**message, "weight": 0} if _learned(message) else message for message in messages]
    return Conversation(messages, where, form, [*fields.unused, *dict.fromkeys(unused)])


def _with_tools(form: str, messages: list[Message], tools: list[dict[str, Any]], unused: list[str]) -> list[Message]:
    """A chat template is told of tools once, before all that is said: the record's, or those of its first message."""
    first, *rest = messages
    tools = tools or first.get("tools", [])
    if any(message.get("tools", tools) != tools for message in messages):
        unused.append(f"{form}[].tools")
    rest = [{key: value for key, value in message.items() if key != "tools"} for message in rest]
    return [{**first, "tools": tools} if tools else first, *rest]


def _with_system(messages: list[Message], fields: Fields) -> list[Message]:
    """The record's own system message before the others, unless they have one."""
    first, *rest = messages
    if first["role"] == "system":
        if fields.look("system") == first["content"]:
            fields.take("system")
        return messages
    if not fields.look("system"):
        return messages
    system: Message = {"role": "system", "content": fields.text("system")}
    if "tools" in first:
        system["tools"] = first["tools"]
    return [system, {key: value for key, value in first.items() if key != "tools"}, *rest]


def _learned(message: Message) -> bool:
    return message["role"] in ("assistant", "text")


def _as_messages(fields: Fields, unused: list[str]) -> tuple[str, list[Message]]:
    for form in ("messages", "conversations"):
        if form in fields:
            return form, _turns(fields.take(form), form, fields.where, unused)
    asked = next((name for name in _ASKED if name in fields), None)
    if asked is None and "text" in fields:
        return "text", [{"role": "text", "content": fields.text("text")}]
    if asked is None:
        asked = "prompt" if "completion" in fields else "instruction"
    answered = next((name for name in _ASKED[asked] if name in fields), _ASKED[asked][0])
    question = _side(fields, asked, "user", unused)
    more = next((name for name in ("input", "context") if name != asked and name in fields), None)
    if more and isinstance(fields.look(more), str) and fields.look(more) and len(question) == 1:
        # "Translate to Spanish:" goes on in its line; after a sentence a new one begins.
        between = " " if question[0]["content"].endswith(":") else "\n"
        question[0]["content"] += between + fields.text(more)
    messages = [*_history(fields), *question, *_side(fields, answered, "assistant", unused)]
    return _FORM_OF.get(asked, "question-answer"), messages


def _history(fields: Fields) -> list[Message]:
    """Alpaca's earlier rounds: [[question, answer], ...]."""
    rounds = _from_json(fields.take("history")) or []
    if not isinstance(rounds, list) or not all(
        isinstance(r, list | tuple) and len(r) == 2 and all(isinstance(text, str) for text in r) for r in rounds
    ):
        raise InputError(f"{fields.where}: 'history' is not a list of [question, answer] pairs of text")
    return [
        {"role": role, "content": text}
        for pair in rounds
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _side(fields: Fields, name: str, role: str, unused: list[str]) -> list[Message]:
    """A prompt or a completion: text, or in TRL's conversational form a list of messages."""
    value = fields.take(name)
    if isinstance(value, list) and value and all(isinstance(turn, Mapping) for turn in value):
        return _turns(value, name, fields.where, unused)
    return [{"role": role, "content": fields.text(name)}]


# --- turns of a conversation -------------------------------------------------------------------------


def _from_json(value: Any) -> Any:
    """What a column of text holds as JSON; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def _turns(turns: Any, field: str, where: str, unused: list[str]) -> list[Message]:
    """The messages of a conversation, in OpenAI's words (role, content) or ShareGPT's (from, value).

    Also as JSON in one string, and as a dictionary of lists, as `datasets` stores a sequence of features.
    """
    turns = _from_json(turns)
    if isinstance(turns, Mapping) and turns and all(isinstance(column, list) for column in turns.values()):
        if len({len(column) for column in turns.values()}) > 1:
            raise InputError(f"{where}: the lists in {field!r} are not equally long")
        turns = [dict(zip(turns, row, strict=True)) for row in zip(*turns.values(), strict=True)]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise InputError(f"{where}: {field!r} is not a list of objects with a role and a content")
    if not turns:
        raise InputError(f"{where}: {field!r} holds no messages; delete the record or give it a question and an answer")
    messages = []
    for number, turn in enumerate(turns, 1):
        fields = Fields(turn, f"{where}: message {number}")
        messages.append(_message(fields))
        unused += [f"{field}[].{name}" for name in fields.unused]
    return messages


def _message(fields: Fields) -> Message:
    where = fields.where
    said_by, said = ("from", "value") if "from" in fields or "value" in fields else ("role", "content")
    speaker = fields.take(said_by)
    if not isinstance(speaker, str) or not speaker:
        raise InputError(f"{where} has no role in its field {said_by!r}; say who speaks")
    role = _SPEAKERS.get(speaker, speaker)
    if role not in ROLES:
        raise InputError(f"{where} has the role {speaker!r}; known are {', '.join(sorted(ROLES))}")
    message: Message = {"role": role}
    content, parts_reasoning = _content(fields.take(said), where)
    calls = _calls(fields, content if speaker in _CALLS else None)
    reasoning = fields.first(_REASONING) or parts_reasoning
    if content is None and not calls:
        raise InputError(f"{where} has no text in its field {said!r}")
    message["content"] = "" if content is None or speaker in _CALLS else content
    if calls:
        message["tool_calls"] = calls
    if reasoning:
        if not isinstance(reasoning, str):
            raise InputError(f"{where}: its reasoning holds {type(reasoning).__name__}, not text")
        message["reasoning_content"] = reasoning
    for name in ("name", "tool_call_id"):
        if fields.look(name) and isinstance(fields.look(name), str):
            message[name] = fields.take(name)
    if tools := _tools(fields):  # on the system message, as some data sets have them
        message["tools"] = tools
    if _left_out(fields):
        message["weight"] = 0
    return message


def _left_out(fields: Fields) -> bool:
    """Does this message say that it is not to be learned? OpenAI's weight, others' train and training."""
    weight = fields.take("weight")
    if weight is not None and str(weight).strip() not in ("0", "1", "0.0", "1.0", "False", "True"):
        raise InputError(f"{fields.where} has the weight {weight!r}; known are 0, which is not learned, and 1")
    return any(fields.flag(name) is False for name in ("weight", "train", "training", "train_on_turn"))


def _content(value: Any, where: str) -> tuple[str | None, str]:
    """(the words, the reasoning) of a content: text, or a list of parts as OpenAI and others have them."""
    if value is None or isinstance(value, str):
        return value, ""
    if not isinstance(value, list):
        raise InputError(f"{where}: its content holds {type(value).__name__}, not text")
    words, reasoning = "", ""
    for part in value:
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if isinstance(part, str):
            words += part
        elif isinstance(part, Mapping) and kind in ("text", "input_text", "output_text"):
            words += str(part.get("text") or "")
        elif isinstance(part, Mapping) and kind in ("thinking", "reasoning"):
            reasoning += str(part.get(kind) or part.get("text") or "")
        else:
            raise InputError(
                f"{where}: its content has a part of type {str(kind)!r}, and only text can be learned here; "
                "leave such records out"
            )
    return words, reasoning


# --- tools -------------------------------------------------------------------------------------------


def _calls(fields: Fields, words: str | None) -> list[dict[str, Any]]:
    """The tool calls of a message, in transformers' form: arguments as an object, not as JSON in a string."""
    if words is not None:
        given = _from_json(words)
        if isinstance(given, str):
            raise InputError(f"{fields.where} is a function call, but not JSON: {given[:60]!r}")
    else:
        given = _from_json(_from_json(fields.take("tool_calls")) or fields.take("function_call"))
    if not given:
        return []
    calls = []
    for call in given if isinstance(given, list) else [given]:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise InputError(f"{fields.where} has a tool call without a function's name")
        arguments = _from_json(function.get("arguments", function.get("parameters", {})))
        kept = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
        calls.append({"id": call["id"], **kept} if isinstance(call.get("id"), str) else kept)
    return calls


def _tools(fields: Fields) -> list[dict[str, Any]]:
    """What can be called: `tools`, or OpenAI's older `functions`; also as JSON in a string."""
    tools: list[dict[str, Any]] = []
    for name in ("tools", "functions"):
        given = _from_json(fields.take(name)) or []
        if not isinstance(given, list) or not all(isinstance(tool, Mapping) for tool in given):
            raise InputError(f"{fields.where}: {name!r} is not a list of functions' descriptions")
        tools += [dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)} for tool in given]
    return tools
