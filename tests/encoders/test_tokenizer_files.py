"""A ``tokenizer.json`` on which the tokenizers library would end the process is refused by its path."""

from __future__ import annotations

import json

import pytest
from tiny_encoders import hf_bert

from stitchkit.core.errors import DataError, ModelUnavailableError
from stitchkit.encoders import load_encoder
from stitchkit.encoders.tokenizer_files import check_merges
from stitchkit.training.vocabularies import Vocabulary

VOCAB = {"[UNK]": 0, "[START]": 1, "[END]": 2, "l": 3, "##u": 4, "l##u": 5, "lu": 6}


def content(prefix, merges):
    model = {"type": "BPE", "continuing_subword_prefix": prefix, "vocab": VOCAB, "merges": merges}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model}).encode()


@pytest.mark.parametrize(
    ("prefix", "merges"),
    [
        ("##", [["l", "##u"]]),
        ("##", ["l ##u"]),
        ("##", []),
        (None, [["l", "u"]]),
        ("", [["l", "u"]]),
        (7, [["l", "u"]]),
    ],
)
def test_merges_that_continue_with_the_prefix_are_fine(prefix, merges):
    check_merges(content(prefix, merges))


@pytest.mark.parametrize("merges", [[["l", "u"]], ["l u"], [["l", "##u"], ["l", "#"]], [["l", ""]]])
def test_merges_without_the_prefix_are_refused(merges):
    with pytest.raises(ValueError, match="does not continue with '##'"):
        check_merges(content("##", merges))


def test_such_a_tokenizer_is_refused_where_one_is_read(tmp_path):
    folder = hf_bert(tmp_path)
    (folder / "tokenizer.json").write_bytes(content("##", [["l", "u"]]))
    with pytest.raises(DataError, match=r"tokenizer\.json cannot be read as a tokenizer: the merge \['l', 'u'\]"):
        Vocabulary.of_folder(str(folder))
    with pytest.raises(ModelUnavailableError, match=r"tokenizer\.json of 'hf:.* the merge \['l', 'u'\]"):
        load_encoder(f"hf:{folder}", device="cpu")
