"""Catalogue entries common to all assets: owners, scope tags, and references to the source."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from qflow_dagster.settings import settings

PACKAGE = Path(__file__).parents[1]

# Code references are in beta; the exact pin of Dagster's version covers that.
warnings.filterwarnings("ignore", message=".*_code_references", category=dg.BetaWarning)
warnings.filterwarnings("ignore", message=".*CodeReference|.*FilePathMapping", category=dg.BetaWarning)


def catalogued(assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """Return the assets with owners, tags and references to their source.

    References lead to the files of this machine, or to `QFLOW_DAGSTER_GIT_URL` where that is set.
    """
    referenced = dg.with_source_code_references(assets)
    limits = settings().dagster
    if limits.git_url:
        referenced = dg.link_code_references_to_git(
            referenced,
            git_url=limits.git_url,
            git_branch=limits.git_branch,
            file_path_mapping=dg.AnchorBasedFilePathMapping(
                local_file_anchor=PACKAGE, file_anchor_path_in_repository=PACKAGE.name
            ),
        )
    definitions = [asset for asset in referenced if isinstance(asset, dg.AssetsDefinition)]
    return list(dg.map_asset_specs(_described, definitions))


def _described(spec: dg.AssetSpec) -> dg.AssetSpec:
    scope = "repository" if spec.partitions_def else "factory"
    return spec.replace_attributes(
        owners=[*spec.owners, *settings().dagster.owners], tags={**spec.tags, "qflow/scope": scope}
    )
