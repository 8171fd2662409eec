"""XML of annotation programs, without document types and entities: no file names another, or grows without end."""

from pathlib import Path
from xml.etree import ElementTree

from evaluate.importing.intervals import ImportingError


def read_xml(path: Path) -> ElementTree.Element:
    """The root element. Raises ImportingError for what is no XML, and for XML that declares types or entities."""
    content = path.read_bytes()
    plain = content.replace(b"\0", b"")  # of UTF-16
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ImportingError(f"{path}: declares a document type, which no export of ELAN or CVAT does. Export it again")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ImportingError(f"{path}: not readable XML ({error}). Export it again") from None
