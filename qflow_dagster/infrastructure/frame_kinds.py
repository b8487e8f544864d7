"""Which frames of a stack tell errors apart: those of the program, without what every thread or throw calls.

Pure functions. The kinds follow what Sentry documents of its stack trace rules
(https://docs.sentry.io/concepts/data-management/event-grouping/stack-trace-rules/). Does not belong here: the names
within a frame (`frame_names`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from qflow_dagster.infrastructure.frame_names import JAVASCRIPT, JVM, NATIVE, place_of
from qflow_dagster.infrastructure.stacks import Frame

_LIBRARY_PATH = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|vendor|gems|lib/python\d[^/]*|go/pkg/mod"
    r"|usr/local/go[^/]*/src)/|^<|^node:|^internal/"
    r"|^https?://(?:unpkg\.com|cdnjs\.cloudflare\.com|cdn\.jsdelivr\.net|esm\.run)/"
)
_LIBRARY_MODULE = re.compile(
    r"^(?:(?:jdk|sun|com\.sun|java|javax|scala|akka|feign|kotlin|kotlinx|io\.ktor|io\.netty|io\.opentelemetry"
    r"|org\.(?:apache|springframework|glassfish|jboss))\.|unpkg/)"
)
_LIBRARY_PACKAGE = re.compile(
    r"^/(?:usr/)?lib/|^linux-gate\.so|/Frameworks/(?:libswift[^/]*\.dylib$|(?:KSCrash|Sentry\w*)\.framework/)"
)
_PROGRAM_PACKAGE = re.compile(
    r"\.app/Contents/|^/Users/|/Containers/Bundle/Application/|/CoreSimulator/Devices/"
)
_LIBRARY_FUNCTION = re.compile(
    r"^(?:(?:std|core|alloc|google_breakpad)::|__rust_|(?:kscm|kscrash|sentrycrashcm)_)|sentrycrash_"
)

# Kinds of frames. `NOISE` never tells errors apart: transpilers and tasks of JavaScript, helpers of compilers,
# reporters of crashes. `BASE` is an outermost call of a thread, `THROW` what is called to throw, `HANDLER` what then
# runs; nothing beyond them belongs to the error. Of calls within a system or its libraries only the first counts.
NOISE, BASE, THROW, HANDLER, LOAD = "noise", "base", "throw", "handler", "load"
SYSTEM, LIBRARY, UI, MEDIA = "system", "library", "ui", "media"

_NOISE_MODULE = re.compile(r"^(?:@babel|core-js|regenerator-runtime|tslib)/")
_NOISE_JAVASCRIPT = re.compile(
    r"(?:^|\.)(?:runMicrotasks|queueMicrotask|processTicksAndRejections|runNextTicks|nextTick|eval)$"
)
_NOT_SOURCE = ("[native code]", "native code", "eval code", "<anonymous>", "native")
_NATIVE_FUNCTIONS = (
    (
        BASE,
        r"UIApplicationMain|wWinMain|invoke_main|BaseThreadInitThunk|RtlUserThreadStart|thread_start|_?_?pthread_start"
        r"|_pthread_body|_dispatch_worker_thread2|_dispatch_client_callout|start_wqthread|_pthread_wqthread"
        r"|boost::.{1,100}::thread_proxy|TppWorkerThread|TppWorkpExecuteCallback|RtlpTpWorkCallback|__libc_start_main",
    ),
    (
        THROW,
        r"abort|raise|std::terminate|RtlExitUserThread|TppRaiseInvalidParameter|_CxxThrowException|RaiseException"
        r"|RaiseComPlusException|_CFThrowFormattedException|objc_exception_throw|AG::precondition_failure.{0,100}",
    ),
    (
        HANDLER,
        r"RtlpExecuteHandlerForException|_sigtramp|DispatchHookW|execute_onexit_table|__cxa_throw|__assert_rtn"
        r"|_NSRaiseError|std::panicking::begin_panic|core::panicking::begin_panic|rust_begin_unwind",
    ),
    (LOAD, r"dlopen|dladdr|ImageLoaderMachO::findClosestSymbol|pthread_mutex_lock"),
    (
        NOISE,
        r"(?:std::_|__swift_|block_destroy_helper|boost::function|boost::_bi::|boost::detail::function::functor_manager"
        r"|crashpad::|google_breakpad::|Array\.subscript\.|_INTERNAL).{0,2000}|destructor'|__dynamic_cast|closure|range"
        r"|Collection\.map<T>|Array\._getElement|@callee_guaranteed|_mh_execute_header|gpusKillClientExt",
    ),
    (LIBRARY, r"(?:boost|std)::.{0,2000}"),
    (SYSTEM, r"_{0,2}mem(?:set|cpy|cmp)"),
)
_NATIVE_KINDS = tuple((kind, re.compile(f"^(?:{pattern})$")) for kind, pattern in _NATIVE_FUNCTIONS)
_NOISE_NATIVE = re.compile(r"_block_invoke|::operator\(\)|<lambda>|\.cold\.1$")
_SYSTEM_PACKAGE = re.compile(
    r"^/System/Library/|^C:/Windows/|^/usr/lib/|^/system/|^/vendor/|^/apex/com\.android\.|(?:^|/)libart\.so$"
    r"|^(?:CoreFoundation|Foundation|CFNetwork|IOKit|QuartzCore|IOMobileFramebuffer|WebKit|libdispatch\.dylib)$"
    r"|^lib(?:objc|system)",
    re.IGNORECASE,
)
_MEDIA_PACKAGE = re.compile(
    r"(?:^|/)(?:libskia|libEGL|libGLES\w*|libESXGLES\w*|libmedia|libaudioclient)\.so$|/OpenG?C?L\.framework/|^OpenGLES$"
    r"|^GLEngine$|^(?:lib)?AudioToolbox|OPENGL32\.dll$"
)
_UI_PACKAGE = re.compile(r"^(?:UIKit|UIKitCore|SwiftUI|AttributeGraph|CoreAutoLayout|GraphicsServices)$")
_JVM_BASE = re.compile(
    r"^(?:java\.util\.concurrent\.ThreadPoolExecutor.*\.runWorker|android\.app\.ActivityThread.*\.(?:main|handleMessage)"
    r"|android\.os\.Looper\.loop|android\.os\.Handler\.(?:dispatchMessage|handleCallback)|android\.view\.View\.layout"
    r"|android\.os\..*\.call)$"
)
_JVM_MODULES = (
    (NOISE, re.compile(r"^(?:java\.lang\.reflect|androidx\.work\.impl\.utils\.ForceStopRunnable)\b")),
    (
        UI,
        re.compile(
            r"^(?:android\.(?:view|text|widget|app\.Dialog)|com\.google\.android\.material)\b|^androidx\..*\.widget\."
        ),
    ),
    (SYSTEM, re.compile(r"^(?:dalvik\.system|com\.android|android\.os)\.")),
    (LIBRARY, re.compile(r"^(?:java|javax\.crypto|android|androidx|com\.google\.(?:crypto|android))\.")),
)
# A call of the second kind says nothing where one of the first makes it; one pair after the other.
_WITHIN = (
    (SYSTEM, SYSTEM),
    (LIBRARY, SYSTEM),
    (LIBRARY, LIBRARY),
    (MEDIA, MEDIA),
    (UI, UI),
    (UI, SYSTEM),
    (NOISE, SYSTEM),
    (NOISE, UI),
    (LOAD, SYSTEM),
    (LOAD, LOAD),
    (THROW, SYSTEM),
    (THROW, THROW),
)


def is_own(frame: Frame) -> bool | None:
    """Return whether a frame is of the program, by its folder or module, else as the SDK says; None if neither does."""
    path = (frame.path or frame.file).replace("\\", "/")
    if frame.platform in NATIVE:
        package = frame.package.replace("\\", "/")
        if (
            _LIBRARY_FUNCTION.search(frame.function)
            or _LIBRARY_PACKAGE.search(package)
            or path.startswith("/usr/local/lib/")
        ):
            return False
        if _PROGRAM_PACKAGE.search(package):
            return True
    elif _LIBRARY_PATH.search(path) or (frame.platform in JVM and _LIBRARY_MODULE.search(f"{frame.module}.")):
        return False
    return frame.own


def telling(frames: Sequence[Frame]) -> list[bool]:
    """Return of each frame, outermost first, whether it tells errors apart."""
    kinds = [kind_of(frame) for frame in frames]
    between = range(1, len(kinds) - 1)
    wedged = [at for at in between if kinds[at] == SYSTEM and SYSTEM not in (kinds[at - 1], kinds[at + 1])]
    for at in wedged:
        kinds[at] = NOISE
    for pair in _WITHIN:
        for at in [at for at in range(1, len(kinds)) if (kinds[at - 1], kinds[at]) == pair]:
            kinds[at] = NOISE
    first, last = 0, len(kinds)
    for number, kind in enumerate(kinds):
        if kind == BASE:
            first = number + 1
        elif kind in (THROW, HANDLER) and last == len(kinds):
            last = number + (kind == THROW)
    return [
        first <= number < last and kind != NOISE and any(place_of(frame))
        for number, (frame, kind) in enumerate(zip(frames, kinds, strict=True))
    ]


@lru_cache(maxsize=20_000)
def kind_of(frame: Frame) -> str:
    """Return the kind of a frame; '' for one that is as telling as any."""
    if frame.platform in JAVASCRIPT:
        noise = _NOISE_JAVASCRIPT.search(frame.function) or frame.path in _NOT_SOURCE
        return NOISE if noise or _NOISE_MODULE.search(frame.module) else ""
    if frame.platform in JVM:
        if _JVM_BASE.match(f"{frame.module}.{frame.function}"):
            return BASE
        if frame.module in ("java.lang.System", "java.lang.Runtime") and frame.function.startswith(
            "loadLibrary"
        ):
            return LOAD
        return next((kind for kind, pattern in _JVM_MODULES if pattern.search(frame.module)), "")
    return _native_kind(frame) if frame.platform in NATIVE else ""


def _native_kind(frame: Frame) -> str:
    package = frame.package.replace("\\", "/")
    by_function = next((kind for kind, pattern in _NATIVE_KINDS if pattern.match(frame.function)), "")
    if frame.function == "start" and ("/usr/lib/system/" in package or package.endswith("libdyld.dylib")):
        return BASE
    if by_function in (BASE, THROW, HANDLER, LOAD, NOISE) or _NOISE_NATIVE.search(frame.function):
        return by_function or NOISE
    if _UI_PACKAGE.search(package) or frame.function.startswith("-[NSISEngine"):
        return UI
    if _MEDIA_PACKAGE.search(package):
        return MEDIA
    if by_function:
        return by_function
    if not _SYSTEM_PACKAGE.search(package):
        return ""
    unnamed = frame.function == "<unknown>" or (
        frame.function.startswith("_") and frame.function != "_purecall"
    )
    return NOISE if unnamed else SYSTEM
