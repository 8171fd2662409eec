"""The options of every command that reads videos: which ones, at what rate, by which decoder."""

import argparse

from flow.decode.video import DECODERS, MIN_DECODED


def add_videos(parser: argparse.ArgumentParser) -> None:
    """--videos and --fps."""
    parser.add_argument(
        "--videos", nargs="+", action="extend", required=True, metavar="PATH", help="files, folders, globs, .txt lists"
    )
    parser.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frames at this rate, left out or repeated (default: as they come); with it, a folder of numbered "
        "pictures is a video",
    )


def add_decoder(parser: argparse.ArgumentParser) -> None:
    """--decoder and --min-decoded."""
    parser.add_argument("--decoder", choices=["auto", *DECODERS], default="auto")
    parser.add_argument(
        "--min-decoded",
        type=float,
        default=MIN_DECODED,
        help="share of the frames promised by a file that must decode; the video then ends where decoding stopped",
    )
