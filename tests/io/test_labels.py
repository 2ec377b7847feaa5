import pytest

from spisonet.io.labels import MAX_LABELS, append_label, label_with_tokens, read_tokens


def test_tokens_come_back():
    labels = ["Relion 22-Nov-26", label_with_tokens("spisonet: one network", halves="coupled", data="3d-fsc")]
    assert labels[1] == "spisonet: one network [halves=coupled] [data=3d-fsc]"
    assert read_tokens(labels) == {"halves": {"coupled"}, "data": {"3d-fsc"}}


def test_two_labels_may_disagree():
    labels = [label_with_tokens("a", halves=value) for value in ("coupled", "independent")]
    assert read_tokens(labels) == {"halves": {"coupled", "independent"}}


def test_words_are_no_tokens():
    assert read_tokens(["halves=coupled", "[halves coupled]", "[Halves=COUPLED]"]) == {}


@pytest.mark.parametrize("tokens", [{"halves": "Not lower"}, {"halves": ""}, {"HALVES": "a"}])
def test_what_could_not_be_read_back_is_refused(tokens):
    with pytest.raises(ValueError, match="Invalid token"):
        label_with_tokens("spisonet", **tokens)


def test_a_long_label_is_refused():
    with pytest.raises(ValueError, match="more than 79"):
        label_with_tokens("x" * 70, halves="coupled")


def test_ten_labels_are_kept_and_those_with_tokens_above_all():
    token = label_with_tokens("corrected", halves="coupled")
    labels = [token, *(f"label {index}" for index in range(9))]
    assert append_label(labels, "new") == [token, *labels[2:], "new"]
    assert append_label(labels, "") == labels
    assert append_label([], "x" * 100) == ["x" * 79]


def test_no_token_is_lost_among_many():
    labels = [label_with_tokens("a", halves="coupled"), *[label_with_tokens("b", halves="single")] * 9]
    kept = append_label(labels, label_with_tokens("c", data="3d-fsc"))
    assert len(kept) == MAX_LABELS
    assert read_tokens(kept) == {"halves": {"coupled", "single"}, "data": {"3d-fsc"}}
