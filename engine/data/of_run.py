"""What was this run trained on? Its own conversations, read again from where they came, and checked to be the same."""

from contextlib import nullcontext

from engine.data.records import Conversations, Source, digest, hold_out, load
from engine.errors import InputError
from engine.offline import offline
from engine.run.run import Run


def data_of(run: Run, source: Source | None = None) -> Conversations:
    """The conversations that a run was trained on and those that it held out, as `finetune` took them.

    source: where they lie now, for a run that does not say it or says another place. Raises InputError where they are
    not at hand, or are not what they were. What a data set was called is no place: nothing is looked for by its name.
    And a place that a run names, without a word of what lay there, is no data of its: any file could lie there.
    """
    used, given = run.info.data, source if source is not None else run.info.data.source
    if given is None:
        raise InputError(
            f"the data of run {run.name} is not at hand (it came from Python, or the run does not say where it lies)"
        )
    if source is None and used.digest is None and None in (used.train, used.heldout):
        raise InputError(
            f"run {run.name} says that its data was {given}, but not what was in it; name it yourself if it is that"
        )
    try:
        with offline() if source is None else nullcontext():
            found = hold_out(load(given), run.info.settings.seed or 0)
    except InputError as error:
        raise InputError(f"the data of run {run.name} is not at hand ({error})") from None
    counts = len(found.train), len(found.heldout)
    if used.digest is None:  # not written down by whoever made the run: the counts, if they are, must do
        same = all(said in (None, count) for said, count in zip((used.train, used.heldout), counts, strict=True))
    else:
        same = digest(found) == used.digest
    if not same:
        raise InputError(
            f"the data of run {run.name} has changed since it was trained on: {given} is not what it was (it had "
            f"{used.train} conversations to learn from and {used.heldout} held out, now {counts[0]} and {counts[1]})"
        )
    return found
