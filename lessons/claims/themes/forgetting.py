"""What makes a model forget, and what helps, at the same accuracy on the new task?"""

from dataclasses import replace

from lessons.claims.claim import CHOOSING, Claim, Results, over
from lessons.claims.intervals import Effect, exact_effect, mean_effect
from lessons.claims.readings import LEARNED, at_end, at_equal_learning, at_step, difference, scores
from lessons.claims.themes import EQUAL, MEASURES, METHODS, POINTS, STEPS, USUAL, frontier, plain, until_learned
from lessons.claims.trials.adapters import Switching
from lessons.claims.verdict import Says

TITLE = "Forgetting"
WINDOWS = {"steps 10 to 40": (10, 40), f"steps 40 to {STEPS}": (40, STEPS)}
HIGHER = 4  # times the usual rate
FAR_APART = (0.5, 2.0)  # of the usual rate: a low and a high one, of which both learn
MIX = 0.5
TASKS = {"spanish": "spanish", "json": "json"}
OTHERS = {"against going on": "going on", "against a schedule as short": "schedule"}


def with_steps(r: Results, method: str, what: str, window: tuple[int, int]) -> Effect:
    rows = r(plain(method=method))
    early, late = (at_step(rows, what, step) for step in window)
    return difference(early, late, what)


def with_rate(r: Results, method: str, what: str) -> Effect:
    low, high = r.each(plain(method=method), plain(method=method, rate=HIGHER * USUAL[method]))
    return difference(at_end(low, what), at_end(high, what), what)


def when_to_stop(r: Results, method: str) -> int | None:
    """The first graded step at which the usual training has learned, on the questions and seeds that choose."""
    usual = replace(plain(method=method), side="choose", matrices=False)
    rows = r.need([usual.with_seed(seed) for seed in CHOOSING])
    for at, step in enumerate(rows[0]["steps"]):
        if sum(scores(row["at"][at], "new").mean() for row in rows) / len(rows) >= 100 * LEARNED:
            return step
    return None


def stopping(r: Results, method: str, against: str) -> Effect:
    stop = when_to_stop(r, method)
    if stop is None:
        return mean_effect([float("nan")])
    on = plain(method=method) if 2 * stop == STEPS else plain(method=method, steps=2 * stop)
    shorter = plain(method=method, steps=stop, schedule="linear")
    other = on if against == "going on" else shorter
    stopped = at_step(r(on), "exact", stop)
    return difference(stopped, at_end(r(other), "exact"), "exact")


def gentler(r: Results, method: str, what: str) -> Effect:
    low, high = (until_learned(method=method, rate=times * USUAL[method]) for times in FAR_APART)
    some, others = r.each(low, high)
    return at_equal_learning(some, others, what)


def mixing(r: Results, method: str, what: str) -> Effect:
    mixed, alone = until_learned(method=method, mix=MIX), until_learned(method=method)
    some, others = r.each(mixed, alone)
    return at_equal_learning(some, others, what)


def lora_less(r: Results, task: str, what: str) -> Effect:
    (lora, found), (full, found_too) = (frontier(r, task, method) for method in ("lora", "full"))
    effect = at_equal_learning(lora, full, what)
    return effect if found and found_too else effect.limited("censored")


def lora_nearer(r: Results, what: str) -> Effect:
    """Nats by which full fine-tuning is further away than LoRA."""
    (full, found), (lora, found_too) = (frontier(r, "spanish", method) for method in METHODS)
    effect = at_equal_learning(full, lora, what)
    return effect if found and found_too else effect.limited("censored")


def switched_off(r: Results) -> Effect:
    return exact_effect(max(row["off"] for row in r(Switching())))


CLAIMS = (
    Claim(
        "grows-with-steps", "Forgetting grows with the number of steps.",
        "old skills right at the earlier step minus at the later one", "points", POINTS,
        over(with_steps, METHODS, MEASURES, WINDOWS),
        design="Spanish words at the usual rate, which is constant, so that each step is the end of a shorter one. "
        "The old is asked for in two ways: to the letter, and as one answer among four.",
        wrong="One task, and three moments of it. What is lost before step 10 does not count.",
        student="Train no longer than the new task needs, and look at the old skills on the way, not only at the end.",
    ),
    Claim(
        "grows-with-rate", "Forgetting grows with the learning rate.",
        f"old skills right after {STEPS} steps, at the usual rate minus at {HIGHER} times it", "points", POINTS,
        over(with_rate, METHODS, MEASURES),
        design=f"Spanish words, {STEPS} steps at a constant rate. More is learned at the higher rate, too: see "
        "gentle-rate for what is left of it at equal learning.",
        wrong="Two rates, and the same number of steps: it does not say that a lower rate is the better way to a goal.",
        student="The learning rate is the first thing to turn down when old skills suffer.",
    ),
    Claim(
        "early-stopping", "Stopping early reduces forgetting.",
        f"old skills right, stopped when the new task is at {LEARNED:.0%} minus the other", "points", POINTS,
        over(stopping, METHODS, OTHERS),
        design="Spanish words at the usual constant rate. The step to stop at is chosen by other questions and seeds. "
        "Going on: to twice as many steps. A schedule as short: a training whose rate falls to nothing at that step.",
        wrong="A schedule as short ends at another score of the new task, too; only the old skills are compared.",
        student="Stopping in mid-schedule is not the same as planning a short training: compare with both.",
    ),
    Claim(
        "gentle-rate", "A lower learning rate reduces forgetting, at the same accuracy on the new task.",
        f"old skills right {EQUAL}, low rate minus high", "points", POINTS,
        over(gentler, METHODS, MEASURES),
        design=f"Spanish words, {FAR_APART[0]:g} against {FAR_APART[1]:g} times the usual rate, each until it has "
        "learned; between two grades a straight line is drawn.",
        wrong="A rate four times as high is one step of many; a rate so low that it learns nothing would be censored.",
        student="A lower rate costs steps. Whether it buys old skills at the same new score is what this says.",
    ),
    Claim(
        "mixing", "Mixing in pretraining data reduces forgetting, at the same accuracy on the new task.",
        f"old skills right {EQUAL}, half of the data from the curriculum minus none", "points", POINTS,
        over(mixing, METHODS, MEASURES),
        design="Spanish words at the usual rate, with as many of the curriculum's own training examples among them.",
        wrong="The toy's pretraining data is at hand and covers all that is asked; a large model's seldom is.",
        student="Keep some of what the model should still be able to do in the training data: rehearsal.",
        source="Scialom et al. 2022",
    ),
    Claim(
        "lora-forgets-less", "At the same accuracy on the new task, LoRA forgets less than full fine-tuning.",
        f"old skills right {EQUAL}, LoRA (r = 8) minus full", "points", POINTS,
        over(lora_less, TASKS, MEASURES),
        design="Frontiers: each method at the rate that keeps most when it has learned, swept until both edges are "
        "worse, and chosen by other questions and seeds.",
        wrong="One rank, two tasks, and a model of a million weights, of which the adapter is 8 %.",
        student="Compare methods where they have learned equally much; less learned is always less forgotten.",
        source="Biderman et al. 2024",
        quote="LoRA better maintains the base model's performance on tasks outside the target domain. (The same paper, "
        "of the two at equal learning: they seem to occupy the same Pareto curve.)",
    ),
    Claim(
        "lora-drifts-less", "At the same accuracy on the new task, LoRA's model is nearer to the base.",
        f"how far the model has gone {EQUAL}, full minus LoRA", "nats a token",
        Says("more", 0.05, "one twentieth of a nat is five per cent of perplexity", top=0),
        over(lora_nearer, {"loss on stories": "text", "divergence from the base": "kl"}),
        design="The trainings of lora-forgets-less, on Spanish words: what no question can show, the likelihood of "
        "text and the divergence from the base's own distribution on old answers.",
        wrong="Twenty stories, and two dozen answers for the divergence, whose interval is over seeds alone.",
        student="Where answers are open, distance in likelihood is what is left to measure.",
    ),
    Claim(
        "switch-off", "Switching the adapter off undoes forgetting exactly.",
        "logits that differ from the base's", "logits", Says("same", 0, "one logit that differs is not exact", top=0),
        {"LoRA": switched_off},
        design="An adapter is trained until it changes the logits, switched off, and every logit of some questions is "
        "compared with the base's, bit by bit.",
        wrong="A library that merged the adapter in the meantime would break it: then rounding stays behind.",
        student="This is what LoRA does guarantee: keep the base and the adapter apart, and nothing is ever lost.",
        source="Hu et al. 2021", exact=True,
    ),
)  # fmt: skip
