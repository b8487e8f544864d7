"""The wordings of each kind of question, as regular expressions of complete questions.

Does not belong here: words that add nothing to a question (`plain_wordings`), trying the patterns (`questions`).
"""

from qflow_dagster.knowledge import runtime_versions

# S is the subject, O the second one of kinds that have two. Two of any length would take quadratic time.
_S = r"(?P<subject>.+?)"
_FEW = r"\S+(?: \S+){0,4}?"
_O = rf"(?P<other>{_FEW})"
_A = rf"(?P<subject>{_FEW})"
_NONE = r"(?P<subject>)"
_WE = r"(?:i|we|you|one|they|somebody|people)"
_IS = r"(?:is|are|was|were)"
_WHICH = (
    r"(?:which|what) (?:functions? or methods?|methods? or functions?|classes or functions?|other \w+|"
    r"(?!does|do|is|are|was|were)\w+)(?: in \S+)?"
)
_WHO = rf"(?:who|what|where|{_WHICH})"
_WHEN = r"(?:when|why|how|in (?:which|what) (?:commit|release|version|year)|by whom|who)"
_NOW = r"(?: now| right now| at the moment| these days| lately| recently| today)?"
_GONE = r"(?:removed|deleted|dropped|taken out|thrown out)"
_ADDED = r"(?:added|created|introduced|written|implemented)"
_CHANGED = r"(?:changed|touched|modified|edited|updated)"
_RELATED = r"(?:related|connected|linked|coupled)"
_REPO = r"(?:project|package|library|repository|repo|crate|module|application|app|program|gem|code ?base|code|tool)"
_PROJECT = rf"(?:(?:this|the|our|your) {_REPO}|it|this)"
_NEW = r"(?:(?:a|an|another|new|one more|some|my|the|own) ){1,3}"
_ADD = r"(?:add|put|place|create|implement|write|register|define)"
_SHOULD = r"(?:should|do|does|can|would|must|could)"
_KIND = r"(?:functions?|methods?|classes|types?|members?|attributes|symbols|macros|structs?)"
_TYPES = (
    r"(?:(?:base |parent |super)?(?:class(?:es)?|types?|interfaces?|traits?|structs?|protocols?|mixins?))"
)
_REVISION = r"[^\s,;]+"
_PLAIN = r"[^\s,;.]+(?:\.[^\s,;.]+)*"
_CHANGES = r"(?:changes|commits|diff|log)"
# A type takes in a module or trait, and a file includes another one; names of types begin with a capital.
_TAKES = (
    r"(?:who|what|(?:which|what) (?:class|module|type|trait|plugin|struct)\w*) "
    r"(?:includes?|prepends?|mix(?:es)? in|takes? in|conforms? to|derives?)"
)
_CONSTANT = r"(?-i:[A-Z])[\w:\\]*"
# A language or runtime, in a question on its version that is not on history.
_RUNTIME = rf"(?P<subject>{runtime_versions.NAMES})"
_TODAY = (
    r"(?!.*\b(?:when|who|whom|whose|why|commit|introduced|added|removed|dropped|raised|changed)\b)(?:.*?\b)?"
)
_LEAST = r"(?:oldest|lowest|minim\w+|min|earliest|least)"
_VERSION = r"(?:versions?|releases?|standards?|frameworks?|editions?|toolchains?|runtimes?)"
_NEED = (
    r"(?:uses?|needs?|requires?|supports?|targets?|runs?|works?|builds?|built|compiles?|compatible|expects?)"
)

PATTERNS = {
    "requirements": [
        rf"(?:what|which \w+) (?:does|do) {_PROJECT} (?:depend on|require|use|need){_NONE}",
        rf"(?:(?:what|which)(?: are)? )?{_NONE}(?:the )?(?:(?:external|third-party|runtime|direct|dev|development) )*"
        rf"(?:dependencies|requirements|packages|libraries)"
        rf"(?: (?:of|are (?:used|needed|required) (?:by|in)|(?:does|do)) {_PROJECT})?"
        r"(?: (?:have|use|need|require|depend on))?(?: are (?:used|needed|required|there))?",
        rf"(?:does|do) {_PROJECT} (?:depend on|require|use|need) {_S}",
        rf"(?:what are )?(?:the )?(?:third[- ]party )?(?:deps|libs|packages|libraries){_NONE}",
        rf"{_TODAY}{_LEAST},? (?:[\w-]+ ){{0,2}}{_RUNTIME}"
        rf"(?: (?:{_VERSION}|{_WE}|{_PROJECT}|to|is|are|does|do|can|for|at|in|on|with|that|which|{_NEED}\w*)\b.*)?",
        rf"{_TODAY}(?:which|what|required|supported) (?:[\w-]+ ){{0,2}}{_RUNTIME} (?:[\w-]+ )?{_VERSION}\b.*",
        rf"{_TODAY}(?:which|what) {_RUNTIME}\b.*\b{_NEED}\b.*",
        rf"{_TODAY}{_VERSION} of {_RUNTIME}.*",
        rf"{_TODAY}{_NEED}\b.*{_RUNTIME} v?\d.*",
        rf"{_TODAY}{_RUNTIME} v?\d[\w.]* .*\b(?:supported|compatible|enough|required|work|ok|okay)\b.*",
        r"(?:what is (?:the |our |its )?)?(?P<subject2>MSRV)(?: of .*)?",
    ],
    "configuration": [
        rf"(?:(?:what|which)(?: are)? )?{_NONE}(?:the )?(?:environment|env) (?:variables?|vars?)"
        rf"(?: (?:are (?:read|used|there|supported)|(?:does|do|can) (?:{_PROJECT}|{_WE}) "
        r"(?:read|use|know|have|support|need|set)|exist|can be set|there are))?"
        r"(?:,? (?:with|and) (?:their |the |which )?(?:defaults?|default values?))?",
        rf"what can (?:{_WE} configure|be configured){_NONE}",
        rf"how (?:do|can|is|are) (?:{_WE} configure {_PROJECT}|{_PROJECT} configured){_NONE}",
        rf"(?:what|which) (?:configuration|config|settings?)(?: options?| variables?)?{_NONE} "
        rf"(?:are there|exist|(?:does|do|can) (?:{_PROJECT}|{_WE}) (?:have|read|use|take|set))",
    ],
    "between": [
        r"(?:what (?:has |have |is |are |was )?|which |how many )?"
        r"(?:changed|changes|new|different|differences?|diff|commits|changelog|history)"
        rf"(?: (?:in|of|to) {_O})? (?:are )?(?:there )?(?:between|from) (?P<first>{_REVISION}) "
        rf"(?:and|to|until|till) (?P<last>{_REVISION})",
        rf"(?:diff|compare) (?P<first2>{_REVISION}) (?:and |with |to |against )?(?P<last2>{_REVISION})",
        rf"what(?:'s| is| was| has) (?:new|changed|different|added) in (?P<last3>{_REVISION}) "
        rf"(?:since|after|compared (?:to|with)|over) (?P<first3>{_REVISION})",
        r"what (?:has |have )?(?:changed|is new|is different)(?: in (?P<other2>\S+))? since "
        r"(?:(?:release|version|tag) )?(?P<first4>v?\d\S*|[0-9a-f]{7,40})",
        rf"(?:which|what) commits are in (?P<last5>{_REVISION}) but not in (?P<first5>{_REVISION})",
        r"(?:changes|commits|changelog) since (?:(?:release|version|tag) )?(?P<first7>v?\d\S*|[0-9a-f]{7,40})",
        rf"(?:{_CHANGES} )?(?P<first8>{_PLAIN})\.\.(?P<last8>{_PLAIN})(?: {_CHANGES})?",
        r"what(?:'s| is| was) (?:new|changed|added) in (?:(?:release|version|tag) )?(?P<last6>v?\d\S*|\S+-\d+\.\S+)",
    ],
    "active": [
        rf"who (?:works?|is working) on what{_NOW}{_NONE}",
        rf"(?:who|which (?:people|developers|authors)) (?:works?|worked|is working|are working|has worked) on {_S}"
        r"(?: now| right now| at the moment| these days| recently| lately)",
        rf"who {_IS} (?:the )?(?:most )?active(?: (?:authors?|contributors?|people|developers?|maintainers?))?"
        rf"(?: in (?:{_PROJECT}|{_S}))?{_NOW}",
        rf"what {_IS} (?:people |everybody |the team |we |being )?(?:worked|working) on{_NOW}{_NONE}",
        rf"what (?:has )?(?:happened|changed|been going on) (?:recently|lately){_NONE}",
        rf"(?:recent|latest) activity(?: (?:in|of|on) {_S})?",
        rf"who (?:has )?committed (?:recently|lately){_NONE}",
    ],
    "removed": [
        rf"{_WHEN} (?:was|were|has|did {_WE}) {_S} (?:been )?{_GONE}(?: from \S+)?",
        rf"(?:was|were|has) {_S} (?:been )?{_GONE}",
        rf"(?:who|(?:which|what) (?:commit|release|version)) (?:has )?(?:removed|deleted|dropped) {_S}",
        rf"(?:when|why) did {_S} (?:disappear|go away|vanish)",
        rf"(?:when|why) did {_WE} (?:remove|delete|drop) {_S}",
        rf"(?:what happened to|where did) {_S}(?: go)?",
        rf"since when is {_S} gone",
    ],
    "placement": [
        rf"(?:where|how|in which file) {_SHOULD} {_WE} {_ADD} {_NEW}(?:[\w-]+ ){{0,4}}?(?:like|similar to|such as|for|"
        rf"beside) {_S}",
        rf"(?:where|how|in which file) {_SHOULD} {_WE} {_ADD} {_NEW}{_S}(?: to {_PROJECT})?",
        rf"where {_SHOULD} {_NEW}{_S} (?:go|belong|be added|be put)",
        rf"where {_SHOULD} {_WE} {_ADD} (?:something|anything|code) (?:like|similar to|such as) {_S}",
    ],
    "next": [
        rf"what {_SHOULD} {_WE} (?:do|fix|improve|refactor|tackle|work on)(?: first| next)?(?: in {_S})?",
        rf"what should be (?:fixed|improved|refactored|done)(?: first| next)?(?: in {_S})?",
        rf"where {_SHOULD} {_WE} (?:start|begin)(?: refactoring| improving| fixing)?{_NONE}",
        rf"(?:what (?:is|are) )?(?:the )?(?:most important|next|top|most urgent) "
        rf"(?:work|things? to (?:do|fix|improve)|work items?|tasks?){_NONE}",
        rf"what to (?:do|fix|improve|refactor) (?:first|next)(?: in {_S})?",
    ],
    "used": [
        rf"where {_IS} {_S} (?:used|called|referenced|instantiated|invoked)",
        rf"where (?:do|does) (?:{_WE}|{_PROJECT}) (?:use|call|reference|instantiate|invoke) {_S}",
        rf"(?:who|what|{_WHICH}) (?:calls?|uses?|invokes?|instantiates?|references?|is (?:calling|using)) {_S}",
        rf"(?:what are the )?(?:callers|usages?|uses|users|references|call sites) of {_S}",
        rf"how many (?:places|functions|callers) (?:call|use) {_S}",
        rf"(?:is|are) {_S} (?:used|called|referenced|invoked)",
        rf"does any(?:thing|body|one| code) (?:use|call|invoke) {_S}",
        rf"(?:any(?:thing|body|one) )?(?:using|calling) {_S}",
    ],
    "relation": [
        rf"how (?:are|is|do|does) {_A} (?:and|to|with) {_O} (?:{_RELATED}|relate|connect|interact|work together|depend)"
        r"(?: (?:to|with|on) each other)?",
        rf"how (?:is|are|does|do) {_A} (?:{_RELATED}|relate|connect|interact) (?:to|with) {_O}",
        rf"(?:is|are) {_A} (?:{_RELATED} (?:to|with)|connected with|dependent on) {_O}",
        r"(?:is there )?(?:a |any )?(?:relation(?:ship)?|connection|link|path|way|dependency|call chain|call path) "
        rf"(?:between|from) {_A} (?:and|to) {_O}",
        rf"where (?:does|do) {_A} (?:\w+ly )?(?:use|call|invoke|import|reach) {_O}",
        rf"what (?:connects|links) {_A} (?:and|to|with) {_O}",
        rf"how do {_WE} get from {_A} to {_O}",
        rf"(?:how|why) (?:does|do|is|are) {_A} (?:reach|get to|depends? on|uses?|calls?|end up (?:in|calling)|imports?|"
        rf"know) {_O}",
        rf"(?:does|do) (?!any){_A} (?:reach|depend on|use|call|import|know|inherit from|extend) {_O}",
    ],
    "defined": [
        rf"where {_IS} {_S} (?:defined|declared|implemented|located|written|found)",
        rf"where (?:can|do) {_WE} find {_S}",
        rf"(?:which|what|in which|in what) (?:file|module) (?:is {_S} (?:defined|declared|implemented) in|"
        rf"(?:defines|declares|implements|contains|has) (?P<subject2>.+?))",
        rf"(?:in which|in what|which|what) (?:file|module) {_IS} {_S} (?:defined|declared|implemented|located|in)",
        rf"(?:definition|declaration|implementation|location|source|code) of {_S}",
        rf"where does {_S} live",
        rf"{_S}: where is it(?: defined)?",
        rf"(?:find|locate|where is) {_S}",
        rf"where (?:does|do) (?P<owner>(?!(?:we|you|they|i) )\S+(?: \S+){{0,3}}?) (?:implement|define|declare)s? {_S}",
    ],
    "affected": [
        rf"what (?:breaks|is affected|(?:would|could|will|may|might|can) (?:break|happen|be affected)|"
        rf"happens|do {_WE} break)"
        rf" (?:if|when|by) (?:{_WE} )?(?:chang|modify|modif|remov|delet|touch|edit|renam|break)\w* {_S}",
        rf"what (?:breaks|happens|would break|will break|may break|could break|is affected) (?:if|when) {_S} "
        r"(?:is |are |gets )?(?:changes?|changed|removed|breaks|broken|deleted)",
        r"(?:what (?:is|are) the )?(?:impact|effects?|blast radius|consequences?) of "
        rf"(?:a change (?:of|to|in) |changing |removing |deleting |renaming ){_S}",
        rf"(?:what is the )?blast radius of {_S}",
        rf"(?:is it safe to|can {_WE}|may {_WE})(?: safely)? (?:change|modify|remove|delete|edit) {_S}",
        rf"(?:who|what) is affected by (?:(?:a change|changes) (?:of|to|in) |changing )?{_S}",
    ],
    "dependents": [
        rf"(?!{_TAKES} {_CONSTANT}$)(?:who|what|{_WHICH}|how many files) "
        rf"(?:depends? on|imports?|includes?|requires?) {_S}",
        rf"(?:dependents|importers) of {_S}",
        rf"(?:is|are) {_S} (?:imported|included|required)",
        rf"where {_IS} {_S} (?:imported|included|required)",
    ],
    "dependencies": [
        rf"(?:what|which \w+) (?:does|do) {_S} (?:depend on|imports?|include|require|need)",
        rf"(?:what|which \w+) (?:is|are) (?:imported|included|required|needed) by {_S}",
        rf"(?:dependencies|imports|includes) of {_S}",
    ],
    "raised": [
        rf"{_WHO} (?:raises?|throws?) {_S}",
        rf"(?:where|when) {_IS} {_S} (?:raised|thrown)",
        rf"(?:when|where) (?:does|do) (?:it|the code|we|they) (?:raise|throw) {_S}",
    ],
    "raises": [
        rf"(?:what|which) (?:exceptions? |errors? )?(?:does|do|can|may|could|might) {_S} (?:raise|throw)",
        rf"(?:does|do|can) {_S} (?:raise|throw)(?: anything| exceptions?| errors?)?",
        rf"(?:exceptions?|errors?) (?:of|raised by|thrown by) {_S}",
    ],
    "calls": [
        rf"what (?:does|do) {_S} (?:call|invoke)",
        rf"(?:which|what) (?:functions|methods) (?:does|are called by|are invoked by|do) {_S}(?: call| invoke)?",
        rf"what is (?:called|invoked) by {_S}",
        rf"(?:callees|calls) of {_S}",
    ],
    "introduced": [
        rf"{_WHEN} (?:was|were|did we add) {_S} (?:first )?{_ADDED}",
        rf"(?:who|(?:which|what) (?:commit|release|version)) (?:has )?(?:added|created|introduced|first wrote) {_S}",
        rf"(?:when|in (?:which|what) (?:release|version|commit)) did {_S} (?:first )?(?:appear|come|arrive|get added)",
        rf"(?:since|in) (?:which|what) (?:release|version) (?:is|was|does) {_S}"
        r"(?: there| exist| added| introduced| available)?",
        rf"since (?:which|what) (?:release|version) (?:is there|do we have|has there been) {_S}",
        rf"since when (?:is|was|does|do we have|is there) {_S}(?: there| exist| available)?",
        rf"how old is {_S}",
        rf"when did {_WE} (?:get|add|create|introduce|write) {_S}",
        rf"(?:which|what)? ?(?:is )?(?:the )?first (?:release|version|commit) (?:with|of|that has) {_S}",
    ],
    "history": [
        rf"(?:when was|who(?: has)?) (?:last )?{_CHANGED} {_S}(?: last| most recently)?",
        rf"(?:when|by whom|why) was {_S} (?:last )?{_CHANGED}(?: last)?(?: (?:and )?by whom)?",
        rf"(?:recent|latest|last) (?:changes?|commits?) (?:of|to|in|on|for) {_S}",
        rf"(?:git )?(?:history|changelog|log) of {_S}",
        rf"how (?:has|did) {_S} (?:changed?|evolved?)(?: over (?:the )?time)?",
        rf"(?:which|what) commits (?:changed|touched) {_S}",
        rf"when did {_S} (?:last )?change(?: last)?",
        rf"who (?:has )?{_CHANGED} {_S} (?:recently|lately)",
    ],
    "owner": [
        rf"who (?:knows|owns|maintains|wrote(?: most of(?! (?:{_PROJECT}|(?:the )?{_REPO})$))?|"
        r"understands|is responsible for|knows about|"
        rf"has written) {_S}(?: best| most)?",
        rf"(?:who is the )?(?:owners?|main authors?|maintainers?|expert|authors?|code ?owners?|"
        rf"reviewers?) (?:of|on|for) {_S}",
        rf"who(?:m)? (?:should|can|do|could) {_WE} (?:ask|talk to|contact) (?:about|for|with) {_S}",
        rf"who (?:can|could) help(?: {_WE}| me)? with {_S}",
        rf"who (?:can|could|should) (?:tell {_WE}|tell me|explain|review|answer questions)(?: more)?"
        rf"(?: changes (?:of|to|in)| about)? {_S}",
    ],
    "coupled": [
        r"(?:what|which files?)(?: else)? (?:changes?|is changed|are changed|must change)(?: together)? "
        rf"(?:with|when) {_S}(?: changes?| is changed)?",
        rf"(?:what|which files) (?:is|are) coupled (?:to|with) {_S}",
        rf"what (?:else )?(?:must|should) {_WE} change (?:when|if|with) (?:{_WE} change )?{_S}",
        rf"(?:what|which files?)(?: else)? changes? (?:when|if) {_WE} (?:change|touch|edit|modify) {_S}",
        rf"(?:co-?changes|coupling) (?:of|with) {_S}",
    ],
    "overview": [
        r"(?P<subject>hotspots)",
        r"(?:what|which|where) are the (?P<subject2>hotspots)",
        r"(?:(?:what|which) (?:is|are) )?(?:the )?(?P<subject3>(?:most complex|largest|biggest|longest|most changed|"
        r"most imported) (?:functions?|files?))",
        r"(?:which|what) (?P<subject4>languages?).*",
        r"(?:who (?:are|were) )?(?:the )?(?:main |top )?(?P<subject5>authors|contributors|maintainers)"
        r"(?: (?:in|since|before|after|until|during|between) [\w ,.-]{1,40})?",
        rf"who (?P<subject6>wrote most) of (?:{_PROJECT}|(?:the )?{_REPO})",
        r"how many (?P<subject7>files|lines|commits|authors|functions|symbols)(?: of code)?"
        rf"(?: (?:are|is|were|there|in|all|total|does|do|has|have|had|been|made|of|the|our|this|it|we|you|here|"
        rf"{_REPO}))*",
        rf"how (?P<subject8>big|large|long) is {_PROJECT}",
    ],
    "hotspot": [
        rf"why (?:is|are) {_S} (?:so |such |that |very |too )?(?:a |an )?"
        r"(?:hotspot|hot spot|complex|complicated|risky|large|big|long|hard to (?:change|read|maintain|understand))",
        rf"{_S}: why (?:so )?(?:complex|complicated|risky|a hotspot)",
        rf"how (?:complex|complicated|risky|big|large|long) is {_S}",
        rf"what makes {_S} (?:so |that )?(?:complex|complicated|risky|large|hard|difficult|a hotspot)[\s\S]*",
        rf"(?:metrics|complexity) of {_S}",
        rf"{_S} (?:complexity|metrics)",
    ],
    "rules": [
        r"(?:what|which) (?:rules?|findings?|issues?|problems?) "
        rf"(?:fits?|applies to|apply to|are there in|in|of|has|are found in) {_S}",
        rf"(?:what|which) (?:findings?|issues?|problems?) (?:does|do) {_S} have",
        rf"(?:is|are) there (?:any )?(?:findings?|issues?|problems?|anything wrong) (?:in|with) {_S}",
        rf"what(?:'s| is) wrong (?:with|in) {_S}",
        rf"(?:findings|issues|problems) (?:in|of) {_S}",
    ],
    "similar": [
        rf"(?:which|what) (?:files?|code) (?:is|are) (?:most )?(?:similar to|like|copies of|clones of|duplicates of|"
        rf"copied from|the same as) {_S}",
        rf"(?:clones|duplicates|copies|near copies) (?:of|in) {_S}",
        rf"what (?:is (?:similar to|duplicated in)|duplicates|resembles) {_S}",
        rf"is there (?:any )?(?:code|a file|another \w+|a \w+) (?:similar to|like) {_S}",
        rf"where {_IS} {_S} (?:duplicated|copied)",
    ],
    "tests": [
        rf"(?:which|what|where) (?:are the |are )?tests? "
        rf"(?:covers?|tests?|for|of|exercises?|calls?|hits?|runs?|uses?) {_S}",
        rf"(?:where|how) {_IS} {_S} tested",
        rf"what tests {_S}",
        rf"(?:is|are) {_S} (?:tested|covered)(?: by (?:tests?|any test))?",
        rf"(?:is|are) there (?:any )?tests? (?:for|of) {_S}",
        rf"(?:does|do) {_S} have (?:any )?tests?",
        rf"tests? (?:of|for|that cover) {_S}",
    ],
    "bases": [
        rf"(?:what|which {_TYPES}) (?:does|do) {_S} (?:inherit(?: from)?|extend|derive from|subclass|implement)",
        r"(?:what (?:is|are) )?(?:the )?(?:base class(?:es)?|base types?|parents?|parent class(?:es)?|"
        r"superclass(?:es)?|"
        rf"bases|interfaces) of {_S}",
        rf"what is {_S} (?:derived|inherited) from",
        rf"what (?:is|are) {_S}'s? (?:base class(?:es)?|parents?|superclass(?:es)?|interfaces)",
    ],
    "members": [
        r"(?:which|what) (?:methods|functions|members|classes|attributes|fields|properties|symbols|variants|constants) "
        rf"(?:does|do|has|are (?:there |defined |declared )?(?:in|on)) {_S}(?: have| define| contain)?",
        rf"(?:what are )?(?:all )?(?:the )?(?:possible )?values of (?:the )?enum {_S}",
        r"(?:what are )?(?:all )?(?:the )?(?:methods|functions|members|classes|fields|attributes|symbols|variants|API|"
        rf"interface|content|everything) (?:of|in|on) {_S}",
        rf"what(?:'s| is) (?:in|inside) (?:the )?(?:class|struct|interface|trait|enum) {_S}",
        rf"what {_IS} (?:(?:defined|declared|contained) in|on) {_S}",
        rf"(?:what|{_WHICH}) (?:does|do) {_S} (?:re-?)?export",
        rf"(?:what|{_WHICH}) (?:is|are) (?:re-?)?exported (?:from|by|in) {_S}",
        rf"(?:what are )?(?:all )?(?:the )?(?:re-?)?exports (?:of|in|from) {_S}",
    ],
    "subclasses": [
        rf"(?:who|what|{_WHICH}) (?:inherits?(?: from)?|extends?|subclass(?:es)?|derives?(?: from)?|implements?|"
        rf"embeds?|mix(?:es)? in) {_S}",
        r"(?:what are )?(?:the )?(?:subclasses|subtypes|children|descendants|implementations|"
        r"implementers|derived classes)"
        rf" of {_S}",
        rf"(?:does|do|is|are) any\w*(?: \w+)? (?:inherit|derive|derived|subclass|extend|implement)\w*(?: from)? {_S}",
        rf"{_TAKES} (?P<subject2>{_CONSTANT})",
    ],
    "word": [
        r"where (?:is|are) (?:the )?(?:environment variables?|env vars?|settings?|options?|flags?|constants?) "
        rf"{_S} (?:read|used|set|defined|checked|parsed)",
        rf"where (?:is|are) {_S} (?:read|parsed|checked|set)",
        rf"where (?:do|does) (?:we|it|the code) (?:read|set|check|parse) {_S}",
        rf"what(?:'s| is) the default(?: value)? (?:of|for) {_S}",
    ],
    "dead": [
        rf"(?:is|are) there (?:any )?(?:dead|unused|unreachable) (?:code|functions?)(?: in {_S})?",
        rf"(?:which|what) (?:functions?|code) (?:in {_S} )?(?:is|are) (?:dead|unused|never (?:called|used)|not used)",
        rf"(?:dead|unused) (?:code|functions?)(?: in {_S})?",
        rf"what is (?:dead|unused|never (?:called|used)|not used)(?: in {_S})?",
    ],
    "licence": [
        r"(?P<subject>(?:(?:what|which) (?:is the )?|under (?:which|what) |the )?licen[cs]e.*)",
        rf"(?P<subject2>is {_PROJECT} .*licen[cs]ed[\s\S]*)",
        rf"(?P<subject3>is {_PROJECT} (?:under )?(?:the )?(?:MIT|Apache|BSD|[AL]?GPL|MPL|ISC)\S*(?: licen[cs]e)?)",
        r"(?P<subject4>what licen[cs]e.*)",
    ],
    "running": [
        r"(?P<subject>(?:(?:what|where|which) (?:is|are) )?(?:the )?(?:main )?(?:entry ?points?|main function|"
        r"main program|commands?)(?: of .*)?"
        rf"|how (?:do|can|should) {_WE} (?:run|start|launch|execute) {_PROJECT}.*"
        rf"|how (?:do|can|should) {_WE} (?:run|start|launch) the server.*"
        rf"|how (?:is|do|to) (?:run |start )?{_PROJECT}(?: run| started| start)?"
        rf"|where does {_PROJECT} (?:start|begin).*)",
    ],
    "testing": [
        rf"(?P<subject>how (?:do|can|should) {_WE} (?:run|execute|start) (?:the |all |its )?tests?.*"
        rf"|how (?:do|can|should) {_WE} test {_PROJECT}"
        r"|how (?:are|to run|to execute) (?:the |all )?tests.*|(?:what|which) commands? (?:runs?|"
        r"executes?) the tests.*|(?:what is )?the test command)",
    ],
    "purpose": [
        rf"what (?:is|are) {_S} (?:for|about|good for|used for|responsible for|there for)",
        rf"(?:what is )?(?:the )?(?:purpose|role|responsibility|job|point) of {_S}",
        rf"why (?:does|do) {_S} exist",
        rf"what(?:'s| is) (?:in|inside) {_S}",
        rf"what (?:does|do) (?:the )?(?:module|package|folder|directory|file) {_S} (?:do|contain)",
    ],
    "describe": [
        rf"what (?:does|do) {_S} (?:do|return)",
        r"(?:what is )?(?:the )?(?:signature|docstring|parameters|arguments|args|params|documentation|docs) "
        rf"(?:of|for) {_S}",
        rf"(?:what|which) (?:arguments|parameters|args|params) (?:does|do) {_S} (?:take|have|accept|expect)",
        rf"what is {_S} doing",
        rf"how (?:does|do) {_S} work",
        rf"(?:explain|describe) {_S}(?: to me)?",
        rf"(?:what is|what's|what are) {_S}",
    ],
}
