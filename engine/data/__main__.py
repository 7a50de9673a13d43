"""python -m engine.data: `engine.data.report` as a command."""

from engine.data.report import main

raise SystemExit(main())
