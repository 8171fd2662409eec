"""The exit codes of all commands."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended. 74 and 75 are EX_IOERR and EX_TEMPFAIL of sysexits.h, 141 is a shell's 128 + SIGPIPE."""

    DONE = 0
    COULD_NOT_BEGIN = 2  # an argument, an input or a place to write that cannot be taken as it is
    FAILURES = 3  # finished, but not for every video
    IO_ERROR = 74  # a full disk, a folder that may not be written to
    INTERRUPTED = 75  # by Ctrl-C, SIGTERM or SIGUSR1: repeat the command
    BROKEN_PIPE = 141  # whoever read what is printed has gone away, as `| head` does
