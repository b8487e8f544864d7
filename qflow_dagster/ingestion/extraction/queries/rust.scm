(function_item) @def.function
(struct_item) @def.struct
(enum_item) @def.enum
(union_item) @def.struct
(trait_item) @def.trait
(impl_item) @def.impl
(mod_item body: (_)) @def.module
(macro_definition) @def.macro
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (field_identifier) @call))
(call_expression function: (scoped_identifier name: (identifier) @call))
(macro_invocation macro: (identifier) @call)
(use_declaration) @import.use
(mod_item !body) @import.mod
(line_comment) @comment
(block_comment) @comment
(if_expression) @if
(else_clause (if_expression) @elseif)
(else_clause (block)) @else
(for_expression) @loop
(while_expression) @loop
(loop_expression) @loop
(match_expression) @switch
(match_arm pattern: (match_pattern) @_pattern (#not-eq? @_pattern "_")) @case
(binary_expression operator: "&&") @and
(binary_expression operator: "||") @or
(try_expression) @decision
(closure_expression) @lambda
(break_expression (label)) @jump
(continue_expression (label)) @jump
