"""What a file is that cannot be read, by its first bytes."""

from __future__ import annotations

_CODECS = {
    b"aac ": "AAC", b"mp4a": "AAC", b"alac": "Apple Lossless", b"ima4": "IMA ADPCM", b"MAC3": "MACE", b"MAC6": "MACE",
    b"QDM2": "QDesign", b".mp3": "MP3", b"opus": "Opus", b"flac": "FLAC",
}
_KINDS = (
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA)"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA", "True Audio"),
    (0, b"tBaK", "TAK"),
    (0, b"ajkg", "Shorten"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"ADIF", "AAC"),
    (0, b"\x0b\x77", "Dolby AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"#!AMR", "AMR"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"MThd", "a MIDI file"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b".RMF", "RealMedia"),
    (0, b"FLV", "Flash video"),
    (0, b"%PDF", "a PDF"),
    (28, b"Speex", "Speex"),
    (28, b"\x7fFLAC", "Ogg FLAC"),
    (28, b"\x80theora", "Theora video"),
    (8, b"AVI ", "AVI video"),
)


def name_of(head: bytes) -> str:
    """Return what a file is, by its first 64 bytes or more; nothing if that is not known."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip"):
        film = head[8:10] == b"qt" or head[4:8] != b"ftyp"
        return "a QuickTime film" if film else "MPEG-4 (m4a: AAC or Apple Lossless)"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:   # layer 0, which MPEG audio has not
        return "AAC"
    if head[:4] == b"caff" and head[8:12] == b"desc" and head[28:32] != b"lpcm":
        return f"CAF with {codec_name(head[28:32])}"
    return next((name for at, magic, name in _KINDS if head[at : at + len(magic)] == magic), "")


def codec_name(code: bytes) -> str:
    """Return what a codec's four letters stand for."""
    return _CODECS.get(code, code.decode("ascii", "replace").strip())
