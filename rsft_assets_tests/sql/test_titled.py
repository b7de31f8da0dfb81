"""Names in the report read as titles where people look, and stay names in commands."""

from rsft_assets.steps.report.titled import titled, titled_html

TITLES = {
    "lr5e-5_ep8_bs256": "Setting 1",
    "math-cot-20k": "Math-CoT-20k",
    "math-cot-2.5k": "A < B",
    "all": "Everything",
    "own-set": "own-set",
    "m_math-cot-20k_lr5e-5_ep8_bs256": "m (Setting 1, Math-CoT-20k)",
}


def test_a_name_reads_as_its_title_and_the_pointer_shows_the_name():
    page = titled_html("<p class=x>On math-cot-20k, under lr5e-5_ep8_bs256.</p>", TITLES)
    assert page == (
        '<p class=x>On <abbr title="math-cot-20k">Math-CoT-20k</abbr>, under '
        '<abbr title="lr5e-5_ep8_bs256">Setting 1</abbr>.</p>'
    )
    assert '<abbr title="math-cot-2.5k">A &lt; B</abbr>.' in titled_html("<b>math-cot-2.5k.</b>", TITLES)


def test_commands_pictures_and_attributes_keep_names():
    kept = (
        '<title>math-cot-20k</title><svg a="b"><g>math-cot-20k</g></svg><code>rsft trace math-cot-20k</code>'
        '<a href="math-cot-20k">x</a><style>.math-cot-20k{}</style>'
    )
    assert titled_html(kept, TITLES) == kept


def test_the_longest_name_is_meant_and_parts_of_others_are_not():
    assert titled("m_math-cot-20k_lr5e-5_ep8_bs256: 3", TITLES) == "m (Setting 1, Math-CoT-20k): 3"
    others = "m_math-cot-20k_lr5e-5_ep8_bs256_seed2 datasets/math-cot-20k math-cot-20k-mine x.math-cot-20k own-set"
    assert titled(others, TITLES) == others


def test_a_name_that_is_a_word_is_left_alone():
    assert titled("better in all of math-cot-20k", TITLES) == "better in all of Math-CoT-20k"
