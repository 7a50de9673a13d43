"""What became of the claims of the first ledger? Each was kept, redone or withdrawn, and why.

The first ledger was tried on the first base model, with an interval over seeds alone and a rule that favoured yes. Read
as a reviewer would, it reported ceilings, floors, grid edges and settings that do nothing as findings.
"""

from typing import Literal, NamedTuple

Fate = Literal["kept", "redone", "withdrawn"]


class Past(NamedTuple):
    """A claim of the first ledger, its verdict then, and what became of it. id: also of the claim that it is now."""

    id: str
    sentence: str
    verdict: str
    fate: Fate
    why: str


HISTORY = (
    Past("specialist", "Fine-tuning turns the generalist into a specialist: old skills are lost.", "holds", "redone",
         "At each method's gentlest rate and equal learning; to the letter and among four."),
    Past("format", "Fine-tuning gives a consistent format, where prompting does not.", "holds", "redone",
         "The prompt scored nothing at all; now also a form that a prompt can get, and the best of three prompts."),
    Past("style", "Fine-tuning gives a style beyond what prompting gives.", "holds", "withdrawn",
         "The prompt scored 0 in all 40 trials: the base cannot be prompted to it, so nothing was compared."),
    Past("domain", "Fine-tuning gives knowledge of a domain.", "holds", "redone",
         "More held-out questions, and a margin that would be called knowledge."),
    Past("few-examples", "With few examples a few-shot prompt beats fine-tuning.", "undecided", "redone",
         "Floor against floor; now a task that the base can pick up from examples, and 4 and 16 of them."),
    Past("simple-task", "A simple task, which the base can do, needs no fine-tuning.", "holds", "withdrawn",
         "It could not fail: the base was at 100 % before, and what is at 100 % needs nothing."),
    Past("leaks", "Private data leaks from a fine-tuned model.", "depends", "redone",
         "Exposure was at the most that its measure can say; now the secrets that the model really says are counted."),
    Past("leaks-repeats", "What is repeated in the data leaks more.", "depends", "redone", "As leaks."),
    Past("full-most", "Full fine-tuning adapts most.", "undecided", "redone",
         "Two of its four tasks had one rate; now both methods are swept until both edges are worse."),
    Past("one-per-cent", "LoRA trains about one per cent of the weights, or less.", "depends", "kept",
         "Arithmetic, and now called so."),
    Past("less-by-rank", "LoRA of a low rank is less expressive than full fine-tuning.", "depends", "redone",
         "alpha grew with the rank, and two rates were tried; now ranks are compared with each other at a fixed alpha, "
         "with a sweep each, after many steps."),
    Past("less-by-data", "The more data, the further LoRA falls behind full fine-tuning.", "undecided", "withdrawn",
         "One rate for the small amount, and a difference of differences that these few questions cannot resolve; the "
         "source speaks of a thousand times as much data."),
    Past("lora-rate", "LoRA's best learning rate is about ten times as high as full fine-tuning's.", "depends",
         "redone", "The best rate was the edge of the grid; now it lies inside, or the claim is censored."),
    Past("lora-rate-higher", "LoRA's best learning rate is higher than full fine-tuning's.", "holds", "redone",
         "As lora-rate."),
    Past("full-rank", "Full fine-tuning's change has a higher rank than usual adapters.", "depends", "redone",
         "At the usual rate; quoted as the source says it."),
    Past("share-a-base", "Adapters share one base, and switching between them is exact.", "holds", "kept",
         "Exact, and now called so."),
    Past("overlap", "LoRA of rank 8 and of rank 64 find the same top directions.", "depends", "redone",
         "0.09 was called a yes where 1 is the same; now more than 0.5, as the source reports."),
    Past("intruders", "LoRA brings more intruder dimensions than full fine-tuning.", "holds", "redone",
         "Both models were destroyed, and their changes of unequal size; now at equal sizes of the change."),
    Past("intruders-chance", "Even a tuned model has fewer intruder dimensions than random directions would be.",
         "holds", "withdrawn", "Vacuous: nobody expects a tuned matrix to be random."),
    Past("nf4-costs-little", "Keeping the base in NF4 costs it little.", "holds", "redone",
         "On forty questions of each skill, with an interval over questions; also among four."),
    Past("nf4-best", "NF4 costs less than FP4 and int4.", "undecided", "redone",
         "The same questions for every type, so that the difference is of each."),
    Past("qlora-as-lora", "QLoRA reaches LoRA's quality.", "holds", "redone",
         "Of the new task alone; old skills, 6.75 points lower, were measured and not reported: now qlora-keeps."),
    Past("double-free", "Double quantisation costs nothing that can be measured.", "holds", "redone",
         "The interval is over questions; also on stories."),
    Past("memory-steps", "LoRA needs much less memory than full fine-tuning, and QLoRA much less than LoRA.", "holds",
         "kept", "Arithmetic, and now called so."),
    Past("memory-65b", "QLoRA fine-tunes a model of 65 billion weights on one GPU of 48 GB.", "holds", "kept",
         "Arithmetic, and now called so."),
    Past("quality", "Quality beats quantity: clean examples beat four times as many noisy ones.", "depends", "redone",
         "Unequal numbers of passes; now each is stopped where it is best by other questions."),
    Past("thousand", "About a thousand good examples suffice.", "depends", "withdrawn",
         "There was no smaller arm to compare with, and the source speaks of a style; now more-data."),
    Past("masking", "Masking the prompt helps.", "undecided", "redone", "Each at its own best rate."),
    Past("lower-rate-than-pretraining", "Fine-tuning wants a lower learning rate than pretraining did.", "depends",
         "withdrawn", "Pretraining used another optimizer (Muon): rates of two optimizers cannot be compared."),
    Past("overfit", "Many epochs on few examples overfit.", "does not hold here", "redone",
         "A minimum was subtracted from the end, which cannot be negative; now the best moment is chosen elsewhere."),
    Past("accumulation", "Accumulated small batches equal one large batch.", "holds", "kept",
         "Equal up to rounding; the margin is a part of how far the weights moved."),
    Past("warmup-steadies", "Warm-up steadies training at high learning rates.", "undecided", "withdrawn",
         "One rate, and the highest loss of any step, which is luck; what matters is in warmup-learns."),
    Past("warmup-learns", "At high learning rates, warm-up makes the model learn better.", "does not hold here",
         "redone", "100 % against 100 % at one rate; now two higher rates, and a ceiling is called one."),
    Past("weight-decay", "Weight decay regularises.", "does not hold here", "withdrawn",
         "All of it shrank the weights by 0.4 %: the setting did nothing. That is taught now: decay-shrinks-little."),
    Past("dropout", "Dropout regularises.", "holds", "redone", "More passes, and a margin on both sides."),
    Past("grows-with-steps", "Forgetting grows with the number of steps.", "depends", "redone",
         "The rate fell with the steps; now it is constant."),
    Past("grows-with-rate", "Forgetting grows with the learning rate.", "holds", "redone",
         "At the usual rate and four times it; to the letter and among four."),
    Past("early-stopping", "Stopping early reduces forgetting.", "undecided", "redone",
         "Stopped in mid-schedule; now also against a schedule as short, and the moment is chosen elsewhere."),
    Past("gentle-rate", "A lower learning rate reduces forgetting, at the same accuracy on the new task.", "holds",
         "redone", "Each training goes on until it has learned; intervals over questions, too."),
    Past("mixing", "Mixing in pretraining data reduces forgetting, at the same accuracy on the new task.", "holds",
         "redone", "As gentle-rate."),
    Past("lora-forgets-less", "LoRA forgets less than full fine-tuning, at the same accuracy on the new task.",
         "does not hold here", "redone",
         "A limit of 60 steps left out the rates that keep most; now frontiers, each trained until it has learned."),
    Past("switch-off", "Switching the adapter off undoes forgetting exactly.", "holds", "kept",
         "Exact, and now called so."),
    Past("loss-against-answers", "In some runs the loss improves while the answers get worse, or the reverse.",
         "undecided", "redone", '"Some" is now tested as that: a share above what luck gives.'),
    Past("perplexity-misranks", "Perplexity alone puts some pairs of runs in the wrong order.", "undecided", "redone",
         "Only pairs whose answers differ by more than luck count."),
)  # fmt: skip
