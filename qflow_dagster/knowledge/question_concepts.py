"""Concepts that words of questions mean.

Belongs here: the words. Does not belong here: the orders of concepts that each kind has (`question_forms`), reading
questions by both (`free_wordings`).
"""

import re

# Several words that mean what one does.
PHRASES = tuple(
    (re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE), word)
    for phrase, word in (
        (r"(does|do) ((?!i |we |one |you )(?:\w+ ){1,3}?)look (?:up|at|for)", r"\1 \2read"),
        (r"the (?:hell|heck)|on earth|(?:does )?any(?:one|body) know|(?:not )?any ?more", " "),
        (
            r"(?:i'd|i would|we'd|i|we) (?:like|want|need) to (?:know|find|see)|point (?:me )?(?:to|at|out)|grep for|"
            r"look up",
            "find",
        ),
        (r"can(?:no|')?t find|couldn't find|looking for|look for|search(?:ing)? for|get to see", "find"),
        (r"looks (?:up|at|for)|(?:is|are|gets?) looked up", "read"),
        (
            r"never (?:called|used|invoked|referenced)|(?:not|nothing|nobody|no one) (?:calls|uses|called|used)|"
            r"(?:has|have|with) no (?:callers|usages|users)|without (?:callers|usages|users)",
            "unused",
        ),
        (r"(?:anything|something|everything) (?:left )?(?:in|inside|below|under)", "code in"),
        (r"call (?:chain|tree|graph) (?:below|under|from|of)", "callees"),
        (r"(functions|classes|files|methods|parts|code) looks? like", r"\1 similar"),
        (r"go wrong (?=when|if)", "break "),
        (r"according to (?:the )?codeowners(?: file)?", " "),
        (r"leftovers|(?:any|some)thing unused", "unused code"),
        (r"(?:nobody|nothing|no one) needs?", "unused"),
        (r"call about", "ask about"),
        (r"where (\S+) (?:starts|begins)", r"where \1 defined"),
        (r"(?:take|bring|jump) (?:me )?to", "find"),
        (r"everything that (?:touches|uses|calls)", "callers of"),
        (r"(?:called|invoked|used) (?:inside|within)", "called by"),
        (r"(?:somebody|someone|anybody|anyone) cop(?:y|ied)", "similar"),
        (r"in terms of", " "),
        (
            r"(?:com(?:e|es|ing)|came) in(?:to being|to the (?:project|code ?base|repository))?|"
            r"(?:went|got|made it) into",
            "appeared",
        ),
        (r"where (?:do|does) (\w+) (?:create|construct|build)", r"where \1 use"),
        (r"where (?:do|does) (\w+) make (?:a|an|new)", r"where \1 use"),
        (r"where else", "where another"),
        (r"can (?:i|we|you|one) do with", "offers"),
        (r"what (?:do|does) (?:i|we|one|you) need (\S+) for", r"why \1"),
        (r"c[ao]me up with", "added"),
        (r"where (?:has|have|did|is) (\S+) (?:gone|go)(?: to)?", r"what happened to \1"),
        (r"since when", "when"),
        (r"(?:derived|inherited|extended|subclassed) from", "extending"),
        (r"taken into account|paid attention to", "read"),
        (r"(?:at|during) run ?time|in (?:production|practice|ci)|on ci", " "),
        (
            r"(?:a|an|any|the|another|exact|near) (?:copy|clone|duplicate|twin) of|the same code(?: as)?|same code as",
            "similar",
        ),
        (r"(?:have|has|had) (?:anything|something|nothing) to do with", "relate"),
        (r"(?:done|did|does) (?:most|the bulk) of the work (?:on|in)", "expert"),
        (r"one more|yet another|a (?:second|third|further)", "another"),
        (r"by which (?:route|way|path)", "how"),
        (r"(?:do|must|should) (?:i|we|you) type", "command"),
        (r"these days|at the moment|right now|of late", "lately"),
        (r"responsible for (?=\w+ing)", " "),
        (r"hold on|remind me|someone|a list of everything that", " "),
        (r"go(?:es)? through|end(?:s|ed|ing)? up in", "call"),
        (r"kick(?:s|ing)? off", "call"),
        (r"do i open to read|sits|the code behind|did (?:i|we) put", "defined"),
        (r"(?:which|what) (?:pr|pull request) (?:brought (?:us)?|added)|whose idea was", "who added"),
        (r"what became of", "what happened to"),
        (r"write a test for", "tests for"),
        (r"spec should i extend for", "tests for"),
        (r"see a commit", "change"),
        (r"do i ping|a good reviewer", "expert"),
        (r"(?:could|can|would) deleting (\S+) hurt", r"risky change \1"),
        (r"how far does a change in (\S+) reach", r"impact change \1"),
        (r"delegat(?:es?|ing) to|forwards? to|hands? off to", "calls"),
        (r"show(?:s|ed)? up", "appeared"),
        (
            r"go(?:es)? away|went away|g[eo]t(?:ting)? rid of|thr(?:ow|own|ew) (?:away|out)|taken? out|no longer",
            "removed",
        ),
        (r"got to do with|have to do with|has to do with|talks? to|deals with", "relate"),
        (r"pull(?:s|ed|ing)? in|bring(?:s|ing)? in", "import"),
        (r"mak(?:e|es|ing) use of|tak(?:e|es|ing) advantage of", "use"),
        (r"call ?sites?|incoming calls|points? of use", "callers"),
        (r"outgoing calls", "callees"),
        (r"call(?:ed|able)? on|available (?:on|in|for)", "offers"),
        (r"com(?:e|es|ing) out of", "raised by"),
        (r"com(?:e|es|ing) from|originat(?:e|es|ing) (?:in|from)", "origin"),
        (r"giv(?:e|es|ing) back|return (?:type|value)|hand(?:s|ing)? back|result type", "returns"),
        (
            r"go-to (?:person|guy|developer)|in charge of|point of contact|the (?:right )?person to ask",
            "expert",
        ),
        (r"been up to|working on|work on|worked on|busy with", "working"),
        (r"have to|has to|need to|got to|ought to|supposed to|able to|end(?:s|ed)? up", "must"),
        (r"most recent|at last|last time|last \w+ly", "latest"),
        (r"along with|together with|at the same time as|in the same commits? as", "alongside"),
        (r"third[- ]party|open[- ]source", "external"),
        (r"for good|by now|so far|in total|at all|as well|if anything|out there|in (?:this|that) case", " "),
        (r"(?:different|various) (?=\w+s\b)|to look like|look like", " "),
        (r"test (?:cases?|suites?)", "tests"),
        (r"(?:which|what) (?:developers?|persons?|people|programmers?|engineers?|colleagues?)", "who"),
        (r"in (?:which|what) ways?", "how"),
        (r"in (?:short|brief|a few words|a nutshell)|briefly", " "),
        (r"been doing", "working"),
        (r"(?:public|external) (?:interface|api|methods)", "api"),
        (r"(?:correct|right|proper|best|intended) way to", "how"),
        (
            r"(?:can|could|may|should) (\S+) (?:safely |now )?be (?:removed|deleted|dropped|changed)",
            r"risky change \1",
        ),
        (r"how long ago", "when"),
        (r"at (?:which|what) point|in (?:which|what) year|(?:on|at) (?:which|what) date", "when"),
        (r"for (?:what|which) (?:reason|purpose)|what for|how come", "why"),
        (r"(?:in|at|on) (?:which|what) places?|whereabouts", "where"),
        (r"kinds? of|sorts? of|types? of|list of|set of|names? of|number of", " "),
        (r"(?:cyclomatic|cognitive) complexity", "complexity"),
        (r"env(?:ironment)? (?:variable|var)s?", "envvars"),
    )
)

# Words that add nothing.
NEUTRAL = frozenset(
    word
    for row in (
        "a an the this that these those my our your its it is are was were be been being am do does did done has have",
        "had i we you one they people somebody someone anybody anyone everybody everyone nobody else me us them there",
        "here to of in on for with at as so any all some own just only actually currently really still also too even",
        "ever again exactly please can could should would will may might must shall want wants able get gets got",
        "getting give gives show shows list lists tell print name display see and or anywhere somewhere everywhere",
        "elsewhere now today other others various particular specific current real actual whole entire complete full",
        "every each single possible possibly usually typically normally most mostly best right directly indirectly",
        "internally explicitly direct total under inside within around about into onto through throughout via up out",
        "over between concrete public certain such then always sometimes automatically easily quickly ultimately",
        "originally anything something i'm we're coworkers colleagues team made make makes analysis major minor",
        "considered guys folks developer developers programmer engineer well feel feels",
        "actively everything left remaining behind already tend tends thing things ones",
    )
    for word in row.split()
)

# Concepts and their words; a concept may have several rows.
_ROWS = """
who: who whom whose
what: what which
where: where
when: when
why: why
how: how
if: if once whenever after before
BY: by from
FIND: find finding locate look search discover identify enumerate trace
FILE: file files module modules directory directories folder folders path paths source sources script scripts
CODE: code codebase place places spot spots section sections line lines location locations area areas
PART: part parts component components piece pieces
INSTANCE: instance instances objects
PROJECT: gem project repository repo program application app tool system software product
FUNC: function functions method methods helper helpers routine routines procedure procedures subroutine
FUNC: subroutines
CLASS: entity class classes type types struct structs interface interfaces trait traits
FIELD: field fields attribute attributes property properties member members constant constants
API: api surface
TEST: test tests testcase testcases spec specs
UNIT: unit integration regression
ERROR: error errors exception exceptions failure failures
ARG: parameter parameters argument arguments args params arg param inputs
COMMIT: commit commits revision revisions patch
RELEASE: release releases version versions tag tags
CALL: call calls calling invoke invokes invoking execute executes executing reach reaches reaching hit hits
CALLED: called named invoked executed triggered reached reachable
LEAD: lead leads leading trigger triggers triggering cause causes causing
CALLER: callers caller usages usage users references reference occurrences occurrence consumers consumer
CALLER: clients invocations
CALLEE: callees callee
UNUSED: dead unused unreachable orphaned uncalled
LIKE: like
USE: use uses using rely relies relying depend depends depending consume consumes consuming utilise utilize
USE: employ employs instantiate instantiates
USED: used referenced accessed consumed utilised utilized instantiated employed
NEED: need needs install installing require requires requiring
NEEDED: needed necessary required installed
IMPORT: import imports importing include includes including
IMPORTED: imported included
DEFINE: define defines declare declares hold holds contain contains host hosts
DEFINED: defined declared implemented located live lives reside resides sit sits written found kept stored
DEFINED: housed
DEFINITION: definition declaration implementation body
OFFER: offers offer provide provides expose exposes carry carries
INHERIT: conform conforms adopt adopts
INHERIT: inherit inherits extend extends subclass derive derives implement implements implementing extending
INHERIT: subclassing deriving inheriting based specialise specialize override overrides
INHERITED: subclassed extended inherited derived overridden
CHILD: variants subclasses children descendants implementations subtypes
PARENT: parent parents base bases superclass superclasses ancestor ancestors hierarchy
RAISE: escape escapes raise raises raising throw throws throwing
RAISED: raised thrown
CONDITION: condition conditions case cases circumstances situation situations
CATCH: catch handle expect
CHANGE: change changes changing modify modifies modifying edit edits editing touch touches touching rename
CHANGE: renaming delete deletes deleting remove removes removing refactor refactoring alter altering rewrite
CHANGE: rewriting replace replacing
CHANGED: broke changed modified edited touched updated altered
REMOVED: lose lost removed deleted dropped killed gone disappear disappeared vanish vanished drop drops
MOVED: moved renamed replaced
ADD: add adds adding create creates creating introduce introduces introducing put insert bring brings write
ADDED: added created introduced originated ship ships shipped land lands landed arrive arrived debut brought
ADDED: came inserted appear appeared appears existed
EXIST: exist exists existing
NEW: new another additional
GO: go goes belong belongs
FIX: retest fix adapt adjust update updating check watch revise repair
BREAK: break breaks breaking broken affect affects affected fail fails stop stops suffer complain complains
COMPILE: compiling compile building working
IMPACT: matter matters influence influences impact impacts effect effects implications implication
IMPACT: consequences consequence fallout repercussions
RISKY: risky risk dangerous safe safely
WITHOUT: without
SIGNATURE: behaviour behavior signature
COVER: cover covers exercise exercises verify verifies
COVERED: covered tested exercised verified
COVERAGE: coverage
RUN: run runs running start starts launch launches
COMMAND: command commands
KNOW: know knows sure
EXPERT: familiar knowledgeable expert experts experienced understands owner owners owns own maintain maintains
EXPERT: maintainer maintainers reviewer reviewers review reviews responsible ask contact author authors wrote
EXPERT: assign assigned help helps consult approve knowledge expertise contributed contributor contributors
EXPERT: send understand
BUG: bug bugs issue issues question questions tickets pr prs
LAST: last latest recent recently newest lately
FIRST: first initial initially oldest next priority urgent
HISTORY: history changelog log evolution undergone seen
TIME: time day days week weeks month months year years
REASON: reason motivation rationale
LONG: long old
OFTEN: often many times frequently
WORK: working works doing active committing committed contributing contributes happening
RELATE: relate relates related relation relationship connection connected linked coupled interact interacts
RETURN: produce produces return returns returned yield yields output outputs
TAKE: take takes taken accept accepts pass passed supply given provided
JOB: job role purpose responsibility task point deal story idea gist intention intent goal
PLAY: play plays serve serves fulfil
SUMMARY: summarize summary tl;dr overview details information info explain describe explanation description
SUMMARY: documentation docs meaning
HAPPEN: happen happens occur occurs
HAPPENED: happened
VALUE: value values default defaults data
READ: care cares read reads reading parse parses parsed evaluate evaluates evaluated checked
SET: set sets configured initialised initialized
ORIGIN: origin origins
LIB: library libraries dependency dependencies package packages deps external
ENV: envvars variables settings setting configuration options
ENVIRONMENT: environment
CLEAN: cleaned clean refactored improved improve tackled rewritten fixed simplified
TOGETHER: alongside together
SIMILAR: repeat similar duplicate duplicates duplicated copied copies resembles identical
HARD: hotspot hotspots bad hard difficult painful complicated complex tricky messy convoluted fear fears fragile
COMPLEXITY: complexity metrics
DIFFERENCE: differ differs difference differences different diff compare
COMPARED: compared relative since versus vs
NOTHING: nothing because
"""
CONCEPTS = {
    word: concept
    for concept, _, words in (row.partition(": ") for row in _ROWS.strip().splitlines())
    for word in words.split()
}
# The concept that the past of a verb means, where it is another one.
_PAST = {
    "ADD": "ADDED",
    "CALL": "CALLED",
    "CHANGE": "CHANGED",
    "COVER": "COVERED",
    "DEFINE": "DEFINED",
    "HAPPEN": "HAPPENED",
    "IMPORT": "IMPORTED",
    "INHERIT": "INHERITED",
    "NEED": "NEEDED",
    "RAISE": "RAISED",
    "USE": "USED",
}
_ENDINGS = re.compile(r"(?P<stem>\w{3,}?)(?:s|es|ing|(?P<past>e?d))")


def concept_of(word: str) -> str:
    """Return the concept of a word in lower case, also of another form of it ("adapted"); the word if it has none."""
    if word in CONCEPTS:
        return CONCEPTS[word]
    if match := _ENDINGS.fullmatch(word):
        for base in (match["stem"], f"{match['stem']}e"):
            if concept := CONCEPTS.get(base):
                return _PAST.get(concept, concept) if match["past"] else concept
    return word
