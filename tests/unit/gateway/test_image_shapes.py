"""Images of extreme aspect ratios are scaled to at least one pixel or refused."""

from contextlib import nullcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway.submissions import Submission
from contracts.scheduler.submissions import InvalidWorkflow
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.builtin import image_to_image
from gateway.workflows.builtin.image_to_image import Size

UPLOAD, MASK = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffef"
PIXELS = 4096 * 4096
SIZES = st.integers(1, PIXELS).flatmap(lambda width: st.builds(Size, st.just(width), st.integers(1, PIXELS // width)))
SMALL_SIZES = st.builds(Size, st.integers(1, 80), st.integers(1, 80))
SIDES = st.none() | st.integers(8, 256).map(lambda eighth: 8 * eighth)


def left_by_a_node(picture: Size, width: int, height: int) -> Size:
    """Return the size after the crop of ComfyUI's ``common_upscale`` with crop="center", in exact arithmetic."""
    wider = picture.width * height - width * picture.height
    if wider > 0:
        return Size(picture.width - 2 * round(Fraction(wider, 2 * height)), picture.height)
    return Size(picture.width, picture.height - 2 * round(Fraction(-wider, 2 * width)))


@pytest.mark.parametrize(
    ("asked", "picture", "made"),
    [
        ({"width": 64}, (128, 96), (64, 48)),
        ({"height": 64}, (96, 128), (48, 64)),
        ({"width": 64, "height": 128}, (1, 3000), (64, 128)),
        ({"width": 2048}, (16, 3000), (2048, 2048)),
        ({"width": 64}, (1000, 4), (64, 8)),
        ({}, (3000, 4000), (1536, 2048)),
        ({}, (64, 4), (128, 8)),
        ({}, (4, 1), (32, 8)),
        ({}, (1, 3000), (8, 2048)),
    ],
)
def test_image_of_any_shape_is_scaled_within_bounds(
    asked: dict[str, int], picture: tuple[int, int], made: tuple[int, int]
) -> None:
    submission = Submission.model_validate({"prompt": "a", "image": UPLOAD, "mask": MASK} | asked)
    fitted = image_to_image.fit_to_image(submission, {UPLOAD: Size(*picture), MASK: Size(*picture)})
    graph = built_in.build_graph(fitted, model="m", seed=5)
    for scaled in ("scaled", "mask_scaled"):
        inputs = graph[scaled]["inputs"]
        assert (inputs["width"], inputs["height"], inputs["crop"]) == (*made, "center")


@pytest.mark.parametrize("picture", [(2048, 64), (101, 67), (8, 8)])
def test_image_within_bounds_is_not_scaled(picture: tuple[int, int]) -> None:
    submission = Submission.model_validate({"prompt": "a", "image": UPLOAD})
    assert image_to_image.fit_to_image(submission, {UPLOAD: Size(*picture)}) == submission


@given(SIZES | SMALL_SIZES, st.none() | SIZES | SMALL_SIZES, SIDES, SIDES)
def test_scaling_never_reduces_an_image_to_nothing(
    picture: Size, mask: Size | None, width: int | None, height: int | None
) -> None:
    asked = {"width": width, "height": height, "mask": mask and MASK}
    sent = {name: value for name, value in asked.items() if value is not None}
    submission = Submission.model_validate({"prompt": "a", "image": UPLOAD} | sent)
    sizes = {UPLOAD: picture} | ({MASK: mask} if mask else {})
    try:
        whole = image_to_image.fit_to_image(submission, sizes)
    except InvalidWorkflow as refused:
        refusal = refused
    else:
        scaled = built_in.build_graph(whole, model="m", seed=5).get("scaled")
        made = Size(scaled["inputs"]["width"], scaled["inputs"]["height"]) if scaled else picture
        assert scaled is None or min(min(left_by_a_node(one, *made)) for one in sizes.values()) >= 1
        assert min(made) >= 8
        assert max(made) <= 2048
        return
    if "/image" in {error.pointer for error in refusal.details.errors}:
        assert width or height, "without width and height the aspect ratio is kept, so the image cannot be refused"
        assert min(picture) <= 32, "an allowed aspect ratio cannot shrink a side of more than 32 pixels to nothing"


@pytest.mark.parametrize(
    ("picture", "mask", "asked", "pointers"),
    [
        ((16, 16), (16, 16), {"width": 2048, "height": 64}, ["/image", "/mask"]),
        ((32, 32), None, {"width": 2048, "height": 64}, ["/image"]),
        ((40, 40), None, {"width": 2048, "height": 64}, []),
        ((1, 3000), None, {"width": 64, "height": 64}, ["/image"]),
        ((2, 3000), None, {"width": 64, "height": 64}, []),
        ((1, 4), None, {"width": 2048}, ["/image"]),
        ((4, 3000), (64, 64), {"height": 64}, []),
        ((512, 512), (3000, 1), {"width": 512}, ["/mask"]),
    ],
)
def test_image_that_cropping_would_empty_is_refused_with_its_field(
    picture: tuple[int, int], mask: tuple[int, int] | None, asked: dict[str, int], pointers: list[str]
) -> None:
    sent = {"prompt": "a", "image": UPLOAD} | ({"mask": MASK} if mask else {}) | asked
    sizes = {UPLOAD: Size(*picture)} | ({MASK: Size(*mask)} if mask else {})
    with pytest.raises(InvalidWorkflow) if pointers else nullcontext() as refusal:
        image_to_image.fit_to_image(Submission.model_validate(sent), sizes)
    assert [error.pointer for error in (refusal.value.details.errors if refusal else ())] == pointers
