"""HTML pages: everything is escaped, embedded and in order."""

from __future__ import annotations

import base64

from matplotlib.figure import Figure

from spisonet.report.page import (
    anchor,
    bullet_list,
    code_block,
    contents,
    embedded_figure,
    metadata_table,
    paragraph,
    table,
    verdict_box,
    warning,
    write_page,
)
from spisonet.report.section import Section, beside


def test_text_is_escaped_everywhere(tmp_path):
    text = "a < b & c"
    parts = [
        paragraph(text), warning(text), code_block(text), bullet_list([text]), metadata_table({text: text}),
        table([text], [[text]]), contents([text]), verdict_box(text, text, "good"),
    ]  # fmt: skip
    for part in parts:
        assert "a &lt; b &amp; c" in part
        assert text not in part
    write_page(tmp_path / "page.html", text, text, *parts)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<title>a &lt; b &amp; c</title>" in page
    assert text not in page
    assert [page.index(part) for part in parts] == sorted(page.index(part) for part in parts)


def test_the_contents_link_to_the_sections():
    assert f"href='#{anchor('Measured & inferred')}'" in contents(["Measured & inferred"])
    assert Section("Measured & inferred").html.startswith("<section><h2 id='measured-inferred'>")


def test_tables_have_a_header_row_and_a_cell_for_each_value():
    html = table(["", "before", "after"], [["cFAR", "0.1", "0.9"]])
    assert html.count("<th>") == 3
    assert "<tr><td>cFAR</td><td>0.1</td><td>0.9</td></tr>" in html


def test_figures_are_embedded_as_svg_where_there_is_one(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"png")
    encoded = base64.b64encode(b"png").decode()
    assert f"data:image/png;base64,{encoded}" in embedded_figure(path, "A caption.")
    path.with_suffix(".svg").write_bytes(b"svg")
    encoded = base64.b64encode(b"svg").decode()
    assert f"data:image/svg+xml;base64,{encoded}" in embedded_figure(path, "A caption.")


def test_a_section_holds_its_figures_with_captions(tmp_path):
    page = tmp_path / "sum.html"
    section = Section("Title", {"number": 1}, [paragraph("Text.")])
    section.add_figure(beside(page, "plot"), "A caption.", Figure(figsize=(1, 1)))
    assert section.figures == {tmp_path / "sum_plot.png": "A caption."}
    assert (tmp_path / "sum_plot.png").is_file()
    assert (tmp_path / "sum_plot.svg").is_file()
    assert section.html.startswith("<section><h2 id='title'>Title</h2><p>Text.</p><figure>")
    assert "<figcaption>A caption.</figcaption>" in section.html
