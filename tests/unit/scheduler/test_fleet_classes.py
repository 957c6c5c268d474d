from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.scheduler.fleet import ReadClasses
from scheduler.domain.fleet_classes import MAX_BYTES, MAX_OPTIONS, build_class_page


def loader(*models: str) -> ClassSpec:
    combo = InputSpec(type="COMBO", required=True, options=models)
    return ClassSpec(inputs={"name": combo}, outputs=("MODEL",), output_node=False)


def names(catalogs: list[dict[str, ClassSpec]], **query: object) -> tuple[list[str], bool]:
    page = build_class_page(catalogs, ReadClasses.model_validate(query))
    return [found.name for found in page.classes], page.more


FLEET = [{"B": loader("b1", "b2"), "A": loader("a")}, {"B": loader("b2", "b3"), "C": loader("c")}]


def test_every_class_of_the_fleet_is_listed_once_in_order() -> None:
    assert names(FLEET) == (["A", "B", "C"], False)
    assert names(FLEET, limit=2) == (["A", "B"], True)
    assert names(FLEET, limit=2, after="B") == (["C"], False)
    assert names(FLEET, after="AA", limit=1) == (["B"], True)
    assert names(FLEET, after="Z") == ([], False)
    assert names([]) == ([], False)


def test_single_class_can_be_requested_by_name() -> None:
    assert names(FLEET, name="B") == (["B"], False)
    assert names(FLEET, name="b") == ([], False)


def test_options_of_all_nodes_are_merged() -> None:
    (found,) = build_class_page(FLEET, ReadClasses(name="B")).classes
    assert found.spec.inputs["name"].options == ("b1", "b2", "b3")
    many = [{"A": loader(*(f"{n}-{i}" for i in range(MAX_OPTIONS)))} for n in range(3)]
    assert len(build_class_page(many, ReadClasses()).classes[0].spec.inputs["name"].options or ()) == MAX_OPTIONS


def test_page_size_is_bounded_but_a_page_has_at_least_one_class() -> None:
    large = loader("x" * (MAX_BYTES // 3))
    fleet = [dict.fromkeys("ABCDE", large)]
    assert names(fleet) == (["A", "B"], True)
    assert names(fleet, after="B") == (["C", "D"], True)
    huge = [dict.fromkeys("AB", loader("x" * MAX_BYTES))]
    assert names(huge) == (["A"], True)


def test_policy_determines_which_classes_and_folders_are_shown() -> None:
    dataset = "comfy_extras.nodes_dataset"
    folder = InputSpec(type="COMBO", required=True, options=("3d", "cats"))
    stale = InputSpec(type="COMBO", required=True, options=("other.latent",))  # from an executor of an old release
    catalog = {
        "LoadImageDataSetFromFolder": ClassSpec(
            inputs={"folder": folder}, outputs=(), output_node=False, module=dataset
        ),
        "LoadLatent": ClassSpec(inputs={"latent": stale}, outputs=(), output_node=False, module="nodes"),
        "Pack": ClassSpec(inputs={}, outputs=(), output_node=False, module="custom_nodes.pack"),
    }

    def shown(policy: TenantPolicy | None, **query: bool) -> dict[str, bool]:
        page = build_class_page([catalog], ReadClasses(**query), policy)
        return {found.name: found.refused is None for found in page.classes}

    def folders(policy: TenantPolicy) -> object:
        page = build_class_page([catalog], ReadClasses(name="LoadImageDataSetFromFolder"), policy)
        return page.classes[0].spec.inputs["folder"].options

    strict, open_ = TenantPolicy(), TenantPolicy(mode=GraphPolicy.OPEN)
    allowed = TenantPolicy(rules=ClassRules(allowed_classes=("LoadImageDataSetFromFolder",)))
    assert shown(strict) == {"LoadLatent": True}
    assert shown(strict, refused=True) == {"LoadImageDataSetFromFolder": False, "LoadLatent": True, "Pack": False}
    assert shown(open_) == shown(None) == dict.fromkeys(catalog, True)
    assert folders(open_) is None
    assert folders(allowed) == ("3d", "cats")
    assert (
        build_class_page([catalog], ReadClasses(name="LoadLatent"), strict).classes[0].spec.inputs["latent"].options
        is None
    )
