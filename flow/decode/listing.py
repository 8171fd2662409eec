"""Which videos files, folders, globs and lists stand for, and under which ids.

An id names output files and entries of a store, so it is made safe here, once, for every command: relative, never
climbing out of the folder it is put into, never empty, and printable.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePath

from flow.decode.decoder import VideoError, printable
from flow.decode.pictures import PICTURES, how_to_join, sequences

SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".flv", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".3gp"),
    *(".ogv", ".gif"),
}
SHOWN = 5  # remarks told one by one


def list_videos(
    paths: Sequence[Path | str], *, fps: float | None = None, remarks: list[str] | None = None
) -> dict[str, Path]:
    """The videos that files, folders, globs and lists (.txt, one path a line) stand for, by id, in order of id.

    An id is the path without its suffix, relative to the folder, to the fixed part of the glob, or as written in the
    list; a file given alone is known by its name. With fps, a folder of numbered pictures is a video that is known by
    the folder's name. Linked folders are followed. A path that does not exist is refused here when it was given itself;
    one written in a list, a broken link or a pipe costs that video only, when its turn comes. What is left out is told
    on stderr, or added to `remarks`.
    """
    found: dict[str, Path] = {}
    left_out: list[str] = []
    for given in paths:
        for name, path in _expand(Path(given), fps, left_out):
            if name in found and not _same(found[name], path):
                raise VideoError(
                    f"{found[name]} and {path} would both be called {name!r}. "
                    "Rename one, or give the folder above both so that their ids differ"
                )
            found[name] = path
    if not found:
        raise VideoError("; ".join([_nothing(paths), *islice(left_out, SHOWN)]))
    if remarks is not None:
        remarks.extend(left_out)
    else:
        _tell(left_out)
    return dict(sorted(found.items()))


def video_id(relative: PurePath) -> str:
    """A path as an id: without root, "." and "..", and with what cannot be printed written as an escape."""
    parts: list[str] = []
    for part in relative.parts:
        if part == "..":
            del parts[-1:]
        elif part not in {".", relative.anchor}:
            parts.append(printable(part, control=True))
    return "/".join(parts) or "video"


def _expand(given: Path, fps: float | None, remarks: list[str]) -> Iterator[tuple[str, Path]]:
    """(id, path) of everything that one argument stands for."""
    if given.is_dir():
        yield from _walk(given, given, fps, remarks)
    elif given.suffix.lower() == ".txt" and given.is_file():
        yield from _listed(given)
    elif given.suffix.lower() in PICTURES and given.is_file():
        raise VideoError(f"{given} is a picture, not a video. {how_to_join(given.parent)}")
    elif given.exists():
        yield _id(Path(given.name)), given
    elif given.is_symlink():
        raise VideoError(f"{given}: a broken link, to {given.readlink()}. Repair it, or leave it out")
    elif any(sign in str(given) for sign in "*?["):
        yield from _globbed(given, fps, remarks)
    else:
        raise VideoError(f"{given}: no such file, folder or glob. Check the path")


def _walk(
    folder: Path, base: Path, fps: float | None, remarks: list[str], above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, Path]]:
    """The videos in a folder and below. above: the folders on the way here, which a link may lead back to."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        remarks.append(f"{folder}: cannot be looked into ({error.strerror}); what it holds is left out")
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        remarks.append(f"{folder}: a link back to a folder above it, not followed again")
        return
    names, folders, has_videos = [], [], False
    for entry in entries:
        if _is_folder(entry):
            folders.append(entry.name)
        elif Path(entry.name).suffix.lower() in SUFFIXES:  # links that lead nowhere and pipes too: they are told later
            has_videos = True
            yield _id((folder / entry.name).relative_to(base)), folder / entry.name
        else:
            names.append(entry.name)
    pictures = sequences(names)
    if pictures and has_videos:  # thumbnails
        remarks += [f"{folder}: the numbered pictures beside its videos are left out"] if fps is not None else []
    elif pictures and fps is not None:
        yield _folder_id(folder, base), folder
    elif pictures:
        remarks.append(f"{folder}: left out. {how_to_join(folder)}")
    for name in folders:
        yield from _walk(folder / name, base, fps, remarks, (*above, here))


def _listed(file: Path) -> Iterator[tuple[str, Path]]:
    """The lines of a list, in UTF-8 or what Windows calls Unicode; other bytes reach the file system as they are."""
    data = file.read_bytes()
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16", "replace") if wide else os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            written = Path(line.strip())
            path = file.parent / written
            named = Path(written.name) if written.is_absolute() else written
            if _is_folder(path):
                yield video_id(named if named.name not in {"", ".."} else Path(path.resolve().name)), path
            else:
                yield _id(named), path


def _globbed(pattern: Path, fps: float | None, remarks: list[str]) -> Iterator[tuple[str, Path]]:
    parts = pattern.parts
    fixed = next(place for place, part in enumerate(parts) if any(sign in part for sign in "*?["))
    base, wanted = Path(*parts[:fixed]), parts[fixed:]
    if "**" in wanted:  # pathlib's own does not follow links
        for name, path in _walk(base, base, fps, remarks):
            if _matches(path.relative_to(base).parts, wanted):
                yield name, path
        return
    for path in sorted(base.glob(str(Path(*wanted)))):
        if path.is_dir() and fps is not None and sequences(entry.name for entry in os.scandir(path)):
            yield _folder_id(path, base), path
        elif path.suffix.lower() in SUFFIXES and not path.is_dir():
            yield _id(path.relative_to(base)), path


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a path fits a glob whose ** stands for any number of folders."""
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[skipped:], wanted[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _id(relative: Path) -> str:
    named = relative.name not in {"", ".."}
    return video_id(relative.with_suffix("") if named else relative)


def _folder_id(folder: Path, base: Path) -> str:
    """Of a folder of pictures: its path below the folder given, or its name if it is that folder."""
    return video_id(folder.relative_to(base) if folder != base else Path(folder.resolve().name))


def _is_folder(path: Path | os.DirEntry[str]) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to itself, a name too long
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.realpath(one) == os.path.realpath(other)
    except ValueError:  # a NUL
        return one.absolute() == other.absolute()


def _nothing(paths: Sequence[Path | str]) -> str:
    return (
        f"no video found in {', '.join(str(path) for path in paths) or 'nothing'}. "
        f"Expected files ending in {', '.join(sorted(SUFFIXES))}, a folder, a glob, a .txt list, "
        "or with --fps a folder of numbered pictures"
    )


def _tell(remarks: Sequence[str]) -> None:
    for remark in remarks[:SHOWN]:
        print(f"note: {printable(remark)}", file=sys.stderr)
    if len(remarks) > SHOWN:
        print(f"note: ... and {len(remarks) - SHOWN} more such folders", file=sys.stderr)
