"""What kind of media a file holds: by its first bytes, and by its name where they announce nothing."""

from __future__ import annotations

from pathlib import PurePath

from fer_batch.records import MediaType
from fer_batch.storage import open_file

#: Bytes that `sniff` needs: five packets of an MPEG transport stream that begins in the middle of one.
HEADER_BYTES = 1024

# fmt: off
#: Camera makers' raw photographs: a preview in JPEG lies within them.
RAW_PHOTO_SUFFIXES = frozenset((
    ".3fr", ".ari", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos",
    ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
))
_IMAGE_SUFFIXES = RAW_PHOTO_SUFFIXES | frozenset((
    ".apng", ".avci", ".avcs", ".avif", ".avifs", ".bmp", ".dib", ".exr", ".gif", ".heic", ".heics", ".heif",
    ".heifs", ".hif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jps", ".jpx", ".jxl",
    ".jxr", ".mpo", ".pam", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".tif", ".tiff", ".webp",
))
# Without .ts, which TypeScript sources are called too, and .mod, .dat, .rec, .raw: their content tells.
_VIDEO_SUFFIXES = frozenset((
    ".264", ".265", ".266", ".3g2", ".3gp", ".3gp2", ".3gpp", ".amv", ".asf", ".av1", ".avc", ".avi", ".dav", ".divx",
    ".dv", ".dvr-ms", ".evo", ".f4v", ".flv", ".gxf", ".h264", ".h265", ".h266", ".hevc", ".insv", ".ivf", ".lrf",
    ".lrv", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mov", ".mp4",
    ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb",
    ".tod", ".trp", ".vc1", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
))
# fmt: on
#: Sequences of JPEGs, told by their name alone: each begins as a photograph does.
_JPEG_SEQUENCES = frozenset([".mjpeg", ".mjpg"])

_IMAGE_STARTS = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"P4\n", b"P5\n", b"P6\n", b"P5 ", b"P6 ", b"P7\nWIDTH",
    b"8BPS\0\x01", b"\0\0\0\x0cJXL \r\n\x87\n", b"qoif", b"\x76\x2f\x31\x01", b"II\xbc\x01",
    b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR",
)  # fmt: skip
_VIDEO_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\0\0\x01\xba", b"\0\0\x01\xb3",  # MPEG program stream; MPEG-1 and 2 video without a container
    b"YUV4MPEG2 ",
    b"DKIF\0\0",  # IVF
    b".RMF\0",  # RealMedia
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"\xb7\xd8\x00\x20\x37\x49\xda\x11",  # WTV
    b"nut/multimedia container", b"DHAV",
    b"\x1f\x07\0\x3f", b"\x1f\x07\0\xbf",  # DV, 60 and 50 fields a second
)  # fmt: skip
#: The brands of HEIF; an AVIF picture may have one of its general ones as well.
HEIF_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"miaf"])
_IMAGE_BRANDS = HEIF_BRANDS | {b"avif", b"avci", b"jpeg", b"crx "}
_AUDIO_BRANDS = frozenset([b"M4A ", b"M4B ", b"M4P "])
_ISO_BOXES = frozenset([b"moov", b"mdat", b"wide", b"moof", b"styp", b"pnot", b"skip"])
#: The payload type of the first unit of a stream in H.264 (parameter set, delimiter) and HEVC, behind its start code.
_H264_UNITS, _HEVC_UNITS = frozenset([0x67, 0x27, 0x47, 0x09]), frozenset([0x40, 0x42, 0x46])
#: Packets of a transport stream: plain, with a time code in front as camcorders write it, with error correction behind.
_TS_PACKETS, _SYNC = (188, 192, 204), b"G"


def sniff(header: bytes) -> MediaType | None:
    """The media type that the first `HEADER_BYTES` of a file announce, or None where they announce none.

    GIF counts as an image here; whether it moves is only known once it is opened (see `is_animated`).
    """
    if header.startswith(_IMAGE_STARTS):
        return "image"
    if header.startswith(b"BM") and header[6:10] == b"\0\0\0\0":
        return "image"
    if header.startswith(b"RIFF"):
        return {b"WEBP": "image", b"AVI ": "video"}.get(header[8:12])  # type: ignore[return-value]
    if header[4:8] == b"ftyp":
        return _sniff_iso_media(header)
    if header[4:8] in _ISO_BOXES:  # QuickTime before it had brands, and fragments.
        return "video"
    if header.startswith(_VIDEO_STARTS) or _is_raw_stream(header) or _is_ogg_video(header):
        return "video"
    return "video" if _is_transport_stream(header) else None


def _sniff_iso_media(header: bytes) -> MediaType | None:
    brand = header[8:12]
    if brand in _IMAGE_BRANDS:
        return "image"
    return None if brand in _AUDIO_BRANDS else "video"


def _is_raw_stream(header: bytes) -> bool:
    """Whether these are H.264 or HEVC units without a container: start code, then a unit a stream begins with."""
    place = next((len(code) for code in (b"\0\0\0\x01", b"\0\0\x01") if header.startswith(code)), None)
    if place is None or len(header) < place + 2:
        return False
    return header[place] in _H264_UNITS or (header[place] in _HEVC_UNITS and header[place + 1] == 1)


def _is_ogg_video(header: bytes) -> bool:
    return header.startswith(b"OggS") and any(mark in header for mark in (b"\x80theora", b"\x01video\0", b"BBCD"))


def _is_transport_stream(header: bytes) -> bool:
    """Whether sync bytes stand where packets begin; the first packet may be cut."""
    offset = header.find(_SYNC, 0, max(_TS_PACKETS))
    while offset >= 0:
        for packet in _TS_PACKETS:
            syncs = header[offset::packet]
            at_start = offset in (0, packet - 188)
            if len(syncs) >= (3 if at_start else 4) and not syncs[:5].strip(_SYNC):
                return True
        offset = header.find(_SYNC, offset + 1, max(_TS_PACKETS))
    return False


def type_by_suffix(name: str) -> MediaType | None:
    """The media type that a file name claims, or None."""
    suffix = PurePath(name).suffix.lower()
    if suffix in _IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in _VIDEO_SUFFIXES else None


def is_jpeg_sequence(name: str) -> bool:
    """Whether a file that begins as a JPEG is a video by its name."""
    return PurePath(name).suffix.lower() in _JPEG_SEQUENCES


def may_be_animated(header: bytes) -> bool:
    """Whether a file with this header could hold a moving picture that announces itself as an image."""
    if header.startswith((b"GIF87a", b"GIF89a")):
        return True
    if header.startswith(b"\x89PNG") and b"acTL" in header:  # Animated PNG; the chunk comes before the pixels.
        return True
    # Extended WebP: the second bit of the flags says that it moves (WebP container specification).
    return header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) > 20 and bool(header[20] & 0x02)


def is_animated(file: str) -> bool:
    """Whether a GIF, PNG or WebP holds more than one picture. A file that can't be read counts as still: decoding it
    will say what is wrong with it."""
    from PIL import Image

    try:
        with open_file(file) as stream, Image.open(stream) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow raises many types on damaged files; the decode stage reports them.
        return False
