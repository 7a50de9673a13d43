"""How far does the base get with a prompt alone? Told what is wanted, shown a few examples, or both."""

from dataclasses import dataclass

from engine.evaluate import encode_last_answer
from engine.evaluate.prompting import told
from engine.messages import Message
from engine.models import load_tokenizer
from engine.school.tasks import ORDERS
from lessons.claims.compact import pack_bits
from lessons.claims.trials import Result, Trial
from lessons.claims.trials.questions import FORMS, Side, base, graded, in_form, new_questions
from lessons.claims.trials.training import drawn_examples

MOST_SHOWN = 6  # the base was taught to read up to seven worked examples


@dataclass(frozen=True)
class Prompting(Trial):
    """The held-out questions of a task, asked of the base. told: with the task's order before each. examples: at hand,
    of which up to `MOST_SHOWN` stand before each question, as turns of a conversation."""

    task: str = "notes"
    told: bool = False
    examples: int = 0
    side: Side = "judge"

    def run(self) -> Result:
        """new: which answers are exactly right. form: which of those that it writes have the task's form."""
        tokenizer = load_tokenizer()
        shown = drawn_examples(self.task, self.examples, self.seed)[:MOST_SHOWN] if self.examples else []
        before: list[Message] = [message for conversation in shown for message in conversation]
        asked = [self._asked(messages) for messages in new_questions(self.task, self.side)]
        rows = [encode_last_answer(tokenizer, [*before, *messages]) for messages in asked]
        result: Result = {"new": pack_bits(graded(base(), rows, tokenizer.pad_token_id)[0])}
        if self.task in FORMS:
            order = ORDERS[self.task] if self.told else ""
            result["form"] = pack_bits(in_form(base(), self.task, self.side, before, order))
        return result

    def _asked(self, messages: list[Message]) -> list[Message]:
        return told(ORDERS[self.task], messages) if self.told else messages
