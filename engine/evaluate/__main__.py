"""python -m engine.evaluate: `engine.evaluate.compare` as a command."""

from engine.evaluate.compare import main

raise SystemExit(main())
