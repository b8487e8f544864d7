"""The people of a history: authors and co-authors, programs apart, and their teams.

Belongs here: who made a commit, and how files are shared among them. Does not belong here: names and addresses after
`.mailmap` (``ingestion.commit_log``), counts of commits and lines (``changes``).
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qflow_dagster.settings import settings

# An author without a commit for this many days before the newest is considered to have left.
GONE_DAYS = 365
# Programs that commit: GitHub's mark, and the usual names of services without it.
BOT = re.compile(
    r"\[bot\]|\bbot@|^(?:dependabot|renovate|renovate-bot|greenkeeper|github-actions?|github action|gitlab-ci|"
    r"pre-commit-ci|pre-commit|allcontributors|all-contributors|snyk-bot|mergify|semantic-release-bot|imgbot|"
    r"codecov-io|pyup-bot|depfu|whitesource-bolt|weblate|translatewiki\.net|hosted weblate|bors|"
    r"copybara-service|k8s-ci-robot|facebook-github-bot)\b|(?:^|[\s._-])bot(?=$|[\s@(<._-])",
    re.IGNORECASE,
)
CO_AUTHOR = re.compile(r"^(?P<name>[^<>]*)<(?P<email>[^<>]+)>")


def people(commits: pd.DataFrame) -> pd.DataFrame:
    """Return a row per commit and person who made it, author or co-author (columns commit_id, email, name, days).

    `share` is the part of the commit that counts as the person's: equal parts. Programs are left out.
    """
    authors = commits[["commit_id", "author_email", "author_name", "days"]]
    rows = authors.set_axis(["commit_id", "email", "name", "days"], axis=1)
    named = commits.loc[commits["co_authors"].str.len() > 0, ["commit_id", "co_authors", "days"]]
    if len(named):
        named = named.explode("co_authors")
        parts = named["co_authors"].astype(str).str.extract(CO_AUTHOR)
        named = pd.concat([named[["commit_id", "days"]], parts], axis=1).dropna(subset=["email"])
        rows = pd.concat([rows, named[rows.columns]])
    rows = rows.assign(email=rows["email"].str.strip().str.lower(), name=rows["name"].str.strip())
    rows = rows.drop_duplicates(["commit_id", "email"])
    rows = rows[~programs(rows)]
    return rows.assign(share=1.0 / rows.groupby("commit_id")["email"].transform("size"))


def programs(rows: pd.DataFrame) -> pd.Series:
    """Return which rows (columns email, name) are programs, by the usual names or `QFLOW_METRICS_BOTS`."""
    configured = {address.lower() for address in settings().metrics.bots}
    identities = rows[["email", "name"]].drop_duplicates()
    found = [
        email in configured or bool(BOT.search(f"{name}")) or bool(BOT.search(f"{email}"))
        for email, name in identities.itertuples(index=False)
    ]
    keys = set(identities[found].itertuples(index=False, name=None))
    return pd.Series(
        [key in keys for key in rows[["email", "name"]].itertuples(index=False, name=None)], index=rows.index
    )


def team_of(email: str, teams: Mapping[str, Sequence[str]]) -> str | None:
    """Return the first team that lists an address, or its domain as `@example.com`."""
    domain = f"@{email.rpartition('@')[2]}"
    for team, members in teams.items():
        if {member.lower() for member in members} & {email, domain}:
            return team
    return None


def ownership(joined: pd.DataFrame, commits: pd.DataFrame) -> pd.DataFrame:
    """Compute authors, main author, ownership, bus factor, knowledge loss and main team of each path.

    Shares are of lines added, divided equally among the author and co-authors of a commit; a change that
    adds none counts as one line, so that everybody has a share. A path that only programs changed has
    no author.
    """
    who = people(commits)
    lines = joined[["path", "commit_id"]].assign(added=np.maximum(joined["added"], 1))
    lines = lines.merge(who[["commit_id", "email", "share"]], on="commit_id")
    lines["added"] *= lines["share"]
    held = lines.groupby(["path", "email"])["added"].sum().reset_index()
    held["share"] = held["added"] / held.groupby("path")["added"].transform("sum")
    held = held.sort_values(["path", "share", "email"], ascending=[True, False, True])
    # The fewest who hold half: those before whom less than half is held.
    held["needed"] = held.groupby("path")["share"].cumsum() - held["share"] < 0.5 - 1e-9
    names = who.sort_values("commit_id").groupby("email")["name"].last()
    last_seen = who.groupby("email")["days"].min()
    first = held.groupby("path").first()
    held["gone"] = held["email"].map(last_seen) > GONE_DAYS
    teams = settings().metrics.teams
    held["team"] = [team_of(email, teams) for email in held["email"]]
    by_team = held.dropna(subset=["team"]).groupby(["path", "team"])["share"].sum().reset_index()
    by_team = (
        by_team.sort_values(["path", "share", "team"], ascending=[True, False, True]).groupby("path").first()
    )
    frame = pd.DataFrame(
        {
            "authors": held.groupby("path").size(),
            "main_author": first["email"].map(names),
            "ownership": first["share"],
            "bus_factor": held.groupby("path")["needed"].sum(),
            "knowledge_loss": held["share"].where(held["gone"], 0.0).groupby(held["path"]).sum(),
        }
    ).reindex(pd.Index(joined["path"].unique(), name="path"))
    frame = frame.fillna(
        {"authors": 0, "main_author": "", "ownership": 0.0, "bus_factor": 0, "knowledge_loss": 0.0}
    )
    return frame.assign(main_team=by_team["team"], team_ownership=by_team["share"])
