"""Which textbook sentences hold for this model? The claims ledger: every sentence an experiment with several seeds.

    python -m lessons.claims                       # all of them: some minutes a seed; stopped, it goes on where it was
    python -m lessons.claims lora-rate overlap     # these
    python -m lessons.claims --list

A claim is a sentence, the trials that try it (`lessons.claims.trials`), and what is read from them. Its verdict is
computed (`lessons.claims.verdict`), never written. What was measured lies in `claims.json`; a lesson shows it:

    show(claims.table("lora-rate"), claims.plot("lora-rate"))
"""

from lessons.claims.ledger import CLAIMS, Claim, Row, kept_rows, row_of, table
from lessons.claims.plot import plot
from lessons.claims.verdict import Effect, interval

__all__ = ["CLAIMS", "Claim", "Effect", "Row", "interval", "kept_rows", "plot", "row_of", "table"]
