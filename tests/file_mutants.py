"""Files that are almost right: a model file with one thing changed, the same one for the same number."""

import json
import random

import numpy as np
from safetensors.numpy import load, save

DEEP = "deep"
AWKWARD = (
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**70, -(10**8), -(2**63), 0.5, -0.5, 1.0,
    1e-300, 1e308, float("nan"), float("inf"), "", "a", "D", "float64", "x" * 100_000, [], {}, [0], ["a"], [None], [[]],
    {"a": 1}, DEEP,
)  # fmt: skip
DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")


def mutant(content, number):
    """What was changed, in words, and the bytes of the file."""
    rng = random.Random(number)
    change = rng.choices((of_json, of_tensors, of_bytes), (50, 35, 15))[0]
    return change(content, rng)


def parts_of(content):
    """Tensors and metadata; without the checksum, as the files of before there was one."""
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["bptt"])
    metadata.pop("checksum", None)
    return load(content), metadata


def whole(tensors, metadata):
    header = json.dumps(metadata).replace(f'"{DEEP}"', "[" * 3_000 + "]" * 3_000)
    return save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, {"bptt": header})


def fields_of(container, place, rng):
    """Every field, with what it is in; of long lists some entries."""
    keys = list(container) if isinstance(container, dict) else range(len(container))
    for key in keys if isinstance(container, dict) else rng.sample(keys, min(2, len(keys))):
        here = f"{place}.{key}".lstrip(".")
        yield container, key, here
        if isinstance(container[key], dict | list):
            yield from fields_of(container[key], here, rng)


def of_json(content, rng):
    tensors, metadata = parts_of(content)
    container, key, place = rng.choice(list(fields_of(metadata, "", rng)))
    keys = list(container) if isinstance(container, dict) else range(len(container))
    action = rng.choices(("replace", "near", "remove", "add", "swap"), (50, 25, 10, 5, 10))[0]
    before = container[key]
    if action == "replace":
        container[key] = rng.choice(AWKWARD)
    elif action == "near":
        number = isinstance(before, int | float) and not isinstance(before, bool)
        near = (before + 1, before - 1, -before, 2 * before, str(before)) if number else (str(before), [before])
        container[key] = rng.choice(near)
    elif action == "swap":
        other = rng.choice(keys)
        container[key], container[other] = container[other], before
    elif action == "add":
        if isinstance(container, dict):
            container["more"] = rng.choice(AWKWARD)
        else:
            container.append(rng.choice([before, *AWKWARD]))
    else:
        container.pop(key)
    now = container[key] if action in ("replace", "near") else ""
    return f"{action} {place}: {before!r:.60} -> {now!r:.60}", whole(tensors, metadata)


def of_tensors(content, rng):
    tensors, metadata = parts_of(content)
    name = rng.choice(sorted(tensors))
    array = tensors[name].copy()
    flat = array.reshape(-1)
    at = rng.randrange(flat.size) if flat.size else 0
    action = rng.choice(
        ("cut", "longer", "empty", "flat", "deeper", "turned", "type", "nan", "inf", "huge", "zero", "minus", "random",
         "remove", "add", "swap")
    )  # fmt: skip
    if action == "cut":
        array = array[: -rng.choice((1, 2))]
    elif action == "longer":
        array = np.concatenate([array, array[:1]])
    elif action == "empty":
        array = array[:0]
    elif action == "flat":
        array = array.reshape(-1) if array.ndim > 1 else array[:, None]
    elif action == "deeper":
        array = array[None]
    elif action == "turned":
        array = array[::-1].T
    elif action == "type":
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice([dtype for dtype in DTYPES if dtype != array.dtype]))
    elif action in ("nan", "inf", "huge") and flat.size and flat.dtype.kind == "f":
        flat[at] = {"nan": np.nan, "inf": -np.inf, "huge": np.finfo(flat.dtype).max}[action]
    elif action == "zero":
        array[...] = 0
    elif action == "minus" and array.dtype.kind != "b":
        array = -array - 1
    elif action in ("nan", "inf", "huge", "minus", "random") and flat.size:
        flat[at] = rng.getrandbits(1) if flat.dtype.kind == "b" else rng.choice([-(2**31), -1, 1, 2, 2**31 - 1])
    tensors[name] = array
    if action == "remove":
        del tensors[name]
    elif action == "add":
        tensors[rng.choice((f"{name}x", "more", f"models.7.{name}", name.replace("0", "1", 1)))] = array
    elif action == "swap":
        other = rng.choice(sorted(tensors))
        tensors[name], tensors[other] = tensors[other], array
    return f"{action} {name}", whole(tensors, metadata)


def of_bytes(content, rng):
    size = int.from_bytes(content[:8], "little")
    changed = bytearray(content)
    action = rng.choice(("header", "anywhere", "length", "truncate", "longer"))
    if action == "truncate":
        changed = changed[: rng.randrange(len(changed))]
    elif action == "longer":
        changed += bytes(rng.randrange(1, 100))
    elif action == "length":
        changed[rng.randrange(8)] ^= 1 << rng.randrange(8)
    else:
        for _ in range(rng.choice((1, 2, 20))):
            at = rng.randrange(8, 8 + size) if action == "header" else rng.randrange(len(changed))
            changed[at] ^= 1 << rng.randrange(8)
    return f"bytes: {action}", bytes(changed)
