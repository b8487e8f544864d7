"""What imports what, beyond the order of the packages, which import-linter checks."""

from graphlib import TopologicalSorter

import grimp


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = grimp.build_graph("qflow_dagster", exclude_type_checking_imports=True)
    # Raises CycleError, which names the circle.
    TopologicalSorter(
        {module: imports.find_modules_directly_imported_by(module) for module in imports.modules}
    ).prepare()
