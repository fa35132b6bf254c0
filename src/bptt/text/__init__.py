"""Character-level language models."""

from bptt.text.baselines import witten_bell
from bptt.text.char_lm import CharLM
from bptt.text.vocabulary import ByteVocabulary, Vocabulary

__all__ = ["ByteVocabulary", "CharLM", "Vocabulary", "witten_bell"]


def __dir__() -> list[str]:
    return list(__all__)
