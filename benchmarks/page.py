"""How fast is the model inside the run page? Its products, answers and training steps in Node, beside torch.

Node stands for the browser: the same modules on the same engine as Chromium's, without its newest instructions (the
figures say which were used). What a user would pick instead runs in turn with it: torch on one thread for a step,
transformers for an answer, plain JavaScript for a product. All times are the processor's.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import Figure, Unmeasured, cpu_seconds, ratios
from engine.data import Encoded, collate, encode_all, load
from engine.evaluate import encode_last_answer
from engine.models import load_model, load_tokenizer
from engine.run.base import EMBEDDED_FOLDER
from engine.training.methods import get_method

TITLE = "The run page's model: products, answers and training steps, in Node"
SCRIPT = Path(__file__).with_suffix(".mjs")
REPEATS = 5
ROWS, TOKENS, ANSWER = 32, 30, 10  # of a step, of each of its rows, of an answer
PLAIN = {"wasm": False}


def node(question: str, **about: Any) -> Any:
    """What page.mjs measures."""
    command = ["node", SCRIPT, question, EMBEDDED_FOLDER]
    return json.loads(
        subprocess.run(command, input=json.dumps(about), check=True, stdout=subprocess.PIPE, text=True).stdout
    )


def best(task: Callable[[], object], times: int, warm_up: int = 3) -> float:
    """Milliseconds of the quickest of so many calls, as page.mjs has them."""
    return 1000 * min([cpu_seconds(task) for _ in range(warm_up + times)][warm_up:])


def measure() -> Iterator[Figure | Unmeasured]:
    if not shutil.which("node"):
        yield Unmeasured("the run page's model", "there is no node on this machine")
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the page has one
    try:
        yield from products()
        for method in ("lora", "full"):
            yield from steps(method)
        yield from answers()
    finally:
        torch.set_num_threads(threads)
    yield from learning()


def products() -> Iterator[Figure]:
    """A layer's largest product: WebAssembly, plain JavaScript in blocks, and the three loops one writes first."""
    kind, wasm, plain, naive = "", [], [], []
    for _ in range(REPEATS):
        said = node("product")
        kind = said["kind"]
        wasm.append(said["found"])
        plain.append(node("product", kernels=PLAIN, times=5)["found"])
        naive.append(node("product", naive=True, times=3)["found"])
    yield Figure(f"product of matrices, WebAssembly ({kind}), best of 20", "GFLOP/s", wasm, "at least 26")
    yield Figure("product of matrices, plain JavaScript in blocks, best of 5", "GFLOP/s", plain)
    yield Figure(
        "product of matrices, WebAssembly, times as fast as plain JavaScript in blocks", "times", ratios(wasm, plain)
    )
    yield Figure("product of matrices, WebAssembly, times as fast as three loops", "times", ratios(wasm, naive))


def steps(method: str) -> Iterator[Figure]:
    """A training step of 32 examples of 30 tokens, five of them an answer's."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(6, load_model().config.vocab_size, (ROWS, TOKENS), generator=generator).tolist()
    rows = [Encoded(row, [-100] * (TOKENS - 5) + row[-5:]) for row in ids]
    given = [{"ids": row.ids, "labels": row.labels} for row in rows]
    torch.manual_seed(0)
    model = get_method(method).prepare("embedded")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    batch = collate(rows, 0)

    def step() -> None:
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    page, plain, torchs = [], [], []
    for _ in range(REPEATS):
        page.append(node("step", rows=given, method=method)["found"])
        torchs.append(best(step, 10))
        plain.append(node("step", rows=given, method=method, kernels=PLAIN, times=2)["found"])
    what = f"{method}, a step of {ROWS} x {TOKENS} tokens"
    yield Figure(f"{what}, best of 10", "ms", page, "at most 300" if method == "lora" else "")
    yield Figure(f"{what}: page, times as long as torch and PEFT on one thread", "times", ratios(page, torchs))
    yield Figure(f"{what}: plain JavaScript, times as long as WebAssembly", "times", ratios(plain, page))


def answers() -> Iterator[Figure]:
    """An answer of ten tokens to a question of some ten, with each token's runners-up."""
    tokenizer, model = load_tokenizer(), load_model().eval()
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    ids = torch.tensor([prompt])
    rest = {"attention_mask": torch.ones_like(ids), "pad_token_id": tokenizer.pad_token_id}

    def generate() -> None:
        model.generate(ids, do_sample=False, min_new_tokens=ANSWER, max_new_tokens=ANSWER, **rest)

    page, torchs = [], []
    for _ in range(REPEATS):
        page.append(node("answer", prompt=prompt, tokens=ANSWER)["found"])
        torchs.append(best(generate, 10))
    yield Figure(f"an answer of {ANSWER} tokens, best of 10", "ms", page, "at most 100")
    yield Figure(f"an answer of {ANSWER} tokens: page, times as long as transformers", "times", ratios(page, torchs))


def learning() -> Iterator[Figure]:
    """Spanish, with LoRA's usual settings, until nine of ten held-out answers are right."""
    tokenizer, data = load_tokenizer(), load("spanish")
    rows = encode_all(tokenizer, data.train)
    heldout = [encode_last_answer(tokenizer, conversation) for conversation in data.heldout]
    given, graded = ([{"ids": row.ids, "labels": row.labels} for row in some] for some in (rows, heldout))
    said = node("learn", rows=given, heldout=graded, steps=200, share=0.9)["found"]
    yield Figure(
        "Spanish with LoRA's usual settings: held-out answers right at the end",
        "%",
        [100 * said["share"]],
        "at least 90",
    )
    yield Figure(f"Spanish with LoRA's usual settings: {said['steps']} steps", "s", [said["seconds"]], "at most 120")
