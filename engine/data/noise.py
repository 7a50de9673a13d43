"""What if some of the training data is wrong? A stated corruption of real data: answers that belong to other questions.

Quality is easily spoken of and hard to measure, because bad data is bad in unknown ways. This is bad in a known way:
of a share of the conversations, drawn at random, the last answer is another conversation's, and not the right one.
"""

import random
from collections.abc import Sequence

from engine.errors import InputError
from engine.evaluate import last_answer
from engine.messages import Message


def with_wrong_answers(conversations: Sequence[list[Message]], share: float, seed: int = 0) -> list[list[Message]]:
    """Conversations of which exactly `share` (0 to 1, rounded to whole ones) end in an answer to something else.

    The wrong answers are drawn from the others' right ones, so that words, lengths and style are those of the data.
    Raises InputError for a share outside 0 to 1, or if there are no two different answers to exchange.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share is {share}; it is a share of the conversations, from 0 to 1")
    rng = random.Random(seed)
    answers = [both[1] for both in map(last_answer, conversations) if both]
    if share and len(set(answers)) < 2:
        raise InputError("there are no two different answers to exchange; wrong ones cannot be made")
    answered = [at for at, conversation in enumerate(conversations) if last_answer(conversation)]
    changed = [list(conversation) for conversation in conversations]
    for at in rng.sample(answered, round(share * len(answered))):
        asked, right = last_answer(conversations[at]) or ([], "")
        wrong = right
        while wrong == right:
            wrong = rng.choice(answers)
        changed[at] = [*asked, {"role": "assistant", "content": wrong}]
    return changed
