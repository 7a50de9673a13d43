"""A run is repeated only with what it was made of."""

import json
import shutil
from pathlib import Path

import pytest

from engine.run.run import Run
from engine.training.rerun import rerun
from glasstune import InputError, LoRA, finetune


def test_what_was_mixed_in_has_to_be_what_it_was(tmp_path):
    other = tmp_path / "other.jsonl"
    records = [{"prompt": f"Ask {n}", "completion": f"say {n}"} for n in range(20)]
    other.write_text("".join(json.dumps(record) + "\n" for record in records))
    run = finetune(
        data="spanish", out=tmp_path / "run", mix=0.01, mix_with=str(other), steps=1, skills=0, batch_size=4,
        method=LoRA(r=1), answers=False, progress=False,
    )  # fmt: skip
    assert not rerun(run, tmp_path / "same", progress=False).different
    other.write_text(other.read_text().replace("Ask ", "Tell "))
    with pytest.raises(InputError, match=r"what was mixed in \(.*other\.jsonl\) has changed since .*run was trained"):
        rerun(run, tmp_path / "again", progress=False)
    assert not (tmp_path / "again").exists()
    told = json.loads((run.path / "run.json").read_text())
    long = Path(shutil.copytree(run.path, tmp_path / "long"))
    (long / "run.json").write_text(json.dumps(told | {"settings": told["settings"] | {"steps": 9_999_999}}))
    with (long / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9999999, "event": "train", "loss": 1.0}\n')
    with pytest.raises(InputError, match="asks for 9,999,999 steps, and its record has 2"):
        rerun(Run.load(long), tmp_path / "again", progress=False)
    told["settings"]["mix"] = 1 - 1e-12
    strange = Path(shutil.copytree(run.path, tmp_path / "strange"))
    (strange / "run.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"mixes in .* times its data"):
        rerun(Run.load(strange), tmp_path / "again", progress=False)
