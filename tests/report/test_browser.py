"""The report in a real browser."""

from __future__ import annotations

import base64
import math
import shutil

import pytest

from infoscope.figure import Figure, Gallery, Grid, Line, Tile
from infoscope.measurement import Measurement
from infoscope.record import Record
from infoscope.report import write_html
from infoscope.report.thinning import thinned

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'infoscope[test]'")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser on the path: apt-get install chromium")

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a file in a context of its own; what it complains of or asks the network for fails the test."""
    contexts, complaints = [], []

    def open_page(path, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url == path.as_uri() or complaints.append(request.url[:200]))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def report(tmp_path, record, figures):
    return write_html(
        tmp_path / "report.html",
        record,
        title="How difficult is digits?",
        lead="187 bits.",
        figures=figures,
        facts={"command": "infoscope difficulty digits --replicates 3"},
        glossary={"L(y|x)": "The length of the message."},
    )


def points(page, figure: int) -> list[list[int]]:
    """The number of points in every stretch of each curve that is drawn."""
    stretches = "[...curve.querySelectorAll('.js-line')].map(path => path.getAttribute('d').match(/[ML]/g).length)"
    curves = page.locator(f"#figure-{figure} .scatterlayer .trace:has(.js-line)")
    return curves.evaluate_all(f"curves => curves.map(curve => {stretches})")


def plot_of(page):
    """The drawing of the first figure."""
    return page.locator("#figure-0 .main-svg").first


def test_curves_are_drawn_with_all_their_points(visit, report, figures):
    drawn = list(map(math.isfinite, thinned(figures[0]).lines[0].y))
    before_the_gap = drawn.index(False)
    page = visit(report)
    assert points(page, 0) == [[before_the_gap, sum(drawn) - before_the_gap], [2]]
    assert page.locator("#figure-0 .js-fill").count() == 1
    assert page.locator("#figure-1 .bars .point path").count() == 4
    assert page.locator("#figure-1 .errorbar path").count() == 2


def test_the_table_shows_the_record(visit, report, record):
    page = visit(report)
    values = page.locator(".numbers td.value data").evaluate_all("all => all.map(e => Number(e.value))")
    errors = page.locator(".numbers td.error data").evaluate_all("all => all.map(e => Number(e.value))")
    rows = [row.measurement for row in record]
    assert values == [m.bits if m.unit == "nat" else m.value for m in rows]
    known = [m for m in rows if not math.isnan(m.stderr)]
    assert errors == [m.stderr_bits if m.unit == "nat" else m.stderr for m in known]
    text = page.locator(".numbers td.value").all_inner_texts()
    assert [" ".join(cell.split()) for cell in text] == ["187.0 bit", "5,969.5 bit", "1,520 bit", "0.9750", "0.93"]
    assert page.get_by_title("one replicate: unknown").count() == 1
    assert page.get_by_text("Unverified split:").is_visible()


def test_dark_mode_reaches_page_and_plots_and_follows_a_switch(visit, report):
    page = visit(report, color_scheme="dark")

    def colours():
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        plot = plot_of(page).evaluate("e => getComputedStyle(e).backgroundColor")
        curve = page.locator("#figure-0 .js-line").first.evaluate("e => getComputedStyle(e).stroke")
        return paper, plot, curve

    assert colours() == ("rgb(17, 22, 27)", "rgb(17, 22, 27)", "rgb(111, 177, 242)")
    page.emulate_media(color_scheme="light")
    sync_api.expect(plot_of(page)).to_have_css("background-color", "rgb(255, 255, 255)")
    assert colours() == ("rgb(255, 255, 255)", "rgb(255, 255, 255)", "rgb(10, 90, 168)")


def test_paper_is_white_even_in_the_dark(visit, report):
    page = visit(report, color_scheme="dark")
    page.emulate_media(media="print")
    sync_api.expect(plot_of(page)).to_have_css("background-color", "rgb(255, 255, 255)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.get_by_role("button").count() <= 4  # the legends' keys
    assert plot_of(page).evaluate("e => e.clientWidth") <= 640


@pytest.mark.parametrize("name", ["report", "hostile_report"])
def test_a_narrow_screen_never_scrolls_sideways(visit, request, name):
    page = visit(request.getfixturevalue(name), viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    for details in page.locator("details").all():
        details.evaluate("e => { e.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(".numbers td.value").first.is_visible()
    assert page.get_by_role("row").count() > 5  # a table for a screen reader still


def test_plots_follow_the_window(visit, report):
    page = visit(report, viewport={"width": 1200, "height": 800})
    wide = plot_of(page).evaluate("e => getComputedStyle(e).width")
    page.set_viewport_size({"width": 500, "height": 800})
    sync_api.expect(plot_of(page)).not_to_have_css("width", wide)
    assert plot_of(page).evaluate("e => e.clientWidth") < 500


def test_hostile_names_are_text(visit, hostile_report, hostile):
    page = visit(hostile_report)
    shown = " ".join(hostile.split())
    assert " ".join(page.locator("h1").text_content().split()) == shown
    assert " ".join(page.locator("#figure-0 .legend button").first.text_content().split()) == shown
    title = "".join(page.locator("#figure-0 .plot").get_attribute("aria-label"))
    assert "<script>" in title
    page.locator("#figure-1 .plot").hover(position={"x": 500, "y": 200})
    page.wait_for_selector("#figure-1 .hoverlayer text")
    assert "<script>" in page.locator("#figure-1 .hoverlayer").text_content()
    assert "<b>bold</b>" in page.locator("#figure-1 .hoverlayer").text_content()
    assert page.locator("body img, .plot a, .plot script, .legend a").count() == 0


def test_the_command_is_copied(visit, report):
    page = visit(report, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "infoscope difficulty digits --replicates 3"
    assert page.get_by_role("status").text_content() == "Copied"


def test_without_the_clipboard_the_command_is_selected(visit, report):
    page = visit(report)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')) }")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Selected").wait_for()
    assert page.evaluate("getSelection().toString()") == "infoscope difficulty digits --replicates 3"


def test_a_key_of_the_legend_hides_its_curve_from_the_keyboard(visit, report):
    page = visit(report)
    key = page.locator("#figure-0 .legend button").first
    key.focus()
    page.keyboard.press("Enter")
    assert key.get_attribute("aria-pressed") == "false"
    assert points(page, 0) == [[2]]
    page.keyboard.press("Enter")
    assert len(points(page, 0)) == 2


def test_a_figure_is_saved_as_svg_with_its_labels(visit, report):
    page = visit(report)
    with page.expect_download() as download:
        page.locator("#figure-0 .save").click()
    saved = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename.endswith(".svg")
    assert "bits per label" in saved
    assert "labels sent" in saved
    assert "uniform" in saved


def test_without_javascript_the_tables_stand(visit, report):
    page = visit(report, java_script_enabled=False)
    assert page.locator(".numbers td.value").first.inner_text().startswith("187.0")
    assert page.get_by_text("Drawing needs JavaScript").first.is_visible()
    page.locator("#figure-0 summary").click()
    assert page.locator("#figure-0 details td").first.is_visible()
    assert not page.get_by_role("button").first.is_visible()


@pytest.fixture
def walked(tmp_path, record):
    """A report of two paths with 1,000 frames."""
    grow = [i / 100 for i in range(1000)]
    lines = [Line("act1", grow, [min(1.0, v) for v in grow]), Line("act2", grow[::-1], [math.nan, *grow[1:]])]
    figure = Figure("The plane", "I(X;T) bit", "I(T;Y) bit", lines, frames=[f"epoch {8 * i}" for i in range(1000)])
    return write_html(tmp_path / "plane.html", record, title="Plane", figures=[figure])


def places(page):
    """Where the markers of the paths stand on the screen."""
    return page.locator("#figure-0 .points path.point").evaluate_all("all => all.map(e => e.getAttribute('transform'))")


def test_a_slider_walks_along_the_paths(visit, walked):
    page = visit(walked)
    slider, told = page.get_by_role("slider"), page.locator(".player output")
    assert (slider.get_attribute("max"), told.inner_text()) == ("399", "epoch 7992")
    ticks = page.locator("#figure-0 .xtick").all_inner_texts()
    late = places(page)
    assert len(late) == 2
    slider.focus()
    page.keyboard.press("Home")
    assert told.inner_text() == "epoch 0"
    assert slider.get_attribute("aria-valuetext") == "epoch 0"
    assert len(places(page)) == 1  # the other path begins with a gap
    page.keyboard.press("ArrowRight")
    assert told.inner_text() == "epoch 24"
    assert len(places(page)) == 2
    assert places(page) != late
    assert page.locator("#figure-0 .xtick").all_inner_texts() == ticks  # the axes stand still


def test_the_paths_play_to_their_end_and_pause(visit, walked):
    page = visit(walked)
    slider, told = page.get_by_role("slider"), page.locator(".player output")
    page.get_by_role("button", name="Play").click()
    sync_api.expect(told).not_to_have_text("epoch 7992")  # it starts over at the end
    sync_api.expect(told).not_to_have_text("epoch 0")
    page.get_by_role("button", name="Pause").click()
    paused = told.inner_text()
    assert page.get_by_role("button", name="Play").is_visible()
    page.wait_for_timeout(200)
    assert told.inner_text() == paused
    slider.evaluate("e => { e.value = 397 }")
    page.get_by_role("button", name="Play").click()
    sync_api.expect(told).to_have_text("epoch 7992")
    page.get_by_role("button", name="Play").wait_for()


def test_who_wants_no_motion_has_the_slider_alone(visit, walked):
    page = visit(walked, reduced_motion="reduce")
    assert page.get_by_role("button", name="Play").count() == 0
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    assert page.locator(".player output").inner_text() == "epoch 0"


def test_without_javascript_the_frames_stand_in_a_table(visit, walked):
    page = visit(walked, java_script_enabled=False)
    assert not page.locator(".player").is_visible()
    page.locator("#figure-0 summary").click()
    assert page.locator("#figure-0 details tr").count() == 13
    assert page.locator("#figure-0 details tr").last.inner_text().split("\t") == [
        "epoch 7992",
        "9.990, 1.000",
        "0, 9.990",
    ]


def test_a_cloud_of_points_is_drawn_as_points_on_equal_axes(visit, record, tmp_path):
    clouds = [Line("starts", [0, 4], [0, 0], points=True), Line("ends", [0, 0, 4, 4], [0, 3, 0, 3], points=True)]
    report = write_html(tmp_path / "cloud.html", record, title="Cloud", figures=[Figure("Four", "1", "2", clouds)])
    page = visit(report)
    assert page.locator(".scatterlayer .point").count() == 6
    assert page.locator(".scatterlayer .js-line").count() == 0
    axes = page.evaluate("(() => { const f = document.querySelector('.js-plotly-plot')._fullLayout;"
                         "return [f.xaxis._m, f.yaxis._m]; })()")  # fmt: skip
    assert abs(axes[0]) == pytest.approx(abs(axes[1]))


@pytest.fixture
def joined(tmp_path, record):
    """A report of 30 epochs, each a line through three layers."""
    lines = [Line(f"epoch {i}", [12, 9, 6 - i / 10], [1, 0.9, i / 30]) for i in range(30)]
    figure = Figure("Joined", "I(X;T), bit", "I(T;Y), bit", lines, shades=range(1, 31), shade_label="epoch + 1",
                    log_shade=True, nodes=["act1", "act<2>", "out"])  # fmt: skip
    return write_html(tmp_path / "joined.html", record, title="Plane", figures=[figure])


def test_lines_through_the_layers_are_coloured_by_the_epoch(visit, joined):
    page = visit(joined)
    strokes = page.locator("#figure-0 .js-line").evaluate_all("all => all.map(e => getComputedStyle(e).stroke)")
    assert len(strokes) == len(set(strokes)) == 30
    assert (strokes[0], strokes[-1]) == ("rgb(59, 28, 110)", "rgb(216, 168, 0)")
    assert points(page, 0) == [[3]] * 30
    assert page.locator("#figure-0 .colorbar").count() == 1
    ticks = page.locator("#figure-0 .colorbar text").all_text_contents()
    assert {"1", "10", "epoch + 1"} <= set(ticks)
    assert not page.locator("#figure-0 .legend").is_visible()
    page.emulate_media(color_scheme="dark")
    sync_api.expect(page.locator("#figure-0 .js-line").first).to_have_css("stroke", "rgb(138, 107, 224)")


def test_pointing_at_a_node_names_its_layer_and_epoch(visit, joined):
    page = visit(joined)
    last = page.locator("#figure-0 .points path.point").last
    last.scroll_into_view_if_needed()
    node = last.bounding_box()
    page.mouse.move(node["x"] + node["width"] / 2, node["y"] + node["height"] / 2)
    page.wait_for_selector("#figure-0 .hoverlayer text")
    told = page.locator("#figure-0 .hoverlayer").text_content()
    assert "out: " in told
    assert "epoch 29" in told


def test_the_lines_stand_in_a_table_a_row_each(visit, joined):
    page = visit(joined)
    page.locator("#figure-0 summary").click()
    rows = page.locator("#figure-0 details tr").all_inner_texts()
    assert rows[0].split("\t") == ["", "act1", "act<2>", "out"]
    assert rows[1].split("\t") == ["epoch 0", "12.00, 1.000", "9.000, 0.9000", "6.000, 0"]
    assert len(rows) <= 13


def test_a_single_epoch_needs_no_scale(visit, tmp_path, record):
    figure = Figure("One", "x", "y", [Line("epoch 1", [1, 2], [1, 2])], shades=[2], log_shade=True, nodes=["a", "b"])
    page = visit(write_html(tmp_path / "one.html", record, title="One", figures=[figure]))
    assert points(page, 0) == [[2]]
    assert page.locator("#figure-0 .colorbar").count() == 0


@pytest.fixture
def turning(tmp_path, record):
    """Two clouds around starts of their own, on three axes."""
    ends = [
        Line(f"ends from start {i}", [i, i + 1, i], [0, 1, 2], points=True, z=[3, 0, i], origin=(i, 0, 0))
        for i in (1, 2)
    ]
    figure = Figure("Networks", "axis 1", "axis 2", ends, z_label="axis 3")
    return write_html(tmp_path / "mds.html", record, title="MDS", figures=[figure])


TRACES = "document.querySelector('.js-plotly-plot').data"


def marks(page):
    """The points on the page, starts among them, where they stand."""
    where = "all => all.map(e => e.getAttribute('transform'))"
    return page.locator("#figure-0 .scatterlayer .point").evaluate_all(where)


def test_three_axes_turn_by_slider_and_by_pointer(visit, turning):
    page = visit(turning)
    first = marks(page)
    assert len(first) == 8  # three ends of each start, and the starts
    labels = page.locator("#figure-0 .textpoint").all_text_contents()
    assert [label for label in labels if label.strip()] == ["axis 1", "axis 2", "axis 3"]
    turn, tilt = page.get_by_label("Turn"), page.get_by_label("Tilt")
    assert (turn.input_value(), tilt.input_value()) == ("30", "20")
    turn.focus()
    page.keyboard.press("ArrowRight")
    assert turn.get_attribute("aria-valuetext") == "31°"
    by_slider = marks(page)
    assert by_slider != first
    page.locator("#figure-0 .turner").scroll_into_view_if_needed()
    box = page.locator("#figure-0 .plot").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 140, steps=3)
    page.mouse.up()
    sync_api.expect(turn).to_have_value("1")
    sync_api.expect(tilt).to_have_value("40")
    assert marks(page) != by_slider


def test_axes_that_face_the_eye_show_two_coordinates_as_they_are(visit, turning):
    """Turned and tilted by nothing, the picture is that of the first two axes, whose scales are one."""
    page = visit(turning)
    for name in ("Turn", "Tilt"):
        page.get_by_label(name).evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')) }")
    drawn = page.evaluate(
        "document.querySelector('.js-plotly-plot').data.filter(t => t.mode === 'markers').map(t => [t.x, t.y])"
    )
    assert drawn == [[[1], [0]], [[1, 2, 1], [0, 1, 2]], [[2], [0]], [[2, 3, 2], [0, 1, 2]]]


def test_clouds_have_points_in_their_legend_and_lines_from_their_start(visit, turning):
    page = visit(turning)
    assert page.locator("#figure-0 .legend circle").count() == 2
    rays = page.evaluate(
        "document.querySelector('.js-plotly-plot').data.filter(t => t.mode === 'lines').map(t => t.x.length)"
    )
    assert rays == [9, 9]
    page.locator("#figure-0 .legend button").first.click()
    assert len(marks(page)) == 4


def test_without_javascript_three_coordinates_stand_in_a_table(visit, turning):
    page = visit(turning, java_script_enabled=False)
    assert not page.locator(".turner").is_visible()
    page.locator("#figure-0 summary").click()
    rows = [row.split("\t") for row in page.locator("#figure-0 details tr").all_inner_texts()]
    assert rows[:3] == [["", "axis 1", "axis 2", "axis 3"], ["ends from start 1: origin", "1.000", "0", "0"],
                        ["ends from start 1", "1.000", "0", "3.000"]]  # fmt: skip
    assert len(rows) == 9


def test_tasks_side_by_side_scroll_by_themselves_on_a_narrow_screen(visit, tmp_path):
    record = Record()
    for task in ("a long name of a task", "another long name of a task", "and one more long name of a task"):
        record.append(Measurement("L(y|x)", 123456.789, 12.3), task=task)
    page = visit(write_html(tmp_path / "r.html", record, title="Three"), viewport={"width": 360, "height": 740})
    assert page.get_by_role("region", name="Tasks side by side").get_by_role("columnheader").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.fixture
def heated(tmp_path, record, hostile):
    """A report of a heat map with an empty cell, and one row of a hostile name."""
    grid = Grid("S", ["amazon", hostile], ["dslr", "webcam"], [[0.4996, -0.25], [math.nan, 1.0]],
                [[0.021, math.nan], [math.nan, 0.0]])  # fmt: skip
    figure = Figure("Similarity", "target", "source", grid=grid)
    return write_html(tmp_path / "heat.html", record, title="Heat", figures=[figure])


def test_a_heat_map_has_its_number_in_every_cell_that_has_one(visit, heated):
    page = visit(heated)
    assert page.locator("#figure-0 .heatmap-label").all_text_contents() == ["0.5", "−0.25", "1"]
    assert page.locator("#figure-0 .hm image").count() == 1
    assert page.locator("#figure-0 .ytick text").first.text_content() == "amazon"
    tops = page.locator("#figure-0 .ytick text").evaluate_all("all => all.map(e => e.getBoundingClientRect().top)")
    assert tops[0] < tops[1]  # the first row is the upper one, as in the table


def test_pointing_at_a_cell_names_its_pair_and_error(visit, heated):
    page = visit(heated)
    place = page.locator("#figure-0 .heatmap-label").first
    place.scroll_into_view_if_needed()
    cell = place.bounding_box()
    page.mouse.move(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
    page.wait_for_selector("#figure-0 .hoverlayer text")
    assert page.locator("#figure-0 .hoverlayer").text_content() == "amazon, dslr: 0.5 ± 0.021"


def test_a_heat_map_stands_in_a_table_of_its_form(visit, heated):
    page = visit(heated, java_script_enabled=False)
    page.locator("#figure-0 summary").click()
    rows = [row.split("\t") for row in page.locator("#figure-0 details tr").all_inner_texts()]
    assert rows[0] == ["", "dslr", "webcam"]
    assert rows[1] == ["amazon", "0.500 ± 0.021", "−0.2500"]
    assert rows[2][1:] == ["—", "1 ± 0"]


def test_a_heat_map_follows_a_switch_to_the_dark(visit, heated):
    page = visit(heated)
    scale = "document.querySelector('.js-plotly-plot').data[0].colorscale[0][1]"
    assert page.evaluate(scale) == "#3b1c6e"
    page.emulate_media(color_scheme="dark")
    sync_api.expect(plot_of(page)).to_have_css("background-color", "rgb(17, 22, 27)")
    assert page.evaluate(scale) == "#8a6be0"


def test_a_gallery_shows_its_pictures_and_texts(visit, record, tmp_path):
    picture = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADElEQVR42mNg+A+EAAYAAf+tLDclAAAAAElFTkSuQmCC"
    )
    tiles = [Tile("#1: cat → dog", png=picture), Tile("<b>#2</b>", text="<script>alert(1)</script>")]
    figures = [Gallery("The most suspect", tiles), Figure("Cost", "n", "bits", [Line("a", [1, 2], [3, 4])])]
    page = visit(write_html(tmp_path / "report.html", record, title="Wrong", figures=figures))
    assert page.locator(".gallery img").evaluate_all("all => all.map(e => e.naturalWidth)") == [2]
    assert page.locator(".gallery li").all_inner_texts() == ["#1: cat → dog", "<script>alert(1)</script>\n<b>#2</b>"]
    assert len(points(page, 0)) == 1
