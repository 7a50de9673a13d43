"""How is PEFT loaded without a remark on every start? bitsandbytes first, with that one logger silent meanwhile.

PEFT loads bitsandbytes, which looks for an optional kernel package and says that there is none. Whoever imports PEFT
imports this file before it.
"""

import logging

_logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
_level = _logger.level
_logger.setLevel(logging.ERROR)
import bitsandbytes  # noqa: E402, F401

_logger.setLevel(_level)
