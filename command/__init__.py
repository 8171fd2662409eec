"""How every command begins and ends: its errors, exit codes, signals and closed pipes. Imports no other package."""
