"""Commands that see every package: nothing imports this one."""

import command.loading  # noqa: F401
