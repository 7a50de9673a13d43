"""What may a film say that a run learned, or forgot? Only what its record shows: by more than chance, where there was
room to, and of what is known to have been trained on."""

import pandas as pd

from engine.measure.shares import newcombe
from engine.run.run import Run
from engine.school.tasks import TASKS
from visualize.naming import percent

NEAR = 0.02  # less than that is called nothing
FLOOR = 0.05  # of the old skills: whoever knew fewer had nothing to forget
RETURNED = 0.05  # from its lowest on, so much of the old skills came back: more is called a return
WHOLE = ("full", "partial", "unknown")  # methods that train the weights themselves


def asked_of(run: Run) -> int:
    """On how many questions of its task a run's score stands; 0 where nothing says."""
    return int(run.graded[run.task].iloc[-1]) if run.task in run.graded else run.info.data.heldout or 0


def old_asked(run: Run) -> int:
    """On how many questions the mean of the old skills stands: as many as weigh alike, for a skill with few weighs as
    much as one with many. 0 where nothing says."""
    old = [name for name in run.skills.columns if name != run.task]
    counts = run.graded.reindex(columns=old).iloc[-1:].to_numpy(float).ravel()
    return int(len(counts) ** 2 / (1 / counts).sum()) if len(counts) and (counts > 0).all() else 0


def is_more(one: float, other: float, asked: int) -> bool:
    """Is one share of so many answers greater than another, and by more than chance?"""
    return asked > 0 and newcombe(round(one * asked), asked, round(other * asked), asked)[0] > 0


def is_at_most(one: float, other: float, more: float, asked: int) -> bool:
    """Is one share of so many answers less than `more` above another, whatever chance may hide?"""
    return asked > 0 and newcombe(round(one * asked), asked, round(other * asked), asked)[1] < more


def is_mixed(run: Run) -> bool:
    """Was other data trained on in between?"""
    return bool(run.info.settings.mix) or run.info.data.mixed_in is not None


def is_alone(run: Run) -> bool:
    """Is it known that a run was trained on its task's data, and on nothing else? Of a training that somebody else set
    up, nobody wrote that down."""
    return run.info.data.digest is not None and not is_mixed(run)


def is_untaught(run: Run) -> bool:
    """Is it known that no old skill was trained on? Our tasks share nothing with them; other data may."""
    return is_alone(run) and run.task in TASKS and run.info.data.source in TASKS  # no file of that name


def is_adapter(run: Run) -> bool:
    """Do the old weights lie beside what was trained, whatever kind of adapter it is?"""
    return run.method not in WHOLE or all(run.kind(name) in ("lora", "dora") for name in run.modules)


def told(story: pd.DataFrame) -> str:
    """What became of a question's answers, which are in the order of their steps."""
    heard, right = story.answer.nunique(), [bool(one) for one in story.correct]
    if heard == 1:
        return "It never changed its mind."
    if story.answer.iloc[-1] == story.answer.iloc[0]:
        return f"{heard} different answers, and then the first one again."
    if right[-1]:
        return f"{heard} different answers, and the last one is right{', too' if right[0] else ''}."
    return f"{heard} different answers. {'The right one is gone, or is it?' if right[0] else 'The last one is wrong.'}"


def has_returned(run: Run, path: pd.DataFrame, stop: int) -> bool:
    """Do the old skills end higher than at `stop`, by more than chance?"""
    low, end = path.kept[stop], path.kept.iloc[-1]
    return bool(end - low > RETURNED and is_more(end, low, old_asked(run)))


def outcome(run: Run, path: pd.DataFrame, stop: int) -> str:
    """What became of the old skills after `stop`. path: as `learning_path` has it."""
    start, low, end, best = path.kept.iloc[0], path.kept[stop], path.kept.iloc[-1], path.kept.loc[stop:].max()
    asked = old_asked(run)
    if has_returned(run, path, stop):
        why = ": what returns was not erased" if is_untaught(run) else ", with other data in between" * is_mixed(run)
        return f"From {percent(low)} back to {percent(end)}{why}."
    if best - low > RETURNED and is_more(best, low, asked) and is_more(best, end, asked):
        return f"Back to {percent(best)}, then down to {percent(end)}: some returned, and more was lost."
    if max(start, end) < FLOOR:
        return f"{percent(start)} before, {percent(end)} after: there was next to nothing to forget."
    said = f"{percent(start)} before, {percent(end)} after"
    if not asked:
        return f"{said}; of how many questions is not known."
    if start - end < NEAR and is_at_most(start, end, FLOOR, asked):
        return f"Nothing was forgotten: {said}."
    if not is_more(start, end, asked):
        return f"{said}, which may be chance."
    return f"{said}: {'what came back may be chance' if end - low > RETURNED else 'it did not return'}."
