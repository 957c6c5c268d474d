from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler import ReadClasses
from scheduler.domain.fleet_classes import MAX_BYTES, MAX_OPTIONS, page_of


def loader(*models: str) -> ClassSpec:
    combo = InputSpec(type="COMBO", required=True, options=models)
    return ClassSpec(inputs={"name": combo}, outputs=("MODEL",), output_node=False)


def names(catalogs: list[dict[str, ClassSpec]], **query: object) -> tuple[list[str], bool]:
    page = page_of(catalogs, ReadClasses.model_validate(query))
    return [found.name for found in page.classes], page.more


FLEET = [{"B": loader("b1", "b2"), "A": loader("a")}, {"B": loader("b2", "b3"), "C": loader("c")}]


def test_every_class_of_every_node_is_there_once_by_name() -> None:
    assert names(FLEET) == (["A", "B", "C"], False)
    assert names(FLEET, limit=2) == (["A", "B"], True)
    assert names(FLEET, limit=2, after="B") == (["C"], False)
    assert names(FLEET, after="AA", limit=1) == (["B"], True)
    assert names(FLEET, after="Z") == ([], False)
    assert names([]) == ([], False)


def test_one_class_can_be_asked_for() -> None:
    assert names(FLEET, name="B") == (["B"], False)
    assert names(FLEET, name="b") == ([], False)


def test_options_are_those_of_all_nodes() -> None:
    (found,) = page_of(FLEET, ReadClasses(name="B")).classes
    assert found.spec.inputs["name"].options == ("b1", "b2", "b3")
    many = [{"A": loader(*(f"{n}-{i}" for i in range(MAX_OPTIONS)))} for n in range(3)]
    assert len(page_of(many, ReadClasses()).classes[0].spec.inputs["name"].options or ()) == MAX_OPTIONS


def test_a_page_ends_before_it_is_too_large_but_has_one_class_at_least() -> None:
    large = loader("x" * (MAX_BYTES // 3))
    fleet = [dict.fromkeys("ABCDE", large)]
    assert names(fleet) == (["A", "B"], True)
    assert names(fleet, after="B") == (["C", "D"], True)
    huge = [dict.fromkeys("AB", loader("x" * MAX_BYTES))]
    assert names(huge) == (["A"], True)
