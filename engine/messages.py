"""What is a chat message? A dictionary, as transformers' chat templates take it.

Always "role" and "content" (text, "" where there is none). Where a record says so, besides: "tool_calls", each
{"type": "function", "function": {"name", "arguments"}}; "tool_call_id" and "name" of a tool's answer;
"reasoning_content"; "weight" 0 for an answer that is read but not learned; and, in the first message only, "tools",
which the template shows before everything. The role "text" is a whole text without a chat around it.
"""

from typing import Any

Message = dict[str, Any]
