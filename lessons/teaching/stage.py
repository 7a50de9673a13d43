"""What can a lesson call? Everything that it shows, asks and lets the reader try, in a terminal and in Jupyter alike.

    show(*things, name="")          text, tables, runs and pictures
    predict(question, {choice: why})    a guess before looking; `.reveal(measured)` afterwards, or `.withhold(because)`
    conclude(sentence)              says what follows; the quick preset, in which nothing follows, says that
    leader(scores, apart), inside(best, tried)      who is best, if anybody; is the best at no edge of what was tried?
    around(losses, apart)     between which of the settings that were tried the best one lies
    exercise(question, answer, hint, choices=(), why="")    a number, a word, or one of several; checked
    exercise_code(question, test, solution, hint)       a few lines of code, tried on data that was measured
    explore(plot, run, name=...)    the same picture at any step, of any matrix: sliders in Jupyter
    touch(run)                      a run's page: the whole model, its steps and answers, in a notebook
    show(ledger("lora-rate", ...))  what several seeds said about these claims (see `lessons.claims`)

In a terminal tables are printed, pictures are written to files (and drawn in place where the terminal can), questions
are asked at the prompt; in a notebook they are displayed, and questions become small forms, or plain text where
ipywidgets is missing. Without anybody there (`--auto`, tests), questions are shown and what was measured answers them.

The cell after an `exercise_code` is the student's: a cell marked `# %% tags=["answer"]` that holds a function with
`...` for a body, and `asked.check(function)`. A notebook has it as it stands; a terminal asks for those lines.

A lesson also runs on a teacher's own model and data: `LESSON_MODEL=folder LESSON_DATA=my.jsonl python -m lessons.x`
(or `--model`, `--data`). So it asks for them, and never names a matrix or a skill that another model may not have:

    model()                   what to fine-tune: "embedded", or the teacher's folder or Hub id
    data("spanish")           the lesson's own task, or the teacher's file
    task_of("spanish", answers=24)      its conversations, a part held out; a teacher's, whole
    task_of("spanish", graded=True)     the same for a lesson that asks them itself: without those too long for that
    questions(mine, count)    the lesson's own questions; with own data, some that its file holds
    ask(network, tokenizer, questions)      a table of what it says
    answer_length(tokenizer, task), cut_marked(tokenizer, answers, length)  how long answers may be; which were cut
    rate("lora")              a learning rate that suits the model; a lesson that compares rates takes multiples of it
    matrices(network)         the names of the linear layers, in the model's own order: `matrices(base)[0]`
    kept_exactly(run)         the matrices whose single weights it holds: all, but of a large model
    old_skills(run)           step x old skill, share right; no columns where none was graded, as for models not ours
    new_skill(run)            step -> share right of the task's held-out part; empty if nothing could be held out

Sweeps: `finetune(..., evaluate_at=1, skills=2)` grades at the start and the end only. A lesson's first cell is
`begin(__name__, lesson="lora", place=3)`: its name, and where it comes in the course.

    current().quick           the short preset of tests and first looks; current().folder: where runs go
"""

from engine.notebook import in_notebook
from lessons.teaching.asking import Exercise, Prediction, exercise, predict
from lessons.teaching.coding import CodeExercise, exercise_code
from lessons.teaching.explore import explore
from lessons.teaching.judging import around, conclude, inside, leader
from lessons.teaching.sentences import ledger
from lessons.teaching.session import Session, configure, current
from lessons.teaching.showing import show
from lessons.teaching.subject import (
    answer_length,
    ask,
    cut_marked,
    data,
    is_own,
    kept_exactly,
    matrices,
    model,
    new_skill,
    old_skills,
    questions,
    rate,
    task_of,
)
from lessons.teaching.touch import touch

__all__ = [
    "CodeExercise", "Exercise", "Prediction", "Session", "answer_length", "around", "ask", "conclude", "configure",
    "current", "cut_marked", "data", "exercise", "exercise_code", "explore", "in_notebook", "inside", "is_own",
    "kept_exactly", "leader", "ledger", "matrices", "model", "new_skill", "old_skills", "predict", "questions", "rate",
    "show", "task_of", "touch",
]  # fmt: skip
