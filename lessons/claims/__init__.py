"""Which textbook sentences hold for this model? The claims ledger: every sentence an experiment with several seeds.

    python -m lessons.claims                       # all of them; stopped, it goes on where it was
    python -m lessons.claims lora-rate overlap     # these
    python -m lessons.claims --list

A claim (`lessons.claims.claim`) is a sentence as its source says it, a margin with a reason, and what is read from
trials (`lessons.claims.trials`). Intervals cover seeds and questions (`lessons.claims.intervals`), and the verdict is
computed from them (`lessons.claims.verdict`), never written. Finished trials lie in `trials.jsonl`, and what they say
in `claims.json` and docs/claims.md; a lesson shows it with `ledger("lora-rate")`.
"""
