"""Ids of queries and orders by id: the same in every stage, whatever order or shard a row comes in."""

import hashlib

from rsft_assets.specs.fingerprint import SHORT


def query_id(kind: str, question: str, gold: str) -> str:
    """The same query has the same id everywhere."""
    return hashlib.sha256("\0".join([kind, question, gold]).encode("utf-8", "replace")).hexdigest()[: SHORT + 4]


def normalised(text: str) -> str:
    """A question as it is compared: case and white space do not count."""
    return " ".join(text.lower().split())


def rank(seed: int, *parts: str) -> int:
    """A random number that depends on nothing but the seed and a name."""
    return int.from_bytes(hashlib.blake2b("\0".join([str(seed), *parts]).encode(), digest_size=5).digest())
