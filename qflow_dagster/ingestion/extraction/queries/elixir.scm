(call target: (identifier) @_def (arguments)
  (#any-of? @_def "def" "defp" "defmacro" "defmacrop" "defguard" "defguardp" "defdelegate")) @def.function
(binary_operator left: (identifier) operator: "=" right: (anonymous_function)) @def.function
(call target: (identifier) @_module (arguments) (#any-of? @_module "defmodule" "defprotocol" "defimpl")) @def.module
(call target: (identifier) @call)
(call target: (identifier) @_def (arguments . (call target: (identifier) @head))
  (#any-of? @_def "def" "defp" "defmacro" "defmacrop" "defguard" "defguardp" "defdelegate"))
(call target: (identifier) @_def (arguments . (binary_operator left: (call target: (identifier) @head)))
  (#any-of? @_def "def" "defp" "defmacro" "defmacrop" "defguard" "defguardp"))
(unary_operator operator: "@" operand: (call target: (identifier) @head))
(call target: (dot right: (identifier) @call))
(call target: (identifier) @_import (arguments . [(alias) (dot)])
  (#any-of? @_import "alias" "import" "use" "require")) @import.alias
(comment) @comment
(unary_operator operator: "@" operand: (call target: (identifier) @_doc (arguments [(string) (sigil)])
  (#any-of? @_doc "doc" "moduledoc" "typedoc"))) @doc
(binary_operator) @binary
