"""Each test has a cache of its own, and a tokenizer as of a published network."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The folder of what is kept between runs."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STUDYGROUP_CACHE", str(folder))
    return folder


@pytest.fixture
def words(tmp_path):
    """Saves a tokenizer of whole words that puts `[CLS]` before and `[SEP]` behind a text."""

    def save(name="words", *, pad="[PAD]", unknown="[UNK]", special=True, **options):
        known = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "good", "bad", "film"]
        vocabulary = {word: i for i, word in enumerate(known)}
        whole = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        whole.normalizer = normalizers.Lowercase()
        whole.pre_tokenizer = pre_tokenizers.Whitespace()
        if special:
            whole.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
            )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=whole,
            pad_token=pad,
            unk_token=unknown,
            cls_token="[CLS]",
            sep_token="[SEP]",
            **options,
        )
        fast.save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    return save
