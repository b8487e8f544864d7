(call target: (identifier) @_def (arguments) (#any-of? @_def "def" "defp" "defmacro" "defmacrop" "defguard" "defdelegate")) @def.function
(call target: (identifier) @_module (arguments) (#any-of? @_module "defmodule" "defprotocol" "defimpl")) @def.module
(call target: (identifier) @call)
(call target: (identifier) @_def (arguments . (call target: (identifier) @head)) (#any-of? @_def "def" "defp" "defmacro" "defmacrop" "defguard" "defdelegate"))
(call target: (identifier) @_def (arguments . (binary_operator left: (call target: (identifier) @head))) (#any-of? @_def "def" "defp" "defmacro" "defmacrop" "defguard"))
(unary_operator operator: "@" operand: (call target: (identifier) @head))
(call target: (dot right: (identifier) @call))
(call target: (identifier) @_import (arguments . (alias)) (#any-of? @_import "alias" "import" "use" "require")) @import.alias
(call target: (identifier) @_import (arguments . (dot)) (#any-of? @_import "alias" "import" "use" "require")) @import.alias
(comment) @comment
(unary_operator operator: "@" operand: (call target: (identifier) @_doc (arguments (string)) (#any-of? @_doc "doc" "moduledoc" "typedoc"))) @doc
(call target: (identifier) @_if (do_block) (#any-of? @_if "if" "unless" "with" "for")) @if
(call target: (identifier) @_switch (do_block) (#any-of? @_switch "case" "cond" "receive" "try")) @switch
(else_block) @else
(call target: (identifier) @_case (do_block (stab_clause) @case) (#any-of? @_case "case" "cond" "receive"))
(rescue_block) @catch
(binary_operator operator: ["&&" "and"]) @and
(binary_operator operator: ["||" "or"]) @or
(anonymous_function) @lambda
