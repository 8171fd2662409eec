"""Lists the commands of this package: python -m flowless."""

import sys

from command.listing import tell_commands

if __name__ == "__main__":
    sys.exit(tell_commands(__file__))
