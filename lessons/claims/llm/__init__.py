"""The same sentences on a real LLM: any causal language model, its trials, and the ledger's second column.

    python -m lessons.claims --model FOLDER_OR_HUB_ID [--data FILE]

What is tried, and how it was made cheap enough for a processor, is in `lessons.claims.llm.trial`.
"""

from pathlib import Path

SHIPPED = Path(__file__).with_name("trials.jsonl")  # a real LLM's trials
KEPT = Path(__file__).with_name("claims.json")  # what the trials that ship say, as the ledger's rows
