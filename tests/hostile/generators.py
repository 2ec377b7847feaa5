"""Hostile variants of valid files: each is a name and the content, or a function that puts it in place."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Variant = tuple[str, bytes | Callable[[Path], None]]

ODD_NUMBERS = (
    *("nan", "inf", "-inf", "-1", "0", "1e9", "1e308", "1e-308", "-0.0", "1e400", "0x10", "1,5", "1_0"),
    *("9" * 400, "٣", "", "None", "true", "[1,2]", "1.5.2", "--", "\x00", "a" * 300, "../../etc/passwd"),
)
ODD_INTEGERS = (0, -1, 1, 2, 3, 2**31 - 1, -(2**31), 2**20, 65536, 10**6)
ODD_FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 1e30, 1e-30, 3.4e38)


def variants_of(kind: str, content: bytes, seed: int = 0) -> Iterator[Variant]:
    """Yield hostile variants of a valid file of a kind."""
    yield from _of_any_file(content, seed)
    yield from GENERATORS.get(kind, _of_nothing)(content, seed)


def _of_nothing(content: bytes, seed: int) -> Iterator[Variant]:
    yield from ()


def _of_any_file(content: bytes, seed: int) -> Iterator[Variant]:
    rng = random.Random(seed)
    yield "empty", b""
    yield "one byte", b"\0"
    yield "zeros", bytes(4096)
    yield "noise", rng.randbytes(4096)
    yield "text", b"hello\nworld\n"
    yield "brackets", b"[" * 100_000
    yield "long line", b"1 " * 500_000
    yield "long word", b"a" * 3_000_000
    yield "not UTF-8", b"caf\xe9 " * 100
    yield "UTF-16", "data_\n".encode("utf-16")
    for part in (0.1, 0.5, 0.9):
        yield f"cut at {part}", content[: int(part * len(content))]
    yield "twice", content + content
    yield "more", content + rng.randbytes(1000)
    for number in range(6):
        changed = bytearray(content)
        for _ in range(max(1, len(content) // 2000) if number % 2 else 3):
            changed[rng.randrange(min(len(content), 2048))] = rng.randrange(256)
        yield f"changed bytes {number}", bytes(changed)
    yield "folder", lambda path: path.mkdir()
    yield "pipe", os.mkfifo
    yield "socket", _make_socket
    yield "link to itself", lambda path: path.symlink_to(path.name)
    yield "link to nothing", lambda path: path.symlink_to("nothing/there")
    yield "device", lambda path: path.symlink_to("/dev/zero")
    yield "null device", lambda path: path.symlink_to("/dev/null")
    yield "process file", lambda path: path.symlink_to("/proc/self/mem")


def _make_socket(path: Path) -> None:
    place = socket.socket(socket.AF_UNIX)
    before = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        place.bind(path.name)
    finally:
        os.chdir(before)
        place.close()


def _of_map(content: bytes, seed: int) -> Iterator[Variant]:
    """Headers of MRC files (little-endian), and compressed files."""
    words = {
        **{name: 4 * index for index, name in enumerate(("nx", "ny", "nz", "mode"))},
        **{"nxstart": 16, "mx": 28, "mz": 36, "mapc": 64, "maps": 72, "ispg": 88, "nsymbt": 92, "nlabl": 220},
    }
    for name, offset in words.items():
        for value in ODD_INTEGERS:
            yield f"{name} {value}", content[:offset] + struct.pack("<i", value) + content[offset + 4 :]
    for name, offset in {"xlen": 40, "ylen": 44, "dmin": 76, "dmax": 80, "xorigin": 196}.items():
        for number in ODD_FLOATS:
            yield f"{name} {number}", content[:offset] + struct.pack("<f", number) + content[offset + 4 :]
    cell = {f"cell {number}": struct.pack("<3f", *(number,) * 3) for number in ODD_FLOATS}
    for name, packed in cell.items():
        yield name, content[:40] + packed + content[52:]
    for name, value in (("NaN", float("nan")), ("inf", float("inf")), ("huge", 3e38), ("constant", 1.0)):
        yield f"densities {name}", content[:1024] + struct.pack("<f", value) * ((len(content) - 1024) // 4)
        changed = content[:2048] + struct.pack("<f", value) + content[2052:]
        yield f"a density {name}", changed
    yield "machine stamp", content[:212] + b"\x11\x11\0\0" + content[216:]
    yield "no machine stamp", content[:208] + bytes(8) + content[216:]
    huge = content[:0] + struct.pack("<4i", 30000, 30000, 30000, 2) + content[16:]
    for suffix, compress in (("gz", gzip.compress), ("bz2", bz2.compress)):
        yield f"{suffix}", compress(content)
        yield f"{suffix} cut", compress(content)[:-200]
        yield f"{suffix} of zeros without end", compress(content + bytes(2**24))
        yield f"{suffix} of a huge header", compress(huge)
        yield f"{suffix} of nothing", compress(b"")
        yield f"{suffix} twice", compress(compress(content))


def _of_star(content: bytes, seed: int) -> Iterator[Variant]:
    text = content.decode("utf-8")
    lines = text.splitlines()
    rows = [
        n for n, line in enumerate(lines) if line.split() and line[0] not in "_#" and len(line.split()) > 1
    ]
    values = [n for n, line in enumerate(lines) if line.startswith("_rln") and len(line.split()) == 2]
    values = [n for n in values if not line_is_label(lines[n])]
    rng = random.Random(seed)
    for row in rows[:1]:
        words = lines[row].split()
        for column in range(len(words)):
            for number in ODD_NUMBERS:
                changed = [*words[:column], number or '""', *words[column + 1 :]]
                yield (
                    f"column {column} {number[:20]!r}",
                    "\n".join([*lines[:row], "\t".join(changed), *lines[row + 1 :]]).encode(),
                )
    for line in values:
        label = lines[line].split()[0]
        for number in rng.sample(ODD_NUMBERS, 8):
            yield (
                f"{label} {number[:20]!r}",
                "\n".join([*lines[:line], f"{label} {number or chr(34) * 2}", *lines[line + 1 :]]).encode(),
            )
    for number in range(12):
        changed = list(lines)
        del changed[rng.randrange(len(changed))]
        where = rng.randrange(len(changed))
        changed.insert(where, rng.choice(["loop_", "data_", "_rlnX #1", "save_", ";", "'", '"a b', "# x"]))
        yield f"changed lines {number}", "\n".join(changed).encode()
    yield "line of 5 MB", content + b"\n" + b"x " * 2_500_000 + b"\n"
    yield "quoted line of 5 MB", content + b"\n" + b"'a" * 2_500_000 + b"\n"
    yield "100,000 blocks", b"".join(b"data_%d\n_rlnA 1\n" % n for n in range(100_000))
    yield "not UTF-8 at the end", content + b"# caf\xe9\n"
    yield "Windows lines", content.replace(b"\n", b"\r\n")
    yield "no rows", "\n".join(line for n, line in enumerate(lines) if n not in rows).encode()
    yield "rows twice", "\n".join([*lines, *(lines[n] for n in rows)]).encode()
    yield "names", text.replace("a.mrc", "\udce9/../a\\'b.mrc").encode("utf-8", "surrogateescape")


def line_is_label(line: str) -> bool:
    """Whether a line of a STAR file names a column of a loop."""
    return line.split()[1].startswith("#")


def _of_text(content: bytes, seed: int) -> Iterator[Variant]:
    rng = random.Random(seed)
    words = content.split(b" ")
    for number in ODD_NUMBERS:
        changed = list(words)
        changed[rng.randrange(len(words))] = number.encode()
        yield f"word {number[:20]!r}", b" ".join(changed)
        lines = content.split(b"\n")
        lines[rng.randrange(len(lines))] = number.encode()
        yield f"line {number[:20]!r}", b"\n".join(lines)


def _of_json(content: bytes, seed: int) -> Iterator[Variant]:
    record = json.loads(content)
    odd: tuple[Any, ...] = (
        *(None, [], {}, "", "x", -1, 1e308, float("nan"), True, ["x"], {"a": 1}, 10**40, "../../x"),
        *([[[]]], "\ud800", "a\0b"),
    )
    for name in record:
        for number, value in enumerate(odd):
            yield f"{name} {number}", json.dumps({**record, name: value}).encode()
        yield f"without {name}", json.dumps({k: v for k, v in record.items() if k != name}).encode()
        if isinstance(record[name], dict):
            for inner in record[name]:
                for number, value in enumerate(odd):
                    changed = {**record, name: {**record[name], inner: value}}
                    yield f"{name}.{inner} {number}", json.dumps(changed).encode()
    yield "list", b"[]"
    yield "number", b"7"
    yield "deep", b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "many digits", b'{"config": {}, "seconds": ' + b"9" * 100_000 + b"}"
    yield "key twice", b'{"config": {}, "config": []}'


def _of_cs(content: bytes, seed: int) -> Iterator[Variant]:
    length = struct.unpack("<H", content[8:10])[0]
    header, body = content[10 : 10 + length].decode("latin-1"), content[10 + length :]

    def with_header(text: str) -> bytes:
        packed = text.encode("latin-1")
        return content[:8] + struct.pack("<H", len(packed)) + packed + body

    for old, new in (
        ("(20,)", "(200000000000,)"),
        ("(20,)", "(-1,)"),
        ("(20,)", "(4, 5)"),
        ("(20,)", "()"),
        ("False", "True"),
        ("<f4", "|O"),
        ("<f4", "<c8"),
        ("<f4", "|S4"),
        ("<u4", "<m8"),
        ("(3,)", "(2,)"),
        ("alignments3D/pose", "alignments3D/pos"),
        ("'shape'", "'shap'"),
        ("{", "__import__('os').system('touch hacked'){"),
        ("(3,)", "(3,)" * 1000),
        ("{", "(" * 500),
        ("<u8", "V8"),
    ):
        yield f"{old} {new[:20]}", with_header(header.replace(old, new, 1))
    for bits in (b"\xff\xff\xff\x7f", struct.pack("<f", float("nan")), struct.pack("<f", 1e30)):
        yield f"values {bits.hex()}", content[: 10 + length] + bits * (len(body) // 4)
    yield "version 9", content[:6] + b"\x09\0" + content[8:]
    yield "CSDAT", b"\x94CSDAT" + content


def _of_model(content: bytes, seed: int) -> Iterator[Variant]:
    for word in (b"CONT", b"MESH", b"LABL", b"OBJT"):
        where = content.find(word)
        for value in (*ODD_INTEGERS, -4, -8, -20, -24):
            changed = content[: where + 4] + struct.pack(">i", value) + content[where + 8 :]
            yield f"{word.decode()} {value}", changed
    back = content[:240] + b"XXXX" + struct.pack(">i", -8)
    yield "part that starts again", back
    yield "mesh that starts again", content[:240] + b"MESH" + struct.pack(">iiiii", -2, 0, 0, 0, 0)
    yield "contours of nothing", content[:240] + b"OBJT" + bytes(176) + (b"CONT" + bytes(16)) * 100_000
    where = content.find(b"CONT") + 20
    for number in ODD_FLOATS:
        yield f"point {number}", content[:where] + struct.pack(">f", number) + content[where + 4 :]


def _of_weights(content: bytes, seed: int) -> Iterator[Variant]:
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]

    def packed(changed: dict[str, Any], data: bytes = body) -> bytes:
        text = json.dumps(changed).encode()
        return struct.pack("<Q", len(text)) + text + data

    yield "header length", struct.pack("<Q", 2**60) + content[8:]
    yield "header length 0", struct.pack("<Q", 0) + content[8:]
    metadata = json.loads(header["__metadata__"]["spisonet"])
    others = {name: value for name, value in header.items() if name != "__metadata__"}
    yield "no metadata", packed(others)
    for text in ("", "[]", "null", "7", "{", "[" * 50_000, '"x"', "{}", '{"filter_base": 1e999}'):
        yield f"metadata {text[:20]}", packed({"__metadata__": {"spisonet": text}, **others})
    for name in metadata:
        for value in (
            None,
            [],
            {},
            "x",
            -1,
            0,
            10**9,
            True,
            [None],
            [-1, -1],
            {"mode": "x"},
            1e308,
            "\ud800",
        ):
            changed = json.dumps({**metadata, name: value})
            yield f"{name} {str(value)[:20]!r}", packed({"__metadata__": {"spisonet": changed}, **others})
    first = next(iter(others))
    for shape in ([0], [-1], [2**40], [1, 1], []):
        yield f"shape {shape}", packed({**header, first: {**others[first], "shape": shape}})
    for dtype in ("F64", "BOOL", "BF16", "X9", "I8"):
        yield f"dtype {dtype}", packed({**header, first: {**others[first], "dtype": dtype}})
    yield "no tensors", packed({"__metadata__": header["__metadata__"]}, b"")
    foreign = {f"x.{name}" if name == first else name: value for name, value in others.items()}
    yield "foreign key", packed({"__metadata__": header["__metadata__"], **foreign})
    yield "NaN", content[: 8 + length] + struct.pack("<f", float("nan")) * (len(body) // 4)
    yield from _of_tensors(content, header["__metadata__"], seed)
    yield "pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x02os\x94."


def _of_tensors(content: bytes, metadata: dict[str, str], seed: int) -> Iterator[Variant]:
    """Whole files with other tensors."""
    tensors, rng = load(content), random.Random(seed)
    for name in rng.sample(sorted(tensors), min(8, len(tensors))):
        tensor = tensors[name]
        others = {key: value for key, value in tensors.items() if key != name}
        kind, _, end = name.partition(".")
        for what, key, value in (
            ("elsewhere", f"{kind}.999999.{end}", tensor),
            ("before the first", f"{kind}.-1.{end.partition('.')[2]}", tensor),
            ("flat", name, tensor.reshape(-1)),
            ("with another axis", name, tensor[None]),
            ("empty", name, tensor[:0] if tensor.dim() else tensor.reshape(1)[:0]),
            ("whole numbers", name, tensor.to(torch.int64)),
            ("two numbers", name, tensor.to(torch.float64)),
            ("huge", name, torch.full_like(tensor, 1e30) if tensor.is_floating_point() else tensor * 10**9),
        ):
            yield f"{name} {what}", save({**others, key: value.contiguous()}, metadata)
        yield f"without {name}", save(others, metadata)


GENERATORS: dict[str, Callable[[bytes, int], Iterator[Variant]]] = {
    "map": _of_map,
    "star": _of_star,
    "text": _of_text,
    "json": _of_json,
    "cs": _of_cs,
    "model": _of_model,
    "weights": _of_weights,
}
