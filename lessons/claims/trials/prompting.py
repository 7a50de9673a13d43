"""How far does the base get with a prompt alone? Told what is wanted, shown a few examples, or both."""

from dataclasses import dataclass

from engine.evaluate import encode_last_answer
from engine.messages import Message
from engine.models import load_tokenizer
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.training import FORMS, base, drawn_examples, graded, material, share_in_form

TOLD = {
    "json": 'Answer as JSON: {"about": ..., "answer": ...}',
    "pirate": "Answer like a pirate: Arr, ... it be, matey!",
}
MOST_SHOWN = 6  # the base was taught to read up to seven worked examples


@dataclass(frozen=True)
class Prompting(Trial):
    """The held-out questions of a task, asked of the base. told: with an instruction as the system message.
    examples: at hand, of which up to `MOST_SHOWN` stand before each question, as turns of a conversation."""

    task: str = "json"
    told: bool = False
    examples: int = 0

    def run(self) -> Result:
        """right: share of answers exactly right. form: share of generated answers in the task's form."""
        tokenizer = load_tokenizer()
        before: list[Message] = [{"role": "system", "content": TOLD[self.task]}] if self.told else []
        shown = drawn_examples(self.task, self.examples, self.seed)[:MOST_SHOWN] if self.examples else []
        before += [message for conversation in shown for message in conversation]
        rows = [encode_last_answer(tokenizer, [*before, *messages]) for messages in material(self.task)[1]]
        right, _ = graded(base(), rows, tokenizer.pad_token_id)
        result: Result = {"right": right}
        if self.task in FORMS:
            result["form"] = share_in_form(base(), tokenizer, self.task, before)
        return result
