"""Commands that see every package: nothing imports this one."""
