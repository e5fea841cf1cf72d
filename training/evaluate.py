"""`python -m training.evaluate`: see `training.evaluation.command`.

Every worker of the command imports this module anew, and nothing with it.
"""

import sys

if __name__ == "__main__":
    from training.evaluation.command import main

    sys.exit(main())
