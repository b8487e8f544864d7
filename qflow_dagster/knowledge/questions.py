"""The subject of a question, by patterns and without the database. A question that matches none is a search.

Belongs here: the kinds of questions and their wordings. Does not belong here: answering them (`answers`).
"""

import re
from typing import NamedTuple

MAX_LENGTH = 2_000

# The first match counts. S is the subject, O the second one of kinds that have two.
_S, _O = r"(?P<subject>.+?)", r"(?P<other>.+?)"
_ONE = r"(?:i|we|you|one|somebody)"
_NOW = r"(?: now| right now| currently| at the moment| these days| lately| recently)?"
_GONE = r"(?:removed|deleted|dropped|taken out|thrown out)"
_RELATED = r"(?:related|connected|linked|coupled)"
_PROJECT = r"(?:(?:this|the|our) (?:project|package|library|repository|repo|crate|module|application|app|program)|it)"
_NEW = r"(?:(?:a|an|another|new|one more|some|my|the|own) )+"
_ADD = r"(?:add|put|place|create|implement|write|register|define)"
_WHICH = (
    r"(?:which|what) (?:functions? or methods?|methods? or functions?|classes or functions?|other \w+|\w+)"
    r"(?: in \S+)?"
)
_PATTERNS = {
    "requirements": [
        rf"(?:what|which \w+) (?:does|do) {_PROJECT} (?:depend on|require|use|need)(?P<subject>)",
        r"(?:(?:what|which)(?: are)? )?(?P<subject>)(?:the )?(?:external |third-party |runtime |direct )?"
        r"(?:dependencies|requirements|packages|libraries)"
        rf"(?: (?:of|are (?:used|needed|required) (?:by|in)|(?:does|do)) {_PROJECT})?"
        r"(?: (?:have|use|need|require|depend on))?(?: are (?:used|needed|required|there))?",
    ],
    "configuration": [
        r"(?:(?:what|which|list|show)(?: are)? )?(?P<subject>)(?:all )?(?:the )?(?:environment|env) (?:variables?|vars?)"
        rf"(?: (?:are (?:read|used|there|supported|known)|(?:does|do) {_PROJECT} (?:read|use|know|have|support|need)"
        r"|exist|can be set|there are))?(?:,? (?:with|and) (?:their|the|which) defaults?(?: values?)?)?",
        rf"how (?:do|can) {_ONE} configure {_PROJECT}(?P<subject>)",
        rf"(?:what|which) (?:configuration|config|settings?)(?: options?| variables?)?(?P<subject>) "
        rf"(?:are there|exist|(?:does|do) {_PROJECT} (?:have|read|use|take))",
    ],
    "between": [
        rf"(?:what (?:has |have |is |are )?|which )?(?:changed|changes|new|different|differences?|diff|commits)(?: (?:in|of|to) {_O})? "
        r"(?:are )?(?:between|from) (?P<first>\S+) (?:and|to|until|till) (?P<last>\S+)",
        r"what (?:is|was|has) (?:new|changed|different|added) in (?P<last2>\S+) (?:since|after|compared (?:to|with)|over) (?P<first2>\S+)",
        rf"what (?:has |have )?(?:changed|is new|is different)(?: in {_O.replace('other', 'other2')})? since "
        r"(?P<first3>(?:v|release |version )?\d\S*|[0-9a-f]{7,40})",
        r"(?:which|what) commits are in (?P<last3>\S+) but not in (?P<first4>\S+)",
    ],
    "active": [
        rf"who (?:works?|is working) on what{_NOW}(?P<subject>)",
        rf"(?:who|which (?:people|developers|authors)) (?:works?|is working|are working) on {_S}(?: now| right now| currently| "
        r"at the moment| these days)",
        rf"who (?:is|are) (?:the )?(?:currently )?active(?: (?:authors|contributors|people|developers|maintainers))?"
        rf"(?: in (?:{_PROJECT}|{_S}))?{_NOW}",
        rf"what (?:is|are) (?:people |everybody |the team |we |being )?(?:worked|working) on{_NOW}(?P<subject>)",
        r"what (?:has )?(?:happened|changed) (?:recently|lately)(?P<subject>)",
        rf"(?:recent|latest) activity(?: (?:in|of|on) {_S})?",
        r"who (?:has )?committed (?:recently|lately)(?P<subject>)",
    ],
    "removed": [
        rf"(?:when|why|how|in (?:which|what) (?:commit|release|version)) (?:was|were|has) {_S} (?:been )?{_GONE}(?: from \S+)?",
        rf"(?:who|(?:which|what) (?:commit|release|version)) (?:has )?(?:removed|deleted|dropped) {_S}",
        rf"(?:when|why) did {_S} (?:disappear|go away|vanish)",
        rf"(?:when did (?:we|they|you) (?:remove|delete|drop)) {_S}",
        rf"(?:what happened to|where did) {_S}(?: go)?",
        rf"since when is {_S} gone",
    ],
    "relation": [
        rf"how (?:are|is|do|does) {_S} (?:and|to|with) {_O} (?:{_RELATED}|relate|connect|interact|work together|depend)"
        r"(?: (?:to|with|on) each other)?",
        rf"how (?:is|are|does|do) {_S} (?:{_RELATED}|relate|connect|interact) (?:to|with) {_O}",
        rf"(?:what is |what's |show )?(?:the )?(?:relation(?:ship)?|connection|link|path|way|dependency|call chain|call path) "
        rf"(?:between|from) {_S} (?:and|to) {_O}",
        rf"what (?:connects|links) {_S} (?:and|to|with) {_O}",
        rf"(?:how|why) (?:does|do|is|are) {_S} (?:reach|get to|depends? on|uses?|calls?|end up (?:in|calling)|imports?|know) {_O}",
        rf"(?:does|do) {_S} (?:reach|depend on|use|call|import|know|inherit from|extend) {_O}",
    ],
    "placement": [
        rf"(?:where|how|in which file) (?:should|do|can|would|must|could) {_ONE} {_ADD} {_NEW}(?:[\w-]+ ){{0,4}}?"
        rf"(?:like|similar to|such as) {_S}",
        rf"(?:where|how|in which file) (?:should|do|can|would|must|could) {_ONE} {_ADD} {_NEW}{_S}(?: to {_PROJECT})?",
        rf"where (?:does|do|should) {_NEW}{_S} (?:go|belong|be added|be put)",
    ],
    "next": [
        rf"what (?:should|do|can|must) {_ONE} (?:do|fix|improve|refactor|tackle|work on)(?: first| next)?(?: in {_S})?",
        rf"where (?:should|do) {_ONE} (?:start|begin)(?: refactoring| improving| fixing)?(?P<subject>)",
        r"what (?:is|are) the (?:most important|next|top|most urgent) (?:work|things? to (?:do|fix|improve)|work items?|tasks?)(?P<subject>)",
        rf"what to (?:do|fix|improve) (?:first|next)(?: in {_S})?",
    ],
    "used": [
        rf"where (?:is|are|do we use|does .* use) {_S} (?:used|called|referenced|instantiated|invoked)",
        rf"(?:who|what|{_WHICH}) (?:calls?|uses?|invokes?|instantiates?|references?) {_S}",
        rf"what are the (?:callers|users) of {_S}",
        rf"(?:callers|usages?|uses|references) of {_S}",
        rf"how many (?:places|functions|callers) (?:call|use) {_S}",
    ],
    "defined": [
        rf"where (?:is|are|can i find|do i find) {_S} (?:defined|declared|implemented|located|written|found)",
        rf"where (?:can|do) (?:i|we|you|one) find {_S}",
        rf"(?:which|what|in which|in what) file (?:is {_S} (?:defined|declared|implemented) in|"
        rf"(?:defines|declares|implements|contains) (?P<subject2>.+?))",
        rf"(?:in which|in what|which|what) file is {_S} (?:defined|declared|implemented)",
        rf"(?:definition|declaration|implementation|location) of {_S}",
        rf"where (?:does|do) (?P<owner>.+?) (?:implement|define|declare)s? {_S}",
    ],
    "affected": [
        rf"what (?:breaks|is affected|would break|could break|will break|may break) (?:if|when) "
        rf"(?:(?:i|we|you|one) (?:change|modify|remove|delete|touch|edit) {_S}|"
        r"(?P<subject2>.+?) (?:is |are )?(?:changes?|changed|removed|breaks))",
        rf"(?:impact|effects?|blast radius) of (?:a change (?:of|to|in) |changing |removing ){_S}",
    ],
    "dependents": [
        rf"(?:who|what|{_WHICH}|how many files) (?:depends? on|imports?|includes?|requires?) {_S}",
        rf"(?:dependents|importers) of {_S}",
    ],
    "dependencies": [
        rf"what (?:does|do) {_S} (?:depend on|imports?|include|require)",
        rf"(?:dependencies|imports) of {_S}",
    ],
    "calls": [
        rf"what (?:does|do) {_S} call",
        rf"(?:which|what) functions (?:does|are called by) {_S}(?: call)?",
    ],
    "introduced": [
        rf"(?:when|why|how) (?:was|were|did we add) {_S} (?:first )?(?:added|created|introduced|written|implemented)",
        rf"who (?:added|created|introduced|first wrote) {_S}",
        rf"(?:which|what|in which|in what) (?:commit|release|version) (?:added|created|introduced) {_S}",
        rf"(?:since|in) (?:which|what) (?:release|version) (?:is|was|does) {_S}"
        r"(?: there| exist| added| introduced| available)?",
        rf"since (?:which|what) (?:release|version) (?:is there|do we have|has there been) {_S}",
        rf"since when (?:is|was|does|do we have) {_S}(?: there| exist| available)?",
    ],
    "history": [
        rf"(?:when was|who) (?:last )?(?:changed|touched|modified|edited) {_S}(?: last| most recently)?",
        rf"when was {_S} (?:last )?(?:changed|touched|modified|edited)",
        rf"why was {_S} (?:changed|modified)",
        rf"(?:recent|latest|last) (?:changes?|commits?) (?:of|to|in|on|for) {_S}",
        rf"(?:history|changelog) of {_S}",
    ],
    "owner": [
        rf"who (?:knows|owns|maintains|wrote|understands|is responsible for|knows about) {_S}(?: best| most)?",
        rf"(?:who is the )?(?:owner|main author|maintainer|expert|authors?) (?:of|on|for) {_S}",
        rf"who(?:m)? (?:should|can|do) i ask about {_S}",
    ],
    "coupled": [
        r"(?:what|which files?)(?: else)? (?:changes?|is changed|are changed|must change)(?: together)? "
        rf"(?:with|when) {_S}(?: changes?| is changed)?",
        rf"(?:what|which files) (?:is|are) coupled (?:to|with) {_S}",
    ],
    "hotspot": [
        rf"why (?:is|are) {_S} (?:so |such |that |very |too )?(?:a |an )?"
        r"(?:hotspot|hot spot|complex|complicated|risky|large|big|long|hard to (?:change|read|maintain|understand))",
        rf"{_S}: why (?:so )?(?:complex|complicated|risky|a hotspot)",
        rf"how (?:complex|risky|big|large|long) is {_S}",
        rf"(?:metrics|complexity) of {_S}",
    ],
    "rules": [
        r"(?:what|which) (?:rules?|findings?|issues?|problems?) "
        rf"(?:fits?|applies to|apply to|are there in|in|of|has|are found in) {_S}",
        rf"what(?:'s| is) wrong (?:with|in) {_S}",
        rf"(?:findings|issues|problems) (?:in|of) {_S}",
    ],
    "similar": [
        rf"(?:which|what) files? (?:is|are) (?:most )?(?:similar to|like|copies of|clones of|duplicates of) {_S}",
        rf"(?:clones|duplicates|copies) (?:of|in) {_S}",
        rf"what is (?:similar to|duplicated in) {_S}",
    ],
    "tests": [
        rf"(?:which|what|where) (?:are the |are )?tests? (?:covers?|cover|tests?|for|of|exercises?|call|calls) {_S}",
        rf"where is {_S} tested",
        rf"is {_S} tested",
    ],
    "members": [
        r"(?:which|what) (?:methods|functions|members|classes|attributes) "
        rf"(?:does|do|has|are in|are there in) {_S}(?: have| define| contain)?",
        rf"(?:what are |list |show )?(?:all )?(?:the )?(?:methods|functions|members|classes) (?:of|in) {_S}",
    ],
    "subclasses": [
        rf"(?:who|what|{_WHICH}) (?:inherits?(?: from)?|extends?|subclass(?:es)?|derives?(?: from)?|implements?) {_S}",
        rf"(?:what are |list )?(?:the )?(?:subclasses|children|descendants|implementations|implementers) of {_S}",
    ],
    "bases": [
        rf"(?:what|which \w+) (?:does|do) {_S} (?:inherit(?: from)?|extend|derive from|subclass|implement)",
        rf"(?:what (?:is|are) )?(?:the )?(?:base class(?:es)?|parents?|superclass(?:es)?|bases) of {_S}",
    ],
    "raised": [
        rf"(?:who|what|where|{_WHICH}) (?:raises?|throws?) {_S}",
        rf"where (?:is|are) {_S} (?:raised|thrown)",
        rf"(?:when|where) does (?:it|the code) (?:raise|throw) {_S}",
    ],
    "word": [
        rf"where (?:is|are) (?:the )?(?:environment variables?|env vars?|settings?|options?|flags?|constants?) {_S} "
        r"(?:read|used|set|defined|checked|parsed)",
        rf"where (?:is|are) {_S} (?:read|parsed|checked)",
        rf"what(?:'s| is) the default(?: value)? (?:of|for) {_S}",
    ],
    "dead": [
        rf"(?:is|are) there (?:any )?(?:dead|unused|unreachable) (?:code|functions?)(?: in {_S})?",
        rf"(?:which|what) (?:functions?|code) (?:in {_S} )?(?:is|are) (?:dead|unused|never called|not used)",
        rf"(?:dead|unused) (?:code|functions?)(?: in {_S})?",
    ],
    "licence": [
        r"(?P<subject>(?:what|which) (?:is the )?licen[cs]e.*|under (?:which|what) licen[cs]e.*)",
    ],
    "running": [
        r"(?P<subject>(?:what|where|which) (?:is|are) the (?:entry ?points?|main function|main program|commands?).*"
        r"|how (?:do|can|should) (?:i|we|you|one) (?:run|start|launch) "
        r"(?:it|this|the (?:program|project|application|app|server)).*"
        r"|how is (?:it|this|the program) (?:run|started).*)",
    ],
    "testing": [
        r"(?P<subject>how (?:do|can|should) (?:i|we|you|one) (?:run|execute|start) (?:the |all )?tests.*"
        r"|how (?:are|to run) the tests.*)",
    ],
    "overview": [
        r"(?P<subject>hotspots)",
        r"(?:what|which|where) are the (?P<subject2>hotspots)",
        r"(?:what|which) (?:is|are) the (?P<subject3>(?:most complex|largest|biggest|longest|most changed|"
        r"most imported) (?:functions?|files?))",
        r"(?:which|what) (?P<subject4>languages?).*",
        r"who are the (?:main |top )?(?P<subject5>authors|contributors|maintainers)",
        r"how many (?P<subject6>files|lines|commits|authors|functions|symbols)\b.*",
    ],
    "purpose": [
        rf"what (?:is|are) {_S} (?:for|about|good for|used for|responsible for|there for)",
        rf"what is the (?:purpose|role|responsibility|job|point) of {_S}",
        rf"why (?:does|do) {_S} exist",
        rf"what(?:'s| is) (?:in|inside) {_S}",
        rf"what (?:does|do) (?:the )?(?:module|package|folder|directory|file) {_S} (?:do|contain)",
    ],
    "describe": [
        rf"what (?:does|do) {_S} do",
        rf"(?:what is the )?(?:signature|docstring|parameters|arguments) of {_S}",
        rf"(?:explain|describe|show me|show) {_S}",
        rf"(?:what is|what's|what are) {_S}",
    ],
}
_COMPILED = {
    kind: [re.compile(rf"^(?:{pattern})$", re.IGNORECASE) for pattern in patterns]
    for kind, patterns in _PATTERNS.items()
}
_NOISE = re.compile(
    r"^(?:the |a |an |this |our )*(?:(?:function|method|class|struct|type|interface|trait|module|file|symbol|macro|"
    r"exception|error|fixture|decorator|"
    r"constant|package|variable|enum) )?(?:called |named )?",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r" (?:function|method|class|struct|type|interface|trait|module|file|symbol|macro|package|"
    r"exception|error|fixture|decorator)$",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\w./:\-<>$@#~*+!?]+(?:\(\))?$")


_CODEBASE = r"(?:code ?base|repository|repo|project|source code|source|code|library|package)"
_WITHOUT_NAME = frozenset(
    {"overview", "licence", "running", "testing", "dead", "requirements", "configuration", "active", "next"}
)
# Of these the subject is the question itself, or a name.
_FREE = frozenset({"overview", "licence", "running", "testing", "dead"})
# Where a clause begins that says more about what is asked; the question before it may be understood alone.
_CLAUSE = re.compile(
    r",? (?:that|which|whose|where|when|so that|to ensure|in order to|and (?:what|how|why|where|when|which|who)|"
    r"for (?:performing|handling|the)|during|if|as|while|within|before|after|because|given|based on)\b",
    re.IGNORECASE,
)
# A form of each kind, as people would write it.
FORMS = (
    "where is X defined",
    "where is X used",
    "who calls X",
    "what does X call",
    "what does X do",
    "what are the methods of X",
    "which classes inherit from X",
    "what does X inherit from",
    "where is X raised",
    "where is the environment variable X read",
    "what depends on FILE",
    "what does FILE import",
    "what breaks if I change X",
    "which tests cover X",
    "how are X and Y related",
    "where should I add something like X",
    "what is FILE for",
    "what changed between REVISION and REVISION",
    "who works on what now",
    "when was X removed",
    "which environment variables are read",
    "what are the dependencies of the project",
    "what should I do first",
    "who knows X",
    "when was X introduced",
    "when was X last changed",
    "what changes together with FILE",
    "why is X complex",
    "what is wrong with FILE",
    "which files are similar to FILE",
    "is there dead code in FOLDER",
    "what are the hotspots",
    "who are the main authors",
    "what is the licence",
    "what are the entry points",
    "how do I run the tests",
)


class ParsedQuestion(NamedTuple):
    """The kind of a question (or `search`), its subject, and the second subject of kinds that have two.

    `clause` is the beginning of the question that was understood, if the rest was not; else empty.
    """

    kind: str
    subject: str
    other: str = ""
    clause: str = ""


def parse(question: str, repository: str = "") -> ParsedQuestion:
    """Return the kind of a question on a repository, and its subject.

    A question that matches no pattern is understood by its main clause, if that matches, else it is of kind `search`,
    its subject its words.
    """
    normalized = " ".join(question.strip().rstrip("?!. ").split())[:MAX_LENGTH]
    name = rf"{re.escape(repository)}(?:'s)?" if repository else r"(?!)"
    place = rf" (?:with)?in (?:the |this |our )?(?:(?:{name} )?{_CODEBASE}|{name})(?= |$)"
    plain = re.sub(place, "", normalized, flags=re.IGNORECASE)
    if understood := _match(plain):
        return understood
    for clause in _CLAUSE.finditer(plain):
        main = plain[: clause.start()]
        if understood := _match(main):
            return understood._replace(clause=main)
    return ParsedQuestion("search", normalized)


def _match(question: str) -> ParsedQuestion | None:
    """Return the first kind of which a pattern matches the complete question; a subject that is no name is none."""
    for kind, patterns in _COMPILED.items():
        for pattern in patterns:
            match = pattern.match(question)
            if not match:
                continue
            groups = {re.sub(r"\d", "", name): value for name, value in match.groupdict().items() if value}
            if kind == "between":
                revisions = f"{groups['first']}..{groups.get('last', '')}"
                return ParsedQuestion(kind, revisions, subject_of(groups.get("other", "")))
            subject, other = subject_of(groups.get("subject", "")), subject_of(groups.get("other", ""))
            if "owner" in groups:
                subject = f"{subject_of(groups['owner'])}.{subject}"
            named = _NAME.match(subject) or (kind in _WITHOUT_NAME and (not subject or kind in _FREE))
            if named and ("other" not in pattern.groupindex or _NAME.match(other)):
                return ParsedQuestion(kind, subject, other)
    return None


def nearest_forms(question: str) -> list[str]:
    """Return forms of questions that work, those with most words in common with the question first."""
    words = {word.lower() for word in re.findall(r"[a-z]{3,}", question, re.IGNORECASE)}
    return sorted(
        map(str, FORMS), key=lambda form: -len(words & set(re.findall(r"[a-z]{3,}", form.lower())))
    )[:4]


def subject_of(phrase: str) -> str:
    """Return the name in a phrase: without quotes, articles, its kind (function, class, ...) and parentheses."""
    quoted = re.search(r"[`'\"]([^`'\"]+)[`'\"]", phrase)
    subject = quoted.group(1) if quoted else _TRAILING.sub("", _NOISE.sub("", phrase.strip()))
    return subject.strip().removesuffix("()")
