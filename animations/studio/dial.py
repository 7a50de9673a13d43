"""What does a run answer when its change is scaled, or cut to its strongest directions? Measured once, then read.

W0 + t delta-W is a model for any t: at 0 the base, at 1 what training made. Cut to k directions (by singular values,
Eckart and Young 1936) it says what a smaller rank could have kept of this very change.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from animations.studio.asking import as_asked
from animations.studio.measures import measured
from engine.errors import InputError
from engine.linear import svd
from engine.run.base import EMBEDDED
from engine.run.run import Run

if TYPE_CHECKING:
    from engine.messages import Message

NEW, OLD = 60, 5  # questions of the task, and of each old skill
WATCHED = 6  # questions of the task that are answered in words; of old skills twice as many
SCALES = tuple(round(0.05 * step, 2) for step in range(31))  # 0 to 1.5


@dataclass(frozen=True)
class Setting:
    """at: the scale, or how many directions. new, old: shares of the task's and of all old skills' questions that are
    answered exactly right (NaN where there are none). said: each watched prompt's answer."""

    at: float
    new: float
    old: float
    said: dict[str, str]


@dataclass(frozen=True)
class Dial:
    """Settings in order; asked: on how many questions each share stands. right: each watched prompt's right answer, ""
    where it has no single one."""

    settings: list[Setting]
    asked: dict[str, int]
    right: dict[str, str]

    def near(self, at: float) -> Setting:
        """The measured setting that is nearest."""
        return min(self.settings, key=lambda setting: abs(setting.at - at))

    def is_right(self, prompt: str, setting: Setting) -> bool | None:
        """None for a wish that was never graded against one right answer."""
        right = self.right[prompt].strip()
        return setting.said[prompt].strip() == right if right else None


def scaled(run: Run, scales: tuple[float, ...] = SCALES) -> Dial:
    """The run's change at these scales."""
    return _measure(run, "dial", list(scales))


def cut(run: Run, ranks: list[int]) -> Dial:
    """The run's change cut to so many of its strongest directions in every matrix."""
    return _measure(run, "cut", [float(rank) for rank in ranks])


def _measure(run: Run, how: str, settings: list[float]) -> Dial:
    def make() -> dict[str, Any]:
        from engine.evaluate import encode_last_answer, score_answers
        from engine.evaluate.compare import questions_of
        from engine.evaluate.sides import tokenizer_of
        from engine.evaluate.weights import ChangedModel
        from engine.school.curriculum import SKILLS, heldout_examples

        changed, tokenizer = ChangedModel(run), tokenizer_of(run)
        skills = [skill for skill in run.skills if skill in SKILLS] if run.info.model.source == EMBEDDED else []
        try:
            new = questions_of(run, None, NEW)[1]
        except InputError:  # its data is not at hand any more: the questions that it was watched with are
            asked = run.answers[run.answers.skill == run.task].drop_duplicates("prompt")
            new = [
                [{"role": "user", "content": prompt}, {"role": "assistant", "content": expected}]
                for prompt, expected in zip(asked.prompt, asked.expected, strict=True)
            ]
        groups = {
            "new": new,
            "old": [example.messages for skill in skills for example in heldout_examples(skill, OLD)],
        }
        rows = {name: [encode_last_answer(tokenizer, one) for one in group] for name, group in groups.items()}
        asking = asked_as_recorded(run, tokenizer)
        changes = {name: run.delta(name, None) for name in changed.modules}
        found = []
        for at in settings:
            model = changed.change(
                {name: at * delta if how == "dial" else strongest(delta, int(at)) for name, delta in changes.items()}
            )
            right = {name: score_answers(model, group, tokenizer.pad_token_id)[1] for name, group in rows.items()}
            said = {prompt: text for one in asking for prompt, text in one.answers(model, tokenizer).items()}
            share = {name: float(np.mean(marks)) if marks else float("nan") for name, marks in right.items()}
            found.append({"at": at, **share, "said": said})
        return {"settings": found, "asked": {name: len(group) for name, group in groups.items()}}

    known = measured(how, [run], make, settings=settings, new=NEW, old=OLD, watched=WATCHED)
    expected = run.answers.drop_duplicates("prompt").set_index("prompt").expected
    return Dial([Setting(**one) for one in known["settings"]], known["asked"], dict(expected))


@dataclass(frozen=True)
class Asking:
    """Questions that are asked together: by how each is shown, all that is said before its answer. room: tokens."""

    prompts: "dict[str, list[Message]]"
    room: int

    def answers(self, model: Any, tokenizer: Any) -> dict[str, str]:
        from engine.evaluate import generate_answers

        said = generate_answers(model, tokenizer, list(self.prompts.values()), self.room)
        return dict(zip(self.prompts, said, strict=True))


def asked_as_recorded(run: Run, tokenizer: Any) -> list[Asking]:
    """The watched questions, each as the run's own evaluations asked it: with what a system or an earlier turn said
    before it, and with as much room for its answer. A wish for a general model has a room of its own."""
    from engine.evaluate import PROBE, room_for_answers
    from engine.evaluate.probes import ANSWER

    watched = run.answers.drop_duplicates("prompt")
    own = watched.skill == run.task
    chosen = watched[own].prompt.tolist()[:WATCHED] + watched[~own].prompt.tolist()[: 2 * WATCHED]
    asked = as_asked(run, chosen)
    wishes = watched.skill.str.startswith(PROBE)
    room, of_wishes = room_for_answers(tokenizer, watched[~wishes].expected), {*watched[wishes].prompt}
    groups = [Asking({one: asked[one] for one in asked if (one in of_wishes) == wish}, length)
              for wish, length in ((False, room), (True, ANSWER))]  # fmt: skip
    return [group for group in groups if group.prompts]


def strongest(change: np.ndarray, rank: int) -> np.ndarray:
    """The change with all but its `rank` strongest directions left out; what is no matrix stays for any rank but 0."""
    if change.ndim != 2:
        return change if rank else np.zeros_like(change)
    u, s, v = svd(change)
    return (u[:, :rank] * s[:rank]) @ v[:rank]
