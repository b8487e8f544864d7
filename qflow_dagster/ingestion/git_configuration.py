"""The environment and configuration of every call of git; options that execute code or read other files are off."""

import os

# Environment variables that git, curl, ssh and gpg need for paths and authentication; no others, above all no
# GIT_DIR and no secret.
PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "GNUPGHOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)
ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes",
}
# Options on the command line win over the repository's own configuration.
CONFIGURATION = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.alternateRefsCommand": "true",
    "core.pager": "cat",
    "core.attributesFile": os.devnull,
    "core.bigFileThreshold": "50m",
    # The commit-graph file summarizes commits and may contradict them.
    "core.commitGraph": "false",
    "attr.tree": "",
    "credential.helper": "",
    "diff.external": "",
    "diff.algorithm": "default",
    "diff.renameLimit": "1000",
    "diff.orderFile": os.devnull,
    "log.showSignature": "false",
    "gpg.program": "false",
    "uploadpack.packObjectsHook": "",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    # A redirect could send credentials to another host.
    "http.followRedirects": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
