"""What is one example of the curriculum, who may see it, and when is an answer right?"""

import zlib
from dataclasses import dataclass

from engine.messages import Message


@dataclass(frozen=True)
class Example:
    """One conversation and how it is used.

    messages: chat messages, the last one the graded answer.
    key: what is asked, apart from its phrasing; decides train or held out.
    train_turns: how many assistant turns, from the end, are worth learning (all but unguessable first examples).
    kind: what the graded question is like, where a skill has several kinds; the model card tells them apart.
    fact: what plain fact is asked for ("capital/France"), if it is one.
    """

    messages: list[Message]
    key: str
    train_turns: int = 1
    kind: str = ""
    fact: str = ""

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"]


def held_out(key: str) -> bool:
    """Does this prompt belong to the tenth that pretraining never sees?"""
    return zlib.crc32(key.encode()) % 10 == 0


def for_tasks(fact: str) -> bool:
    """Does this fact belong to the half that fine-tuning tasks ask about?

    What was forgotten is graded on the other half alone, so a task's own questions are never taken for old ones.
    """
    return zlib.crc32(f"the tasks {fact}".encode()) % 10 >= 5


def grade(answer: str, reply: str) -> bool:
    """Is the reply the answer? Exact, but for white space at its ends."""
    return reply.strip() == answer.strip()


def ask(prompt: str, answer: str, key: str | None = None) -> Example:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return Example(messages, prompt if key is None else key)
