"""The orders of concepts that each kind of question has.

Belongs here: the forms. Does not belong here: which words mean a concept (`question_concepts`), reading questions by
both (`free_wordings`), patterns of complete questions, which are tried first (`question_patterns`).
"""

# F: a path, V: a version, N: another name; X: a path or a name.
_X = "[FN]"
_ASK = "(?:what|who|where|when|how)"


def _any_order(required: tuple[str, ...], others: str, name: str = "") -> str:
    """Return a form of words in any order: one of each group that is required, others, and a name, if there is one."""
    words = "|".join((*required, others))
    ahead = "".join(rf"(?=.*\b(?:{group})\b)" for group in required)
    before = rf"(?:(?:{words}) )*{name}" if name else f"(?:{words})"
    return rf"{ahead}{before}(?: (?:{words}))*"


_OF_CODE = "(?:(?:CODE|PART|FILE|FUNC|CLASS|PROJECT|TEST) )*"
FORMS = {
    "tests": [
        rf"(?=.*\b(?:TEST|COVERAGE|COVERED)\b)(?:(?:what|where|how|if|KNOW|FIND|UNIT|TEST|COVER|COVERED|COVERAGE|RUN|CHANGE|"
        rf"CHANGED|CALL|USE|BY|CODE) )*{_X}(?: (?:COVERED|COVERAGE|BY|UNIT|TEST|DEFINED))*"
    ],
    "between": [
        _any_order(
            ("COMMIT|CHANGE|CHANGED|DIFFERENCE|NEW|HAPPEN|HAPPENED|HISTORY|ADD|ADDED|FIX|COMPARED|SUMMARY",),
            "what|how|who|when|FILE|CODE|BY|if|RELEASE",
            r"V(?: (?:CHANGE|CHANGED|ADD|FIX|NEW|COMPARED|BY|if|RELEASE))* V",
        ),
        r"what (?:(?:CHANGE|CHANGED|DIFFERENCE|NEW|ADDED) )+(?:RELEASE )?V",
    ],
    "relation": [
        rf"(?:(?:how|where|what) )?(?:{_X} )(?:(?:CALL|USE|IMPORT|RELATE|INHERIT|NEED|KNOW) )+{_X}",
        rf"(?:what )?(?:(?:RELATE|FILE|BY) )+{_X} {_X}",
        rf"how {_X} {_X}(?: RELATE)?",
        rf"(?:if )?{_X} {_X} RELATE",
    ],
    "coupled": [
        rf"if (?:CHANGE|FIX) {_X} what FILE (?:NEED )?(?:FIX|CHANGE|CHANGED)",
        rf"what (?:FILE )?(?:CHANGE|CHANGED) TOGETHER {_X}",
        rf"(?:if )?{_X} RELATE (?:NEW )?FILE",
        rf"what (?:FILE )?CHANGE (?:if|when) CHANGE {_X}",
        rf"what FILE FIND (?:if|when) CHANGE {_X}",
        rf"what FILE (?:CHANGE|CHANGED|FIX) (?:TOGETHER )?(?:if |when )?(?:CHANGE )?{_X}",
    ],
    "affected": [
        rf"if (?:CHANGE {_X}|{_X} (?:CHANGE|CHANGED|REMOVED)) what "
        rf"(?:(?:{_OF_CODE})(?:FIX|BREAK|CHANGE|HAPPEN|IMPACT) ?)+",
        rf"what (?:HAPPEN (?:if |when |BY )?(?:CHANGE|REMOVED) |{_OF_CODE}(?:(?:FIX|BREAK|IMPACT) )+"
        rf"(?:if |when |BY )?(?:CHANGE |REMOVED )?)"
        rf"(?:(?:SIGNATURE|RETURN|CLASS|DEFINITION|ARG) )*{_X}(?: (?:CHANGE|CHANGED|REMOVED))?",
        _any_order(
            ("BREAK|RISKY|IMPACT|FIX", "if|when|BY|WITHOUT", "CHANGE|CHANGED|REMOVED"),
            "COMPILE|OFTEN|what|who|where|how|PART|CODE|FILE|FUNC|CLASS|TEST|SIGNATURE|RETURN|CALLER",
            _X,
        ),
        rf"(?:what|who) {_OF_CODE}USE SIGNATURE {_X}",
        rf"what {_OF_CODE}BREAK (?:COMPILE )?WITHOUT {_X}",
        rf"(?:how )?RISKY (?:CHANGE )?{_X}",
        rf"(?:what )?IMPACT (?:CHANGE )?(?:SIGNATURE )?{_X}(?: CALLER)?",
    ],
    "placement": [
        r"(?:where |what (?:FILE|CODE) )(?:(?:ADD|INHERIT|DEFINE|CODE) )?NEW (?P<subject>[a-z][a-z ]*)",
        r"(?:where |what (?:FILE|CODE) )NEW (?P<subject2>[a-z][a-z ]*?)(?: (?:GO|ADD|ADDED|DEFINED))",
        r"ADD NEW (?P<subject3>[a-z][a-z ]*?) (?:where|what (?:FILE|CODE))(?: (?:ADD|GO|BEGIN|FIND))*",
        rf"(?=.*\b(?:where|FILE)\b)(?:(?:where|what|if|FILE|CODE|NEED|ADD|GO) )*(?:NEW|ADD) (?:[A-Za-z-]+ ){{0,3}}?"
        rf"(?:LIKE|DEFINITION|CLASS|CHILD) {_X}(?: (?:where|what|FILE|CODE|ADD|ADDED|GO|DEFINED))*",
    ],
    "raised": [
        rf"(?:{_ASK} )?(?:(?:CONDITION|CODE|FUNC|FILE) )*{_X} RAISED",
        rf"{_ASK} (?:(?:CONDITION|CODE|FUNC|FILE) )*RAISE {_X}",
        r"(?P<error>(?:where|what) N ORIGIN|(?:what|when) CONDITION N|when N(?: HAPPEN)?|what REASON N)",
        r"(?P<error2>what ORIGIN N)",
        rf"(?P<error3>{_ASK} (?:(?:CONDITION|CODE|FUNC|FILE) )*LEAD N)",
    ],
    "raises": [
        rf"(?:what )?ERROR (?:(?:CATCH|RAISE|RAISED|BY|if|CALL|when|THROW|RETURN) )*{_X}(?: (?:RAISE|RAISED|RETURN))?",
        rf"{_X} (?:RAISE|BREAK)(?: BY)?(?: ERROR)",
        rf"(?:what )?{_X} RAISE",
        rf"if CALL {_X} what ERROR (?:CATCH|RAISED)",
    ],
    "bases": [
        rf"(?:(?:what|who|where) )?(?:CLASS )?(?:PARENT )+(?:CLASS )?{_X}",
        rf"(?:where|what) {_X} (?:DEFINED |fit )?(?:CLASS )?PARENT",
        rf"what CLASS (?:INHERITED|DEFINED|INHERIT) BY {_X}",
        rf"{_X} (?:INHERIT|INHERITED) (?:BY )?what",
        rf"(?:if )?{_X} INHERIT",
        rf"(?:BY )?what (?:CLASS )?{_X} (?:INHERIT|INHERITED)(?: BY)?",
    ],
    "subclasses": [
        rf"(?:(?:what|who|where) )?(?:(?:CLASS|CODE|ERROR) )*INHERIT (?:BY )?{_X}",
        rf"(?:where |how )?{_X} INHERITED",
        rf"(?:who )?INHERITED {_X}",
        rf"(?:what )?(?:CLASS )?(?:CHILD |CLASS INHERITED (?:BY )?){_X}",
        rf"{_X} CHILD",
        rf"how OFTEN (?:CHILD|CLASS INHERIT) {_X}",
    ],
    "members": [
        rf"(?:what )?(?:(?:FUNC|FIELD|API|PART) )+(?:CODE |OFFER |DEFINED |DEFINE )*{_X}(?: (?:OFFER|DEFINE|DEFINED))?",
        rf"what {_X} (?:OFFER|DEFINE)",
        rf"what (?:DEFINED|OFFER) {_X}",
        rf"(?:what )?CLASS {_X} OFFER",
        rf"(?:if )?{_X} (?:FUNC|FIELD|API)",
    ],
    "calls": [
        rf"what FUNC {_X} (?:CALL|USE|NEED)",
        rf"(?:what )?FUNC (?:CALLED|USED|NEEDED) BY {_X}",
        rf"what HAPPEN {_X} what FUNC (?:CALL|USE)",
        rf"(?:what )?CALLEE {_X}",
        rf"what FUNC BY {_X} CALLED",
        rf"what {_X} CALL",
        rf"what (?:FUNC )?(?:CALLED|USED) (?:when|if) {_X} RUN",
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
        rf"(?:BY )?(?:what|where|who) (?:(?:PART|CODE|FILE|FUNC|PROJECT) )*(?:READ|SET) (?:ENV )?{_X}",
        _any_order(("ENVIRONMENT",), "what|where|who|BY|CODE|FILE|FUNC|READ|SET|TAKE|USED|VALUE", "N"),
        rf"what VALUE {_X}",
    ],
    "dead": [
        _any_order(("UNUSED", "what|CODE|FUNC|PART|CLASS|FIELD"), "where|if|FIND|DEFINE|OFFER", "F"),
        r"(?:if )?FUNC F USED",
        _any_order(("UNUSED", "CODE|FUNC|PART|CLASS|FIELD"), "what|where|if|FIND|PROJECT"),
    ],
    "used": [
        rf"where CALL {_X} ORIGIN",
        rf"where (?:CODE )?NEED {_X}",
        rf"BY what (?:FUNC|CLASS) {_X} (?:CALLED|USED)",
        rf"(?:if |who )?(?:{_X} UNUSED|UNUSED {_X})",
        rf"(?:(?:what|where|who|FIND) )*{_OF_CODE}(?:where )?(?:CALL|USE|LEAD) {_X}",
        rf"(?:(?:what|where|who|how|FIND) )*(?:OFTEN )?(?:CALLER )+(?:CODE )*{_X}",
        rf"(?:(?:what|where|who|when|how|if|BY|CONDITION|FIND|NEW) )*(?:(?:CODE|FILE) )*(?:OFTEN )?{_X} "
        rf"(?:USED|CALLED|NEEDED)(?: BY(?: (?:what|who))?)?",
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
        rf"(?:if )?{_X} ADDED LAST",
        _any_order(("ADDED|FIRST", "when|who|why|COMMIT|RELEASE"), "what|if|BY|TIME|FIND", _X),
        rf"(?:BY )?(?:what )?(?:RELEASE|COMMIT) (?:USE|OFFER|EXIST|NEED) {_X}",
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
        _any_order(("who", "EXPERT"), "KNOW|BUG|ADD|CHANGE|CODE|COMMIT|FIND|FIX|if|when", _X),
        rf"who (?:SUMMARY|CODE) {_X}",
        rf"who (?:KNOW )+(?:CODE )*{_X}",
        rf"(?:what )?EXPERT {_X}",
        rf"who (?:FIND |FIX )?(?:BUG )+{_X}",
    ],
    "hotspot": [
        rf"why {_X} (?:BREAK OFTEN|RISKY)",
        _any_order(("HARD|COMPLEXITY",), "why|how|what|if|CHANGE|READ|EXPERT|TEST|FIX|CODE|FUNC|FILE", _X),
    ],
    "similar": [
        rf"where NEW CODE {_X}",
        rf"(?:(?:what|where|if|NEW) )?{_OF_CODE}SIMILAR {_OF_CODE}{_X}",
        rf"(?:(?:where|if) )?{_X} SIMILAR(?: (?:BY|NEW|CODE|FILE|FUNC|CLASS))*",
    ],
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
        rf"where {_X} ORIGIN(?: what FILE)?",
        rf"(?:(?:CLASS|FUNC|FILE|FIELD) )?(?:CALLED {_X}|{_X} EXIST)",
    ],
    # Without a name.
    "active": [
        rf"who (?:WORK )+{_X}(?: LAST)?",
        r"(?:what|who) (?:(?:WORK|COMMIT|CHANGED) )+LAST",
        r"what LAST WORK",
        r"(?:what|who) (?:WORK|CHANGE)(?: what)?",
        _any_order(("LAST", "WORK|COMMIT|CHANGED|HAPPENED"), "who|what|TIME|PROJECT|CODE"),
    ],
    "testing": [
        _any_order(("TEST", "RUN|COMMAND"), "what|how|USE|UNIT|CALL|PROJECT"),
        r"how CALL (?:UNIT )?TEST",
    ],
    "running": [_any_order(("RUN", "how|PROJECT|COMMAND|FILE"), "what|where|CODE")],
    "requirements": [
        r"what PROJECT (?:NEED|USE|IMPORT)",
        r"(?:what )?(?:LIB )+(?:(?:PROJECT|TEST|IMPORT|IMPORTED|USE|NEED|NEEDED|USED|RUN|BY) ?)+",
    ],
    "configuration": [
        _any_order(
            ("ENV", "READ|USE|USED|SET|ADDED|CHANGE|NEED|NEEDED|TAKE|OFFER|VALUE|IMPACT|BREAK"),
            "what|where|if|FIND|PROJECT|BY|RUN",
        ),
        _any_order(("ENVIRONMENT", "SET|READ|USE|USED"), "what|BY|PROJECT|CODE"),
    ],
    "next": [
        r"(?:what|where) (?:(?:PART|CODE|FILE|FUNC) )*CHANGE FIRST",
        r"where RUN (?:CLEAN|FIX|CHANGE)",
        _any_order(("FIRST", "FIX|CLEAN"), "what|where|PART|CODE|FILE|FUNC|WORK|PROJECT"),
    ],
}
