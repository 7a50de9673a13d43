"""Will this training do what is meant? Looked at before it starts: the batch as it will be, and two real steps."""

import engine.quietly  # noqa: F401
