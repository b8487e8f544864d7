"""Concepts that words of questions mean, and the orders of concepts that each kind of question has.

Belongs here: the words, and the forms of each kind. Does not belong here: reading questions by them (`free_wordings`),
patterns of complete questions, which are tried first (`question_patterns`).
"""

import re

# Several words that mean what one does.
PHRASES = tuple(
    (re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE), word)
    for phrase, word in (
        (r"the (?:hell|heck)|on earth|(?:does )?any(?:one|body) know|(?:not )?any ?more", " "),
        (
            r"(?:i'd|i would|we'd|i|we) (?:like|want|need) to (?:know|find|see)|point (?:me )?(?:to|at|out)|grep for|"
            r"look up",
            "find",
        ),
        (r"can(?:no|')?t find|couldn't find|looking for|look for|search(?:ing)? for|get to see", "find"),
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
        (r"show(?:s|ed)? up|came into being", "appeared"),
        (
            r"go away|went away|get(?:ting)? rid of|got rid of|thrown? (?:away|out)|taken? out|no longer",
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
        "actively everything left remaining behind",
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
PROJECT: project repository repo program application app tool system software product
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
CALLED: called named invoked executed triggered reached
LEAD: lead leads leading trigger triggers triggering cause causes causing
CALLER: callers caller usages usage users references reference occurrences occurrence consumers consumer
CALLER: clients invocations
CALLEE: callees callee
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
INHERIT: inherit inherits extend extends subclass derive derives implement implements implementing extending
INHERIT: subclassing deriving inheriting based specialise specialize override overrides
INHERITED: subclassed extended inherited derived overridden
CHILD: subclasses children descendants implementations subtypes
PARENT: parent parents base bases superclass superclasses ancestor ancestors hierarchy
RAISE: raise raises raising throw throws throwing
RAISED: raised thrown
CONDITION: condition conditions case cases circumstances situation situations
CATCH: catch handle expect
CHANGE: change changes changing modify modifies modifying edit edits editing touch touches touching rename
CHANGE: renaming delete deletes deleting remove removes removing refactor refactoring alter altering rewrite
CHANGE: rewriting replace replacing
CHANGED: changed modified edited touched updated altered
REMOVED: removed deleted dropped killed gone disappear disappeared vanish vanished drop drops
MOVED: moved renamed replaced
ADD: add adds adding create creates creating introduce introduces introducing put insert
ADDED: added created introduced originated shipped landed inserted appear appeared appears existed
EXIST: exist exists existing
NEW: new another additional
GO: go goes belong belongs
FIX: fix adapt adjust update updating check watch revise repair
BREAK: break breaks breaking broken affect affects affected fail fails stop stops suffer
COMPILE: compiling compile building working
IMPACT: impact impacts effect effects implications implication consequences consequence fallout repercussions
RISKY: risky dangerous safe safely
WITHOUT: without
SIGNATURE: signature
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
FIRST: first initial initially oldest next priority
HISTORY: history changelog log evolution undergone seen
TIME: day days week weeks month months year years
REASON: reason motivation rationale
LONG: long old
OFTEN: often many times frequently
WORK: working works active committing committed contributing contributes happening
RELATE: relate relates related relation relationship connection connected linked coupled interact interacts
RETURN: return returns returned yield yields output outputs
TAKE: take takes accept accepts pass passed supply given provided
JOB: job role purpose responsibility task point deal story idea gist intention intent goal
PLAY: play plays serve serves fulfil
SUMMARY: summary tl;dr overview details information info explain describe explanation description
SUMMARY: documentation docs meaning
HAPPEN: happen happens
HAPPENED: happened
VALUE: value values default defaults data
READ: read reads reading parse parses parsed
SET: set sets configured initialised initialized
ORIGIN: origin origins
LIB: library libraries dependency dependencies package packages deps external
ENV: envvars variables settings setting configuration options
CLEAN: cleaned clean refactored improved improve tackled rewritten fixed simplified
TOGETHER: alongside together
SIMILAR: similar duplicate duplicates duplicated copied copies resembles identical
HARD: hard difficult painful complicated complex tricky messy convoluted
COMPLEXITY: complexity metrics
DIFFERENCE: difference differences different diff compare
COMPARED: compared relative since versus vs
NOTHING: nothing because
"""
CONCEPTS = {
    word: concept
    for concept, _, words in (row.partition(": ") for row in _ROWS.strip().splitlines())
    for word in words.split()
}

# F: a path, V: a version, N: another name; X: a path or a name.
_X = "[FN]"
_ASK = "(?:what|who|where|when|how)"
_OF_CODE = "(?:(?:CODE|PART|FILE|FUNC|CLASS|PROJECT|TEST) )*"
FORMS = {
    "tests": [
        rf"(?=.*\b(?:TEST|COVERAGE|COVERED)\b)(?:(?:what|where|how|if|KNOW|FIND|UNIT|TEST|COVER|COVERED|COVERAGE|RUN|CHANGE|"
        rf"CHANGED|CALL|USE|BY|CODE) )*{_X}(?: (?:COVERED|COVERAGE|BY|UNIT|TEST|DEFINED))*"
    ],
    "between": [
        r"(?:what )?(?:(?:COMMIT|CHANGE|CHANGED|DIFFERENCE|NEW|BY|HAPPEN|HISTORY) )+V V",
        r"(?P<later>what (?:NEW |CHANGED )?V(?: (?:CHANGE|CHANGED|ADD|FIX|NEW|COMPARED))+ V)",
        r"what (?:(?:CHANGE|CHANGED|DIFFERENCE|NEW|ADDED) )+(?:RELEASE )?V",
    ],
    "relation": [
        rf"(?:(?:how|where|what) )?(?:{_X} )(?:(?:CALL|USE|IMPORT|RELATE|INHERIT|NEED|KNOW) )+{_X}",
        rf"(?:what )?(?:(?:RELATE|FILE|BY) )+{_X} {_X}",
        rf"how {_X} {_X} RELATE",
    ],
    "coupled": [
        rf"if CHANGE {_X} what FILE (?:FIX|CHANGE|CHANGED)",
        rf"what (?:FILE )?(?:CHANGE|CHANGED) TOGETHER {_X}",
        rf"what (?:FILE )?CHANGE (?:if|when) CHANGE {_X}",
        rf"what FILE (?:CHANGE|CHANGED|FIX) (?:TOGETHER )?(?:if |when )?(?:CHANGE )?{_X}",
    ],
    "affected": [
        rf"if (?:CHANGE {_X}|{_X} (?:CHANGE|CHANGED|REMOVED)) what "
        rf"(?:(?:{_OF_CODE})(?:FIX|BREAK|CHANGE|HAPPEN|IMPACT) ?)+",
        rf"what (?:HAPPEN (?:if |when |BY )?(?:CHANGE|REMOVED) |{_OF_CODE}(?:(?:FIX|BREAK|IMPACT) )+"
        rf"(?:if |when |BY )?(?:CHANGE |REMOVED )?)"
        rf"(?:(?:SIGNATURE|RETURN|CLASS|DEFINITION|ARG) )*{_X}(?: (?:CHANGE|CHANGED|REMOVED))?",
        rf"what {_OF_CODE}BREAK (?:COMPILE )?WITHOUT {_X}",
        rf"(?:how )?RISKY (?:CHANGE )?{_X}",
        rf"(?:what )?IMPACT (?:CHANGE )?(?:SIGNATURE )?{_X}(?: CALLER)?",
    ],
    "placement": [
        r"(?:where |what (?:FILE|CODE) )(?:(?:ADD|INHERIT|DEFINE|CODE) )?NEW (?P<subject>[a-z][a-z ]*)",
        r"(?:where |what (?:FILE|CODE) )NEW (?P<subject2>[a-z][a-z ]*?)(?: (?:GO|ADD|ADDED|DEFINED))",
        r"ADD NEW (?P<subject3>[a-z][a-z ]*?) (?:where|what (?:FILE|CODE))(?: (?:ADD|GO|BEGIN|FIND))*",
    ],
    "raised": [
        rf"(?:{_ASK} )?(?:(?:CONDITION|CODE|FUNC|FILE) )*{_X} RAISED",
        rf"{_ASK} (?:(?:CONDITION|CODE|FUNC|FILE) )*RAISE {_X}",
        r"(?P<error>(?:where|what) N ORIGIN|(?:what|when) CONDITION N)",
        r"(?P<error2>what ORIGIN N)",
        rf"(?P<error3>{_ASK} (?:(?:CONDITION|CODE|FUNC|FILE) )*LEAD N)",
    ],
    "raises": [
        rf"(?:what )?ERROR (?:(?:CATCH|RAISED|BY|if|CALL|when|THROW|RETURN) )*{_X}(?: (?:RAISE|RAISED|RETURN))?",
        rf"{_X} (?:RAISE|BREAK)(?: BY)?(?: ERROR)",
        rf"if CALL {_X} what ERROR (?:CATCH|RAISED)",
    ],
    "bases": [
        rf"(?:(?:what|who|where) )?(?:CLASS )?(?:PARENT )+(?:CLASS )?{_X}",
        rf"(?:where|what) {_X} (?:DEFINED |fit )?(?:CLASS )?PARENT",
        rf"what CLASS (?:INHERITED|DEFINED|INHERIT) BY {_X}",
        rf"{_X} (?:INHERIT|INHERITED) (?:BY )?what",
        rf"(?:BY )?what (?:CLASS )?{_X} (?:INHERIT|INHERITED)(?: BY)?",
    ],
    "subclasses": [
        rf"(?:(?:what|who|where) )?(?:(?:CLASS|CODE) )*INHERIT (?:BY )?{_X}",
        rf"(?:where |how )?{_X} INHERITED",
        rf"(?:who )?INHERITED {_X}",
        rf"(?:what )?(?:CLASS )?(?:CHILD |CLASS INHERITED (?:BY )?){_X}",
        rf"{_X} (?:CHILD)",
    ],
    "members": [
        rf"(?:what )?(?:(?:FUNC|FIELD|API|PART) )+(?:CODE |OFFER |DEFINED |DEFINE )*{_X}(?: (?:OFFER|DEFINE|DEFINED))?",
        rf"what {_X} (?:OFFER|DEFINE)",
        rf"what (?:DEFINED|OFFER) {_X}",
        rf"(?:what )?CLASS {_X} OFFER",
    ],
    "calls": [
        rf"what FUNC {_X} (?:CALL|USE|NEED)",
        rf"(?:what )?FUNC (?:CALLED|USED|NEEDED) BY {_X}",
        rf"what HAPPEN {_X} what FUNC (?:CALL|USE)",
        rf"(?:what )?CALLEE {_X}",
        rf"what FUNC BY {_X} CALLED",
        rf"what {_X} CALL",
    ],
    "dependencies": [
        rf"what (?:(?:FILE|LIB|CODE) )*{_X} (?:IMPORT|NEED)",
        r"what (?:(?:FILE|LIB|CODE) )*F USE",
        rf"(?:what )?(?:FILE|LIB) (?:IMPORTED|NEEDED|USED) BY {_X}",
    ],
    "dependents": [
        rf"(?:(?:what|who|where) )?(?:(?:CODE|FILE|PROJECT) )*IMPORT {_X}",
        rf"(?:(?:what|who) )?(?:FILE |CODE )+(?:USE|NEED) {_X}",
        r"(?:what|who) (?:USE|NEED) F",
    ],
    "word": [
        rf"(?:where|what|how) {_X} (?:BY )?(?:(?:VALUE|SET|READ|DEFINED) )*(?:VALUE|SET|READ)(?: (?:BY|VALUE))*",
        rf"(?:BY )?(?:what|where|who) (?:(?:CODE|FILE|FUNC|PROJECT) )*(?:READ|SET) (?:ENV )?{_X}",
        rf"what VALUE {_X}",
    ],
    "used": [
        rf"(?:(?:what|where|who|FIND) )*{_OF_CODE}(?:where )?(?:CALL|USE|LEAD) {_X}",
        rf"(?:(?:what|where|who|how|FIND) )*(?:OFTEN )?(?:CALLER )+(?:CODE )*{_X}",
        rf"(?:(?:what|where|who|when|how|BY|CONDITION|FIND) )*(?:(?:CODE|FILE) )*(?:OFTEN )?{_X} "
        rf"(?:USED|CALLED|NEEDED)(?: BY (?:what|who))?",
        rf"(?:what|where) (?:CODE )?(?:INSTANCE (?:ADD )?{_X}|ADD INSTANCE {_X})(?: (?:ADDED|USED))?",
        rf"how (?:OFTEN )+(?:{_OF_CODE})(?:CALL |USE )?{_X}(?: (?:CALLED|USED))?",
        rf"(?:NOTHING )(?:USE|CALL) {_X}",
        rf"what BY {_X} (?:CALLED|USED)",
    ],
    "removed": [
        rf"(?:when|why|who|what (?:COMMIT|RELEASE)) (?:{_X} )?(?:REMOVED|CHANGED MOVED)(?: {_X})?",
        rf"{_X} REMOVED(?: MOVED)*",
        rf"(?:what|where) HAPPENED {_X}",
    ],
    "introduced": [
        rf"(?:when|why|who|what (?:COMMIT|RELEASE|REASON)) (?:BY )?(?:FIRST )?(?:ADD|ADDED) {_X}(?: FIRST)?",
        rf"(?:when|why|who|what (?:COMMIT|RELEASE|REASON)) (?:BY )?{_X} (?:FIRST )?ADDED(?: FIRST)?",
        rf"(?:what )?REASON (?:ADD |ADDED )?{_X}(?: ADDED)?",
        rf"how LONG {_X}(?: (?:ADDED|EXIST))?",
        rf"(?:what )?FIRST (?:COMMIT|RELEASE) {_X}",
    ],
    "history": [
        rf"(?:(?:what|when|who) )?(?:(?:LAST|COMMIT|CHANGE|CHANGED|BY) )*LAST (?:(?:COMMIT|CHANGE|CHANGED|WORK) )*{_X}",
        rf"what (?:HAPPENED|CHANGED) {_X} LAST(?: TIME)?",
        rf"(?:(?:what|when|who|how) )?(?:OFTEN )?{_X} (?:LAST )?(?:CHANGE|CHANGED)(?: LAST)?(?: TIME)?",
        rf"(?:when|who|what COMMIT) (?:CHANGE|CHANGED) {_X}(?: LAST)?(?: TIME)?(?: when)?",
        rf"(?:(?:when|how|who|why|BY) )+{_X} CHANGED(?: ADDED)?",
        rf"(?:what )?HISTORY {_X}",
        rf"what (?:CHANGE|COMMIT) {_X} HISTORY",
        rf"(?:when|who|what COMMIT) (?:(?:ADDED|CHANGE|CHANGED|REMOVED) ){{2,}}{_X}",
    ],
    "owner": [
        rf"who (?:(?:EXPERT|KNOW|BUG|ADD|CHANGE|CODE|FIND) )*EXPERT (?:(?:EXPERT|BUG|CHANGE|CODE) )*{_X}",
        rf"who (?:KNOW )+(?:CODE )*{_X}",
        rf"(?:what )?EXPERT {_X}",
        rf"who (?:BUG )+{_X}",
    ],
    "hotspot": [
        rf"why {_X} HARD(?: (?:CHANGE|READ|EXPERT|TEST|FIX))?",
        rf"why HARD CHANGE {_X}",
        rf"how HARD (?:CHANGE )?{_X}(?: CHANGE)?",
        rf"(?:how )?{_X} HARD(?: CHANGE)?",
        rf"(?:(?:what|how) )?COMPLEXITY {_X}",
    ],
    "similar": [rf"(?:(?:what|where) )?{_OF_CODE}SIMILAR {_X}", rf"(?:where )?{_X} SIMILAR"],
    "describe": [
        rf"(?:what|how) ARG (?:(?:NEED|TAKE|CALL|RETURN) )*{_X}(?: (?:NEED|TAKE))?",
        rf"what (?:CLASS |VALUE )?(?:CALL )?{_X} RETURN",
        rf"(?:what |SUMMARY )?(?:CLASS )?RETURN(?: BY)? {_X}",
        rf"(?:what )?how (?:CALL|USE) {_X}(?: what ARG)?",
        rf"what {_X}",
        rf"(?:(?:what|FIND) )?SUMMARY (?:(?:what|how) )?{_X}(?: JOB)?",
        rf"what {_X} (?:TAKE|NEED) ARG",
    ],
    "purpose": [
        rf"what (?:JOB )+{_X}(?: PLAY)?",
        rf"what (?:JOB )+(?:PLAY )?(?:BY )?{_X}",
        rf"what JOB {_X} PLAY",
        rf"what {_X} (?:PLAY|JOB)",
        rf"why (?:NEED )?{_X}(?: (?:NEEDED|EXIST))?",
    ],
    "defined": [
        r"(?=.*\b(?:where|FIND|FILE|DEFINITION)\b)(?:(?:where|what|FIND|GO|READ|CODE|FILE|DEFINE|DEFINED|DEFINITION) )+"
        rf"{_X}(?: (?:DEFINED|FILE|CODE))*",
        rf"FILE {_X}",
        rf"(?:(?:CLASS|FUNC|FILE|FIELD) )?(?:CALLED {_X}|{_X} EXIST)",
    ],
    # Without a name.
    "active": [
        rf"who (?:WORK )+{_X}(?: LAST)?",
        r"(?:what|who) (?:(?:WORK|COMMIT|CHANGED) )+LAST",
        r"what LAST WORK",
        r"(?:what|who) (?:WORK|CHANGE)(?: what)?",
    ],
    "testing": [r"(?:what|how) (?:COMMAND )?(?:RUN )+(?:UNIT )?TEST", r"COMMAND (?:RUN )?(?:UNIT )?TEST"],
    "requirements": [r"(?:what )?(?:LIB )+(?:(?:PROJECT|IMPORT|USE|NEED|NEEDED|USED|RUN|BY) ?)+"],
    "configuration": [
        r"what (?:ENV )+(?:(?:BREAK|READ|USE|USED|SET|ADDED|PROJECT|BY|CHANGE|NEED|TAKE|OFFER) ?)+"
    ],
    "next": [r"(?:what|where) (?:(?:PART|CODE|FILE|FUNC) )*(?:FIX |CLEAN |CHANGE )FIRST"],
}
